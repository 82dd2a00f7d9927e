//! A log that has signed two trees of which neither extends the other, and what is remembered of others so that this is
//! found.
//!
//! Such a log is cosigned no more, for good. A cosignature tells those who see it that there is one history; after the log
//! has proven that there are two, to go on with either of them would help to hide the other. What is remembered finds heads
//! of one size; two of different sizes contradict each other only with a proof, which `hearsay` asks the log for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cairn_tree::checkpoint::{AvowedCheckpoint, Origin, OriginHash};

use super::bounds;
use crate::monitor::{Case, Prefix, prove_fork};

/// Two heads of one log, of which neither extends the other, to both of which it can be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    one: AvowedCheckpoint,
    other: AvowedCheckpoint,
    /// What the larger tree was at the smaller one's size, if they are of different sizes.
    prefix: Option<Prefix>,
    seconds: u64,
}

impl Fork {
    /// The fork that these heads prove, found at a time in seconds since the epoch; `None` if they prove none.
    #[must_use]
    pub fn new(one: AvowedCheckpoint, other: AvowedCheckpoint, seconds: u64) -> Option<Self> {
        contradict(&one, &other).then_some(Self { one, other, prefix: None, seconds })
    }

    /// The fork that these heads prove with what the larger tree was at the smaller one's size, found at a time in seconds
    /// since the epoch; `None` if they prove none.
    #[must_use]
    pub fn between(one: AvowedCheckpoint, other: AvowedCheckpoint, prefix: Prefix, seconds: u64) -> Option<Self> {
        let (smaller, larger) = by_size(&one, &other);
        let proven = prove_fork(smaller.tree(), larger.tree(), Some(&prefix)).is_ok();
        (one.origin() == other.origin() && proven).then_some(Self { one, other, prefix: Some(prefix), seconds })
    }

    /// The log.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        self.one.origin()
    }

    /// The head that was known first.
    #[must_use]
    pub const fn one(&self) -> &AvowedCheckpoint {
        &self.one
    }

    /// The head that contradicts it.
    #[must_use]
    pub const fn other(&self) -> &AvowedCheckpoint {
        &self.other
    }

    /// What the larger tree was at the smaller one's size, if they are of different sizes.
    #[must_use]
    pub const fn prefix(&self) -> Option<&Prefix> {
        self.prefix.as_ref()
    }

    /// The same as a case for others to judge.
    #[must_use]
    pub fn case(&self) -> Case {
        let (smaller, larger) = by_size(&self.one, &self.other);
        let (smaller, larger) = (smaller.signed().encode(), larger.signed().encode());
        Case::Fork { smaller, larger, prefix: self.prefix.clone() }
    }

    /// When it was found, in seconds since the epoch.
    #[must_use]
    pub const fn seconds(&self) -> u64 {
        self.seconds
    }
}

fn by_size<'h>(one: &'h AvowedCheckpoint, other: &'h AvowedCheckpoint) -> (&'h AvowedCheckpoint, &'h AvowedCheckpoint) {
    if other.size() < one.size() { (other, one) } else { (one, other) }
}

fn contradict(one: &AvowedCheckpoint, other: &AvowedCheckpoint) -> bool {
    one.origin() == other.origin() && one.size() == other.size() && one.root() != other.root()
}

/// The heads that may still be contradicted: the newest that were cosigned, and the newest of each peer. Bounded, in
/// memory only, and empty without peers.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<HashMap<OriginHash, Heads>>);

#[derive(Debug, Default)]
struct Heads {
    ours: VecDeque<AvowedCheckpoint>,
    /// By the number of the peer.
    theirs: HashMap<usize, AvowedCheckpoint>,
}

impl Remembered {
    /// A remembered head that contradicts this one.
    pub(super) fn against(&self, head: &AvowedCheckpoint) -> Option<AvowedCheckpoint> {
        self.lock().get(&OriginHash::of(head.origin()))?.against(head)
    }

    /// Remembers a head that was cosigned; returns what contradicts it. Looking and remembering are one step, so that of
    /// two heads that come at once one is found by the other.
    pub(super) fn cosigned(&self, head: &AvowedCheckpoint) -> Option<AvowedCheckpoint> {
        let mut logs = self.lock();
        let most = (bounds::REMEMBERED_HEADS / (logs.len() + 1)).clamp(1, bounds::REMEMBERED_HEADS_PER_LOG);
        let heads = logs.entry(OriginHash::of(head.origin())).or_default();
        heads.ours.push_back(head.clone());
        while heads.ours.len() > most {
            heads.ours.pop_front();
        }
        heads.against(head)
    }

    /// Remembers a peer's head in the place of its last one; returns what contradicts it.
    pub(super) fn heard(&self, peer: usize, head: &AvowedCheckpoint) -> Option<AvowedCheckpoint> {
        let mut logs = self.lock();
        let heads = logs.entry(OriginHash::of(head.origin())).or_default();
        heads.theirs.insert(peer, head.clone());
        heads.against(head)
    }

    // A panic while the lock is held leaves the map whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<OriginHash, Heads>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heads {
    fn against(&self, head: &AvowedCheckpoint) -> Option<AvowedCheckpoint> {
        self.ours.iter().chain(self.theirs.values()).find(|known| contradict(known, head)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use cairn_tree::checkpoint::{Checkpoint, LogKeys};
    use cairn_tree::hash::Hash;
    use cairn_tree::note::{KeyName, SignatureType, SignerKey};
    use cairn_tree::size::TreeSize;

    use super::*;

    fn head(log: &str, size: u64, root: &str) -> AvowedCheckpoint {
        let key = SignerKey::from_seed(KeyName::new(log).unwrap(), SignatureType::ED25519, &[1; 32]).unwrap();
        let head = Checkpoint::new(Origin::from(key.name()), TreeSize::new(size).unwrap(), Hash::leaf(root.as_bytes()));
        LogKeys::try_from(key.verifier_key().clone()).unwrap().avowed(&head.sign(&key).unwrap()).unwrap()
    }

    #[test]
    fn only_two_roots_of_one_size_of_one_log_are_a_fork() {
        let fork = |one, other| Fork::new(one, other, 9).is_some();
        assert!(fork(head("a", 5, "x"), head("a", 5, "y")));
        assert!(!fork(head("a", 5, "x"), head("a", 5, "x")));
        assert!(!fork(head("a", 5, "x"), head("a", 6, "y")));
        assert!(!fork(head("a", 5, "x"), head("b", 5, "y")));
    }

    #[test]
    fn whatever_comes_first_the_second_finds_it() {
        let remembered = Remembered::default();
        assert_eq!(remembered.cosigned(&head("a", 5, "x")), None);
        assert_eq!(remembered.heard(0, &head("a", 5, "y")), Some(head("a", 5, "x")));
        assert_eq!(remembered.heard(1, &head("b", 7, "x")), None);
        assert_eq!(remembered.against(&head("b", 7, "x")), None);
        assert_eq!(remembered.against(&head("b", 7, "y")), Some(head("b", 7, "x")));
        assert_eq!(remembered.cosigned(&head("b", 7, "y")), Some(head("b", 7, "x")));
        // Two peers that were shown different trees, before anything was cosigned.
        assert_eq!(remembered.heard(0, &head("c", 1, "x")), None);
        assert_eq!(remembered.heard(1, &head("c", 1, "y")), Some(head("c", 1, "x")));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let remembered = Remembered::default();
        let most = bounds::REMEMBERED_HEADS_PER_LOG as u64;
        for size in 1..=most + 1 {
            remembered.cosigned(&head("a", size, "x"));
            remembered.heard(3, &head("a", 1_000 + size, "x"));
        }
        assert_eq!(remembered.against(&head("a", 1, "y")), None, "the oldest is gone");
        assert!(remembered.against(&head("a", 2, "y")).is_some());
        assert_eq!(remembered.against(&head("a", 1_000 + most, "y")), None, "one head of each peer");
        assert!(remembered.against(&head("a", 1_001 + most, "y")).is_some());
    }
}
