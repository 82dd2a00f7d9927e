//! What a read could not verify is looked at again, as the scrubber would: whatever an entry's place in the tree rests on
//! is read anew, past all caches, and compared with what was signed. What is damaged then is refused, told and halts the
//! log at once; what is sound, or can't be read, halts nothing. So no caller can halt a log by what he asks.
//!
//! One look at a time in each log, and none soon after one that found nothing: whoever reads the same again and again must
//! not have everything read past the caches each time.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

use cairn_tree::size::LeafIndex;

use super::check::{Portion, check_edge, check_path};
use super::records::check_secret;
use crate::engine::Log;
use crate::engine::judge::Judge;
use crate::engine::layout::LogState;
use crate::engine::sequencer::Job;
use crate::engine::stored::{ReadError, Stored, WIDTH};

/// How long a look that found nothing is not repeated.
const AGAIN: Duration = Duration::from_secs(10);

/// Bundles before the last that are looked at for a record that was not found.
const BUNDLES: u64 = 64;

/// When somebody looked last, and found nothing.
#[derive(Debug, Default)]
pub(in crate::engine) struct Looked(pub(in crate::engine) Mutex<Option<Instant>>);

impl Log {
    /// Looks again at what an entry's place in the tree rests on, since a read could not verify it. True if that is
    /// damaged: then the log is halted. `now_ms` is the time that an incident gets.
    #[must_use]
    pub fn suspect(&self, index: LeafIndex, now_ms: u64) -> bool {
        self.suspect_from(index, index, now_ms)
    }

    /// The same for the entries from one to another, the last of them as far as they are more than a bounded number: one
    /// among them should be a record that was not found.
    #[must_use]
    pub fn suspect_from(&self, first: LeafIndex, last: LeafIndex, now_ms: u64) -> bool {
        self.look_once(Some((first, last)), now_ms)
    }

    /// The same where whoever looked for records could not read something: the entry that the error is of, or what records
    /// are found by. An index that is damaged is no damage of the log, which has all that it was made of.
    #[must_use]
    pub fn suspect_read(&self, error: &ReadError, now_ms: u64) -> bool {
        if error.is_failure() {
            return false;
        }
        let entry = error.entry();
        let is_of_index = || check_secret(&*self.running.reader.store, self.shared.info.id).damage.is_empty();
        if entry.is_none() && is_of_index() {
            return false;
        }
        self.look_once(entry.map(|entry| (entry, entry)), now_ms)
    }

    /// Looks at entries, and at what records are found by, unless somebody is at it or has just looked.
    fn look_once(&self, entries: Option<(LeafIndex, LeafIndex)>, now_ms: u64) -> bool {
        let mut looked = match self.shared.looked.0.try_lock() {
            Ok(looked) => looked,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            // Somebody is at it.
            Err(TryLockError::WouldBlock) => return false,
        };
        if looked.is_some_and(|when| when.elapsed() < AGAIN) {
            return false;
        }
        let portion = self.look(entries);
        if portion.damage.is_empty() {
            *looked = Some(Instant::now());
            return false;
        }
        self.found_damaged(&portion, now_ms);
        true
    }

    /// Halts the log because its records contradict each other, as whoever read them has verified. Durable when this
    /// returns, unless the writer has stopped.
    pub fn halt_contradicting(&self, reason: String) {
        if matches!(self.state(), LogState::Halted(_)) {
            return;
        }
        self.halt_damaged(reason);
    }

    fn look(&self, entries: Option<(LeafIndex, LeafIndex)>) -> Portion {
        let bundles = entries.map_or(0..0, |(first, last)| {
            let (first, last) = (first.get() / WIDTH, last.get() / WIDTH);
            first.max(last.saturating_sub(BUNDLES))..last.saturating_add(1)
        });
        let head = self.head();
        let stored = Stored::new(&*self.running.reader.store, self.shared.info.id);
        let read = || {
            self.running.rocks.forget_blocks();
            let mut judge = Judge::new(stored, (head.size, head.root), head.edge.clone());
            let mut portion = check_secret(&*self.running.reader.store, self.shared.info.id);
            for bundle in bundles.clone() {
                portion.damage.extend(check_path(&stored, &mut judge, bundle).damage);
            }
            let edge = check_edge(&stored, &judge, (head.size.get(), head.root));
            portion.damage.extend(edge.damage);
            portion
        };
        let first = read();
        if first.damage.is_empty() {
            return first;
        }
        // What is not damaged a second time never was; the unfinished part of the log goes on meanwhile.
        let mut second = read();
        second.damage.retain(|damage| first.damage.iter().any(|other| other.place == damage.place));
        second
    }

    /// As the scrubber does, in the same order.
    fn found_damaged(&self, portion: &Portion, now_ms: u64) {
        let name = self.shared.info.name.as_str();
        for damage in &portion.damage {
            // 1. From here on whoever asks for it is refused.
            if self.shared.damage.add(Some(damage.place), damage.found.clone()).is_none() {
                continue;
            }
            self.running.read_findings.fetch_add(1, Relaxed);
            tracing::error!(log = name, %damage, "a read found damage");
            // 2. What was found outlives this process.
            if let Err(error) = self.running.incidents.add(damage.incident(Some(name), now_ms)) {
                tracing::error!(log = name, %error, "the incident can't be written down");
            }
            // 3. The log signs no more.
            self.halt_damaged(damage.to_string());
        }
    }

    fn halt_damaged(&self, reason: String) {
        let (done, told) = sync_channel(1);
        self.running.sequencer.submit_own(Job::Damaged(std::sync::Arc::clone(&self.shared), reason, done));
        // The writer may have stopped; then nothing is signed either.
        let _ = told.recv();
    }
}
