//! What others were shown of the same log: compared with what we know, with proofs from the log itself.
//!
//! A head comes here as one that the log can be held to: one of its keys has signed it. It is never taken for what is
//! known. One head per peer is held at a time, one comparison per peer is
//! made in a step, and what can't be shown either way is asked for again later and later. A peer that lies is not heard
//! at all, and one that floods or replays is asked no more often for it.

use std::time::{Duration, Instant};

use cairn_tree::checkpoint::{AvowedCheckpoint, VerifiedCheckpoint};
use cairn_tree::size::TreeSize;

use super::super::evidence::Case;
use super::super::round::contradiction;
use super::{Event, Follower, Now};
use crate::bounds;

/// What one peer was shown.
#[derive(Debug)]
pub struct Rumour {
    peer: String,
    head: AvowedCheckpoint,
    standing: Standing,
    /// Since when the log has kept it from us, past caches.
    withheld_since: Option<Instant>,
    /// Comparisons that could not be made, and when to try again.
    unproven: u32,
    next: Option<Instant>,
}

/// How a peer's head stands to what we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Not compared, or there was no proof to be had.
    Unproven,
    /// One is the beginning of the other.
    Agrees,
    /// They are a fork.
    Contradicts,
}

/// What became of a peer's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It is held, and compared in the next step.
    Taken,
    /// The one before it is not settled yet.
    Busy,
}

impl Follower {
    /// Hears a head that a peer was shown, signed by one of the log's keys.
    pub fn hear(&mut self, peer: &str, head: AvowedCheckpoint) -> Heard {
        let newest = self.monitor.newest().map_or(TreeSize::ZERO, VerifiedCheckpoint::size);
        if let Some(held) = self.rumours.iter_mut().find(|rumour| rumour.peer == peer) {
            // The time for which the log withholds a head counts for that head, not for its successors.
            if held.head.size() > newest {
                return Heard::Busy;
            }
            if held.head.tree() == head.tree() {
                return Heard::Taken;
            }
        }
        self.rumours.retain(|rumour| rumour.peer != peer);
        if self.rumours.len() >= bounds::GOSSIP_PEERS {
            return Heard::Busy;
        }
        let peer = peer.to_owned();
        self.rumours.push(Rumour {
            peer,
            head,
            standing: Standing::Unproven,
            withheld_since: None,
            unproven: 0,
            next: None,
        });
        Heard::Taken
    }

    /// The heads of peers that could not be compared so far.
    #[must_use]
    pub fn unproven(&self) -> usize {
        self.rumours.iter().filter(|rumour| rumour.unproven > 0 && rumour.standing == Standing::Unproven).count()
    }

    fn withheld_after(&self) -> Duration {
        let patience = if self.has_head { self.rules.stale_after } else { bounds::WITHHELD_AFTER };
        self.rules.withheld_after.unwrap_or(patience)
    }

    /// Whether somebody was shown more than we were.
    pub(super) fn is_waiting(&self) -> bool {
        let newest = self.monitor.newest().map_or(TreeSize::ZERO, VerifiedCheckpoint::size);
        let keys = self.monitor.keyring();
        self.rumours.iter().any(|rumour| rumour.head.size() > newest && keys.speaks_for_the_log(&rumour.head))
    }

    /// The case of a log that keeps a head from us for longer than it may. A round past caches was made just now.
    pub(super) fn withheld(&mut self, now: Now) -> Option<Case> {
        let (newest, patience) = (self.monitor.newest()?.clone(), self.withheld_after());
        let mut case = None;
        let keys = self.monitor.keyring();
        for rumour in &mut self.rumours {
            // What a thief of a retired key signs is not the log's to show.
            if rumour.head.size() <= newest.size() || !keys.speaks_for_the_log(&rumour.head) {
                rumour.withheld_since = None;
                continue;
            }
            let since = *rumour.withheld_since.get_or_insert(now.instant);
            let passed = now.instant.saturating_duration_since(since);
            if passed >= patience {
                case = Some(Case::Withheld {
                    seen: rumour.head.signed().encode(),
                    shown: newest.signed().encode(),
                    peer: rumour.peer.clone(),
                    seconds: passed.as_secs(),
                });
            }
        }
        case
    }

    /// Compares what peers were shown with what we know, as far as that is due.
    pub(super) async fn compare(&mut self, now: Now, events: &mut Vec<Event>) {
        let Some(newest) = self.monitor.newest().cloned() else { return };
        let mut rumours = core::mem::take(&mut self.rumours);
        for rumour in &mut rumours {
            let is_due = rumour.next.is_none_or(|next| now.instant >= next);
            let is_ahead = rumour.head.size() > newest.size();
            // What extends our tree is compared once more when our tree has grown past it.
            if !is_due || is_ahead && rumour.standing == Standing::Agrees {
                continue;
            }
            if let Some(case) = self.compare_one(rumour, &newest, now).await {
                self.note(format!("{} {} was shown {}", now.wall, rumour.peer, super::words(&rumour.head)));
                self.raise(case, now, events);
            }
        }
        // A part of our tree is settled, and so is a fork.
        rumours.retain(|rumour| match rumour.standing {
            Standing::Unproven => true,
            Standing::Agrees => rumour.head.size() > newest.size(),
            Standing::Contradicts => false,
        });
        self.rumours = rumours;
    }

    async fn compare_one(&mut self, rumour: &mut Rumour, newest: &VerifiedCheckpoint, now: Now) -> Option<Case> {
        let (seen, ours) = (&rumour.head, newest.as_ref());
        let (smaller, larger) = if seen.size() < ours.size() { (seen, ours) } else { (ours, seen) };
        let compared = contradiction(&mut self.monitor.reader, smaller, larger);
        match tokio::time::timeout(bounds::COMPARISON_TIME, compared).await {
            Ok(Ok(case)) => {
                rumour.standing = if case.is_some() { Standing::Contradicts } else { Standing::Agrees };
                (rumour.unproven, rumour.next) = (0, None);
                case
            }
            Ok(Err(_)) | Err(_) => {
                rumour.standing = Standing::Unproven;
                rumour.unproven = rumour.unproven.saturating_add(1);
                let wait = bounds::GOSSIP_INTERVAL.saturating_mul(1 << rumour.unproven.min(8));
                rumour.next = now.instant.checked_add(wait.min(bounds::LONGEST_WATCH_BACKOFF));
                None
            }
        }
    }
}
