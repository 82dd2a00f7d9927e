//! The small files of a data folder, each with one flipped bit: who may do what, whose records are where, what is decided for
//! tenants. Each tells of itself that it was changed, whoever reads it, and says what to do.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use cairn_tests::http::{Connection, Request};
use cairn_tests::server::{Data, cairnd, program, run};
use cairnd::auth::TokenFile;
use cairnd::records::{Homes, SecretFile, Settings};
use serde_json::{Value, json};

const MEMBER: &str = "{\"sha256\":\"";
const FILES: [&str; 4] = ["tokens.json", "tenants.json", "settings.json", "records.secret"];

/// A database with a record of a tenant that has its own log, and something in each file.
struct Scene {
    data: Data,
    folder: tempfile::TempDir,
    /// What was answered to the record, in part.
    acknowledged: Value,
}

fn record(tenant: &str) -> Value {
    json!({"object": {"tenant": tenant, "module": "tl", "entity": "licence", "id": "1", "operation": "create"}})
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::init(folder.path().join("data"));
        done(data.path(), &["tenant", "create", "ka"]);
        done(data.path(), &["tenant", "set", "ka", "--reads", "metadata"]);
        let server = data.serve();
        let acknowledged = brought(&data, server.address());
        server.stop();
        Self { data, folder, acknowledged }
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.data.path().join(name)).unwrap()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.data.path().join(name), bytes).unwrap();
    }

    /// Takes the digest out of a file, as docs/operations.md has it for changes by hand.
    fn take_digest_out(&self, name: &str) {
        let text = String::from_utf8(self.bytes(name)).unwrap();
        let (_, rest) = text.strip_prefix(MEMBER).unwrap().split_once("\",").unwrap();
        self.write(name, format!("{{{rest}").as_bytes());
    }
}

/// Brings the record under its key, and gives its id and place.
fn brought(data: &Data, address: SocketAddr) -> Value {
    let request = Request::post("/v1/records", serde_json::to_vec(&record("ka")).unwrap())
        .with("content-type", "application/json")
        .with("idempotency-key", "k1")
        .with("authorization", format!("Bearer {}", data.token));
    let answer = Connection::open(address).unwrap().ask(&request).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    let record = &answer["records"][0];
    assert!(record["index"].is_u64() && record["seq"] == 0, "{answer}");
    json!([record["id"], record["index"], record["seq"]])
}

fn done(data: &Path, arguments: &[&str]) {
    let ended = cairnd(data, arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
}

/// What the program's own reader of a file says of it.
fn refusal(data: &Path, name: &str) -> Option<String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    match name {
        "tokens.json" => TokenFile::of(data).load().err().map(|error| words(&error)),
        "tenants.json" => Homes::check(data).err().map(|error| words(&error)),
        "settings.json" => Settings::open(data).err().map(|error| words(&error)),
        _ => SecretFile::check(data).err().map(|error| words(&error)),
    }
}

#[test]
fn each_flipped_bit_and_each_missing_end_of_each_small_file_is_refused() {
    let scene = Scene::new();
    for name in FILES {
        let (data, whole) = (scene.data.path(), scene.bytes(name));
        assert_eq!(refusal(data, name), None);
        for bit in 0..8 * whole.len() {
            let mut bad = whole.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            scene.write(name, &bad);
            let words = refusal(data, name);
            let words = words.unwrap_or_else(|| panic!("bit {bit} of {name}: {}", String::from_utf8_lossy(&bad)));
            assert!(words.contains(name), "{words}");
        }
        for len in 0..whole.len() {
            scene.write(name, &whole[..len]);
            assert!(refusal(data, name).is_some(), "{name} cut at {len}");
        }
        scene.write(name, &whole);
        assert_eq!(refusal(data, name), None);
    }
}

/// One flipped bit made another tenant of the one that has a log: nobody found its records any more, and its streams began
/// anew in the default log.
#[test]
fn neither_a_server_nor_a_command_goes_on_with_a_flipped_bit() {
    let scene = Scene::new();
    let data = scene.data.path();
    let backups = scene.folder.path().join("backups");
    let to = backups.to_str().unwrap();
    let flips = [
        ("tenants.json", "\"ka\": \"ka\"", "\"kA\": \"ka\""),
        ("tokens.json", "\"tenants\": \"ka\"", "\"tenants\": \"kc\""),
        ("settings.json", "metadata", "metadatc"),
    ];
    for (name, from, flipped) in flips {
        let whole = scene.bytes(name);
        let text = String::from_utf8(whole.clone()).unwrap();
        assert!(text.contains(from), "{text}");
        scene.write(name, text.replacen(from, flipped, 1).as_bytes());
        let mut told = vec![("serve", scene.data.try_serve().map(drop).unwrap_err())];
        for arguments in [
            &["fsck"][..],
            &["log", "list"],
            &["token", "list"],
            &["tenant", "list"],
            &["repair", "--check"],
            &["backup", "--to", to],
        ] {
            told.push((arguments[0], cairnd(data, arguments)));
        }
        for (command, ended) in told {
            assert_eq!(ended.code, Some(1), "{command}: {ended:?}");
            let (what, next) =
                (format!("{name} is damaged"), if name == "settings.json" { "remove it" } else { "backup" });
            assert!(ended.stderr.contains(&what) && ended.stderr.contains(next), "{command}: {}", ended.stderr);
            assert!(ended.stderr.contains("does not fit its sha256"), "{command}: {}", ended.stderr);
        }
        assert!(!backups.exists() || fs::read_dir(&backups).unwrap().next().is_none());
        scene.write(name, &whole);
    }
    // Nothing has come of it: what was acknowledged is there once.
    let server = scene.data.serve();
    assert_eq!(brought(&scene.data, server.address()), scene.acknowledged);
    server.stop();
    scene.data.assert_sound();
}

#[test]
fn files_of_an_earlier_version_and_those_changed_by_hand_are_read_and_get_a_digest_at_the_next_start() {
    let scene = Scene::new();
    let files = ["tokens.json", "tenants.json", "settings.json"];
    let before = files.map(|name| scene.bytes(name));
    for name in files {
        scene.take_digest_out(name);
        assert!(!scene.bytes(name).starts_with(MEMBER.as_bytes()));
        assert_eq!(refusal(scene.data.path(), name), None);
    }
    scene.data.assert_sound();
    scene.data.serve().stop();
    assert_eq!(files.map(|name| scene.bytes(name)), before);
    for name in files {
        assert_eq!(fs::metadata(scene.data.path().join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
}

/// The logs have more to say than the file's own digest, which whoever changes the file can take out or make anew.
#[test]
fn logs_that_are_given_to_others_than_those_whose_records_they_have_are_not_served() {
    let scene = Scene::new();
    let whole = scene.bytes("tenants.json");
    scene.take_digest_out("tenants.json");
    let text = String::from_utf8(scene.bytes("tenants.json")).unwrap();
    for (to, words) in [
        ("\"kA\": \"ka\"", "gives the log ka to the tenant \"kA\", but its records are of \"ka\""),
        ("\"ka\": \"kb\"", "has records, and "),
        ("\"ka\": \"ka\", \"kb\": \"kb\"", "gives the tenant \"kb\" a log kb, and there is none"),
    ] {
        let changed = text.replace("\"ka\": \"ka\"", to);
        assert_ne!(changed, text);
        scene.write("tenants.json", changed.as_bytes());
        for ended in [scene.data.try_serve().map(drop).unwrap_err(), cairnd(scene.data.path(), &["tenant", "list"])] {
            assert_eq!(ended.code, Some(1), "{to}: {ended:?}");
            assert!(ended.stderr.contains(words) && ended.stderr.contains("from a backup"), "{to}: {}", ended.stderr);
        }
        // Nothing was written over it.
        assert_eq!(scene.bytes("tenants.json"), changed.as_bytes());
    }
    scene.write("tenants.json", &whole);
    let server = scene.data.serve();
    assert_eq!(brought(&scene.data, server.address()), scene.acknowledged);
}

#[test]
fn a_backup_takes_them_along_whole() {
    let scene = Scene::new();
    let backups = scene.folder.path().join("backups");
    done(scene.data.path(), &["backup", "--to", backups.to_str().unwrap(), "--with-keys"]);
    let restored = scene.folder.path().join("restored");
    let mut restore = Command::new(program("cairnd"));
    let ended = run(restore.args(["restore", "--from"]).arg(&backups).arg("--data").arg(&restored));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for name in FILES {
        assert_eq!(fs::read(restored.join(name)).unwrap(), scene.bytes(name), "{name}");
    }
}
