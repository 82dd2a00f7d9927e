//! What the log refuses for good holds its stream and no other, is shown with the answer, and is tried again or dropped,
//! which the log is told. What it can't take now is no refusal.

use serde_json::{Value, json};

use super::{Scene, id_of, record};

/// A record that will be refused while its stream has no record.
fn early(object: &str) -> Value {
    let mut early = record(object, "update", "early");
    early["expected_seq"] = json!(0);
    early
}

#[test]
fn a_refusal_holds_its_stream_and_no_other_until_it_is_tried_again() {
    let scene = Scene::set();
    let refused = scene.add(&early("1"));
    let behind = scene.add(&record("1", "update", "behind"));
    // Held by its first record, and holding the second stream for what comes after.
    let both = scene.add(&json!([record("1", "update", "both"), record("2", "create", "both")]));
    let later = scene.add(&record("2", "update", "later"));
    let other = scene.add(&record("3", "create", "other"));
    let ended = scene.deliver_with(&[]);
    assert!(ended.code == 1 && ended.stderr.contains("with 409"), "{ended:?}");
    assert_eq!((scene.stream("3"), scene.size()), (other, 1));
    let status = scene.status();
    assert_eq!((&status["refused"], &status["behind"], &status["batches"]), (&json!(1), &json!(3), &json!(4)));
    let one = &status["refusals"][0];
    assert_eq!((&one["ids"], &one["status"]), (&json!(refused), &json!(409)));
    assert!(one["answer"].as_str().unwrap().contains("no record yet"), "{one}");
    // It stays so until somebody does something about it, whoever opens the outbox.
    assert_eq!(scene.deliver_with(&[]).code, 1);
    assert_eq!(scene.size(), 1);
    // Somebody else makes the stream's first record; now it fits.
    let first = scene.path("first.json");
    std::fs::write(&first, record("1", "create", "first").to_string()).unwrap();
    let url = format!("http://{}/logs/main", scene.address);
    let ran = cairn_tests::command::cairn(["record", "--url", &url, "--token", &scene.data.token, &first]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(scene.run("retry", &[&behind[0]]).code, 1, "it was not refused");
    assert_eq!(scene.run("retry", &[&refused[0]]).json()[0], json!({"batches": 1}));
    scene.deliver();
    let stream = scene.stream("1");
    assert_eq!(stream[1..], [refused[0].clone(), behind[0].clone(), both[0].clone()]);
    assert_eq!(scene.stream("2"), [both[1].clone(), later[0].clone()]);
}

#[test]
fn what_is_dropped_is_told_to_the_log_and_lets_its_stream_go_on() {
    let scene = Scene::set();
    let refused = scene.add(&early("1"));
    let behind = scene.add(&record("1", "create", "behind"));
    assert_eq!(scene.deliver_with(&[]).code, 1);
    assert_eq!(scene.run("drop", &["--reason", "", &refused[0]]).code, 1, "a reason has words");
    let dropped = scene.run("drop", &["--reason", "entered twice", &refused[0]]);
    assert_eq!(dropped.code, 0, "{dropped:?}");
    let dropped = dropped.json()[0].clone();
    assert_eq!((&dropped["ids"], &dropped["was_refused"]), (&json!(refused), &json!(true)));
    assert_eq!(scene.run("drop", &["--reason", "again", &refused[0]]).code, 1, "it is gone");
    scene.deliver();
    let told = dropped["records"][0].as_str().unwrap().to_owned();
    assert_eq!(scene.stream("1"), [behind[0].clone(), told.clone()]);
    let (status, found) = scene.get("/v1/records?tenant=pb&operation=outbox.dropped");
    assert_eq!((status, id_of(&found["records"][0])), (200, told));
    let view = &found["records"][0]["view"];
    assert_eq!(view["context"]["reason"], "entered twice", "{view}");
    let said = |name: &str| view["attributes"]["named"][name]["value"].as_str().unwrap_or_default().to_owned();
    assert_eq!(said("outbox-record"), refused[0], "{view}");
    assert!(said("outbox-answer").starts_with("409: ") && said("outbox-sha256").len() == 64, "{view}");
    // What may have been sent is dropped as well, and that is said.
    let unsent = scene.add(&json!([record("4", "create", "x"), record("5", "create", "y")]));
    let dropped = scene.run("drop", &["--reason", "not needed", &unsent[1]]).json()[0].clone();
    assert_eq!((&dropped["ids"], &dropped["was_refused"]), (&json!(unsent), &json!(false)));
    let told = dropped["records"].as_array().unwrap();
    // The record of a drop can be dropped, which is noted in the outbox only.
    let last = scene.run("drop", &["--reason", "no", told[0].as_str().unwrap()]).json()[0].clone();
    assert_eq!((last["records"].as_array().unwrap().len(), &scene.status()["batches"]), (0, &json!(0)));
    assert_eq!(scene.size(), 2);
}

#[test]
fn a_stream_goes_on_past_a_refusal_if_that_is_wished() {
    let scene = Scene::set();
    let refused = scene.add(&early("1"));
    let behind = scene.add(&record("1", "create", "behind"));
    let on = ["--on-refusal", "go-on"];
    let ended = scene.deliver_with(&on);
    assert_eq!((ended.code, ended.json()[0].clone()), (1, json!({"delivered": 1, "left": 1})), "{ended:?}");
    assert_eq!(scene.stream("1"), behind);
    assert_eq!(scene.run("retry", &[&["--all"], &on[..]].concat()).code, 0);
    assert_eq!(scene.deliver_with(&on).code, 0);
    assert_eq!(scene.stream("1"), [behind[0].clone(), refused[0].clone()]);
}

#[test]
fn what_a_credential_or_a_clock_forbids_is_no_refusal() {
    let scene = Scene::set();
    let mut ids = scene.add(&record("1", "create", "x"));
    let wrong = scene.deliver_with(&["--token", "wrong"]);
    assert!(wrong.code == 1 && wrong.stderr.contains("401"), "{wrong:?}");
    let reader = scene.new_token(&["--rights", "read"]);
    assert_eq!(scene.deliver_with(&["--token", &reader]).code, 1);
    let stranger = scene.new_token(&["--rights", "append", "--tenants", "ka"]);
    let ended = scene.deliver_with(&["--token", &stranger]);
    assert!(ended.code == 1 && ended.stderr.contains("404"), "{ended:?}");
    // A key that is not the log's: the log has it then, and nobody believes it.
    let other = Scene::without_server();
    let ended = scene.deliver_with(&["--key", &other.data.main.vkey]);
    assert!(ended.code == 1 && ended.stderr.contains("the answer is not verified"), "{ended:?}");
    assert_eq!((&scene.status()["refused"], &scene.status()["batches"]), (&json!(0), &json!(1)));
    // A producer whose clock is ahead waits until the time has come.
    let mut future = record("2", "create", "x");
    future["time"] = json!("2999-01-01T00:00:00Z");
    ids.extend(scene.add(&future));
    let ended = scene.deliver_with(&[]);
    assert!(ended.code == 1 && ended.stderr.contains("minutes after the server's"), "{ended:?}");
    assert_eq!((&scene.status()["refused"], &scene.status()["batches"]), (&json!(0), &json!(1)));
    assert_eq!((scene.stream("1"), scene.size()), (ids[..1].to_vec(), 1));
}
