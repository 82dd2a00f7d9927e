//! Messages that become no records: kept, told of, tried again and dropped, and none of it lost or in a log.

use std::fs;

use cairn_tests::http::{Request, Response};
use cairn_tests::server::{Ended, cairnd};
use serde_json::{Value, json};

use super::super::{Running, json_of};
use super::{CAPTURE, LICENCES, capture, changed, configured, error, licences, running};

impl Running {
    pub(super) fn quarantine(&self, arguments: &[&str]) -> Ended {
        cairnd(self.data.path(), &[&["quarantine"], arguments].concat())
    }

    pub(super) fn listed(&self) -> Vec<Value> {
        let ended = self.quarantine(&["list", "--json"]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What the server has put on record about the quarantine, oldest first.
    pub(super) fn on_record(&self) -> Vec<(String, Value)> {
        let shown = self.shown("/v1/records?module=cairn&tenant=cairn&limit=100");
        let records = shown["records"].as_array().unwrap();
        let told = |record: &Value| {
            let content = &record["view"];
            (content["object"]["operation"].as_str().unwrap().to_owned(), content.clone())
        };
        // The newest comes first there.
        records.iter().rev().map(told).collect()
    }
}

/// The id and the reason of a message that was quarantined.
pub(super) fn kept(answer: &Response) -> (String, String) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = json_of(answer);
    assert_eq!(
        (&body["quarantined"], &body["captured"], &body["AuditLogs"]),
        (&json!(1), &json!(0), &json!([])),
        "{body}"
    );
    let text = |name: &str| body["quarantine"][name].as_str().unwrap().to_owned();
    (text("id"), text("reason"))
}

/// What a delivery says of whose rows they are must be so; what is not is kept for an operator, and can be recorded later.
#[test]
fn rows_of_another_tenant_than_the_header_names_are_quarantined() {
    let running = running();
    let token = running.new_token(&["--rights", "append,read", "--tenants", "pb,pb.*"]);
    let said =
        |tenant: &str| running.ask_with(&token, capture("save-licence", &licences()).with("x-tenant-id", tenant));
    error(&said("ka"));
    assert!(running.listed().is_empty());
    let answer = said("pb");
    let (id, reason) = kept(&answer);
    assert_eq!((running.listed().len(), reason.as_str()), (1, "refused"));
    let description = json_of(&answer)["quarantine"]["description"].to_string();
    assert!(description.contains("/AuditLogs/0/tenantId: x-tenant-id says something else"), "{description}");
    // Other headers say nothing about captured rows, so what is wrong with them keeps none back.
    let odd = capture("save-licence", &licences()).with("x-tenant-id", "pb.amritsar").with("traceparent", "none");
    assert_eq!(running.ask_with(&token, odd).status, 200);
    assert!(running.listed().is_empty(), "{id}");
}

#[test]
fn every_reason_is_told_in_full() {
    let running = running();
    let token = running.data.token.clone();
    let without = |path: &[&str]| {
        let mut value = licences();
        let (last, above) = path.split_last().unwrap();
        let mut place = &mut value;
        for name in above {
            place = match name.parse::<usize>() {
                Ok(index) => &mut place[index],
                Err(_) => &mut place[*name],
            };
        }
        place.as_object_mut().unwrap().remove(*last);
        value
    };
    let with = |change: &dyn Fn(&mut Value)| {
        let mut value = licences();
        change(&mut value);
        value
    };
    let foreign = running.new_token(&["--rights", "append", "--tenants", "ka"]);
    let future = json!({"lastModifiedTime": 9_000_000_000_000_u64});
    let in_query = "mapping 1, queryMaps[0]";
    for (token, topic, value, reason, description) in [
        (&token, "other", json!({}), "no-mapping", "no mapping is for its topic".to_owned()),
        (&token, "save-licence", json!({"RequestInfo": {"ver": "2.0.0"}}), "no-version", "no mapping of its topic is for its version".into()),
        (&token, "save-licence", json!("text"), "not-an-object", "it, or an element that a row should be, is no object".into()),
        (&token, "save-licence", with(&|value| value["Licences"][0] = json!("text")), "not-an-object", format!("it, or an element that a row should be, is no object ({in_query})")),
        (&token, "save-licence", without(&["Licences"]), "path-missing", format!("a path of the mapping leads nowhere in it ({in_query}, basePath)")),
        (&token, "change-licence", json!({"licence": {"id": "L-9", "tenantId": "pb"}}), "path-missing", "a path of the mapping leads nowhere in it (mapping 2, queryMaps[0], column \"name\")".into()),
        (&token, "save-licence", without(&["Licences", "0", "tenantId"]), "path-missing", format!("a path of the mapping leads nowhere in it ({in_query}, tenantIdJsonPath)")),
        (&token, "save-licence", with(&|value| value["Licences"][1]["id"] = json!("")), "no-identity", format!("the id of its object, or the tenant, or a column that a row is known by, is no text and no number, or empty ({in_query}, objecIdJsonPath)")),
        (&token, "save-licence", with(&|value| value["Licences"][0]["tenantId"] = Value::Null), "no-identity", format!("the id of its object, or the tenant, or a column that a row is known by, is no text and no number, or empty ({in_query}, tenantIdJsonPath)")),
        (&token, "unclear-licence", changed("x"), "query-unclear", "a query of its mapping is not understood (mapping 3, queryMaps[0])".into()),
        (&token, "save-licence", with(&|value| value["Licences"][0]["tenantId"] = json!("x".repeat(257))), "not-a-record", "a row of it can't be a record (row 0, the tenant: longer than 256 bytes)".into()),
        (&token, "save-licence", with(&|value| value["Licences"][1]["tenantId"] = json!("cairn")), "not-a-record", "a row of it can't be a record (row 1, the tenant cairn is the log's own, and no producer's)".into()),
        (&foreign, "save-licence", with(&|value| value["Licences"][0]["name"] = json!("foreign")), "no-tenant", "a tenant of it is none that its credential is good for, or they have different logs".into()),
        (&token, "save-licence", with(&|value| value["Licences"][0]["auditDetails"] = future.clone()), "refused", "the log refuses what it says (/AuditLogs/0/changeDate: the producer's time is more than 5 minutes after the server's)".into()),
    ] {
        let answer = running.ask_with(token, capture(topic, &value));
        let (id, _) = kept(&answer);
        let expected = json!({
            "responseInfo": {"resMsgId": "uief87324", "status": "successful"},
            "captured": 0, "again": false, "notAudited": 0, "quarantined": 1,
            "quarantine": {"id": id, "reason": reason, "description": description},
            "AuditLogs": [],
        });
        assert_eq!(json_of(&answer), expected, "{topic} {reason}");
    }
    for body in ["{", "[]", "{\"topic\":1,\"value\":{}}", "{\"topic\":\"t\",\"value\":{\"a\":1,\"a\":2}}"] {
        assert_eq!(kept(&running.ask_with(&token, Request::post(CAPTURE, body))).1, "unreadable", "{body}");
    }
    assert_told_and_nowhere_shown(&running);
}

/// Each of the messages is listed, on record with its digest and reason, counted and logged, without its content.
fn assert_told_and_nowhere_shown(running: &Running) {
    let listed = running.listed();
    assert_eq!(listed.len(), 18);
    let on_record = running.on_record();
    assert_eq!(on_record.len(), 18);
    for (operation, content) in &on_record {
        assert_eq!(operation, "cairn.quarantined");
        let line = listed.iter().find(|line| line["id"] == content["object"]["id"]).unwrap();
        let values = &content["values"]["whole"];
        assert_eq!(
            (&values["/digest"]["new"], &values["/reason"]["new"]),
            (&line["line"]["digest"], &line["line"]["reason"]),
            "{content}"
        );
        assert_eq!(values.as_object().unwrap().len(), 2);
    }
    assert_eq!(running.size(), 18, "of the messages themselves nothing was written");
    let metrics = running.ask(Request::get("/metrics")).text();
    for line in ["cairn_capture_quarantined_total{reason=\"path-missing\"} 3", "cairn_quarantine_messages 18"] {
        assert!(metrics.contains(line), "{line}");
    }
    let said = running.server.stderr();
    assert!(said.matches("a message was quarantined").count() == 18);
    for content in ["pb.amritsar", "a secret", "L-1", "foreign"] {
        assert!(!said.contains(content) && !metrics.contains(content), "{content} in a log");
    }
}

#[test]
fn a_message_waits_until_what_was_wrong_is_mended() {
    let unclear = LICENCES.replace("UPDATE TL_LICENCE SET", "UPSERT TL_LICENCE SET");
    let running = Running::start_with(|data| configured(data, &unclear, ""));
    assert!(running.server.stderr().contains("messages that need it are quarantined"));
    let answer = running.ask_with(&running.data.token, capture("change-licence", &changed("uno")));
    let (id, _) = kept(&answer);
    // A second delivery, also after a restart, is the same message.
    let again = kept(&running.ask_with(&running.data.token, capture("change-licence", &changed("uno"))));
    assert_eq!(again.0, id);
    let running = running.restarted();
    assert_eq!(kept(&running.ask_with(&running.data.token, capture("change-licence", &changed("uno")))).0, id);
    assert_eq!((running.listed().len(), running.on_record().len()), (1, 1));
    let shown = running.quarantine(&["show", &id]);
    let message: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(message, json!({"topic": "change-licence", "value": changed("uno")}));
    let tried = running.quarantine(&["retry", &id]);
    let told = format!("{id}  a query of its mapping is not understood (mapping 2, queryMaps[0])\n");
    assert_eq!((tried.code, tried.stdout), (Some(1), told));
    // The configuration is mended while the server runs; one with a mistake changes nothing.
    let file = running.data.path().join("persister/tl.yml");
    fs::write(&file, "serviceMaps: 7").unwrap();
    let bad = cairnd(running.data.path(), &["persister", "reload"]);
    assert!(bad.code == Some(1) && bad.stderr.contains("tl.yml"), "{}", bad.stderr);
    fs::write(&file, LICENCES).unwrap();
    let good = cairnd(running.data.path(), &["persister", "reload"]);
    assert!(good.stdout.contains("change-licence  audited 1  not audited 0\n"), "{}", good.stdout);
    let tried = running.quarantine(&["retry", "--all"]);
    assert_eq!((tried.code, tried.stdout), (Some(0), format!("{id}  2 records\n")));
    assert_eq!(running.listed(), Vec::<Value>::new());
    assert_eq!(fs::read_dir(running.data.path().join("quarantine")).unwrap().count(), 0);
    let operations: Vec<String> = running.on_record().into_iter().map(|(operation, _)| operation).collect();
    assert_eq!(operations, ["cairn.quarantined", "cairn.quarantine-released"]);
    // It was recorded by who brought it, and a late delivery makes nothing new.
    assert_eq!(running.captured("change-licence", &changed("uno"))["again"], true);
}

#[test]
fn a_delivery_that_can_be_mapped_now_leaves_the_quarantine() {
    let running = running();
    let narrow = running.new_token(&["--rights", "append", "--tenants", "ka"]);
    let (id, reason) = kept(&running.ask_with(&narrow, capture("save-licence", &licences())));
    assert_eq!(reason, "no-tenant");
    // Who tries it again for the one that brought it has that one's rights, unless another one is named.
    let tried = running.quarantine(&["retry", &id, "--json"]);
    let line: Value = serde_json::from_str(&tried.stdout).unwrap();
    assert_eq!((tried.code, &line["records"]), (Some(1), &json!(0)));
    let other = running.new_token(&["--rights", "read", "--tenants", "pb,pb.*"]);
    let token_id = |token: &str| token.split('_').nth(1).unwrap().to_owned();
    let refused = running.quarantine(&["retry", &id, "--token", &token_id(&other)]);
    assert!(refused.code == Some(1) && refused.stderr.contains("has no right to append"), "{}", refused.stderr);
    assert_eq!(running.captured("save-licence", &licences())["captured"], 5);
    assert_eq!(running.listed(), Vec::<Value>::new());
    let (id, _) = kept(&running.ask_with(&narrow, capture("change-licence", &changed("x"))));
    let tried = running.quarantine(&["retry", &id, "--token", &token_id(&running.data.token)]);
    assert_eq!((tried.code, tried.stdout), (Some(0), format!("{id}  2 records\n")));
}

#[test]
fn what_is_dropped_is_gone_and_that_is_on_record() {
    let running = running();
    let (id, _) = kept(&running.ask_with(&running.data.token, capture("other", &json!({"who": "Ada"}))));
    let digest = running.listed()[0]["line"]["digest"].clone();
    assert_eq!(running.quarantine(&["drop", &id]).code, Some(0));
    assert_eq!(running.listed(), Vec::<Value>::new());
    let files = |running: &Running| fs::read_dir(running.data.path().join("quarantine")).unwrap().count();
    assert_eq!(files(&running), 0);
    let (operation, content) = running.on_record().pop().unwrap();
    assert_eq!(
        (operation.as_str(), &content["values"]["whole"]["/digest"]["new"]),
        ("cairn.quarantine-dropped", &digest)
    );
    let again = running.quarantine(&["drop", &id]);
    assert!(again.code == Some(1) && again.stderr.contains("there is no quarantined message"), "{}", again.stderr);
    let bad = running.quarantine(&["show", "../tokens.json"]);
    assert_eq!(bad.code, Some(2));
    // Brought once more, it is there once more, and that is on record too.
    kept(&running.ask_with(&running.data.token, capture("other", &json!({"who": "Ada"}))));
    assert_eq!((files(&running), running.on_record().len()), (1, 3));
    let Running { data, server, .. } = running;
    server.stop();
    let offline = cairnd(data.path(), &["quarantine", "list"]);
    assert!(offline.code == Some(1) && offline.stderr.contains("start it with: cairnd serve"), "{}", offline.stderr);
}

#[test]
fn a_full_quarantine_refuses_what_it_can_not_keep_and_nothing_else() {
    let running = Running::start_with(|data| {
        configured(data, LICENCES, "");
        data.set_limit("quarantine_messages", 2);
    });
    let (id, _) = kept(&running.ask_with(&running.data.token, capture("other", &json!(1))));
    let answer = running.ask_with(&running.data.token, capture("other", &json!(2)));
    let told = "the quarantine is full, as far as this credential may fill it: look at what is there (cairnd quarantine \
                list), and retry or drop it, or raise limits.quarantine_messages and limits.quarantine_bytes";
    let expected = json!({
        "ResponseInfo": {"resMsgId": "uief87324", "status": "failed"},
        "Errors": [{"code": "EG_AUDIT_LOGS_CREATE_ERR", "message": told,
                    "description": error(&answer)["Errors"][0]["description"], "params": null}],
    });
    assert_eq!(error(&answer), expected);
    assert_eq!(running.captured("save-licence", &licences())["captured"], 5, "what can be mapped is recorded");
    assert_eq!(kept(&running.ask_with(&running.data.token, capture("other", &json!(1)))).0, id, "what is there stays");
    let other = running.new_token(&["--rights", "append", "--tenants", "ka"]);
    kept(&running.ask_with(&other, capture("other", &json!(3))));
    let third = running.new_token(&["--rights", "append", "--tenants", "ka"]);
    let message = error(&running.ask_with(&third, capture("other", &json!(4))))["Errors"][0]["message"].clone();
    assert!(message.as_str().unwrap().starts_with("the quarantine is full, with messages of all credentials"));
    assert_eq!(running.quarantine(&["drop", &id]).code, Some(0));
    kept(&running.ask_with(&running.data.token, capture("other", &json!(2))));
}

/// A key that comes again with something else stands for two messages, of which neither is lost nor let go of for the other.
#[test]
fn what_one_key_stands_for_twice_is_kept_twice() {
    let running = running();
    let token = running.data.token.clone();
    let bring = |key: &str, topic: &str, value: &Value| {
        let request = capture(topic, value).with("idempotency-key", key);
        running.ask_with(&token, request)
    };
    let (first, _) = kept(&bring("k", "other", &json!({"a": 1})));
    let (second, _) = kept(&bring("k", "other", &json!({"a": 2})));
    assert_ne!(first, second);
    assert_eq!(kept(&bring("k", "other", &json!({"a": 1}))).0, first, "the same again is one message");
    let recorded = json_of(&bring("k", "save-licence", &licences()));
    assert!(recorded["captured"].as_u64().is_some_and(|rows| rows > 0), "{recorded}");
    let left: Vec<Value> = running.listed().iter().map(|line| line["id"].clone()).collect();
    assert!(left.len() == 2 && left.contains(&json!(first)) && left.contains(&json!(second)), "{left:?}");
}

#[test]
fn what_is_no_list_where_rows_should_be_is_kept_and_not_taken_for_an_empty_one() {
    let running = running();
    let mut value = licences();
    for wrong in [json!("oops"), json!(5), json!(true)] {
        value["Licences"] = wrong;
        let answer = running.ask_with(&running.data.token, capture("save-licence", &value));
        assert_eq!(kept(&answer).1, "not-an-object");
    }
}
