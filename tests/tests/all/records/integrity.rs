//! What is stored of a record and is not what was signed: nobody gets it, and it is reported once.

use std::fs;

use cairn_rocks::{RocksStore, Settings};
use cairn_tests::server::Data;
use cairn_tree::store::{Batch, Key, Kind, LogId, Store as _};
use serde_json::Value;

use super::{Running, json_of, record};

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
    let running = running.restarted_after(|data| edit(data, 1, |row| *row.last_mut().unwrap() ^= 1));
    let paths = [
        format!("/v1/records/{bad}"),
        format!("/v1/records/{bad}/receipt"),
        "/v1/records?tenant=pb&object=2".to_owned(),
        "/v1/streams/entity/pb/tl/license/2".to_owned(),
        "/v1/streams/entity/pb/tl/license/2/state".to_owned(),
    ];
    for path in paths.iter().chain(&paths) {
        let answer = running.read(path);
        let problem = json_of(&answer);
        assert_eq!((answer.status, problem["type"].as_str()), (500, Some("urn:cairn:problem:integrity")), "{path}");
        assert!(!answer.text().contains("Ada"), "{path}");
    }
    running.shown(&format!("/v1/records/{good}"));
    let running = running.restarted_after(|_| {});
    assert_eq!(running.read(&paths[0]).status, 500);
    let told = incidents(&running.data);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["event"], &told[0]["kind"], &told[0]["first"]),
        (&"integrity".into(), &"disclosure".into(), &1.into())
    );
    // What else the log has goes on.
    assert_eq!(running.bring(&record("pb", "1", "update")).status, 200);
}
