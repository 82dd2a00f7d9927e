//! From the disk to the log and off the disk again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use cairn_tests::command::cairn;
use serde_json::{Value, json};

use super::{Scene, Sidecar, record, texts};
use crate::damage::wait_for;

#[test]
fn what_is_added_offline_is_delivered_later_with_receipts_and_leaves_the_disk() {
    let mut scene = Scene::without_server();
    let secret = "a note that is nowhere else";
    let mut ids = scene.add(&record("1", "create", secret));
    ids.extend(scene.add(&json!([record("1", "update", secret), record("2", "create", secret)])));
    let status = scene.status();
    assert_eq!((&status["records"], &status["batches"], &status["behind"]), (&json!(3), &json!(2), &json!(1)));
    // Nobody answers: all of it stays.
    let nobody = scene.deliver_with(&[]);
    assert!(nobody.code == 1 && nobody.stderr.contains("3 records in 2 batches wait"), "{nobody:?}");
    assert!(on_disk(&scene, secret));
    private(&scene);
    scene.start();
    let receipts = scene.path("receipts");
    let delivered = scene.deliver_with(&["--receipts", &receipts]);
    assert_eq!((delivered.code, delivered.stderr.as_str()), (0, ""), "{delivered:?}");
    assert_eq!(delivered.json()[0], json!({"delivered": 2, "left": 0}));
    assert_eq!((scene.stream("1"), scene.stream("2")), (ids[..2].to_vec(), ids[2..].to_vec()));
    assert!(!on_disk(&scene, secret), "what was delivered is still there");
    // Somebody who has the log's key and nothing else believes each of them.
    for id in &ids {
        let (leaf, proof) = (format!("{receipts}/{id}.leaf"), format!("{receipts}/{id}.tlog-proof"));
        let verified = cairn(["verify", "--key", &scene.data.main.vkey, "--proof", &proof, &leaf]);
        assert_eq!(verified.code, 0, "{verified:?}");
    }
    assert_eq!(scene.status()["batches"], 0);
    scene.deliver();
    assert_eq!(scene.size(), 3);
}

fn on_disk(scene: &Scene, text: &str) -> bool {
    let files = fs::read_dir(scene.outbox()).unwrap();
    let mut contents = files.map(|file| fs::read(file.unwrap().path()).unwrap());
    contents.any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

fn private(scene: &Scene) {
    assert_eq!(fs::metadata(scene.outbox()).unwrap().permissions().mode() & 0o777, 0o700);
    for file in fs::read_dir(scene.outbox()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
    }
}

#[test]
fn a_process_that_delivers_takes_records_of_others_and_streams_keep_their_order() {
    let scene = Scene::set();
    let sidecar = scene.sidecar(&[]);
    let mut expected: Vec<Vec<String>> = Vec::new();
    std::thread::scope(|scope| {
        let works: Vec<_> = (0..6)
            .map(|object| {
                let sidecar = &sidecar;
                scope.spawn(move || -> Vec<String> {
                    let one = |number: usize| {
                        let operation = if number == 0 { "create" } else { "update" };
                        sidecar.add(&record(&object.to_string(), operation, &number.to_string())).unwrap()
                    };
                    (0..25).flat_map(one).collect()
                })
            })
            .collect();
        expected.extend(works.into_iter().map(|work| work.join().unwrap()));
    });
    sidecar.wait_until_empty();
    for (object, ids) in expected.iter().enumerate() {
        assert_eq!(scene.stream(&object.to_string()), *ids);
    }
    // The commands reach the same process; another one that delivers is told that there is one.
    let ids = scene.add(&record("9", "create", "by the command"));
    sidecar.wait_until_empty();
    assert_eq!(scene.stream("9"), ids);
    let second = scene.deliver_with(&[]);
    assert!(second.code == 1 && second.stderr.contains("another cairn process is using it"), "{second:?}");
    sidecar.terminate();
    assert_eq!(scene.status()["batches"], 0);
    assert_eq!(scene.size(), 151);
}

#[test]
fn what_is_signed_is_sealed_before_it_is_kept() {
    let scene = Scene::set();
    let key = scene.path("producer.key");
    let made = cairn(["outbox", "key", "--json", "--make", &key]);
    assert_eq!(made.code, 0, "{made:?}");
    let public = made.json()[0].clone();
    assert!(cairn(["outbox", "key", "--make", &key]).code == 2, "an existing key is never replaced");
    let origin = scene.data.main.vkey.split('+').next().unwrap().to_owned();
    let signed = ["--sign-with", &key, "--log-origin", &origin];
    let mut body = record("1", "create", "signed");
    body["topics"] = json!(["licences"]);
    let added = scene.add_with(&body, &signed);
    assert_eq!(added.code, 0, "{added:?}");
    let ids = texts(&added.json()[0]["ids"]);
    // A token that does not vouch for the key can't deliver it: the log refuses it for good.
    let refused = scene.deliver_with(&[]);
    assert!(refused.code == 1 && refused.stderr.contains("with 422"), "{refused:?}");
    let token = scene.new_token(&["--rights", "append", "--producer-key", public["key"].as_str().unwrap()]);
    assert_eq!(scene.run("retry", &["--all"]).json()[0], json!({"batches": 1}));
    let delivered = scene.deliver_with(&["--token", &token]);
    assert_eq!(delivered.code, 0, "{delivered:?}");
    let (_, shown) = scene.get(&format!("/v1/records/{}", ids[0]));
    assert_eq!(super::event_of(&shown["record"])["key"], public["id"]);
    let (_, found) = scene.get("/v1/records?tenant=pb&topic=licences");
    assert_eq!(found["records"].as_array().unwrap().len(), 1, "what concerns the stream came along");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(scene.add_with(&body, &signed).stderr.contains("others may read it"));
}

#[test]
fn what_can_not_be_kept_is_told_and_leaves_nothing_behind() {
    let scene = Scene::without_server();
    for (body, words) in [
        (json!({}), "/object: this member is missing"),
        (json!([]), "at least one record"),
        (json!([record("1", "create", "x"), {"object": 1}]), "/1/object"),
        (json!("x"), "expected"),
    ] {
        let refused = scene.add_with(&body, &[]);
        assert!(refused.code != 0 && refused.stderr.contains(words), "{body}: {refused:?}");
    }
    let mut twice = record("1", "create", "x");
    twice["id"] = json!("01939f5a-7c00-7a3b-8c4d-5e6f708192a3");
    let refused = scene.add_with(&json!([twice, twice]), &[]);
    assert!(refused.code == 1 && refused.stderr.contains("two records of the batch have the id"), "{refused:?}");
    // Full is full: an error at once, and what is there stays.
    let bounds = ["--max-records", "3"];
    let one = record("1", "create", "x");
    assert_eq!(scene.add_with(&json!([one, one]), &bounds).code, 0);
    let refused = scene.add_with(&json!([one, one]), &bounds);
    assert!(refused.code == 1 && refused.stderr.contains("the outbox is full: 2 records"), "{refused:?}");
    assert_eq!(scene.add_with(&one, &bounds).code, 0);
    let refused = scene.add_with(&one, &["--max-bytes", "900"]);
    assert!(refused.code == 1 && refused.stderr.contains("the outbox is full: 3 records"), "{refused:?}");
    let status: Value = scene.status();
    assert_eq!((&status["records"], &status["batches"]), (&json!(3), &json!(2)));
    let absent = cairn(["outbox", "status", "--dir", &scene.path("nothing")]);
    assert!(absent.code == 2 && absent.stderr.contains("there is no outbox"), "{absent:?}");
    let taken = cairn(["outbox", "status", "--dir", scene.data.path().to_str().unwrap()]);
    assert!(taken.code == 2, "{taken:?}");
}

#[test]
fn a_command_that_has_the_outbox_open_for_a_moment_is_waited_for() {
    let scene = Scene::set();
    let ids = scene.add(&record("1", "create", "waits"));
    let folder = scene.outbox();
    let held = cairn::outbox::Outbox::open(&folder, cairn::outbox::Options::default()).unwrap();
    let starting = Sidecar::starting(&folder, &scene.target(), &[], &[]);
    wait_for("its meeting the held outbox", || starting.said().contains("another command has the outbox open"));
    drop(held);
    let sidecar = starting.ready().expect("a process that delivers");
    sidecar.wait_until_empty();
    assert_eq!(scene.stream("1"), ids);
    sidecar.terminate();
}
