//! Tokens and private logs: who may do what, and what those who may not get to know.

use cairn_tests::http::{Request, Response};
use cairn_tests::server::cairnd;

use super::{Running, json};

fn with_token(request: Request, token: &str) -> Request {
    request.with("authorization", format!("Bearer {token}"))
}

fn new_token(running: &Running, arguments: &[&str]) -> String {
    let ended = cairnd(running.data.path(), &[&["token", "create"], arguments].concat());
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    ended.stdout.trim().to_owned()
}

/// An answer without what differs from request to request.
fn telling(answer: &Response) -> (u16, Vec<(String, String)>, String) {
    let varying = ["date", "x-request-id"];
    let headers = answer.headers.iter().filter(|(name, _)| !varying.contains(&name.as_str())).cloned().collect();
    (answer.status, headers, answer.text())
}

#[test]
fn appends_need_a_token_with_the_right_on_that_log() {
    let running = Running::start_with(|data| drop(data.create_log("other", &[])));
    let missing = running.ask(Request::post("/logs/main/add", "x"));
    assert_eq!((missing.status, missing.header("www-authenticate")), (401, Some("Bearer")));
    for bad in ["Bearer", "Bearer ", "Bearer x", "Basic eDp5", "bearer cairn_000000000000_AAAA"] {
        let answer = running.ask(Request::post("/logs/main/add", "x").with("authorization", bad));
        let challenge = Some("Bearer error=\"invalid_token\"");
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, challenge), "{bad}");
    }
    let reader = new_token(&running, &["--rights", "read"]);
    let answer = running.ask(with_token(Request::post("/logs/main/add", "x"), &reader));
    let challenge = Some("Bearer error=\"insufficient_scope\"");
    assert_eq!((answer.status, answer.header("www-authenticate")), (403, challenge));
    let producer = new_token(&running, &["--rights", "append", "--logs", "oth*"]);
    assert_eq!(running.ask(with_token(Request::post("/logs/main/add", "x"), &producer)).status, 403);
    assert_eq!(running.ask(with_token(Request::post("/logs/other/add", "x"), &producer)).status, 200);
    assert_eq!(running.get("/logs/main/head").text().lines().nth(1), Some("0"));
}

/// What follows the prefix and the id; it may have the separator in it.
fn secret_of(token: &str) -> &str {
    token.splitn(3, '_').last().unwrap()
}

#[test]
fn tokens_are_made_and_revoked_while_the_server_runs() {
    let running = Running::start();
    let token = new_token(&running, &["--name", "laptop"]);
    assert_eq!(running.ask(with_token(Request::post("/logs/main/add", "x"), &token)).status, 200);
    let listed = cairnd(running.data.path(), &["token", "list"]).stdout;
    let line = listed.lines().find(|line| line.ends_with("laptop")).unwrap();
    let (secret, id) = (secret_of(&token), line.split(' ').next().unwrap());
    assert!(token.contains(id) && !listed.contains(secret));
    assert_eq!(cairnd(running.data.path(), &["token", "revoke", id]).code, Some(0));
    assert_eq!(running.ask(with_token(Request::post("/logs/main/add", "x"), &token)).status, 401);
    let again = cairnd(running.data.path(), &["token", "revoke", id]);
    assert_eq!(
        (again.code, again.stderr),
        (Some(1), format!("cairnd: there is no token {id}; see: cairnd token list\n"))
    );
    let file = std::fs::read_to_string(running.data.path().join("tokens.json")).unwrap();
    assert!(!file.contains(secret_of(&running.data.token)));
}

#[test]
fn a_private_log_is_absent_for_those_who_may_not_read_it() {
    let running = Running::start_with(|data| drop(data.create_log("secret", &["--private"])));
    let producer = new_token(&running, &["--rights", "append", "--logs", "secret"]);
    assert_eq!(running.add("secret", b"x"), 0);
    let routes = [
        "head",
        "checkpoint",
        "tile/0/000.p/1",
        "tile/entries/000.p/1",
        "entries/0",
        "entries?start=0",
        "events",
        "proof/inclusion?index=0",
        "proof/consistency?from=1",
    ];
    for route in routes {
        let absent = running.get(&format!("/logs/absent/{route}"));
        assert_eq!(absent.status, 404);
        let path = format!("/logs/secret/{route}");
        for asked in
            [Request::get(&path), with_token(Request::get(&path), &producer), with_token(Request::get(&path), "x")]
        {
            assert_eq!(telling(&running.ask(asked)), telling(&absent), "{route}");
        }
        assert_eq!(absent.header("cache-control"), Some("private, no-store"), "{route}");
        if route != "events" {
            let answer = running.ask_with_token(Request::get(&path));
            assert_eq!((answer.status, answer.header("cache-control")), (200, Some("private, no-store")), "{route}");
        }
    }
    for route in ["add", "entries"] {
        let absent = running.ask(Request::post(format!("/logs/absent/{route}"), "x"));
        let hidden = running.ask(Request::post(format!("/logs/secret/{route}"), "x"));
        assert_eq!(telling(&hidden), telling(&absent), "{route}");
        let appended = running.ask_with_token(Request::post(format!("/logs/secret/{route}"), "x"));
        assert_eq!((appended.status, appended.header("cache-control")), (200, Some("private, no-store")), "{route}");
    }
}

#[test]
fn a_private_logs_figures_are_for_those_who_may_read_it() {
    let running = Running::start_with(|data| drop(data.create_log("secret", &["--private"])));
    let logs = |answer: Response| -> Vec<String> {
        assert_eq!(answer.status, 200);
        let figures = answer.text();
        figures.lines().filter_map(|line| line.strip_prefix("cairn_log_size{")).map(str::to_owned).collect()
    };
    let public = ["log=\"main\"} 0.0".to_owned()];
    assert_eq!(logs(running.get("/metrics")), public);
    for rights in [["--rights", "append"], ["--rights", "admin"]] {
        let token = new_token(&running, &rights);
        assert_eq!(logs(running.ask(with_token(Request::get("/metrics"), &token))), public, "{rights:?}");
    }
    let other = new_token(&running, &["--rights", "read", "--logs", "main"]);
    assert_eq!(logs(running.ask(with_token(Request::get("/metrics"), &other))), public);
    let reader = new_token(&running, &["--rights", "read", "--logs", "secret"]);
    let both = [public[0].clone(), "log=\"secret\"} 0.0".to_owned()];
    assert_eq!(logs(running.ask(with_token(Request::get("/metrics"), &reader))), both);
}

#[test]
fn an_open_log_takes_appends_from_anyone() {
    let running = Running::start_with(|data| drop(data.create_log("open", &["--open-append"])));
    let add = |key: &str| Request::post("/logs/open/add", "x").with("idempotency-key", key);
    assert_eq!(running.ask(add("a")).text(), "0");
    assert_eq!(running.ask(add("a")).text(), "0");
    assert_eq!(running.ask_with_token(add("a")).text(), "1", "a token's keys are its own");
    let problem = running.ask(Request::post("/logs/open/add", "cairn.record/1"));
    assert_eq!(json(&problem)["status"], 422);
}
