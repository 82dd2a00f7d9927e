//! Whether a head that a peer shows and the newest that was cosigned are of one history, when their sizes differ.
//!
//! The log itself is asked for the tiles that tell, if its place is known, and they are proven to be of the larger of the
//! two trees. What can't be had is `unproven`: it says nothing against the log, and is asked for again later and later. Not
//! here: heads of one size (`fork`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_tree::checkpoint::{AvowedCheckpoint, OriginHash};
use cairn_tree::merkle::Root;
use cairn_tree::size::TreeSize;
use tokio::time::timeout;

use super::fork::Fork;
use super::log::Log;
use super::{Witness, bounds};
use crate::auditor::TileReader;
use crate::bounds::{COMPARISON_TIME, LONGEST_WATCH_BACKOFF, PULL_TIMEOUT};
use crate::fetch::{LogUrl, Remote, Settings};
use crate::monitor::{Case, contradiction};

/// What came of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    /// One is the beginning of the other.
    Agrees,
    /// Neither is.
    Contradicts,
    /// There was no proof to be had.
    Unproven,
}

impl Compared {
    const fn name(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Contradicts => "contradicts",
            Self::Unproven => "unproven",
        }
    }
}

/// What is known of the heads of one peer: one per log, and when it is to be compared next. In memory only.
#[derive(Debug)]
pub(super) struct Standings {
    of_logs: HashMap<OriginHash, Standing>,
    /// The wait after the first comparison that could not be made.
    interval: Duration,
}

#[derive(Debug)]
struct Standing {
    tree: Root,
    /// The size of ours that it was compared with.
    ours: TreeSize,
    compared: Compared,
    /// Comparisons in a row that could not be made.
    unproven: u32,
    next: Option<Instant>,
}

impl Standings {
    pub(super) fn new(interval: Duration) -> Self {
        Self { of_logs: HashMap::new(), interval }
    }

    /// Whether a peer's head is to be compared with ours, which has this size.
    pub(super) fn is_due(&self, log: OriginHash, head: Root, ours: TreeSize, now: Instant) -> bool {
        if head.size == ours || head.size == TreeSize::ZERO || ours == TreeSize::ZERO {
            return false;
        }
        match self.of_logs.get(&log) {
            // Also for another head: a peer that has a new one each time does not make us ask more often.
            Some(Standing { compared: Compared::Unproven, next, .. }) => next.is_none_or(|next| now >= next),
            Some(standing) if standing.tree != head => true,
            Some(Standing { compared: Compared::Contradicts, .. }) => false,
            // What extends our tree is compared once more when our tree has grown past it.
            Some(standing) => standing.ours < head.size && head.size < ours,
            None => true,
        }
    }

    /// Notes what came of a comparison of a peer's head with ours of this size.
    pub(super) fn note(&mut self, log: OriginHash, (tree, ours): (Root, TreeSize), compared: Compared, now: Instant) {
        let before = self.of_logs.get(&log).map_or(0, |before| before.unproven);
        let unproven = if compared == Compared::Unproven { before.saturating_add(1) } else { 0 };
        let wait = self.interval.saturating_mul(1 << unproven.min(8)).min(LONGEST_WATCH_BACKOFF.max(self.interval));
        let next = now.checked_add(wait).filter(|_| unproven > 0);
        self.of_logs.insert(log, Standing { tree, ours, compared, unproven, next });
    }
}

/// A head of a log that a peer shows, beside the log as it is known.
pub(super) struct Comparison {
    pub(super) log: Arc<Log>,
    /// Where the log is.
    pub(super) url: LogUrl,
    pub(super) head: AvowedCheckpoint,
    /// Who shows it.
    pub(super) peer: LogUrl,
    /// What the waits between attempts are drawn from.
    pub(super) seed: u64,
}

impl Comparison {
    /// Compares, and does what is to be done about a fork.
    pub(super) async fn make(&self, witness: &Witness) -> Compared {
        let compared = self.compare(witness).await.unwrap_or(Compared::Unproven);
        witness.figures().compared(compared.name());
        compared
    }

    /// `None` if there was no proof to be had.
    async fn compare(&self, witness: &Witness) -> Option<Compared> {
        let last = self.log.last.as_ref()?;
        let ours: &AvowedCheckpoint = last.head().as_ref();
        let settings = Settings { token: None, timeout: PULL_TIMEOUT, seed: self.seed };
        let mut reader =
            TileReader::new(Arc::new(Remote::new(self.url.clone(), settings).ok()?), bounds::PROOF_FETCHES);
        let (smaller, larger) = if self.head.size() < ours.size() { (&self.head, ours) } else { (ours, &self.head) };
        let case = timeout(COMPARISON_TIME, contradiction(&mut reader, smaller, larger)).await.ok()?.ok()?;
        let Some(case) = case else { return Some(Compared::Agrees) };
        let Case::Fork { prefix: Some(prefix), .. } = case else { return None };
        let fork = Fork::between(ours.clone(), self.head.clone(), prefix, witness.now())?;
        witness.disproven(fork, &self.peer).await;
        Some(Compared::Contradicts)
    }
}

#[cfg(test)]
mod tests {
    use cairn_tree::checkpoint::Origin;
    use cairn_tree::hash::Hash;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn tree(entries: u64, root: &str) -> Root {
        Root { size: size(entries), hash: Hash::leaf(root.as_bytes()) }
    }

    fn size(size: u64) -> TreeSize {
        TreeSize::new(size).unwrap()
    }

    #[test]
    fn a_head_is_compared_once_and_again_when_ours_has_passed_it() {
        let log = OriginHash::of(&Origin::new("a").unwrap());
        let (mut standings, now) = (Standings::new(INTERVAL), Instant::now());
        assert!(
            !standings.is_due(log, tree(0, ""), size(5), now) && !standings.is_due(log, tree(5, "x"), size(0), now)
        );
        assert!(!standings.is_due(log, tree(5, "x"), size(5), now), "one size needs no proof");
        // Smaller than ours: settled.
        assert!(standings.is_due(log, tree(5, "x"), size(7), now));
        standings.note(log, (tree(5, "x"), size(7)), Compared::Agrees, now);
        assert!(!standings.is_due(log, tree(5, "x"), size(9), now));
        // Larger than ours: once more when ours is larger.
        assert!(standings.is_due(log, tree(20, "x"), size(9), now));
        standings.note(log, (tree(20, "x"), size(9)), Compared::Agrees, now);
        assert!(!standings.is_due(log, tree(20, "x"), size(15), now));
        assert!(standings.is_due(log, tree(20, "x"), size(21), now));
        standings.note(log, (tree(20, "x"), size(21)), Compared::Contradicts, now);
        assert!(!standings.is_due(log, tree(20, "x"), size(22), now));
    }

    #[test]
    fn what_can_not_be_proven_is_asked_for_later_and_later_whatever_the_peer_shows() {
        let log = OriginHash::of(&Origin::new("a").unwrap());
        let (mut standings, mut now) = (Standings::new(INTERVAL), Instant::now());
        let mut waits = Vec::new();
        for round in 0..8 {
            let head = tree(5 + round, "x");
            assert!(standings.is_due(log, head, size(50), now));
            standings.note(log, (head, size(50)), Compared::Unproven, now);
            let begun = now;
            while !standings.is_due(log, tree(6 + round, "y"), size(50), now) {
                now += Duration::from_secs(1);
            }
            waits.push((now - begun).as_secs());
        }
        assert_eq!(waits, [20, 40, 80, 160, 300, 300, 300, 300]);
    }
}
