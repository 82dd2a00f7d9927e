//! What a read finds to be bad: told in the log itself once it can be, and of what is signed no more until it is mended.

use cairn_rocks::{RocksStore, Settings};
use cairn_tests::http::Request;
use cairn_tests::server::{Data, cairnd};
use cairn_tree::store::{Batch, KeyRange, Kind, LogId, Store as _};
use serde_json::{Value, json};

use super::{Running, json_of, record};
use crate::damage::{figure, wait_for};

/// Records that fill a bundle and begin another.
const RECORDS: usize = 300;

/// Changes a row of the log `main`, in a database that nobody has open.
pub(super) fn edit(data: &Data, range: &KeyRange, change: impl FnOnce(&mut Vec<u8>)) {
    let store = RocksStore::open(&data.path().join("db"), &Settings::default()).unwrap();
    let (key, mut row) = store.scan(range, 1).unwrap().pop().expect("a row");
    let before = row.clone();
    change(&mut row);
    assert_ne!(row, before, "the fault did not fire");
    let mut batch = Batch::new();
    batch.put(key, row);
    store.commit(batch).unwrap();
}

/// A server with so many records that a bundle is full, of two objects in turn, and no scrubber.
fn full() -> Running {
    let running = Running::start();
    running.data.set_limit("scrub_bytes_per_second", 0);
    let all: Vec<Value> = (0..RECORDS).map(|number| record("pb", &(number % 2).to_string(), "update")).collect();
    running.brought(&json!(all));
    running
}

fn incidents(running: &Running, tenant: &str) -> Vec<Value> {
    let page = running.shown(&format!("/v1/records?tenant={tenant}&operation=security.incident"));
    page["records"].as_array().unwrap().clone()
}

/// One record per digest, however often it is read, and after restarts too.
#[test]
fn a_bad_disclosure_is_on_record_once() {
    let running = Running::start();
    let ids: Vec<String> = ["1", "2", "3"]
        .map(|object| running.brought(&record("pb", object, "create"))["records"][0]["id"].as_str().unwrap().to_owned())
        .into();
    let row = |last: u64| KeyRange::numbers(LogId::new(1), Kind::Disclosures, last..last + 1);
    let mut running = running.restarted_after(|data| {
        edit(data, &row(1), |row| *row.last_mut().unwrap() ^= 1);
        // No row at all can be read of this one.
        edit(data, &row(2), |row| row.truncate(row.len() - 1));
    });
    for _ in 0..2 {
        for _ in 0..3 {
            for id in &ids[1..] {
                assert_eq!(running.read(&format!("/v1/records/{id}")).status, 500);
            }
            let page = running.shown("/v1/records?tenant=pb&module=tl");
            let problems = page["records"].as_array().unwrap().iter().filter(|entry| entry["problem"].is_object());
            // The other is found by nothing any more that it said.
            assert_eq!(problems.count(), 1, "{page}");
        }
        // Of the second nobody knows whose it is.
        wait_for("the records", || !incidents(&running, "pb").is_empty() && !incidents(&running, "cairn").is_empty());
        running = running.restarted();
    }
    let told = [incidents(&running, "pb"), incidents(&running, "cairn")];
    assert_eq!((told[0].len(), told[1].len()), (1, 1), "{told:?}");
    for (record, (id, index, fault)) in told.iter().flatten().zip([(&ids[1], 1, "changed"), (&ids[2], 2, "missing")]) {
        let (object, values) = (&record["view"]["object"], &record["view"]["values"]["whole"]);
        assert_eq!((&object["module"], &object["id"]), (&"cairn".into(), &json!(id)));
        assert_eq!((&values["/fault"]["new"], &values["/index"]["new"]), (&fault.into(), &index.into()));
        assert_eq!(values["/digests"]["new"].as_array().unwrap().len(), 1);
    }
    // It excuses nothing.
    assert_eq!(running.read(&format!("/v1/records/{}", ids[1])).status, 500);
}

/// The last record of a stream whose leaf is no record any more is not taken for one that never was.
#[test]
fn a_record_that_is_found_by_nothing_any_more_is_missed() {
    let running = Running::start();
    running.data.set_limit("scrub_bytes_per_second", 0);
    let mut all = vec![record("pb", "lonely", "create")];
    all.extend((1..RECORDS).map(|_| record("pb", "1", "update")));
    let id = running.brought(&json!(all))["records"][0]["id"].as_str().unwrap().to_owned();
    let first = KeyRange::numbers(LogId::new(1), Kind::BundlePart, 0..256);
    let running = running.restarted_after(|data| {
        edit(data, &first, |row| {
            let name = row.windows(13).position(|bytes| bytes == b"cairn.record/").expect("a leaf");
            row[name] ^= 1;
        });
    });
    // Before anybody has read anything of it.
    let again = running.bring(&record("pb", "lonely", "update"));
    assert_eq!((again.status, &json_of(&again)["type"]), (500, &"urn:cairn:problem:damaged".into()));
    assert_eq!(running.read(&format!("/v1/records/{id}")).status, 500, "it may be the one that is damaged");
    for part in ["", "/state", "/state?view=corrected"] {
        let answer = running.read(&format!("/v1/streams/entity/pb/tl/license/1{part}"));
        assert_eq!((answer.status, &json_of(&answer)["complete_to"]), (200, &0.into()), "{part}");
    }
    let page = running.shown("/v1/records?tenant=pb&object=lonely");
    assert_eq!((&page["records"], &page["complete_to"]), (&json!([]), &0.into()));
    assert_eq!(running.shown("/v1/records?tenant=pb&object=1&limit=9")["records"].as_array().unwrap().len(), 9);
    // Nor is anything recorded meanwhile that might stand on it.
    let refused = running.bring(&record("pb", "1", "update"));
    assert_eq!((refused.status, &json_of(&refused)["type"]), (500, &"urn:cairn:problem:damaged".into()));
}

/// A record that the index lacks has its number all the same: the pages around it go on from each other, each record once.
#[test]
fn the_pages_of_a_history_that_lacks_a_record_repeat_none() {
    let running = Running::start();
    running.data.set_limit("scrub_bytes_per_second", 0);
    running.brought(&json!((0..RECORDS).map(|_| record("pb", "1", "update")).collect::<Vec<Value>>()));
    let bundle = KeyRange::numbers(LogId::new(1), Kind::BundlePart, 0..256);
    let running = running.restarted_after(|data| {
        edit(data, &bundle, |row| {
            let leaves = row.windows(13).enumerate().filter(|(_, bytes)| *bytes == b"cairn.record/");
            let (place, _) = leaves.collect::<Vec<_>>()[5];
            row[place] ^= 1;
        });
    });
    for limit in [1, 5, 6, 7, 260] {
        let (mut seen, mut cursor) = (Vec::new(), Some(String::new()));
        while let Some(from) = cursor {
            let page = running.shown(&format!("/v1/streams/entity/pb/tl/license/1?limit={limit}{from}"));
            let records = page["records"].as_array().unwrap();
            assert!(!records.is_empty(), "{page}");
            // The one behind it is told of by its index, which is its number here.
            let number =
                |one: &Value| one["view"]["seq"].as_u64().or_else(|| one["problem"]["index"].as_u64()).unwrap();
            seen.extend(records.iter().map(number));
            cursor = page["next"].as_str().map(|next| format!("&cursor={next}"));
        }
        assert_eq!(seen, (0..RECORDS as u64).filter(|number| *number != 5).collect::<Vec<_>>(), "limit {limit}");
    }
}

/// A bad leaf: the log signs no more, good reads go on, and after a repair it is on record.
#[test]
fn a_bad_leaf_that_a_read_finds_halts_the_log_until_it_is_mended() {
    // The first record of a stream, which is none any more when the next one goes on from it.
    let row = KeyRange::numbers(LogId::new(1), Kind::BundlePart, 0..256);
    let running = full();
    let backups = running.data.path().with_extension("backups");
    let ended = cairnd(running.data.path(), &["backup", "--to", backups.to_str().unwrap()]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let running = running.restarted_after(|data| edit(data, &row, |row| row[40] ^= 1));
    let good = "/v1/streams/entity/pb/tl/license/1?from_seq=140&limit=2";
    assert_eq!(running.shown(good)["records"][1]["view"]["seq"], 141);
    let refused = running.bring(&record("pb", "1", "update"));
    assert_eq!((refused.status, &json_of(&refused)["type"]), (500, &"urn:cairn:problem:damaged".into()));
    let page = running.shown("/v1/streams/entity/pb/tl/license/0?limit=3");
    assert_eq!(page["records"][0]["problem"]["part"], "chain", "{page}");
    assert_eq!((&page["broken_from"], &page["records"][1]["view"]["seq"]), (&2.into(), &2.into()));
    // At once, and for good.
    let halted = |running: &Running| {
        let refused = running.bring(&record("pb", "1", "update"));
        assert_eq!((refused.status, &json_of(&refused)["type"]), (503, &"urn:cairn:problem:log-halted".into()));
        let raw = Request::post("/logs/main/entries", "x");
        assert_eq!(running.ask_with(&running.data.token, raw).status, 503);
        assert_eq!(running.shown(good)["records"][0]["view"]["seq"], 140);
    };
    halted(&running);
    assert!(figure(&running.server, "cairn_read_findings_total") >= 1.0);
    let size = running.size();
    let running = running.restarted();
    halted(&running);
    let Running { data, server, _folder } = running;
    assert_eq!(server.stop().code, Some(0));
    let file = std::fs::read_to_string(data.path().join("incidents.jsonl")).unwrap();
    let lines: Vec<Value> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["event"] == "damage" && line["kind"] == "bundle"), "{file}");
    let ended = cairnd(data.path(), &["repair", "--from", backups.to_str().unwrap()]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let server = data.serve();
    let running = Running { data, server, _folder };
    let is_it = |record: &Value| {
        let values = &record["view"]["values"]["whole"];
        (&values["/part"]["new"], &values["/event"]["new"]) == (&"bundle".into(), &"damage".into())
    };
    wait_for("the incident's record", || incidents(&running, "cairn").iter().any(is_it));
    assert_eq!(running.bring(&record("pb", "1", "update")).status, 200);
    assert!(running.size() > size);
    assert_eq!(running.shown("/v1/streams/entity/pb/tl/license/0?limit=3")["records"][0]["view"]["seq"], 0);
}

/// A store that can't be read, and what callers ask for, halt nothing.
#[test]
fn nobody_halts_a_log_by_what_he_asks() {
    let running = full();
    for target in [
        "/v1/records?tenant=pb&object=nobody",
        "/v1/streams/entity/pb/tl/license/0?from_seq=99999",
        "/v1/streams/entity/other/tl/license/0",
        "/v1/records/01939f5a-7c00-7a3b-8c4d-5e6f708192a3",
        "/v1/streams/entity/pb/tl/license/0/diff?from=7&to=2",
    ] {
        let answer = running.read(target);
        assert!(answer.status == 200 || answer.status == 404, "{target}: {}", answer.text());
    }
    assert_eq!(figure(&running.server, "cairn_read_findings_total"), 0.0);
    assert_eq!(running.bring(&record("pb", "1", "update")).status, 200);
}
