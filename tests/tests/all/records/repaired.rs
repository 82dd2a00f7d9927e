//! A log of records whose tables are damaged, mended from a backup: every record reads back, is found and verifies as before.

use std::path::Path;
use std::process::Command;

use cairn_tests::server::{Data, Ended, program, run};
use serde_json::{Value, json};

use super::{Running, record};
use crate::damage::{flip_in_tables, marked};
use cairn_tests::random::Random;

const OBJECTS: usize = 40;

/// A record with a value that compression leaves as it is in most of its parts.
fn marked_record(object: usize, random: &mut Random) -> (Value, String) {
    let mark: String = marked(random).iter().map(|byte| char::from(b'0' + byte % 43)).collect();
    let mut record = record("pb", &format!("L-{object}"), "create");
    record["attributes"] = json!({"mark": mark});
    (record, mark)
}

/// Flips a bit in the first part of a text that is found in a table.
fn damage(data: &Data, text: &str) {
    let mut parts = text.as_bytes().chunks_exact(14);
    assert!(parts.any(|part| flip_in_tables(data.path(), part) > 0), "the fault did not fire: {text}");
}

fn command(data: &Path, name: &str, more: &[&str]) -> Ended {
    run(Command::new(program("cairnd")).arg(name).arg("--data").arg(data).args(more))
}

/// What a reader sees of every object: its history, with proofs.
fn all(running: &Running) -> Vec<Value> {
    let history = |object| format!("/v1/streams/entity/pb/tl/license/L-{object}?proof=1");
    let records = |object| running.shown(&history(object))["records"].take();
    (0..OBJECTS).map(records).collect()
}

/// What stays the same under a larger head.
fn lasting(records: &[Value]) -> Vec<(&Value, &Value, &Value)> {
    let each = records.iter().flat_map(|records| records.as_array().unwrap());
    each.map(|record| (&record["leaf"], &record["disclosures"], &record["view"])).collect()
}

#[test]
fn damaged_leaves_and_disclosures_are_mended_from_a_backup() {
    let running = Running::start();
    let mut random = Random::for_test("repaired records");
    let (records, marks): (Vec<Value>, Vec<String>) =
        (0..OBJECTS).map(|object| marked_record(object, &mut random)).unzip();
    let brought = running.brought(&json!(records));
    // The digest of a record's values stands in its leaf alone.
    let leaf: Value = serde_json::from_str(
        brought["records"][30]["leaf"].as_str().unwrap().lines().nth(1).expect("the parts of the leaf"),
    )
    .unwrap();
    let digest = leaf["event"]["attributes"][0]["..."].as_str().or(leaf["event"]["attributes"].as_str());
    let digest = digest.unwrap_or_else(|| panic!("{leaf}")).to_owned();
    let before = all(&running);
    // The first start after it writes what it replays to tables; the second finds it there.
    let running = running.restarted().restarted_after(|data| {
        let backups = data.path().with_file_name("backups");
        let backups = backups.to_str().unwrap();
        let ended = command(data.path(), "backup", &["--to", backups]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        damage(data, &marks[7]);
        damage(data, &digest);
        let unsound = command(data.path(), "fsck", &[]);
        assert_eq!(unsound.code, Some(1), "{unsound:?}");
        mend(data, backups);
    });
    assert_eq!(lasting(&all(&running)), lasting(&before));
    let found = running.shown("/v1/records?tenant=pb&object=L-7");
    assert_eq!(found["records"].as_array().unwrap().len(), 1, "{found}");
    // Streams go on where they were.
    let next = running.brought(&record("pb", "L-7", "update"));
    assert_eq!(next["records"][0]["seq"], 1);
    let running = running.restarted();
    assert_eq!(lasting(&all(&running)[8..]), lasting(&before[8..]));
    let Running { data, server, _folder } = running;
    assert_eq!(server.stop().code, Some(0));
    data.assert_sound();
}

fn mend(data: &Data, backups: &str) {
    let missing = command(data.path(), "repair", &[]);
    assert_eq!(missing.code, Some(4), "{missing:?}");
    assert!(missing.stdout.contains("the unfinished bundle (entries 0 to 39)"), "{missing:?}");
    let mended = command(data.path(), "repair", &["--from", backups]);
    assert_eq!(mended.code, Some(0), "{mended:?}");
    for place in ["the unfinished bundle", "disclosures of records"] {
        let line = mended.stdout.lines().find(|line| line.contains(place)).unwrap_or_else(|| panic!("{mended:?}"));
        assert!(line.contains("generation 1"), "{line}");
    }
}

/// Its row can be read, and what stands in it is another's: a copy has what was signed.
#[test]
fn a_disclosure_that_changed_is_mended_from_a_backup() {
    let running = Running::start();
    for object in ["L-1", "L-2", "L-3"] {
        running.brought(&record("pb", object, "create"));
    }
    let history = "/v1/streams/entity/pb/tl/license/L-2";
    let before = running.shown(history)["records"].take();
    let running = running.restarted_after(|data| {
        let backups = data.path().with_file_name("backups");
        let backups = backups.to_str().unwrap();
        assert_eq!(command(data.path(), "backup", &["--to", backups]).code, Some(0));
        super::integrity::edit(data, 1, |row| *row.last_mut().unwrap() ^= 1);
        assert_eq!(command(data.path(), "fsck", &[]).code, Some(1));
        let alone = command(data.path(), "repair", &[]);
        assert!(alone.code == Some(4) && alone.stdout.contains("none of the record's"), "{alone:?}");
        let mended = command(data.path(), "repair", &["--from", backups]);
        assert!(mended.code == Some(0) && mended.stdout.contains("disclosures of records"), "{mended:?}");
        data.assert_sound();
    });
    let after = running.shown(history)["records"].take();
    assert_eq!(lasting(&[after]), lasting(&[before]));
}

/// What stood in the write-ahead log alone: a mirror has such records' entries and none of what they disclose, so that with
/// it alone the repair says what is missing and who has it.
#[test]
fn disclosures_that_the_write_ahead_log_lost_are_missed_and_mended_from_a_backup() {
    let running = Running::start();
    (0..10).for_each(|_| drop(running.brought(&record("pb", "L-1", "update"))));
    // What is replayed is written to tables.
    let running = running.restarted().restarted();
    for _ in 0..20 {
        running.brought(&record("pb", "L-1", "update"));
    }
    let history = "/v1/streams/entity/pb/tl/license/L-1?limit=100";
    let before = running.shown(history)["records"].take();
    assert_eq!(before.as_array().unwrap().len(), 30);
    let Running { data, server, _folder } = running;
    server.kill();
    let copy = Data::at(data.path().with_file_name("copy"), &data);
    crate::scene::copy(data.path(), copy.path());
    // Of the copy: a backup of the database itself would write its write-ahead log to tables.
    let backups = data.path().with_file_name("backups");
    let backups = backups.to_str().unwrap();
    let made = command(copy.path(), "backup", &["--to", backups]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let logs = std::fs::read_dir(data.path().join("db")).unwrap().map(|file| file.unwrap().path());
    let log = logs.filter(|file| file.extension().is_some_and(|ending| ending == "log")).max().unwrap();
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&log, bytes).unwrap();
    let mirror = copy.serve();
    let url = mirror.log_url("main");
    for check in [&["--check"][..], &[]] {
        let alone = command(data.path(), "repair", &[&["--mirror", &url], check].concat());
        assert_eq!(alone.code, Some(4), "{alone:?}");
        let line = alone.stdout.lines().find(|line| line.contains("disclosures of records")).unwrap();
        assert!(line.contains("disclosed is gone") && line.contains("a backup that was made after"), "{line}");
    }
    let mended = command(data.path(), "repair", &["--mirror", &url, "--from", backups]);
    assert_eq!(mended.code, Some(0), "{mended:?}");
    assert!(mended.stdout.contains("taken from generation 1"), "{mended:?}");
    data.assert_sound();
    // No policy was lost with them: the high-water file knows that there was none.
    assert!(mended.stdout.contains("log main, size 30: goes on"), "{mended:?}");
    let running = Running { server: data.serve(), data, _folder };
    assert_eq!(lasting(&[running.shown(history)["records"].take()]), lasting(&[before]));
    assert_eq!(running.brought(&record("pb", "L-1", "update"))["records"][0]["seq"], 30);
}
