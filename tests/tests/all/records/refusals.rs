//! What is not taken as a record: each refusal names its place and its bound, nothing of the request is written, and
//! nothing is the server's fault.

use cairn_tests::http::Request;
use serde_json::{Value, json};

use super::{Running, json_of, post, record};

/// A record with something changed.
fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut record = record("pb", "1", "create");
    change(&mut record);
    record
}

#[test]
fn bad_records_are_refused_with_their_place_and_bound() {
    let running = Running::start();
    let deep = format!("{}1{}", "[".repeat(70), "]".repeat(70));
    let long = "x".repeat(300);
    let cases: Vec<(String, u16, &str)> = vec![
        ("".into(), 400, ""),
        ("{".into(), 400, ""),
        ("null".into(), 422, ""),
        ("[]".into(), 422, ""),
        ("{}".into(), 422, "/object"),
        (r#"{"topics":["a"],"topics":["b"]}"#.into(), 400, "/topics"),
        (with(|r| r["objekt"] = json!({})).to_string(), 422, "/objekt"),
        (with(|r| r["object"]["tenant"] = json!(7)).to_string(), 422, "/object/tenant"),
        (with(|r| r["object"]["tenant"] = json!("")).to_string(), 422, "/object/tenant"),
        (with(|r| r["object"]["id"] = json!(long)).to_string(), 422, "/object/id"),
        (with(|r| r["object"]["operation"] = json!("Create")).to_string(), 422, "/object/operation"),
        (with(|r| r["object"]["module"] = json!("cairn")).to_string(), 422, "/object"),
        (with(|r| r["id"] = json!("01939f5a-7c00-1a3b-8c4d-5e6f708192a3")).to_string(), 422, "/id"),
        (with(|r| r["time"] = json!("yesterday")).to_string(), 422, "/time"),
        (with(|r| r["time"] = json!("2999-01-01T00:00:00Z")).to_string(), 422, "/time"),
        (with(|r| r["expected_seq"] = json!(-1)).to_string(), 422, "/expected_seq"),
        (with(|r| r["expected_prev"] = json!("abc")).to_string(), 422, "/expected_prev"),
        (with(|r| r["values"] = json!({})).to_string(), 422, "/values"),
        (with(|r| r["classification"] = json!({"default": "hidden"})).to_string(), 422, "/classification/default"),
        (with(|r| r["topics"] = json!([])).to_string(), 422, "/topics"),
        (r#"{"object":{"id":"\ud800"}}"#.into(), 400, "/object/id"),
        (format!(r#"{{"attributes":{{"a":{deep}}}}}"#), 422, "/attributes/a"),
    ];
    for (body, status, pointer) in cases {
        let request = Request::post("/v1/records", body.clone()).with("content-type", "application/json");
        let answer = running.ask_with(&running.data.token, request);
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{body}");
        let problem = json_of(&answer);
        let found = problem["pointer"].as_str().unwrap_or("none");
        assert!(found.starts_with(pointer), "{body}: {problem}");
        assert!(problem["bound"].is_string(), "{body}: {problem}");
    }
    let utf8 = Request::post("/v1/records", b"{\"a\":\"\xff\"}".to_vec()).with("content-type", "application/json");
    assert_eq!(running.ask_with(&running.data.token, utf8).status, 400);
    assert_eq!(running.size(), 0);
}

#[test]
fn one_bad_record_refuses_its_batch_and_says_which() {
    let running = Running::start();
    let bad = with(|record| record["object"]["operation"] = json!("NO"));
    let array = running.bring(&json!([record("pb", "1", "create"), record("pb", "2", "create"), bad]));
    assert_eq!((array.status, &json_of(&array)["pointer"]), (422, &json!("/2/object/operation")));
    let lines = format!("{}\n\n{}\n", record("pb", "1", "create"), bad);
    let lines = Request::post("/v1/records", lines).with("content-type", "application/x-ndjson");
    let lines = running.ask_with(&running.data.token, lines);
    assert_eq!((lines.status, &json_of(&lines)["pointer"]), (422, &json!("/1/object/operation")));
    // What only the sequencer sees refuses all as well.
    let second = with(|record| record["expected_seq"] = json!(7));
    let conflict = running.bring(&json!([record("pb", "9", "create"), second]));
    assert_eq!((conflict.status, &json_of(&conflict)["pointer"]), (409, &json!("/1")));
    assert_eq!(running.size(), 0);
}

#[test]
fn the_future_is_bounded_and_the_past_is_shown() {
    let running = Running::start();
    let answer = running.bring(&with(|record| record["time"] = json!("2999-01-01T00:00:00Z")));
    let problem = json_of(&answer);
    assert_eq!((answer.status, &problem["value"]), (422, &json!("2999-01-01T00:00:00.000000Z")));
    assert!(problem["bound"].as_str().unwrap().contains("5 minutes"), "{problem}");
    let late = running.brought(&with(|record| record["time"] = json!("2001-01-01T00:00:00Z")));
    let shown = running.shown(&format!("/v1/records/{}", late["records"][0]["id"].as_str().unwrap()));
    assert!(shown["record"]["view"]["late_seconds"].as_u64().unwrap() > 700_000_000, "{shown}");
}

#[test]
fn a_header_that_contradicts_the_body_is_refused() {
    let running = Running::start();
    let trace = |id: &str| format!("00-{id}-00f067aa0ba902b7-01");
    let (one, other) = ("4bf92f3577b34da6a3ce929d0e0e4736", "4bf92f3577b34da6a3ce929d0e0e4737");
    let says = with(|record| {
        record["context"] = json!({"purpose": "licensing", "correlation": "c-1", "traceparent": trace(one)});
    });
    let token = &running.data.token;
    for (name, value, pointer) in [
        ("x-tenant-id", "ka".to_owned(), "/object/tenant"),
        ("x-purpose", "curiosity".to_owned(), "/context/purpose"),
        ("x-trace-id", other.to_owned(), "/context/correlation"),
        ("traceparent", trace(other), "/context/traceparent"),
    ] {
        let answer = running.ask_with(token, post(&says).with(name, value));
        let problem = json_of(&answer);
        assert_eq!((answer.status, &problem["pointer"], &problem["field"]), (400, &json!(pointer), &json!(name)));
        assert_eq!(problem["type"], "urn:cairn:problem:contradiction");
    }
    for (name, value) in [("traceparent", "00-zz"), ("x-tenant-id", ""), ("x-purpose", "")] {
        let answer = running.ask_with(token, post(&says).with(name, value));
        assert_eq!((answer.status, &json_of(&answer)["field"]), (400, &json!(name)), "{}", answer.text());
    }
    assert_eq!(running.size(), 0);
    let agreeing = post(&says).with("x-purpose", "licensing").with("x-trace-id", one).with("x-tenant-id", "pb");
    assert_eq!(running.ask_with(token, agreeing).status, 200);
}

#[test]
fn other_types_and_encodings_are_refused() {
    let running = Running::start();
    let ask = |name, value: &str| {
        let request = Request::post("/v1/records", record("pb", "1", "create").to_string()).with(name, value);
        let answer = running.ask_with(&running.data.token, request);
        (answer.status, json_of(&answer)["field"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(ask("content-type", "text/plain"), (415, "content-type".into()));
    assert_eq!(ask("content-type", "application/cloudevents+xml"), (415, "content-type".into()));
    assert_eq!(ask("content-encoding", "gzip"), (415, "content-encoding".into()));
    assert_eq!(ask("accept", "text/html"), (406, "accept".into()));
    assert_eq!(ask("idempotency-key", "two words"), (400, "idempotency-key".into()));
    let query = Request::post("/v1/records?receipt=1", "{}");
    assert_eq!(running.ask_with(&running.data.token, query).status, 400);
    assert_eq!(running.size(), 0);
}

/// What says whose time is meant, where no time is, is told and not passed over.
#[test]
fn the_producers_times_need_a_time() {
    let running = Running::start();
    running.brought(&json!([record("pb", "1", "create"), record("pb", "1", "update")]));
    let stream = "/v1/streams/entity/pb/tl/license/1";
    let at = "2999-01-01T00:00:00Z";
    for query in [
        "state?by=producer_time",
        "state?by=producer_time&view=corrected",
        "diff?by=producer_time",
        &format!("diff?by=producer_time&from={at}"),
    ] {
        let answer = running.read(&format!("{stream}/{query}"));
        assert_eq!((answer.status, &json_of(&answer)["field"]), (400, &json!("by")), "{query}: {}", answer.text());
    }
    for query in
        ["state?by=server_time", &format!("state?by=producer_time&at={at}"), &format!("diff?by=producer_time&to={at}")]
    {
        assert_eq!(running.read(&format!("{stream}/{query}")).status, 200, "{query}");
    }
}

#[test]
fn odd_questions_are_the_askers_mistake() {
    let running = Running::start();
    running.brought(&record("pb", "1", "create"));
    for (target, status) in [
        ("/v1/records", 400),
        ("/v1/records?tenant=", 400),
        ("/v1/records?tenant=pb&limit=0", 400),
        ("/v1/records?tenant=pb&limit=01", 400),
        ("/v1/records?tenant=pb&limit=501", 400),
        ("/v1/records?tenant=pb&limit=18446744073709551616", 400),
        ("/v1/records?tenant=pb&cursor=AAAA", 400),
        ("/v1/records?tenant=pb&cursor=", 400),
        ("/v1/records?tenant=pb&from=now", 400),
        ("/v1/records?tenant=pb&actor=", 400),
        ("/v1/records?tenant=pb&actors=1", 400),
        ("/v1/records?tenant=pb&actor=%00", 400),
        ("/v1/records?tenant=pb&proof=2", 400),
        ("/v1/streams/entity/pb/tl/license/%zz", 400),
        ("/v1/streams/entity/pb/tl/license/%00", 400),
        ("/v1/streams/entity/pb/tl/license", 404),
        ("/v1/streams/entity/pb/tl/license/1?from_seq=18446744073709551616", 400),
        ("/v1/streams/entity/pb/tl/license/1?from_seq=9223372036854775806", 200),
        ("/v1/streams/entity/pb/tl/license/1?cursor=x", 400),
        ("/v1/records/1", 400),
        ("/v1/records/%00", 400),
        ("/v1/records/01939F5A-7C00-7A3B-8C4D-5E6F708192A3", 400),
        ("/v1/records/01939f5a-7c00-7a3b-8c4d-5e6f708192a3", 404),
    ] {
        let answer = running.read(target);
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
    }
}
