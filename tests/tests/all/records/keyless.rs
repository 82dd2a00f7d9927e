//! A log that lost what its records are found by: it does not pass for one without records.

use cairn_rocks::{RocksStore, Settings};
use cairn_tests::http::Request;
use cairn_tests::server::{Data, cairnd};
use cairn_tree::store::{Batch, Key, KeyRange, Kind, LogId, Store as _};
use serde_json::{Value, json};

use super::once::with_id;
use super::{Running, json_of, record};
use crate::damage::{figure, wait_for};

const DAMAGED: &str = "urn:cairn:problem:damaged";
const HALTED: &str = "urn:cairn:problem:log-halted";
const SECRET: &str = "key of the records' prints";

/// Takes all rows of a kind away from a log, in a database that nobody has open.
pub(super) fn take(data: &Data, log: u32, kind: Kind) -> Vec<(Key, Vec<u8>)> {
    let store = RocksStore::open(&data.path().join("db"), &Settings::default()).unwrap();
    let rows = store.scan(&KeyRange::all(LogId::new(log), kind), 1_000).unwrap();
    assert!(!rows.is_empty(), "the fault did not fire");
    let mut batch = Batch::new();
    rows.iter().for_each(|(key, _)| batch.delete(key.clone()));
    store.commit(batch).unwrap();
    rows
}

fn put(data: &Data, rows: Vec<(Key, Vec<u8>)>) {
    let store = RocksStore::open(&data.path().join("db"), &Settings::default()).unwrap();
    let mut batch = Batch::new();
    rows.into_iter().for_each(|(key, row)| batch.put(key, row));
    store.commit(batch).unwrap();
}

/// That nothing is said of its records, and nothing comes into it.
fn assert_damaged(running: &Running, known: &Value) {
    let id = known["id"].as_str().unwrap();
    for target in [
        &format!("/v1/records/{id}"),
        "/v1/records/01939f5a-7c00-7a3b-8c4d-5e6f708192a3",
        "/v1/records?tenant=pb",
        "/v1/streams/entity/pb/tl/license/1",
        "/v1/streams/entity/pb/tl/license/1/state",
        "/v1/reports?tenant=pb&by=module",
    ] {
        let answer = running.read(target);
        assert_eq!((answer.status, &json_of(&answer)["type"]), (500, &json!(DAMAGED)), "{target}");
    }
    for body in [known.clone(), record("pb", "9", "create")] {
        let answer = running.bring(&body);
        assert_eq!((answer.status, &json_of(&answer)["type"]), (500, &json!(DAMAGED)));
    }
    let raw = running.ask_with(&running.data.token, Request::post("/logs/main/entries", "x"));
    assert_eq!((raw.status, &json_of(&raw)["type"]), (503, &json!(HALTED)));
    assert_eq!(running.size(), 3);
    // Entries are read all the same.
    assert_eq!(running.ask(Request::get("/logs/main/tile/entries/000.p/3")).status, 200);
}

fn with_three_records(set: impl FnOnce(&Data)) -> (Running, Value) {
    let running = Running::start_with(set);
    let known = with_id(record("pb", "1", "create"), 1);
    running.brought(&json!([known.clone(), record("pb", "2", "create"), record("ka", "1", "create")]));
    (running, known)
}

/// Found by the start, told by every command, and mended with the row of a copy.
#[test]
fn a_log_with_records_and_without_their_key_is_damaged() {
    let (running, known) = with_three_records(|data| data.set_limit("scrub_bytes_per_second", 0));
    let mut taken = Vec::new();
    let running = running.restarted_after(|data| {
        taken = take(data, 1, Kind::PrintSecret);
        let ended = cairnd(data.path(), &["fsck"]);
        assert!(ended.code == Some(1) && ended.stdout.contains(SECRET), "{ended:?}");
        let ended = cairnd(data.path(), &["index", "rebuild"]);
        assert!(ended.code == Some(1) && ended.stderr.contains(SECRET), "{ended:?}");
    });
    assert_damaged(&running, &known);
    let running = running.restarted_after(|data| {
        let ended = cairnd(data.path(), &["log", "list"]);
        assert!(ended.stdout.contains("halted") && ended.stdout.contains(SECRET), "{ended:?}");
    });
    assert_damaged(&running, &known);
    let running = running.restarted_after(|data| {
        put(data, taken);
        let ended = cairnd(data.path(), &["repair"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        data.assert_sound();
    });
    let again = running.brought(&known);
    assert_eq!((&again["records"][0]["replayed"], &again["records"][0]["index"]), (&json!(true), &json!(0)));
    assert_eq!(running.shown("/v1/records?tenant=pb")["records"].as_array().unwrap().len(), 2);
}

/// What a repair says of the row, having mended the database.
fn mended(data: &Data, more: &[&str]) -> Value {
    let checked = cairnd(data.path(), &[&["repair", "--check", "--json"], more].concat());
    assert_eq!(checked.code, Some(3), "{checked:?}");
    let ended = cairnd(data.path(), &[&["repair", "--json"], more].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    data.assert_sound();
    let [checked, said] = [checked, ended].map(|ended| serde_json::from_str::<Value>(&ended.stdout).unwrap());
    assert_eq!(said["wrong"], checked["wrong"]);
    let is_it = |wrong: &&Value| wrong["place"].as_str().unwrap().contains(SECRET);
    let told: Vec<_> = said["wrong"].as_array().unwrap().iter().filter(is_it).collect();
    assert_eq!(told.len(), 1, "{said}");
    told[0].clone()
}

fn back_up(data: &Data) -> String {
    let to = data.path().with_file_name("backups").display().to_string();
    let ended = cairnd(data.path(), &["backup", "--to", &to]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    to
}

/// Every record is found by what it says, comes once, and its stream goes on.
fn assert_found(running: &Running, known: &Value) {
    let again = running.brought(known);
    assert_eq!((&again["records"][0]["replayed"], &again["records"][0]["index"]), (&json!(true), &json!(0)));
    for (query, found) in [("tenant=pb", 2), ("tenant=ka", 1), ("tenant=pb&object=1", 1), ("tenant=pb&object=9", 0)] {
        let shown = running.shown(&format!("/v1/records?{query}"));
        assert_eq!(shown["records"].as_array().unwrap().len(), found, "{query}");
    }
    let next = running.brought(&record("pb", "1", "update"));
    assert_eq!((&next["records"][0]["seq"], &next["records"][0]["index"]), (&json!(1), &json!(3)));
}

/// It is drawn once: any copy that was made since the first record has the right one, and an older one has none.
#[test]
fn the_key_of_records_comes_from_whichever_copy_has_it() {
    for damage in [true, false] {
        let running = Running::start_with(|data| data.set_limit("scrub_bytes_per_second", 0));
        let known = with_id(record("pb", "1", "create"), 1);
        let (mut taken, mut backups) = (Vec::new(), String::new());
        let running = running.restarted_after(|data| drop(back_up(data)));
        running.brought(&json!([known.clone(), record("pb", "2", "create"), record("ka", "1", "create")]));
        let secret = KeyRange::all(LogId::new(1), Kind::PrintSecret);
        let running = running.restarted_after(|data| {
            backups = back_up(data);
            taken = take(data, 1, Kind::PrintSecret);
            if damage {
                put(data, taken.clone());
                super::found::edit(data, &secret, |row| row[3] ^= 1);
            }
            // The newest copy has a bad one; the oldest none.
            back_up(data);
            let told = mended(data, &["--from", &backups]);
            assert_eq!(told["remedy"], "from", "{told}");
            assert!(told["from"].as_str().unwrap().starts_with("generation 2 of"), "{told}");
            assert_eq!(take(data, 1, Kind::PrintSecret), taken, "it is another one");
            put(data, taken.clone());
        });
        assert_found(&running, &known);
    }
}

/// Nobody has it any more: what is found with it is made again with another.
#[test]
fn a_key_of_records_that_nobody_has_is_drawn_anew() {
    let (running, known) = with_three_records(|data| data.set_limit("scrub_bytes_per_second", 0));
    let mut taken = Vec::new();
    let running = running.restarted_after(|data| taken = take(data, 1, Kind::PrintSecret));
    assert_damaged(&running, &known);
    let running = running.restarted_after(|data| {
        let told = mended(data, &[]);
        assert_eq!((&told["remedy"], &told["found"]), (&json!("dropped"), &json!("it is gone")), "{told}");
        for words in ["another is drawn", "whose name was erased", "--from"] {
            assert!(told["means"].as_str().unwrap().contains(words), "{words}: {told}");
        }
        let drawn = take(data, 1, Kind::PrintSecret);
        assert!(drawn.len() == 1 && drawn[0].1 != taken[0].1, "it is the same");
        put(data, drawn);
        let file = std::fs::read_to_string(data.path().join("incidents.jsonl")).unwrap();
        assert!(file.lines().any(|line| line.contains("repaired") && line.contains(SECRET)), "{file}");
    });
    assert_found(&running, &known);
}

/// The same where the row is there and is not what was written.
#[test]
fn a_log_whose_records_key_is_damaged_is_halted_at_the_start() {
    let (running, known) = with_three_records(|data| data.set_limit("scrub_bytes_per_second", 0));
    let secret = KeyRange::all(LogId::new(1), Kind::PrintSecret);
    let running = running.restarted_after(|data| super::found::edit(data, &secret, |row| row[3] ^= 1));
    assert_damaged(&running, &known);
}

/// Nothing but its leaves tells that it has records: the scrubber comes upon them.
#[test]
fn record_leaves_without_anything_beside_them_are_found_by_the_scrubber() {
    let (running, _) = with_three_records(|data| {
        data.set_limit("scrub_bytes_per_second", 1 << 30);
        data.set_limit("scrub_rest_seconds", 1);
    });
    let running = running.restarted_after(|data| {
        take(data, 1, Kind::Disclosures);
        take(data, 1, Kind::PrintSecret);
        let ended = cairnd(data.path(), &["fsck"]);
        assert!(ended.code == Some(1) && ended.stdout.contains(SECRET), "{ended:?}");
    });
    wait_for("the finding", || figure(&running.server, "cairn_scrub_findings_total") >= 1.0);
    wait_for("the halt", || {
        let raw = running.ask_with(&running.data.token, Request::post("/logs/main/entries", "x"));
        raw.status == 503 && json_of(&raw)["type"] == HALTED
    });
    let file = std::fs::read_to_string(running.data.path().join("incidents.jsonl")).unwrap();
    let lines: Vec<Value> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is_it = |line: &&Value| line["event"] == "damage" && line["kind"] == "rows" && line["log"] == "main";
    assert_eq!(lines.iter().filter(is_it).count(), 1, "{file}");
}

/// What has no records yet is no damage: a new log, one of raw entries, one whose first record was refused.
#[test]
fn a_log_that_has_no_records_yet_is_sound() {
    let running = Running::start_with(|data| {
        data.set_limit("scrub_bytes_per_second", 1 << 30);
        data.set_limit("scrub_rest_seconds", 1);
    });
    let raw = |running: &Running| {
        let appended = running.ask_with(&running.data.token, Request::post("/logs/main/entries", "x"));
        assert_eq!(appended.status, 200, "{}", appended.text());
    };
    raw(&running);
    let running = running.restarted_after(Data::assert_sound);
    assert_eq!(running.shown("/v1/records?tenant=pb")["records"], json!([]));
    let mut refused = record("pb", "1", "create");
    refused["object"]["module"] = json!(7);
    assert!((400..500).contains(&running.bring(&refused).status));
    raw(&running);
    let running = running.restarted_after(Data::assert_sound);
    let before = figure(&running.server, "cairn_scrub_passes_total");
    wait_for("a pass", || figure(&running.server, "cairn_scrub_passes_total") >= before + 2.0);
    assert_eq!(figure(&running.server, "cairn_scrub_findings_total"), 0.0);
    assert_eq!(running.brought(&record("pb", "1", "create"))["records"][0]["index"], 2);
    let listed = cairnd(running.data.path(), &["log", "list"]);
    assert!(listed.code == Some(0) && !listed.stdout.contains("halted"), "{listed:?}");
}
