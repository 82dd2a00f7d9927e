//! Heads that the log signed and that are not known to be of our tree: it is held to each of them until one of the two is
//! shown to be the beginning of the other.
//!
//! A head comes here when what the log serves does not fit it, or can't be had. What is shown later is followed all the
//! same, for its tiles are what can tell: that a head is of our tree, which ends the matter, or that it is a fork. They
//! are kept over restarts, so that a log can't make anybody forget what it signed by no longer serving it.

use cairn_tree::checkpoint::{AvowedCheckpoint, LogKeys, SignedCheckpoint};
use cairn_tree::note::VerifierKey;
use cairn_tree::size::TreeSize;
use serde::{Deserialize, Serialize};

use super::evidence::Case;
use super::framed::damaged;
use super::reading::Reading;
use super::round::{Monitor, Round, contradiction};
use super::state::{self, StateError};
use crate::auditor::AuditError;
use crate::bounds;
use crate::fetch::shown;

/// Such heads, in the order in which they were shown.
///
/// Invariant: at most [`bounds::UNPLACED_HEADS`], of at most [`bounds::UNPLACED_BYTES`], and no two of one tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unplaced(Vec<Head>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    head: AvowedCheckpoint,
    /// What did not fit it, past caches, if anything did not.
    fault: Option<String>,
    standing: Standing,
}

/// How such a head stands to what we know.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// There was no proof to be had.
    Unproven,
    /// It extends what we know. Whether what comes next extends it too is to be seen.
    Ahead,
    /// They are a fork.
    Contradicts(Box<Case>),
}

/// A head that could not be compared with what we know.
#[derive(Debug, Clone, thiserror::Error)]
#[error("a head of {size} entries that the log signed can't be compared with what it shows: {error}")]
pub struct Uncompared {
    size: TreeSize,
    error: AuditError,
}

/// Such heads as they stand in a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    keys: Vec<String>,
    heads: Vec<StoredHead>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredHead {
    head: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

impl Unplaced {
    /// Whether the log is accused because of one of them.
    #[must_use]
    pub fn is_accusing(&self) -> bool {
        self.0.iter().any(Head::is_accusing)
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.0.len()
    }

    fn add(&mut self, head: &AvowedCheckpoint, fault: Option<String>) {
        if let Some(known) = self.of(head) {
            known.fault = known.fault.take().or(fault);
            return;
        }
        self.0.push(Head { head: head.bare(), fault, standing: Standing::Unproven });
        // The first ones stay, and what the log is accused of before what may yet explain itself.
        while self.is_too_much() {
            let last = self.0.iter().rposition(|head| !head.is_accusing());
            self.0.remove(last.unwrap_or(self.0.len() - 1));
        }
    }

    fn is_too_much(&self) -> bool {
        let bytes = || self.0.iter().map(|head| head.head.signed().encode().len()).sum::<usize>();
        self.0.len() > bounds::UNPLACED_HEADS || bytes() > bounds::UNPLACED_BYTES
    }

    fn of(&mut self, head: &AvowedCheckpoint) -> Option<&mut Head> {
        self.0.iter_mut().find(|known| known.head.tree() == head.tree())
    }

    /// Those that may have something to say about a tree of this size.
    fn due(&self, newest: TreeSize) -> Vec<AvowedCheckpoint> {
        let is_due = |head: &&Head| match head.standing {
            Standing::Unproven => true,
            Standing::Ahead => head.head.size() <= newest,
            Standing::Contradicts(_) => false,
        };
        self.0.iter().filter(is_due).map(|head| head.head.clone()).collect()
    }

    /// For a file; `None` if there is nothing to say.
    pub(super) fn store(&self, keys: &LogKeys) -> Option<Stored> {
        let signers = self.0.iter().flat_map(|head| head.head.keys());
        let keys = state::vkeys(&keys.clone().with_further(signers));
        let store = |head: &Head| StoredHead { head: head.head.signed().encode(), fault: head.fault.clone() };
        (!self.0.is_empty()).then(|| Stored { keys, heads: self.0.iter().map(store).collect() })
    }

    pub(super) fn restore(stored: Option<&Stored>, keys: &LogKeys) -> Result<Self, StateError> {
        let Some(stored) = stored else { return Ok(Self::default()) };
        let keys = state::trusted(&stored.keys, keys)?;
        let mut unplaced = Self::default();
        for StoredHead { head, fault } in &stored.heads {
            let signed = SignedCheckpoint::parse(head.as_bytes()).map_err(damaged)?;
            let other = || StateError::OtherKey(stored.keys.first().cloned().unwrap_or_default());
            unplaced.add(&keys.avowed(&signed).ok_or_else(other)?, fault.clone());
        }
        Ok(unplaced)
    }

    /// The keys that have signed them.
    pub(super) fn signers(&self) -> impl Iterator<Item = &VerifierKey> {
        self.0.iter().flat_map(|head| head.head.keys())
    }
}

impl Head {
    const fn is_accusing(&self) -> bool {
        self.fault.is_some() || matches!(self.standing, Standing::Contradicts(_))
    }
}

impl Monitor {
    /// Heads that the log signed and that are not known to be of our tree.
    #[must_use]
    pub const fn unplaced(&self) -> &Unplaced {
        &self.unplaced
    }

    /// What the log is accused of because of a head that it has shown before, whatever it shows now: a fork, or that
    /// nothing it served fits that head.
    #[must_use]
    pub fn standing_case(&self) -> Option<Case> {
        let heads = &self.unplaced.0;
        let fork = heads.iter().find_map(|head| match &head.standing {
            Standing::Contradicts(case) => Some((**case).clone()),
            Standing::Unproven | Standing::Ahead => None,
        });
        let misfit = |head: &Head| Some(self.misfit(&head.head, head.fault.clone()?));
        fork.or_else(|| heads.iter().find_map(misfit))
    }

    /// Holds the log to a head that could not be placed. `fault` says what did not fit it, past caches.
    pub(super) fn hold_to(&mut self, head: &impl AsRef<AvowedCheckpoint>, fault: Option<&str>) {
        let head = head.as_ref();
        let is_known = self.head_of(head.size()).is_some_and(|known| known.root() == head.root());
        if !is_known {
            self.unplaced.add(head, fault.map(shown));
        }
    }

    /// Looks how the heads that are not placed stand to the newest one.
    pub(super) async fn place_again(&mut self, round: &mut Round) {
        // Of a log that has gone back the larger tree can't be had.
        if round.stale.as_ref().is_some_and(|stale| !stale.placed) {
            return;
        }
        let Some(newest) = self.newest().cloned() else { return };
        let shown_now = [&round.checkpoint, &round.head];
        let is_shown = shown_now.into_iter().flatten().any(|shown| shown.tree() == newest.tree());
        let is_ours = self.state.is_none() || self.reading.as_ref().is_none_or(Reading::is_placed);
        for head in self.unplaced.due(newest.size()) {
            let (one, other) = (&head, newest.as_ref());
            let (smaller, larger) = if one.size() < other.size() { (one, other) } else { (other, one) };
            let compared = contradiction(&mut self.reader, smaller, larger).await;
            let is_ahead = head.size() > newest.size();
            let Some(held) = self.unplaced.of(&head) else { continue };
            match compared {
                Ok(Some(case)) => held.standing = Standing::Contradicts(Box::new(case)),
                // What is not known to be of our tree itself settles nothing.
                Ok(None) if !is_ours => {}
                Ok(None) if is_ahead => (held.fault, held.standing) = (None, Standing::Ahead),
                Ok(None) => self.unplaced.0.retain(|held| held.head.tree() != head.tree()),
                // Whoever shows a head must have its tiles. Those of one that is shown no more may be gone.
                Err(error) if error.is_misfit() && (is_ahead || is_shown) => {
                    held.fault = Some(shown(&error.to_string()));
                }
                Err(error) => {
                    round.uncompared.get_or_insert(Uncompared { size: head.size(), error });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_tree::checkpoint::{Checkpoint, Origin};
    use cairn_tree::hash::Hash;
    use cairn_tree::note::{SignatureType, SignedNote, SignerKey};

    use super::*;

    const ORIGIN: &str = "log.example";

    fn key() -> SignerKey {
        SignerKey::from_seed(ORIGIN.parse().unwrap(), SignatureType::ED25519, &[1; 32]).unwrap()
    }

    fn keys() -> LogKeys {
        LogKeys::try_from(key().verifier_key().clone()).unwrap()
    }

    fn head(size: u64, extension: usize) -> AvowedCheckpoint {
        let (origin, size) = (Origin::new(ORIGIN).unwrap(), TreeSize::new(size).unwrap());
        let text = Checkpoint::new(origin, size, Hash::new([1; 32])).text();
        let extension = if extension > 0 { format!("{}\n", "x".repeat(extension)) } else { String::new() };
        let note = SignedNote::sign(text + &extension, &[&key()]).unwrap();
        keys().avowed(&SignedCheckpoint::parse(note.encode().as_bytes()).unwrap()).unwrap()
    }

    fn sizes(unplaced: &Unplaced) -> Vec<u64> {
        unplaced.0.iter().map(|head| head.head.size().get()).collect()
    }

    #[test]
    fn the_first_ones_stay_and_those_that_accuse_before_all_others() {
        let most = bounds::UNPLACED_HEADS as u64;
        let mut unplaced = Unplaced::default();
        (1..=most).for_each(|size| unplaced.add(&head(size, 0), None));
        unplaced.add(&head(most + 1, 0), None);
        assert_eq!(sizes(&unplaced), (1..=most).collect::<Vec<_>>());
        unplaced.add(&head(most + 2, 0), Some("a fault".to_owned()));
        assert_eq!(sizes(&unplaced), (1..most).chain([most + 2]).collect::<Vec<_>>());
        // A fault that becomes known later counts as well, and the first one of a head stays.
        (1..most).for_each(|size| unplaced.add(&head(size, 0), Some(format!("fault {size}"))));
        unplaced.add(&head(1, 0), Some("another".to_owned()));
        unplaced.add(&head(most + 3, 0), Some("late".to_owned()));
        assert_eq!(sizes(&unplaced), (1..most).chain([most + 2]).collect::<Vec<_>>());
        assert_eq!(unplaced.0[0].fault.as_deref(), Some("fault 1"));
    }

    #[test]
    fn they_take_no_more_bytes_than_there_is_room_for() {
        let mut unplaced = Unplaced::default();
        (1..=4).for_each(|size| unplaced.add(&head(size, bounds::UNPLACED_BYTES / 3), None));
        assert_eq!(sizes(&unplaced), [1, 2]);
        let stored = unplaced.store(&keys());
        assert_eq!(Unplaced::restore(stored.as_ref(), &keys()).unwrap(), unplaced);
        assert_eq!(Unplaced::default().store(&keys()).is_none(), Unplaced::default().count() == 0);
    }
}
