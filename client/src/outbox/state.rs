//! What waits in an outbox, and what may go next. Pure: entries in, decisions out; starting up and working are the same.
//!
//! Batches of one stream go one after another, in the order in which they were appended. A batch with records of several
//! streams waits for those before it in each of them. What the log refused for good holds its streams, unless the outbox
//! is told to let them go on; then it stands aside until it is tried again or dropped.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cairn_tree::record::id::RecordId;
use cairn_tree::record::time::Time;

use super::entry::{BatchNumber, Entry, Put, Refusal};
use super::event::Stream;
use super::segment::Place;

/// A batch that is in the outbox.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) key: [u8; 16],
    pub(super) at: Time,
    pub(super) is_drop: bool,
    pub(super) ids: Vec<RecordId>,
    pub(super) streams: Vec<Stream>,
    pub(super) bytes: u64,
    /// Where its entry is.
    pub(super) place: Place,
    pub(super) refused: Option<Refusal>,
}

/// Everything that is in the outbox.
#[derive(Debug, Default)]
pub(super) struct State {
    batches: BTreeMap<BatchNumber, Batch>,
    by_id: HashMap<RecordId, BatchNumber>,
    streams: HashMap<Stream, BTreeSet<BatchNumber>>,
    /// At the front of all their streams, and with nobody.
    ready: BTreeSet<BatchNumber>,
    /// With somebody who delivers them.
    taken: HashSet<BatchNumber>,
    /// Not to be tried before somebody wakes them.
    resting: HashSet<BatchNumber>,
    /// Not to be sent any more: that they are given up is being written.
    held: HashSet<BatchNumber>,
    /// The streams of what is with somebody. One that was refused and is tried again comes before what may be on its way.
    sending: HashSet<Stream>,
    /// How many batches each segment holds.
    segments: BTreeMap<u64, usize>,
    records: usize,
    bytes: u64,
    refused: usize,
    /// How many batches were given up since it was opened.
    dropped: u64,
    next: u64,
    goes_on: bool,
}

impl State {
    /// Nothing. With `goes_on`, what is refused does not hold its streams.
    pub(super) fn new(goes_on: bool) -> Self {
        Self { next: 1, goes_on, ..Self::default() }
    }

    /// Takes note of what happened, and where it stands.
    pub(super) fn apply(&mut self, entry: Entry, place: Place) {
        match entry {
            Entry::Put(put) => self.put(put, place),
            other => self.note(&other),
        }
    }

    /// Takes note of what happened, of anything but a batch that comes in. What is said of batches that are not there any
    /// more is passed over: it may have been said before.
    pub(super) fn note(&mut self, entry: &Entry) {
        match entry {
            Entry::Begin(begin) => self.next = self.next.max(begin.next),
            Entry::Delivered(number) => self.remove(*number),
            Entry::Dropped(number, ..) => {
                self.dropped += 1;
                self.remove(*number);
            }
            Entry::Refused(number, refusal) => self.refuse(*number, refusal.clone()),
            Entry::Retried(number) => self.retry(*number),
            Entry::Put(_) | Entry::Cut(_) => {}
        }
    }

    fn put(&mut self, put: Put, place: Place) {
        let Put { number, key, at, is_drop, ids, streams, body } = put;
        self.next = self.next.max(number.0.saturating_add(1));
        *self.segments.entry(place.segment()).or_default() += 1;
        if let Some(batch) = self.batches.get_mut(&number) {
            let old = core::mem::replace(&mut batch.place, place);
            self.leave_segment(old.segment());
            return;
        }
        self.records += ids.len();
        self.bytes += body.len() as u64;
        self.by_id.extend(ids.iter().map(|id| (*id, number)));
        let batch = Batch { key, at, is_drop, ids, streams, bytes: body.len() as u64, place, refused: None };
        self.batches.insert(number, batch);
        self.enter(number);
    }

    fn leave_segment(&mut self, segment: u64) {
        if let Some(count) = self.segments.get_mut(&segment) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.segments.remove(&segment);
            }
        }
    }

    fn remove(&mut self, number: BatchNumber) {
        let Some(batch) = self.batches.remove(&number) else { return };
        self.records = self.records.saturating_sub(batch.ids.len());
        self.bytes = self.bytes.saturating_sub(batch.bytes);
        self.refused -= usize::from(batch.refused.is_some());
        for id in &batch.ids {
            // Somebody may have appended the same record again.
            if self.by_id.get(id) == Some(&number) {
                self.by_id.remove(id);
            }
        }
        self.leave_segment(batch.place.segment());
        self.give_back(number, &batch.streams);
        self.resting.remove(&number);
        self.held.remove(&number);
        self.leave(number, &batch.streams);
    }

    fn refuse(&mut self, number: BatchNumber, refusal: Refusal) {
        let Some(batch) = self.batches.get_mut(&number) else { return };
        self.refused += usize::from(batch.refused.is_none());
        batch.refused = Some(refusal);
        let streams = batch.streams.clone();
        self.give_back(number, &streams);
        self.ready.remove(&number);
        if self.goes_on {
            self.leave(number, &streams);
        }
    }

    fn retry(&mut self, number: BatchNumber) {
        let Some(batch) = self.batches.get_mut(&number) else { return };
        if batch.refused.take().is_some() {
            self.refused -= 1;
            self.enter(number);
        }
    }

    /// A batch takes its place in its streams.
    fn enter(&mut self, number: BatchNumber) {
        let Some(batch) = self.batches.get(&number) else { return };
        for stream in &batch.streams {
            let waiting = self.streams.entry(*stream).or_default();
            waiting.insert(number);
            // What comes back goes before what was appended later.
            if let Some(behind) = waiting.range(number..).nth(1) {
                self.ready.remove(behind);
            }
        }
        self.make_ready(number);
    }

    /// A batch gives up its place; those behind it come to the front.
    fn leave(&mut self, number: BatchNumber, streams: &[Stream]) {
        self.ready.remove(&number);
        for stream in streams {
            let Some(waiting) = self.streams.get_mut(stream) else { continue };
            waiting.remove(&number);
            if waiting.is_empty() {
                self.streams.remove(stream);
            }
        }
        self.make_firsts_ready(streams);
    }

    /// What is at the front of these streams may go, if nothing else stands against it.
    fn make_firsts_ready(&mut self, streams: &[Stream]) {
        for stream in streams {
            let first = self.streams.get(stream).and_then(|waiting| waiting.first().copied());
            first.into_iter().for_each(|first| self.make_ready(first));
        }
    }

    fn make_ready(&mut self, number: BatchNumber) {
        let Some(batch) = self.batches.get(&number) else { return };
        let first = |stream: &Stream| self.streams.get(stream).and_then(BTreeSet::first) == Some(&number);
        let is_free = ![&self.taken, &self.resting, &self.held].into_iter().any(|others| others.contains(&number));
        let may = |stream: &Stream| first(stream) && !self.sending.contains(stream);
        if batch.refused.is_none() && is_free && batch.streams.iter().all(may) {
            self.ready.insert(number);
        }
    }

    /// The first batch that may go; it is with the caller from now on.
    pub(super) fn take(&mut self) -> Option<(BatchNumber, Batch)> {
        let number = self.ready.pop_first()?;
        let batch = self.batches.get(&number)?.clone();
        self.taken.insert(number);
        self.sending.extend(&batch.streams);
        Some((number, batch))
    }

    /// A batch that was taken is with nobody again, and rests.
    pub(super) fn rest(&mut self, number: BatchNumber) {
        let streams = self.batches.get(&number).map(|batch| batch.streams.clone()).unwrap_or_default();
        if self.give_back(number, &streams) {
            self.resting.insert(number);
            self.make_firsts_ready(&streams);
        }
    }

    /// Whether a batch was taken; it is so no more.
    fn give_back(&mut self, number: BatchNumber, streams: &[Stream]) -> bool {
        let was = self.taken.remove(&number);
        if was {
            for stream in streams {
                self.sending.remove(stream);
            }
        }
        was
    }

    /// A batch that is with nobody is not to be sent any more, until it is released or removed.
    pub(super) fn hold(&mut self, number: BatchNumber) {
        self.ready.remove(&number);
        self.resting.remove(&number);
        self.held.insert(number);
    }

    /// A batch that was held may go again.
    pub(super) fn release(&mut self, number: BatchNumber) {
        if self.held.remove(&number) {
            self.make_ready(number);
        }
    }

    /// A batch that rests may go again.
    pub(super) fn wake(&mut self, number: BatchNumber) {
        if self.resting.remove(&number) {
            self.make_ready(number);
        }
    }

    /// Nothing is with anybody, and nothing rests: whoever had it has gone.
    pub(super) fn wake_all(&mut self) {
        let all: Vec<BatchNumber> = self.taken.drain().chain(self.resting.drain()).collect();
        self.sending.clear();
        all.into_iter().for_each(|number| self.make_ready(number));
    }

    /// Whether nothing may go now, and nothing is on its way.
    pub(super) fn is_at_rest(&self) -> bool {
        self.ready.is_empty() && self.taken.is_empty()
    }

    pub(super) fn batches(&self) -> &BTreeMap<BatchNumber, Batch> {
        &self.batches
    }

    /// The batch that a record is in.
    pub(super) fn with_id(&self, id: RecordId) -> Option<(BatchNumber, &Batch)> {
        let number = *self.by_id.get(&id)?;
        self.batches.get(&number).map(|batch| (number, batch))
    }

    pub(super) fn is_taken(&self, number: BatchNumber) -> bool {
        self.taken.contains(&number)
    }

    /// How many batches wait behind others of their streams.
    pub(super) fn behind(&self) -> usize {
        let waiting = self.batches.len().saturating_sub(self.refused);
        waiting.saturating_sub(self.ready.len() + self.taken.len() + self.resting.len() + self.held.len())
    }

    /// The oldest segment that holds a batch.
    pub(super) fn oldest_segment(&self) -> Option<u64> {
        self.segments.keys().next().copied()
    }

    pub(super) const fn records(&self) -> usize {
        self.records
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) const fn refused(&self) -> usize {
        self.refused
    }

    /// How many batches were given up so far.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The number of the next batch.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }
}
