//! Keys come and go, logs end and go on; each change is an entry, and none is lost or half-made whatever breaks.

use cairn_tree::note::VerifierKey;
use cairn_tree::statement::{End, KeyChain, SignedStatement, Statement};

use super::*;
use crate::signer::KeyType;

fn ml_dsa(name: &str, seed: u8) -> SignerKey {
    let name = KeyName::new(format!("example.com/logs/{name}")).unwrap();
    SignerKey::from_seed(name, SignatureType::COSIGNATURE_ML_DSA_44, &[seed; 32]).unwrap()
}

fn public(keys: &[SignerKey]) -> Vec<VerifierKey> {
    keys.iter().map(|key| key.verifier_key().clone()).collect()
}

impl World {
    fn rotate(&mut self, log: &str, key: SignerKey) -> Result<VerifierKey, LifeError> {
        let rotated = self.runtime.block_on(self.engine.rotate_key(log, key));
        self.see_own_entries(log);
        rotated
    }

    fn retire(&mut self, log: &str, kind: KeyType) -> Result<VerifierKey, LifeError> {
        let retired = self.runtime.block_on(self.engine.retire_key(log, kind));
        self.see_own_entries(log);
        retired
    }

    fn seal(&mut self, log: &str, successor: &str, seed: u8) -> Result<(), LifeError> {
        let keys = vec![signer(successor, seed)];
        let sealed = self.runtime.block_on(self.engine.seal(log, terms(successor), keys));
        for name in [log, successor] {
            if self.engine.log(name).is_some() {
                self.see_own_entries(name);
            }
        }
        sealed
    }

    /// Takes what the server itself appended into the oracle, then checks all of the log.
    fn see_own_entries(&mut self, name: &str) {
        let log = self.engine.log(name).unwrap();
        let head = log.head();
        let oracle = self.oracle.entry(name.to_owned()).or_default();
        for index in 0..head.size.get() {
            let entry = log.entry(&head, LeafIndex::new(index).unwrap()).unwrap().unwrap();
            let known = oracle.acked.entry(index).or_insert_with(|| entry.to_vec());
            assert_eq!(*known, entry);
            // What the server itself appended is found by its leaf, too.
            let found = log.find(&head, &Hash::leaf(&entry)).unwrap();
            let found = found.unwrap_or_else(|| panic!("entry {index} of {name} is not in the index"));
            assert_eq!(log.entry(&head, found).unwrap(), Some(entry));
        }
        self.check(name);
    }

    /// The keys that the log's own statements lead to, from one that is trusted.
    fn followed(&self, name: &str, trusted: &SignerKey) -> KeyChain {
        let log = self.engine.log(name).unwrap();
        let mut chain = KeyChain::new(vec![trusted.verifier_key().clone()]);
        let told = log.key_statements(&log.head()).unwrap();
        let told: Vec<_> = told.iter().map(|(_, entry)| SignedStatement::parse(entry).unwrap()).collect();
        chain.follow_all(&told).unwrap();
        chain
    }

    fn vkeys(&self, name: &str) -> Vec<VerifierKey> {
        self.engine.log(name).unwrap().vkeys().iter().map(|key| key.parse().unwrap()).collect()
    }

    fn last_entry(&self, name: &str) -> SignedStatement {
        let log = self.engine.log(name).unwrap();
        let head = log.head();
        SignedStatement::parse(&log.entry(&head, LeafIndex::new(head.size.get() - 1).unwrap()).unwrap().unwrap())
            .unwrap()
    }
}

#[test]
fn a_key_is_rotated_with_an_entry_and_both_sign_until_the_old_one_retires() {
    let mut world = World::with_log("main");
    world.append("main", &numbered(0..300));
    let old_head = world.engine.log("main").unwrap().head();
    world.rotate("main", signer("main", 2)).unwrap();
    assert_eq!(world.vkeys("main"), public(&[signer("main", 1), signer("main", 2)]));
    world.append("main", &numbered(300..310));
    let both = world.engine.log("main").unwrap().head();
    for key in [signer("main", 1), signer("main", 2)] {
        SignedCheckpoint::parse(&both.note).unwrap().verify(&public(&[key])).unwrap();
    }
    world.reopen().unwrap();
    assert!(matches!(world.retire("main", KeyType::MlDsa44), Err(LifeError::LastKey { .. })));
    world.retire("main", KeyType::Ed25519).unwrap();
    assert!(matches!(world.retire("main", KeyType::Ed25519), Err(LifeError::LastKey { .. })));
    assert_eq!(world.vkeys("main"), public(&[signer("main", 2)]));
    world.append("main", &numbered(310..400));
    let new_head = world.engine.log("main").unwrap().head();
    let signed = SignedCheckpoint::parse(&new_head.note).unwrap();
    assert!(signed.verify(&public(&[signer("main", 1)])).is_err());
    // What was promised before still verifies with the old key, and leads to the new one.
    SignedCheckpoint::parse(&old_head.note).unwrap().verify(&public(&[signer("main", 1)])).unwrap();
    let chain = world.followed("main", &signer("main", 1));
    assert_eq!(chain.active(), public(&[signer("main", 2)]));
    // A retired key's file may be gone.
    std::fs::remove_file(world.path().join("keys/main.skey")).unwrap();
    world.reopen().unwrap();
    assert_eq!(world.followed("main", &signer("main", 2)).active(), public(&[signer("main", 2)]));
}

#[test]
fn an_ml_dsa_key_signs_beside_with_a_time_that_never_goes_back() {
    let mut world = World::with_log("main");
    world.clock.set(5_000_000);
    world.rotate("main", ml_dsa("main", 7)).unwrap();
    let time = |world: &World| {
        let head = world.engine.log("main").unwrap().head();
        let signed = SignedCheckpoint::parse(&head.note).unwrap();
        signed.verify(&public(&[ml_dsa("main", 7)])).unwrap();
        signed.verify(&public(&[signer("main", 1)])).unwrap();
        let line = signed.note().signatures().iter().find(|line| line.signature().len() > 2_000).unwrap();
        u64::from_be_bytes(line.signature()[..8].try_into().unwrap())
    };
    assert_eq!(time(&world), 5_000);
    world.clock.set(1_000_000);
    world.append("main", &numbered(0..3));
    assert_eq!(time(&world), 5_000);
    world.reopen().unwrap();
    assert_eq!(time(&world), 5_000);
    world.clock.set(9_000_000);
    world.append("main", &numbered(3..4));
    assert_eq!(time(&world), 9_000);
    // A second one may take its place.
    world.rotate("main", ml_dsa("main", 8)).unwrap();
    world.retire("main", KeyType::MlDsa44).unwrap();
    assert_eq!(world.vkeys("main"), public(&[signer("main", 1), ml_dsa("main", 8)]));
    assert_eq!(world.followed("main", &signer("main", 1)).active(), world.vkeys("main"));
    // From the beginning, too.
    let keys = vec![signer("other", 3), ml_dsa("other", 9)];
    world.runtime.block_on(world.engine.create_log(terms("other"), keys)).unwrap();
    world.append("other", &numbered(0..3));
    world.reopen().unwrap();
    assert_eq!(world.vkeys("other").len(), 2);
}

#[test]
fn a_missing_key_of_several_is_refused_at_the_start() {
    let mut world = World::with_log("main");
    let key = world.rotate("main", signer("main", 2)).unwrap();
    world.stop();
    let file = world.path().join(format!("keys/main+{}.skey", key.id()));
    let text = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let missing = world.reopen().unwrap_err();
    assert!(
        matches!(&missing, OpenError::Keys(KeyRingError::File { error: KeyFileError::Missing(path), .. }) if *path == file)
    );
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut restored = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&file).unwrap();
    std::io::Write::write_all(&mut restored, &text).unwrap();
    world.reopen().unwrap();
    world.append("main", &numbered(0..3));
}

/// The rotation's commit reaches the disk or not, and the process ends: the next start has either all of it or nothing.
#[test]
fn a_rotation_whose_commit_is_unknown_is_whole_or_not_there() {
    for written in [Written::Yes, Written::No] {
        let mut world = World::with_log("main");
        world.append("main", &numbered(0..200));
        let store = world.reopen_faulty();
        store.arm(Fault { flip: None, unknown: Some(written) });
        let unknown = world.runtime.block_on(world.engine.rotate_key("main", signer("main", 2)));
        assert!(matches!(unknown, Err(LifeError::Stopping)), "{unknown:?}");
        assert_eq!(store.fired(), 1);
        drop(store);
        world.reopen().unwrap();
        world.see_own_entries("main");
        let expected =
            if written == Written::Yes { vec![signer("main", 1), signer("main", 2)] } else { vec![signer("main", 1)] };
        assert_eq!(world.vkeys("main"), public(&expected));
        // Whatever it was: the next one works.
        world.rotate("main", signer("main", 3)).unwrap();
        world.append("main", &numbered(200..300));
        world.reopen().unwrap();
        assert_eq!(world.vkeys("main").len(), expected.len() + 1);
    }
}

/// A change that the store does not give back as it was placed is not made: the log halts with the keys that it had.
#[test]
fn a_rotation_that_reads_back_wrong_leaves_the_old_keys() {
    for row in [Row::Piece, Row::Head] {
        let mut world = World::with_log("main");
        world.append("main", &numbered(0..250));
        let store = world.reopen_faulty();
        store.arm(Fault { flip: Some(row), unknown: None });
        let halted = world.runtime.block_on(world.engine.rotate_key("main", signer("main", 2)));
        assert!(matches!(halted, Err(LifeError::Halted(_))), "{row:?}: {halted:?}");
        assert_eq!(store.fired(), 1);
        drop(store);
        for _ in 0..2 {
            assert_eq!(world.vkeys("main"), public(&[signer("main", 1)]));
            assert!(matches!(world.engine.log("main").unwrap().state(), LogState::Halted(_)));
            assert_eq!(world.engine.log("main").unwrap().head().size.get(), 250);
            world.reopen().unwrap();
        }
    }
}

#[test]
fn a_sealed_log_names_its_successor_and_is_named_by_it() {
    let mut world = World::with_log("main");
    world.append("main", &numbered(0..300));
    world.seal("main", "next", 2).unwrap();
    for _ in 0..2 {
        let refused = world.try_append("main", &numbered(0..1), None).unwrap_err();
        assert_eq!(refused, AppendError::Sealed(Some("example.com/logs/next".to_owned())));
        let (old, new) = (world.engine.log("main").unwrap(), world.engine.log("next").unwrap());
        assert_eq!((old.state(), old.head().size.get()), (LogState::Sealed, 301));
        let seal = world.last_entry("main");
        let (Statement::Seal(seal), _) = seal.verify(&world.vkeys("main")).unwrap() else { panic!("no seal") };
        assert_eq!(seal.successor_keys(), public(&[signer("next", 2)]));
        let first = new.entry(&new.head(), LeafIndex::ZERO).unwrap().unwrap();
        let first = SignedStatement::parse(&first).unwrap();
        let (Statement::Link(link), _) = first.verify(&world.vkeys("next")).unwrap() else { panic!("no link") };
        let keys = world.vkeys("main");
        let final_head = SignedCheckpoint::parse(&old.head().note).unwrap().verify(&keys).unwrap();
        link.follows(Some(seal), &final_head, &keys).unwrap();
        drop((old, new));
        world.append("next", &numbered(0..5));
        // Once more the same is no mistake; another successor is.
        world.seal("main", "next", 3).unwrap();
        assert!(matches!(world.seal("main", "third", 4), Err(LifeError::OtherSuccessor { .. })));
        assert!(world.engine.log("third").is_none());
        assert!(matches!(world.rotate("main", signer("main", 9)), Err(LifeError::Sealed)));
        world.reopen().unwrap();
    }
    // A chain goes on.
    world.seal("next", "third", 4).unwrap();
    world.append("third", &numbered(0..1));
}

#[test]
fn an_existing_log_is_a_successor_only_while_it_is_empty_and_free() {
    let mut world = World::with_log("main");
    world.create(terms("used"), 2).unwrap();
    world.append("used", &numbered(0..1));
    world.create(terms("free"), 3).unwrap();
    assert!(matches!(world.seal("main", "used", 9), Err(LifeError::NoSuccessor(_))));
    assert!(matches!(world.seal("main", "main", 9), Err(LifeError::NoSuccessor(_))));
    assert_eq!(world.engine.log("main").unwrap().state(), LogState::Open);
    world.seal("main", "free", 9).unwrap();
    world.create(terms("late"), 4).unwrap();
    assert!(matches!(world.seal("late", "free", 9), Err(LifeError::NoSuccessor(_))));
}

/// The process ends at each commit of the way in turn; the command, given again, goes on from there.
#[test]
fn sealing_is_taken_up_again_wherever_it_stopped() {
    for (skipped, written) in (0..3).flat_map(|skipped| [(skipped, Written::Yes), (skipped, Written::No)]) {
        let mut world = World::with_log("main");
        world.append("main", &numbered(0..255));
        let store = world.reopen_faulty();
        store.arm_after(skipped, Fault { flip: None, unknown: Some(written) });
        let stopped = world.runtime.block_on(world.engine.seal("main", terms("next"), vec![signer("next", 2)]));
        assert!(stopped.is_err(), "{skipped} {written:?}");
        assert_eq!(store.fired(), 1, "{skipped} {written:?}");
        drop(store);
        world.reopen().unwrap();
        // Whatever stands by now: nothing but its link can come first.
        if world.engine.log("next").is_some_and(|log| log.head().size.get() == 0) {
            assert_eq!(world.try_append("next", &numbered(0..1), None).unwrap_err(), AppendError::AwaitsLink);
        }
        world.seal("main", "next", 3).unwrap();
        world.append("next", &numbered(0..1));
        world.reopen().unwrap();
        let link = world.engine.log("next").unwrap();
        let first = SignedStatement::parse(&link.entry(&link.head(), LeafIndex::ZERO).unwrap().unwrap()).unwrap();
        assert!(matches!(first.unverified(), Statement::Link(link) if link.head().unverified().size().get() == 256));
    }
}

/// A log that can sign nothing more is continued too: the new one holds the last head that it signed.
#[test]
fn a_halted_log_is_continued_under_a_new_origin() {
    let mut world = World::with_log("main");
    world.append("main", &numbered(0..250));
    let store = world.reopen_faulty();
    store.arm(Fault { flip: Some(Row::Piece), unknown: None });
    world.try_append("main", &numbered(250..260), None).unwrap_err();
    drop(store);
    world.seal("main", "next", 2).unwrap();
    world.reopen().unwrap();
    let (old, new) = (world.engine.log("main").unwrap(), world.engine.log("next").unwrap());
    assert!(matches!(old.state(), LogState::Halted(_)));
    assert_eq!(old.successor().unwrap().origin, "example.com/logs/next");
    let first = SignedStatement::parse(&new.entry(&new.head(), LeafIndex::ZERO).unwrap().unwrap()).unwrap();
    let Statement::Link(link) = first.unverified() else { panic!("no link") };
    assert_eq!((link.ended(), link.head().unverified().size().get()), (End::Halted, 250));
    drop((old, new));
    world.append("next", &numbered(0..3));
}

/// A crash between the key files and the log's first commit leaves files without a log: they are moved away, not used.
#[test]
fn key_files_without_a_log_block_no_name_and_are_not_used() {
    let mut world = World::new();
    let keys = options(world.path()).key_files();
    keys.write(&first_key("main"), &signer("main", 8)).unwrap();
    std::fs::write(keys.private_path(&first_key("half")), "").unwrap();
    world.create(terms("main"), 1).unwrap();
    world.create(terms("half"), 2).unwrap();
    assert_eq!(world.vkeys("main"), public(&[signer("main", 1)]));
    assert!(world.path().join("keys/main.skey.unused-1").exists());
    world.append("main", &numbered(0..1));
    world.reopen().unwrap();
}
