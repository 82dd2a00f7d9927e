//! Answers about records of a log whose keys change: each names the key that signs its head, and verifies under that alone.

use cairn_tests::command::{Ran, cairn};
use cairn_tests::http::Request;
use cairn_tests::server::cairnd;
use cairn_tree::checkpoint::LogKeys;
use cairn_tree::policy::Trust;
use cairn_tree::wire::v1::RecordAnswer;
use serde_json::{Value, json};

use super::{Running, json_of, record};

#[test]
fn an_answer_names_the_key_that_signs_its_head_also_after_the_first_was_retired() {
    let running = Running::start();
    let id = running.brought(&record("pb", "1", "create"))["records"][0]["id"].as_str().unwrap().to_owned();
    let told = |arguments: &[&str]| {
        let ended = cairnd(running.data.path(), arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        serde_json::from_str::<Value>(&ended.stdout).unwrap()
    };
    let verified_under = |vkey: &str| {
        let answer = running.read(&format!("/v1/records/{id}"));
        let named = json_of(&answer)["record"]["integrity"]["key_id"].as_str().unwrap().to_owned();
        assert_eq!(named, vkey.split('+').nth(1).unwrap());
        let trust = Trust::Log(LogKeys::new(vec![vkey.parse().unwrap()]).unwrap());
        RecordAnswer::parse(&answer.body).unwrap().verify(&trust).unwrap();
        let search = json!({"RequestInfo": {}}).to_string();
        let search = Request::post("/audit-service/log/v1/_search?objectId=1&tenantId=pb", search);
        let rows = json_of(&running.ask_with(&running.data.auditor, search));
        assert_eq!(rows["AuditLogs"][0]["integrityHash"].as_str().unwrap().split("::").nth(1), Some(&*named));
    };
    verified_under(&running.data.main.vkey);
    told(&["key", "rotate", "main", "--json"]);
    let keys = told(&["key", "rotate", "main", "--retire", "--json"]);
    let active = keys["keys"].as_array().unwrap().iter().find(|key| key["status"] == "active").unwrap();
    let vkey = active["vkey"].as_str().unwrap();
    assert_ne!(vkey, running.data.main.vkey);
    verified_under(vkey);
    running.server.stop();
    running.data.assert_sound();
}

/// Whoever has the keys of several logs at hand, as in `CAIRN_KEY`, gives them to any command: those of its log count.
#[test]
fn each_command_takes_the_keys_of_several_logs() {
    let running = Running::start();
    let made = cairnd(running.data.path(), &["log", "create", "other", "--json"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let listed = cairnd(running.data.path(), &["key", "list", "other", "--json"]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let other = listed["keys"][0]["vkey"].as_str().unwrap();
    let both = format!("{other} {}", running.data.main.vkey);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (entry, proof, keys) = (path("entry"), path("entry.tlog-proof"), path("keys"));
    std::fs::write(&entry, "a stone").unwrap();
    let (url, token) = (running.server.log_url("main"), &running.data.token);
    let auditor = &running.data.auditor;
    let run = |vkeys: &str, arguments: &[&str]| cairn([arguments, &["--key", vkeys]].concat());
    let remote = |vkeys: &str, token: &str, arguments: &[&str]| {
        run(vkeys, &[arguments, &["--url", &url, "--token", token]].concat())
    };
    let good = |ran: Ran| assert_eq!(ran.code, 0, "{ran:?}");
    good(remote(&both, token, &["append", &entry]));
    good(run(&both, &["verify", "--proof", &proof, &entry]));
    good(remote(&both, auditor, &["prove", "--index", "0"]));
    good(remote(&both, auditor, &["consistency", "--from", "0"]));
    good(remote(&both, auditor, &["fsck"]));
    good(remote(&both, auditor, &["keys", "--save", &keys]));
    // The keys of another log alone are as good as none.
    for command in [&["prove", "--index", "0"][..], &["consistency", "--from", "0"], &["fsck"], &["keys"]] {
        let ran = remote(other, auditor, command);
        assert!(
            ran.code == 1 && ran.stdout.is_empty() && ran.stderr.contains("by a known key"),
            "{command:?}: {ran:?}"
        );
    }
    let ran = run(other, &["verify", "--proof", &proof, &entry]);
    assert!(ran.code == 1 && ran.stdout.is_empty() && ran.stderr.contains("by a known key"), "{ran:?}");
    // Of those of two others none is taken for its own.
    let made = cairnd(running.data.path(), &["log", "create", "third", "--json"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let listed = cairnd(running.data.path(), &["key", "list", "third", "--json"]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let others = format!("{other} {}", listed["keys"][0]["vkey"].as_str().unwrap());
    let ran = remote(&others, auditor, &["fsck"]);
    assert!(ran.code == 2 && ran.stderr.contains("no key of the log at"), "{ran:?}");
    let ran = run(&others, &["verify", "--proof", &proof, &entry]);
    assert!(ran.code == 1 && ran.stderr.contains("no key of the log localhost/logs/main"), "{ran:?}");
}
