//! A head of the log with the cosignatures that it has got so far.

use std::sync::Arc;

use bytes::Bytes;
use cairn_tree::checkpoint::SignedCheckpoint;

use super::exchange::Line;
use crate::engine::{Head, LogPolicy};

/// Each cosignature in it was verified.
#[derive(Debug, Clone)]
pub(super) struct Cosigned {
    /// The head; its note need not be [`Cosigned::note`].
    pub(super) head: Arc<Head>,
    /// The newest cosignature of each witness of the policy.
    lines: Vec<Line>,
    note: Bytes,
}

impl Cosigned {
    /// A head that nobody has cosigned yet.
    pub(super) fn bare(head: Arc<Head>) -> Self {
        let note = head.note.clone();
        Self { head, lines: Vec::new(), note }
    }

    /// A checkpoint as it is published, with the cosignatures that it brings for this policy.
    pub(super) fn published(checkpoint: Arc<Head>, policy: &LogPolicy) -> Self {
        let mut lines = Vec::new();
        if let Ok(signed) = SignedCheckpoint::parse(&checkpoint.note) {
            for (witness, known) in policy.policy().witnesses().iter().enumerate() {
                for line in signed.note().signatures() {
                    if let Ok(Some(time)) = known.key().verify_line(&signed, line) {
                        lines.push(Line { witness, line: line.clone(), time });
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
        for line in &self.lines {
            renewed.add(line.clone());
        }
        renewed
    }

    /// Adds a cosignature; `false` if an older one of the same witness is no older.
    pub(super) fn add(&mut self, line: Line) -> bool {
        let known = self.lines.iter().position(|known| known.witness == line.witness);
        if known.and_then(|at| self.lines.get(at)).is_some_and(|known| known.time >= line.time) {
            return false;
        }
        let Ok(signed) = SignedCheckpoint::parse(&self.note) else { return false };
        // A note with too many signatures keeps those that it has.
        let Ok(signed) = signed.with_signature(line.line.clone()) else { return false };
        self.note = signed.encode().into_bytes().into();
        match known.and_then(|at| self.lines.get_mut(at)) {
            Some(known) => *known = line,
            None => self.lines.push(line),
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
        self.lines.iter().any(|line| line.witness == witness)
    }

    /// The head with its cosignatures, as it is published.
    pub(super) fn note(&self) -> Bytes {
        self.note.clone()
    }
}
