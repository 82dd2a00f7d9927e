//! What comes twice, and what comes at the same moment: the same receipts, and one winner.

use std::thread;

use cairn_tests::http::Connection;
use cairn_tests::server::cairnd;
use serde_json::{Value, json};

use super::{Running, json_of, post, record};

/// What an answer says of where records are.
fn places(answer: &Value) -> Vec<(Value, Value, Value)> {
    let records = answer["records"].as_array().unwrap().iter();
    records.map(|record| (record["id"].clone(), record["index"].clone(), record["leaf_hash"].clone())).collect()
}

#[test]
fn a_retry_with_the_same_key_gets_the_same_receipts_across_restarts_too() {
    let running = Running::start();
    let body = json!([record("pb", "1", "create"), record("pb", "1", "update")]);
    let ask = |running: &Running, key: &str, body: &Value| {
        running.ask_with(&running.data.token, post(body).with("idempotency-key", key))
    };
    let first = json_of(&ask(&running, "k1", &body));
    assert_eq!(first["replayed"], Value::Null);
    let again = json_of(&ask(&running, "k1", &body));
    assert_eq!((&again["replayed"], places(&again)), (&json!(true), places(&first)));
    let running = running.restarted();
    let later = json_of(&ask(&running, "k1", &body));
    assert_eq!((&later["replayed"], places(&later)), (&json!(true), places(&first)));
    let other = ask(&running, "k1", &json!([record("pb", "1", "create")]));
    assert_eq!((other.status, &json_of(&other)["type"]), (422, &json!("urn:cairn:problem:idempotency-key-reused")));
    let purpose = post(&body).with("idempotency-key", "k1").with("x-purpose", "another");
    assert_eq!(running.ask_with(&running.data.token, purpose).status, 422, "headers are part of what was asked");
    // Another tenant's and another token's keys are their own.
    assert_eq!(ask(&running, "k1", &json!([record("ka", "1", "create")])).status, 200);
    let token = running.new_token(&["--rights", "append"]);
    assert_eq!(running.ask_with(&token, post(&body).with("idempotency-key", "k1")).status, 200);
    assert_eq!(running.size(), 5);
}

#[test]
fn the_same_event_under_its_id_is_one_record_and_another_is_refused() {
    let running = Running::start();
    let mut one = record("pb", "1", "create");
    one["id"] = json!("01939f5a-7c00-7a3b-8c4d-5e6f708192a3");
    let first = running.brought(&one);
    let again = running.brought(&one);
    assert_eq!((&again["records"][0]["replayed"], places(&again)), (&json!(true), places(&first)));
    let mut other = one.clone();
    other["values"]["whole"]["new"]["fee"] = json!(1201);
    let refused = running.bring(&other);
    let problem = json_of(&refused);
    assert_eq!((refused.status, &problem["pointer"], &problem["value"]), (409, &json!("/id"), &one["id"]));
    // With others, what is there gets its first receipt and the rest is new.
    let mixed = running.brought(&json!([record("pb", "2", "create"), one, record("pb", "2", "update")]));
    assert_eq!(places(&mixed)[1], places(&first)[0]);
    assert_eq!(mixed["records"][2]["seq"], 1);
    let refused = running.bring(&json!([record("pb", "3", "create"), other]));
    assert_eq!((refused.status, &json_of(&refused)["pointer"]), (409, &json!("/1/id")));
    assert_eq!(running.size(), 3);
    let running = running.restarted();
    assert_eq!(places(&running.brought(&one)), places(&first));
    assert_eq!(running.bring(&other).status, 409);
}

#[test]
fn the_same_event_twice_in_one_request_is_one_record_with_one_receipt() {
    let running = Running::start();
    let with_id = |mut record: Value, id: u8| {
        record["id"] = json!(format!("01939f5a-7c00-7a3b-8c4d-5e6f7081920{id}"));
        record
    };
    let one = with_id(record("pb", "1", "create"), 1);
    let ask = |running: &Running, body: &Value, key: &str| {
        json_of(&running.ask_with(&running.data.token, post(body).with("idempotency-key", key)))
    };
    let body = json!([one, record("pb", "1", "update"), one, record("pb", "1", "update"), one]);
    let first = ask(&running, &body, "k");
    let (told, indexes) = (places(&first), |told: &[(Value, Value, Value)]| {
        told.iter().map(|(_, index, _)| index.as_u64().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(indexes(&told), [0, 1, 0, 2, 0], "{first}");
    assert!(told[2] == told[0] && told[4] == told[0]);
    let records = &first["records"];
    assert!(records[0]["leaf"].is_string() && records[0]["proof"].is_array(), "{first}");
    assert!(["leaf", "proof"].iter().all(|part| records[2][part] == records[0][part]), "{first}");
    assert_eq!((&records[0]["replayed"], &records[2]["replayed"]), (&Value::Null, &json!(true)));
    assert_eq!((&records[3]["seq"], running.size()), (&json!(2), 3));
    let again = ask(&running, &body, "k");
    assert_eq!((&again["replayed"], places(&again)), (&json!(true), told));
    // Beside what is there, and what is new twice.
    let two = with_id(record("pb", "2", "create"), 2);
    let mixed = running.brought(&json!([two, one, two, one]));
    assert_eq!(indexes(&places(&mixed)), [3, 0, 3, 0], "{mixed}");
    // The first may say when it was; what says another time, or anything else, is another event.
    let three = with_id(record("pb", "3", "create"), 3);
    let mut timed = three.clone();
    timed["time"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(indexes(&places(&running.brought(&json!([timed, three])))), [4, 4]);
    let four = with_id(record("pb", "4", "create"), 4);
    for (name, value) in [("time", json!("2026-01-01T00:00:00Z")), ("subjects", json!(["person:1"]))] {
        let mut other = four.clone();
        other[name] = value;
        let refused = running.bring(&json!([record("pb", "5", "create"), four, other]));
        assert_eq!((refused.status, &json_of(&refused)["pointer"]), (409, &json!("/2/id")), "{name}");
    }
    assert_eq!(running.size(), 5);
    // A strict module sees one creation.
    let set = ["module", "set", "tl", "--tenant", "pb", "--strict", "on"];
    assert_eq!(cairnd(running.data.path(), &set).code, Some(0));
    assert_eq!(indexes(&places(&running.brought(&json!([four, four])))), [6, 6]);
    running.server.stop();
    running.data.assert_sound();
}

#[test]
fn of_two_who_expect_the_same_head_one_wins_and_the_other_is_told_the_head() {
    let running = Running::start();
    running.brought(&record("pb", "1", "create"));
    let mut update = record("pb", "1", "update");
    update["expected_seq"] = json!(0);
    let racers: Vec<_> = (0..8)
        .map(|_| {
            let (host, token, update) = (running.server.address(), running.data.token.clone(), update.clone());
            let request = post(&update).with("authorization", format!("Bearer {token}"));
            thread::spawn(move || Connection::open(host).unwrap().ask(&request).unwrap())
        })
        .collect();
    let answers: Vec<_> = racers.into_iter().map(|racer| racer.join().unwrap()).collect();
    let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(won.len(), 1);
    let leaf = &json_of(won[0])["records"][0]["leaf_hash"];
    for lost in answers.iter().filter(|answer| answer.status != 200) {
        let problem = json_of(lost);
        assert_eq!((lost.status, &problem["type"]), (409, &json!("urn:cairn:problem:stream-conflict")));
        assert_eq!(problem["stream_head"], json!({"seq": 1, "leaf_hash": leaf}));
    }
    let mut first = record("pb", "2", "create");
    first["expected_seq"] = Value::Null;
    assert_eq!(running.bring(&first).status, 200);
    assert_eq!(running.bring(&first).status, 409, "there must be no record yet");
    let mut after = record("pb", "1", "update");
    after["expected_prev"] = leaf.clone();
    assert_eq!(running.bring(&after).status, 200);
    let mut torn = record("pb", "9", "create");
    torn["expected_seq"] = json!(4);
    let none = running.bring(&torn);
    assert_eq!((none.status, &json_of(&none)["stream_head"]), (409, &json!({"seq": null, "leaf_hash": null})));
    assert_eq!(running.size(), 4);
}
