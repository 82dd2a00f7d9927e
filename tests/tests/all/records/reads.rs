//! Reads of records, as they are put on record before anybody is answered: what of them, and in which log. Not here: what
//! happens where that can't be (`reads_hindered`).

use cairn_tests::http::{Connection, Request};
use cairn_tests::server::{Data, cairnd};
use serde_json::{Value, json};

use super::{Running, json_of, record};

/// Decides how much of the reads of a tenant is recorded.
pub(super) fn set(data: &Data, tenant: &str, reads: &str) {
    let ended = cairnd(data.path(), &["tenant", "set", tenant, "--reads", reads]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{reads}");
}

/// The views of the reads that are on record of a tenant, oldest first. To look is on record as well, and comes next.
pub(super) fn trail(running: &Running, tenant: &str) -> Vec<Value> {
    let found = running.shown(&format!("/v1/records?tenant={tenant}&module=cairn&operation=cairn.read&limit=500"));
    let mut records: Vec<Value> = found["records"].as_array().unwrap().iter().map(|one| one["view"].clone()).collect();
    records.reverse();
    records
}

pub(super) fn new<'v>(view: &'v Value, pointer: &str) -> &'v Value {
    &view["values"]["whole"][pointer]["new"]
}

pub(super) fn bring(running: &Running, tenant: &str, object: &str) -> String {
    let brought = running.brought(&record(tenant, object, "create"));
    brought["records"][0]["id"].as_str().unwrap().to_owned()
}

pub(super) fn digit(route: &str, body: &Value) -> Request {
    Request::post(format!("/audit-service/log/v1/{route}"), body.to_string())
}

#[test]
fn off_records_nothing_metadata_no_term_and_full_all_of_it() {
    let running = Running::start();
    let id = bring(&running, "pb", "1");
    let question = "/v1/records?tenant=pb&actor=8a1f&object=1";
    let ask = || {
        let request = Request::get(question).with("x-actor", "clerk:7").with("x-purpose", "complaint 12");
        let answer = running.ask_with(&running.data.auditor, request);
        assert_eq!((answer.status, json_of(&answer)["records"].as_array().unwrap().len()), (200, 1));
    };
    ask();
    assert_eq!(running.size(), 1, "off is how it begins");
    for (reads, members) in [
        ("metadata", &["/credential", "/reads", "/records", "/stream"][..]),
        ("full", &["/credential", "/reads", "/records", "/shown", "/stream", "/target"]),
    ] {
        set(&running.data, "pb", reads);
        let before = running.size();
        ask();
        assert_eq!(running.size(), before + 1, "{reads}");
        let read = trail(&running, "pb").pop().unwrap();
        let object = json!({"tenant": "pb", "module": "cairn", "entity": "read", "id": "/v1/records", "operation": "cairn.read"});
        assert_eq!(read["object"], object, "{read}");
        assert_eq!((&read["actor"]["id"], &read["context"]["purpose"]), (&json!("clerk:7"), &json!("complaint 12")));
        let found: Vec<&str> = read["values"]["whole"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(found, members, "{reads}");
        assert_eq!((new(&read, "/records"), new(&read, "/reads")), (&json!(1), &json!(reads)));
        assert_eq!(read.to_string().contains("8a1f"), reads == "full", "the term that was searched for");
        if reads == "full" {
            assert_eq!(
                (new(&read, "/target"), new(&read, "/shown")),
                (&json!(question), &json!([{"id": id, "index": 0}]))
            );
        }
    }
    // A term is withheld from whoever may not see it, and can be erased like any value.
    let few = running.ask(
        Request::get("/v1/records?tenant=pb&module=cairn&actor=clerk:7&limit=1")
            .with("authorization", format!("Bearer {}", running.data.token)),
    );
    let seen = &json_of(&few)["records"][0]["view"]["values"]["whole"];
    assert_eq!(
        (&seen["/target"], &seen["/records"]["new"]),
        (&json!({"class": "restricted", "withheld": true}), &json!(1)),
        "{seen}"
    );
    set(&running.data, "pb", "off");
    let before = running.size();
    ask();
    assert_eq!(running.size(), before);
    running.server.stop();
    running.data.assert_sound();
}

/// A page may show records of the trail beside others: of those it is said how many, and not which.
#[test]
fn records_of_the_trail_are_counted_and_not_named_beside_others() {
    let running = Running::start();
    let id = bring(&running, "pb", "1");
    set(&running.data, "pb", "full");
    assert_eq!(running.read("/v1/records?tenant=pb&module=tl").status, 200);
    let page = running.shown("/v1/records?tenant=pb");
    let told = |one: &Value| (one["view"]["id"].as_str().unwrap().to_owned(), one["integrity"]["index"].clone());
    let is_read = |one: &&Value| one["view"]["object"]["operation"] == "cairn.read";
    let (reads, others): (Vec<&Value>, Vec<&Value>) = page["records"].as_array().unwrap().iter().partition(is_read);
    // The setting is on record as well.
    assert_eq!((reads.len(), others.len(), told(others[1]).0), (1, 2, id));
    let read = trail(&running, "pb").pop().unwrap();
    assert_eq!(new(&read, "/target"), "/v1/records?tenant=pb");
    assert_eq!((new(&read, "/records"), new(&read, "/of_trail")), (&json!(3), &json!(1)), "{read}");
    let shown: Vec<Value> =
        others.iter().map(|one| told(one)).map(|(id, index)| json!({"id": id, "index": index})).collect();
    assert_eq!(new(&read, "/shown"), &json!(shown), "{read}");
    assert!(!read["values"].to_string().contains(&told(reads[0]).0), "{read}");
}

#[test]
fn without_a_person_the_credential_is_the_actor_and_always_stands_there() {
    let running = Running::start();
    bring(&running, "pb", "1");
    set(&running.data, "pb", "metadata");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let question = || Request::get("/v1/records?tenant=pb").with("traceparent", trace);
    for token in [&running.data.auditor, &running.data.token, &running.data.auditor] {
        assert_eq!(running.ask_with(token, question()).status, 200);
    }
    let reads = trail(&running, "pb");
    let who: Vec<&Value> = reads.iter().map(|read| new(read, "/credential")).collect();
    assert_eq!((who.len(), who[0] == who[2], who[0] == who[1]), (3, true, false));
    for read in &reads {
        assert_eq!(read["actor"], json!({"id": new(read, "/credential"), "type": "credential"}));
        assert_eq!(read["context"]["traceparent"], trace);
    }
    // What stands for a token is the same as in what it brings.
    let brought = running.shown("/v1/records?tenant=pb&module=tl");
    assert_eq!(&brought["records"][0]["view"]["by"], who[1]);
    assert_ne!(&reads[0]["by"], who[0], "the server writes its trail");
    let odd = running.read("/v1/records?tenant=pb");
    assert_eq!(odd.status, 200);
    let odd = running.ask_with(&running.data.auditor, question().with("x-actor", ""));
    assert_eq!(odd.status, 400, "{}", odd.text());
}

/// Every route about records, with a request that it answers; `None` for one that shows nobody anything of others'.
fn question(running: &Running, id: &str, path: &str, method: &str) -> Option<Request> {
    let get = |target: &str| Some(Request::get(target));
    let info = json!({"authToken": running.data.auditor, "userInfo": {"uuid": "u-7"}});
    match (method, path) {
        ("get", "/v1/records") => get("/v1/records?tenant=pb&module=tl"),
        ("get", "/v1/reports") => get("/v1/reports?tenant=pb&module=tl"),
        ("get", "/v1/records/{id}") => get(&format!("/v1/records/{id}")),
        ("get", "/v1/records/{id}/receipt") => get(&format!("/v1/records/{id}/receipt")),
        ("get", "/v1/streams/entity/{tenant}/{module}/{entity}/{object}") => get("/v1/streams/entity/pb/tl/license/1"),
        ("get", "/v1/streams/entity/{tenant}/{module}/{entity}/{object}/state") => {
            get("/v1/streams/entity/pb/tl/license/1/state")
        }
        ("get", "/v1/streams/entity/{tenant}/{module}/{entity}/{object}/diff") => {
            get("/v1/streams/entity/pb/tl/license/1/diff?from=0")
        }
        ("get", "/v1/streams/entity/{tenant}/{module}/{entity}/{object}/events") => {
            get("/v1/streams/entity/pb/tl/license/1/events?from_seq=0")
        }
        ("get", named) if named.starts_with("/v1/streams/named/{tenant}/{name}") => match named.rsplit('/').next() {
            Some("state") => get("/v1/streams/named/pb/night/state"),
            Some("diff") => get("/v1/streams/named/pb/night/diff?from=0"),
            Some("events") => get("/v1/streams/named/pb/night/events?from_seq=0"),
            _ => get("/v1/streams/named/pb/night"),
        },
        ("post", "/audit-service/log/v1/_search") => {
            Some(digit("_search?objectId=1&tenantId=pb", &json!({"RequestInfo": info})))
        }
        ("post", "/audit-service/log/v1/_verify") => {
            let values = json!({"status": "APPLIED", "fee": 1200, "owner": "Ada", "iban": "DE02"});
            Some(digit("_verify", &json!({"objectId": "1", "keyValuePairs": values, "requestInfo": info})))
        }
        // They answer with what their caller has just brought.
        ("post", "/v1/records" | "/audit-service/log/v1/_create" | "/audit-service/log/v1/_capture") => None,
        _ => panic!("{method} {path}: is it a read of records, and of what? Then it is audited; say here how to ask"),
    }
}

/// The status of an answer to the auditor, once he has seen a record of it.
fn answered(running: &Running, request: &Request) -> u16 {
    let request = request.clone().with("authorization", format!("Bearer {}", running.data.auditor));
    let mut connection = Connection::open(running.server.address()).unwrap();
    let follows = request.target.contains("/events?");
    if !follows && request.method != "HEAD" {
        return connection.ask(&request).unwrap().status;
    }
    let status = connection.ask_stream(&request).unwrap();
    if request.method != "HEAD" {
        assert_eq!(connection.next_event().unwrap().unwrap().kind, "record");
    }
    status
}

#[test]
fn every_route_of_the_document_is_audited_or_shows_nobody_anothers_records() {
    let running = Running::start();
    let id = bring(&running, "pb", "1");
    let mut record = record("pb", "7", "create");
    record["object"]["module"] = json!("hr");
    record["context"] = json!({"stream": "night"});
    let of_night = running.brought(&record)["records"][0]["id"].as_str().unwrap().to_owned();
    set(&running.data, "pb", "full");
    let document = json_of(&running.ask(Request::get("/openapi.json")));
    let paths = document["paths"].as_object().unwrap();
    let about_records = |path: &str| path.starts_with("/v1/") || path.starts_with("/audit-service/");
    let mut audited = 0;
    for (path, operations) in paths.iter().filter(|(path, _)| about_records(path)) {
        for method in operations.as_object().unwrap().keys() {
            let Some(request) = question(&running, &id, path, method) else { continue };
            // That somebody follows a stream is one thing, and what he is sent another.
            let each = if path.ends_with("/events") { 2 } else { 1 };
            let before = running.size();
            assert_eq!((answered(&running, &request), running.size()), (200, before + each), "{method} {path}");
            let mut reads = trail(&running, "pb").into_iter().rev().take(2);
            let read = reads.find(|read| new(read, "/records") == &json!(1)).unwrap();
            assert_eq!(read["object"]["id"], *path, "{method} {path}");
            assert_eq!(new(&read, "/target"), &json!(request.target), "{method} {path}");
            let (id, index) = if path.contains("/named/") { (&of_night, 1) } else { (&id, 0) };
            assert_eq!(new(&read, "/shown"), &json!([{"id": id, "index": index}]), "{method} {path}");
            // A retry is a read too; so is a question about the length alone.
            let before = running.size();
            assert_eq!((answered(&running, &request), running.size()), (200, before + each), "{method} {path} again");
            if method == "get" {
                let request = Request { method: "HEAD", ..request };
                assert_eq!((answered(&running, &request), running.size()), (200, before + each + 1), "HEAD {path}");
            }
            audited += 1;
        }
    }
    assert!(audited >= 14, "{audited}");
}

#[test]
fn what_is_not_there_is_on_record_and_what_is_refused_is_not() {
    let running = Running::start();
    bring(&running, "pb", "1");
    set(&running.data, "pb", "full");
    let absent = "01939f5a-7c00-7a3b-8c4d-5e6f708192a3";
    let grows = |request: Request, status: u16| {
        let before = running.size();
        let answer = running.ask_with(&running.data.auditor, request);
        assert_eq!(answer.status, status, "{}", answer.text());
        running.size() - before
    };
    for (target, status) in [
        ("/v1/records?tenant=pb&actor=nobody".to_owned(), 200),
        (format!("/v1/records/{absent}?tenant=pb"), 404),
        ("/v1/streams/entity/pb/tl/license/2".to_owned(), 404),
        // How many records a stream has.
        ("/v1/streams/entity/pb/tl/license/1/events?from_seq=9".to_owned(), 400),
        // Of none of the tenants that the token is good for.
        (format!("/v1/records/{absent}"), 404),
        (format!("/v1/records/{absent}/receipt"), 404),
    ] {
        assert_eq!(grows(Request::get(&target), status), 1, "{target}");
        let read = trail(&running, "pb").pop().unwrap();
        assert_eq!((new(&read, "/records"), new(&read, "/shown")), (&json!(0), &json!([])), "{target}");
    }
    // That it is in no such state tells of what is there.
    let verify = json!({"objectId": "1", "keyValuePairs": {"status": "OTHER"}, "requestInfo": {}});
    assert_eq!(grows(digit("_verify", &verify), 400), 1);
    let read = trail(&running, "pb").pop().unwrap();
    assert_eq!((new(&read, "/objectId"), new(&read, "/keyValuePairs")), (&json!("1"), &json!({"status": "OTHER"})));
    assert_eq!(read["values"]["whole"]["/keyValuePairs"]["class"], "secret");
    for (target, status) in [
        ("/v1/records?tenant=pb&nothing=1", 400),
        ("/v1/records/7?tenant=pb", 400),
        ("/v1/records?tenant=ka", 200),
        ("/v1/records?tenant=nobody&cursor=1", 400),
    ] {
        assert_eq!(grows(Request::get(target), status), 0, "{target}");
    }
    let foreign = running.new_token(&["--rights", "read", "--tenants", "ka"]);
    let before = running.size();
    assert_eq!(running.ask_with(&foreign, Request::get("/v1/records?tenant=pb")).status, 404);
    assert_eq!(running.ask(Request::get("/v1/records?tenant=pb")).status, 401);
    assert_eq!(running.size(), before, "nobody was answered anything of pb");
}

/// What is asked of all tenants at once is on record for each that wants it, and for so many only.
#[test]
fn a_record_of_nobody_in_particular_that_is_not_there_is_on_record_everywhere() {
    let running = Running::start();
    let id = bring(&running, "t01", "1");
    for number in 1..=16 {
        set(&running.data, &format!("t{number:02}"), if number % 2 == 0 { "full" } else { "metadata" });
    }
    let absent = "/v1/records/01939f5a-7c00-7a3b-8c4d-5e6f708192a3";
    let before = running.size();
    assert_eq!((running.read(absent).status, running.size()), (404, before + 16));
    assert_eq!(new(&trail(&running, "t16").pop().unwrap(), "/target"), &json!(absent));
    let few = running.new_token(&["--rights", "read", "--tenants", "t01,t02,ka"]);
    let before = running.size();
    assert_eq!((running.ask_with(&few, Request::get(absent)).status, running.size()), (404, before + 2));
    let before = running.size();
    assert_eq!((running.read(&format!("/v1/records/{id}")).status, running.size()), (200, before + 1));
    set(&running.data, "t17", "full");
    let before = running.size();
    for target in [absent.to_owned(), format!("/v1/records/{id}")] {
        let refused = running.read(&target);
        assert_eq!((refused.status, json_of(&refused)["field"].as_str()), (400, Some("tenant")), "whatever there is");
        assert_eq!(running.read(&format!("{target}/receipt")).text(), refused.text());
    }
    assert_eq!(running.size(), before);
    assert_eq!(running.read(&format!("/v1/records/{id}?tenant=t01")).status, 200);
}

#[test]
fn reads_of_the_trail_are_metadata_and_a_day_is_a_stream() {
    let running = Running::start();
    bring(&running, "pb", "1");
    set(&running.data, "pb", "full");
    running.shown("/v1/records?tenant=pb&module=tl");
    for round in 1..4 {
        let reads = trail(&running, "pb");
        assert_eq!(reads.len(), round);
        let (first, others) = reads.split_first().unwrap();
        assert_eq!(new(first, "/reads"), "full");
        for (number, other) in (1..).zip(others) {
            assert_eq!((new(other, "/reads"), new(other, "/records")), (&json!("metadata"), &json!(number)), "{other}");
            assert!(other["values"]["whole"].get("/target").is_none(), "{other}");
        }
    }
    // Together with other records it is a read of those.
    running.shown("/v1/records?tenant=pb");
    assert_eq!(new(&trail(&running, "pb").pop().unwrap(), "/reads"), "full");
    let streams = running.shown("/v1/records?tenant=pb&topic=cairn.reads");
    assert_eq!(streams["records"].as_array().unwrap().len(), 1, "a day, or two at midnight: {streams}");
    let name = streams["records"][0]["view"]["stream_name"].clone();
    assert_eq!((&name[0], &name[1]), (&json!("named"), &json!("pb")));
    let name = name[2].as_str().unwrap();
    assert!(name.starts_with("cairn.reads.20") && name.len() == "cairn.reads.2026-01-01".len(), "{name}");
    let history = running.shown(&format!("/v1/streams/named/pb/{name}"));
    assert_eq!(history["records"].as_array().unwrap().len(), 7);
    let forged = json!({
        "object": {"tenant": "pb", "module": "tl", "entity": "read", "id": "1", "operation": "read"},
        "context": {"stream": name},
    });
    assert_eq!(running.bring(&forged).status, 422, "nobody else writes there");
}

#[test]
fn who_follows_a_stream_is_on_record_with_each_chunk_and_who_follows_the_trail_once() {
    let running = Running::start();
    bring(&running, "pb", "1");
    set(&running.data, "pb", "full");
    let follow = |target: &str| {
        let auditor = format!("Bearer {}", running.data.auditor);
        let mut connection = Connection::open(running.server.address()).unwrap();
        let status = connection.ask_stream(&Request::get(target).with("authorization", auditor)).unwrap();
        assert_eq!(status, 200);
        connection
    };
    let next = |connection: &mut Connection| loop {
        let event = connection.next_event().unwrap().unwrap();
        if event.kind == "record" {
            break serde_json::from_str::<Value>(&event.data).unwrap()["record"]["view"].clone();
        }
    };
    let mut follower = follow("/v1/streams/entity/pb/tl/license/1/events");
    let streams = running.shown("/v1/records?tenant=pb&topic=cairn.reads");
    let name = streams["records"][0]["view"]["stream_name"][2].as_str().unwrap().to_owned();
    let mut watcher = follow(&format!("/v1/streams/named/pb/{name}/events?from_seq=0"));
    // That the first follows, that the day's stream was looked for, and that the second follows.
    let begun: Vec<String> = (0..3).map(|_| next(&mut watcher)["object"]["id"].as_str().unwrap().to_owned()).collect();
    assert!(begun[0].ends_with("/events") && begun[1] == "/v1/records" && begun[2].ends_with("/events"), "{begun:?}");
    let before = running.size();
    for round in 1..4 {
        running.brought(&record("pb", "1", "update"));
        assert_eq!(next(&mut follower)["seq"], round);
        let read = next(&mut watcher);
        assert_eq!((new(&read, "/records"), new(&read, "/reads")), (&json!(1), &json!("full")));
        assert_eq!(running.size(), before + 2 * round, "the watcher is not on record for the records of reads");
    }
    running.server.stop();
    running.data.assert_sound();
}

#[test]
fn each_tenant_has_its_reads_in_its_own_log() {
    let running = Running::start();
    bring(&running, "ka", "1");
    let made = cairnd(running.data.path(), &["tenant", "create", "pb", "--json"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    bring(&running, "pb", "1");
    let pb = |running: &Running| {
        let head = running.ask(Request::get("/logs/pb/head")).text();
        head.lines().nth(1).unwrap().parse::<u64>().unwrap()
    };
    set(&running.data, "pb", "full");
    set(&running.data, "ka", "metadata");
    let (main_size, pb_size) = (running.size(), pb(&running));
    // One answer about the objects of both.
    let verify = json!({"objectId": "1", "keyValuePairs": {"status": "OTHER"}, "requestInfo": {}});
    assert_eq!(running.ask_with(&running.data.auditor, digit("_verify", &verify)).status, 400);
    assert_eq!((running.size(), pb(&running)), (main_size + 1, pb_size + 1));
    running.shown("/v1/records?tenant=pb");
    assert_eq!((running.size(), pb(&running)), (main_size + 1, pb_size + 2));
    let modes =
        |tenant: &str| trail(&running, tenant).iter().map(|read| new(read, "/reads").clone()).collect::<Vec<_>>();
    assert_eq!((modes("pb"), modes("ka")), (vec![json!("full"); 2], vec![json!("metadata")]));
}

/// What is asked of all tenants that a token covers is on record for each whose records bear on the answer.
#[test]
fn a_row_that_is_verified_is_on_record_for_every_tenant_whose_rows_were_looked_at() {
    let running = Running::start();
    for (tenant, status) in [("pb.a", "ONE"), ("pb.b", "TWO"), ("ka", "ONE")] {
        let mut brought = record(tenant, "1", "create");
        brought["values"] = json!({"whole": {"new": {"status": status}}});
        brought.as_object_mut().unwrap().remove("classification");
        running.brought(&brought);
    }
    bring(&running, "pb.c", "2");
    ["pb.a", "pb.b", "pb.c", "ka"].into_iter().for_each(|tenant| set(&running.data, tenant, "metadata"));
    let token = running.new_token(&["--rights", "read,disclose:secret", "--tenants", "pb,pb.*"]);
    let verify = |status: &str| {
        let body = json!({"objectId": "1", "keyValuePairs": {"status": status}, "requestInfo": {}});
        running.ask_with(&token, digit("_verify", &body)).status
    };
    let on_record = || {
        ["pb.a", "pb.b", "pb.c", "ka"].map(|tenant| {
            let reads = trail(&running, tenant);
            reads.iter().filter(|read| read["object"]["id"].as_str().unwrap().contains("_verify")).count()
        })
    };
    assert_eq!((verify("ONE"), on_record()), (200, [1, 1, 0, 0]));
    assert_eq!((verify("TWO"), on_record()), (200, [2, 2, 0, 0]));
    // That nobody has it is told of each.
    assert_eq!((verify("THREE"), on_record()), (400, [3, 3, 1, 0]));
}
