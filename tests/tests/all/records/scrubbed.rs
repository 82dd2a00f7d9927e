//! What the scrubber finds of records, without anybody reading them: disclosures that are not what was signed, and such that
//! are there again though they were erased.

use std::fs;

use cairn_tests::random::Random;
use cairn_tests::server::{Data, cairnd};
use serde_json::{Value, json};

use super::erased::{digests, erase, name_of, redact, redaction_of, row_of};
use super::integrity::edit;
use super::{Running, json_of, record};
use crate::damage::{figure, flip_in_tables, marked, wait_for};

/// A server whose scrubber is always at it.
fn scrubbed(data: &Data) {
    data.set_limit("scrub_bytes_per_second", 1 << 30);
    data.set_limit("scrub_rest_seconds", 1);
}

fn lines(data: &Data) -> Vec<Value> {
    let file = fs::read_to_string(data.path().join("incidents.jsonl")).unwrap_or_default();
    file.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn told(running: &Running, tenant: &str) -> Vec<Value> {
    let page = running.shown(&format!("/v1/records?tenant={tenant}&operation=security.incident"));
    page["records"].as_array().unwrap().clone()
}

/// Waits until a pass that begins from now on is whole.
fn pass(running: &Running) {
    let before = figure(&running.server, "cairn_scrub_passes_total");
    wait_for("a pass", || figure(&running.server, "cairn_scrub_passes_total") >= before + 2.0);
}

#[test]
fn bytes_of_a_disclosure_that_flip_under_a_running_server_are_found_without_any_read() {
    let running = Running::start_with(scrubbed);
    let mut random = Random::for_test("scrubbed records");
    let mark: String = marked(&mut random).iter().map(|byte| char::from(b'0' + byte % 43)).collect();
    let mut bad = record("pb", "bad", "create");
    // So long that the next one is not in the same block of a table.
    let long = (0..4_000).map(|_| random.number().to_string()).collect::<String>();
    bad["attributes"] = json!({"mark": mark, "zlong": long});
    let bad = running.brought(&bad)["records"][0]["id"].as_str().unwrap().to_owned();
    let good = running.brought(&record("pb", "good", "create"))["records"][0]["id"].as_str().unwrap().to_owned();
    // The first start after it writes what it replays to tables; the second finds it there.
    let running = running.restarted().restarted();
    pass(&running);
    assert!(figure(&running.server, "cairn_scrub_records_total") >= 2.0);
    assert_eq!((figure(&running.server, "cairn_scrub_record_findings_total"), lines(&running.data).len()), (0.0, 0));
    let mut parts = mark.as_bytes().chunks_exact(14);
    assert!(parts.any(|part| flip_in_tables(running.data.path(), part) > 0), "the fault did not fire");
    wait_for("the finding", || figure(&running.server, "cairn_scrub_record_findings_total") >= 1.0);
    wait_for("the record", || !told(&running, "cairn").is_empty());
    pass(&running);
    // Once, however often it comes by.
    assert_eq!(figure(&running.server, "cairn_scrub_record_findings_total"), 1.0);
    let of_record = |line: &&Value| (&line["event"], &line["kind"]) == (&json!("integrity"), &json!("disclosure"));
    let all = lines(&running.data);
    assert_eq!(all.iter().filter(of_record).map(|line| line["first"].clone()).collect::<Vec<_>>(), [json!(0)]);
    let on_record = told(&running, "cairn");
    assert_eq!((on_record.len(), &on_record[0]["view"]["object"]["id"]), (1, &json!(bad)));
    let refused = running.read(&format!("/v1/records/{bad}"));
    assert_eq!((refused.status, &json_of(&refused)["type"]), (500, &json!("urn:cairn:problem:integrity")));
    // Nothing else stops.
    running.shown(&format!("/v1/records/{good}"));
    running.brought(&record("pb", "good", "update"));
    assert_eq!(told(&running, "cairn").len(), 1);
}

#[test]
fn a_disclosure_that_changed_is_told_as_a_read_tells_it() {
    let running = Running::start_with(scrubbed);
    let ids: Vec<String> = ["1", "2", "3"]
        .map(|object| running.brought(&record("pb", object, "create"))["records"][0]["id"].as_str().unwrap().to_owned())
        .into();
    let mut running = running.restarted_after(|data| {
        edit(data, 1, |row| *row.last_mut().unwrap() ^= 1);
        let ended = cairnd(data.path(), &["fsck"]);
        assert!(ended.code == Some(1) && ended.stdout.contains("record 1"), "{ended:?}");
    });
    for _ in 0..2 {
        wait_for("the record", || !told(&running, "pb").is_empty());
        pass(&running);
        let all = lines(&running.data);
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!((&all[0]["event"], &all[0]["found"]), (&json!("integrity"), &json!("changed")));
        let on_record = told(&running, "pb");
        assert_eq!((on_record.len(), &on_record[0]["view"]["object"]["id"]), (1, &json!(ids[1])));
        assert_eq!(running.read(&format!("/v1/records/{}", ids[1])).status, 500);
        running.shown(&format!("/v1/records/{}", ids[2]));
        running = running.restarted();
    }
}

/// An old copy brought back what was erased: nobody sees it, and it goes again.
#[test]
fn what_was_erased_and_is_there_again_is_shown_to_nobody_and_goes() {
    let running = Running::start_with(|data| data.set_limit("scrub_bytes_per_second", 0));
    let all = json!([record("pb", "1", "create"), record("pb", "2", "create"), record("pb", "2", "update")]);
    let brought = running.brought(&all);
    let id = brought["records"][1]["id"].as_str().unwrap().to_owned();
    let all = digests(&running.shown(&format!("/v1/records/{id}"))["record"]);
    let mut at = 0;
    let running = running.restarted_after(|data| at = redact(data, (&id, 1), &all, &name_of("2")));
    let check = |running: &Running| {
        let answer = running.shown(&format!("/v1/records/{id}"));
        assert_eq!(answer["record"]["disclosures"], json!([]), "{answer}");
        assert_eq!(answer["record"]["view"]["subjects"], json!({"erased": at}), "{answer}");
        assert_eq!(answer["redactions"].as_array().unwrap().len(), 1);
        let found = running.shown("/v1/records?tenant=pb&subject=person:4711");
        let indexes: Vec<&Value> =
            found["records"].as_array().unwrap().iter().map(|one| &one["integrity"]["index"]).collect();
        assert_eq!(indexes, [&json!(2), &json!(0)]);
        let history = running.shown("/v1/streams/entity/pb/tl/license/2?proof=1");
        assert_eq!(history["records"][0]["disclosures"], json!([]));
        assert_eq!(history["records"][1]["view"]["subjects"], json!(["person:4711"]));
    };
    check(&running);
    assert!(lines(&running.data).is_empty());
    let running = running.restarted_after(|data| {
        assert!(row_of(data, 2).is_some_and(|row| row.len() > 2_000), "all three are in one row");
        scrubbed(data);
    });
    wait_for("the erasure", || figure(&running.server, "cairn_scrub_returned_total") >= 1.0);
    pass(&running);
    check(&running);
    let returned = lines(&running.data);
    assert_eq!(returned.len(), all.len());
    assert!(returned.iter().all(|line| line["event"] == "returned" && line["first"] == 1), "{returned:?}");
    assert_eq!(figure(&running.server, "cairn_scrub_returned_total"), all.len() as f64);
    let running = running.restarted_after(|data| data.assert_sound());
    check(&running);
}

/// What names a redaction record erases nothing of it, whether its disclosures are there or not.
#[test]
fn what_is_said_to_erase_a_redaction_record_takes_nothing_away() {
    let running = Running::start_with(scrubbed);
    let id = running.brought(&record("pb", "1", "create"))["records"][0]["id"].as_str().unwrap().to_owned();
    let all = digests(&running.shown(&format!("/v1/records/{id}"))["record"]);
    let mut at = 0;
    let running = running.restarted_after(|data| {
        at = redact(data, (&id, 0), &all, &name_of("1"));
        erase(data, 0);
    });
    let (redaction, own) = redaction_of(&running, &id);
    let running = running.restarted_after(|data| {
        redact(data, (&own, at), &digests(&redaction), &name_of("1"));
    });
    pass(&running);
    assert_eq!(figure(&running.server, "cairn_scrub_returned_total"), 0.0);
    let shown = running.shown(&format!("/v1/records/{id}"));
    assert_eq!(shown["record"]["view"]["actor"], json!({"erased": at}), "{shown}");
    let shown = running.shown(&format!("/v1/records/{own}"));
    assert_eq!(shown["record"]["view"]["object"]["operation"], "record.redaction");
    assert!(shown.get("redactions").is_none(), "{shown}");
    let running = running.restarted_after(|data| {
        let ended = cairnd(data.path(), &["fsck"]);
        assert!(ended.code == Some(1) && ended.stdout.contains("of which nothing is erased"), "{ended:?}");
    });
    drop(running);
}

/// Nor of one that is damaged itself: what is left of it stays.
#[test]
fn a_damaged_redaction_record_that_another_one_names_loses_nothing_more() {
    let running = Running::start_with(scrubbed);
    let id = running.brought(&record("pb", "1", "create"))["records"][0]["id"].as_str().unwrap().to_owned();
    let all = digests(&running.shown(&format!("/v1/records/{id}"))["record"]);
    let mut at = 0;
    let running = running.restarted_after(|data| {
        at = redact(data, (&id, 0), &all, &name_of("1"));
        erase(data, 0);
    });
    let (redaction, own) = redaction_of(&running, &id);
    let mut left = None;
    let running = running.restarted_after(|data| {
        redact(data, (&own, at), &digests(&redaction), &name_of("1"));
        edit(data, at, |row| *row.last_mut().unwrap() ^= 1);
        left = row_of(data, at);
    });
    pass(&running);
    assert_eq!(figure(&running.server, "cairn_scrub_returned_total"), 0.0);
    let refused = running.read(&format!("/v1/records/{own}"));
    assert_eq!((refused.status, &json_of(&refused)["type"]), (500, &json!("urn:cairn:problem:integrity")));
    drop(running.restarted_after(|data| assert!(left.is_some() && row_of(data, at) == left)));
}
