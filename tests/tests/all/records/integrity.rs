//! What is stored of a record and is not what was signed: nobody gets it, and it is reported once.

use std::fs;

use cairn_rocks::{RocksStore, Settings};
use cairn_tests::server::Data;
use cairn_tree::store::{Batch, Key, Kind, LogId, Store as _};
use serde_json::Value;

use super::{Running, json_of, record};
use crate::damage::{figure, wait_for};

/// Changes the row of disclosures whose last record is at this index, in a database that nobody has open.
pub(super) fn edit(data: &Data, last: u64, change: impl FnOnce(&mut Vec<u8>)) {
    let store = RocksStore::open(&data.path().join("db"), &Settings::default()).unwrap();
    let key = Key::numbered(LogId::new(1), Kind::Disclosures, last);
    let mut row = store.get(&key).unwrap().expect("a row of disclosures");
    change(&mut row);
    let mut batch = Batch::new();
    batch.put(key, row);
    store.commit(batch).unwrap();
}

fn incidents(data: &Data) -> Vec<Value> {
    let file = fs::read_to_string(data.path().join("incidents.jsonl")).unwrap_or_default();
    file.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_changed_disclosure_is_an_integrity_error_and_one_incident_however_often_it_is_read() {
    let running = Running::start();
    let good = running.brought(&record("pb", "1", "create"))["records"][0]["id"].as_str().unwrap().to_owned();
    let bad = running.brought(&record("pb", "2", "create"))["records"][0]["id"].as_str().unwrap().to_owned();
    running.brought(&record("pb", "2", "update"));
    let running = running.restarted_after(|data| edit(data, 1, |row| *row.last_mut().unwrap() ^= 1));
    let refused = [
        format!("/v1/records/{bad}"),
        format!("/v1/records/{bad}/receipt"),
        "/v1/streams/entity/pb/tl/license/2/state".to_owned(),
        "/v1/streams/entity/pb/tl/license/2/diff?from=0".to_owned(),
    ];
    for path in refused.iter().chain(&refused) {
        let answer = running.read(path);
        let problem = json_of(&answer);
        assert_eq!((answer.status, problem["type"].as_str()), (500, Some("urn:cairn:problem:integrity")), "{path}");
        assert!(!answer.text().contains("Ada"), "{path}");
    }
    // In a page it keeps nobody from the others.
    for path in ["/v1/records?tenant=pb&module=tl", "/v1/records?tenant=pb&object=2"] {
        let page = running.shown(path);
        assert!(page["records"][0]["problem"].is_null(), "{page}");
        let problem = &page["records"][1]["problem"];
        assert_eq!((&problem["part"], &problem["index"]), (&"disclosure".into(), &1.into()), "{page}");
        assert_eq!(problem["fault"], "changed");
        assert!(page["records"][1].get("leaf").is_none() && page["records"][1].get("disclosures").is_none());
    }
    assert_eq!(running.shown("/v1/records?tenant=pb&module=tl")["records"][2]["view"]["id"], good.as_str());
    // Nothing is wrong with the chain.
    let history = running.shown("/v1/streams/entity/pb/tl/license/2?proof=1");
    assert_eq!(history["records"][0]["problem"]["part"], "disclosure");
    assert!(history.get("broken_from").is_none());
    assert_eq!(history["records"][1]["view"]["seq"], 1);
    assert_eq!(history["records"][1]["before"]["index"], 1);
    running.shown(&format!("/v1/records/{good}"));
    let running = running.restarted_after(|_| {});
    assert_eq!(running.read(&refused[0]).status, 500);
    let told = incidents(&running.data);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["event"], &told[0]["kind"], &told[0]["first"]),
        (&"integrity".into(), &"disclosure".into(), &1.into())
    );
    // What else the log has goes on.
    assert_eq!(running.bring(&record("pb", "1", "update")).status, 200);
}

/// Whoever watches the figures is told of what a read finds first as of what the scrubber does.
#[test]
fn a_disclosure_that_a_reader_finds_bad_before_the_scrubber_counts_once_in_both_figures() {
    let running = Running::start_with(|data| data.set_limit("scrub_bytes_per_second", 0));
    running.brought(&record("pb", "1", "create"));
    let bad = running.brought(&record("pb", "2", "create"))["records"][0]["id"].as_str().unwrap().to_owned();
    let running = running.restarted_after(|data| edit(data, 1, |row| *row.last_mut().unwrap() ^= 1));
    let counted = |running: &Running| {
        ["cairn_read_findings_total", "cairn_scrub_record_findings_total"].map(|name| figure(&running.server, name))
    };
    running.shown("/v1/streams/entity/pb/tl/license/1");
    assert_eq!(counted(&running), [0.0; 2], "nobody has read it");
    for _ in 0..3 {
        assert_eq!(running.read(&format!("/v1/records/{bad}")).status, 500);
        assert_eq!(running.shown("/v1/records?tenant=pb&module=tl")["records"][0]["problem"]["part"], "disclosure");
        assert_eq!(counted(&running), [1.0; 2]);
    }
    // It is known from then on.
    let running = running.restarted_after(|data| {
        data.set_limit("scrub_bytes_per_second", 1 << 30);
    });
    wait_for("a pass", || figure(&running.server, "cairn_scrub_passes_total") >= 1.0);
    assert_eq!(running.read(&format!("/v1/records/{bad}")).status, 500);
    assert_eq!((counted(&running), incidents(&running.data).len()), ([0.0; 2], 1));
}

/// What an object was before a record says nothing about that record, be it damaged.
#[test]
fn states_and_differences_of_points_before_a_damaged_record_are_told() {
    let running = Running::start();
    for number in 0..9 {
        running.brought(&record("pb", "1", if number == 0 { "create" } else { "update" }));
    }
    let stream = "/v1/streams/entity/pb/tl/license/1";
    let history = running.shown(stream);
    let time = |seq: usize| history["records"][seq]["view"]["server_time"].as_str().unwrap().to_owned();
    let good: Vec<String> = [
        "state?at=3".to_owned(),
        "state?at=6".to_owned(),
        format!("state?at={}", time(6)),
        "diff?from=1&to=3".to_owned(),
        "diff?to=6".to_owned(),
        format!("diff?from={}&to=5", time(2)),
        format!("diff?from=1&to={}", time(6)),
    ]
    .map(|asked| format!("{stream}/{asked}"))
    .into();
    let told = |running: &Running, target: &str| {
        let mut told = running.shown(target);
        // The incident's record comes meanwhile.
        for name in ["checkpoint", "complete_to"] {
            assert!(told.as_object_mut().unwrap().remove(name).is_some());
        }
        told
    };
    let before: Vec<Value> = good.iter().map(|target| told(&running, target)).collect();
    let running = running.restarted_after(|data| edit(data, 7, |row| *row.last_mut().unwrap() ^= 1));
    for (target, before) in good.iter().zip(&before) {
        assert_eq!(&told(&running, target), before, "{target}");
    }
    let later = format!("state?at={}", time(7));
    for asked in ["state", "state?at=7", "state?at=8", "diff?from=3", "diff?from=7&to=3", &later] {
        let refused = running.read(&format!("{stream}/{asked}"));
        let problem = json_of(&refused);
        assert_eq!((refused.status, &problem["value"]), (500, &"7".into()), "{asked}: {problem}");
    }
    // Corrections act in places before their own, so that each record matters.
    assert_eq!(running.read(&format!("{stream}/state?at=3&view=corrected")).status, 500);
}
