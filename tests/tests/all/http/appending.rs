//! Appends: where entries are put, what a retry gets, and what a batch is answered.

use std::sync::{Arc, Barrier};

use cairn_tests::http::{Connection, Request, Response};
use cairn_tree::hash::Hash;
use cairn_tree::policy::Trust;
use cairn_tree::wire::append::BatchAnswer;

use super::{Running, encoded, json};

const ENTRIES: &str = "application/vnd.cairn.entries";
const JSON: &str = "application/json";

fn batch(answer: &Response) -> BatchAnswer {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(JSON)), "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

fn indexes(answer: &BatchAnswer) -> Vec<u64> {
    answer.indexes().map(cairn_tree::size::LeafIndex::get).collect()
}

#[test]
fn add_answers_the_bare_index_even_of_nothing() {
    let running = Running::start();
    assert_eq!(running.add("main", b"a"), 0);
    let answer = running.ask_with_token(Request::post("/logs/main/add", "b").with("content-type", "text/anything"));
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"1".as_slice()));
    assert_eq!(running.add("main", b""), 2);
    assert_eq!(running.add("main", &vec![b'x'; 65_535]), 3);
    assert_eq!(running.get("/logs/main/entries/2").body, b"");
    let witnessed = running.ask_with_token(Request::post("/logs/main/add?wait=witnessed", "w"));
    assert_eq!((witnessed.status, witnessed.text()), (200, "4".into()));
}

#[test]
fn a_batch_stands_in_a_row_and_each_receipt_verifies() {
    let running = Running::start();
    let trust = Trust::Log(running.data.main.vkey.parse().unwrap());
    let entries: Vec<Vec<u8>> = (0..300).map(|number| format!("entry {number}").into_bytes()).collect();
    let body = encoded(entries.iter().map(Vec::as_slice));
    running.add("main", b"first");
    let request = Request::post("/logs/main/entries?receipts=1", body.clone()).with("content-type", ENTRIES);
    let answer = batch(&running.ask_with_token(request));
    assert_eq!(indexes(&answer), (1..301).collect::<Vec<_>>());
    let receipts: Vec<_> = answer.receipts().collect();
    assert_eq!(receipts.len(), 300);
    for (receipt, entry) in receipts.iter().zip(&entries) {
        receipt.verify(entry, &trust).unwrap();
    }
    let request = Request::post("/logs/main/entries", body).with("content-type", ENTRIES);
    let plain = running.ask_with_token(request);
    assert_eq!(batch(&plain).first().get(), 301);
    let members: Vec<_> = json(&plain).as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["checkpoint", "count", "first"]);
    let request = Request::post("/logs/main/entries", r#"{"entries":["YQ==","Yg=="]}"#).with("content-type", JSON);
    assert_eq!(indexes(&batch(&running.ask_with_token(request))), [601, 602]);
    assert_eq!(running.get("/logs/main/entries/602").body, b"b");
}

#[test]
fn a_log_with_dedup_gives_the_same_entry_the_same_index() {
    let running = Running::start_with(|data| drop(data.create_log("once", &["--dedup"])));
    assert_eq!(running.add("once", b"a"), 0);
    assert_eq!(running.add("once", b"b"), 1);
    assert_eq!(running.add("once", b"a"), 0);
    let body = encoded([b"c".as_slice(), b"a", b"c", b"d"]);
    let request = Request::post("/logs/once/entries?receipts=1", body).with("content-type", ENTRIES);
    let answer = batch(&running.ask_with_token(request));
    assert_eq!(indexes(&answer), [2, 0, 2, 3]);
    let hashes: Vec<_> = answer.proofs().unwrap().iter().map(|proof| proof.leaf_hash).collect();
    assert_eq!(hashes, [b"c", b"a", b"c", b"d"].map(|entry| Hash::leaf(entry)));
    assert_eq!((running.add("main", b"a"), running.add("main", b"a")), (0, 1));
}

#[test]
fn a_retry_gets_the_same_indexes_also_after_a_restart_and_other_entries_are_refused() {
    let mut running = Running::start();
    let keyed = |body: &str, key: &str| Request::post("/logs/main/entries", body).with("idempotency-key", key);
    let first = json(&running.ask_with_token(keyed("a", "job 1".replace(' ', "-").as_str())));
    running.add("main", b"between");
    let again = json(&running.ask_with_token(keyed("a", "job-1")));
    assert_eq!(first["index"], again["index"]);
    let aliased = Request::post("/logs/main/add", "a").with("x-idempotency-key", "job-1");
    assert_eq!(running.ask_with_token(aliased.clone()).text(), "0");
    let other = running.ask_with_token(keyed("b", "job-1"));
    assert_eq!((other.status, json(&other)["type"].as_str()), (422, Some("urn:cairn:problem:idempotency-key-reused")));

    let ended = running.server.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    running.server = running.data.serve();
    assert_eq!(running.ask_with_token(aliased).text(), "0");
    assert_eq!(running.ask_with_token(keyed("b", "job-1")).status, 422);
    assert_eq!(running.add("main", b"after"), 2);
}

#[test]
fn retries_in_flight_join_the_first() {
    let running = Running::start();
    let barrier = Arc::new(Barrier::new(8));
    let (address, token) = (running.server.address(), running.data.token.clone());
    let askers: Vec<_> = (0..8)
        .map(|_| {
            let (barrier, token) = (Arc::clone(&barrier), token.clone());
            std::thread::spawn(move || {
                let request = Request::post("/logs/main/add", "same").with("idempotency-key", "k");
                let request = request.with("authorization", format!("Bearer {token}"));
                let mut connection = Connection::open(address).unwrap();
                barrier.wait();
                connection.ask(&request).unwrap().text()
            })
        })
        .collect();
    for asker in askers {
        assert_eq!(asker.join().unwrap(), "0");
    }
    assert_eq!(running.add("main", b"next"), 1);
}
