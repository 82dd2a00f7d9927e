//! A tenant that gets a log of its own when the default log has streams of it: each is linked, whatever gets in between.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use cairn_tests::http::{Connection, Request};
use cairn_tests::server::{Ended, cairnd};
use serde_json::{Value, json};

use super::{Running, json_of, post, record};

/// About how long the command takes to find the server that runs.
const FINDING_MS: u64 = 30;

fn create(running: &Running, arguments: &[&str]) -> Ended {
    cairnd(running.data.path(), &[&["tenant", "create", "pb", "--json"], arguments].concat())
}

pub(super) fn created(running: &Running, arguments: &[&str]) -> Value {
    let ended = create(running, arguments);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&ended.stdout).unwrap()
}

/// The records of an object's stream in one of the logs.
fn history(running: &Running, object: &str, log: &str) -> Vec<Value> {
    let shown = running.shown(&format!("/v1/streams/entity/pb/tl/license/{object}{log}"));
    shown["records"].as_array().unwrap().clone()
}

fn leaf(record: &Value) -> Value {
    serde_json::from_str(record["leaf"].as_str().unwrap().lines().nth(1).unwrap()).unwrap()
}

/// That the stream's two parts name each other.
fn assert_linked(running: &Running, object: &str) {
    let (before, after) = (history(running, object, "?log=main"), history(running, object, ""));
    let (last, first) = (before.last().unwrap(), &after[0]);
    assert_eq!(last["view"]["object"]["operation"], "cairn.continued", "{last}");
    let goes_on = &last["view"]["values"]["whole"];
    assert_eq!(goes_on["/log"]["new"], first["integrity"]["log"]);
    assert_eq!(goes_on["/stream"]["new"], leaf(first)["server"]["stream"]);
    let continues = &first["view"]["continues"];
    assert_eq!(continues["leaf"], last["integrity"]["leaf_hash"], "{first}");
    assert_eq!(continues["log"], last["integrity"]["log"]);
    assert_eq!(
        (&continues["seq"], &continues["stream"]),
        (&leaf(last)["server"]["seq"], &leaf(last)["server"]["stream"])
    );
}

#[test]
fn streams_go_on_in_the_tenants_own_log_and_each_part_names_the_other() {
    let running = Running::start();
    let first = running.brought(&record("pb", "1", "create"));
    running.brought(&json!([record("pb", "2", "create"), record("ka", "1", "create"), record("pb", "1", "update")]));
    let mut named = record("pb", "1", "update");
    named["context"] = json!({"stream": "channel"});
    named["topics"] = json!(["licences"]);
    running.brought(&named);
    // What is decided for it is the log's own, and no stream that goes on.
    let set = cairnd(running.data.path(), &["tenant", "set", "pb", "--reads", "off"]);
    assert_eq!(set.code, Some(0));
    let refused = create(&running, &[]);
    assert_eq!((refused.code, refused.stderr.contains("say --continue")), (Some(1), true), "{refused:?}");
    let made = created(&running, &["--continue"]);
    assert_eq!((&made["linked"], &made["log"]["name"]), (&json!(3), &json!("pb")));
    for object in ["1", "2"] {
        assert_linked(&running, object);
    }
    let channel = running.shown("/v1/streams/named/pb/channel");
    assert_eq!(channel["records"][0]["view"]["topics"], json!(["licences"]), "{channel}");
    // From then on they go there, the default log gets nothing of it, and both parts are read.
    let size = running.size();
    assert_eq!(running.brought(&record("pb", "1", "update"))["records"][0]["seq"], 1);
    assert_eq!(running.size(), size);
    assert_eq!(history(&running, "1", "?log=main").len(), 3);
    let id = first["records"][0]["id"].as_str().unwrap();
    assert_eq!(running.shown(&format!("/v1/records/{id}?tenant=pb"))["record"]["integrity"]["index"], 0);
    assert_eq!(running.shown("/v1/records?tenant=pb&object=1")["records"].as_array().unwrap().len(), 2);
    assert_eq!(running.shown("/v1/records?tenant=pb&object=1&log=main")["records"].as_array().unwrap().len(), 4);
    for target in ["/v1/records?tenant=ka&log=pb", "/v1/streams/entity/ka/tl/license/1?log=pb"] {
        assert_eq!(running.read(target).status, 404, "another tenant's log is none");
    }
    // The tenant's own auditor sees the first part too, and of nobody else.
    let auditor = made["auditor_token"].as_str().unwrap();
    let own = |target: &str| running.ask_with(auditor, Request::get(target)).status;
    assert_eq!(own("/v1/streams/entity/pb/tl/license/1?log=main"), 200);
    assert_eq!(own("/v1/streams/entity/ka/tl/license/1?log=main"), 404);
    let again = create(&running, &["--continue"]);
    assert!(again.stderr.contains("has a log already"), "{again:?}");
    running.server.stop();
    running.data.assert_sound();
}

/// A strict module goes on from the states of before.
#[test]
fn states_of_a_stream_that_goes_on_are_those_of_before() {
    let running = Running::start();
    running.brought(&record("pb", "1", "create"));
    let switches = ["module", "set", "tl", "--tenant", "pb", "--strict", "on", "--old-must-match", "on"];
    assert_eq!(cairnd(running.data.path(), &switches).code, Some(0));
    created(&running, &["--continue"]);
    let running = running.restarted();
    let update = |old: &str| {
        let mut update = record("pb", "1", "update");
        update["values"] = json!({"fields": {"/status": {"old": old, "new": "APPROVED"}}});
        update
    };
    assert_eq!(json_of(&running.bring(&update("OTHER")))["paths"], json!(["/status"]));
    running.brought(&update("APPLIED"));
    assert_eq!(json_of(&running.bring(&record("pb", "1", "create")))["type"], "urn:cairn:problem:state-conflict");
}

/// Killed at any moment, the command is given again and finishes what it began; until then nobody brings records.
#[test]
fn a_creation_that_is_killed_in_the_middle_is_finished_by_the_next() {
    let mut running = Running::start();
    let objects: Vec<String> = (0..600).map(|number| number.to_string()).collect();
    let batch: Vec<Value> = objects.iter().map(|object| record("pb", object, "create")).collect();
    running.brought(&json!(batch));
    let mut cut = 0;
    for wait in [0, 5, 10, 20, 40, 80, 160] {
        let (address, data) = (running.data.path().to_owned(), running.data.path().join("tenants.json"));
        let creating = thread::spawn(move || cairnd(&address, &["tenant", "create", "pb", "--continue"]));
        // Its first durable step; then a while of its work.
        let moving = || std::fs::read_to_string(&data).is_ok_and(|text| text.contains("\"from\""));
        while !moving() && !creating.is_finished() {
            thread::yield_now();
        }
        // From the second time on that is so before the command has found the server.
        let patience = if cut > 0 { FINDING_MS } else { 0 };
        thread::sleep(Duration::from_millis(patience + wait));
        let was_moving = moving();
        // A command that found no server goes on by itself, on a database that it has then.
        running = running.killed_before(|| drop(creating.join().unwrap()));
        if was_moving && moving() {
            cut += 1;
            let answer = running.bring(&record("pb", "0", "update"));
            assert_eq!(answer.status, 503, "{}", answer.text());
            let refused = create(&running, &[]);
            assert!(refused.stderr.contains("finish that with --continue"), "{refused:?}");
            assert_eq!(running.bring(&record("ka", "0", "create")).status, 200, "others are not kept waiting");
        }
    }
    assert!(cut > 0, "it was never cut short");
    let ended = create(&running, &["--continue"]);
    assert!(ended.code == Some(0) || ended.stderr.contains("has a log already"), "{ended:?}");
    for object in ["0", "255", "256", "599"] {
        assert_linked(&running, object);
        assert_eq!(history(&running, object, "").len(), 1);
    }
    running.brought(&record("pb", "0", "update"));
    running.server.stop();
    running.data.assert_sound();
}

/// Writers that never pause: what was answered by the default log was there before the creation was answered.
#[test]
fn nothing_lands_in_the_default_log_once_the_creation_is_answered() {
    let running = Running::start();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..4 {
            let (address, token, stop) = (running.server.address(), running.data.token.clone(), &stop);
            scope.spawn(move || {
                let mut connection = Connection::open(address).unwrap();
                for number in 0_u64.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let body = record("pb", &format!("{writer}-{number}"), "create");
                    let request = post(&body).with("authorization", format!("Bearer {token}"));
                    let answer = connection.ask(&request).unwrap();
                    assert!([200, 503].contains(&answer.status), "{}", answer.text());
                }
            });
        }
        while running.size() < 20 {
            thread::yield_now();
        }
        created(&running, &["--continue"]);
        let size = running.size();
        for _ in 0..20 {
            running.brought(&record("pb", "mine", "update"));
        }
        assert_eq!(running.size(), size);
        stop.store(true, Ordering::SeqCst);
    });
    running.server.stop();
    running.data.assert_sound();
}

pub(super) fn seal(running: &Running, name: &str, successor: &str) {
    let ended = cairnd(running.data.path(), &["log", "seal", name, "--successor", successor]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

pub(super) fn update(object: &str, old: &str, new: &str) -> Value {
    let mut update = record("pb", object, "update");
    update["values"] = json!({"fields": {"/status": {"old": old, "new": new}}});
    update
}

/// That the first record of a stream in one log names the last one that it has in the other.
fn assert_continues(running: &Running, object: &str, log: &str, before: &str) {
    let (after, before) =
        (history(running, object, &format!("?log={log}")), history(running, object, &format!("?log={before}")));
    let (first, last) = (&after[0], before.last().unwrap());
    let continues = &first["view"]["continues"];
    assert_eq!(continues["leaf"], last["integrity"]["leaf_hash"], "{first}");
    assert_eq!(continues["log"], last["integrity"]["log"]);
    let server = &leaf(last)["server"];
    assert_eq!((&continues["seq"], &continues["stream"]), (&server["seq"], &server["stream"]));
}

/// A log that ends: what it has of a stream is where the stream in the next log goes on from, with the first record that
/// comes, whoever brings it and however many logs lie between.
#[test]
fn streams_of_a_log_that_has_ended_go_on_in_those_after_it() {
    let running = Running::start();
    let switches = ["module", "set", "tl", "--tenant", "pb", "--strict", "on", "--old-must-match", "on"];
    assert_eq!(cairnd(running.data.path(), &switches).code, Some(0));
    let mut named = record("pb", "9", "create");
    named["context"] = json!({"stream": "channel"});
    running.brought(&json!([
        record("pb", "1", "create"),
        record("pb", "2", "create"),
        record("ka", "1", "create"),
        named
    ]));
    seal(&running, "main", "second");
    let conflict = |running: &Running, body: &Value| {
        let answer = running.bring(body);
        assert_eq!(answer.status, 409, "{}", answer.text());
        json_of(&answer)
    };
    // Judged against the states of the log that has ended, before anything is here and after a start.
    assert_eq!(conflict(&running, &update("1", "OTHER", "X"))["paths"], json!(["/status"]));
    conflict(&running, &record("pb", "1", "create"));
    conflict(&running, &update("3", "APPLIED", "X"));
    running.brought(&json!([
        update("1", "APPLIED", "SECOND"),
        update("1", "SECOND", "THIRD"),
        record("pb", "4", "create")
    ]));
    assert_continues(&running, "1", "second", "main");
    assert_eq!(history(&running, "4", "")[0]["view"]["continues"], Value::Null);
    let running = running.restarted();
    conflict(&running, &update("1", "SECOND", "X"));
    named = record("pb", "9", "update");
    named["context"] = json!({"stream": "channel"});
    named["values"] = Value::Null;
    named.as_object_mut().unwrap().remove("values");
    running.brought(&named);
    let channel = running.shown("/v1/streams/named/pb/channel");
    assert_eq!(channel["records"][0]["view"]["continues"]["seq"], 0, "{channel}");
    seal(&running, "second", "third");
    running.brought(&json!([update("1", "THIRD", "FOURTH"), update("2", "APPLIED", "SECOND")]));
    assert_continues(&running, "1", "third", "second");
    assert_continues(&running, "2", "third", "main");
    // A tenant that gets a log of its own then has its streams of the log that has ended, too.
    running.brought(&record("ka", "2", "create"));
    let ended = cairnd(running.data.path(), &["tenant", "create", "ka", "--continue"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    running.brought(&record("ka", "1", "update"));
    let first = &running.shown("/v1/streams/entity/ka/tl/license/1")["records"][0];
    assert_eq!(first["view"]["continues"]["log"], "localhost/logs/main", "{first}");
    running.server.stop();
    running.data.assert_sound();
}

/// Of many who bring the first record at once, one is the first, and none is lost.
#[test]
fn a_stream_goes_on_once_however_many_begin_it() {
    let running = Running::start();
    running.brought(&record("pb", "1", "create"));
    seal(&running, "main", "second");
    thread::scope(|scope| {
        for _ in 0..8 {
            let (address, token) = (running.server.address(), running.data.token.clone());
            scope.spawn(move || {
                let request = post(&record("pb", "1", "update")).with("authorization", format!("Bearer {token}"));
                assert_eq!(Connection::open(address).unwrap().ask(&request).unwrap().status, 200);
            });
        }
    });
    let records = history(&running, "1", "");
    assert_eq!(records.len(), 8);
    assert_continues(&running, "1", "second", "main");
    running.server.stop();
    running.data.assert_sound();
}

/// Streams that are in three logs, one after another, and the server's time of a record in the first.
pub(super) fn in_three_logs() -> (Running, String) {
    let running = Running::start();
    running.brought(&json!([record("pb", "1", "create"), record("pb", "2", "create")]));
    running.brought(&json!([update("1", "APPLIED", "PAID")]));
    let before = running.shown("/v1/streams/entity/pb/tl/license/1")["records"][1]["view"].clone();
    let paid = before["server_time"].as_str().unwrap().to_owned();
    let mut correction = record("pb", "2", "create");
    correction["replaces"] = history(&running, "2", "")[0]["view"]["id"].clone();
    running.brought(&correction);
    created(&running, &["--continue"]);
    running.brought(&update("1", "PAID", "APPROVED"));
    seal(&running, "pb", "later");
    running.brought(&update("1", "APPROVED", "EXPIRED"));
    (running.restarted(), paid)
}

/// What an auditor asks for is what the object is, and not what one of the logs has of it.
#[test]
fn states_and_differences_go_on_from_those_of_the_parts_before() {
    let (running, paid) = in_three_logs();
    let of = |what: &str| running.shown(&format!("/v1/streams/entity/pb/tl/license/1/{what}"));
    for view in ["recorded", "corrected"] {
        let state = of(&format!("state?view={view}"));
        let told = &state["states"][0];
        assert_eq!(
            told["document"],
            json!({"status": "EXPIRED", "fee": 1200, "owner": "Ada", "iban": "DE02"}),
            "{state}"
        );
        assert_eq!((&told["lives"], &told["last"], &told["last_log"]), (&json!(1), &json!(0), &Value::Null), "{state}");
        assert_eq!(state["flags"], json!([]));
        // Each part with its last record, and a checkpoint of its log.
        let earlier = state["earlier"].as_array().unwrap();
        let logs: Vec<&str> = earlier.iter().map(|part| part["log"].as_str().unwrap()).collect();
        assert_eq!(logs, ["localhost/logs/pb", "localhost/logs/main"]);
        for part in earlier {
            let log = part["log"].as_str().unwrap();
            let last = history(&running, "1", &format!("?log={log}")).pop().unwrap();
            assert_eq!((&part["leaf"], &part["seq"]), (&last["integrity"]["leaf_hash"], &leaf(&last)["server"]["seq"]));
            assert!(part["checkpoint"].as_str().unwrap().starts_with(&format!("{log}\n")));
        }
    }
    // At a time before this log was.
    for by in ["", "&by=producer_time"] {
        let at = of(&format!("state?at={paid}{by}"));
        assert_eq!(at["states"][0]["document"]["status"], "PAID", "{at}");
        assert_eq!(
            (&at["states"][0]["last"], &at["states"][0]["last_log"]),
            (&json!(1), &json!("localhost/logs/main"))
        );
    }
    let changed = of(&format!("diff?from={paid}"));
    assert_eq!(
        changed["objects"][0]["differences"],
        json!([
        {"pointer": "/status", "old": "PAID", "new": "EXPIRED", "certain": true}]),
        "{changed}"
    );
    assert_eq!(changed["earlier"].as_array().unwrap().len(), 2);
}

/// A part by itself begins with nothing, and one that nothing touched ends as the one before it.
#[test]
fn each_part_of_a_stream_is_replayed_by_itself_or_after_those_before_it() {
    let (running, _) = in_three_logs();
    let of = |object: &str, what: &str| running.shown(&format!("/v1/streams/entity/pb/tl/license/{object}/{what}"));
    let alone = of("1", "state?earlier=0");
    assert_eq!(alone["states"][0]["document"], json!({"status": "EXPIRED"}), "{alone}");
    assert_eq!(
        (&alone["earlier"][0]["log"], &alone["earlier"][0]["checkpoint"]),
        (&json!("localhost/logs/pb"), &Value::Null)
    );
    let main = of("1", "state?log=main");
    assert_eq!((&main["states"][0]["document"]["status"], &main["earlier"]), (&json!("PAID"), &Value::Null));
    // A correction acts in the place of what it corrects in its own part.
    for (view, lives) in [("recorded", 2), ("corrected", 1)] {
        let moved = of("2", &format!("state?log=pb&view={view}"));
        let told = &moved["states"][0];
        assert_eq!((&told["document"]["status"], &told["lives"]), (&json!("APPLIED"), &json!(lives)), "{moved}");
        assert_eq!((&told["last"], &told["last_log"]), (&json!(1), &json!("localhost/logs/main")), "{moved}");
    }
    assert_eq!(running.read("/v1/streams/entity/pb/tl/license/1/state?earlier=2").status, 400);
    // Another tenant's token sees none of it.
    let other = running.new_token(&["--rights", "read", "--tenants", "ka"]);
    let asked = Request::get("/v1/streams/entity/pb/tl/license/1/state");
    assert_eq!(running.ask_with(&other, asked).status, 404);
}
