//! Who may bring and see records, and that a tenant which is not one's own can't be told from one that there is not.

use cairn_tests::http::Request;
use cairn_tests::server::cairnd;
use serde_json::json;

use super::{Running, json_of, post, record, telling};

#[test]
fn init_gives_a_token_that_brings_records_and_one_that_sees_all_of_them() {
    let running = Running::start();
    let listed = cairnd(running.data.path(), &["token", "list"]).stdout;
    let lines: Vec<&str> = listed.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    assert_eq!(
        lines,
        [
            "append,read,disclose:internal  logs *  tenants *  producer",
            "read,disclose:secret  logs *  tenants *  auditor"
        ]
    );
}

#[test]
fn tokens_name_their_tenants_and_the_class_that_they_see() {
    let running = Running::start();
    let create = |arguments: &[&str]| cairnd(running.data.path(), &[&["token", "create"], arguments].concat());
    for (arguments, expected) in [
        (
            &["--rights", "read,disclose:restricted", "--tenants", "pb,pb.*", "--name", "a"][..],
            "read,disclose:restricted  no logs  tenants pb,pb.*  a",
        ),
        (&["--tenants", "*", "--name", "e"], "append,read  logs *  tenants *  e"),
        (&["--tenants", "pb", "--logs", "*", "--name", "f"], "append,read  logs *  tenants pb  f"),
        (&["--logs", "", "--name", "g"], "append,read  no logs  g"),
        (&["--name", "b"], "append,read  logs *  tenants *  b"),
        (&["--logs", "main", "--name", "c"], "append,read  logs main  c"),
        (&["--tenants", "", "--name", "d"], "append,read  logs *  d"),
    ] {
        assert_eq!(create(arguments).code, Some(0), "{arguments:?}");
        let listed = cairnd(running.data.path(), &["token", "list"]).stdout;
        assert!(listed.lines().any(|line| line.ends_with(expected)), "{listed}");
    }
    for bad in
        [["--rights", "disclose"], ["--rights", "disclose:all"], ["--tenants", "*pb"], ["--producer-key", "AAAA"]]
    {
        let ended = create(&bad);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{bad:?}");
    }
}

/// A private log of one tenant has nothing for a token of another, as a log no more than as records.
#[test]
fn a_token_for_a_tenant_is_good_for_no_log_that_is_not_named() {
    let running = Running::start();
    let made = cairnd(running.data.path(), &["tenant", "create", "own", "--private"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let asked = |arguments: &[&str], method: &str, path: &str| {
        let token = running.new_token(&[&["--rights", "append,read"], arguments].concat());
        let request = if method == "POST" { Request::post(path, "raw") } else { Request::get(path) };
        running.ask_with(&token, request).status
    };
    for (method, path) in [("POST", "/logs/own/add"), ("GET", "/logs/own/head"), ("GET", "/logs/own/checkpoint")] {
        let refused = asked(&["--tenants", "pb"], method, path);
        assert!(matches!(refused, 401 | 403 | 404), "{path}: {refused}");
        assert_eq!(refused, asked(&["--logs", "other"], method, path), "{path}");
        assert_eq!(asked(&["--tenants", "pb", "--logs", "own"], method, path), 200, "{path}");
    }
}

/// Each right against each route.
#[test]
fn every_route_needs_its_right() {
    let running = Running::start();
    let id = running.brought(&record("pb", "1", "create"))["records"][0]["id"].as_str().unwrap().to_owned();
    let routes = |id: &str| {
        [
            (true, post(&record("pb", "2", "create"))),
            (false, Request::get("/v1/records?tenant=pb")),
            (false, Request::get(format!("/v1/records/{id}"))),
            (false, Request::get(format!("/v1/records/{id}/receipt"))),
            (false, Request::get("/v1/streams/entity/pb/tl/license/1")),
            (false, Request::get("/v1/streams/entity/pb/tl/license/1/state")),
            (false, Request::get("/v1/streams/entity/pb/tl/license/1/diff")),
            (false, Request::get("/v1/reports?tenant=pb")),
        ]
    };
    for (appends, request) in routes(&id) {
        let anonymous = running.ask(request.clone());
        assert_eq!((anonymous.status, anonymous.header("www-authenticate")), (401, Some("Bearer")), "{request:?}");
        let unknown = running.ask_with("cairn_000000000000_AAAA", request.clone());
        assert_eq!(unknown.status, 401);
        for (rights, good) in [("append", appends), ("read", !appends), ("admin", false), ("disclose:secret", false)] {
            let token = running.new_token(&["--rights", rights]);
            let answer = running.ask_with(&token, request.clone());
            assert_eq!(answer.status, if good { 200 } else { 403 }, "{rights} {request:?}");
            assert_eq!(answer.header("cache-control"), Some("private, no-store"));
        }
    }
}

#[test]
fn a_foreign_tenant_is_answered_as_one_that_there_is_not() {
    let running = Running::start();
    let id = running.brought(&record("pb", "1", "create"))["records"][0]["id"].as_str().unwrap().to_owned();
    let absent = "01939f5a-7c00-7a3b-8c4d-5e6f708192a3";
    let token = running.new_token(&["--rights", "append,read,disclose:secret", "--tenants", "ka,ka.*"]);
    let ask = |request| telling(&running.ask_with(&token, request));
    let not_there = ask(Request::get(format!("/v1/records/{absent}")));
    assert_eq!(not_there.0, 404);
    for request in [
        Request::get(format!("/v1/records/{id}")),
        Request::get(format!("/v1/records/{id}/receipt")),
        Request::get(format!("/v1/records/{id}")).with("x-tenant-id", "pb"),
        Request::get("/v1/records?tenant=pb"),
        Request::get("/v1/records?tenant=nowhere"),
        Request::get("/v1/records").with("x-tenant-id", "pb"),
        Request::get("/v1/streams/entity/pb/tl/license/1"),
        Request::get("/v1/streams/entity/nowhere/tl/license/1/state"),
        Request::get("/v1/streams/named/pb/1/diff"),
        Request::get("/v1/streams/named/pb/1/events"),
        Request::get("/v1/reports?tenant=pb"),
        post(&record("pb", "1", "update")),
        post(&record("nowhere", "1", "update")),
        post(&json!([record("ka", "1", "create"), record("pb", "1", "update")])),
        post(&record("ka", "1", "create")).with("x-tenant-id", "pb"),
    ] {
        assert_eq!(ask(request.clone()), not_there, "{request:?}");
    }
    assert_eq!(running.size(), 1, "nothing of a refused batch was written");
    assert_eq!(running.ask_with(&token, post(&record("ka.1", "1", "create"))).status, 200);
    assert_eq!(running.ask_with(&token, Request::get("/v1/records?tenant=ka")).status, 200);
}

#[test]
fn values_above_ones_class_are_withheld_and_the_rest_is_shown() {
    let running = Running::start();
    let id = running.brought(&record("pb", "1", "create"))["records"][0]["id"].as_str().unwrap().to_owned();
    let fields = ["/status", "/fee", "/owner", "/iban"];
    for (rights, shown) in [
        ("read", 0),
        ("read,disclose:public", 1),
        ("read,disclose:internal", 2),
        ("read,disclose:restricted", 3),
        ("read,disclose:secret", 4),
    ] {
        let token = running.new_token(&["--rights", rights]);
        let answer = json_of(&running.ask_with(&token, Request::get(format!("/v1/records/{id}"))));
        for (number, field) in fields.iter().enumerate() {
            let value = &answer["record"]["view"]["values"]["whole"][field];
            assert_eq!(value["withheld"] == true, number >= shown, "{rights} {field} {answer}");
            assert_eq!(value.get("new").is_some(), number < shown, "{rights} {field}");
        }
        let withheld = answer["record"]["withheld"].as_array().map_or(0, Vec::len);
        assert_eq!(withheld, fields.len() - shown, "{rights}");
        assert_eq!(answer["record"]["view"]["actor"]["id"], "8a1f", "{rights}");
    }
}
