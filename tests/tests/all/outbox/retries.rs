//! Answers that got lost, and keys that the server has forgotten: each record is in the log once all the same.

use std::collections::HashMap;

use cairn_tests::command::cairn;
use cairn_tests::preload::{Calls, Class, Deed};
use cairn_tests::server::cairnd;
use serde_json::{Value, json};

use super::{Scene, id_of, record, texts};

/// How long the server keeps an idempotency key here, and how much later it is asked again.
const WINDOW_SECONDS: u64 = 60;
const LATER_MS: i64 = 3 * 24 * 3_600_000;

/// Signed records, if there is a key, and records of others; in batches of one and of several.
fn fill(scene: &Scene, signed: &[&str]) -> Vec<String> {
    let mut ids = Vec::new();
    for (further, first) in [(&[][..], 1), (signed, 5)] {
        let records = |numbers: &[usize]| -> Value {
            let mut many: Vec<Value> =
                numbers.iter().map(|number| record(&(first + number).to_string(), "create", "v")).collect();
            if many.len() == 1 { many.remove(0) } else { json!(many) }
        };
        for numbers in [&[0][..], &[0, 1, 2], &[2, 0]] {
            let added = scene.add_with(&records(numbers), further);
            assert_eq!(added.code, 0, "{added:?}");
            ids.extend(texts(&added.json()[0]["ids"]));
        }
    }
    ids
}

fn once_each(ids: &[String]) -> HashMap<String, usize> {
    ids.iter().map(|id| (id.clone(), 1)).collect()
}

#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn a_delivery_that_the_server_has_forgotten_the_key_of_is_known_by_its_ids() {
    let mut scene = Scene::without_server();
    scene.data.set_limit("idempotency_seconds", WINDOW_SECONDS);
    let key = scene.path("producer.key");
    let public = cairn(["outbox", "key", "--json", "--make", &key]).json()[0]["key"].as_str().unwrap().to_owned();
    let origin = scene.data.main.vkey.split('+').next().unwrap().to_owned();
    let token = scene.new_token(&["--rights", "append", "--producer-key", &public]);
    let ids = fill(&scene, &["--sign-with", &key, "--log-origin", &origin]);
    // The server's clock is this library's matter from its start on.
    let control = scene.folder.path().join("control");
    let calls = Calls::new(scene.data.path(), &control, (Class::Change, Deed::Fail("EIO"))).unwrap();
    let environment = calls.environment(&[]);
    scene.start_with(&environment);
    // The log takes all that may go, and whoever asked does not believe the answer: as good as lost.
    let stranger = Scene::without_server();
    let lost = scene.deliver_with(&["--token", &token, "--key", &stranger.data.main.vkey]);
    assert!(lost.code == 1 && lost.stderr.contains("the answer is not verified"), "{lost:?}");
    let taken = scene.size();
    assert!(taken >= 2, "nothing was sent");
    scene.stop();
    calls.set_clock(LATER_MS).unwrap();
    scene.start_with(&environment);
    let delivered = scene.deliver_with(&["--token", &token]);
    assert_eq!(delivered.code, 0, "{delivered:?}");
    assert!(calls.clock_reads().unwrap() > 0, "the clock was not moved");
    assert_eq!(scene.counts(), once_each(&ids));
    assert_eq!(scene.size(), ids.len() as u64);
    assert_eq!(scene.status()["batches"], 0);
}

#[test]
fn a_delivery_that_was_not_believed_is_repeated_with_the_same_receipts() {
    let mut scene = Scene::set();
    let ids = fill(&scene, &[]);
    let stranger = Scene::without_server();
    for _ in 0..3 {
        let lost = scene.deliver_with(&["--key", &stranger.data.main.vkey]);
        assert_eq!(lost.code, 1, "{lost:?}");
        scene.kill_server();
        scene.start();
    }
    // Another credential has other idempotency keys.
    let token = scene.new_token(&["--rights", "append"]);
    let delivered = scene.deliver_with(&["--token", &token]);
    assert_eq!(delivered.code, 0, "{delivered:?}");
    assert_eq!(scene.counts(), once_each(&ids));
}

/// The log ends while answers are lost: what it has is delivered for whoever has its key, the rest goes to the next log.
#[test]
fn what_a_log_had_before_it_ended_is_delivered_by_its_receipts() {
    let scene = Scene::set();
    let ids = fill(&scene, &[]);
    let stranger = Scene::without_server();
    let lost = scene.deliver_with(&["--key", &stranger.data.main.vkey]);
    assert!(lost.code == 1 && lost.stderr.contains("the answer is not verified"), "{lost:?}");
    let taken = scene.size();
    assert!((2..ids.len() as u64).contains(&taken), "{taken}");
    let sealed = cairnd(scene.data.path(), &["log", "seal", "main", "--successor", "second"]);
    assert_eq!(sealed.code, Some(0), "{sealed:?}");
    let keys = cairnd(scene.data.path(), &["key", "list", "second", "--json"]).stdout;
    let keys: Value = serde_json::from_str(&keys).unwrap();
    let next = keys["keys"][0]["vkey"].as_str().unwrap();
    let unknown = scene.deliver_with(&["--key", next]);
    let words = "it is of the log localhost/logs/main, of which no key is given";
    assert!(unknown.code == 1 && unknown.stderr.contains(words), "{unknown:?}");
    let delivered = scene.deliver_with(&["--key", next, "--key", &scene.data.main.vkey]);
    assert_eq!(delivered.code, 0, "{delivered:?}");
    let found = |log: &str| scene.pages(&format!("/v1/records?tenant=pb&module=tl&log={log}"));
    let (before, after) = (found("main"), found("second"));
    let mut counts = HashMap::new();
    before.iter().chain(&after).for_each(|record| *counts.entry(id_of(record)).or_default() += 1);
    assert_eq!(counts, once_each(&ids));
    assert_eq!((before.len() as u64, scene.status()["batches"].as_u64()), (taken, Some(0)));
}

#[test]
fn a_record_that_is_added_twice_under_its_id_is_delivered_once() {
    let scene = Scene::set();
    let mut one = record("1", "create", "x");
    one["id"] = json!("01939f5a-7c00-7a3b-8c4d-5e6f708192a3");
    one["time"] = json!("2026-01-01T00:00:00Z");
    let ids = [scene.add(&one), scene.add(&one)].concat();
    scene.deliver();
    assert_eq!((scene.size(), ids.len()), (1, 2));
    // The same id with something else is refused for good, and nothing of the first is lost.
    one["values"]["whole"]["new"]["note"] = json!("y");
    scene.add(&one);
    let refused = scene.deliver_with(&[]);
    assert!(refused.code == 1 && refused.stderr.contains("another record has this id"), "{refused:?}");
    assert_eq!(scene.size(), 1);
}
