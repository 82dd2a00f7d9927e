//! Whether what the server answers stands in its own description: each route is asked well and badly, and the status and the
//! media type of each answer are looked for in `/openapi.json`.

use std::collections::BTreeSet;

use cairn_tests::http::{Request, Response};
use serde_json::{Value, json};

use super::{Running, json as json_of};

/// What is asked of each operation besides what it is for.
#[derive(Debug, Clone, Copy)]
enum Badly {
    Not,
    WithoutToken,
    WithBadToken,
    WithoutRight,
    ForOtherTypes,
    WithUnknownQuery,
    OfNothing,
    WithBadBody,
    WithBodyOfOtherType,
}

const WAYS: [Badly; 9] = [
    Badly::Not,
    Badly::WithoutToken,
    Badly::WithBadToken,
    Badly::WithoutRight,
    Badly::ForOtherTypes,
    Badly::WithUnknownQuery,
    Badly::OfNothing,
    Badly::WithBadBody,
    Badly::WithBodyOfOtherType,
];

/// A path with something that is there in each of its places, or with nothing that is.
fn target(path: &str, record: &str, nothing: bool) -> String {
    let place = |there: &'static str| if nothing { "none" } else { there };
    let filled = path
        .replace("{log}", place("main"))
        .replace("{id}", if nothing { "00000000-0000-7000-8000-000000000000" } else { record })
        .replace("{index}", if nothing { "999999" } else { "0" })
        .replace("{tenant}", "pb")
        .replace("{module}", "tl")
        .replace("{entity}", "license")
        .replace("{object}", place("PB-1"))
        .replace("{name}", "a%2Fb");
    // What is left is the path of a tile.
    match filled.split_once('{') {
        Some((before, _)) => format!("{before}{}", if nothing { "9/999" } else { "0/000.p/1" }),
        None => filled,
    }
}

fn query(path: &str) -> &'static str {
    match path {
        "/logs/{log}/entries" => "start=0&end=1",
        "/logs/{log}/proof/inclusion" => "index=0",
        "/logs/{log}/proof/consistency" => "from=1&to=1",
        "/v1/records" => "tenant=pb",
        "/v1/reports" => "tenant=pb&by=module",
        _ if path.ends_with("/diff") => "from=0&to=0",
        _ => "",
    }
}

fn request(running: &Running, (method, path): (&str, &str), record: &str, way: Badly) -> Request {
    let mut target = target(path, record, matches!(way, Badly::OfNothing));
    let query = if method == "get" { query(path) } else { "" };
    let unknown = if matches!(way, Badly::WithUnknownQuery) { "nonsense=1" } else { "" };
    let parts: Vec<&str> = [query, unknown].into_iter().filter(|part| !part.is_empty()).collect();
    if !parts.is_empty() {
        target = format!("{target}?{}", parts.join("&"));
    }
    let request = if method == "get" { Request::get(target) } else { Request::post(target, body(path, way)) };
    let request = match way {
        Badly::WithBodyOfOtherType => request.with("content-type", "image/png"),
        _ if path == "/logs/{log}/add" => request,
        _ => request.with("content-type", "application/json"),
    };
    let request = if matches!(way, Badly::ForOtherTypes) { request.with("accept", "image/png") } else { request };
    let token = match way {
        Badly::WithoutToken => return request,
        Badly::WithBadToken => "cairn_0_A",
        Badly::WithoutRight if method == "get" => return request.with("authorization", bearer(&running.data.token)),
        Badly::WithoutRight => &running.data.auditor,
        _ if method == "get" => &running.data.auditor,
        _ => &running.data.token,
    };
    request.with("authorization", bearer(token))
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn body(path: &str, way: Badly) -> Vec<u8> {
    let good = match path {
        _ if matches!(way, Badly::WithBadBody) => return b"{\"a\":".to_vec(),
        "/logs/{log}/entries" => json!({"entries": ["YQ=="]}),
        "/v1/records" => record(),
        _ => json!({}),
    };
    good.to_string().into_bytes()
}

fn record() -> Value {
    json!({"object": {"tenant": "pb", "module": "tl", "entity": "license", "id": "PB-1", "operation": "update"}})
}

/// Whether an operation's description has the answer.
fn has(operation: &Value, answer: &Response) -> bool {
    let (exact, class) = (answer.status.to_string(), format!("{}XX", answer.status / 100));
    let responses = &operation["responses"];
    let Some(response) = responses.get(&exact).or_else(|| responses.get(&class)) else { return false };
    let media_type = answer.headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.as_str());
    let essence = |text: &str| text.split(';').next().unwrap_or_default().trim().to_owned();
    match (media_type, response["content"].as_object()) {
        _ if answer.body.is_empty() => true,
        (Some(media_type), Some(content)) => content.keys().any(|described| essence(described) == essence(media_type)),
        _ => false,
    }
}

#[test]
fn whatever_the_server_answers_its_description_has() {
    let running = Running::start();
    running.add("main", b"an entry");
    let brought = running
        .ask_with_token(Request::post("/v1/records", record().to_string()).with("content-type", "application/json"));
    let id = json_of(&brought)["records"][0]["id"].as_str().unwrap().to_owned();
    let document = json_of(&running.get("/openapi.json"));
    let (mut lacking, mut statuses, mut asked) = (Vec::new(), BTreeSet::new(), 0);
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            // What is followed does not end.
            if path.ends_with("/events") {
                continue;
            }
            for way in WAYS {
                let answer = running.ask(request(&running, (method, path), &id, way));
                asked += 1;
                statuses.insert(answer.status);
                if !has(operation, &answer) {
                    let headers = answer.headers.iter().filter(|(name, _)| name == "content-type");
                    let types: Vec<_> = headers.map(|(_, value)| value.clone()).collect();
                    lacking.push(format!("{method} {path} {way:?}: {} {types:?}", answer.status));
                }
            }
        }
    }
    assert!(lacking.is_empty(), "not described:\n{}", lacking.join("\n"));
    assert!(asked > 150, "{asked}");
    let wanted = [200, 400, 401, 403, 404, 406, 415];
    assert!(wanted.iter().all(|status| statuses.contains(status)), "{statuses:?}");
}
