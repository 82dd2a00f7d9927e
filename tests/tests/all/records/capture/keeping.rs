//! What is kept of a message and what of it must never be: credentials; messages that are too long to be read; rights that
//! were taken away meanwhile; and a server that was killed between a message and its record.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use cairn_tests::http::Request;
use cairn_tests::server::{cairnd, program, run};
use serde_json::{Value, json};

use super::super::Running;
use super::quarantine::kept;
use super::{CAPTURE, LICENCES, capture, changed, configured, error, licences, running};

const SECRET: &str = "5eaf-secret";

fn token_id(token: &str) -> String {
    token.split('_').nth(1).unwrap().to_owned()
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn a_credential_is_nowhere_on_the_disk() {
    let yaml = LICENCES.replace("jsonPath: $.Licences.*.name", "jsonPath: $.Licences.*.authToken");
    let running = Running::start_with(|data| configured(data, &yaml, ""));
    let token = running.data.token.clone();
    let mut value = licences();
    value["RequestInfo"] = json!({"ver": "1.0.0"});
    value["requestInfo"] = json!({"AuthToken": SECRET});
    value["Licences"][0]["authToken"] = json!(SECRET);
    let answer = running.captured("save-licence", &value);
    assert_eq!(answer["AuditLogs"][0]["keyValueMap"]["authToken"], Value::Null, "{answer}");
    // Another session's is the same message.
    value["requestInfo"] = json!({"AuthToken": "another"});
    assert_eq!(running.captured("save-licence", &value)["again"], true);
    kept(&running.ask_with(&token, capture("other", &json!({"a": {"requestinfo": {"auth_token": SECRET}}}))));
    kept(&running.ask_with(&token, capture("other", &json!(format!("{{\"authToken\":\"{SECRET}\"}}")))));
    kept(&running.ask_with(&token, Request::post(CAPTURE, format!("{{\"authToken\":\"{SECRET}\""))));
    let long = format!("{{\"value\":\"{}\",\"authToken\":\"{SECRET}\"}}", "x".repeat(5 << 20));
    kept(&running.ask_with(&token, Request::post(CAPTURE, long)));
    // However it is encoded, and in names as in values.
    let query = format!("https://x/?auth%54oken%3D{SECRET}%26b%3D1");
    let json = format!("{{\"authToken\":\"{SECRET}\"}}");
    let wide = |big: bool| -> Vec<u8> {
        let units = json.encode_utf16();
        units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    };
    let narrow: String = wide(false).iter().map(|byte| char::from(*byte)).collect();
    for message in [json!({"url": query}), json!({&*json: 1}), json!({&*query: {&*json: 2}}), json!([narrow])] {
        kept(&running.ask_with(&token, capture("other", &message)));
    }
    kept(&running.ask_with(&token, capture(&json, &json!(1))));
    let encoded = format!("value=%7B%22authToken%22%3A%22{SECRET}%22%7D");
    for body in [encoded.into_bytes(), wide(false), wide(true), [b"x".to_vec(), wide(true)].concat()] {
        kept(&running.ask_with(&token, Request::post(CAPTURE, body)));
    }
    assert_eq!(running.listed().len(), 13);
    let Running { data, server, .. } = running;
    assert_eq!(server.stop().code, Some(0));
    let hidden: Vec<u8> = SECRET.encode_utf16().flat_map(u16::to_le_bytes).collect();
    // Without the last zero it stands there in the other order too.
    let hidden = hidden.strip_suffix(&[0]).unwrap();
    for path in files(data.path()) {
        let bytes = fs::read(&path).unwrap();
        for secret in [SECRET.as_bytes(), hidden] {
            let found = bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "{}", path.display());
        }
    }
}

#[test]
fn a_message_that_is_too_long_holds_up_nobody() {
    let running = running();
    let message = json!({"topic": "save-licence", "value": licences(), "x": "y".repeat(5 << 20)}).to_string();
    let answer = running.ask_with(&running.data.token, Request::post(CAPTURE, &*message));
    let (id, reason) = kept(&answer);
    assert_eq!(reason, "too-large");
    assert_eq!(kept(&running.ask_with(&running.data.token, Request::post(CAPTURE, &*message))).0, id);
    assert_eq!(running.on_record().len(), 1);
    let refused = error(&running.ask(Request::post(CAPTURE, &*message)));
    let told = "a message longer than 4194304 bytes is not read: send its token as Authorization";
    assert_eq!(refused["Errors"][0]["message"], told);
    // An operator who tries it alone may have it read.
    let tried = running.quarantine(&["retry", &id]);
    assert_eq!((tried.code, tried.stdout), (Some(0), format!("{id}  5 records\n")));
    assert_eq!(running.listed(), Vec::<Value>::new());
}

#[test]
fn a_message_is_tried_again_with_rights_that_hold_now() {
    let running = running();
    let bringer = running.new_token(&["--rights", "append", "--tenants", "ka"]);
    let (id, _) = kept(&running.ask_with(&bringer, capture("other", &json!({"a": 1}))));
    let bringer = token_id(&bringer);
    assert_eq!(cairnd(running.data.path(), &["token", "revoke", &bringer]).code, Some(0));
    let refused = running.quarantine(&["retry", &id]);
    let told = format!(
        "no token {bringer} is in force; see: cairnd token list; it brought the message: name another one whose rights it \
         is to be tried with, as --token"
    );
    assert!(refused.code == Some(1) && refused.stderr.contains(&told), "{}", refused.stderr);
    let tried = running.quarantine(&["retry", &id, "--token", &token_id(&running.data.token)]);
    assert_eq!((tried.code, tried.stdout), (Some(1), format!("{id}  no mapping is for its topic\n")));
}

/// Each state that a kill can leave is finished by the next start, and told once.
#[test]
fn what_a_kill_cut_short_is_finished_by_the_next_start() {
    let running = running();
    let token = running.data.token.clone();
    let ids: Vec<String> =
        (0..4).map(|number| kept(&running.ask_with(&token, capture("other", &json!(number)))).0).collect();
    let folder = running.data.path().join("quarantine");
    let note = |id: &str, what: &str| fs::write(folder.join(format!("{id}.{what}")), b"").unwrap();
    let (other, _) = kept(&running.ask_with(&token, capture("other", &json!("of a log that never heard of it"))));
    let message = fs::read(folder.join(format!("{other}.message"))).unwrap();
    assert_eq!(running.quarantine(&["drop", &other]).code, Some(0));
    // One that is there before the log knows: kept by another server, say, whose record of it was lost with it.
    // Without its digest, as an earlier version wrote it; with it the message would be damaged.
    let message = String::from_utf8(message).unwrap();
    let (digest, rest) = message.split_once("\",").unwrap();
    assert!(digest.starts_with("{\"sha256\":\""), "{message}");
    let unknown = format!("{{{}", rest.replacen("\"received_ms\":", "\"received_ms\":1", 1));
    let running = running.killed_before(|| {
        fs::write(folder.join(format!("{other}.message")), unknown).unwrap();
        note(&other, "quarantined");
        note(&ids[0], "quarantined");
        note(&ids[1], "dropped");
        note(&ids[2], "released");
        note(&"0".repeat(32), "dropped");
    });
    let ended = || {
        let told: Vec<(String, String)> = running
            .on_record()
            .into_iter()
            .map(|(operation, content)| (operation, content["object"]["id"].as_str().unwrap().to_owned()))
            .collect();
        let count =
            |operation: &str, id: &str| told.iter().filter(|told| **told == (operation.into(), id.into())).count();
        let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        let mut expected = [&other, &ids[0], &ids[3]].map(|id| format!("{id}.message"));
        expected.sort();
        names == expected
            && ids.iter().all(|id| count("cairn.quarantined", id) == 1)
            && count("cairn.quarantined", &other) == 2
            && (count("cairn.quarantine-dropped", &ids[1]), count("cairn.quarantine-released", &ids[2])) == (1, 1)
            && told.len() == 5 + 1 + 3
    };
    let begun = Instant::now();
    while !ended() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", running.on_record());
    }
    // What is gone can come again.
    assert_eq!(running.captured("change-licence", &changed("uno"))["captured"], 2);
}

/// A backup of a server at work has the messages and the configuration, and its copy goes on with both.
#[test]
fn a_backup_brings_back_the_quarantine_and_the_configuration() {
    let outside = tempfile::tempdir().unwrap();
    let more = LICENCES.replace("fromTopic: ", "fromTopic: more-");
    fs::write(outside.path().join("more.yml"), more).unwrap();
    let running = Running::start_with(|data| {
        configured(data, LICENCES, "");
        let file = data.path().join("cairnd.toml");
        let places = format!("persister = [\"persister\", {:?}]", outside.path());
        let text = fs::read_to_string(&file).unwrap().replace("persister = [\"persister\"]", &places);
        fs::write(file, text).unwrap();
    });
    let token = running.data.token.clone();
    let (id, _) = kept(&running.ask_with(&token, capture("other", &json!({"who": "Ada"}))));
    let (dropped, _) = kept(&running.ask_with(&token, capture("other", &json!({"who": "Eve"}))));
    let dest = outside.path().join("backups");
    let arguments = ["backup", "--with-keys", "--to", dest.to_str().unwrap()];
    let made = cairnd(running.data.path(), &arguments);
    assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""), "{made:?}");
    assert!(!running.data.path().join("quarantine.frozen").exists());
    let checked = run(Command::new(program("cairnd")).args(["backup", "check", "--from"]).arg(&dest));
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert_eq!(running.quarantine(&["drop", &dropped]).code, Some(0));

    let new = outside.path().join("new");
    let mut restore = Command::new(program("cairnd"));
    restore.args(["restore", "--from"]).arg(&dest).arg("--data").arg(&new);
    let restored = run(&mut restore);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    let elsewhere = new.join("persister-outside");
    assert!(restored.stdout.contains(&format!("those in {} stood elsewhere", elsewhere.display())), "{restored:?}");
    assert!(elsewhere.join("1/more.yml").is_file() && new.join("persister/tl.yml").is_file());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let message = new.join(format!("quarantine/{id}.message"));
    assert_eq!((mode(&new.join("quarantine")), mode(&message)), (0o700, 0o600));
    let original = running.data.path().join(format!("quarantine/{id}.message"));
    assert_eq!(fs::read(&message).unwrap(), fs::read(original).unwrap());
    // What is dropped after a backup is in the backup, as everything is that was there.
    assert!(new.join(format!("quarantine/{dropped}.message")).is_file());
    // A damaged copy of a message is found as a damaged table is.
    let kept = dest.join(format!("generations/000001/quarantine/{id}.message"));
    let mut bytes = fs::read(&kept).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&kept, bytes).unwrap();
    let checked = run(Command::new(program("cairnd")).args(["backup", "check", "--from"]).arg(&dest));
    assert!(checked.code == Some(1) && checked.stderr.contains("quarantine/"), "{checked:?}");
}
