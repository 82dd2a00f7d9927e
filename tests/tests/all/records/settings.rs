//! What operators decide for tenants and modules: with a server at work and without, kept, listed, and backed up.

use std::process::Command;

use cairn_tests::http::Request;
use cairn_tests::server::{Data, cairnd, program, run};
use serde_json::{Value, json};

use super::{Running, record};

fn done(data: &Data, arguments: &[&str]) -> String {
    let ended = cairnd(data.path(), arguments);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    ended.stdout
}

fn refused(data: &Data, arguments: &[&str]) -> String {
    let ended = cairnd(data.path(), arguments);
    assert!(ended.code.is_some_and(|code| code != 0) && ended.stdout.is_empty(), "{arguments:?}: {ended:?}");
    ended.stderr
}

#[test]
fn settings_are_kept_and_listed_with_a_server_and_without_and_are_in_every_backup() {
    let running = Running::start();
    let set = |data: &Data, module, switches: &[&str]| {
        done(data, &[&["module", "set", module, "--tenant", "pb"], switches].concat())
    };
    assert_eq!(done(&running.data, &["module", "list"]), "");
    assert_eq!(set(&running.data, "tl", &["--strict", "on"]), "pb  tl  strict on  old-must-match off\n");
    assert_eq!(set(&running.data, "tl", &["--old-must-match", "on"]), "pb  tl  strict on  old-must-match on\n");
    assert_eq!(set(&running.data, "tl", &["--strict", "off"]), "pb  tl  strict off  old-must-match on\n");
    assert_eq!(done(&running.data, &["tenant", "set", "pb", "--reads", "full"]), "pb  log main (shared)  reads full\n");

    let backups = running.data.path().parent().unwrap().join("backups");
    let ended = cairnd(running.data.path(), &["backup", "--to", backups.to_str().unwrap(), "--with-keys"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let restored = Data::at(running.data.path().parent().unwrap().join("restored"), &running.data);
    let mut restore = Command::new(program("cairnd"));
    restore.args(["restore", "--from"]).arg(&backups).arg("--data").arg(restored.path());
    let ended = run(&mut restore);
    assert_eq!(ended.code, Some(0), "{ended:?}");

    running.server.stop();
    for data in [&running.data, &restored] {
        let modules: Value = serde_json::from_str(&done(data, &["module", "list", "--json"])).unwrap();
        assert_eq!(modules, json!({"tenant": "pb", "module": "tl", "strict": false, "old_must_match": true}));
        let tenants: Value = serde_json::from_str(&done(data, &["tenant", "list", "--json"])).unwrap();
        assert_eq!(tenants, json!({"tenant": "pb", "log": "main", "own": false, "reads": "full"}));
    }
    // What is as it is by default is not decided, and not listed.
    set(&running.data, "tl", &["--old-must-match", "off"]);
    done(&running.data, &["tenant", "set", "pb", "--reads", "off"]);
    assert_eq!(done(&running.data, &["module", "list"]) + &done(&running.data, &["tenant", "list"]), "");
}

/// Each change is a record of the tenant's log, with what was before; what changes nothing is none.
#[test]
fn each_change_is_put_on_record() {
    let running = Running::start();
    for reads in ["full", "full", "off"] {
        done(&running.data, &["tenant", "set", "pb", "--reads", reads]);
    }
    done(&running.data, &["module", "set", "tl", "--tenant", "pb", "--strict", "on"]);
    let running = running.restarted_after(|data| {
        done(data, &["module", "set", "tl", "--tenant", "pb", "--old-must-match", "on"]);
    });
    let changes = |entity: &str, id: &str| -> Vec<Value> {
        let shown = running.shown(&format!("/v1/streams/entity/pb/cairn/{entity}/{id}"));
        let records = shown["records"].as_array().unwrap().iter();
        let new = |(_, field): (&String, &Value)| field["new"].clone();
        let values = |record: &Value| {
            assert_eq!(record["view"]["object"]["operation"], "cairn.set");
            Value::Array(record["view"]["values"]["whole"].as_object().unwrap().iter().map(new).collect())
        };
        records.map(values).collect()
    };
    assert_eq!(changes("tenant-settings", "pb"), [json!(["full", "off"]), json!(["off", "full"])]);
    // Old must match and before, strict and before.
    let modules = [json!([false, false, true, false]), json!([true, false, true, true])];
    assert_eq!(changes("module-settings", "tl"), modules);
}

#[test]
fn what_can_not_be_decided_is_refused_and_changes_nothing() {
    let running = Running::start();
    let long = "x".repeat(257);
    for (arguments, words) in [
        (&["module", "set", "cairn", "--tenant", "pb", "--strict", "on"][..], "the log's own"),
        (&["module", "set", "tl", "--tenant", "cairn", "--strict", "on"], "the log's own"),
        (&["module", "set", &long, "--tenant", "pb", "--strict", "on"], "longer than 256 bytes"),
        (&["module", "set", "tl", "--tenant", "a\nb", "--strict", "on"], "control character"),
        (&["module", "set", "tl", "--tenant", "pb"], "--strict"),
        (&["module", "set", "tl", "--tenant", "pb", "--strict", "yes"], "'yes'"),
        (&["tenant", "set", "cairn", "--reads", "full"], "the log's own"),
        (&["tenant", "set", "pb", "--reads", "some"], "must be off, metadata or full"),
        (&["tenant", "create", "cairn"], "the log's own"),
    ] {
        let told = refused(&running.data, arguments);
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
    assert!(!running.data.path().join("settings.json").exists());
}

#[test]
fn a_server_does_not_start_with_settings_that_it_can_not_read() {
    let running = Running::start();
    running.server.stop();
    let file = running.data.path().join("settings.json");
    std::fs::write(&file, r#"{"format":1,"tenants":{"pb":{"reads":"off","more":1}}}"#).unwrap();
    let told = refused(&running.data, &["serve"]);
    assert!(told.contains("settings.json is damaged") && told.contains("more"), "{told}");
}

/// The figure of this name.
fn figure(running: &Running, name: &str) -> f64 {
    let metrics = running.ask(Request::get("/metrics"));
    metrics.figure(name).unwrap_or_else(|| panic!("no {name} in {}", metrics.text()))
}

fn file(data: &Data) -> std::path::PathBuf {
    data.path().join("settings.json")
}

/// Removed, put back from earlier, or changed in a few bits so that it still reads well: the log has what was decided, and
/// the server says that it made the file so again.
#[test]
fn a_file_that_is_not_what_the_log_has_on_record_is_restored_at_the_start() {
    let running = Running::start();
    let set = |switches: &[&str]| done(&running.data, &[&["module", "set", "tl", "--tenant", "pb"], switches].concat());
    set(&["--strict", "on"]);
    let earlier = std::fs::read(file(&running.data)).unwrap();
    set(&["--old-must-match", "on"]);
    done(&running.data, &["tenant", "set", "pb", "--reads", "metadata"]);
    assert_eq!(
        (figure(&running, "cairn_settings_restored_total"), figure(&running, "cairn_settings_in_doubt")),
        (0.0, 0.0)
    );
    let good = std::fs::read_to_string(file(&running.data)).unwrap();
    // By somebody who takes the digest out: with it the file is refused (`crate::small_files`).
    let changed = |from: &str, to: &str| {
        let (digest, rest) = good.split_once("\",").unwrap();
        assert!(digest.starts_with("{\"sha256\":\"") && rest.contains(from), "{from} is not in {good}");
        Some(format!("{{{}", rest.replace(from, to)).into_bytes())
    };
    let cases = [
        (None, 2.0),
        (Some(earlier), 2.0),
        (changed("\"tl\"", "\"tm\""), 2.0),
        (changed("\"pb\"", "\"pc\""), 4.0),
        (changed("metadata", "off"), 1.0),
        (changed("\"strict\": true", "\"strict\": false"), 1.0),
    ];
    let (mut running, mut lines) = (running, 0);
    for (bytes, restored) in cases {
        running = running.restarted_after(|data| match &bytes {
            None => std::fs::remove_file(file(data)).unwrap(),
            Some(bytes) => std::fs::write(file(data), bytes).unwrap(),
        });
        assert_eq!(std::fs::read_to_string(file(&running.data)).unwrap(), good, "{restored}");
        assert_eq!(figure(&running, "cairn_settings_restored_total"), restored);
        assert_eq!(running.bring(&record("pb", "1", "update")).status, 409, "the module is strict");
        lines += 1;
        let incidents = std::fs::read_to_string(running.data.path().join("incidents.jsonl")).unwrap();
        assert_eq!(
            incidents.lines().filter(|line| line.contains("\"settings\"") && line.contains("pb")).count(),
            lines
        );
    }
    // A command on a folder that nobody serves sees the same.
    let running = running.restarted_after(|data| {
        std::fs::remove_file(file(data)).unwrap();
        assert_eq!(done(data, &["module", "list"]), "pb  tl  strict on  old-must-match on\n");
        assert_eq!(std::fs::read_to_string(file(data)).unwrap(), good);
    });
    assert_eq!(figure(&running, "cairn_settings_restored_total"), 0.0);
}

/// What was decided while the tenant's records were in the default log holds until something else is decided in its own.
#[test]
fn what_was_decided_is_found_in_every_log_that_a_tenant_had() {
    let running = Running::start();
    let set = |module: &str, strict: &str| {
        done(&running.data, &["module", "set", module, "--tenant", "pb", "--strict", strict]);
    };
    set("tl", "on");
    set("pt", "on");
    done(&running.data, &["tenant", "create", "pb"]);
    set("pt", "off");
    done(&running.data, &["log", "seal", "pb", "--successor", "pb2"]);
    set("bpa", "on");
    let good = std::fs::read_to_string(file(&running.data)).unwrap();
    let running = running.restarted_after(|data| std::fs::remove_file(file(data)).unwrap());
    assert_eq!(std::fs::read_to_string(file(&running.data)).unwrap(), good);
    let listed = done(&running.data, &["module", "list"]);
    assert_eq!(listed, "pb  bpa  strict on  old-must-match off\npb  tl  strict on  old-must-match off\n");
}

/// A file that can't be read is refused, and whoever removes it gets what the log has.
#[test]
fn a_damaged_file_may_be_removed() {
    let running = Running::start();
    done(&running.data, &["tenant", "set", "pb", "--reads", "full"]);
    let running = running.restarted_after(|data| {
        let mut bytes = std::fs::read(file(data)).unwrap();
        bytes[0] ^= 1;
        std::fs::write(file(data), bytes).unwrap();
        let told = refused(data, &["serve"]);
        assert!(told.contains("is damaged") && told.contains("remove it"), "{told}");
        std::fs::remove_file(file(data)).unwrap();
    });
    assert_eq!(done(&running.data, &["tenant", "list"]), "pb  log main (shared)  reads full\n");
}
