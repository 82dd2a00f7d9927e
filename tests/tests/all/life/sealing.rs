//! A log ends, another goes on, and both say so.

use std::thread;
use std::time::Duration;

use cairn_tests::random::Random;
use cairn_tests::server::{Data, Server, Starting, cairnd};

use super::{append, cairn};

#[test]
fn a_sealed_log_refuses_entries_and_leads_to_its_successor() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let key = data.main.vkey.as_str();
    let state = folder.path().join("state").to_str().unwrap().to_owned();
    let server = data.serve();
    for number in 0..300 {
        assert_eq!(append(&server, &data, "main", format!("{number}").as_bytes()).0, 200);
    }
    assert_eq!(cairn(&server, "main", &["follow", "--key", key]).code, Some(1));
    let sealed = cairnd(data.path(), &["log", "seal", "main", "--successor", "next", "--json"]);
    assert_eq!(sealed.code, Some(0), "{sealed:?}");
    let (status, problem) = append(&server, &data, "main", b"late");
    assert_eq!(status, 410, "{problem}");
    assert!(problem.contains("localhost/logs/next"), "{problem}");
    assert_eq!(append(&server, &data, "next", b"on"), (200, "1".to_owned()));

    let followed = cairn(&server, "main", &["follow", "--json", "--key", key]);
    assert_eq!(followed.code, Some(0), "{followed:?}");
    let followed: serde_json::Value = serde_json::from_str(&followed.stdout).unwrap();
    assert_eq!((&followed["ended"], &followed["size"]), (&"sealed".into(), &301.into()));
    let new_key = followed["successor_keys"][0].as_str().unwrap();
    assert_eq!(cairn(&server, "next", &["fsck", "--key", new_key]).code, Some(0));
    let checked = cairn(&server, "main", &["fsck", "--json", "--key", key]);
    assert!(checked.stdout.contains(r#""successor":"localhost/logs/next""#), "{checked:?}");
    let watched = cairn(&server, "main", &["watch", "--once", "--key", key, "--state", &state]);
    assert!(watched.code == Some(0) && watched.stdout.contains("sealed: localhost/logs/main"), "{watched:?}");

    // The successor may rotate its keys: the way still leads there. A third log is not the successor.
    assert_eq!(cairnd(data.path(), &["key", "rotate", "next"]).code, Some(0));
    assert_eq!(cairnd(data.path(), &["key", "rotate", "next", "--retire"]).code, Some(0));
    let other = data.create_log("other", &[]);
    let other_url = server.log_url("other");
    assert_eq!(append(&server, &data, "other", b"0").0, 200);
    assert_eq!(cairn(&server, "main", &["follow", "--key", key]).code, Some(0));
    let astray = cairn(&server, "main", &["follow", "--key", key, "--successor-url", &other_url]);
    assert_eq!(astray.code, Some(1), "{astray:?}");
    assert_ne!(other.vkey, new_key);
    drop(server);
    data.assert_sound();
}

/// The server is killed somewhere on the way; the command, given again, ends what it began.
#[test]
fn a_kill_while_sealing_is_made_good_by_the_same_command() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let mut random = Random::for_test("a kill while sealing");
    let mut keys = vec![data.main.vkey.clone()];
    let name = |number: usize| if number == 0 { "main".to_owned() } else { format!("log{number}") };
    for round in 0..8 {
        let (old, new) = (name(round), name(round + 1));
        let server = Server::ready(Starting::on(data.path(), &[]));
        assert_eq!(append(&server, &data, &old, b"entry").0, 200);
        let (path, arguments) = (data.path().to_owned(), (old.clone(), new.clone()));
        let seal = move |path: &std::path::Path| {
            cairnd(path, &["log", "seal", &arguments.0, "--successor", &arguments.1, "--json"])
        };
        let again = seal.clone();
        let sealing = thread::spawn(move || seal(&path));
        thread::sleep(Duration::from_micros(random.below(40_000) as u64));
        server.kill();
        sealing.join().unwrap();
        let server = Server::ready(Starting::on(data.path(), &[]));
        let ended = again(data.path());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(append(&server, &data, &old, b"late").0, 410);
        assert_eq!(append(&server, &data, &new, b"on").0, 200);
        let followed = cairn(&server, &old, &["follow", "--json", "--key", &keys[round]]);
        assert_eq!(followed.code, Some(0), "{followed:?}");
        let followed: serde_json::Value = serde_json::from_str(&followed.stdout).unwrap();
        keys.push(followed["successor_keys"][0].as_str().unwrap().to_owned());
        assert_eq!(server.stop().code, Some(0));
    }
    data.assert_sound();
}
