//! The one thread that writes: it takes what has gathered, makes all of it durable with one sync, and only then tells
//! anybody. No timer: whatever came in during a commit is the next one.
//!
//! It also frees the disk of what was delivered: segments that hold nothing any more go at once, and from time to time
//! (`sweep_after`) what still waits is moved to a new segment, so that the old ones can go.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use cairn_tree::record::id::RecordId;
use cairn_tree::record::time::Time;

use super::entry::{BatchNumber, Entry, Put, Refusal};
use super::event::Prepared;
use super::reply::Reply;
use super::state::State;
use super::store::{Store, StoreError};
use super::{AppendError, ChangeError, Dropped, Limits, Shared, Ticket, bounds};

/// What the writer is asked.
pub(super) enum Job {
    /// A batch, and what its idempotency key is made of.
    Append(Prepared, [u8; 16], Time, Reply<Result<Ticket, AppendError>>),
    /// The log has a batch.
    Delivered(BatchNumber),
    /// The log will never take it.
    Refused(BatchNumber, Refusal),
    /// Try refused batches again: this one, or all.
    Retry(Option<RecordId>, Reply<Result<usize, ChangeError>>),
    /// Give a batch up, with the record of that.
    Drop(BatchNumber, String, Time, Option<(Prepared, [u8; 16])>, Reply<Result<Dropped, ChangeError>>),
}

/// What is told once the commit is durable, or why it is not.
type Told = Box<dyn FnOnce(Result<(), &StoreError>) + Send>;

pub(super) struct Writer {
    pub(super) store: Store,
    pub(super) jobs: Receiver<Job>,
    pub(super) shared: Arc<Shared>,
    pub(super) limits: Limits,
    pub(super) sweep_after: Duration,
    /// Notes that found no room yet. What they say is known here, and forgotten by a crash, which does no harm.
    pub(super) unwritten: Vec<Entry>,
    /// Since when something that is not needed any more has been on the disk.
    pub(super) dirty: Option<Instant>,
    /// The first segment that what waits is being moved to, if that was not finished.
    pub(super) sweeping: Option<u64>,
}

/// What one commit is made of.
#[derive(Default)]
struct Group {
    entries: Vec<Entry>,
    bytes: usize,
    records: usize,
    next: u64,
    told: Vec<Told>,
}

impl Writer {
    pub(super) fn run(mut self) {
        if let Err(error) = self.work() {
            tracing::error!(%error, "the outbox can't be written any more; it must be opened again");
            self.shared.fail(error.to_string());
        }
        // Whoever asks from now on is told that nobody answers.
    }

    fn work(&mut self) -> Result<(), StoreError> {
        while let Some(first) = self.next()? {
            let mut group = Group { next: self.state().next(), ..Group::default() };
            group.entries.append(&mut self.unwritten);
            self.admit(first, &mut group);
            for _ in 1..bounds::COMMIT_JOBS {
                if group.bytes >= bounds::COMMIT_BYTES {
                    break;
                }
                let Ok(job) = self.jobs.try_recv() else { break };
                self.admit(job, &mut group);
            }
            self.commit(group)?;
            self.free()?;
        }
        if self.dirty.is_some() { self.tidy() } else { Ok(()) }
    }

    /// Writes what found no room, and frees the disk: first what needs no room for that.
    fn tidy(&mut self) -> Result<(), StoreError> {
        self.dirty = None;
        if !self.unwritten.is_empty() {
            let (entries, next) = (core::mem::take(&mut self.unwritten), self.state().next());
            self.commit(Group { entries, next, ..Group::default() })?;
        }
        if self.free()? { Ok(()) } else { self.sweep(false) }
    }

    /// The next job, whenever it comes; `None` once nobody can send any.
    fn next(&mut self) -> Result<Option<Job>, StoreError> {
        while let Some(since) = self.dirty {
            match self.jobs.recv_timeout(self.sweep_after.saturating_sub(since.elapsed())) {
                Ok(job) => return Ok(Some(job)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => self.tidy()?,
            }
        }
        Ok(self.jobs.recv().ok())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    fn admit(&self, job: Job, group: &mut Group) {
        match job {
            Job::Append(prepared, key, at, reply) => {
                if let Err(full) = self.room(&prepared, group) {
                    return reply.give(Err(full));
                }
                let ids = prepared.ids.clone();
                let number = group.put(prepared, key, at, false);
                group.told.push(Box::new(move |done| {
                    reply.give(match done {
                        Ok(()) => Ok(Ticket { number: number.0, ids }),
                        Err(error) => Err(AppendError::of(error)),
                    });
                }));
            }
            Job::Delivered(number) => group.entries.push(Entry::Delivered(number)),
            Job::Refused(number, refusal) => group.entries.push(Entry::Refused(number, refusal)),
            Job::Retry(id, reply) => {
                let numbers = match self.refused(id) {
                    Ok(numbers) => numbers,
                    Err(error) => return reply.give(Err(error)),
                };
                let count = numbers.len();
                group.entries.extend(numbers.into_iter().map(Entry::Retried));
                group.told.push(Box::new(move |done| reply.give(done.map(|()| count).map_err(ChangeError::of))));
            }
            Job::Drop(number, reason, at, record, reply) => {
                let mut state = self.state();
                let Some(batch) = state.batches().get(&number) else { return reply.give(Err(ChangeError::Unknown)) };
                let is_dropped = |entry: &Entry| matches!(entry, Entry::Dropped(other, ..) if *other == number);
                if state.is_taken(number) || group.entries.iter().any(is_dropped) {
                    return reply.give(Err(ChangeError::UnderWay));
                }
                let was_refused = batch.refused.is_some();
                let ids = batch.ids.clone();
                // Under the lock that it was not on its way under: what is given up must not be sent while that is written.
                state.hold(number);
                drop(state);
                let (mut records, mut of) = (Vec::new(), None);
                if let Some((prepared, key)) = record {
                    records.clone_from(&prepared.ids);
                    of = Some(group.put(prepared, key, at, true));
                }
                group.entries.push(Entry::Dropped(number, at, of, reason));
                let dropped = Dropped { ids, records, was_refused };
                group.told.push(Box::new(move |done| reply.give(done.map(|()| dropped).map_err(ChangeError::of))));
            }
        }
    }

    fn room(&self, prepared: &Prepared, group: &Group) -> Result<(), AppendError> {
        let state = self.state();
        let records = state.records() + group.records + prepared.ids.len();
        let bytes = state.bytes() + (group.bytes + prepared.body.len()) as u64;
        if records > self.limits.records || bytes > self.limits.bytes {
            let (records, bytes) = (state.records() + group.records, state.bytes() + group.bytes as u64);
            return Err(AppendError::Full { records, bytes, limits: self.limits });
        }
        Ok(())
    }

    fn refused(&self, id: Option<RecordId>) -> Result<Vec<BatchNumber>, ChangeError> {
        let state = self.state();
        let Some(id) = id else {
            let refused = state.batches().iter().filter(|(_, batch)| batch.refused.is_some());
            return Ok(refused.map(|(number, _)| *number).collect());
        };
        let (number, batch) = state.with_id(id).ok_or(ChangeError::Unknown)?;
        if batch.refused.is_some() { Ok(vec![number]) } else { Err(ChangeError::NotRefused) }
    }

    fn commit(&mut self, group: Group) -> Result<(), StoreError> {
        let Group { entries, told, .. } = group;
        let next = self.state().next();
        let done = if entries.is_empty() { Ok(Vec::new()) } else { self.store.commit(&entries, next) };
        match done {
            Ok(places) => {
                let mut state = self.shared.state();
                let frees = entries.iter().any(|entry| matches!(entry, Entry::Delivered(_) | Entry::Dropped(..)));
                entries.into_iter().zip(places).for_each(|(entry, place)| state.apply(entry, place));
                let is_empty = state.batches().is_empty();
                drop(state);
                if frees {
                    self.dirty.get_or_insert_with(Instant::now);
                }
                if is_empty {
                    // Nothing is there that could be in trouble, whoever delivers.
                    self.shared.set_trouble(None);
                }
                self.shared.changed();
                // Durable: from here on it may be told.
                told.into_iter().for_each(|told| told(Ok(())));
                Ok(())
            }
            Err(error) => {
                told.into_iter().for_each(|told| told(Err(&error)));
                if !matches!(error, StoreError::NoRoom { .. }) {
                    return Err(error);
                }
                // What was delivered stays delivered: it is noted as soon as there is room.
                let mut state = self.shared.state();
                for entry in &entries {
                    match entry {
                        Entry::Delivered(_) | Entry::Refused(..) => state.note(entry),
                        Entry::Dropped(number, ..) => state.release(*number),
                        _ => {}
                    }
                }
                drop(state);
                let notes = |entry: &Entry| matches!(entry, Entry::Delivered(_) | Entry::Refused(..));
                self.unwritten = entries.into_iter().filter(notes).collect();
                if !self.unwritten.is_empty() {
                    // They are tried again though nobody asks for anything, and so is what they free.
                    self.dirty.get_or_insert_with(Instant::now);
                }
                self.shared.changed();
                Ok(())
            }
        }
    }

    /// Removes the segments at the beginning of the row that hold nothing any more; says whether it moved what waits, too.
    fn free(&mut self) -> Result<bool, StoreError> {
        let (oldest, next) = {
            let state = self.state();
            (state.oldest_segment(), state.next())
        };
        let first = oldest.unwrap_or(self.store.newest());
        if self.store.first() < first.min(self.store.newest()) {
            full_is_well(self.store.cut(first, next))?;
            return Ok(false);
        }
        // What waits among what was delivered must not make the row longer than twice what there is.
        let live = usize::try_from(self.state().bytes()).unwrap_or(usize::MAX) / self.store.segment_bytes();
        let is_long = self.store.count() > 2 * live + bounds::SPARE_SEGMENTS;
        if is_long {
            self.sweep(true)?;
        }
        Ok(is_long)
    }

    /// Moves what waits out of the segments that also hold what was delivered, and removes them; if much waits, only where
    /// it must be. One that finds no room goes on where it was when it is tried again, so that a disk that is nearly full
    /// does not become fuller by that.
    fn sweep(&mut self, must: bool) -> Result<(), StoreError> {
        if !must && self.state().bytes() > bounds::SWEEP_BYTES {
            // So much is soon delivered, or stays; whole segments go in either case.
            self.dirty = Some(Instant::now());
            return Ok(());
        }
        let swept = self.sweep_all();
        let is_left = matches!(swept, Err(StoreError::NoRoom { .. })) || !self.unwritten.is_empty();
        self.dirty = is_left.then(Instant::now);
        full_is_well(swept)
    }

    fn sweep_all(&mut self) -> Result<(), StoreError> {
        let next = self.state().next();
        let first = match self.sweeping {
            Some(first) => first,
            None => {
                self.store.begin(0, next)?;
                self.store.newest()
            }
        };
        self.sweeping = Some(first);
        let moved: Vec<(BatchNumber, super::segment::Place, Option<Refusal>)> = {
            let state = self.shared.state();
            let all = state.batches().iter().filter(|(_, batch)| batch.place.segment() < first);
            all.map(|(number, batch)| (*number, batch.place.clone(), batch.refused.clone())).collect()
        };
        for batches in moved.chunks(bounds::COMMIT_JOBS / 8) {
            let mut entries = Vec::new();
            for (number, place, refused) in batches {
                let path = super::segment::path_of(self.store.folder(), place.segment());
                let put = place.read(*number).map_err(|error| StoreError::Io { path, error })?;
                entries.push(Entry::Put(put));
                entries.extend(refused.clone().map(|refusal| Entry::Refused(*number, refusal)));
            }
            let places = self.store.commit(&entries, next)?;
            let mut state = self.shared.state();
            entries.into_iter().zip(places).for_each(|(entry, place)| {
                if matches!(entry, Entry::Put(_)) {
                    state.apply(entry, place);
                }
            });
        }
        self.store.cut(first, next)?;
        self.sweeping = None;
        Ok(())
    }
}

/// That the disk is full now stops nothing that is not an append.
fn full_is_well(result: Result<(), StoreError>) -> Result<(), StoreError> {
    match result {
        Err(StoreError::NoRoom { path, error }) => {
            tracing::warn!(path = %path.display(), %error, "no room to tidy up the outbox");
            Ok(())
        }
        other => other,
    }
}

impl Group {
    fn put(&mut self, prepared: Prepared, key: [u8; 16], at: Time, is_drop: bool) -> BatchNumber {
        let Prepared { ids, streams, body } = prepared;
        let number = BatchNumber(self.next);
        self.next += 1;
        self.records += ids.len();
        self.bytes += body.len();
        self.entries.push(Entry::Put(Put { number, key, at, is_drop, ids, streams, body }));
        number
    }
}
