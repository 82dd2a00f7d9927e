//! The records among the entries of a pass: what they disclose is handed to whoever can tell whether it is their own. Before
//! that, whether there is what they are found by: without it a log passes for one that has no records.

use core::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use cairn_tree::store::{LogId, Store};

use super::check::Portion;
use super::damage::Place;
use super::pass::Pass;
use crate::engine::Log;
use crate::engine::head::Shared;
use crate::engine::records::{SECRET, is_record_of, lost, print_row};
use crate::engine::stored::{Stored, WIDTH};

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

/// Whether there is what a log's records are found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secret {
    There,
    /// It has no records, as far as its rows tell.
    Absent,
    /// It is damaged, or gone, or the system could not read it.
    Unreadable,
}

/// Reads the row that a log's records are found by.
pub(super) fn check_secret(store: &dyn Store, log: LogId) -> Portion {
    let mut portion = Portion::default();
    if let Err(error) = print_row(store, log) {
        portion.fault(Place::Rows(SECRET), None, &error);
    }
    portion
}

impl Pass<'_> {
    /// Has the records of some bundles checked, one bundle at a time, until it is to stop: at least one, so that a scrubber
    /// that is stopped again and again gets on. Returns the first entry that was not come to.
    pub(super) fn read_records(&self, log: &Arc<Shared>, entries: Range<u64>) -> u64 {
        let handle = Log { running: Arc::clone(self.running), shared: Arc::clone(log), is_of_crowd: false };
        let has_secret = self.has_secret(log);
        let mut from = entries.start;
        while from < entries.end {
            let (begun, number) = (Instant::now(), from / WIDTH);
            let end = entries.end.min((number + 1) * WIDTH);
            let is_damaged = |place| log.damage.get(place).is_some();
            // Of leaves that are not what was signed the disclosures tell nothing.
            let places = [Place::Bundle { number }, Place::Tile { level: 0, number }];
            if !places.into_iter().any(is_damaged) && has_secret != Secret::Unreadable {
                let checked = match has_secret {
                    Secret::There => self.records.check(&handle, from..end),
                    _ => self.look_for_records(log, from..end),
                };
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

    /// Whether a log has what its records are found by; what is damaged is told, and halts the log.
    fn has_secret(&self, log: &Arc<Shared>) -> Secret {
        let (store, id) = (&*self.running.reader.store, log.info.id);
        let mut portion = check_secret(store, id);
        if !portion.damage.is_empty() {
            portion = self.again(log, portion, || check_secret(store, id));
        }
        self.settle(Some(log), &portion);
        match print_row(store, id) {
            Ok(Some(_)) => Secret::There,
            Ok(None) => Secret::Absent,
            Err(_) => Secret::Unreadable,
        }
    }

    /// Tells of a record in a log that passes for one without records.
    fn look_for_records(&self, log: &Arc<Shared>, entries: Range<u64>) -> Checked {
        let mut checked = Checked::default();
        let (store, id) = (&*self.running.reader.store, log.info.id);
        let mut found = false;
        // What can't be read is told of where it is hashed.
        let _ = Stored::new(store, id).each_entry(entries, |_, entry| {
            checked.bytes += entry.len() as u64;
            found = found || is_record_of(&log.info.origin, entry);
            Ok(())
        });
        if found {
            self.running.rocks.forget_blocks();
            let mut portion = check_secret(store, id);
            if let Ok(None) = print_row(store, id) {
                portion.fault(Place::Rows(SECRET), None, &lost(id));
            }
            self.settle(Some(log), &portion);
        }
        checked
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
