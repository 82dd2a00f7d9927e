//! Damage in a log that has ended and is not halted: it is looked at as soon as somebody's record is looked for there, so
//! that the log after it goes on; and what can still be told of its records is told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use cairn_tests::http::{Connection, Request, Response};
use cairn_tests::server::{Data, cairnd};
use cairn_tree::store::{KeyRange, Kind, LogId};
use serde_json::{Value, json};

use super::erased::{digests, erase, name_of, redact};
use super::keyless::take;
use super::once::{EXISTS, moved, refused, seal, size, told, with_id};
use super::{Running, found, json_of, post, record};
use crate::damage::figure;

const DAMAGED: &str = "urn:cairn:problem:damaged";

/// A log with a full bundle and another that was begun, of which nothing is known but the ids, sealed, and no scrubber.
fn full() -> (Running, Vec<Value>) {
    let running = Running::start_with(|data| data.set_limit("scrub_bytes_per_second", 0));
    let all: Vec<Value> =
        (0..300).map(|number| with_id(record("pb", &(number % 2).to_string(), "update"), number)).collect();
    running.brought(&json!(all));
    seal(&running, "main", "second");
    (running, all)
}

fn state(running: &Running, log: &str) -> String {
    let listed = cairnd(running.data.path(), &["log", "list"]);
    let line = listed.stdout.lines().find(|line| line.contains(&format!("/{log} ")) || line.starts_with(log));
    line.unwrap_or_else(|| panic!("{listed:?}")).to_owned()
}

fn incidents(data: &Data) -> Vec<Value> {
    let file = std::fs::read_to_string(data.path().join("incidents.jsonl")).unwrap_or_default();
    let lines = file.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == "damage").collect()
}

/// What an answer says of the first record: its log, and whether it was there before.
fn first(running: &Running, answer: &Response) -> (String, Value) {
    (told(running, answer).0, json_of(answer)["records"][0]["replayed"].clone())
}

/// Nobody waits for the scrubber: the first who asks has the log looked at, which is halted, and is answered.
#[test]
fn a_cut_row_of_a_sealed_log_keeps_nobody_from_the_next() {
    let row = KeyRange::numbers(LogId::new(1), Kind::BundlePart, 0..256);
    let known = |all: &[Value]| all[299].clone();
    let new = |_: &[Value]| with_id(record("pb", "9", "create"), 900);
    let plain = |_: &[Value]| record("pb", "8", "create");
    type Brought = fn(&[Value]) -> Value;
    for brought in [known as Brought, new, plain] {
        let (running, all) = full();
        let cut = |data: &Data| found::edit(data, &row, |row| row.truncate(row.len() - 1));
        let running = running.restarted_after(cut);
        assert!(state(&running, "main").contains("sealed"), "{}", state(&running, "main"));
        let answer = running.ask_with(&running.data.token, post(&brought(&all)).with("idempotency-key", "k"));
        assert_eq!(first(&running, &answer), ("second".into(), Value::Null));
        assert!(state(&running, "main").contains("halted"), "{}", state(&running, "main"));
        assert!(figure(&running.server, "cairn_read_findings_total") >= 1.0);
        let lines = incidents(&running.data);
        assert_eq!(lines.iter().map(|line| &line["kind"]).collect::<Vec<_>>(), ["bundle"], "{lines:?}");
        // What is in the log after it is there once.
        let again = running.ask_with(&running.data.token, post(&brought(&all)).with("idempotency-key", "k"));
        assert_eq!(first(&running, &again), ("second".into(), json!(true)));
    }
}

/// An entry that is not what the tree has is found by nothing: that it is not found says nothing, until the log is halted.
#[test]
fn what_a_sealed_log_has_is_not_recorded_anew_before_it_is_halted() {
    let (running, all) = full();
    let row = KeyRange::numbers(LogId::new(1), Kind::BundlePart, 0..256);
    let running = running.restarted_after(|data| {
        found::edit(data, &row, |row| {
            let id = all[0]["id"].as_str().unwrap().as_bytes();
            let at = row.windows(id.len()).position(|bytes| bytes == id).expect("the id");
            row[at + id.len() - 1] ^= 1;
        });
    });
    let bring = |body: &Value| first(&running, &running.bring(body));
    assert_eq!(bring(&all[0]), ("second".into(), Value::Null), "the log is halted by then");
    assert!(state(&running, "main").contains("halted"), "{}", state(&running, "main"));
    assert_eq!(incidents(&running.data).len(), 1);
    // What it can show it answers for.
    assert_eq!(bring(&all[299]), ("main".into(), json!(true)));
    assert_eq!(bring(&all[0]), ("second".into(), json!(true)));
}

/// The secret that its records are found by: told at the start, and the log after it goes on.
#[test]
fn a_sealed_log_that_lost_the_key_of_its_prints_is_halted_and_keeps_nobody_from_the_next() {
    for lost in [true, false] {
        let (running, all) = full();
        let running = running.restarted_after(|data| {
            let secret = KeyRange::all(LogId::new(1), Kind::PrintSecret);
            match lost {
                true => drop(take(data, 1, Kind::PrintSecret)),
                false => found::edit(data, &secret, |row| row[3] ^= 1),
            }
        });
        assert!(state(&running, "main").contains("halted"), "{}", state(&running, "main"));
        let bring = |body: &Value| first(&running, &running.bring(body));
        assert_eq!(bring(&record("pb", "9", "create")), ("second".into(), Value::Null));
        assert_eq!(bring(&all[299]), ("second".into(), Value::Null), "what it has nobody can tell");
        assert_eq!(bring(&all[299]), ("second".into(), json!(true)));
        let answer = running.read(&format!("/v1/records/{}", all[7]["id"].as_str().unwrap()));
        assert_eq!((answer.status, &json_of(&answer)["type"]), (500, &json!(DAMAGED)));
        let answer = running.read("/v1/records?tenant=pb&log=main");
        assert_eq!((answer.status, &json_of(&answer)["type"]), (500, &json!(DAMAGED)));
    }
}

/// Many at once: whoever comes while it is looked at may have to come again, and each record is there once.
#[test]
fn those_who_come_while_a_sealed_log_is_looked_at_come_again_at_most() {
    let (running, _) = full();
    let row = KeyRange::numbers(LogId::new(1), Kind::BundlePart, 0..256);
    let running = running.restarted_after(|data| found::edit(data, &row, |row| row.truncate(row.len() - 1)));
    let any = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..8_u64 {
            let (address, token, any) = (running.server.address(), running.data.token.clone(), &any);
            scope.spawn(move || {
                let mut connection = Connection::open(address).unwrap();
                let request = post(&with_id(record("pb", &format!("w{writer}"), "create"), 1_000 + writer))
                    .with("authorization", format!("Bearer {token}"));
                let answered = (0..1_000).any(|_| {
                    let answer = connection.ask(&request).unwrap();
                    assert!([200, 500].contains(&answer.status), "{}", answer.text());
                    answer.status == 200
                });
                any.fetch_or(answered, Ordering::SeqCst);
                assert!(answered, "never answered");
            });
        }
    });
    assert!(any.load(Ordering::SeqCst));
    let page = running.shown("/v1/records?tenant=pb&operation=create");
    assert_eq!(page["records"].as_array().unwrap().len(), 8);
    assert_eq!(incidents(&running.data).len(), 1);
}

/// Of a record whose disclosures are lost the id is known, and whose it was where that can be told.
#[test]
fn a_record_whose_disclosures_are_lost_is_not_recorded_anew_by_the_next_log() {
    let running = Running::start_with(|data| data.set_limit("scrub_bytes_per_second", 0));
    let all: Vec<Value> = [
        ("pb", "1", "create"),
        ("pb", "1", "update"),
        ("pb", "lonely", "create"),
        ("ka", "1", "create"),
        ("ka", "1", "update"),
        ("mh", "lonely", "create"),
    ]
    .into_iter()
    .zip(0..)
    .map(|((tenant, object, operation), number)| with_id(record(tenant, object, operation), number))
    .collect();
    all.iter().for_each(|one| drop(running.brought(one)));
    seal(&running, "main", "second");
    let running = running.restarted_after(|data| [0, 2, 3, 5].into_iter().for_each(|index| erase(data, index)));
    let before = size(&running, "second");
    // Another record of its stream tells whose it is.
    let problem = refused(&running.bring(&all[0]), 409, EXISTS, "/id");
    assert!(problem["detail"].as_str().unwrap().contains("entry 0 of the log localhost/logs/main"), "{problem}");
    let batch = json!([record("pb", "8", "create"), all[0]]);
    refused(&running.bring(&batch), 409, EXISTS, "/1/id");
    // Of these nobody can tell, be it all that the tenant had there.
    for lonely in [&all[2], &all[5]] {
        refused(&running.bring(lonely), 500, DAMAGED, "");
        let keyed = post(lonely).with("idempotency-key", "k");
        refused(&running.ask_with(&running.data.token, keyed), 500, DAMAGED, "");
    }
    assert_eq!(size(&running, "second"), before);
    assert_eq!(running.brought(&all[1])["records"][0]["replayed"], true);
    // It is another's, to whom the id is free.
    let mut taken = all[3].clone();
    taken["object"]["tenant"] = json!("pb");
    assert_eq!(first(&running, &running.bring(&taken)), ("second".into(), Value::Null));
    assert_eq!(first(&running, &running.bring(&record("mh", "9", "create"))), ("second".into(), Value::Null));
}

/// In a log of its own everything is the tenant's.
#[test]
fn in_a_log_of_its_own_a_tenants_lost_record_is_its_own() {
    let running = Running::start_with(|data| data.set_limit("scrub_bytes_per_second", 0));
    let token = moved(&running, "pb", &[]);
    let lonely = with_id(record("pb", "lonely", "create"), 1);
    assert_eq!(running.ask_with(&token, post(&lonely)).status, 200);
    seal(&running, "pb", "pb2");
    let running = running.restarted_after(|data| drop(take(data, 2, Kind::Disclosures)));
    refused(&running.ask_with(&token, post(&lonely)), 409, EXISTS, "/id");
    assert_eq!(size(&running, "pb2"), 1);
}

/// What was erased does not come back by way of the next log: what says that it was erased says whose it was.
#[test]
fn what_was_erased_in_an_earlier_log_is_not_recorded_anew() {
    let running = Running::start_with(|data| data.set_limit("scrub_bytes_per_second", 0));
    let gone = with_id(record("pb", "2", "create"), 2);
    let id = running.brought(&gone)["records"][0]["id"].as_str().unwrap().to_owned();
    let all = digests(&running.shown(&format!("/v1/records/{id}"))["record"]);
    let running = running.restarted_after(|data| {
        redact(data, (&id, 0), &all, &name_of("2"));
        erase(data, 0);
        assert_eq!(cairnd(data.path(), &["index", "rebuild"]).code, Some(0));
    });
    let here = refused(&running.bring(&gone), 409, EXISTS, "/id");
    seal(&running, "main", "second");
    let there = refused(&running.bring(&gone), 409, EXISTS, "/id");
    assert_eq!((&here["value"], &here["pointer"]), (&there["value"], &there["pointer"]));
    let mut taken = gone.clone();
    taken["object"]["tenant"] = json!("ka");
    assert_eq!(first(&running, &running.bring(&taken)), ("second".into(), Value::Null));
}

/// Whatever is asked of sound logs, none is halted.
#[test]
fn nobody_halts_a_sealed_log_by_what_he_brings() {
    let (running, all) = full();
    for body in [all[0].clone(), with_id(record("pb", "9", "create"), 900), record("ka", "1", "update")] {
        assert_eq!(running.bring(&body).status, 200);
    }
    refused(&running.bring(&with_id(record("pb", "1", "delete"), 3)), 409, EXISTS, "/id");
    let raw = running.ask(Request::get("/logs/main/head"));
    assert_eq!(raw.status, 200);
    assert_eq!(figure(&running.server, "cairn_read_findings_total"), 0.0);
    assert!(state(&running, "main").contains("sealed"), "{}", state(&running, "main"));
}
