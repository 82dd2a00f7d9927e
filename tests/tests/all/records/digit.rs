//! The three routes of eGov DIGIT's audit service, as its callers use them.

use cairn_tests::http::{Request, Response};
use serde_json::{Value, json};

use super::{Running, json_of};

const BASE: &str = "/audit-service/log/v1";

fn row(object: &str, operation: &str, columns: Value) -> Value {
    json!({
        "id": "theirs", "userUUID": "u-1", "module": "tl", "tenantId": "pb.amritsar", "transactionCode": "TX-1",
        "changeDate": 1_700_000_000_000_u64, "entityName": "eg_tl_license", "objectId": object,
        "keyValueMap": columns, "operationType": operation, "auditCorrelationId": "c-1", "unknown": [1],
    })
}

fn create(token: &str, rows: Value) -> Request {
    let info = json!({"apiId": "Rainmaker", "msgId": "m-1", "ts": 7, "authToken": token});
    Request::post(format!("{BASE}/_create"), json!({"RequestInfo": info, "AuditLogs": rows}).to_string())
}

fn search(token: &str, query: &str) -> Request {
    Request::post(format!("{BASE}/_search?{query}"), json!({"RequestInfo": {"authToken": token}}).to_string())
}

fn verify(token: &str, object: &str, columns: Value) -> Request {
    let body = json!({"objectId": object, "keyValuePairs": columns, "requestInfo": {"authToken": token}});
    Request::post(format!("{BASE}/_verify"), body.to_string())
}

/// An error, with its code.
fn refused(answer: &Response, code: &str) {
    let body = json_of(answer);
    assert_eq!((answer.status, &body["Errors"][0]["code"]), (400, &json!(code)), "{body}");
    assert!(body["ResponseInfo"].is_object() && body["Errors"][0]["message"].is_string(), "{body}");
}

/// The answer to rows that are brought again names the records of the first time, not ids that were drawn since.
#[test]
fn rows_that_are_brought_again_have_the_ids_of_the_first_time() {
    let running = Running::start();
    let token = running.data.token.clone();
    let rows = json!([row("L-1", "CREATE", json!({"id": "r-1"})), row("L-2", "CREATE", json!({"id": "r-2"}))]);
    let bring = || {
        let answer = running.ask(create(&token, rows.clone()).with("idempotency-key", "k"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        json_of(&answer)["AuditLogs"].clone()
    };
    let first = bring();
    assert_eq!(bring(), first);
    let found = json_of(&running.ask(search(&token, "objectId=L-2&tenantId=pb.amritsar&_=1700000000000")));
    assert_eq!((&found["AuditLogs"][0]["id"], found["AuditLogs"].as_array().unwrap().len()), (&first[1]["id"], 1));
}

#[test]
fn rows_are_created_found_and_verified() {
    let running = Running::start();
    let token = running.data.token.clone();
    let rows = json!([
        row("L-1", "CREATE", json!({"id": "r-1", "status": "INITIATED", "fee": 10})),
        row("L-1", "Update", json!({"id": "r-1", "status": "APPROVED"})),
        row("L-1", "CREATE", json!({"id": "r-2", "status": "OTHER"})),
    ]);
    let answer = running.ask(create(&token, rows));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let created = json_of(&answer);
    assert_eq!(created["responseInfo"]["status"], "successful");
    assert_eq!((&created["responseInfo"]["apiId"], &created["responseInfo"]["ts"]), (&json!("Rainmaker"), &json!(7)));
    let logs = created["AuditLogs"].as_array().unwrap();
    assert_eq!(logs.len(), 3);
    assert_eq!((&logs[1]["operationType"], &logs[1]["changeDate"]), (&json!("UPDATE"), &json!(1_700_000_000_000_u64)));
    for log in logs {
        assert_ne!(log["id"], "theirs", "a given id is replaced");
        assert_eq!(log["integrityHash"].as_str().unwrap().split("::").count(), 4);
    }
    let found = json_of(&running.ask(search(&token, "objectId=L-1&tenantId=pb.amritsar")));
    let ids: Vec<&Value> = found["AuditLogs"].as_array().unwrap().iter().map(|log| &log["id"]).collect();
    assert_eq!(ids, [&logs[2]["id"], &logs[1]["id"], &logs[0]["id"]], "newest first");
    assert_eq!(found["AuditLogs"][2]["keyValueMap"], json!({"id": "r-1", "status": "INITIATED", "fee": 10}));
    assert_eq!(found["AuditLogs"][2]["integrityHash"], logs[0]["integrityHash"]);
    let count = |query: &str| {
        let answer = running.ask(search(&token, &format!("objectId=L-1&tenantId=pb.amritsar{query}")));
        json_of(&answer)["AuditLogs"].as_array().unwrap().len()
    };
    assert_eq!((count("&limit=2"), count("&offset=2"), count("&limit=1000"), count("&userUUID=u-2")), (2, 1, 3, 0));
    assert_eq!(count(&format!("&id={}", logs[1]["id"].as_str().unwrap())), 1);
    // One object has several rows; each has a newest state of its own.
    let good = json!({"fee": 10, "id": "r-1", "status": "APPROVED"});
    let answer = running.ask(verify(&token, "L-1", good));
    assert_eq!((answer.status, &json_of(&answer)["status"]), (200, &json!("successful")), "{}", answer.text());
    assert_eq!(running.ask(verify(&token, "L-1", json!({"id": "r-2", "status": "OTHER"}))).status, 200);
    for stale in [json!({"id": "r-1", "status": "INITIATED", "fee": 10}), json!({"id": "r-1"})] {
        refused(&running.ask(verify(&token, "L-1", stale)), "EG_AUDIT_LOG_VERIFICATION_ERR");
    }
    refused(&running.ask(verify(&token, "L-2", json!({"id": "r-1"}))), "EG_AUDIT_LOG_VERIFICATION_ERR");
}

#[test]
fn every_error_is_told_as_that_service_tells_it() {
    let running = Running::start();
    let token = running.data.token.clone();
    let good = || row("L-1", "CREATE", json!({"a": 1}));
    let many = Value::Array((0..101).map(|_| good()).collect());
    let mut nameless = good();
    nameless["objectId"] = Value::Null;
    let foreign = running.new_token(&["--rights", "append,read", "--tenants", "ka"]);
    let reader = running.new_token(&["--rights", "read"]);
    for (token, rows) in [
        (&token, json!([row("L-1", "CREATE", json!({}))])),
        (&token, json!([row("L-1", "PATCH", json!({"a": 1}))])),
        (&token, json!([good(), nameless])),
        (&token, many),
        (&foreign, json!([good()])),
        (&reader, json!([good()])),
        (&"cairn_000000000000_AAAA".to_owned(), json!([good()])),
    ] {
        refused(&running.ask(create(token, rows)), "EG_AUDIT_LOGS_CREATE_ERR");
    }
    let nobody = Request::post(format!("{BASE}/_create"), json!({"AuditLogs": [good()]}).to_string());
    refused(&running.ask(nobody), "EG_AUDIT_LOGS_CREATE_ERR");
    refused(&running.ask(Request::post(format!("{BASE}/_create"), "{")), "EG_AUDIT_LOGS_CREATE_ERR");
    for query in
        ["objectId=L-1", "tenantId=pb", "objectId=L-1&tenantId=pb&limit=x", "objectId=L-1&tenantId=pb&limit=1&limit=2"]
    {
        refused(&running.ask(search(&token, query)), "EG_AUDIT_LOGS_SEARCH_ERR");
    }
    refused(&running.ask(search(&foreign, "objectId=L-1&tenantId=pb")), "EG_AUDIT_LOGS_SEARCH_ERR");
    assert_eq!(running.size(), 0);
    // The header goes before the body.
    let by_header = create("x", json!([good()])).with("authorization", format!("Bearer {token}"));
    assert_eq!(running.ask(by_header).status, 200);
}

/// What is wrong is named as the envelope names it, whatever the record calls it that a row becomes.
#[test]
fn what_is_wrong_is_named_as_the_envelope_names_it() {
    let running = Running::start();
    let token = running.data.token.clone();
    let with = |name: &str, value: Value| {
        let mut row = row("L-1", "CREATE", json!({"a": 1}));
        row[name] = value;
        row
    };
    let future = json!(4_000_000_000_000_u64);
    for (rows, place) in [
        (json!([with("module", json!("tl")), with("changeDate", future)]), "/AuditLogs/1/changeDate"),
        (json!([with("objectId", json!("x".repeat(300)))]), "/AuditLogs/0/objectId"),
        (json!([with("operationType", json!("PATCH"))]), "/AuditLogs/0/operationType"),
        (json!([with("module", json!("cairn"))]), "/AuditLogs/0/module"),
        (json!([with("keyValueMap", json!({}))]), "/AuditLogs/0/keyValueMap"),
    ] {
        let answer = running.ask(create(&token, rows));
        refused(&answer, "EG_AUDIT_LOGS_CREATE_ERR");
        let error = json_of(&answer)["Errors"][0].clone();
        assert_eq!(error["params"], json!([place]), "{error}");
        assert!(error["message"].as_str().unwrap().starts_with(&format!("{place}: ")), "{error}");
    }
    for (query, name) in [("objectId=L-1", "tenantId"), ("objectId=L-1&tenantId=pb&limit=x", "limit")] {
        let answer = running.ask(search(&token, query));
        assert_eq!(json_of(&answer)["Errors"][0]["params"], json!([name]), "{}", answer.text());
    }
    let nothing = json_of(&running.ask(create("cairn_000000000000_AAAA", json!([with("module", json!("tl"))]))));
    assert_eq!(nothing["Errors"][0]["params"], Value::Null);
}

#[test]
fn the_tenant_of_the_header_is_one_of_the_token_and_the_one_that_the_request_is_about() {
    let running = Running::start();
    let token = running.new_token(&["--rights", "append,read,disclose:secret", "--tenants", "pb,pb.*"]);
    let good = json!([row("L-1", "CREATE", json!({"id": "r-1"}))]);
    let said = |request: Request, tenant: &str| running.ask(request.with("x-tenant-id", tenant));
    // Rows of another of the token's tenants, and a tenant that is none of them.
    let other = said(create(&token, good.clone()), "pb");
    refused(&other, "EG_AUDIT_LOGS_CREATE_ERR");
    assert_eq!(json_of(&other)["Errors"][0]["params"], json!(["/AuditLogs/0/tenantId"]), "{}", other.text());
    for tenant in ["ka", "x\ty"] {
        refused(&said(create(&token, good.clone()), tenant), "EG_AUDIT_LOGS_CREATE_ERR");
    }
    assert_eq!(running.size(), 0);
    assert_eq!(said(create(&token, good), "pb.amritsar").status, 200);
    let find = || search(&token, "objectId=L-1&tenantId=pb.amritsar");
    for tenant in ["pb", "ka"] {
        refused(&said(find(), tenant), "EG_AUDIT_LOGS_SEARCH_ERR");
    }
    assert_eq!(said(find(), "pb.amritsar").status, 200);
    let verify = || verify(&token, "L-1", json!({"id": "r-1"}));
    for tenant in ["pb", "ka"] {
        refused(&said(verify(), tenant), "EG_AUDIT_LOG_VERIFICATION_ERR");
    }
    assert_eq!((said(verify(), "pb.amritsar").status, running.ask(verify()).status), (200, 200));
}

/// A row that is not what was signed is told of, and given to nobody; the others are there.
#[test]
fn a_bad_row_keeps_nobody_from_the_others_and_is_never_taken_for_good() {
    let running = Running::start();
    let token = running.data.token.clone();
    let ids: Vec<String> = ["CREATE", "UPDATE", "UPDATE"]
        .map(|operation| {
            let answer = running.ask(create(&token, json!([row("L-1", operation, json!({"id": "r-1", "a": 1}))])));
            json_of(&answer)["AuditLogs"][0]["id"].as_str().unwrap().to_owned()
        })
        .into();
    let running = running.restarted_after(|data| super::integrity::edit(data, 1, |row| *row.last_mut().unwrap() ^= 1));
    let ask = |query: &str| running.ask(search(&token, &format!("objectId=L-1&tenantId=pb.amritsar{query}")));
    let found = |answer: &Response| -> Vec<String> {
        let rows = json_of(answer)["AuditLogs"].as_array().unwrap().clone();
        rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    let answer = ask("");
    refused(&answer, "EG_AUDIT_LOG_VERIFICATION_ERR");
    let body = json_of(&answer);
    assert_eq!(
        (body["Errors"].as_array().unwrap().len(), &body["Errors"][0]["params"]),
        (1, &json!([ids[1], "1", "localhost/logs/main"]))
    );
    assert_eq!(found(&answer), [ids[2].clone(), ids[0].clone()], "{body}");
    // Before it and behind it, and by their ids, nothing is wrong.
    for (query, expected) in [
        ("&limit=1".to_owned(), vec![ids[2].clone()]),
        ("&offset=2".to_owned(), vec![]),
        (format!("&id={}", ids[0]), vec![ids[0].clone()]),
    ] {
        let answer = ask(&query);
        assert_eq!((answer.status, found(&answer)), (200, expected), "{query}: {}", answer.text());
    }
    let alone = ask(&format!("&id={}", ids[1]));
    refused(&alone, "EG_AUDIT_LOG_VERIFICATION_ERR");
    assert_eq!(found(&alone), Vec::<String>::new());
}

/// What is refused before a route is reached is told in its words too.
#[test]
fn a_target_that_is_too_long_and_another_method_are_told_in_the_same_words() {
    let running = Running::start();
    for (route, code) in [
        ("_create", "EG_AUDIT_LOGS_CREATE_ERR"),
        ("_capture", "EG_AUDIT_LOGS_CREATE_ERR"),
        ("_search", "EG_AUDIT_LOGS_SEARCH_ERR"),
        ("_verify", "EG_AUDIT_LOG_VERIFICATION_ERR"),
    ] {
        let long = Request::post(format!("{BASE}/{route}?objectId={}", "x".repeat(3_000)), "{}");
        let get = Request::get(format!("{BASE}/{route}"));
        for (request, message) in [(long, "target: longer than 2048 bytes"), (get, "method: this resource knows POST")]
        {
            let answer = running.ask(request);
            refused(&answer, code);
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(json_of(&answer)["Errors"][0]["message"], message);
        }
    }
}

/// A tenant's rows are found and verified in whichever of its logs they are; a row is what the newest of them says.
#[test]
fn rows_of_all_logs_of_a_tenant_are_seen() {
    let running = Running::start();
    let token = running.data.token.clone();
    let done = |arguments: &[&str]| {
        let ended = cairn_tests::server::cairnd(running.data.path(), arguments);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    };
    let bring = |operation: &str, columns: Value| {
        let answer = running.ask(create(&token, json!([row("L-1", operation, columns)])));
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    bring("CREATE", json!({"id": "r-1", "status": "INITIATED"}));
    bring("CREATE", json!({"id": "r-2", "status": "OTHER"}));
    done(&["tenant", "create", "pb.amritsar", "--log", "amritsar", "--continue"]);
    bring("UPDATE", json!({"id": "r-1", "status": "APPROVED"}));
    done(&["log", "seal", "amritsar", "--successor", "later"]);
    bring("UPDATE", json!({"id": "r-1", "status": "EXPIRED"}));
    let auditor = running.data.auditor.clone();
    let found = |query: &str| {
        let answer = running.ask(search(&auditor, &format!("objectId=L-1&tenantId=pb.amritsar{query}")));
        let rows = json_of(&answer)["AuditLogs"].as_array().unwrap().clone();
        let own = rows.iter().filter(|row| row["keyValueMap"].is_object());
        let told = |row: &Value| {
            let log = row["integrityHash"].as_str().unwrap().split("::").next().unwrap().to_owned();
            (row["keyValueMap"]["status"].as_str().unwrap_or("none").to_owned(), log)
        };
        own.map(told).collect::<Vec<_>>()
    };
    let at = |status: &str, log: &str| (status.to_owned(), format!("localhost/logs/{log}"));
    let all = found("");
    let said: Vec<_> = all.iter().filter(|(status, _)| status != "none").cloned().collect();
    let expected = [at("EXPIRED", "later"), at("APPROVED", "amritsar"), at("OTHER", "main"), at("INITIATED", "main")];
    assert_eq!(said, expected);
    assert_eq!(found("&limit=1"), all[..1]);
    assert_eq!(found("&offset=1&limit=2"), all[1..3]);
    for (columns, is_so) in [
        (json!({"id": "r-1", "status": "EXPIRED"}), true),
        (json!({"id": "r-2", "status": "OTHER"}), true),
        (json!({"id": "r-1", "status": "APPROVED"}), false),
        (json!({"id": "r-1", "status": "INITIATED"}), false),
    ] {
        let answer = running.ask(verify(&auditor, "L-1", columns.clone()));
        assert_eq!(answer.status, if is_so { 200 } else { 400 }, "{columns}: {}", answer.text());
    }
}
