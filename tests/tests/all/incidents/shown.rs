//! Incidents of what is shown and believed: proofs, answers, identities, and what clients keep.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use cairn_tests::command::{Ran, cairn};
use cairn_tests::http::{Connection, Request};
use cairn_tests::lying::{Lie, LyingLog, Model};
use cairn_tests::oracle::Oracle;
use cairn_tests::preload::Disk;
use cairn_tests::server::{Data, program, run};
use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::merkle::{Extension, Root};
use cairn_tree::policy::Trust;
use cairn_tree::wire::read::{ConsistencyAnswer, EntryAnswer};

use crate::scene::{append, entry};

/// An honest log of so many entries, until it is told to lie.
fn log(size: u64) -> LyingLog {
    LyingLog::of_size(size)
}

fn ask(log: &LyingLog, command: &str, further: &[&str]) -> Ran {
    let (url, key) = (log.url(), log.vkey());
    cairn([command, "--json", "--url", &url, "--key", &key].iter().chain(further).copied())
}

/// Rekor PR 956: the size was read at one moment and the proof at another. Each answer is of one moment, however fast the
/// log grows beneath it.
#[test]
fn rekor_956_the_size_and_the_proof_of_different_moments() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let server = data.serve();
    let mut oracle = Oracle::new(&data.main);
    append(&server, &data, &mut oracle, &entry(0));
    let keys = data.main.vkey.parse().unwrap();
    let trust = Trust::Log(keys);
    let (address, done) = (server.address(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut connection = Connection::open(address).unwrap();
            let mut sizes = BTreeSet::new();
            while !done.load(Ordering::SeqCst) {
                let request = Request::get("/logs/main/entries/0").with("accept", "application/json");
                let answer = connection.ask(&request).unwrap();
                let answer: EntryAnswer = serde_json::from_slice(&answer.body).unwrap();
                let verified = answer.receipt().verify(&entry(0), &trust).unwrap_or_else(|error| panic!("{error}"));
                sizes.insert(verified.checkpoint().size());
            }
            sizes.len()
        });
        (1..300).for_each(|number| append(&server, &data, &mut oracle, &entry(number)));
        done.store(true, Ordering::SeqCst);
        assert!(reading.join().unwrap() > 5, "the log did not grow between two answers");
    });
}

/// cosign CVE-2026-22703: a valid proof was taken for another artefact.
#[test]
fn cosign_cve_2026_22703_a_valid_proof_of_another_artefact() {
    let (log, folder) = (log(300), tempfile::tempdir().unwrap());
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (good, bad) = (file("good", b"the artefact"), file("bad", b"another artefact"));
    assert_eq!(ask(&log, "append", &[&good]).code, 0);
    let proof = format!("{good}.tlog-proof");
    let verify = |entry: &str| cairn(["verify", "--json", "--key", &log.vkey(), "--proof", &proof, entry]);
    assert_eq!((verify(&good).code, verify(&bad).code), (0, 1));
    assert_eq!(verify(&bad).json()[0]["included"], false);
    // The log vouches for the right one when it is asked for the other.
    log.lie("proof/inclusion", Lie::Body(log.answer("proof/inclusion?index=300")));
    let ran = ask(&log, "prove", &[&bad]);
    assert_eq!((ran.code, &*ran.stdout), (1, ""), "{ran:?}");
}

/// Go CVE-2026-42501: success with no entry in the answer.
#[test]
fn go_cve_2026_42501_success_with_no_entry() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("entry");
    std::fs::write(&file, b"the entry").unwrap();
    for nothing in [&b""[..], b"{}", b"null", b"[]", br#"{"first":0,"count":0}"#] {
        let log = log(9);
        log.lie("entries", Lie::Body(nothing.to_vec()));
        let ran = ask(&log, "append", &[file.to_str().unwrap()]);
        assert_eq!((ran.code, &*ran.stdout), (1, ""), "{ran:?}");
        assert!(!folder.path().join("entry.tlog-proof").exists());
        log.repent();
        for (path, command) in [("entries/7", ["--index", "7"]), ("proof/inclusion", ["--index", "7"])] {
            log.lie(path, Lie::Body(nothing.to_vec()));
            let ran = ask(&log, "prove", &command);
            assert_eq!((ran.code, &*ran.stdout), (1, ""), "{path}: {ran:?}");
            log.repent();
        }
    }
}

/// golang/go #38348: a power failure left NULs in what a client keeps, and the log was accused. What is kept is replaced
/// as a whole, and what is damaged all the same is named as ours.
#[test]
fn golang_38348_power_loss_in_what_a_client_keeps() {
    let (log, folder) = (log(300), tempfile::tempdir().unwrap());
    let state = folder.path().join("state.json");
    let watch = ["--once", "--stale-after", "0s", "--state", state.to_str().unwrap()];
    assert_eq!(ask(&log, "watch", &watch).code, 0);
    let names = || {
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let (whole, before) = (std::fs::read(&state).unwrap(), names());
    for keep in [0, 100, whole.len() / 2] {
        let mut nulls = whole.clone();
        nulls[keep..].fill(0);
        std::fs::write(&state, &nulls).unwrap();
        let ran = ask(&log, "watch", &watch);
        assert!(ran.code != 0 && ran.code != 3 && ran.stdout.is_empty(), "the log is not accused: {ran:?}");
        assert!(ran.stderr.contains("damaged"), "{ran:?}");
        assert_eq!(names(), before, "no evidence against an honest log");
    }
}

/// The same, with a disk that really forgets: what is kept is the old or the new, never something between.
#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn golang_38348_a_disk_that_forgets_under_a_client() {
    let (log, folder) = (log(300), tempfile::tempdir().unwrap());
    let kept = folder.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    let disk = Disk::new(&kept, folder.path().join("disk"));
    let state = kept.join("state.json");
    let watch = |lies: Option<&str>| {
        let mut command = std::process::Command::new(program("cairn"));
        command.args(["watch", "--once", "--json", "--stale-after", "0s", "--url", &log.url(), "--key", &log.vkey()]);
        command.arg("--state").arg(&state);
        // Names reach this disk before the bytes of their files.
        command.envs(disk.environment()).env("LD_PRELOAD", Disk::library()).env("DISK_EARLY", "1");
        command.envs(lies.map(|names| ("DISK_LIES", names)));
        run(&mut command)
    };
    for round in 1..6 {
        log.change(|model| model.grow(300 + 50 * round, "entry"));
        let ended = watch(None);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        disk.power_fails(None).unwrap();
        // What it said it had seen, it still knows.
        let state = std::fs::read_to_string(&state).unwrap();
        assert!(state.contains(&(300 + 50 * round).to_string()), "{state}");
    }
    // The rounds above could have failed: a disk that only says that it has synced has the name, and not the bytes. Even
    // then it is the state that is named, and not the log.
    log.change(|model| model.grow(700, "entry"));
    let (ended, seen) = (watch(Some("")), std::fs::read(&state).unwrap());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(disk.power_fails(None).unwrap().files, ["state.json"]);
    assert_ne!(std::fs::read(&state).unwrap(), seen, "the disk forgot nothing");
    let ended = watch(None);
    assert!(ended.code == Some(1) && ended.stderr.contains("damaged"), "{ended:?}");
}

/// immudb CVE-2022-36111: the middle of a proof went unchecked. Every bit of a consistency proof counts.
#[test]
fn immudb_cve_2022_36111_the_middle_of_a_proof() {
    let log = log(1_000);
    let text = log.answer("proof/consistency?from=300&to=1000");
    let answer: ConsistencyAnswer = serde_json::from_slice(&text).unwrap();
    let root = |size| {
        let signed = SignedCheckpoint::parse(&log.head(size)).unwrap();
        Root { size: signed.unverified().size(), hash: signed.unverified().root() }
    };
    let claim = Extension { old: root(300), new: root(1_000) };
    answer.proof.verify(&claim).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let hashes = json["proof"].as_array().expect("hashes").len();
    assert!(hashes > 5);
    for changed in 0..hashes {
        let mut json = json.clone();
        let hash = json["proof"][changed].as_str().unwrap().to_owned();
        // Another hash of the same form: the letters of a neighbour.
        let other = json["proof"][(changed + 1) % hashes].as_str().unwrap().to_owned();
        assert_ne!(hash, other);
        json["proof"][changed] = other.into();
        log.lie("proof/consistency", Lie::Body(serde_json::to_vec(&json).unwrap()));
        let ran = ask(&log, "consistency", &["--from", "300"]);
        assert_eq!((ran.code, &*ran.stdout), (1, ""), "hash {changed} of {hashes}: {ran:?}");
        log.repent();
    }
}

/// immudb CVE-2022-39199: the server chose its own identity. The key is the reader's, whatever the server says of itself.
#[test]
fn immudb_cve_2022_39199_a_server_that_chooses_its_identity() {
    let honest = log(300);
    let mut other = Model::new("lying.example/log", 2);
    other.grow(300, "entry");
    let impostor = LyingLog::serve(other);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("entry");
    std::fs::write(&file, b"the entry").unwrap();
    let state = folder.path().join("state.json");
    let watch = ["--once", "--stale-after", "0s", "--state", state.to_str().unwrap()];
    for (command, further) in [
        ("append", vec![file.to_str().unwrap()]),
        ("prove", vec!["--index", "7"]),
        ("consistency", vec!["--from", "100"]),
        ("fsck", vec![]),
        ("watch", watch.to_vec()),
    ] {
        let (url, key) = (impostor.url(), honest.vkey());
        let ran = cairn([command, "--json", "--url", &url, "--key", &key].iter().chain(&further).copied());
        assert_ne!(ran.code, 0, "{command}: {ran:?}");
    }
    assert!(!folder.path().join("entry.tlog-proof").exists());
}
