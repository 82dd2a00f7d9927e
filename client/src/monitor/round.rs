//! One round of a monitor: the log's heads are fetched and judged, and what is new is read.

use std::sync::Arc;
use std::time::Duration;

use cairn_tree::checkpoint::VerifiedCheckpoint;
use cairn_tree::merkle::{Frontier, RootPlan};
use cairn_tree::note::VerifierKey;
use cairn_tree::size::TreeSize;

use super::evidence::Case;
use super::grow::{Progress, Reading, read_entries};
use super::state::State;
use crate::auditor::{self, AuditError, TileReader};
use crate::fetch::{Freshness, HeadKind, Remote};

/// How much of the log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Every entry is fetched and hashed.
    Entries,
    /// Only that each head extends the last, from tiles.
    Heads,
}

/// Follows one log.
pub struct Monitor {
    pub(super) remote: Arc<Remote>,
    pub(super) reader: TileReader,
    pub(super) state: Option<State>,
    key: VerifierKey,
    parallel: usize,
    depth: Depth,
}

/// What a round without contradiction found.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// The tree grew, from the first size to the second.
    pub grown: Option<(TreeSize, TreeSize)>,
    /// A resource showed a smaller head than before.
    pub stale: Option<Stale>,
}

/// A smaller head than the same resource has shown before.
#[derive(Debug, Clone)]
pub struct Stale {
    /// Where it was shown.
    pub kind: HeadKind,
    /// The head.
    pub head: VerifiedCheckpoint,
    /// Whether it is known to be of our tree when that was smaller. A log that has gone back may not serve what is
    /// needed to know.
    pub placed: bool,
}

/// Why a round did not end well.
#[derive(Debug)]
pub enum RoundError {
    /// Something was not verified; nothing is known against the log.
    Unverified(AuditError),
    /// The log contradicts what it signed.
    Contradiction(Box<Case>),
}

impl From<AuditError> for RoundError {
    fn from(error: AuditError) -> Self {
        Self::Unverified(error)
    }
}

impl From<Case> for RoundError {
    fn from(case: Case) -> Self {
        Self::Contradiction(Box::new(case))
    }
}

impl Monitor {
    /// A monitor that goes on from what is known, if anything is.
    #[must_use]
    pub fn new(remote: Arc<Remote>, key: VerifierKey, state: Option<State>, depth: Depth, parallel: usize) -> Self {
        let reader = TileReader::new(Arc::clone(&remote), parallel);
        Self { remote, reader, state, key, parallel, depth }
    }

    /// What is known by now.
    #[must_use]
    pub const fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// The log's key.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Fetches the log's heads, judges them, and reads what is new. `progress` is told how many new entries are read.
    ///
    /// What is known changes only with what was verified, also when the round ends in an error.
    ///
    /// # Errors
    /// [`RoundError`].
    pub async fn round(
        &mut self,
        freshness: Freshness,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Round, RoundError> {
        let mut heads = vec![(
            HeadKind::Checkpoint,
            auditor::head(&self.remote, &self.key, HeadKind::Checkpoint, freshness).await?,
        )];
        match auditor::head(&self.remote, &self.key, HeadKind::Head, freshness).await {
            Ok(head) => heads.push((HeadKind::Head, head)),
            // Only Cairn's logs have this resource.
            Err(AuditError::Fetch(error)) if error.is_absent() => {}
            Err(error) => return Err(error.into()),
        }
        // From the smaller to the larger, so that a fork between the two is found as one.
        heads.sort_by_key(|(_, head)| head.size());
        let mut round = Round::default();
        for (kind, head) in heads {
            self.judge(kind, head, &mut round, freshness, progress).await?;
        }
        Ok(round)
    }

    /// The case of a log that has gone back, after `passed` of nothing but `stale` heads.
    #[must_use]
    pub fn rollback(&self, stale: &Stale, passed: Duration) -> Option<Case> {
        let state = self.state.as_ref()?;
        // What this very resource has shown, if it is remembered: the other one may rightly be ahead of it.
        let largest = TreeSize::new(state.shown().largest(stale.kind)).ok();
        let larger = largest.and_then(|size| state.head_of(size)).unwrap_or(state.head()).signed().encode();
        let smaller = stale.head.signed().encode();
        Some(Case::Rollback { larger, smaller, resource: stale.kind, seconds: passed.as_secs() })
    }

    async fn judge(
        &mut self,
        kind: HeadKind,
        head: VerifiedCheckpoint,
        round: &mut Round,
        freshness: Freshness,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), RoundError> {
        let size = head.size();
        let known = self.state.as_ref().map(State::root);
        match known {
            Some(known) if size < known.size => {
                let largest = self.state.as_ref().map_or(0, |state| state.shown().largest(kind));
                let went_back = size.get() < largest;
                let placed = match self.place(&head).await {
                    Ok(()) => true,
                    // Of a log that has gone back the larger tree can no longer be had; the caller's patience decides.
                    Err(RoundError::Unverified(_)) if went_back => false,
                    Err(error) => return Err(error),
                };
                if went_back {
                    round.stale.get_or_insert(Stale { kind, head, placed });
                }
            }
            Some(known) if size == known.size => {
                if let Some(state) = &self.state
                    && head.root() != known.hash
                {
                    return Err(Case::fork_at_one_size(state.head(), &head).into());
                }
            }
            _ => {
                let from = known.map_or(TreeSize::ZERO, |known| known.size);
                self.grow(head, freshness, progress).await?;
                round.grown = Some((round.grown.map_or(from, |(first, _)| first), size));
            }
        }
        if let Some(state) = &mut self.state {
            state.note_shown(kind, size);
        }
        Ok(())
    }

    /// Shows that a smaller head is of our tree when it was smaller.
    async fn place(&mut self, head: &VerifiedCheckpoint) -> Result<(), RoundError> {
        let Some(state) = &self.state else { return Ok(()) };
        if let Some(same_size) = state.head_of(head.size()) {
            return if same_size.root() == head.root() {
                Ok(())
            } else {
                Err(Case::fork_at_one_size(same_size, head).into())
            };
        }
        let larger = state.head().clone();
        let tree = larger.tree();
        let ours = self.reader.root_at(head.size(), tree, Freshness::AnyCache).await?;
        if ours.hash == head.root() {
            return Ok(());
        }
        let proof = self.reader.consistency(head.size(), tree, Freshness::AnyCache).await?;
        Err(Case::fork(head, &larger, ours.hash, &proof).into())
    }

    /// Extends what is known to a larger head.
    async fn grow(
        &mut self,
        head: VerifiedCheckpoint,
        freshness: Freshness,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), RoundError> {
        let grown = match self.depth {
            Depth::Entries => self.read(&head, freshness, progress).await?,
            Depth::Heads => self.extend_by_tiles(&head, freshness).await?,
        };
        self.state = Some(grown);
        Ok(())
    }

    async fn read(
        &mut self,
        head: &VerifiedCheckpoint,
        freshness: Freshness,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<State, RoundError> {
        let known = self.state.as_ref().map_or_else(Frontier::new, |state| state.frontier().clone());
        let total = head.size().get() - known.size().get();
        // A cache on the way may be broken where the log is not: whatever does not fit is asked for once more, past
        // caches.
        for freshness in [freshness, Freshness::PastCaches] {
            let reading = Reading { to: head.size(), freshness, parallel: self.parallel };
            let mut report = |done: u64| progress(done, total);
            match read_entries(&self.remote, known.clone(), reading, Progress(&mut report)).await {
                Ok(frontier) => {
                    if let Some(state) = self.next_state(head, frontier) {
                        return Ok(state);
                    }
                }
                Err(error) if error.is_misfit() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(self.diagnose(head).await)
    }

    async fn extend_by_tiles(&mut self, head: &VerifiedCheckpoint, freshness: Freshness) -> Result<State, RoundError> {
        let tree = head.tree();
        for freshness in [freshness, Freshness::PastCaches] {
            match self.frontier_from_tiles(tree, freshness).await {
                Ok(Some(frontier)) => {
                    if let Some(state) = self.next_state(head, frontier) {
                        return Ok(state);
                    }
                }
                Ok(None) => {}
                Err(error) if error.is_misfit() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(self.diagnose(head).await)
    }

    /// The frontier of a signed tree, or `None` if the tree does not extend ours.
    async fn frontier_from_tiles(
        &mut self,
        tree: cairn_tree::merkle::Root,
        freshness: Freshness,
    ) -> Result<Option<Frontier>, AuditError> {
        if let Some(known) = self.state.as_ref().map(State::root)
            && self.reader.root_at(known.size, tree, freshness).await? != known
        {
            return Ok(None);
        }
        let plan = RootPlan::tree(tree.size);
        let tiles = self.reader.prove(plan.nodes(), tree, freshness).await?;
        Ok(Frontier::from_parts(tree.size, tiles.hashes(plan.nodes())?).ok())
    }

    fn next_state(&self, head: &VerifiedCheckpoint, frontier: Frontier) -> Option<State> {
        match &self.state {
            Some(state) => state.grown(head.clone(), frontier),
            None => State::first(head.clone(), frontier),
        }
    }
}
