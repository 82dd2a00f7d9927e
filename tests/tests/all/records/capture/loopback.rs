//! The listener that needs no credential: on this machine alone, for DIGIT's routes alone, as one token.

use std::net::SocketAddr;

use cairn_tests::http::{Connection, Request, Response};
use cairn_tests::server::{Data, cairnd};
use serde_json::json;

use super::super::{Running, json_of};
use super::{LICENCES, capture, configured, error, licences};

/// A server with such a listener, where it listens, and the id of its token.
fn running() -> (Running, SocketAddr, String) {
    let mut id = String::new();
    let running = Running::start_with(|data| {
        let token = new_token(data);
        id = token.split('_').nth(1).unwrap().to_owned();
        configured(data, LICENCES, &format!("listen = \"127.0.0.1:0\"\ntoken = \"{id}\""));
    });
    let told = running.server.stderr();
    let line = told.lines().find(|line| line.contains("need no credential here")).expect("where it listens");
    let address = line.split("http://").nth(1).unwrap().split(|byte: char| byte == '"' || byte.is_whitespace()).next();
    (running, address.unwrap().parse().unwrap(), id)
}

fn new_token(data: &Data) -> String {
    let arguments = ["token", "create", "--rights", "append,read,disclose:internal", "--tenants", "pb,pb.*"];
    cairnd(data.path(), &arguments).stdout.trim().to_owned()
}

fn ask(address: SocketAddr, request: &Request) -> Response {
    Connection::open(address).unwrap().ask(request).unwrap()
}

#[test]
fn requests_from_this_machine_act_as_its_token() {
    let (running, address, id) = running();
    let answer = ask(address, &capture("save-licence", &licences()));
    assert_eq!((answer.status, &json_of(&answer)["captured"]), (200, &json!(5)), "{}", answer.text());
    let search = || Request::post("/audit-service/log/v1/_search?objectId=L-1&tenantId=pb.amritsar", "{}");
    assert_eq!(json_of(&ask(address, &search()))["AuditLogs"].as_array().unwrap().len(), 4);
    let foreign = Request::post("/audit-service/log/v1/_search?objectId=L-1&tenantId=ka", "{}");
    assert_eq!(ask(address, &foreign).status, 400, "its token is for pb and what is below");
    // The other listener knows nothing of it.
    error(&running.ask(capture("save-licence", &licences())));
    // A credential that is sent counts, a wrong one too.
    let by_header = |token: &str| capture("save-licence", &licences()).with("authorization", format!("Bearer {token}"));
    assert_eq!(ask(address, &by_header(&running.data.token)).status, 200);
    error(&ask(address, &by_header("cairn_000000000000_AAAA")));
    // What a browser or a proxy passes on needs one.
    for (name, value) in [("origin", "http://evil.example"), ("x-forwarded-for", "10.0.0.1"), ("via", "1.1 proxy")] {
        error(&ask(address, &capture("save-licence", &licences()).with(name, value)));
    }
    // Nothing else is served there.
    for target in ["/healthz", "/metrics", "/v1/records", "/logs/main/head", "/docs"] {
        assert_eq!(ask(address, &Request::get(target)).status, 404, "{target}");
        let with = Request::get(target).with("authorization", format!("Bearer {}", running.data.token));
        assert_eq!(ask(address, &with).status, 404, "{target}");
    }
    // Without its token it stands for nobody.
    assert_eq!(cairnd(running.data.path(), &["token", "revoke", &id]).code, Some(0));
    error(&ask(address, &capture("save-licence", &licences())));
    // The next start serves everything else, and says what to do.
    let Running { server, data, .. } = running;
    server.stop();
    let again = data.serve();
    let told = again.stderr();
    assert!(told.contains("digit.listen stays closed") && !told.contains("need no credential here"), "{told}");
    let health = ask(again.address(), &Request::get("/healthz"));
    assert_eq!(health.status, 200, "{}", health.text());
}

#[test]
fn a_listener_that_others_reach_or_that_names_no_token_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let file = data.path().join("cairnd.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    for (section, told) in [
        ("listen = \"0.0.0.0:0\"\ntoken = \"0123456789ab\"", "digit.listen is 0.0.0.0:0, which is no loopback address"),
        ("listen = \"127.0.0.1:0\"", "digit.listen and digit.token go together"),
    ] {
        std::fs::write(&file, text.replace("# persister = []", section)).unwrap();
        let ended = data.try_serve().map(|_| ()).unwrap_err();
        assert!(ended.code == Some(1) && ended.stderr.contains(told), "{}", ended.stderr);
    }
}
