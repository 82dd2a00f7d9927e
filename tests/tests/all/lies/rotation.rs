//! A log that changes its keys, and one whose witnesses are asked for: who reads it honestly is never alarmed, and what
//! only an old key or too few witnesses vouch for is not taken.

use std::path::PathBuf;

use cairn_tests::command::{Ran, cairn};
use cairn_tests::lying::{LyingLog, Model};
use cairn_tree::note::{KeyName, SignatureType, SignerKey};

const ORIGIN: &str = "lying.example/log";
const OLD: (SignatureType, u8) = (SignatureType::ED25519, 1);
const NEW: (SignatureType, u8) = (SignatureType::ED25519, 2);
const ML_DSA: (SignatureType, u8) = (SignatureType::COSIGNATURE_ML_DSA_44, 3);

fn vkey((kind, seed): (SignatureType, u8)) -> String {
    let key = SignerKey::from_seed(KeyName::new(ORIGIN).unwrap(), kind, &[seed; 32]).unwrap();
    key.verifier_key().to_string()
}

/// A log, and a folder for what its readers keep.
struct Read {
    log: LyingLog,
    folder: tempfile::TempDir,
}

impl Read {
    fn new(size: u64, keys: &[(SignatureType, u8)]) -> Self {
        let mut model = Model::new(ORIGIN, 1);
        model.grow(size, "entry");
        model.sign_with(keys);
        Self { log: LyingLog::serve(model), folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, content: &str) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A command with the log's address, whom to trust, and whatever else.
    fn run(&self, command: &[&str], keys: &[(SignatureType, u8)], further: &[&str]) -> Ran {
        let keys: Vec<String> = keys.iter().flat_map(|key| ["--key".to_owned(), vkey(*key)]).collect();
        let url = self.log.url();
        let url = ["--url", url.as_str()].into_iter().filter(|_| command[0] != "evidence" && command[0] != "verify");
        let keys = keys.iter().map(String::as_str);
        cairn(command.iter().copied().chain(url).chain(keys).chain(further.iter().copied()))
    }

    fn watch(&self, keys: &[(SignatureType, u8)], further: &[&str]) -> Ran {
        let state = self.path("state");
        let fixed = ["watch", "--json", "--once", "--stale-after", "0s", "--state", state.to_str().unwrap()];
        self.run(&fixed, keys, further)
    }

    /// A watcher and a monitor both find the log as it should be.
    fn followed(&self, keys: &[(SignatureType, u8)]) {
        let ran = self.watch(keys, &[]);
        assert_eq!((ran.code, &*ran.stderr), (0, ""), "{keys:?}: {ran:?}");
        assert_eq!(ran.json()[0]["event"], "consistent");
        let state = self.path("monitored");
        let ran = self.run(&["monitor", "--once", "--state", state.to_str().unwrap()], keys, &[]);
        assert_eq!((ran.code, &*ran.stderr), (0, ""), "{keys:?}: {ran:?}");
    }
}

#[test]
fn a_log_that_changes_its_key_is_followed_through_every_step() {
    for new in [NEW, ML_DSA] {
        let read = Read::new(300, &[OLD]);
        read.followed(&[OLD]);
        // Whoever hears of the new key before it signs, or long after, is told the same.
        read.followed(&[OLD, new]);
        for signing in [&[OLD, new][..], &[new, OLD], &[new]] {
            read.log.change(|model| {
                model.grow(model.size() + 300, "entry");
                model.sign_with(signing);
            });
            read.followed(&[OLD, new]);
        }
        read.followed(&[new]);
    }
}

#[test]
fn whoever_knows_only_the_old_key_follows_until_it_is_retired_and_is_then_not_alarmed() {
    let read = Read::new(300, &[OLD]);
    read.followed(&[OLD]);
    read.log.change(|model| model.sign_with(&[NEW, OLD]));
    read.followed(&[OLD]);
    read.log.change(|model| model.sign_with(&[NEW]));
    let ran = read.watch(&[OLD], &[]);
    assert_eq!((ran.code, &*ran.stdout), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("no signature by a known key"), "{ran:?}");
}

/// The log has rested since long before the change: what is remembered is signed by the old key alone.
#[test]
fn a_retired_key_goes_on_vouching_for_what_was_verified_with_it() {
    let read = Read::new(300, &[OLD]);
    read.followed(&[OLD]);
    read.log.change(|model| model.sign_with(&[NEW]));
    // The new key alone could be anybody's: it must have been given together with the old one once.
    let state = std::fs::read(read.path("state")).unwrap();
    let ran = read.watch(&[NEW], &[]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("if the log has changed its keys, give that one too, once"), "{ran:?}");
    assert_eq!(std::fs::read(read.path("state")).unwrap(), state);

    read.followed(&[OLD, NEW]);
    read.followed(&[NEW]);
    // The old key no longer signs anything that counts.
    read.log.change(|model| {
        model.grow(301, "entry");
        model.sign_with(&[OLD]);
    });
    assert_eq!(read.watch(&[NEW], &[]).code, 1);

    // A fork across the change is a fork: its evidence needs both keys.
    read.log.change(|model| {
        *model = model.cut(299);
        model.grow(302, "other");
        model.sign_with(&[NEW]);
    });
    let ran = read.watch(&[NEW], &[]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let file = ran.json()[0]["evidence"].as_str().unwrap().to_owned();
    let content = std::fs::read_to_string(&file).unwrap();
    assert!(content.contains(&vkey(OLD)) && content.contains(&vkey(NEW)));
    assert_eq!(read.run(&["evidence", "verify", &file], &[OLD, NEW], &[]).code, 0);
    assert_eq!(read.run(&["evidence", "verify", &file], &[NEW], &[]).code, 1);
}

#[test]
fn keys_come_one_by_one_together_or_from_a_file() {
    let read = Read::new(5, &[NEW]);
    let both = format!("{} \n\t{}\n", vkey(OLD), vkey(NEW));
    let file = read.put("keys", &both);
    for keys in [vec!["--key", &both], vec!["--key", &file]] {
        let ran = read.run(&["fsck"], &[], &keys);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    assert_eq!(read.run(&["fsck"], &[OLD, NEW], &[]).code, 0);
    assert_eq!(read.run(&["fsck"], &[OLD], &[]).code, 1);
    for (keys, reason) in [
        (vec!["--key", &file, "--key", &file], "there are two keys lying.example/log+"),
        (vec!["--key", &file, "--key", "other+0"], "a verifier key must be <name>+<id>+<key>"),
        (vec![], "whom to trust: give --key VKEY or --policy FILE"),
    ] {
        let ran = read.run(&["fsck"], &[], &keys);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(reason), "{ran:?}");
    }
}

/// One witness with keys of both types, both of which the policy asks for.
#[test]
fn every_command_holds_the_checkpoint_to_its_witnesses() {
    let witness = "witness.example";
    let kinds = [SignatureType::COSIGNATURE_ED25519, SignatureType::COSIGNATURE_ML_DSA_44];
    let read = Read::new(300, &[OLD]);
    read.log.change(|model| model.witnessed_by(&kinds.map(|kind| (witness, kind))));
    let mut keys = Vec::new();
    read.log.change(|model| keys = model.witnesses());
    let witnesses = format!("witness a {}\nwitness b {}\ngroup both all a b\nquorum both\n", keys[0], keys[1]);
    let named = read.put("named.policy", &format!("log {}\n{witnesses}", vkey(OLD)));
    let bare = read.put("bare.policy", &witnesses);
    let entry = read.put("entry", "entry 7");
    let receipt = read.path("7.tlog-proof").to_str().unwrap().to_owned();
    let state = read.path("state").to_str().unwrap().to_owned();
    let commands: [&[&str]; 4] = [
        &["fsck"],
        &["consistency", "--from", "3"],
        &["prove", "--index", "7", "--out", &receipt],
        &["watch", "--once", "--state", &state],
    ];
    // The policy names the log, or --key does.
    for (keys, policy) in [(&[][..], &named), (&[OLD][..], &bare)] {
        for command in commands {
            let ran = read.run(command, keys, &["--policy", policy]);
            assert_eq!(ran.code, 0, "{command:?}: {ran:?}");
        }
        let ran = read.run(&["verify", "--proof", &receipt, &entry], keys, &["--policy", policy]);
        assert!(ran.stdout.contains("witnessed by a, b"), "{ran:?}");
    }
    let ran = read.run(&["fsck"], &[], &["--policy", &bare]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("say with --key which log this is"), "{ran:?}");

    // One of the two is gone: nothing new is trusted, and nobody is accused.
    read.log.change(|model| {
        model.grow(301, "entry");
        model.witnessed_by(&[(witness, kinds[0])]);
    });
    for command in commands {
        let ran = read.run(command, &[], &["--policy", &named]);
        assert_eq!((ran.code, &*ran.stdout), (1, ""), "{command:?}: {ran:?}");
        assert!(ran.stderr.contains("no cosignature by witness b"), "{ran:?}");
    }
    // A log that forks is caught all the same, with nobody's cosignature.
    read.log.change(|model| {
        *model = model.cut(299);
        model.grow(302, "other");
        model.witnessed_by(&[]);
    });
    let ran = read.run(commands[3], &[], &["--policy", &named]);
    assert_eq!(ran.code, 3, "{ran:?}");
}
