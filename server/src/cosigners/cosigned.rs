//! A head of the log with the cosignatures that it has got so far.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_tree::checkpoint::SignedCheckpoint;
use tokio::time::Instant;

use super::exchange::Line;
use crate::engine::{Head, LogPolicy};

/// Each cosignature in it was verified.
#[derive(Debug, Clone)]
pub(super) struct Cosigned {
    /// The head; its note need not be [`Cosigned::note`].
    pub(super) head: Arc<Head>,
    /// The newest cosignature of each witness of the policy, and since when it is known here.
    lines: Vec<Known>,
    note: Bytes,
}

#[derive(Debug, Clone)]
struct Known {
    line: Line,
    since: Instant,
}

/// What a cosignature is beside those that are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// It is newer, and was taken.
    Taken,
    /// It is as old as the one that is here, which was made so lately that the same second may have gone on.
    Same,
    /// It is no newer than one that has been here for longer.
    Old,
}

/// Cosignatures have whole seconds: one that was made so shortly after another may bear its time.
const SAME_SECOND: Duration = Duration::from_secs(2);

impl Cosigned {
    /// A head that nobody has cosigned yet.
    pub(super) fn bare(head: Arc<Head>) -> Self {
        let note = head.note.clone();
        Self { head, lines: Vec::new(), note }
    }

    /// A checkpoint as it is published, with the cosignatures that it brings for this policy.
    pub(super) fn published(checkpoint: Arc<Head>, policy: &LogPolicy, now: Instant) -> Self {
        let mut lines = Vec::new();
        if let Ok(signed) = SignedCheckpoint::parse(&checkpoint.note) {
            for (witness, known) in policy.policy().witnesses().iter().enumerate() {
                for line in signed.note().signatures() {
                    if let Ok(Some(time)) = known.key().verify_line(&signed, line) {
                        let line = Line { witness, own: false, line: line.clone(), time };
                        lines.push(Known { line, since: now });
                    }
                }
            }
        }
        let note = checkpoint.note.clone();
        Self { head: checkpoint, lines, note }
    }

    /// The same cosignatures on the same head, as the log signs it now.
    pub(super) fn with_head(&self, head: Arc<Head>) -> Self {
        let mut renewed = Self::bare(head);
        for known in &self.lines {
            renewed.take(known.clone());
        }
        renewed
    }

    /// Takes a cosignature, unless that of the same witness which is here is no older.
    pub(super) fn add(&mut self, line: Line, now: Instant) -> News {
        let known = self.lines.iter().find(|known| known.line.witness == line.witness);
        if let Some(known) = known.filter(|known| known.line.time >= line.time) {
            let lately = now.saturating_duration_since(known.since) < SAME_SECOND;
            return if lately && known.line.time == line.time { News::Same } else { News::Old };
        }
        // A note with too many signatures keeps those that it has.
        if self.take(Known { line, since: now }) { News::Taken } else { News::Same }
    }

    /// Puts a cosignature in the place of that of the same witness; `false` if it does not fit.
    fn take(&mut self, new: Known) -> bool {
        let Ok(signed) = SignedCheckpoint::parse(&self.note) else { return false };
        let Ok(signed) = signed.with_signature(new.line.line.clone()) else { return false };
        self.note = signed.encode().into_bytes().into();
        match self.lines.iter_mut().find(|known| known.line.witness == new.line.witness) {
            Some(known) => *known = new,
            None => self.lines.push(new),
        }
        true
    }

    /// Whether the quorum is met.
    pub(super) fn meets(&self, policy: &LogPolicy) -> bool {
        // Witnesses are asked for in the order of the policy.
        let mut numbers = 0..;
        policy.policy().is_met_by(|_| numbers.next().is_some_and(|number| self.has(number)))
    }

    /// Whether a witness has cosigned.
    pub(super) fn has(&self, witness: usize) -> bool {
        self.lines.iter().any(|known| known.line.witness == witness)
    }

    /// The head with its cosignatures, as it is published.
    pub(super) fn note(&self) -> Bytes {
        self.note.clone()
    }
}
