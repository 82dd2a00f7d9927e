//! Checkpoints apart from heads: what is published under a policy, what a restart keeps, and who is held back.

use cairn_tree::cosignature::{Timestamp, cosign};

use super::*;

/// The key of a witness.
fn witness(number: u8) -> SignerKey {
    let name = KeyName::new(format!("w{number}.example")).unwrap();
    SignerKey::from_seed(name, SignatureType::COSIGNATURE_ED25519, &[100 + number; 32]).unwrap()
}

/// A policy with one witness that can be asked.
pub(super) fn policy(quorum: &str) -> LogPolicy {
    let file = format!("witness w {} http://127.0.0.1:1\nquorum {quorum}\n", witness(1).verifier_key());
    LogPolicy::parse(file.as_bytes(), false).unwrap()
}

/// A head with the witness's cosignature.
fn cosigned(log: &Log, head: &Head, time: u64) -> Head {
    let signed = SignedCheckpoint::parse(&head.note).unwrap();
    let verified = signed.verify(&[log.vkeys()[0].parse().unwrap()]).unwrap();
    let line = cosign(&verified, &witness(1), Timestamp::new(time).unwrap()).unwrap();
    head.cosigned(signed.with_signature(line).unwrap().encode().into_bytes().into(), time * 1_000)
}

impl World {
    fn log(&self) -> Log {
        self.engine.log("a").unwrap()
    }

    fn set_policy(&self, policy: Option<LogPolicy>) {
        self.runtime.block_on(self.log().set_policy(policy)).unwrap();
    }

    /// Publishes the newest head with a cosignature.
    fn publish(&self, time: u64) -> Arc<Head> {
        let log = self.log();
        let checkpoint = cosigned(&log, &log.head(), time);
        self.runtime.block_on(log.publish(&log.policy().unwrap(), checkpoint)).unwrap();
        log.checkpoint().unwrap()
    }

    fn sizes(&self) -> (u64, u64) {
        (self.log().checkpoint().unwrap().size.get(), self.log().head().size.get())
    }
}

fn entry(number: u8) -> Vec<Vec<u8>> {
    vec![vec![number]]
}

#[test]
fn a_checkpoint_is_the_head_until_a_policy_says_otherwise_and_never_shrinks() {
    let mut world = World::with_log("a");
    world.append("a", &entry(1));
    assert_eq!(world.sizes(), (1, 1));
    world.set_policy(Some(policy("w")));
    world.append("a", &entry(2));
    assert_eq!(world.sizes(), (1, 2), "nobody cosigned the second head");
    let published = world.publish(7);
    assert_eq!(world.sizes(), (2, 2));
    // Another policy: what was published stays, until a larger head meets it.
    let before = world.log().policy().unwrap();
    world.set_policy(Some(policy("w")));
    world.append("a", &entry(3));
    assert_eq!((world.sizes(), &world.log().checkpoint().unwrap().note), ((2, 3), &published.note));
    let (log, head) = (world.log(), world.log().head());
    let late = world.runtime.block_on(log.publish(&before, cosigned(&log, &head, 8)));
    assert_eq!(late, Err(PublishError::OtherPolicy));
    world.set_policy(Some(policy("none")));
    assert_eq!(world.sizes(), (3, 3), "without a quorum the head is enough");
    world.append("a", &entry(4));
    world.publish(9);
    world.append("a", &entry(5));
    assert_eq!(world.sizes(), (5, 5));
    let smaller = world.runtime.block_on(log.publish(&log.policy().unwrap(), cosigned(&log, &head, 8)));
    assert_eq!(smaller, Err(PublishError::Smaller { found: 3, published: 4 }));
    drop(log);
    world.set_policy(None);
    assert_eq!(world.sizes(), (5, 5));
    world.reopen().unwrap();
    assert_eq!(world.sizes(), (5, 5));
    assert!(world.log().policy().is_none() && !world.log().is_held());
}

#[test]
fn whoever_asks_for_a_policy_and_goes_leaves_the_next_one_to_be_decided() {
    let mut world = World::with_log("a");
    world.append("a", &entry(1));
    let log = world.log();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    for round in 0..50 {
        // Several wait for the writer at once, all of one log.
        for _ in 0..5 {
            let mut asked = std::pin::pin!(log.set_policy(Some(policy("w"))));
            assert!(asked.as_mut().poll(&mut cx).is_pending(), "round {round}");
        }
        world.runtime.block_on(log.set_policy(Some(policy("none")))).unwrap();
    }
    drop(log);
    world.append("a", &entry(2));
    world.reopen().unwrap();
    assert_eq!((world.sizes(), world.log().policy().as_deref()), ((2, 2), Some(&policy("none"))));
}

#[test]
fn a_restart_serves_the_checkpoint_as_it_was_and_holds_appends_until_witnesses_agree() {
    let mut world = World::with_log("a");
    world.append("a", &entry(1));
    world.set_policy(Some(policy("w")));
    assert!(!world.log().is_held(), "a policy that is set at run time holds nothing up");
    let published = world.publish(7);
    world.append("a", &entry(2));
    world.reopen().unwrap();
    assert_eq!((world.sizes(), &world.log().checkpoint().unwrap().note), ((1, 2), &published.note));
    assert_eq!(world.log().policy().as_deref(), Some(&policy("w")));
    assert_eq!(world.try_append("a", &entry(3), Some("key")).unwrap_err(), AppendError::Held);
    // Another policy does not let it go: who must agree is remembered, also over a restart.
    world.set_policy(None);
    assert_eq!(world.try_append("a", &entry(3), None).unwrap_err(), AppendError::Held);
    assert_eq!(world.sizes(), (2, 2));
    world.reopen().unwrap();
    assert_eq!(world.log().outstanding_policy().as_deref(), Some(&policy("w")));
    assert_eq!(world.try_append("a", &entry(3), None).unwrap_err(), AppendError::Held);
    world.runtime.block_on(world.log().let_go()).unwrap();
    world.append("a", &entry(3));
    world.reopen().unwrap();
    assert!(!world.log().is_held() && world.log().outstanding_policy().is_none());
}

#[test]
fn a_log_that_a_witness_contradicts_is_halted_for_good() {
    let mut world = World::with_log("a");
    world.append("a", &entry(1));
    world.set_policy(Some(policy("w")));
    let reason = "witness w shows a larger head".to_owned();
    world.runtime.block_on(world.log().halt(reason.clone())).unwrap();
    world.reopen().unwrap();
    assert_eq!(world.log().state(), LogState::Halted(reason.clone()));
    assert_eq!(world.try_append("a", &entry(2), None).unwrap_err(), AppendError::Halted(reason));
    assert_eq!(world.sizes(), (1, 1));
}

#[test]
fn a_damaged_checkpoint_or_a_missing_one_is_never_served() {
    let mut world = World::with_log("a");
    world.append("a", &entry(1));
    world.set_policy(Some(policy("w")));
    let published = world.publish(7);
    let log = world.log().info().id;
    let key = cairn_tree::store::Key::numbered(log, cairn_tree::store::Kind::Checkpoint, 0);
    let row = world.engine.inner.rocks.get(&key).unwrap().unwrap();
    assert!(row.ends_with(&published.note));
    world.stop();
    // A flip within the text that the log signed.
    let mut flipped = row.clone();
    flipped[30] ^= 1;
    let damaged = |value: Option<Vec<u8>>| {
        let rocks = RocksStore::open(&options(world.path()).database_path(), &Settings::default()).unwrap();
        let mut batch = Batch::new();
        match value {
            Some(value) => batch.put(key.clone(), value),
            None => batch.delete(key.clone()),
        }
        rocks.commit(batch).unwrap();
        drop(rocks);
        let opened = Engine::open(&options(world.path()), Arc::new(SystemClock), Arc::new(Unobserved));
        opened.err().map(|error| error.to_string())
    };
    assert!(damaged(Some(flipped)).unwrap().starts_with("the checkpoint row is damaged"));
    assert!(damaged(None).unwrap().starts_with("the checkpoint row is damaged: missing"));
    assert_eq!(damaged(Some(row)), None);
}

/// What a repair leaves that has found no policy.
fn lose_policy(world: &mut World, checkpoint: Option<Vec<u8>>) {
    use crate::engine::layout::{CheckpointRow, Current, PolicyRow};

    let log = world.log().info().id;
    world.stop();
    let rocks = RocksStore::open(&options(world.path()).database_path(), &Settings::default()).unwrap();
    let mut batch = Batch::new();
    batch.put(PolicyRow::key(log), PolicyRow { current: Current::Lost, outstanding: None }.encode());
    if let Some(checkpoint) = checkpoint {
        batch.put(CheckpointRow::key(log), checkpoint);
    }
    rocks.commit(batch).unwrap();
    drop(rocks);
    world.reopen().unwrap();
}

#[test]
fn a_log_whose_policy_is_lost_takes_nothing_and_publishes_nothing_before_it_is_said() {
    use crate::engine::layout::CheckpointRow;

    for said in [None, Some(policy("none")), Some(policy("w"))] {
        let mut world = World::with_log("a");
        world.append("a", &entry(1));
        lose_policy(&mut world, Some(CheckpointRow::not_yet()));
        for _ in 0..2 {
            assert!(world.log().is_held() && world.log().lacks_policy() && world.log().checkpoint().is_none());
            assert_eq!(world.log().head().size.get(), 1);
            assert_eq!(world.try_append("a", &entry(2), None).unwrap_err(), AppendError::LacksPolicy);
            world.reopen().unwrap();
        }
        world.set_policy(said.clone());
        assert!(!world.log().lacks_policy());
        assert_eq!(world.log().is_held(), said.is_some(), "witnesses that can be asked have to agree first");
        let is_published = said.as_ref().is_none_or(|policy| policy.policy().needs_no_witness());
        for _ in 0..2 {
            assert_eq!(world.log().policy().as_deref(), said.as_ref());
            assert_eq!(world.log().checkpoint().is_some(), is_published);
            world.reopen().unwrap();
        }
        if said.is_some() {
            assert_eq!(world.try_append("a", &entry(2), None).unwrap_err(), AppendError::Held);
            world.runtime.block_on(world.log().let_go()).unwrap();
        }
        world.append("a", &entry(2));
        if !is_published {
            assert!(world.log().checkpoint().is_none(), "no head has met the policy yet");
            world.publish(7);
        }
        assert_eq!(world.sizes(), (2, 2));
        world.reopen().unwrap();
        assert_eq!(world.sizes(), (2, 2));
    }
}

/// A policy that is said by mistake, whose witnesses never answer, does not hold the log for ever.
#[test]
fn what_is_said_of_a_lost_policy_can_be_said_anew_until_its_witnesses_have_agreed() {
    use crate::engine::layout::CheckpointRow;

    for reopens in [false, true] {
        let mut world = World::with_log("a");
        world.append("a", &entry(1));
        lose_policy(&mut world, Some(CheckpointRow::not_yet()));
        for said in [policy("w"), policy("none"), policy("w")] {
            world.set_policy(Some(said.clone()));
            if reopens {
                world.reopen().unwrap();
            }
            assert_eq!(world.log().policy().as_deref(), Some(&said));
            assert!(world.log().is_held() && world.log().outstanding_policy().is_none());
        }
        let mut agreed = world;
        if reopens {
            agreed.set_policy(None);
            assert!(!agreed.log().is_held());
            assert_eq!(agreed.sizes(), (1, 1));
        } else {
            // From here on it is a policy as any other.
            agreed.runtime.block_on(agreed.log().let_go()).unwrap();
            agreed.reopen().unwrap();
            agreed.set_policy(None);
            assert_eq!(agreed.log().outstanding_policy().as_deref(), Some(&policy("w")));
            assert!(agreed.log().is_held());
        }
    }
}

#[test]
fn a_log_whose_policy_is_lost_goes_on_serving_the_checkpoint_that_stands() {
    for said in [None, Some(policy("w"))] {
        let mut world = World::with_log("a");
        world.append("a", &entry(1));
        world.set_policy(Some(policy("w")));
        let published = world.publish(7);
        world.append("a", &entry(2));
        lose_policy(&mut world, None);
        assert_eq!((world.sizes(), &world.log().checkpoint().unwrap().note), ((1, 2), &published.note));
        assert_eq!(world.try_append("a", &entry(3), None).unwrap_err(), AppendError::LacksPolicy);
        world.set_policy(said.clone());
        assert_eq!(world.sizes(), (if said.is_some() { 1 } else { 2 }, 2));
        world.reopen().unwrap();
        assert_eq!(world.sizes(), (if said.is_some() { 1 } else { 2 }, 2));
    }
}

#[test]
fn what_was_committed_and_never_released_is_signed_only_after_the_witnesses_have_agreed() {
    let mut world = World::with_log("a");
    world.append("a", &entry(1));
    world.set_policy(Some(policy("w")));
    world.publish(7);
    // The server ends between a commit and its mark: the high-water is as it was before the commit.
    let mark = std::fs::read(options(world.path()).high_water_path()).unwrap();
    world.append("a", &entry(2));
    world.stop();
    world.oracle.clear();
    std::fs::write(options(world.path()).high_water_path(), mark).unwrap();
    world.reopen().unwrap();
    assert_eq!(world.sizes(), (1, 1));
    assert_eq!(world.try_append("a", &entry(3), None).unwrap_err(), AppendError::Held);
    world.runtime.block_on(world.log().let_go()).unwrap();
    assert_eq!(world.sizes(), (1, 2));
    let head = world.log().head();
    assert_eq!(world.log().entry(&head, LeafIndex::new(1).unwrap()).unwrap().as_deref(), Some(entry(2)[0].as_slice()));
    world.append("a", &entry(3));
    world.reopen().unwrap();
    world.runtime.block_on(world.log().let_go()).unwrap();
    assert_eq!(world.sizes(), (1, 3));
}

#[test]
fn a_check_of_the_database_compares_the_checkpoint_too() {
    let mut world = World::with_log("a");
    world.append("a", &entry(1));
    world.set_policy(Some(policy("w")));
    world.append("a", &entry(2));
    assert_eq!(world.log().fsck(&mut |_| {}).problem, None);
    world.stop();
    let findings = fsck(&options(world.path()), &mut |_, _, _| {}).unwrap();
    assert!(findings.iter().all(|finding| finding.problem.is_none()), "{findings:?}");
}
