//! Keys rotate while entries come and a watcher follows.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use cairn_tests::http::{Connection, Request};
use cairn_tests::random::Random;
use cairn_tests::server::{Data, Server, Starting, cairnd};

use super::{active, append, append_at, cairn, told};

/// Watches once with these keys; true if all was consistent. A head that none of the keys signed is no alarm.
fn watch(server: &Server, state: &str, keys: &[&str]) -> bool {
    let mut arguments = vec!["watch", "--once", "--json", "--state", state];
    keys.iter().for_each(|key| arguments.extend(["--key", key]));
    let ended = cairn(server, "main", &arguments);
    assert_ne!(ended.code, Some(3), "an alarm: {ended:?}");
    ended.code == Some(0)
}

fn receipt(server: &Server, data: &Data, entry: &[u8]) -> Vec<u8> {
    let request = Request::post("/logs/main/entries", entry)
        .with("authorization", format!("Bearer {}", data.token))
        .with("accept", "text/plain");
    let answer = Connection::open(server.address()).unwrap().ask(&request).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.body
}

#[test]
fn keys_rotate_under_load_and_no_watcher_is_alarmed() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let server = data.serve();
    let old = data.main.vkey.clone();
    std::fs::write(path("entry"), "before").unwrap();
    std::fs::write(path("proof"), receipt(&server, &data, b"before")).unwrap();
    let (done, appended) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for worker in 0..2 {
            let (server, data, done, appended) = (server.address(), &data, &done, &appended);
            scope.spawn(move || {
                for number in 0.. {
                    if done.load(Ordering::SeqCst) {
                        return;
                    }
                    assert_eq!(append_at(server, data, "main", format!("{worker} {number}").as_bytes()).0, 200);
                    appended.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        // One that trusts the first key all along, and one that learns of the new ones.
        let mut known = vec![old.clone()];
        for round in 0..3 {
            assert!(watch(&server, &path("old"), &[&old]) || round > 0);
            let kind = if round == 1 { "ml-dsa-44" } else { "ed25519" };
            told(&data, &["key", "rotate", "main", "--type", kind, "--json"]);
            assert!(watch(&server, &path("learning"), &known.iter().map(String::as_str).collect::<Vec<_>>()));
            let led =
                cairn(&server, "main", &["keys", "--json", "--key", &old, "--save", &path(&format!("keys-{round}"))]);
            assert_eq!(led.code, Some(0), "{led:?}");
            let led: serde_json::Value = serde_json::from_str(&led.stdout).unwrap();
            known = led["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect();
            assert_eq!(known, active(&data, "main"));
            if kind == "ed25519" {
                told(&data, &["key", "rotate", "main", "--retire", "--json"]);
                known.retain(|key| active(&data, "main").contains(key));
            }
            assert!(watch(&server, &path("learning"), &known.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        done.store(true, Ordering::SeqCst);
    });
    assert!(appended.load(Ordering::SeqCst) > 20);
    // The first key signs no more, and what it promised stands.
    assert!(!active(&data, "main").contains(&old));
    assert!(!watch(&server, &path("new-old"), &[&old]));
    let verify =
        |key: &str| cairn(&server, "main", &["verify", "--key", key, "--proof", &path("proof"), &path("entry")]);
    assert_eq!(verify(&old).code, Some(0));
    assert_eq!(verify(&active(&data, "main")[0]).code, Some(1));
    // Offline, along what was kept, from the first key and from nobody else's.
    let offline = cairn(&server, "main", &["check-keys", "--json", "--key", &old, &path("keys-2")]);
    assert_eq!(offline.code, Some(0), "{offline:?}");
    let text = std::fs::read_to_string(path("keys-2")).unwrap().replacen("first_size\\\":", "first_size\\\":1", 1);
    std::fs::write(path("forged"), text).unwrap();
    assert_eq!(cairn(&server, "main", &["check-keys", "--key", &old, &path("forged")]).code, Some(1));
    drop(server);
    data.assert_sound();
}

/// The server is killed somewhere around a rotation: it starts again, and the keys are those before or those after.
#[test]
fn a_kill_around_a_rotation_leaves_all_of_it_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let mut random = Random::for_test("a kill around a rotation");
    let old = data.main.vkey.clone();
    let mut count = 1;
    let mut whole = 0;
    for round in 0..12 {
        let server = Server::ready(Starting::on(data.path(), &[]));
        assert_eq!(append(&server, &data, "main", format!("{round}").as_bytes()).0, 200);
        let path = data.path().to_owned();
        let rotating = thread::spawn(move || cairnd(&path, &["key", "rotate", "main"]));
        thread::sleep(Duration::from_micros(random.below(30_000) as u64));
        server.kill();
        let rotated = rotating.join().unwrap();
        let server = Server::ready(Starting::on(data.path(), &[]));
        let now = active(&data, "main").len();
        assert!(now == count || now == count + 1, "{rotated:?}");
        assert!(rotated.code != Some(0) || now == count + 1, "told, but not there: {rotated:?}");
        whole += usize::from(now > count);
        count = now;
        let led = cairn(&server, "main", &["keys", "--json", "--key", &old]);
        assert_eq!(led.code, Some(0), "{led:?}");
        // A log has so many keys at most.
        while count > 3 {
            told(&data, &["key", "rotate", "main", "--retire", "--json"]);
            count -= 1;
        }
        assert_eq!(server.stop().code, Some(0));
    }
    println!("{whole} of 12 rotations were made");
    data.assert_sound();
}
