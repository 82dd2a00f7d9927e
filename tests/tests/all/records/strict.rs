//! Modules that ask something of their records: strict ones, and those whose old values must match.

use cairn_tests::http::{Request, Response};
use cairn_tests::server::cairnd;
use serde_json::{Value, json};

use super::{Running, json_of, post};

/// A server on which the module `tl` of `pb` is as the switches say.
pub(super) fn start(switches: &[&str]) -> Running {
    let running = Running::start();
    set(&running, switches);
    running
}

fn set(running: &Running, switches: &[&str]) {
    let ended = cairnd(running.data.path(), &[&["module", "set", "tl", "--tenant", "pb"], switches].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

pub(super) fn of(object: &str, operation: &str, values: Value) -> Value {
    let object = json!({"tenant": "pb", "module": "tl", "entity": "license", "id": object, "operation": operation});
    match values {
        Value::Null => json!({"object": object}),
        values => json!({"object": object, "values": values}),
    }
}

pub(super) fn fields(object: &str, fields: Value) -> Value {
    of(object, "update", json!({"fields": fields}))
}

/// A problem without the words that are for people.
fn problem(answer: &Response) -> Value {
    let mut document = json_of(answer);
    let members = document.as_object_mut().unwrap();
    assert!(members.remove("title").is_some() && members.remove("detail").is_some());
    document
}

fn state_conflict(pointer: &str) -> Value {
    json!({"type": "urn:cairn:problem:state-conflict", "status": 409, "pointer": pointer})
}

fn old_differs(pointer: &str, paths: &[&str]) -> Value {
    json!({"type": "urn:cairn:problem:old-differs", "status": 409, "pointer": pointer, "paths": paths})
}

#[test]
fn a_strict_module_takes_what_fits_the_state_and_refuses_the_rest() {
    let running = start(&["--strict", "on"]);
    for operation in ["update", "delete"] {
        assert_eq!(problem(&running.bring(&of("1", operation, Value::Null))), state_conflict(""));
    }
    running.brought(&of("1", "create", json!({"whole": {"new": {"fee": 1}}})));
    assert_eq!(problem(&running.bring(&of("1", "create", Value::Null))), state_conflict(""));
    running.brought(&of("1", "update", json!({"fields": {"/fee": {"old": "wrong", "new": 2}}})));
    running.brought(&of("1", "read", Value::Null));
    running.brought(&of("1", "delete", Value::Null));
    assert_eq!(problem(&running.bring(&of("1", "delete", Value::Null))), state_conflict(""));
    // Rows are objects of their own.
    let mut row = of("1", "create", Value::Null);
    row["object"]["row"] = json!("r");
    running.brought(&row);
    // Other modules and tenants are not asked anything, and neither is this one any more after a while.
    for (tenant, module) in [("pb", "pt"), ("ka", "tl")] {
        let mut other = of("1", "update", Value::Null);
        (other["object"]["tenant"], other["object"]["module"]) = (json!(tenant), json!(module));
        running.brought(&other);
    }
    let size = running.size();
    let running = running.restarted();
    assert_eq!(problem(&running.bring(&row)), state_conflict(""), "the state is read from the log");
    assert_eq!(running.size(), size, "what is refused leaves no trace");
    set(&running, &["--strict", "off"]);
    running.brought(&row);
}

#[test]
fn records_of_one_batch_are_judged_one_after_another_and_one_that_does_not_fit_refuses_all() {
    let running = start(&["--strict", "on", "--old-must-match", "on"]);
    let life = json!([
        of("1", "create", json!({"whole": {"new": {"fee": 1}}})),
        fields("1", json!({"/fee": {"old": 1, "new": 2}})),
        fields("1", json!({"/fee": {"old": 2.0, "new": 3}})),
        of("1", "delete", json!({"whole": {"old": {"fee": 3}}})),
    ]);
    running.brought(&life);
    let size = running.size();
    let bad = json!([
        of("1", "create", json!({"whole": {"new": {"fee": 1}}})),
        of("2", "create", Value::Null),
        of("1", "create", Value::Null),
    ]);
    assert_eq!(problem(&running.bring(&bad)), state_conflict("/2"));
    let stale = json!([
        of("3", "create", json!({"whole": {"new": {"fee": 1}}})),
        fields("3", json!({"/fee": {"old": 2, "new": 3}}))
    ]);
    assert_eq!(problem(&running.bring(&stale)), old_differs("/1", &["/fee"]));
    assert_eq!(running.size(), size);
}

#[test]
fn a_caller_whose_old_values_differ_is_told_where() {
    let running = start(&["--old-must-match", "on"]);
    // Without strictness an update of what is not there begins its life.
    running.brought(&fields("1", json!({"/a": {"new": 1}, "/b": {"new": {"c": [1, 2]}}})));
    let cases = [
        (fields("1", json!({"/a": {"old": 2, "new": 3}})), vec!["/a"]),
        (fields("1", json!({"/b/c/1": {"old": 1, "new": 3}, "/z": {"old": 1, "new": 3}})), vec!["/b/c/1", "/z"]),
        (of("1", "update", json!({"whole": {"old": {"a": 1, "b": {"c": [1]}}, "new": {}}})), vec!["/b/c/1"]),
        (of("1", "delete", json!({"whole": {"old": {}}})), vec!["/a", "/b"]),
    ];
    for (record, paths) in cases {
        assert_eq!(problem(&running.bring(&record)), old_differs("", &paths), "{record}");
    }
    running.brought(&fields("1", json!({"/a": {"old": 1e0, "new": 3}, "/b": {"new": 0}})));
    // More than are shown.
    let many: serde_json::Map<String, Value> =
        (0..300).map(|n| (format!("/m{n}"), json!({"old": 1, "new": 2}))).collect();
    let told = problem(&running.bring(&fields("1", Value::Object(many))));
    assert_eq!((told["paths"].as_array().unwrap().len(), &told["more_paths"]), (256, &json!(true)));
}

#[test]
fn every_form_of_input_is_judged() {
    let running = start(&["--strict", "on"]);
    let with = |media: &str, body: String| {
        let request = Request::post("/v1/records", body).with("content-type", media);
        running.ask_with(&running.data.token, request)
    };
    let (create, update) = (of("1", "create", Value::Null), of("2", "update", Value::Null));
    let lines = with("application/x-ndjson", format!("{create}\n{update}\n"));
    assert_eq!(problem(&lines), state_conflict("/1"));
    let event = json!({"specversion": "1.0", "id": "e1", "source": "s", "type": "license", "subject": "2",
        "tenant": "pb", "module": "tl", "operation": "update", "data": {"fee": 1}});
    let one = with("application/cloudevents+json", event.to_string());
    assert_eq!(problem(&one), state_conflict(""));
    let batch = with("application/cloudevents-batch+json", json!([event]).to_string());
    assert_eq!(problem(&batch), state_conflict("/0"));
    let row = json!({"userUUID": "u", "module": "tl", "tenantId": "pb", "transactionCode": "T", "changeDate": 1,
        "entityName": "license", "objectId": "2", "keyValueMap": {"a": 1}, "operationType": "UPDATE"});
    let rows = json!({"RequestInfo": {"authToken": running.data.token}, "AuditLogs": [row]});
    let answer = running.ask(Request::post("/audit-service/log/v1/_create", rows.to_string()));
    let errors = json_of(&answer)["Errors"].clone();
    assert_eq!((answer.status, &errors[0]["code"]), (400, &json!("EG_AUDIT_LOGS_CREATE_ERR")), "{errors}");
    assert!(errors[0].to_string().contains("the object is not there"), "{errors}");
    assert_eq!(running.size(), 1, "the record of the setting alone");
}

#[test]
fn what_is_brought_again_gets_its_first_receipt_whatever_the_state_is_now() {
    let running = start(&["--strict", "on", "--old-must-match", "on"]);
    let create = of("1", "create", json!({"whole": {"new": {"fee": 1}}}));
    let with_key = |running: &Running, body: &Value| {
        json_of(&running.ask_with(&running.data.token, post(body).with("idempotency-key", "k")))
    };
    let first = with_key(&running, &create);
    let mut update = fields("1", json!({"/fee": {"old": 1, "new": 2}}));
    update["id"] = json!("01939f5a-7c00-7a3b-8c4d-5e6f708192a3");
    let second = running.brought(&update);
    let running = running.restarted();
    let again = with_key(&running, &create);
    assert_eq!((&again["replayed"], &again["records"][0]["index"]), (&json!(true), &first["records"][0]["index"]));
    let again = running.brought(&update);
    assert_eq!(again["records"][0]["leaf_hash"], second["records"][0]["leaf_hash"]);
    // With what is new beside it.
    let both = running.brought(&json!([update, fields("1", json!({"/fee": {"old": 2, "new": 3}}))]));
    assert_eq!((&both["records"][0]["seq"], &both["records"][1]["seq"]), (&json!(1), &json!(2)));
    let other = running.ask_with(&running.data.token, post(&update).with("idempotency-key", "k"));
    assert_eq!((other.status, &json_of(&other)["type"]), (422, &json!("urn:cairn:problem:idempotency-key-reused")));
    assert_eq!(running.size(), 4, "with the record of the setting");
}

#[test]
fn an_expectation_of_the_callers_own_is_not_mended() {
    let running = start(&["--strict", "on"]);
    running.brought(&of("1", "create", Value::Null));
    let mut update = of("1", "update", Value::Null);
    for (expected, fits) in [(json!(null), false), (json!(1), false), (json!(0), true)] {
        update["expected_seq"] = expected;
        let answer = running.bring(&update);
        match fits {
            true => assert_eq!(answer.status, 200, "{}", answer.text()),
            false => {
                let told = problem(&answer);
                assert_eq!(told["type"], "urn:cairn:problem:stream-conflict");
                assert_eq!(told["stream_head"]["seq"], 0);
            }
        }
    }
}

#[test]
fn a_correction_must_correct_a_record_of_its_object_and_is_not_compared_with_what_is_now() {
    let running = start(&["--strict", "on", "--old-must-match", "on"]);
    let first = running.brought(&of("1", "create", json!({"whole": {"new": {"fee": 1}}})));
    let other = running.brought(&of("2", "create", Value::Null));
    running.brought(&fields("1", json!({"/fee": {"old": 1, "new": 2}})));
    let correction = |replaces: &Value| {
        let mut record = of("1", "create", json!({"whole": {"new": {"fee": 10}}}));
        record["replaces"] = replaces.clone();
        record
    };
    for replaces in [&other["records"][0]["id"], &json!("01939f5a-7c00-7a3b-8c4d-5e6f708192a3")] {
        let told = problem(&running.bring(&correction(replaces)));
        assert_eq!((&told["type"], &told["value"]), (&json!("urn:cairn:problem:state-conflict"), replaces));
    }
    running.brought(&correction(&first["records"][0]["id"]));
}

#[test]
fn named_streams_are_judged_by_their_own_records() {
    let running = start(&["--strict", "on"]);
    let into = |mut record: Value, module: &str| {
        record["object"]["module"] = json!(module);
        record["context"] = json!({"stream": "counter"});
        record
    };
    // Records of modules that ask for nothing stand between.
    let batch = json!([
        into(of("1", "update", Value::Null), "free"),
        into(of("1", "create", Value::Null), "tl"),
        into(of("1", "update", Value::Null), "tl"),
    ]);
    running.brought(&batch);
    assert_eq!(problem(&running.bring(&into(of("1", "create", Value::Null), "tl"))), state_conflict(""));
    running.brought(&into(of("1", "delete", Value::Null), "tl"));
}

/// Longer than what is looked up at once.
#[test]
fn a_long_stream_is_read_once_and_then_followed() {
    let running = start(&["--old-must-match", "on"]);
    let batch: Vec<Value> = (0..700).map(|n| fields("1", json!({"/n": {"new": n}}))).collect();
    running.brought(&json!(batch));
    let running = running.restarted();
    assert_eq!(problem(&running.bring(&fields("1", json!({"/n": {"old": 698, "new": 0}})))), old_differs("", &["/n"]));
    for n in 699..720 {
        running.brought(&fields("1", json!({"/n": {"old": n, "new": n + 1}})));
    }
}

/// Where a field has no place, nothing would change, and the record would say that something did.
#[test]
fn a_field_without_a_place_in_the_data_is_refused() {
    let running = start(&["--strict", "on"]);
    running.brought(&of("1", "create", json!({"whole": {"new": {"fee": 1, "list": [1], "deep": {"a": null}}}})));
    let no_place = |paths: &[&str]| {
        let mut told = state_conflict("");
        told["paths"] = json!(paths);
        told
    };
    let cases = [
        (json!({"/fee/amount": {"new": 2}}), vec!["/fee/amount"]),
        (json!({"/list/3": {"new": 2}, "/list/-": {"new": 3}}), vec!["/list/3"]),
        (json!({"/list/1": {"old": 1}, "/deep/a/b": {"new": 1}, "/x": {"new": 1}}), vec!["/deep/a/b", "/list/1"]),
        (json!({"/list/first": {"new": 2}}), vec!["/list/first"]),
    ];
    for (changed, paths) in &cases {
        assert_eq!(problem(&running.bring(&fields("1", changed.clone()))), no_place(paths), "{changed}");
    }
    // In a batch after what makes the place, it has one.
    let batch = json!([fields("1", json!({"/fee": {"new": {}}})), fields("1", json!({"/fee/amount": {"new": 2}}))]);
    running.brought(&batch);
    // An old value that has no place is none that is recorded.
    set(&running, &["--strict", "off", "--old-must-match", "on"]);
    let told = problem(&running.bring(&fields("1", json!({"/list/3": {"old": 1, "new": 2}}))));
    assert_eq!(told, old_differs("", &["/list/3"]));
    running.brought(&fields("1", json!({"/list/3": {"new": 2}})));
    let state = running.shown("/v1/streams/entity/pb/tl/license/1/state");
    assert_eq!(state["flags"].as_array().unwrap().len(), 1, "{state}");
}

/// A module of which nothing was asked when its records were read, and then something is.
#[test]
fn what_is_asked_of_a_module_later_is_asked_of_the_whole_stream() {
    let running = start(&["--strict", "on"]);
    let into = |mut record: Value, module: &str| {
        record["object"]["module"] = json!(module);
        record["context"] = json!({"stream": "counter"});
        record
    };
    running.brought(&into(of("1", "create", json!({"whole": {"new": {"n": 1}}})), "free"));
    running.brought(&into(of("1", "create", Value::Null), "tl"));
    running.brought(&into(of("1", "update", Value::Null), "free"));
    running.brought(&into(of("1", "update", Value::Null), "tl"));
    let ended = cairnd(running.data.path(), &["module", "set", "free", "--tenant", "pb", "--strict", "on"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(problem(&running.bring(&into(of("1", "create", Value::Null), "free"))), state_conflict(""));
    assert_eq!(problem(&running.bring(&into(of("2", "update", Value::Null), "free"))), state_conflict(""));
    assert_eq!(problem(&running.bring(&into(of("1", "create", Value::Null), "tl"))), state_conflict(""));
    running.brought(&into(fields("1", json!({"/n": {"old": 1, "new": 2}})), "free"));
}
