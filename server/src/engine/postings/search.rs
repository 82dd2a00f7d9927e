//! Finding leaves that have all of some prints, newest first, part by part: segments and runs cover ranges of leaves that
//! do not meet, so a leaf's postings are all in one of them.

use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::store::{LogId, Store};

use super::LiveRun;
use super::memory::Segment;
use super::print::Print;
use super::walk::{RunWalk, Walk, Work};
use crate::engine::stored::ReadError;

/// Some of the leaves that were asked for, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Their indexes.
    pub hits: Vec<LeafIndex>,
    /// Where to go on, if there may be more: everything from there up is settled. Given back as `below`.
    pub next: Option<TreeSize>,
}

/// A search on its way from the newest part to the oldest.
#[derive(Clone)]
pub(super) struct Search {
    /// The last one that a part did not have stands first.
    prints: Vec<Print>,
    most: usize,
    work: Work,
    /// What was asked for.
    asked: u64,
    /// Everything from here up is settled.
    below: u64,
    hits: Vec<u64>,
    stopped: bool,
}

impl Search {
    pub(super) fn new(prints: &[Print], below: u64, most: usize, work: Work) -> Self {
        let stopped = prints.is_empty() || most == 0;
        Self { prints: prints.to_vec(), most, work, asked: below, below, hits: Vec::new(), stopped }
    }

    /// Looks through a segment.
    pub(super) fn segment(&mut self, segment: &Segment) {
        if !self.enters(segment.start()) {
            return;
        }
        let walks: Option<Vec<_>> = self.prints.iter().map(|print| segment.walk(*print)).collect();
        // A segment is in memory, and reading it does not fail.
        let done = walks.map_or(Ok(()), |mut walks| self.leapfrog(&mut walks, segment.start()));
        if done.is_ok() && !self.stopped {
            self.below = segment.start();
        }
    }

    /// Looks through a run.
    pub(super) fn run(&mut self, store: &dyn Store, log: LogId, live: &LiveRun) -> Result<(), ReadError> {
        if !self.enters(live.run.start) {
            return Ok(());
        }
        if let Some(mut walks) = self.walks(store, log, live)? {
            self.leapfrog(&mut walks, live.run.start)?;
        }
        if !self.stopped {
            self.below = live.run.start;
        }
        Ok(())
    }

    /// What was found.
    pub(super) fn page(self) -> Page {
        let next = TreeSize::new(self.below).ok().filter(|next| self.stopped && *next > TreeSize::ZERO);
        let hits = self.hits.into_iter().filter_map(|index| LeafIndex::new(index).ok()).collect();
        Page { hits, next: next.filter(|_| !self.prints.is_empty() && self.most > 0) }
    }

    /// Whether the part that begins at `start` may have more. Each search gets some way, however little work it may do.
    fn enters(&mut self, start: u64) -> bool {
        self.stopped |= self.work.is_done() && self.below < self.asked;
        !self.stopped && start < self.below
    }

    /// A walk for each print; none if the run lacks one of them.
    fn walks<'a>(
        &mut self,
        store: &'a dyn Store,
        log: LogId,
        live: &LiveRun,
    ) -> Result<Option<Vec<RunWalk<'a>>>, ReadError> {
        if !self.prints.iter().all(|print| live.may_have(*print)) {
            return Ok(None);
        }
        let mut walks = Vec::with_capacity(self.prints.len());
        for (place, print) in self.prints.iter().enumerate() {
            match RunWalk::begin(store, log, (&live.run, *print), self.below - 1, &mut self.work)? {
                Some(walk) => walks.push(walk),
                None => {
                    // It may well be rare: the next run is asked for it first.
                    if let Some(first) = self.prints.get_mut(..=place) {
                        first.rotate_right(1);
                    }
                    return Ok(None);
                }
            }
        }
        // The rarest is asked first, as far as its first block tells: so the others are asked for less.
        walks.sort_by(RunWalk::rarer);
        Ok(Some(walks))
    }

    /// Finds what all walks have from `start` on. One that has nothing between the last candidate and its own next index
    /// makes that the candidate, and is asked first from then on: so the rarest print leads, and the others skip what it
    /// does not have.
    fn leapfrog(&mut self, walks: &mut [impl Walk], start: u64) -> Result<(), ReadError> {
        'candidates: while self.below > start {
            if self.work.is_done() && self.below < self.asked {
                self.stopped = true;
                return Ok(());
            }
            let at = self.below - 1;
            let mut low = start;
            for place in 0..walks.len() {
                let Some(walk) = walks.get_mut(place) else { break };
                let Some(span) = walk.seek(at, &mut self.work)? else {
                    self.below = start;
                    return Ok(());
                };
                if span.high < at {
                    self.below = span.high + 1;
                    // The others stay in their order.
                    if let Some(asked) = walks.get_mut(..=place) {
                        asked.rotate_right(1);
                    }
                    continue 'candidates;
                }
                low = low.max(span.low);
            }
            for index in (low..=at).rev() {
                self.hits.push(index);
                self.below = index;
                if self.hits.len() >= self.most {
                    self.stopped = true;
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
