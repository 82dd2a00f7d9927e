//! An index of records that is damaged while its log is sound: the server makes it anew, and what the log has is found.

use cairn_rocks::{RocksStore, Settings};
use cairn_tests::server::Data;
use cairn_tree::store::{Batch, KeyRange, Kind, LogId, Store as _};
use serde_json::{Value, json};

use super::once::{EXISTS, refused, seal, told, with_id};
use super::{Running, json_of, record};
use crate::damage::{figure, wait_for};

/// More records than a start reads without making a run of them.
const RECORDS: u64 = 4_500;

/// The rows of a kind in the log `main`.
fn rows(data: &Data, kind: Kind) -> usize {
    let store = RocksStore::open(&data.path().join("db"), &Settings::default()).unwrap();
    store.scan(&KeyRange::all(LogId::new(1), kind), 10_000).unwrap().len()
}

/// Flips a bit in each row of a kind.
fn flip(data: &Data, kind: Kind) {
    let store = RocksStore::open(&data.path().join("db"), &Settings::default()).unwrap();
    let mut batch = Batch::new();
    let rows = store.scan(&KeyRange::all(LogId::new(1), kind), 10_000).unwrap();
    assert!(!rows.is_empty(), "the fault did not fire");
    for (key, mut row) in rows {
        let middle = row.len() / 2;
        row[middle] ^= 1;
        batch.put(key, row);
    }
    store.commit(batch).unwrap();
}

/// A log with runs, and its records by their numbers.
fn with_runs() -> Running {
    let mut running = Running::start_with(|data| data.set_limit("scrub_bytes_per_second", 0));
    for first in (0..RECORDS).step_by(500) {
        let batch: Vec<Value> = (first..first + 500).map(of_number).collect();
        running.brought(&json!(batch));
    }
    // A start makes a run of what it has to read, beside its work.
    for _ in 0..100 {
        let mut made = 0;
        running = running.restarted_after(|data| made = rows(data, Kind::PostingRun));
        if made > 0 {
            return running;
        }
        running.shown("/v1/records?tenant=pb&object=1&limit=1");
    }
    panic!("no run was made");
}

fn of_number(number: u64) -> Value {
    with_id(record("pb", &(number % 7).to_string(), "update"), number)
}

/// Nobody is answered wrongly meanwhile, and nothing is recorded twice.
#[test]
fn a_damaged_index_of_an_earlier_log_is_made_anew_beside_the_servers_work() {
    for kind in [Kind::PostingRun, Kind::PostingManifest] {
        let running = with_runs();
        seal(&running, "main", "second");
        let running = running.restarted_after(|data| flip(data, kind));
        wait_for("the index", || {
            let answer = running.bring(&of_number(3));
            assert!([200, 500, 503].contains(&answer.status), "{}", answer.text());
            answer.status == 200 && told(&running, &answer).0 == "main"
        });
        for number in [0, 17, RECORDS - 1] {
            let answer = running.bring(&of_number(number));
            assert_eq!(told(&running, &answer).0, "main");
            assert_eq!(json_of(&answer)["records"][0]["replayed"], true);
            let mut other = of_number(number);
            other["object"]["operation"] = json!("delete");
            refused(&running.bring(&other), 409, EXISTS, "/id");
        }
        assert_eq!(told(&running, &running.bring(&of_number(RECORDS + 1))).0, "second");
        let page = running.shown("/v1/records?tenant=pb&object=3&log=main&limit=3");
        assert_eq!(page["records"].as_array().unwrap().len(), 3);
        assert_eq!(page["complete_to"].as_u64(), Some(RECORDS + 1));
        // The log has all that it had.
        assert_eq!(figure(&running.server, "cairn_read_findings_total"), 0.0);
        let said = running.server.stderr();
        assert!(said.contains("an index of records is made anew"), "the fault did not fire: {said}");
        running.server.stop();
        running.data.assert_sound();
    }
}
