//! One pass over everything, from where the last one was interrupted.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use cairn_rocks::Swept;
use cairn_tree::store::StoreError;

use super::check::{Portion, check, check_edge};
use super::damage::{Damage, Place};
use super::figures::ScrubFigures;
use super::kept::{Keeper, Kept};
use super::pace::Pace;
use super::records::CheckRecords;
use crate::engine::Running;
use crate::engine::bounds::{REPLAY_BUNDLES, SCRUB_BYTES, SCRUB_INDEX_LEAVES};
use crate::engine::clock::Clock;
use crate::engine::head::Shared;
use crate::engine::index::{self, Way};
use crate::engine::judge::Judge;
use crate::engine::sequencer::Job;
use crate::engine::stored::{ReadError, Stored, WIDTH};
use crate::incidents::Incidents;

/// How often the position is kept.
const KEEP: Duration = Duration::from_secs(5);
/// How often an index is read before it counts as damaged.
const INDEX_TRIES: usize = 2;

pub(super) struct Pass<'a> {
    pub(super) running: &'a Arc<Running>,
    pub(super) pace: &'a Pace,
    pub(super) figures: &'a ScrubFigures,
    pub(super) clock: &'a dyn Clock,
    pub(super) keeper: &'a Keeper,
    pub(super) incidents: &'a Incidents,
    pub(super) records: &'a dyn CheckRecords,
}

impl Pass<'_> {
    pub(super) fn run(&self) {
        let mut kept = self.keeper.read();
        if kept.begun_ms == 0 {
            kept.begun_ms = self.clock.now_ms();
        }
        // What is read from here on comes from the files.
        self.running.rocks.forget_blocks();
        if kept.tables.is_none() {
            let mut logs = self.running.registry.all();
            logs.sort_by_key(|log| log.info.id);
            let from = kept.log;
            for log in logs.into_iter().filter(|log| log.info.id.get() >= from) {
                if log.info.id.get() > kept.log {
                    (kept.log, kept.bundle) = (log.info.id.get(), 0);
                }
                if !self.read_log(&log, &mut kept) {
                    return self.keeper.write(&kept);
                }
            }
        }
        self.figures.at(None);
        if !self.sweep_tables(&mut kept) {
            return self.keeper.write(&kept);
        }
        let now = self.clock.now_ms();
        (kept.begun_ms, kept.whole_ms, kept.log, kept.bundle, kept.tables) = (0, now, 0, 0, None);
        self.keeper.write(&kept);
        self.figures.since_ms.store(now, Relaxed);
        self.figures.passes.fetch_add(1, Relaxed);
    }

    /// False if it is to stop.
    fn read_log(&self, log: &Arc<Shared>, kept: &mut Kept) -> bool {
        let stored = Stored::new(&*self.running.reader.store, log.info.id);
        let head = log.head();
        let at = (head.size, head.root);
        let mut judge = Judge::new(stored, at, head.edge.clone());
        let mut told = Instant::now();
        let full = head.size.get() / WIDTH;
        while kept.bundle < full {
            if self.pace.is_stopped() {
                return false;
            }
            let begun = Instant::now();
            let end = full.min(kept.bundle + REPLAY_BUNDLES as u64);
            let bundles = kept.bundle..end;
            let mut portion = check(&stored, &mut judge, bundles.clone());
            if !portion.damage.is_empty() {
                portion = self.again(log, portion, || {
                    judge = Judge::new(stored, at, head.edge.clone());
                    check(&stored, &mut judge, bundles.clone())
                });
            }
            self.settle(Some(log), &portion);
            self.figures.at(Some((log.info.name.to_string(), end * WIDTH)));
            self.pace.after(begun, portion.bytes, || self.running.sequencer.depth() > 0);
            kept.bundle = self.read_records(log, bundles.start * WIDTH..bundles.end * WIDTH) / WIDTH;
            if told.elapsed() >= KEEP {
                told = Instant::now();
                self.keeper.write(kept);
            }
        }
        let mut portion = check_edge(&stored, &judge, (head.size.get(), head.root));
        if !portion.damage.is_empty() {
            let once_more =
                || check_edge(&stored, &Judge::new(stored, at, head.edge.clone()), (head.size.get(), head.root));
            portion = self.again(log, portion, once_more);
        }
        self.settle(Some(log), &portion);
        if portion.damage.is_empty() {
            self.read_records(log, full * WIDTH..head.size.get());
        }
        if !self.read_index(log, &stored) {
            // The next start comes back to it at once: all bundles are read.
            return false;
        }
        (kept.log, kept.bundle) = (log.info.id.get().saturating_add(1), 0);
        self.keeper.write(kept);
        !self.pace.is_stopped()
    }

    /// Reads a portion that looks damaged once more, past all caches; what is not damaged again, never was. So does what
    /// only looked so because the log's unfinished part went on meanwhile.
    pub(super) fn again(&self, log: &Shared, first: Portion, read: impl FnOnce() -> Portion) -> Portion {
        self.running.rocks.forget_blocks();
        let mut second = read();
        let before = second.damage.len();
        second.damage.retain(|damage| first.damage.iter().any(|other| other.place == damage.place));
        let dismissed =
            first.damage.iter().filter(|damage| second.damage.iter().all(|other| other.place != damage.place));
        for damage in dismissed {
            self.figures.dismissed.fetch_add(1, Relaxed);
            tracing::warn!(log = %log.info.name, %damage, "what looked damaged is sound when it is read again");
        }
        if second.damage.len() < before {
            tracing::warn!(
                log = %log.info.name,
                "a second reading finds other damage than the first; the next pass tells"
            );
        }
        second
    }

    /// False if it is to stop.
    fn read_index(&self, log: &Arc<Shared>, stored: &Stored<'_>) -> bool {
        if !log.info.hash_index {
            return true;
        }
        let store = &*self.running.reader.store;
        let mut portion = Portion::default();
        let mut begun = Instant::now();
        let mut goes_on = |bytes| {
            self.figures.bytes.fetch_add(bytes, Relaxed);
            self.pace.after(begun, bytes, || self.running.sequencer.depth() > 0);
            begun = Instant::now();
            !self.pace.is_stopped()
        };
        for attempt in 1..=INDEX_TRIES {
            let mut way = Way { dedup: log.info.dedup, most: SCRUB_INDEX_LEAVES, goes_on: &mut goes_on };
            match index::check(store, stored, &mut way) {
                Ok(goes_on) => return goes_on,
                Err(ReadError::Store(StoreError::Io(problem))) => {
                    portion.unreadable.push(format!("{}: {problem}", Place::HashIndex));
                    break;
                }
                Err(error) if attempt == INDEX_TRIES => {
                    portion.damage.push(Damage { place: Place::HashIndex, expected: None, found: error.to_string() });
                }
                Err(_) => self.running.rocks.forget_blocks(),
            }
        }
        self.settle(Some(log), &portion);
        true
    }

    /// False if it is to stop.
    fn sweep_tables(&self, kept: &mut Kept) -> bool {
        let start = kept.tables.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default();
        let mut next: Option<cairn_rocks::Place> = Some(start);
        while let Some(place) = next {
            kept.tables = Some(place.to_string());
            if self.pace.is_stopped() {
                return false;
            }
            let begun = Instant::now();
            let rocks = &self.running.rocks;
            let mut read = rocks.read_some(&place, SCRUB_BYTES);
            if !matches!(read, Ok(Swept { bad: None, .. })) {
                rocks.forget_blocks();
                read = rocks.read_some(&place, SCRUB_BYTES);
            }
            let past_family = || Some(place.past_family()).filter(|place| place.family().is_some());
            let swept = read.unwrap_or_else(|error| Swept { bytes: 0, next: past_family(), bad: Some(error) });
            let mut portion = Portion { bytes: swept.bytes, ..Portion::default() };
            match swept.bad {
                Some(StoreError::Io(problem)) => portion.unreadable.push(problem),
                Some(StoreError::Corrupt(found)) => {
                    portion.damage.push(Damage { place: Place::Tables, expected: None, found });
                }
                None => {}
            }
            next = swept.next;
            self.settle(None, &portion);
            self.pace.after(begun, portion.bytes, || self.running.sequencer.depth() > 0);
        }
        true
    }

    /// Counts what was read, and does what a finding asks for.
    pub(super) fn settle(&self, log: Option<&Arc<Shared>>, portion: &Portion) {
        self.figures.bytes.fetch_add(portion.bytes, Relaxed);
        self.figures.entries.fetch_add(portion.entries, Relaxed);
        let name = log.map(|log| log.info.name.as_str());
        for problem in &portion.unreadable {
            self.figures.unreadable.fetch_add(1, Relaxed);
            tracing::error!(log = name, problem, "the scrubber could not read this; it says nothing of what is there");
        }
        let known = log.map_or(&self.running.damage, |log| &log.damage);
        for damage in &portion.damage {
            // 1. From here on whoever asks for it is refused.
            let Some(found) = known.add(Some(damage.place), damage.found.clone()) else { continue };
            let damage = Damage { found, ..damage.clone() };
            self.figures.findings.fetch_add(1, Relaxed);
            tracing::error!(log = name, %damage, "the scrubber found damage");
            // 2. What was found outlives this process.
            if let Err(error) = self.incidents.add(damage.incident(name, self.clock.now_ms())) {
                tracing::error!(log = name, %error, "the incident can't be written down");
            }
            // 3. The log signs no more.
            if let Some(log) = log {
                let (done, told) = sync_channel(1);
                self.running.sequencer.submit_own(Job::Damaged(Arc::clone(log), damage.to_string(), done));
                // The writer may have stopped; then nothing is signed either.
                let _ = told.recv();
            }
        }
    }
}
