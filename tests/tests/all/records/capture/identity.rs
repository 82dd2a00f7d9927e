//! What a row is known by: no two rows of an object share a key, and none that has none is taken for another.

use serde_json::{Value, json};

use super::super::Running;
use super::quarantine::kept;
use super::{capture, configured, of_users};

fn running() -> Running {
    let mappings: [(&str, &str, &str, &[&str]); 3] = [
        (
            "roles",
            "INSERT INTO eg_role(userid, roleid, since) VALUES (?, ?, ?)",
            "$.user.roles.*",
            &["$.user.roles.*.user", "$.user.roles.*.code", "$.user.roles.*.since"],
        ),
        (
            "many",
            "INSERT INTO eg_pair(id, n) VALUES (?, ?), (?, ?)",
            "$.user",
            &["$.user.one", "$.user.one", "$.user.two", "$.user.two"],
        ),
        ("made", "INSERT INTO eg_made(id, n) VALUES (?, ?)", "$.user.made.*", &["default", "$.user.made.*.n"]),
    ];
    let row_keys = "row_keys = { eg_role = [\"userid\", \"roleid\"] }";
    Running::start_with(|data| configured(data, &of_users(&mappings), row_keys))
}

/// A user's roles, each of a user, a code and a number.
fn roles(roles: &[(Value, Value, u64)]) -> Value {
    let role = |(user, code, since): &(Value, Value, u64)| json!({"user": user, "code": code, "since": since});
    json!({"user": {"uuid": "U", "tenantId": "pb", "roles": roles.iter().map(role).collect::<Vec<_>>(),
        "auditDetails": {"createdBy": "c", "createdTime": 1_700_000_000_000_u64, "lastModifiedBy": "", "lastModifiedTime": 0}}})
}

/// The keys of the user's rows on record.
fn keys(running: &Running) -> Vec<String> {
    let shown = running.shown("/v1/records?tenant=pb&module=user&entity=eg_role");
    let records = shown["records"].as_array().unwrap();
    records.iter().map(|record| record["view"]["object"]["row"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn rows_with_different_columns_have_different_keys() {
    let running = running();
    let message = roles(&[
        (json!("a,b"), json!("c"), 1),
        (json!("a"), json!("b,c"), 2),
        (json!("a\\,b"), json!("c"), 3),
        (json!("a\\"), json!("b,c"), 4),
        (json!(7), json!(true), 5),
    ]);
    let answer = running.captured("roles", &message);
    assert_eq!(answer["captured"], 5, "{answer}");
    let expected = [r"7,true", r"a,b\,c", r"a\,b,c", r"a\\,b\,c", r"a\\\,b,c"];
    let mut keys = keys(&running);
    keys.sort();
    assert_eq!(keys, expected);
    // The time that was set stands where the other was not.
    assert_eq!(answer["AuditLogs"][0]["changeDate"], 1_700_000_000_000_u64);
    assert_eq!(answer["AuditLogs"][0]["userUUID"], "c");
}

#[test]
fn a_row_that_nothing_tells_from_others_is_quarantined() {
    let running = running();
    for nothing in [Value::Null, json!(""), json!({"a": 1}), json!([1])] {
        let message = roles(&[(json!("a"), json!("b"), 1), (json!("a"), nothing, 2)]);
        let answer = running.ask_with(&running.data.token, capture("roles", &message));
        assert_eq!(kept(&answer).1, "no-identity", "{}", answer.text());
        assert!(answer.text().contains(r#"column \"code\""#), "{}", answer.text());
    }
    let pair = json!({"user": {"uuid": "U", "tenantId": "pb", "one": 1, "two": 2}});
    assert_eq!(kept(&running.ask_with(&running.data.token, capture("many", &pair))).1, "query-unclear");
    // What the database makes up is no key; the operator is told that rows are taken for one.
    let made = json!({"user": {"uuid": "U", "tenantId": "pb", "made": [{"n": 1}, {"n": 2}]}});
    assert_eq!(running.captured("made", &made)["captured"], 2);
    let said = running.server.stderr();
    assert!(said.contains("several rows in eg_made") && said.contains("writes several rows at once"), "{said}");
}
