//! What is brought again after its tenant's records have gone on to another log: it is in one log, once, and its receipt is
//! that log's.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use cairn_tests::http::{Connection, Request, Response};
use cairn_tests::server::{PATIENCE, cairnd};
use cairn_tree::checkpoint::LogKeys;
use cairn_tree::policy::Trust;
use cairn_tree::record::signature::ProducerSigner;
use cairn_tree::store::{KeyRange, Kind, LogId};
use cairn_tree::wire::v1::AppendedAnswer;
use serde_json::{Value, json};

use super::capture::{LICENCES, changed, configured, licences};
use super::found;
use super::integrity::edit;
use super::signed::{base64url, signed};
use super::{Running, json_of, post, record};
use crate::damage::wait_for;

pub(super) const EXISTS: &str = "urn:cairn:problem:record-exists";
const INTEGRITY: &str = "urn:cairn:problem:integrity";

pub(super) fn seal(running: &Running, name: &str, successor: &str) {
    let ended = cairnd(running.data.path(), &["log", "seal", name, "--successor", successor]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

/// Gives a tenant a log of its own; its producer's token.
pub(super) fn moved(running: &Running, tenant: &str, further: &[&str]) -> String {
    let ended = cairnd(running.data.path(), &[&["tenant", "create", tenant, "--json"], further].concat());
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let made: Value = serde_json::from_str(&ended.stdout).unwrap();
    made["producer_token"].as_str().unwrap().to_owned()
}

pub(super) fn size(running: &Running, log: &str) -> u64 {
    let head = running.ask_with(&running.data.auditor, Request::get(format!("/logs/{log}/head"))).text();
    head.lines().nth(1).unwrap_or_else(|| panic!("{head}")).parse().unwrap()
}

pub(super) fn with_id(mut record: Value, number: u64) -> Value {
    record["id"] = json!(format!("01939f5a-7c00-7a3b-8c4d-{number:012x}"));
    record
}

fn event(object: &str, id: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "urn:tl", "type": "license.created", "subject": object,
        "tenant": "pb", "data": {"fee": 12}})
}

fn events(body: &Value) -> Request {
    Request::post("/v1/records", body.to_string()).with("content-type", "application/cloudevents+json")
}

fn keyed(body: &Value, key: &str) -> Request {
    post(body).with("idempotency-key", key)
}

/// Of an answer: where each record is and what it is called, and the log; the receipts are that log's.
pub(super) fn told(running: &Running, answer: &Response) -> (String, Vec<(Value, Value, Value)>) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let parsed = AppendedAnswer::parse(&answer.body).unwrap();
    let origin = parsed.checkpoint.unverified().origin().as_str().to_owned();
    let name = origin.rsplit('/').next().unwrap().to_owned();
    let keys = cairnd(running.data.path(), &["key", "list", &name, "--json"]);
    let keys: Value = serde_json::from_str(&keys.stdout).unwrap_or_else(|_| panic!("{keys:?}"));
    let key = keys["keys"][0]["vkey"].as_str().unwrap().parse::<LogKeys>().unwrap();
    parsed.verify(&Trust::Log(key)).unwrap();
    let body = json_of(answer);
    let places = body["records"].as_array().unwrap().iter();
    (name, places.map(|one| (one["id"].clone(), one["index"].clone(), one["leaf_hash"].clone())).collect())
}

/// A request, and the answer that its sender never heard.
struct Lost {
    request: Request,
    answer: (String, Vec<(Value, Value, Value)>),
}

fn lose(running: &Running, request: Request) -> Lost {
    let answer = told(running, &running.ask_with(&running.data.token, request.clone()));
    Lost { request, answer }
}

impl Lost {
    /// Brings it again with a token, and hears the first answer.
    fn again(&self, running: &Running, token: &str) {
        let answer = running.ask_with(token, self.request.clone());
        assert_eq!(told(running, &answer), self.answer);
        let body = json_of(&answer);
        assert_eq!(body["records"][0]["replayed"], true, "{body}");
    }
}

pub(super) fn refused(answer: &Response, status: u16, kind: &str, pointer: &str) -> Value {
    let problem = json_of(answer);
    assert_eq!((answer.status, &problem["type"]), (status, &json!(kind)), "{problem}");
    if status == 409 {
        assert_eq!(problem["pointer"], pointer, "{problem}");
    }
    problem
}

/// By its key, by its ids, as an event and as several: whatever the form, and however many logs lie between.
/// Whoever sends an event again sends it in another span, or without any.
#[test]
fn what_is_brought_again_under_another_trace_is_the_same_record() {
    let running = Running::start();
    let traced = |request: Request, span: Option<u8>| match span {
        Some(span) => {
            request.with("traceparent", format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033{span:02x}-01"))
        }
        None => request,
    };
    let record = with_id(record("pb", "9", "create"), 9);
    for request in [|| events(&event("7", "e-7")), || post(&with_id(super::record("pb", "9", "create"), 9))] {
        let first = running.ask_with(&running.data.token, traced(request(), Some(1)));
        assert_eq!(first.status, 200, "{}", first.text());
        for span in [Some(1), Some(2), None] {
            let again = running.ask_with(&running.data.token, traced(request(), span));
            let leaf = |answer: &Response| json_of(answer)["records"][0]["leaf"].clone();
            assert_eq!((again.status, leaf(&again)), (200, leaf(&first)), "{span:?}");
        }
    }
    let mut other = record;
    other["context"] = json!({"purpose": "another"});
    let refused = running.ask_with(&running.data.token, post(&other));
    assert_eq!((refused.status, &json_of(&refused)["type"]), (409, &json!(EXISTS)), "{}", refused.text());
}

#[test]
fn what_a_sealed_log_has_is_answered_with_its_receipts() {
    let running = Running::start();
    let token = running.data.token.clone();
    let several = json!([record("pb", "1", "create"), record("pb", "1", "update"), record("ka", "1", "create")]);
    let named = json!([with_id(record("pb", "2", "create"), 1), with_id(record("ka", "2", "create"), 2)]);
    let lost = [
        lose(&running, keyed(&several, "k1")),
        lose(&running, post(&named)),
        lose(&running, post(&with_id(record("pb", "3", "create"), 3))),
        lose(&running, events(&event("4", "e-1"))),
        lose(&running, keyed(&with_id(record("pb", "5", "create"), 4), "k2")),
    ];
    seal(&running, "main", "second");
    let before = size(&running, "second");
    let check = |running: &Running, log: &str, size_then: u64| {
        lost.iter().for_each(|lost| lost.again(running, &token));
        // Something else under the same key, or the same id, is refused as it ever was.
        let bring = |request: Request| running.ask_with(&token, request);
        let reused = "urn:cairn:problem:idempotency-key-reused";
        let other = json!([record("pb", "1", "create"), record("ka", "1", "create")]);
        refused(&bring(keyed(&other, "k1")), 422, reused, "");
        refused(&bring(keyed(&several, "k1").with("x-purpose", "another")), 422, reused, "");
        let problem = refused(&bring(post(&with_id(record("pb", "3", "update"), 3))), 409, EXISTS, "/id");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("entry 5 of the log localhost/logs/main"), "{detail}");
        let both = json!([with_id(record("pb", "2", "create"), 1), with_id(record("ka", "2", "delete"), 2)]);
        refused(&bring(post(&both)), 409, EXISTS, "/1/id");
        // One answer can't have the receipts of two logs.
        let mixed = json!([record("pb", "9", "create"), with_id(record("pb", "3", "create"), 3)]);
        let problem = refused(&bring(post(&mixed)), 409, EXISTS, "/1/id");
        assert!(problem["detail"].as_str().unwrap().contains("has 1 of the 2 records already"), "{problem}");
        assert_eq!(size(running, log), size_then, "nothing was written");
    };
    check(&running, "second", before);
    // Another credential has other keys; ids and events are known whoever brings them.
    let other = running.new_token(&["--rights", "append"]);
    [1, 2, 3, 4].into_iter().for_each(|at| lost[at].again(&running, &other));
    let running = running.restarted();
    check(&running, "second", before);
    let kept = lose(&running, post(&with_id(record("pb", "6", "create"), 6)));
    seal(&running, "second", "third");
    check(&running, "third", 1);
    kept.again(&running, &token);
    // What is new is new, once.
    let new = lose(&running, keyed(&with_id(record("pb", "7", "create"), 7), "k7"));
    assert_eq!(new.answer.0, "third");
    new.again(&running, &token);
    running.server.stop();
    running.data.assert_sound();
}

/// A tenant with a log of its own: its part of the log before is looked at, and nobody else's.
#[test]
fn a_tenant_with_its_own_log_has_the_receipts_of_the_log_before_and_nobody_elses_ids() {
    let running = Running::start();
    let token = running.data.token.clone();
    let of_ka = with_id(record("ka", "1", "create"), 70);
    running.brought(&of_ka);
    let lost = [
        lose(&running, post(&with_id(record("pb", "1", "create"), 1))),
        lose(&running, events(&event("2", "e-1"))),
        lose(&running, keyed(&json!([record("pb", "3", "create"), record("pb", "3", "update")]), "k1")),
    ];
    let both = lose(
        &running,
        post(&json!([with_id(record("pb", "4", "create"), 4), with_id(record("ka", "4", "create"), 5)])),
    );
    let both_by_key = lose(&running, keyed(&json!([record("pb", "5", "create"), record("ka", "5", "create")]), "k2"));
    let own = moved(&running, "pb", &["--continue"]);
    let sizes = |running: &Running| (size(running, "main"), size(running, "pb"));
    let before = sizes(&running);
    let check = |running: &Running| {
        lost.iter().for_each(|lost| lost.again(running, &token));
        lost[..2].iter().for_each(|lost| lost.again(running, &own));
        // Their tenants have different logs by now, and still one that has them.
        both.again(running, &token);
        both_by_key.again(running, &token);
        assert_eq!(running.ask_with(&own, both.request.clone()).status, 404, "another tenant's is not there");
        let torn = json!([record("pb", "9", "create"), record("ka", "9", "create")]);
        assert_eq!(running.bring(&torn).status, 422);
        refused(&running.ask_with(&own, post(&with_id(record("pb", "1", "update"), 1))), 409, EXISTS, "/id");
        assert_eq!(sizes(running), before, "nothing was written");
    };
    check(&running);
    let running = running.restarted();
    check(&running);
    // The id of another tenant's record there is free, as in any new log: not a word of it.
    let mut taken = of_ka.clone();
    taken["object"]["tenant"] = json!("pb");
    let answer = running.ask_with(&own, post(&taken));
    assert_eq!(told(&running, &answer).0, "pb");
    assert_eq!(json_of(&answer)["records"][0]["replayed"], Value::Null);
    // And it still is that tenant's.
    let kept = lose(&running, post(&of_ka));
    assert_eq!(kept.answer.0, "main");
    // In the log of its own, once it ends as well.
    seal(&running, "pb", "pb2");
    let answer = running.ask_with(&own, post(&taken));
    assert_eq!((told(&running, &answer).0.as_str(), &json_of(&answer)["records"][0]["replayed"]), ("pb", &json!(true)));
    lost.iter().for_each(|lost| lost.again(&running, &token));
    running.server.stop();
    running.data.assert_sound();
}

/// A signed event names its log: that one answers for it, and the next takes none that was meant for it.
#[test]
fn a_signed_event_is_known_by_the_log_that_it_names() {
    let running = Running::start();
    let signer = ProducerSigner::from_seed(&[7; 32]);
    let token = running.new_token(&["--rights", "append", "--producer-key", &base64url(signer.key().as_bytes())]);
    let event = signed(&running, &signer, 1, None);
    let first = told(&running, &running.ask_with(&token, post(&event)));
    seal(&running, "main", "second");
    assert_eq!(told(&running, &running.ask_with(&token, post(&event))), first);
    let late = running.ask_with(&token, post(&signed(&running, &signer, 2, None)));
    assert_eq!((late.status, &json_of(&late)["pointer"]), (422, &json!("/event/log")), "{}", late.text());
    // Its id is another record's for whoever says something else under it, and its content nobody's without its key.
    let mut plain = record("pb", "1", "update");
    plain["id"] = event["event"]["id"].clone();
    refused(&running.ask_with(&token, post(&plain)), 409, EXISTS, "/id");
    assert_eq!(running.bring(&event).status, 422);
    assert_eq!(size(&running, "second"), 1);
}

/// A tenant that had no records before has nothing to look for.
#[test]
fn a_tenant_without_a_past_uses_the_ids_of_others_freely() {
    let running = Running::start();
    let of_ka = with_id(record("ka", "1", "create"), 70);
    running.brought(&of_ka);
    let own = moved(&running, "pb", &[]);
    let mut taken = of_ka.clone();
    taken["object"]["tenant"] = json!("pb");
    for replayed in [Value::Null, json!(true), json!(true)] {
        let answer = running.ask_with(&own, keyed(&taken, "k"));
        assert_eq!(
            (told(&running, &answer).0.as_str(), &json_of(&answer)["records"][0]["replayed"]),
            ("pb", &replayed)
        );
    }
}

/// Messages are known by what they say, for ever.
#[test]
fn a_captured_message_is_not_captured_again_by_the_next_log() {
    let running = Running::start_with(|data| configured(data, LICENCES, ""));
    let first = running.captured("save-licence", &licences());
    let other = running.captured("change-licence", &changed("x"));
    seal(&running, "main", "second");
    let before = size(&running, "second");
    let check = |running: &Running| {
        for (topic, value, first) in [("save-licence", licences(), &first), ("change-licence", changed("x"), &other)] {
            let again = running.captured(topic, &value);
            assert_eq!((&again["again"], &again["AuditLogs"]), (&json!(true), &first["AuditLogs"]), "{again}");
        }
    };
    check(&running);
    assert_eq!(size(&running, "second"), before);
    moved(&running, "pb.amritsar", &[]);
    let running = running.restarted();
    check(&running);
    assert_eq!((size(&running, "second"), size(&running, "pb.amritsar")), (before + 1, 0), "that it has a log");
    assert_eq!(running.captured("save-licence", &json!({"Licences": []}))["again"], false);
}

/// Tells those who write to stop, once it is dropped: a test that fails would wait for them for ever.
struct Ends<'s>(&'s AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Writers who repeat each record until it is taken, and then once more, while the log ends twice: each record is in one
/// log, once, and nobody is refused for good.
#[test]
fn each_record_is_there_once_however_it_meets_the_end_of_a_log() {
    let running = Running::start();
    let stop = AtomicBool::new(false);
    let taken: BTreeMap<String, Value> = thread::scope(|scope| {
        let ends = Ends(&stop);
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (address, token, stop) = (running.server.address(), running.data.token.clone(), &stop);
                scope.spawn(move || {
                    let mut connection = Connection::open(address).unwrap();
                    let mut taken = BTreeMap::new();
                    for number in (writer * 1_000_000..).take_while(|_| !stop.load(Ordering::SeqCst)) {
                        let body = with_id(record("pb", &format!("o-{writer}"), "update"), number);
                        let key = format!("k{number}");
                        let request = keyed(&body, &key).with("authorization", format!("Bearer {token}"));
                        let mut ask = || {
                            let begun = Instant::now();
                            loop {
                                let answer = connection.ask(&request).unwrap();
                                if answer.status == 200 {
                                    return json_of(&answer)["records"][0]["leaf_hash"].clone();
                                }
                                assert_eq!(answer.status, 503, "{}", answer.text());
                                assert!(begun.elapsed() < PATIENCE, "{}", answer.text());
                            }
                        };
                        let leaf = ask();
                        assert_eq!(ask(), leaf, "{body}");
                        taken.insert(body["id"].as_str().unwrap().to_owned(), leaf);
                    }
                    taken
                })
            })
            .collect();
        // One that has ended has failed, and is asked why below.
        let forty_more = |log: &str| {
            let many = size(&running, log) + 40;
            wait_for("forty more", || size(&running, log) >= many || writers.iter().any(|writer| writer.is_finished()));
        };
        for (log, next) in [("main", "second"), ("second", "third")] {
            forty_more(log);
            seal(&running, log, next);
        }
        forty_more("third");
        drop(ends);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let running = running.killed_before(|| {});
    let mut found = BTreeMap::new();
    for log in ["main", "second", "third"] {
        let mut cursor = String::new();
        loop {
            let page = running.shown(&format!("/v1/records?tenant=pb&module=tl&log={log}&limit=200{cursor}"));
            for one in page["records"].as_array().unwrap() {
                let id = one["view"]["id"].as_str().unwrap().to_owned();
                let twice = found.insert(id, one["integrity"]["leaf_hash"].clone());
                assert_eq!(twice, None, "{one}");
            }
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
    }
    assert_eq!(found, taken);
    running.server.stop();
    running.data.assert_sound();
}

/// Killed as soon as the command is answered, and in the middle of it: what was acknowledged before is known after it.
#[test]
fn a_kill_around_the_end_of_a_log_makes_no_second_record() {
    let running = Running::start();
    let token = running.data.token.clone();
    let lost = [
        lose(&running, keyed(&record("pb", "1", "create"), "k1")),
        lose(&running, post(&with_id(record("pb", "2", "create"), 2))),
        lose(&running, events(&event("3", "e-1"))),
    ];
    let data = running.data.path().to_owned();
    let creating = thread::spawn(move || cairnd(&data, &["tenant", "create", "pb", "--continue"]));
    let moving = running.data.path().join("tenants.json");
    // Without a pause: it is over in a moment.
    let begun = Instant::now();
    while !std::fs::read_to_string(&moving).is_ok_and(|text| text.contains("pb")) && !creating.is_finished() {
        assert!(begun.elapsed() < PATIENCE, "neither begun nor ended");
        thread::yield_now();
    }
    let running = running.killed_before(|| drop(creating.join().unwrap()));
    let again = cairnd(running.data.path(), &["tenant", "create", "pb", "--continue"]);
    assert!(again.code == Some(0) || again.stderr.contains("has a log already"), "{again:?}");
    lost.iter().for_each(|lost| lost.again(&running, &token));
    seal(&running, "pb", "pb2");
    let running = running.killed_before(|| {});
    lost.iter().for_each(|lost| lost.again(&running, &token));
    assert_eq!(size(&running, "pb2"), 1);
    running.server.stop();
    running.data.assert_sound();
}

/// Of what can't be verified nobody can say that it is the same.
#[test]
fn a_damaged_record_of_an_earlier_log_is_not_recorded_anew() {
    let running = Running::start();
    let (one, other) = (with_id(record("pb", "1", "create"), 1), with_id(record("pb", "2", "create"), 2));
    running.brought(&one);
    running.brought(&other);
    seal(&running, "main", "second");
    let running = running.restarted_after(|data| edit(data, 1, |row| *row.last_mut().unwrap() ^= 1));
    refused(&running.bring(&other), 500, INTEGRITY, "/id");
    assert_eq!(running.brought(&one)["records"][0]["replayed"], true);
    // Others are not kept from using the id.
    let mut of_ka = other.clone();
    of_ka["object"]["tenant"] = json!("ka");
    assert_eq!(running.brought(&of_ka)["records"][0]["replayed"], Value::Null);
}

/// Which record of a batch it is, in the log that has it and in the next one.
#[test]
fn a_damaged_record_is_named_by_its_place_in_a_batch() {
    let running = Running::start();
    let all = json!([1, 2, 3].map(|number| with_id(record("pb", &number.to_string(), "create"), number)));
    for one in all.as_array().unwrap() {
        running.brought(one);
    }
    let running = running.restarted_after(|data| edit(data, 2, |row| *row.last_mut().unwrap() ^= 1));
    refused(&running.bring(&all), 500, INTEGRITY, "/2/id");
    seal(&running, "main", "second");
    let problem = refused(&running.bring(&all), 500, INTEGRITY, "/2/id");
    assert!(problem["detail"].as_str().unwrap().contains("the record at 2 has this id"), "{problem}");
}

/// What a log had that was halted, and can't show any more, is recorded anew; what it can show is not.
#[test]
fn a_damaged_entry_of_a_halted_log_refuses_nobody_for_ever() {
    let running = Running::start();
    running.data.set_limit("scrub_bytes_per_second", 0);
    // A bundle is full, and another begun.
    let all: Vec<Value> =
        (0..300).map(|number| with_id(record("pb", &(number % 2).to_string(), "update"), number)).collect();
    running.brought(&json!(all));
    let row = KeyRange::numbers(LogId::new(1), Kind::BundlePart, 0..256);
    let running = running.restarted_after(|data| found::edit(data, &row, |row| row[40] ^= 1));
    // Whoever reads it halts the log.
    let page = running.shown("/v1/streams/entity/pb/tl/license/0?limit=3");
    assert_eq!(page["records"][0]["problem"]["part"], "chain", "{page}");
    assert_eq!(json_of(&running.bring(&record("pb", "1", "update")))["type"], "urn:cairn:problem:log-halted");
    seal(&running, "main", "second");
    let check = |running: &Running, number: usize, log: &str, replayed: Value| {
        let answer = running.bring(&all[number]);
        assert_eq!((told(running, &answer).0.as_str(), &json_of(&answer)["records"][0]["replayed"]), (log, &replayed));
    };
    check(&running, 299, "main", json!(true));
    // One answer has the receipts of one log.
    refused(&running.bring(&json!([all[1], all[298]])), 409, EXISTS, "/1/id");
    check(&running, 0, "second", Value::Null);
    check(&running, 0, "second", json!(true));
    let running = running.restarted();
    check(&running, 0, "second", json!(true));
    check(&running, 299, "main", json!(true));
    refused(&running.bring(&with_id(record("pb", "1", "delete"), 299)), 409, EXISTS, "/id");
}

/// A halted log whose secret can't be read any more finds nothing: what came after it, and before it, goes on.
#[test]
fn a_halted_log_that_finds_nothing_any_more_keeps_nobody_from_the_others() {
    let running = Running::start();
    running.data.set_limit("scrub_bytes_per_second", 0);
    let oldest = with_id(record("pb", "3", "create"), 400);
    running.brought(&oldest);
    seal(&running, "main", "second");
    let all: Vec<Value> =
        (0..300).map(|number| with_id(record("pb", &(number % 2).to_string(), "update"), number)).collect();
    running.brought(&json!(all));
    let bundle = KeyRange::numbers(LogId::new(2), Kind::BundlePart, 0..256);
    let running = running.restarted_after(|data| {
        found::edit(data, &bundle, |row| {
            let middle = row.len() / 2;
            row[middle] ^= 1;
        });
    });
    for object in 0..2 {
        running.shown(&format!("/v1/streams/entity/pb/tl/license/{object}?limit=200"));
    }
    assert_eq!(json_of(&running.bring(&record("pb", "1", "update")))["type"], "urn:cairn:problem:log-halted");
    seal(&running, "second", "third");
    let secret = KeyRange::all(LogId::new(2), Kind::PrintSecret);
    let running = running.restarted_after(|data| found::edit(data, &secret, |row| *row.last_mut().unwrap() ^= 1));
    let log = |body: &Value| told(&running, &running.bring(body)).0;
    assert_eq!(log(&record("pb", "7", "create")), "third");
    assert_eq!(log(&record("pb", "1", "update")), "third");
    assert_eq!(log(&oldest), "main");
    assert_eq!(log(&all[299]), "third", "what the halted log has can't be told");
    let damaged = |id: &Value| {
        let answer = running.read(&format!("/v1/records/{}", id.as_str().unwrap()));
        assert_eq!((answer.status, &json_of(&answer)["type"]), (500, &json!("urn:cairn:problem:damaged")));
    };
    let shown = running.shown(&format!("/v1/records/{}", oldest["id"].as_str().unwrap()));
    assert_eq!(shown["record"]["view"]["object"]["id"], "3", "{shown}");
    // Whether the halted log has them nobody knows.
    damaged(&all[298]["id"]);
    damaged(&with_id(json!({}), 500)["id"]);
}
