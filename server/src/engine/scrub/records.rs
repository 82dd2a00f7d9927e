//! The records among the entries of a pass: what they disclose is handed to whoever can tell whether it is their own.

use core::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::damage::Place;
use super::pass::Pass;
use crate::engine::Log;
use crate::engine::head::Shared;
use crate::engine::stored::WIDTH;

/// What a range of entries gave.
#[derive(Debug, Default)]
pub struct Checked {
    /// Bytes of disclosures that were read.
    pub bytes: u64,
    /// Records that were opened.
    pub records: u64,
    /// Disclosures that are not what they must be, and of which nobody had told before.
    pub findings: u64,
    /// Disclosures that were there again though they were erased.
    pub returned: u64,
    /// What the system could not read: nothing is known of it.
    pub unreadable: Vec<String>,
}

/// Compares what records disclose with their leaves. Tells and writes down what it finds itself.
pub trait CheckRecords: Send + Sync {
    /// Checks the records among the entries in a range, which hash to what was signed.
    fn check(&self, log: &Log, range: Range<u64>) -> Checked;
}

/// Of a database whose records nobody looks at.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRecords;

impl CheckRecords for NoRecords {
    fn check(&self, _: &Log, _: Range<u64>) -> Checked {
        Checked::default()
    }
}

impl Pass<'_> {
    /// Has the records of some bundles checked, one bundle at a time, until it is to stop: at least one, so that a scrubber
    /// that is stopped again and again gets on. Returns the first entry that was not come to.
    pub(super) fn read_records(&self, log: &Arc<Shared>, entries: Range<u64>) -> u64 {
        let handle = Log { running: Arc::clone(self.running), shared: Arc::clone(log) };
        let mut from = entries.start;
        while from < entries.end {
            let (begun, number) = (Instant::now(), from / WIDTH);
            let end = entries.end.min((number + 1) * WIDTH);
            let is_damaged = |place| log.damage.get(place).is_some();
            // Of leaves that are not what was signed the disclosures tell nothing.
            let places = [Place::Bundle { number }, Place::Tile { level: 0, number }];
            if !places.into_iter().any(is_damaged) {
                let checked = self.records.check(&handle, from..end);
                self.count(log, &checked);
                self.pace.after(begun, checked.bytes, || self.running.sequencer.depth() > 0);
            }
            from = end;
            if self.pace.is_stopped() {
                break;
            }
        }
        from
    }

    fn count(&self, log: &Shared, checked: &Checked) {
        let figures = self.figures;
        figures.bytes.fetch_add(checked.bytes, Relaxed);
        figures.records.fetch_add(checked.records, Relaxed);
        figures.record_findings.fetch_add(checked.findings, Relaxed);
        figures.returned.fetch_add(checked.returned, Relaxed);
        for problem in &checked.unreadable {
            figures.unreadable.fetch_add(1, Relaxed);
            tracing::error!(log = %log.info.name, problem, "the scrubber could not read what records disclose");
        }
    }
}
