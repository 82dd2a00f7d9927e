//! Rows as records: which there are, what they say, and that a message makes them once.

use cairn_tests::http::Request;
use serde_json::{Value, json};

use super::super::{Running, json_of};
use super::{CAPTURE, capture, changed, configured, licences, of_users, running};

/// What a row says, without what differs from run to run.
fn told(row: &Value) -> Value {
    json!([row["entityName"], row["objectId"], row["operationType"], row["keyValueMap"]])
}

fn rows(answer: &Value) -> Vec<Value> {
    answer["AuditLogs"].as_array().unwrap().clone()
}

fn search(running: &Running, object: &str) -> Vec<Value> {
    let target = format!("/audit-service/log/v1/_search?objectId={object}&tenantId=pb.amritsar&limit=30");
    rows(&json_of(&running.ask_with(&running.data.token, Request::post(target, "{}"))))
}

fn verified(running: &Running, object: &str, columns: &Value) -> bool {
    let body = json!({"objectId": object, "keyValuePairs": columns, "requestInfo": {}}).to_string();
    let answer = running.ask_with(&running.data.token, Request::post("/audit-service/log/v1/_verify", body));
    answer.status == 200
}

#[test]
fn a_message_becomes_a_record_per_row() {
    let running = running();
    let answer = running.captured("save-licence", &licences());
    let counts = ["captured", "notAudited", "quarantined"].map(|name| answer[name].as_u64().unwrap());
    assert_eq!((counts, &answer["again"]), ([5, 0, 0], &json!(false)));
    let rows = rows(&answer);
    let created = json!(1_700_000_000_000_u64);
    let expected = [
        json!(["tl_licence", "L-1", "CREATE", {"id": "L-1", "tenantId": "pb.amritsar", "name": "one", "createdBy": "c-1", "createdTime": created}]),
        json!(["tl_licence", "L-2", "CREATE", {"id": "L-2", "tenantId": "pb.amritsar", "name": "two", "createdBy": "c-1", "createdTime": created}]),
        json!(["tl_detail", "L-1", "CREATE", {"id": "d-1", "licenceid": "L-1", "extra": {"n": 1.50, "list": []}, "mode": null}]),
        json!(["tl_unit", "L-1", "CREATE", {"id": "u-1", "active": true, "detailid": "d-1"}]),
        json!(["tl_unit", "L-1", "CREATE", {"id": "u-2", "active": false, "detailid": "d-1"}]),
    ];
    assert_eq!(rows.iter().map(told).collect::<Vec<_>>(), expected);
    for row in &rows {
        let of = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        assert_eq!((of("userUUID"), of("module"), of("tenantId")), ("u-1".into(), "TL".into(), "pb.amritsar".into()));
        assert_eq!(row["changeDate"], 1_700_000_000_001_u64);
        assert_eq!(row.get("transactionCode"), Some(&json!("T-1")).filter(|_| row["objectId"] == "L-1"));
        assert_eq!(of("integrityHash").split("::").count(), 4);
    }
    // All rows of an object have one correlation id, from the first on, and another object has another.
    let correlations: Vec<&Value> = rows.iter().map(|row| &row["auditCorrelationId"]).collect();
    assert!(correlations[0].is_string() && correlations[0] != correlations[1]);
    assert!(correlations[2..].iter().all(|id| *id == correlations[0]));

    let answer = running.captured("change-licence", &changed("uno"));
    let told: Vec<Value> = super::rows::rows(&answer).iter().map(told).collect();
    assert_eq!(
        told,
        [
            json!(["tl_licence", "L-1", "UPDATE", {"id": "L-1", "name": "uno", "lastModifiedTime": 1_700_000_005_000_u64}]),
            json!(["tl_unit", "L-1", "DELETE", {"unit": "u-2"}]),
        ]
    );
    assert_eq!(super::rows::rows(&answer)[0]["userUUID"], "m-2", "who it was last, if no user is told");

    // One object has rows in several tables, newest first; each has a newest state of its own.
    let found = search(&running, "L-1");
    let operations: Vec<&str> = found.iter().map(|row| row["operationType"].as_str().unwrap()).collect();
    assert_eq!(operations, ["DELETE", "UPDATE", "CREATE", "CREATE", "CREATE", "CREATE"]);
    assert!(verified(&running, "L-1", &json!({"id": "u-1", "active": true, "detailid": "d-1"})));
    assert!(!verified(&running, "L-1", &json!({"id": "u-2", "active": false, "detailid": "d-1"})), "deleted");
    assert!(!verified(
        &running,
        "L-1",
        &json!({"id": "L-1", "tenantId": "pb.amritsar", "name": "one", "createdBy": "c-1", "createdTime": created})
    ));
    let newest = json!({"id": "L-1", "tenantId": "pb.amritsar", "name": "uno", "createdBy": "c-1", "createdTime": created, "lastModifiedTime": 1_700_000_005_000_u64});
    assert!(verified(&running, "L-1", &newest));
    let Running { data, server, .. } = running;
    assert_eq!(server.stop().code, Some(0));
    data.assert_sound();
}

#[test]
fn a_message_makes_its_records_once() {
    let running = running();
    let first = running.captured("save-licence", &licences());
    let size = running.size();
    let ids = |answer: &Value| {
        rows(answer).iter().map(|row| (row["id"].clone(), row["integrityHash"].clone())).collect::<Vec<_>>()
    };
    // Another user's session and another order of members are the same message.
    let mut again = licences();
    again["RequestInfo"]["authToken"] = json!("another secret");
    let restarted = running.restarted();
    for message in [licences(), again] {
        let second = restarted.captured("save-licence", &message);
        assert_eq!((&second["again"], ids(&second)), (&json!(true), ids(&first)));
    }
    // Another credential that may do so is told the same.
    let other = restarted.new_token(&["--rights", "append", "--tenants", "pb,pb.*"]);
    assert_eq!(json_of(&restarted.ask_with(&other, capture("save-licence", &licences())))["again"], true);
    assert_eq!(restarted.size(), size);
    let mut other = licences();
    other["Licences"][0]["name"] = json!("ONE");
    assert_eq!(restarted.captured("save-licence", &other)["again"], false);
    // With a key of its sender's, a message is another one.
    let keyed = |key: &'static str| {
        let request = capture("save-licence", &licences()).with("idempotency-key", key);
        json_of(&restarted.ask_with(&restarted.data.token, request))
    };
    let (one, two) = (keyed("save-licence-0-17"), keyed("save-licence-0-18"));
    assert_eq!(
        (&one["again"], &two["again"], &keyed("save-licence-0-17")["again"]),
        (&json!(false), &json!(false), &json!(true))
    );
    assert_ne!(ids(&one), ids(&two));
    assert_eq!(restarted.size(), size + 3 * 5);
}

#[test]
fn what_is_not_to_be_audited_becomes_nothing() {
    let running = running();
    let answer = running.captured("not-audited", &json!({"x": {}}));
    assert_eq!((&answer["captured"], &answer["notAudited"], &answer["quarantined"]), (&json!(0), &json!(1), &json!(0)));
    let none = json!({"RequestInfo": {}, "Licences": []});
    assert_eq!(running.captured("save-licence", &none)["captured"], 0);
    assert_eq!(running.size(), 0);
}

#[test]
fn a_table_without_ids_has_the_rows_that_the_operator_tells_apart() {
    let yaml = of_users(&[(
        "roles",
        "INSERT INTO eg_userrole(userid, roleid, since) VALUES (?, ?, ?)",
        "$.user.roles.*",
        &["$.user.uuid", "$.user.roles.*.code", "$.user.roles.*.since"],
    )]);
    let message = json!({"user": {"uuid": "U", "tenantId": "pb", "roles": [{"code": "A", "since": 1}, {"code": "B", "since": 2}]}});
    let state = |more: &str| {
        let running = Running::start_with(|data| configured(data, &yaml, more));
        assert_eq!(running.captured("roles", &message)["captured"], 2);
        let verify = |code: &str, since| verified(&running, "U", &json!({"uuid": "U", "code": code, "since": since}));
        (verify("A", 1), verify("B", 2), running.server.stderr().contains("name what does in digit.row_keys"))
    };
    assert_eq!(state("row_keys = { EG_userrole = [\"roleid\", \"userid\"] }"), (true, true, false));
    assert_eq!(state(""), (false, true, true), "without, the last one stands, and the operator is told");
}

#[test]
fn who_may_not_append_or_sends_no_message_is_refused() {
    let running = running();
    let reader = running.new_token(&["--rights", "read"]);
    let told = |answer: &cairn_tests::http::Response| {
        let body = super::error(answer);
        let error = &body["Errors"][0];
        (error["message"].as_str().unwrap().to_owned(), error["description"].as_str().unwrap().to_owned())
    };
    let good = || capture("save-licence", &licences());
    let is = |message: &str, description: &str| (message.to_owned(), description.to_owned());
    assert_eq!(
        told(&running.ask(good())),
        is("send a token, as Authorization or as RequestInfo.authToken", "A token is needed")
    );
    assert_eq!(
        told(&running.ask_with("x", good())),
        is("send a token, as Authorization or as RequestInfo.authToken", "A token is needed")
    );
    assert_eq!(
        told(&running.ask_with(&reader, good())),
        is("the token lacks the right to do this", "The token does not allow this")
    );
    let token = &running.data.token;
    let post = |body: &str| Request::post(CAPTURE, body);
    assert_eq!(told(&running.ask(post("{"))).1, "A token is needed", "a body that can't be read brings no token");
    assert_eq!(told(&running.ask_with(token, post(""))).1, "The request can't be understood");
    let two = good().with("idempotency-key", "a").with("x-idempotency-key", "b");
    assert_eq!(told(&running.ask_with(token, two)).0, "idempotency-key: two different keys");
    assert_eq!(running.size(), 0);
    // The envelope may bring the token; that of the message is the message's.
    let mut value = licences();
    value["RequestInfo"]["authToken"] = json!(token);
    assert_eq!(running.ask(capture("save-licence", &value)).status, 400);
    let envelope = json!({"RequestInfo": {"authToken": token, "msgId": "m"}, "topic": "save-licence", "value": value});
    let answer = json_of(&running.ask(post(&envelope.to_string())));
    assert_eq!((&answer["captured"], &answer["responseInfo"]["msgId"]), (&json!(5), &json!("m")));
}

#[test]
fn without_a_configuration_nothing_is_captured() {
    let running = Running::start();
    let answer = running.ask_with(&running.data.token, capture("save-licence", &licences()));
    let body = super::error(&answer);
    let expected = "no persister configuration is in force; name its files in the server's, as digit.persister";
    assert_eq!(body["Errors"][0]["message"], expected);
    assert!(!running.data.path().join("quarantine").exists());
}

#[test]
fn a_bad_configuration_stops_the_start_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let data = cairn_tests::server::Data::init(folder.path().join("data"));
    let bad = super::LICENCES
        .replace("objecIdJsonPath: $.id", "objecIdJsonPath: $..id")
        .replace("isTransaction: true", "isTransaktion: true");
    configured(&data, &bad, "");
    let refused = || data.try_serve().map(|_| ()).unwrap_err();
    let ended = refused();
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("tl.yml") && ended.stderr.contains("unknown field `isTransaktion`"),
        "{}",
        ended.stderr
    );
    std::fs::write(data.path().join("persister/tl.yml"), bad.replace("isTransaktion", "isTransaction")).unwrap();
    let ended = refused();
    let told = "mapping 1 (topic \"save-licence\"), objecIdJsonPath: \"$..id\" is not a path that is understood here";
    assert!(
        ended.stderr.contains(told) && ended.stderr.contains("mapping 2 (topic \"change-licence\")"),
        "{}",
        ended.stderr
    );
}
