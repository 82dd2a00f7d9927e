//! Streams that are longer than what is held of one: replayed all the same, and read page by page.

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
    // What needs the whole history at hand is bounded, and says so.
    for query in ["?view=corrected", "?by=producer_time&at=2199-01-01T00:00:00Z"] {
        let answer = running.read(&format!("{stream}/state{query}"));
        assert_eq!((answer.status, &json_of(&answer)["field"]), (400, &json!("stream")), "{query}");
    }
}

#[test]
fn a_long_history_is_one_chain_over_its_pages() {
    let running = filled();
    let (mut next, mut seen, mut last) = (String::new(), 0, Value::Null);
    loop {
        let page = running.shown(&format!("/v1/streams/entity/pb/tl/license/1?limit=500{next}"));
        for record in page["records"].as_array().unwrap() {
            assert_eq!((&record["view"]["seq"], &record["view"]["prev"]), (&json!(seen), &last));
            last = record["integrity"]["leaf_hash"].clone();
            seen += 1;
        }
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, RECORDS);
}
