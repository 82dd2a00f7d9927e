//! What a monitor remembers between two runs, in one file that is whole or refused.
//!
//! A file that is not exactly what a monitor wrote is damage on *this* machine: a power loss, a full disk, an editor.
//! It is never taken for a lie of the log (golang/go #38348 was that mistake).

use cairn_tree::checkpoint::{LogKeys, SignedCheckpoint, VerifiedCheckpoint};
use cairn_tree::hash::Hash;
use cairn_tree::merkle::{Frontier, Root};
use cairn_tree::note::VerifierKey;
use cairn_tree::size::TreeSize;
use serde::{Deserialize, Serialize};

use super::framed::{self, damaged};
use super::unplaced::{self, Unplaced};
use crate::fetch::HeadKind;

/// What every state file begins with, before the checksum of the rest.
const MAGIC: &str = "cairn.watch/1 ";
/// How many older heads are kept, so that a smaller head can be told to be one that was shown before.
const OLDER_HEADS: usize = 32;
/// The most bytes of older heads; cosignatures can make them long.
const OLDER_BYTES: usize = 128 << 10;

/// The verified past of one log.
///
/// Invariant: `frontier` is the tree's that `head` signs, and `head` and `older` are signed by keys that the log has or
/// had.
#[derive(Debug, Clone)]
pub struct State {
    head: VerifiedCheckpoint,
    frontier: Frontier,
    /// Heads that came before, of rising size.
    older: Vec<VerifiedCheckpoint>,
    shown: Shown,
}

/// The largest size that each resource has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shown {
    checkpoint: u64,
    head: u64,
}

/// Why a state file is of no use. None of these says anything about the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The file is not what was written.
    #[error("the state file is damaged on this machine ({0}); this says nothing about the log")]
    Damaged(String),
    /// The file is whole, and about another log or key.
    #[error(
        "the state file belongs to the log key {0}, which is not among those given; if the log has changed its keys, \
         give that one too, once"
    )]
    OtherKey(String),
    /// The file is whole, and about another log.
    #[error("the state file belongs to the log {0}, not to the one given")]
    OtherLog(String),
}

/// A state as it stands in a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    vkey: String,
    #[serde(default)]
    keys: Vec<String>,
    head: String,
    frontier: Vec<String>,
    older: Vec<String>,
    shown: Shown,
    /// Only in a file of its own: a monitor's has them beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unplaced: Option<unplaced::Stored>,
}

impl Shown {
    /// The largest size that this resource has shown.
    #[must_use]
    pub const fn largest(self, kind: HeadKind) -> u64 {
        match kind {
            HeadKind::Checkpoint => self.checkpoint,
            HeadKind::Head => self.head,
        }
    }

    /// For each resource the larger of two sizes.
    #[must_use]
    pub fn or_larger(self, other: Self) -> Self {
        Self { checkpoint: self.checkpoint.max(other.checkpoint), head: self.head.max(other.head) }
    }

    /// Takes note that this resource has shown this size.
    pub fn note(&mut self, kind: HeadKind, size: TreeSize) {
        let largest = match kind {
            HeadKind::Checkpoint => &mut self.checkpoint,
            HeadKind::Head => &mut self.head,
        };
        *largest = (*largest).max(size.get());
    }
}

impl State {
    /// The state after the first head, whose tree the caller has read in full.
    ///
    /// `None` if the frontier is not that tree's.
    #[must_use]
    pub fn first(head: VerifiedCheckpoint, frontier: Frontier) -> Option<Self> {
        let fits = frontier.root() == head.tree();
        fits.then(|| Self { head, frontier, older: Vec::new(), shown: Shown::default() })
    }

    /// The state after a larger head, whose new entries the caller has read.
    ///
    /// `None` if the frontier is not that tree's.
    #[must_use]
    pub fn grown(&self, head: VerifiedCheckpoint, frontier: Frontier) -> Option<Self> {
        if frontier.root() != head.tree() {
            return None;
        }
        let mut older = self.older.clone();
        older.push(self.head.clone());
        let too_long = |older: &[VerifiedCheckpoint]| {
            older.len() > OLDER_HEADS
                || older.iter().map(|head| head.signed().encode().len()).sum::<usize>() > OLDER_BYTES
        };
        while too_long(&older) {
            older.remove(0);
        }
        Some(Self { head, frontier, older, shown: self.shown })
    }

    /// The same, where the log's resources have shown this too.
    #[must_use]
    pub(super) fn showing(self, shown: Shown) -> Self {
        Self { shown: self.shown.or_larger(shown), ..self }
    }

    /// The newest verified head.
    #[must_use]
    pub const fn head(&self) -> &VerifiedCheckpoint {
        &self.head
    }

    /// The right edge of the tree that the newest head signs.
    #[must_use]
    pub const fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The newest head's size and root.
    #[must_use]
    pub fn root(&self) -> Root {
        self.head.tree()
    }

    /// The verified head of this size, if it is remembered.
    #[must_use]
    pub fn head_of(&self, size: TreeSize) -> Option<&VerifiedCheckpoint> {
        self.older.iter().chain([&self.head]).find(|head| head.size() == size)
    }

    /// The largest sizes that the log's resources have shown.
    #[must_use]
    pub const fn shown(&self) -> Shown {
        self.shown
    }

    /// Takes note that a resource has shown a head of this size.
    pub fn note_shown(&mut self, kind: HeadKind, size: TreeSize) {
        self.shown.note(kind, size);
    }

    /// The keys that have signed the remembered heads.
    pub(super) fn signers(&self) -> impl Iterator<Item = &VerifierKey> {
        self.older.iter().chain([&self.head]).flat_map(VerifiedCheckpoint::keys)
    }

    /// The file's bytes, with what the log signed beside it; `keys` are the log's as the user gives them.
    ///
    /// # Errors
    /// [`StateError::Damaged`] if they cannot be made, which no state is known to cause.
    pub fn encode(&self, unplaced: &Unplaced, keys: &LogKeys) -> Result<Vec<u8>, StateError> {
        framed::encode(MAGIC, &Stored { unplaced: unplaced.store(keys), ..self.store(keys) })
    }

    /// Reads a file back; `keys` are the log's as the user gives them. A key that is not given any more goes on vouching
    /// for the heads that were verified with it, if the file was ever written with it and one of the given keys together.
    ///
    /// # Errors
    /// [`StateError`] for every file that [`State::encode`] did not write.
    pub fn decode(bytes: &[u8], keys: &LogKeys) -> Result<(Self, Unplaced), StateError> {
        let stored: Stored = framed::decode(MAGIC, bytes)?;
        Ok((Self::restore(&stored, keys)?, Unplaced::restore(stored.unplaced.as_ref(), keys)?))
    }

    pub(super) fn store(&self, keys: &LogKeys) -> Stored {
        Stored {
            vkey: self.head.key().to_string(),
            keys: vkeys(&keys.clone().with_further(self.signers())),
            head: self.head.signed().encode(),
            frontier: self.frontier.hashes().iter().map(Hash::to_base64).collect(),
            older: self.older.iter().map(|head| head.signed().encode()).collect(),
            shown: self.shown,
            unplaced: None,
        }
    }

    /// The file is what some monitor wrote: what does not fit is a matter of the keys.
    pub(super) fn restore(stored: &Stored, keys: &LogKeys) -> Result<Self, StateError> {
        let keys = trusted(&stored.keys, keys)?;
        let head = verified(&stored.head, &keys)?.ok_or_else(|| StateError::OtherKey(stored.vkey.clone()))?;
        let frontier = frontier(head.size(), &stored.frontier)?;
        let mut older = Vec::new();
        for note in &stored.older {
            // Heads by a key that is not known any more can no longer be of use.
            older.extend(verified(note, &keys)?);
        }
        let state = Self::first(head, frontier).ok_or_else(|| damaged("its frontier is not its head's"))?;
        Ok(Self { older, shown: stored.shown, ..state })
    }
}

/// Keys as they stand in a file.
pub(super) fn vkeys(keys: &LogKeys) -> Vec<String> {
    keys.as_slice().iter().map(VerifierKey::to_string).collect()
}

/// The keys that heads in a file of ours are verified with: those that are given, and those of the file, if one of the
/// given is among them. Then whoever gave that one gave the others with it, or gave them before, and they are the log's.
pub(super) fn trusted(stored: &[String], given: &LogKeys) -> Result<LogKeys, StateError> {
    let stored: Vec<VerifierKey> = stored.iter().map(|key| key.parse().map_err(damaged)).collect::<Result<_, _>>()?;
    let is_known = stored.iter().any(|key| given.as_slice().contains(key));
    Ok(if is_known { given.clone().with_further(&stored) } else { given.clone() })
}

/// A head from a file of ours; `None` if none of the keys has signed it.
pub(super) fn verified(note: &str, keys: &LogKeys) -> Result<Option<VerifiedCheckpoint>, StateError> {
    let signed = SignedCheckpoint::parse(note.as_bytes()).map_err(damaged)?;
    Ok(keys.verify(&signed).ok())
}

/// The right edge of a tree from a file of ours.
pub(super) fn frontier(size: TreeSize, hashes: &[String]) -> Result<Frontier, StateError> {
    let hashes = hashes.iter().map(|text| Hash::from_base64(text)).collect::<Result<_, _>>();
    Frontier::from_parts(size, hashes.map_err(damaged)?).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use cairn_tree::checkpoint::{Checkpoint, Origin};
    use cairn_tree::note::{SignatureType, SignerKey};

    use super::*;

    fn key(seed: u8) -> SignerKey {
        SignerKey::from_seed("log.example".parse().unwrap(), SignatureType::ED25519, &[seed; 32]).unwrap()
    }

    fn keys(seeds: &[u8]) -> LogKeys {
        LogKeys::new(seeds.iter().map(|&seed| key(seed).verifier_key().clone()).collect()).unwrap()
    }

    /// What was verified of an empty tree, signed by the key of this seed.
    fn state(seed: u8) -> State {
        let head = Checkpoint::new(Origin::from(key(seed).name()), TreeSize::ZERO, Hash::EMPTY_TREE);
        let head = keys(&[seed]).verify(&head.sign(&key(seed)).unwrap()).unwrap();
        State::first(head, Frontier::new()).unwrap()
    }

    #[test]
    fn a_key_that_was_given_together_with_another_one_may_be_left_out_later() {
        let nothing = Unplaced::default();
        let alone = state(1).encode(&nothing, &keys(&[1])).unwrap();
        let refused = State::decode(&alone, &keys(&[2])).unwrap_err();
        assert_eq!(refused, StateError::OtherKey(keys(&[1]).to_string()));
        let (both, _) = State::decode(&alone, &keys(&[2, 1])).unwrap();
        let both = both.encode(&nothing, &keys(&[2, 1])).unwrap();
        let (held, _) = State::decode(&both, &keys(&[2])).unwrap();
        assert!(State::decode(&both, &keys(&[3])).is_err());
        // And a further one after that, as long as each was given with the one before.
        let third = held.encode(&nothing, &keys(&[2, 3])).unwrap();
        assert!(State::decode(&third, &keys(&[3])).is_ok());
    }

    #[test]
    fn files_that_name_no_set_of_keys_are_read_with_the_key_that_signed() {
        let mut stored = state(1).store(&keys(&[1]));
        stored.keys.clear();
        assert!(State::restore(&stored, &keys(&[2, 1])).is_ok());
        assert!(State::restore(&stored, &keys(&[2])).is_err());
        let mut before = serde_json::to_value(&stored).unwrap();
        before.as_object_mut().unwrap().remove("keys");
        let read: Stored = serde_json::from_value(before).unwrap();
        assert_eq!(read.keys, Vec::<String>::new());
    }
}
