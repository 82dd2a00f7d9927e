//! Bad input: each is refused with a problem document that names the field, the value and the bound, and leaves nothing.

use cairn_tests::http::{Request, Response};
use serde_json::{Value, json};

use super::{Running, encoded, json};

const OCTETS: &str = "application/octet-stream";
const ENTRIES: &str = "application/vnd.cairn.entries";
const JSON: &str = "application/json";
/// What every size is bounded by.
const SIZE: &str = "0 to 9223372036854775807";
/// What every index is bounded by.
const INDEX: &str = "0 to 9223372036854775806";
const TWO_TO_63: &str = "9223372036854775808";
const U64_MAX: &str = "18446744073709551615";

/// What is expected of an answer: status and kind, then field, value and bound where the table gives them.
struct Expected<'a>(u16, &'a str, [Option<&'a str>; 3]);

fn assert_problem(name: &str, answer: &Response, expected: &Expected<'_>) {
    let Expected(status, kind, members) = expected;
    assert_eq!(answer.status, *status, "{name}: {}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{name}");
    assert_eq!(answer.header("cache-control"), Some("private, no-store"), "{name}");
    assert!(answer.header("x-request-id").is_some(), "{name}");
    let document = json(answer);
    assert_eq!(document["type"], json!(format!("urn:cairn:problem:{kind}")), "{name}: {document}");
    assert_eq!(document["status"], json!(status), "{name}");
    assert!(document["title"].is_string() && document["detail"].is_string(), "{name}");
    for (member, value) in ["field", "value", "bound"].into_iter().zip(members) {
        let expected = value.map_or(Value::Null, |value| json!(value));
        assert_eq!(document[member], expected, "{name}, {member}: {document}");
    }
}

#[test]
fn numbers_that_are_none_or_past_any_tree_are_refused_with_their_bound() {
    let running = Running::start();
    running.add("main", b"a");
    let spellings = [
        "",
        "-1",
        "+1",
        "01",
        "1.0",
        "1e3",
        "0x1",
        "%31%",
        "one",
        TWO_TO_63,
        U64_MAX,
        "18446744073709551616",
        "%F0%9F",
    ];
    let routes = [
        ("/logs/main/entries?start=", "start", INDEX),
        ("/logs/main/entries?end=", "end", SIZE),
        ("/logs/main/proof/inclusion?index=", "index", INDEX),
        ("/logs/main/proof/inclusion?index=0&size=", "size", SIZE),
        ("/logs/main/proof/consistency?from=", "from", SIZE),
        ("/logs/main/proof/consistency?from=1&to=", "to", SIZE),
        ("/logs/main/events?start=", "start", SIZE),
    ];
    for (route, field, bound) in routes {
        for spelling in spellings {
            let bound = if spelling.starts_with('%') { None } else { Some(bound) };
            let answer = running.get(&format!("{route}{spelling}"));
            assert_problem(route, &answer, &Expected(400, "malformed", [Some(field), Some(spelling), bound]));
        }
    }
    for spelling in ["-1", "01", "1.0", "9223372036854775807", TWO_TO_63, U64_MAX, "a%2F", "%30"] {
        let answer = running.get(&format!("/logs/main/entries/{spelling}"));
        assert_problem("an entry", &answer, &Expected(400, "malformed", [Some("index"), Some(spelling), Some(INDEX)]));
    }
}

#[test]
fn numbers_past_the_head_are_refused_with_what_there_is() {
    let running = Running::start();
    for entry in [b"a", b"b", b"c"] {
        running.add("main", entry);
    }
    let largest = "9223372036854775806";
    let table = [
        ("entries/3", 404, "not-found", "index", "3", "below 3"),
        (&format!("entries/{largest}"), 404, "not-found", "index", largest, "below 3"),
        ("entries?start=4", 400, "out-of-range", "start", "4", "at most 3"),
        ("entries?start=2&end=1", 400, "out-of-range", "end", "1", "at least 2"),
        ("proof/inclusion?index=3", 400, "out-of-range", "index", "3", "below 3"),
        ("proof/inclusion?index=2&size=2", 400, "out-of-range", "index", "2", "below 2"),
        ("proof/inclusion?index=0&size=4", 400, "out-of-range", "size", "4", "at most 3"),
        (
            "proof/inclusion?index=0&size=9223372036854775807",
            400,
            "out-of-range",
            "size",
            "9223372036854775807",
            "at most 3",
        ),
        ("proof/inclusion?index=0&size=0", 400, "out-of-range", "index", "0", "of a log that is not empty"),
        ("proof/consistency?from=0", 400, "out-of-range", "from", "0", "at least 1"),
        ("proof/consistency?from=3&to=2", 400, "out-of-range", "from", "3", "at most 2"),
        ("proof/consistency?from=1&to=4", 400, "out-of-range", "to", "4", "at most 3"),
        ("events?start=4", 400, "out-of-range", "start", "4", "at most 3"),
    ];
    for (path, status, kind, field, value, bound) in table {
        let answer = running.get(&format!("/logs/main/{path}"));
        assert_problem(path, &answer, &Expected(status, kind, [Some(field), Some(value), Some(bound)]));
    }
}

#[test]
fn queries_and_hashes_are_read_strictly() {
    let running = Running::start();
    running.add("main", b"a");
    let hash_bound = "index or leaf_hash";
    let absent = cairn_tree::hash::Hash::leaf(b"elsewhere").to_base64();
    let table = [
        ("proof/inclusion", 400, "malformed", Some("query"), Some(""), Some(hash_bound)),
        ("proof/inclusion?index=0&leaf_hash=AA==", 400, "malformed", Some("query"), Some(""), Some(hash_bound)),
        ("proof/inclusion?leaf_hash=AA==", 400, "malformed", Some("leaf_hash"), Some("AA=="), None),
        ("proof/inclusion?leaf_hash=zz", 400, "malformed", Some("leaf_hash"), Some("zz"), None),
        (
            &format!("proof/inclusion?leaf_hash={}", absent.replace('+', "%2B")),
            404,
            "not-found",
            Some("leaf_hash"),
            Some(&absent),
            None,
        ),
        ("proof/inclusion?index=0&index=0", 400, "malformed", Some("index"), Some("0"), Some("at most once")),
        ("proof/inclusion?idx=0", 400, "malformed", Some("query"), Some("idx"), Some("index, leaf_hash, size")),
        ("proof/consistency", 400, "malformed", Some("from"), Some(""), Some("the older size")),
        ("entries/0?x=1", 400, "malformed", Some("query"), Some("x"), Some("no parameters")),
    ];
    for (path, status, kind, field, value, bound) in table {
        let answer = running.get(&format!("/logs/main/{path}"));
        assert_problem(path, &answer, &Expected(status, kind, [field, value, bound]));
    }
    let long = format!("/logs/main/head?{}", "x".repeat(2_048));
    let expected = Expected(414, "target-too-long", [Some("target"), None, Some("at most 2048 bytes")]);
    assert_problem("a long target", &running.get(&long), &expected);
}

#[test]
fn path_tricks_find_nothing() {
    let running = Running::start();
    for _ in 0..300 {
        running.add("main", b"x");
    }
    assert_eq!(running.get("/logs/main/tile/0/000").status, 200);
    let tricks = [
        "/",
        "/logs",
        "/logs/",
        "/logs/main",
        "/logs/main/",
        "/logs/other/head",
        "/logs/../logs/main/head",
        "/logs/./main/head",
        "/logs/%6dain/head",
        "//logs/main/head",
        "/logs/main//head",
        "/logs/main/head/",
        "/logs/main/HEAD",
        "/logs/MAIN/head",
        "/logs/main/tile/0/../0/000",
        "/logs/main/tile/0/%30%30%30",
        "/logs/main/tile/0/0000",
        "/logs/main/tile/0/00",
        "/logs/main/tile/00/000",
        "/logs/main/tile/-1/000",
        "/logs/main/tile/64/000",
        "/logs/main/tile/8/000",
        "/logs/main/tile/0/x000/000",
        "/logs/main/tile/0/000.p/0",
        "/logs/main/tile/0/000.p/256",
        "/logs/main/tile/0/000.p/01",
        "/logs/main/tile/0/000.p/",
        "/logs/main/tile/0/001",
        "/logs/main/tile/0/001.p/45",
        "/logs/main/tile/1/000.p/2",
        "/logs/main/tile/entries/001.p/45",
        "/logs/main/tile/0/x999/x999/x999/x999/x999/x999/999",
        "/logs/main/tile/0/x1/000",
        "/logs/main/tile/data/000",
        "/logs/main/tile/0/000/",
        "/logs/main/tile//000",
        "/logs/main/tile/entries/",
        "/logs/main/entries/",
        "/logs/main/entries/0/0",
        "/etc/passwd",
        "/logs/main/tile/0/..%2f..%2f..%2fetc%2fpasswd",
        "/logs/main/tile/0/000.p/44\\..",
        "/db/CURRENT",
        "/keys/main.skey",
    ];
    for path in tricks.into_iter().filter(|path| *path != "/") {
        assert_problem(path, &running.get(path), &Expected(404, "not-found", [None, None, None]));
    }
}

#[test]
fn wrong_methods_and_types_are_told_what_is_right() {
    let running = Running::start();
    let methods = [
        ("DELETE", "/logs/main/head", "GET, HEAD"),
        ("GET", "/logs/main/add", "POST"),
        ("PUT", "/logs/main/entries", "GET, HEAD, POST"),
        ("POST", "/logs/main/tile/0/000", "GET, HEAD"),
        ("POST", "/metrics", "GET, HEAD"),
        ("BREW", "/logs/absent/head", "GET, HEAD"),
    ];
    for (method, path, allow) in methods {
        let answer = running.ask(Request { method, target: path.into(), ..Request::default() });
        assert_problem(
            path,
            &answer,
            &Expected(405, "method-not-allowed", [Some("method"), Some(method), Some(allow)]),
        );
        assert_eq!(answer.header("allow"), Some(allow));
    }
    let types = "application/octet-stream, application/vnd.cairn.entries, application/json";
    for wrong in ["text/plain", "application/x-www-form-urlencoded", "application", "*/*", "\u{e9}"] {
        let answer = running.ask_with_token(Request::post("/logs/main/entries", "x").with("content-type", wrong));
        assert_problem(
            wrong,
            &answer,
            &Expected(415, "unsupported-type", [Some("content-type"), Some(wrong), Some(types)]),
        );
    }
    for coding in ["gzip", "zstd", "br"] {
        let answer = running.ask_with_token(Request::post("/logs/main/add", "x").with("content-encoding", coding));
        assert_problem(
            coding,
            &answer,
            &Expected(415, "unsupported-type", [Some("content-encoding"), Some(coding), Some("identity")]),
        );
    }
    running.add("main", b"a");
    let offers = "application/octet-stream, application/json, text/plain";
    let answer = running.ask(Request::get("/logs/main/entries/0").with("accept", "image/png"));
    assert_problem(
        "accept",
        &answer,
        &Expected(406, "not-acceptable", [Some("accept"), Some("image/png"), Some(offers)]),
    );
    assert_head_size(&running, 1);
}

#[test]
fn bodies_past_their_bounds_or_malformed_append_nothing() {
    let running = Running::start_with(|data| {
        data.set_limit("body_bytes", 100_000);
        data.set_limit("batch_entries", 3);
    });
    let large = vec![b'x'; 65_536];
    let four = encoded([b"a".as_slice(), b"b", b"c", b"d"]);
    let shape = "{\"entries\":[\"base64\", ...]}";
    let prefixed = "entries, each after its length in two bytes, big-endian";
    let json_long = batch(&format!("\"{}\"", "AAAA".repeat(21_846)));
    let base64 = "padded standard base64";
    let table: [(&str, &str, Vec<u8>, Expected<'_>); 16] = [
        ("one entry", OCTETS, large, too_large("entry", "65536", "at most 65535 bytes")),
        ("a body", ENTRIES, vec![0; 100_001], too_large("body", "100001", "at most 100000 bytes")),
        ("a batch", ENTRIES, four, too_large("entries", "more than 3", "at most 3 entries")),
        ("in JSON", JSON, batch(r#""","","","""#), too_large("entries", "more than 3", "at most 3 entries")),
        ("a JSON entry", JSON, json_long, too_large("entry", "65538", "at most 65535 bytes")),
        ("nothing", ENTRIES, vec![], malformed("entries", "0", "at least 1 entry")),
        ("nothing in JSON", JSON, batch(""), malformed("entries", "0", "at least 1 entry")),
        ("half a length", ENTRIES, vec![0], malformed("body", "", prefixed)),
        ("half an entry", ENTRIES, b"\0\x05abc".into(), malformed("body", "", prefixed)),
        ("no JSON", JSON, b"{".into(), malformed("body", "", shape)),
        ("deep JSON", JSON, "[".repeat(50_000).into(), malformed("body", "", shape)),
        ("other JSON", JSON, br#"{"entries":["YQ=="],"more":1}"#.into(), malformed("body", "", shape)),
        ("no UTF-8", JSON, b"{\"entries\":[\"\xff\"]}".into(), malformed("body", "", shape)),
        ("no base64", JSON, batch(r#""a b""#), malformed("entries", "a b", base64)),
        ("no padding", JSON, batch(r#""YQ""#), malformed("entries", "YQ", base64)),
        ("a record", ENTRIES, encoded([b"a".as_slice(), b"cairn.record/1\n{}"]), reserved()),
    ];
    for (name, content_type, body, expected) in table {
        let request = Request::post("/logs/main/entries", body).with("content-type", content_type);
        assert_problem(name, &running.ask_with_token(request), &expected);
    }
    let record = running.ask_with_token(Request::post("/logs/main/add", "cairn.record/2"));
    assert_problem("add", &record, &reserved());
    assert_head_size(&running, 0);
}

fn too_large<'a>(field: &'a str, value: &'a str, bound: &'a str) -> Expected<'a> {
    Expected(413, "too-large", [Some(field), Some(value), Some(bound)])
}

fn malformed<'a>(field: &'a str, value: &'a str, bound: &'a str) -> Expected<'a> {
    Expected(400, "malformed", [Some(field), Some(value), Some(bound)])
}

fn reserved() -> Expected<'static> {
    let bound = "not beginning with cairn.record/";
    Expected(422, "reserved-prefix", [Some("entry"), Some("cairn.record/"), Some(bound)])
}

/// A JSON batch of these entries.
fn batch(entries: &str) -> Vec<u8> {
    format!("{{\"entries\":[{entries}]}}").into_bytes()
}

#[test]
fn headers_and_parameters_of_an_append_are_bounded() {
    let running = Running::start();
    let bound = Some("1 to 255 visible ASCII characters");
    for (key, value) in [("", ""), ("two words", "two words"), (&"k".repeat(256), &"k".repeat(128))] {
        for name in ["idempotency-key", "x-idempotency-key"] {
            let answer = running.ask_with_token(Request::post("/logs/main/add", "x").with(name, key));
            let expected = Expected(400, "malformed", [Some("idempotency-key"), Some(value), bound]);
            assert_problem("a key", &answer, &expected);
        }
    }
    let two = Request::post("/logs/main/add", "x").with("idempotency-key", "a").with("x-idempotency-key", "b");
    let expected = Expected(400, "malformed", [Some("idempotency-key"), Some("a"), Some("one key")]);
    assert_problem("two keys", &running.ask_with_token(two), &expected);
    let late = running.ask_with_token(Request::post("/logs/main/add?wait=never", "x"));
    let expected = Expected(400, "malformed", [Some("wait"), Some("never"), Some("integrated or witnessed")]);
    assert_problem("wait", &late, &expected);
    let request =
        Request::post("/logs/main/entries?receipts=yes", encoded([b"x".as_slice()])).with("content-type", ENTRIES);
    let expected = Expected(400, "malformed", [Some("receipts"), Some("yes"), Some("0 or 1")]);
    assert_problem("receipts", &running.ask_with_token(request), &expected);
    assert_head_size(&running, 0);
}

fn assert_head_size(running: &Running, size: u64) {
    let head = running.get("/logs/main/head").text();
    assert_eq!(head.lines().nth(1), Some(size.to_string().as_str()), "{head}");
}
