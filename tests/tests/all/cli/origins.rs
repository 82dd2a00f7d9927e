//! Keys of several logs, of which an address can't tell the right ones: `--origin` says which log is meant.

use cairn_tests::command::{Ran, cairn};
use cairn_tests::lying::{LyingLog, Model};

const OWN: &str = "lying.example/logs/lying";

/// A log at an address that ends in `/logs/lying`.
fn log(origin: &str) -> LyingLog {
    let mut model = Model::new(origin, 1);
    model.grow(3, "entry");
    LyingLog::serve(model)
}

/// Each command that asks one log, with these keys.
fn each(log: &LyingLog, keys: &str, further: &[&str]) -> Vec<Ran> {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (url, stone, state) = (log.url(), place("stone"), place("state"));
    std::fs::write(&stone, b"stone").unwrap();
    let commands: [&[&str]; 5] = [
        &["prove", "--index", "0"],
        &["consistency", "--from", "1"],
        &["fsck"],
        &["watch", "--once", "--state", &state],
        &["append", &stone],
    ];
    let keys = ["--url", &url, "--key", keys];
    commands.map(|command| cairn([command, &keys, further].concat())).into()
}

#[test]
fn keys_of_logs_that_are_called_alike_are_told_apart_by_the_origin() {
    let log = log(OWN);
    let other = Model::new("other.example/logs/lying", 1).vkey().to_string();
    let keys = format!("{other} {}", log.vkey());
    for ran in each(&log, &keys, &[]) {
        assert!(ran.code == 2 && ran.stderr.contains("are called so; say with --origin which is meant"), "{ran:?}");
    }
    for ran in each(&log, &keys, &["--origin", OWN]) {
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    // The other one's key does not vouch for this log.
    for ran in each(&log, &keys, &["--origin", "other.example/logs/lying"]) {
        assert!(ran.code != 0 && ran.code != 2, "{ran:?}");
    }
    for ran in each(&log, &keys, &["--origin", "third.example/logs/lying"]) {
        assert!(ran.code == 2 && ran.stderr.contains("no key of the log third.example/logs/lying"), "{ran:?}");
    }
}

#[test]
fn an_address_that_names_no_log_is_no_hindrance() {
    let log = log("lying.example/log");
    let keys = format!("{} {}", Model::new("other.example/log", 1).vkey(), log.vkey());
    for ran in each(&log, &keys, &[]) {
        assert!(ran.code == 2 && ran.stderr.contains("if one is meant, say with --origin which"), "{ran:?}");
    }
    for ran in each(&log, &keys, &["--origin", "lying.example/log"]) {
        assert_eq!(ran.code, 0, "{ran:?}");
    }
}

#[test]
fn statements_that_fit_several_logs_are_of_the_one_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved");
    std::fs::write(&saved, br#"{"statements": []}"#).unwrap();
    let [one, other] = [OWN, "other.example/log"].map(|origin| Model::new(origin, 1).vkey().to_string());
    let check = |further: &[&str]| {
        let saved = saved.to_str().unwrap();
        cairn([&["check-keys", "--json", "--key", &one, "--key", &other, saved], further].concat())
    };
    let ran = check(&[]);
    assert!(ran.code == 2 && ran.stderr.contains("say with --origin which one is meant"), "{ran:?}");
    let ran = check(&["--origin", OWN]);
    assert_eq!((ran.code, &ran.json()[0]["origin"]), (0, &OWN.into()), "{ran:?}");
}
