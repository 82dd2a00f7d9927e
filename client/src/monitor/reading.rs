//! Reading a tree that is larger than what is known, in as many rounds as it takes.
//!
//! What has been read is kept as a frontier under the signed head that it is read for, and it is proven to be the
//! beginning of that head's tree whenever a round ends before the tree does. So a reading can be kept, taken up again,
//! and aimed at a larger head, and a wrong entry is found in the round that reads it.

use cairn_tree::checkpoint::{AvowedCheckpoint, VerifiedCheckpoint};
use cairn_tree::merkle::{Frontier, Root, RootPlan};
use cairn_tree::size::TreeSize;

use super::evidence::Case;
use super::grow::{Progress, Span, read_entries};
use super::round::{Depth, Effort, Monitor, Round, RoundError, contradiction};
use super::state::{Shown, State};
use crate::auditor::AuditError;
use crate::bounds::TILE_WIDTH;
use crate::fetch::{Freshness, HeadKind};

/// A part of a signed tree that has been read.
///
/// Invariant: `head` is signed by the log, and the frontier is of a tree no larger than its.
#[derive(Debug, Clone)]
pub struct Reading {
    head: VerifiedCheckpoint,
    frontier: Frontier,
    /// What the log's resources have shown meanwhile.
    shown: Shown,
    /// Whether the head is known to extend the state's. If all is read in one round, the reading itself will tell.
    is_placed: bool,
}

impl Reading {
    /// Takes up a reading; `None` if more was read than the head has.
    #[must_use]
    pub fn new(head: VerifiedCheckpoint, frontier: Frontier, shown: Shown) -> Option<Self> {
        (frontier.size() <= head.size()).then_some(Self { head, frontier, shown, is_placed: false })
    }

    /// The signed head that is read for.
    #[must_use]
    pub const fn head(&self) -> &VerifiedCheckpoint {
        &self.head
    }

    /// The tree over what has been read.
    #[must_use]
    pub const fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// What the log's resources have shown meanwhile.
    #[must_use]
    pub const fn shown(&self) -> Shown {
        self.shown
    }

    /// Whether the head is known to extend the one that was verified.
    pub(super) const fn is_placed(&self) -> bool {
        self.is_placed
    }

    pub(super) fn note_shown(&mut self, kind: HeadKind, size: TreeSize) {
        self.shown.note(kind, size);
    }
}

impl Monitor {
    /// Sets out to read up to a head that is larger than all before. It is shown to extend them, unless one round will
    /// read it all and show that anyway.
    pub(super) async fn aim(&mut self, head: VerifiedCheckpoint, effort: Effort) -> Result<(), RoundError> {
        let known = self.state.as_ref().map_or_else(Frontier::new, |state| state.frontier().clone());
        let in_one_round = self.depth == Depth::Entries
            && self.reading.is_none()
            && end_of_round(known.size(), head.size(), effort.entries) == head.size();
        if !in_one_round
            && let Some(newest) = self.newest().cloned()
            && let Err(error) = self.extends(&newest, &head).await
        {
            self.hold_after(&head, &error);
            return Err(error);
        }
        self.reading = Some(match self.reading.take() {
            Some(reading) => Reading { head, ..reading },
            None => {
                let is_placed = !in_one_round || self.state.is_none();
                Reading { head, frontier: known, shown: Shown::default(), is_placed }
            }
        });
        Ok(())
    }

    /// Shows that the head which is being read extends what was verified, if that is not known yet. While that can't be
    /// shown, the head is signed by the log all the same, and the log is held to it.
    pub(super) async fn settle(&mut self) -> Result<(), RoundError> {
        let (Some(reading), Some(state)) = (&self.reading, &self.state) else { return Ok(()) };
        if reading.is_placed {
            return Ok(());
        }
        let (known, head) = (state.head().clone(), reading.head.clone());
        match self.extends(&known, &head).await {
            Ok(()) => {
                if let Some(reading) = &mut self.reading {
                    reading.is_placed = true;
                }
                Ok(())
            }
            Err(RoundError::Unverified(_)) => Ok(()),
            Err(contradiction) => {
                self.reading = None;
                self.hold_after(&head, &contradiction);
                Err(contradiction)
            }
        }
    }

    /// Holds the log to a head that could not be shown to be of our tree. A fork is held against it anyway.
    fn hold_after(&mut self, head: &VerifiedCheckpoint, error: &RoundError) {
        match error {
            RoundError::Contradiction(case) => match &**case {
                Case::Fork { .. } => {}
                Case::Misfit { fault, .. } => self.hold_to(head, Some(fault)),
                _ => self.hold_to(head, None),
            },
            RoundError::Unverified(_) => self.hold_to(head, None),
        }
    }

    /// Shows that a larger head extends one that is known.
    async fn extends(&mut self, known: &VerifiedCheckpoint, head: &VerifiedCheckpoint) -> Result<(), RoundError> {
        match contradiction(&mut self.reader, known, head).await {
            Ok(None) => Ok(()),
            Ok(Some(case)) => Err(case.into()),
            Err(error) if error.is_misfit() => Err(self.diagnose(head).await),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads on, up to the head that is aimed at or as far as the effort goes.
    pub(super) async fn advance(
        &mut self,
        effort: Effort,
        round: &mut Round,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<(), RoundError> {
        let Some(reading) = &self.reading else { return Ok(()) };
        let head = reading.head.clone();
        let read = match self.depth {
            Depth::Heads => self.read_tiles(&head, effort.freshness).await,
            Depth::Entries => self.read_on(&head, effort, progress).await,
        };
        if let Err(error @ RoundError::Contradiction(case)) = &read {
            self.part_with(&head, case, error);
        }
        let frontier = read?;
        round.unfinished = frontier.size() < head.size();
        let Some(reading) = &mut self.reading else { return Ok(()) };
        reading.frontier = frontier;
        if !round.unfinished
            && let Some(state) = self.next_state()
        {
            let from = self.state.as_ref().map_or(TreeSize::ZERO, |state| state.root().size);
            round.grown = Some((from, state.root().size));
            self.state = Some(state);
            self.reading = None;
        }
        Ok(())
    }

    /// Decides whether to read on for a head of which what is served does not fit, once something else is served.
    fn part_with(&mut self, head: &VerifiedCheckpoint, case: &Case, error: &RoundError) {
        let Some(reading) = &mut self.reading else { return };
        if matches!(case, Case::WrongEntry { .. }) {
            // It took a proof that the head extends what was verified to say so.
            reading.is_placed = true;
            return;
        }
        // Where nothing of a tree was ever had, there may be none.
        let is_known = reading.is_placed && (self.state.is_some() || reading.frontier.size() > TreeSize::ZERO);
        if !is_known {
            // What contradicts the verified past is never learnt. What does not fit is not read any more, so that what is
            // shown instead can be.
            self.reading = None;
            self.hold_after(head, error);
        }
    }

    /// Reads entries and returns the frontier after them, which is proven to be of the head's tree.
    async fn read_on(
        &mut self,
        head: &VerifiedCheckpoint,
        effort: Effort,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Frontier, RoundError> {
        let known = self.reading.as_ref().map_or_else(Frontier::new, |reading| reading.frontier.clone());
        let to = end_of_round(known.size(), head.size(), effort.entries);
        let total = head.size().get() - known.size().get();
        // A cache on the way may be broken where the log is not: whatever does not fit is asked for once more, past
        // caches.
        for freshness in [effort.freshness, Freshness::PastCaches] {
            let span = Span { to, of: head.size(), freshness, window: self.window };
            let mut report = |done: u64| progress(done, total);
            let read = match read_entries(&self.remote, known.clone(), span, Progress(&mut report)).await {
                Ok(frontier) => self.prove_part(frontier, head.tree(), freshness).await,
                Err(error) => Err(error),
            };
            match read {
                Ok(Some(frontier)) => return Ok(frontier),
                Ok(None) => {}
                Err(error) if error.is_misfit() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(self.diagnose(head).await)
    }

    /// The frontier again, if it is of the beginning of this tree.
    async fn prove_part(
        &mut self,
        frontier: Frontier,
        tree: Root,
        freshness: Freshness,
    ) -> Result<Option<Frontier>, AuditError> {
        let part = frontier.root();
        let expected = match part.size {
            size if size == tree.size => tree,
            TreeSize::ZERO => Root::EMPTY,
            size => self.reader.root_at(size, tree, freshness).await?,
        };
        Ok((part == expected).then_some(frontier))
    }

    async fn read_tiles(&mut self, head: &VerifiedCheckpoint, freshness: Freshness) -> Result<Frontier, RoundError> {
        let tree = head.tree();
        let plan = RootPlan::tree(tree.size);
        for freshness in [freshness, Freshness::PastCaches] {
            match self.reader.prove(plan.nodes(), tree, freshness).await {
                Ok(tiles) => {
                    let hashes = tiles.hashes(plan.nodes()).map_err(AuditError::from)?;
                    if let Ok(frontier) = Frontier::from_parts(tree.size, hashes)
                        && frontier.root() == tree
                    {
                        return Ok(frontier);
                    }
                }
                Err(error) if error.is_misfit() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(self.diagnose(head).await)
    }

    /// The state after all that is read.
    fn next_state(&self) -> Option<State> {
        let Reading { head, frontier, shown, .. } = self.reading.as_ref()?;
        let (head, frontier) = (head.clone(), frontier.clone());
        let state = match &self.state {
            Some(state) => state.grown(head, frontier),
            None => State::first(head, frontier),
        };
        state.map(|state| state.showing(*shown))
    }

    /// The case against a log whose tiles or entries fit no signed head.
    pub(super) fn misfit(&self, head: &impl AsRef<AvowedCheckpoint>, fault: String) -> Case {
        let previous = self.state.as_ref().map(|state| state.head().signed().encode());
        Case::Misfit { previous, head: head.as_ref().signed().encode(), fault }
    }
}

/// Where a round that may read so many entries ends: at the tree's end, or where a bundle does.
fn end_of_round(from: TreeSize, tree: TreeSize, entries: u64) -> TreeSize {
    let far = from.get().saturating_add(entries.max(TILE_WIDTH));
    if far >= tree.get() {
        return tree;
    }
    TreeSize::new(far - far % TILE_WIDTH).unwrap_or(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_ends_with_the_tree_or_with_a_whole_bundle_and_always_gets_on() {
        let size = |size| TreeSize::new(size).unwrap();
        for (from, tree, entries, end) in [
            (0, 0, 0, 0),
            (0, 10, 1, 10),
            (0, 1_000, 1, 256),
            (0, 1_000, 256, 256),
            (0, 1_000, 600, 512),
            (300, 1_000, 256, 512),
            (300, 1_000, 700, 1_000),
            (300, 1_000, u64::MAX, 1_000),
        ] {
            assert_eq!(end_of_round(size(from), size(tree), entries), size(end), "{from} {tree} {entries}");
        }
    }
}
