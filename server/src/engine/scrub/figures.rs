//! What the scrubber tells of itself, for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Counters since the start, and where it is.
#[derive(Debug, Default)]
pub struct ScrubFigures {
    pub(super) bytes: AtomicU64,
    pub(super) entries: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) record_findings: AtomicU64,
    pub(super) returned: AtomicU64,
    pub(super) passes: AtomicU64,
    pub(super) findings: AtomicU64,
    pub(super) dismissed: AtomicU64,
    pub(super) unreadable: AtomicU64,
    pub(super) since_ms: AtomicU64,
    pub(super) position: Mutex<Option<(String, u64)>>,
}

/// The same at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrubState {
    /// Bytes that were read.
    pub bytes: u64,
    /// Entries that were hashed.
    pub entries: u64,
    /// Records whose disclosures were compared with their leaves.
    pub records: u64,
    /// Disclosures of which was found first here that they are not what they must be.
    pub record_findings: u64,
    /// Disclosures that were there again though they were erased.
    pub returned: u64,
    /// Passes that became whole.
    pub passes: u64,
    /// Damage that was found.
    pub findings: u64,
    /// Suspicions that a second reading past the caches did not confirm.
    pub dismissed: u64,
    /// Places that the system could not read.
    pub unreadable: u64,
    /// When the last whole pass ended, or, before there was one, when the first was begun; milliseconds since the epoch.
    pub since_ms: u64,
    /// The log that is being read, and how many of its entries were.
    pub position: Option<(String, u64)>,
}

impl ScrubFigures {
    /// What they are now.
    #[must_use]
    pub fn state(&self) -> ScrubState {
        ScrubState {
            bytes: self.bytes.load(Relaxed),
            entries: self.entries.load(Relaxed),
            records: self.records.load(Relaxed),
            record_findings: self.record_findings.load(Relaxed),
            returned: self.returned.load(Relaxed),
            passes: self.passes.load(Relaxed),
            findings: self.findings.load(Relaxed),
            dismissed: self.dismissed.load(Relaxed),
            unreadable: self.unreadable.load(Relaxed),
            since_ms: self.since_ms.load(Relaxed),
            position: self.position.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    pub(super) fn at(&self, position: Option<(String, u64)>) {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = position;
    }
}
