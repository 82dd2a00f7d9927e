//! Admission: in the order of the queue, each request is refused, recognised as a retry, or placed.
//!
//! A refused request leaves no trace, and the others of its commit go on.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use cairn_tree::hash::Hash;
use cairn_tree::size::LeafIndex;
use cairn_tree::store::{Key, LogId, StoreError};
use tokio::sync::oneshot;

use super::job::{AppendJob, Request};
use super::records::AdmittedRecords;
use super::track::Track;
use super::writer::{Poison, Writer};
use crate::engine::append::{AppendError, Appended, Bound, IdempotencyKey};
use crate::engine::batch::EntryBatch;
use crate::engine::disk::BelowReserve;
use crate::engine::head::Shared;
use crate::engine::idempotency;
use crate::engine::layout::{IdempotencyRow, LogState, Placement};
use crate::engine::stored::{ReadError, Stored};

/// Leaves in logs without duplicates, by log.
type Seen = HashMap<(LogId, Hash), LeafIndex>;

/// What was promised, by idempotency key.
type Promises = HashMap<IdempotencyKey, (LogId, IdempotencyRow)>;

/// What commits have brought that are on their way to be released, oldest first: leaves in logs without duplicates that
/// the hash index does not have yet, and promises that the store may not have.
#[derive(Default)]
pub(super) struct Unreleased(VecDeque<(u64, Seen, Promises)>);

impl Unreleased {
    /// Adds what a commit placed.
    pub(super) fn add(&mut self, commit: u64, seen: Seen, promises: Promises) {
        if !seen.is_empty() || !promises.is_empty() {
            self.0.push_back((commit, seen, promises));
        }
    }

    /// Lets go of what the hash index and the store have by now. Comes before a look-up there: then each is in one of both.
    fn trim(&mut self, released: u64) {
        while self.0.front().is_some_and(|(commit, ..)| *commit <= released) {
            self.0.pop_front();
        }
    }

    fn find(&self, log: LogId, leaf: Hash) -> Option<LeafIndex> {
        self.0.iter().find_map(|(_, seen, _)| seen.get(&(log, leaf)).copied())
    }

    /// The row of an idempotency key. A key that expired on the way may stand here twice; the later one holds.
    fn promise(&self, key: &IdempotencyKey) -> Option<&IdempotencyRow> {
        self.0.iter().rev().find_map(|(.., promises)| promises.get(key)).map(|(_, row)| row)
    }
}

/// The requests that one commit answers, and what it writes for them besides the logs' own rows.
#[derive(Default)]
pub(super) struct Group {
    pub(super) admitted: Vec<Admitted>,
    pub(super) records: Vec<AdmittedRecords>,
    /// The logs that get new entries.
    pub(super) touched: BTreeSet<LogId>,
    /// The promises made in this group: also what a retry in the same group finds.
    pub(super) promises: Promises,
    /// Leaves placed in this group in logs without duplicates.
    pub(super) seen: Seen,
    /// Logs that were found damaged on the way.
    pub(super) damaged: Vec<(Arc<Shared>, ReadError)>,
}

/// A request that has its place.
pub(super) struct Admitted {
    pub(super) log: Arc<Shared>,
    pub(super) batch: EntryBatch,
    pub(super) placement: Placement,
    pub(super) replayed: bool,
    pub(super) reply: oneshot::Sender<Result<Appended, AppendError>>,
}

/// The row of an idempotency key, as far as it can be read.
pub(super) type Promised = Result<Option<Vec<u8>>, StoreError>;

enum Outcome {
    Placed(Placement),
    Replayed(Placement),
}

/// Why a request is not admitted.
pub(super) enum Refusal {
    /// For a reason of its own or of its log's state, which anybody may know at once.
    Request(AppendError),
    /// Its log can't be read.
    Log(ReadError),
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        Self::Log(error)
    }
}

/// What is the same for all requests of a commit.
pub(super) struct Now {
    pub(super) ms: u64,
    pub(super) us: u64,
    /// Whether the disk has room.
    room: Result<(), AppendError>,
}

impl Writer {
    /// Decides about each request, in order.
    pub(super) fn admit(&mut self, requests: Vec<Request>) -> Result<Group, Poison> {
        let low = |low: BelowReserve| AppendError::DiskReserve { free: low.free, reserve: low.reserve };
        let room = self.parts.disk.check().map_err(low);
        let us = self.parts.clock.now_us();
        let now = Now { ms: self.parts.clock.now_ms(), us, room };
        self.unreleased.trim(self.release.released());
        let mut known = self.find_promises(&requests)?.into_iter();
        let mut group = Group::default();
        for request in requests {
            let row = if request.bound().is_some() { known.next().unwrap_or(Ok(None)) } else { Ok(None) };
            match request {
                Request::Append(job) => match self.admit_one(&mut group, &job, row, &now) {
                    Ok(outcome) => group.admit(job, outcome),
                    Err(refusal) => self.refuse(&mut group, Request::Append(job), refusal)?,
                },
                Request::Record(mut job) => match self.admit_records(&mut group, &mut job, row, &now) {
                    Ok(outcome) => group.records.push(AdmittedRecords { log: job.log, outcome, reply: job.reply }),
                    Err(refusal) => self.refuse(&mut group, Request::Record(job), refusal)?,
                },
            }
        }
        Ok(group)
    }

    fn refuse(&mut self, group: &mut Group, request: Request, refusal: Refusal) -> Result<(), Poison> {
        match refusal {
            Refusal::Request(error) => request.refuse(error),
            Refusal::Log(error) => {
                let damage = self.poison_or_damage(error)?;
                let log = Arc::clone(request.log());
                // Later requests of this group see it; the durable halt follows before any answer but this one.
                log.set_state(LogState::Halted(damage.to_string()));
                request.refuse(AppendError::Halted(damage.to_string()));
                group.damaged.push((log, damage));
            }
        }
        Ok(())
    }

    /// The rows of all idempotency keys in the group, as the store has them or will.
    fn find_promises(&self, requests: &[Request]) -> Result<Vec<Promised>, Poison> {
        let mut rows = self.fetch_promises(requests)?;
        for (bound, row) in requests.iter().filter_map(Request::bound).zip(&mut rows) {
            if let Some(promise) = self.unreleased.promise(&bound.key) {
                *row = Ok(Some(promise.encode()));
            }
        }
        Ok(rows)
    }

    /// The same as the store has them, in one read; one by one where a row is damaged, since that is the matter of its own
    /// log alone.
    fn fetch_promises(&self, requests: &[Request]) -> Result<Vec<Promised>, Poison> {
        let row_key = |request: &Request| Some(idempotency::row_key(request.log().info.id, &request.bound()?.key));
        let keys: Vec<Key> = requests.iter().filter_map(row_key).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        match self.parts.store.get_many(&keys) {
            Ok(rows) => Ok(rows.into_iter().map(Ok).collect()),
            Err(StoreError::Corrupt(_)) => Ok(keys.iter().map(|key| self.parts.store.get(key)).collect()),
            Err(StoreError::Io(problem)) => Err(self.poison(problem)),
        }
    }

    fn admit_one(&mut self, group: &mut Group, job: &AppendJob, row: Promised, now: &Now) -> Result<Outcome, Refusal> {
        if let Some(placement) = group.promised(job.bound, row, now)? {
            return Ok(Outcome::Replayed(placement));
        }
        admissible(&job.log, now)?;
        let placement = self.place(group, job)?;
        self.promise(group, &job.log, job.bound, &placement, now);
        Ok(Outcome::Placed(placement))
    }

    /// Notes that a log gets entries, and what they are promised for.
    pub(super) fn promise(
        &self,
        group: &mut Group,
        log: &Shared,
        bound: Option<Bound>,
        placement: &Placement,
        now: &Now,
    ) {
        group.touched.insert(log.info.id);
        if let Some(bound) = bound {
            let expires_ms = now.ms.saturating_add(self.parts.idempotency_ms);
            let row = IdempotencyRow { expires_ms, leaves: bound.leaves, placement: placement.clone() };
            group.promises.insert(bound.key, (log.info.id, row));
        }
    }

    fn place(&mut self, group: &mut Group, job: &AppendJob) -> Result<Placement, Refusal> {
        let log = job.log.info.id;
        let store = Arc::clone(&self.parts.store);
        let stored = Stored::new(&*store, log);
        self.bring_to_place(&job.log)?;
        let gone = || stored.damaged("the log, number", u64::from(log.get()), "it is not at hand");
        let track = self.residents.get_mut(log).ok_or_else(gone)?;
        let full = |_| Refusal::Request(AppendError::LogFull);
        let count = job.batch.len();
        track.size().plus(count as u64).map_err(full)?;
        match (&job.log.index, job.log.info.dedup) {
            (Some(index), true) => {
                let known = index.find_many(&*store, || job.log.head().size, job.batch.leaves())?;
                let had = |position: usize, leaf: Hash| {
                    known.get(position).copied().flatten().or_else(|| self.unreleased.find(log, leaf))
                };
                place_new(track, &mut group.seen, &job.batch, had).map_err(full)
            }
            _ => {
                let first = track.place(&job.batch, 0..count).map_err(full)?;
                Ok(Placement::Run { first, count: u32::try_from(count).unwrap_or(u32::MAX) })
            }
        }
    }
}

/// Places the entries that the log does not have yet, in runs, and gives the others the index that they have.
fn place_new(
    track: &mut Track,
    seen: &mut Seen,
    batch: &EntryBatch,
    had: impl Fn(usize, Hash) -> Option<LeafIndex>,
) -> Result<Placement, cairn_tree::size::SizeError> {
    let log = track.shared.info.id;
    let mut indexes = Vec::with_capacity(batch.len());
    let mut run: Option<usize> = None;
    for (position, leaf) in batch.leaves().iter().enumerate() {
        if let Some(index) = had(position, *leaf).or_else(|| seen.get(&(log, *leaf)).copied()) {
            if let Some(start) = run.take() {
                track.place(batch, start..position)?;
            }
            indexes.push(index);
            continue;
        }
        let start = *run.get_or_insert(position);
        let index = LeafIndex::new(track.size().get() + (position - start) as u64)?;
        seen.insert((log, *leaf), index);
        indexes.push(index);
    }
    if let Some(start) = run {
        track.place(batch, start..batch.len())?;
    }
    let first = indexes.first().copied().unwrap_or(LeafIndex::ZERO);
    let consecutive = indexes.iter().zip(first.get()..).all(|(index, expected)| index.get() == expected);
    let count = u32::try_from(indexes.len()).unwrap_or(u32::MAX);
    Ok(if consecutive { Placement::Run { first, count } } else { Placement::Each(indexes) })
}

/// Whether a log takes anything.
pub(super) fn admissible(log: &Shared, now: &Now) -> Result<(), Refusal> {
    let refused = |error| Err(Refusal::Request(error));
    match log.state() {
        LogState::Open => {}
        LogState::Halted(reason) => return refused(AppendError::Halted(reason)),
        LogState::Sealed => {
            let successor = log.standing().binding.successor.clone();
            return refused(AppendError::Sealed(successor.map(|log| log.origin)));
        }
    }
    if log.awaits_link() {
        return refused(AppendError::AwaitsLink);
    }
    now.room.clone().map_err(Refusal::Request)
}

impl Group {
    /// Where the entries are that came with this idempotency key before, if any did.
    pub(super) fn promised(
        &self,
        bound: Option<Bound>,
        row: Promised,
        now: &Now,
    ) -> Result<Option<Placement>, Refusal> {
        let Some(bound) = bound else { return Ok(None) };
        let promise = match self.promises.get(&bound.key) {
            Some((_, row)) => Some(row.clone()),
            None => idempotency::decode(row.map_err(ReadError::from)?.as_deref(), now.ms)?,
        };
        match promise {
            Some(promise) if promise.leaves != bound.leaves => Err(Refusal::Request(AppendError::IdempotencyMismatch)),
            promise => Ok(promise.map(|promise| promise.placement)),
        }
    }

    fn admit(&mut self, job: AppendJob, outcome: Outcome) {
        let AppendJob { log, batch, reply, .. } = job;
        let (placement, replayed) = match outcome {
            Outcome::Placed(placement) => (placement, false),
            Outcome::Replayed(placement) => (placement, true),
        };
        self.admitted.push(Admitted { log, batch, placement, replayed, reply });
    }
}
