//! Streams that are longer than what is held of one: replayed all the same, and read page by page.

use cairn_tests::http::Request;
use serde_json::{Value, json};

use super::{Running, json_of, record};

/// Records of one stream, more than a replay holds.
const RECORDS: u64 = 10_500;

fn update(number: u64) -> Value {
    json!({
        "object": {"tenant": "pb", "module": "tl", "entity": "license", "id": "1", "operation": "update"},
        "values": {"fields": {"/count": {"new": number}}},
    })
}

fn filled() -> Running {
    let running = Running::start();
    running.brought(&record("pb", "1", "create"));
    for first in (1..RECORDS).step_by(2_000) {
        running.brought(&(first..RECORDS.min(first + 2_000)).map(update).collect());
    }
    running
}

#[test]
fn a_long_stream_has_states_and_differences_at_any_point() {
    let running = filled();
    let stream = "/v1/streams/entity/pb/tl/license/1";
    let state = |query: &str| running.shown(&format!("{stream}/state{query}"));
    let count = |state: &Value| state["states"][0]["document"]["count"].clone();
    let now = state("");
    assert_eq!((count(&now), &now["states"][0]["last"]), (json!(RECORDS - 1), &json!(RECORDS - 1)));
    assert_eq!(now["complete_to"], RECORDS);
    for seq in [0, 1, 499, 500, 501, 10_000, 10_001] {
        let at = state(&format!("?at={seq}"));
        let expected = if seq == 0 { Value::Null } else { json!(seq) };
        assert_eq!((count(&at), &at["states"][0]["last"]), (expected, &json!(seq)), "{seq}");
    }
    let diff = running.shown(&format!("{stream}/diff?from=7&to=10200"));
    let differences = &diff["objects"][0]["differences"];
    assert_eq!((&differences[0]["old"], &differences[0]["new"]), (&json!(7), &json!(10_200)), "{diff}");
    // DIGIT's service asks whether the object is what somebody says.
    let mut said = now["states"][0]["document"].clone();
    let verified = |said: &Value| {
        let body = json!({"objectId": "1", "keyValuePairs": said, "requestInfo": {}});
        running.ask_with(&running.data.auditor, Request::post("/audit-service/log/v1/_verify", body.to_string()))
    };
    let answer = verified(&said);
    assert_eq!(answer.status, 200, "{}", answer.text());
    said["count"] = json!(7);
    assert_eq!(verified(&said).status, 400);
    // What needs the whole history at hand is bounded, and says so.
    let answer = running.read(&format!("{stream}/state?by=producer_time&at=2199-01-01T00:00:00Z"));
    assert_eq!((answer.status, &json_of(&answer)["field"]), (400, &json!("stream")));
}

/// What replays keep from page to page is memory as that of any other answer; nobody waits for more than there is.
#[test]
fn states_that_take_more_than_all_answers_may_are_refused_for_good() {
    let running = Running::start_with(|data| data.set_limit("answers_in_flight_bytes", 1 << 20));
    let mut large = record("pb", "0", "create");
    for field in 0..8 {
        large["values"]["whole"]["new"][format!("large{field}")] = json!("x".repeat(120_000));
    }
    large["context"] = json!({"stream": "wide"});
    for object in 0..12 {
        large["object"]["id"] = json!(object.to_string());
        running.brought(&large);
    }
    let stream = "/v1/streams/named/pb/wide";
    let by_producer = "?by=producer_time&at=2199-01-01T00:00:00Z";
    let states = "at most 1048576 bytes of states";
    // Half of it is others'.
    let records = "at most 10000 records and 524288 bytes of them";
    for (query, bound) in [("", states), ("?view=corrected", states), ("?at=11", states), (by_producer, records)] {
        let refused = running.read(&format!("{stream}/state{query}"));
        let problem = json_of(&refused);
        assert_eq!((refused.status, &problem["field"]), (400, &json!("stream")), "{query}: {problem}");
        assert!(problem["bound"].as_str().unwrap().starts_with(bound), "{query}: {problem}");
    }
    // What is small has its turn, and what was held is free again.
    assert_eq!(running.shown(&format!("{stream}/state?at=0"))["states"].as_array().unwrap().len(), 1);
    let running = running.restarted_after(|data| data.set_limit("answers_in_flight_bytes", 64 << 20));
    assert_eq!(running.shown(&format!("{stream}/state"))["states"].as_array().unwrap().len(), 12);
}

/// Corrections act in the places of what they correct, however far behind those they stand.
#[test]
fn a_long_stream_has_its_corrected_states_too() {
    let running = filled();
    let stream = "/v1/streams/entity/pb/tl/license/1";
    let id = |seq: u64| {
        let page = running.shown(&format!("{stream}?from_seq={seq}&limit=1"));
        page["records"][0]["view"]["id"].clone()
    };
    let correcting = |seq: u64, fields: Value| {
        let mut record = update(0);
        record["replaces"] = id(seq);
        record["values"]["fields"] = fields;
        running.brought(&record)["records"][0]["seq"].clone()
    };
    assert_eq!(correcting(7, json!({"/other": {"new": "corrected"}})), RECORDS);
    // The last correction of a correction is what acts; and the last record is corrected as well.
    assert_eq!(correcting(RECORDS, json!({"/other": {"new": "again"}})), RECORDS + 1);
    assert_eq!(correcting(RECORDS - 1, json!({"/count": {"new": "last"}})), RECORDS + 2);
    let state = |query: &str| running.shown(&format!("{stream}/state?view=corrected{query}"));
    let document = |state: &Value| {
        let document = &state["states"][0]["document"];
        (document["count"].clone(), document["other"].clone())
    };
    let now = state("");
    assert_eq!(document(&now), (json!("last"), json!("again")), "{now}");
    assert_eq!((&now["complete_to"], now["flags"].as_array().map(Vec::len)), (&json!(RECORDS + 3), Some(0)));
    assert_eq!(document(&state("&at=6")), (json!(6), Value::Null));
    assert_eq!(document(&state("&at=7")), (json!(6), json!("again")), "what it corrects said more, and does not act");
    assert_eq!(document(&state("&at=10400")), (json!(10_400), json!("again")));
    let diff = running.shown(&format!("{stream}/diff?from=6&to=7&view=corrected"));
    let differences = diff["objects"][0]["differences"].as_array().unwrap();
    assert_eq!((differences.len(), &differences[0]["pointer"]), (1, &json!("/other")), "{diff}");
}

#[test]
fn a_long_history_is_one_chain_over_its_pages() {
    let running = filled();
    let (mut next, mut seen, mut last, mut hashes) = (String::new(), 0, Value::Null, Vec::new());
    loop {
        let page = running.shown(&format!("/v1/streams/entity/pb/tl/license/1?limit=500{next}"));
        for record in page["records"].as_array().unwrap() {
            assert_eq!((&record["view"]["seq"], &record["view"]["prev"]), (&json!(seen), &last));
            last = record["integrity"]["leaf_hash"].clone();
            hashes.push(last.clone());
            seen += 1;
        }
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, RECORDS);
    // By its number: the first ones are counted, those behind them searched for.
    for seq in [2_047, 2_048, 2_049, 10_200, RECORDS - 1] {
        let page = running.shown(&format!("/v1/streams/entity/pb/tl/license/1?from_seq={seq}&limit=1"));
        let views: Vec<&Value> = page["records"].as_array().unwrap().iter().map(|record| &record["view"]).collect();
        let [view] = views.as_slice() else { panic!("{seq}: {page}") };
        assert_eq!((&view["seq"], &view["prev"]), (&json!(seq), &hashes[seq as usize - 1]), "{seq}");
        assert_eq!(page["records"][0]["integrity"]["leaf_hash"], hashes[seq as usize], "{seq}");
    }
}
