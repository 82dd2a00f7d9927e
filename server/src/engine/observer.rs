//! What the engine tells about its work, for metrics. It neither waits for an observer nor asks it anything.

use std::time::Duration;

use cairn_tree::store::LogId;

/// The figures of one commit.
#[derive(Debug, Clone, Copy, Default)]
pub struct CommitFigures {
    /// Requests that were answered by it.
    pub requests: usize,
    /// Entries that it appended, over all logs.
    pub entries: usize,
    /// Bytes of those entries.
    pub bytes: usize,
    /// Logs that got a new head.
    pub logs: usize,
    /// Deciding about the requests, placing their entries and making the rows.
    pub admit: Duration,
    /// The synced write of the batch; of a large one beside the steps above of the next commit.
    pub store: Duration,
    /// Reading back and hashing again, beside the next commit's steps above.
    pub check: Duration,
    /// Signing, likewise.
    pub sign: Duration,
    /// The synced write of the high-water, likewise.
    pub high_water: Duration,
    /// From the write to the last answer, waiting included.
    pub whole: Duration,
}

/// Is told what happens, on the sequencer's threads: it must be quick.
pub trait Observer: Send + Sync {
    /// A commit was released.
    fn committed(&self, figures: &CommitFigures);
    /// A log was halted, and why.
    fn halted(&self, log: LogId, reason: &str);
    /// The engine can't go on, and why; the process is to end.
    fn poisoned(&self, reason: &str);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn committed(&self, _: &CommitFigures) {}
    fn halted(&self, _: LogId, _: &str) {}
    fn poisoned(&self, _: &str) {}
}
