//! The writer: what its thread owns, and everything it commits besides entries.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use cairn_tree::hash::Hash;
use cairn_tree::size::TreeSize;
use cairn_tree::store::{Batch, Key, LogId, Store, StoreError};

use super::admit::Unreleased;
use super::handover::{Created, Decision, Handover, Work};
use super::job::{CreateError, CreateJob, DecideJob, Decides, Job, MaintainJob, Request};
use super::pool::{UnderWay, Weighed};
use super::releaser::Releaser;
use super::residents::Residents;
use super::track::Track;
use crate::engine::bounds::{SWEEP_LOGS, SWEEP_ROWS};
use crate::engine::clock::Clock;
use crate::engine::disk::Disk;
use crate::engine::growing::GrowingTree;
use crate::engine::head::{Head, Shared, Standing};
use crate::engine::idempotency;
use crate::engine::index::HashIndex;
use crate::engine::layout::{BindingRow, DatabaseRow, HeadRow, LogState, Terms};
use crate::engine::observer::Observer;
use crate::engine::open::OpenError;
use crate::engine::records::Newest;
use crate::engine::registry::Registry;
use crate::engine::sign::sign_empty;
use crate::engine::stored::{ReadError, Stored};
use crate::high_water::{Decided, Mark, Marks};
use crate::incidents::{Incident, Incidents};
use crate::log_name::LogName;
use crate::signer::HeadSigner;

/// Why the writer can't go on. The process must end: what was not released has an unknown outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(in crate::engine) struct Poison(pub(in crate::engine) String);

/// What a writer is made of.
pub(in crate::engine) struct WriterParts {
    pub(in crate::engine) store: Arc<dyn Store>,
    pub(in crate::engine) clock: Arc<dyn Clock>,
    pub(in crate::engine) observer: Arc<dyn Observer>,
    pub(in crate::engine) database: DatabaseRow,
    pub(in crate::engine) registry: Arc<Registry>,
    pub(in crate::engine) idempotency_ms: u64,
    pub(in crate::engine) disk: Disk,
    /// Set before any answer of a failed commit is dropped, so that whoever is told to stop finds the reason.
    pub(in crate::engine) poison: Arc<OnceLock<String>>,
    /// Only the writer changes it.
    pub(in crate::engine) newest: Arc<RwLock<Newest>>,
    /// Where halts for good are written down, so that a repair knows of them that has lost the row.
    pub(in crate::engine) incidents: Arc<Incidents>,
}

/// Why a log is taken out of service.
pub(super) struct Halt {
    reason: String,
    /// Whether it may go on once everything in it was verified.
    mendable: bool,
}

impl Halt {
    /// What is stored is damaged.
    pub(super) fn damage(reason: String) -> Self {
        Self { reason, mendable: true }
    }

    /// Somebody holds a history that its next head would contradict.
    pub(super) fn for_good(reason: String) -> Self {
        Self { reason, mendable: false }
    }
}

pub(in crate::engine) struct Writer {
    pub(super) parts: WriterParts,
    pub(super) residents: Residents,
    pub(super) release: Handover,
    pub(super) unreleased: Unreleased,
    /// The logs whose expired idempotency keys are to be deleted, a bounded number after each commit; each log once.
    to_sweep: VecDeque<LogId>,
}

impl Writer {
    pub(in crate::engine) fn new(parts: WriterParts, release: Handover) -> Self {
        let (residents, unreleased) = (Residents::default(), Unreleased::default());
        Self { parts, residents, release, unreleased, to_sweep: VecDeque::new() }
    }

    /// Finishes what opening found: marks heads that no mark covers yet, and halts damaged logs. Before this returns, no
    /// head leaves the process, and nothing is handed over.
    pub(in crate::engine) fn resume(
        &mut self,
        releaser: &mut Releaser,
        marks: &Marks,
        heads: Vec<(LogId, Mark, Decided)>,
        damaged: Vec<(Arc<Shared>, ReadError, Vec<Key>)>,
    ) -> Result<(), OpenError> {
        let is_fresh = |(log, mark, decided): &(LogId, Mark, Decided)| {
            (marks.get(*log), marks.decided(*log)) != (Some(*mark), Some(*decided))
        };
        let fresh: Vec<_> = heads.into_iter().filter(is_fresh).collect();
        if !fresh.is_empty() {
            let commit = self.commit_nothing().map_err(resume_error)?;
            releaser.resume(commit, &fresh)?;
        }
        for (shared, error, undo) in damaged {
            let commit = self.halt_unmarked(&shared, Halt::damage(error.to_string()), undo).map_err(resume_error)?;
            releaser.resume_halted(commit, &shared)?;
        }
        Ok(())
    }

    /// Does one commit's worth of jobs, and answers them.
    pub(super) fn step(&mut self, jobs: Vec<Job>, under_way: UnderWay<Job>) -> Result<(), Poison> {
        let bytes = jobs.iter().map(Weighed::weight).sum();
        let (mut requests, mut maintenance, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        let mut decisions = Vec::new();
        for job in jobs {
            match job {
                Job::Append(job) => requests.push(Request::Append(job)),
                Job::Record(job) => requests.push(Request::Record(job)),
                Job::Create(job) => self.create(*job)?,
                Job::Change(job) => changes.push(job),
                Job::Refused(log, reason) => self.halt_by_signer(&log, reason)?,
                Job::Unsound(unsound) => self.take_back(*unsound)?,
                Job::Maintain(job) => maintenance.push(job),
                Job::Sweep(log) if self.to_sweep.contains(&log) => {}
                Job::Sweep(log) => self.to_sweep.push_back(log),
                Job::Release(log, done) => self.release_rest(&log, done)?,
                Job::Halt(log, reason, done) => {
                    self.halt_by_witness(&log, reason)?;
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
                Job::Damaged(log, reason, done) => {
                    self.halt_by_scrub(&log, reason)?;
                    // Whoever asked may have gone.
                    let _ = done.try_send(());
                }
                Job::Decide(job) => decisions.push(job),
                Job::Freeze(job) => self.freeze(*job)?,
            }
        }
        // No batch has a key twice: where whoever asked first has gone, there may be a second decision about a log.
        while !decisions.is_empty() {
            let mut logs = BTreeSet::new();
            let (first, later) = decisions.into_iter().partition(|job: &DecideJob| logs.insert(job.log.info.id));
            self.decide(first)?;
            decisions = later;
        }
        self.append(requests, bytes, &mut maintenance, under_way)?;
        for job in changes {
            self.change(*job)?;
        }
        if !maintenance.is_empty() {
            self.maintain(maintenance)?;
        }
        self.sweep()?;
        let leaving = self.residents.trim();
        if leaving.is_empty() {
            return Ok(());
        }
        // Not here: heads of these logs may be on their way, each with what is to be let go of.
        self.release.hand(Work::Forget(leaving.into_iter().map(|track| track.shared).collect()))
    }

    /// The number of the next commit, and its row.
    pub(super) fn next_commit(&mut self, batch: &mut Batch) -> u64 {
        self.parts.database.commit += 1;
        // Never above what the high-water has: it is told after the high-water.
        self.parts.database.released = self.release.released();
        batch.put(DatabaseRow::key(), self.parts.database.encode());
        self.parts.database.commit
    }

    /// A commit of its own for marks that no rows go with: their commit numbers rise.
    pub(super) fn commit_nothing(&mut self) -> Result<u64, Poison> {
        let mut batch = Batch::new();
        let commit = self.next_commit(&mut batch);
        self.commit(batch)?;
        Ok(commit)
    }

    /// Writes a batch, after everything that was written before it.
    pub(super) fn commit(&self, batch: Batch) -> Result<(), Poison> {
        self.release.await_sound_write()?;
        self.parts.store.commit(batch).map_err(|error| self.poison(error.to_string()))
    }

    /// From here on the process can only end.
    pub(super) fn poison(&self, reason: String) -> Poison {
        // The first reason stands.
        let _ = self.parts.poison.set(reason.clone());
        Poison(reason)
    }

    /// Tells a storage failure, which ends the process, from damage, which ends one log.
    pub(super) fn poison_or_damage(&self, error: ReadError) -> Result<ReadError, Poison> {
        match error {
            ReadError::Store(StoreError::Io(problem)) => Err(self.poison(problem)),
            damage => Ok(damage),
        }
    }

    /// Writes rows for which there was no commit of entries to go with.
    fn maintain(&mut self, jobs: Vec<MaintainJob>) -> Result<(), Poison> {
        let mut batch = Batch::new();
        self.next_commit(&mut batch);
        let waiting = MaintainJob::write(jobs, &mut batch);
        self.commit(batch)?;
        waiting.tell();
        Ok(())
    }

    /// Deletes expired idempotency keys of the logs that are to be swept, one commit's worth. Decided here, where no append
    /// can use a key anew in between.
    fn sweep(&mut self) -> Result<(), Poison> {
        if self.to_sweep.is_empty() {
            return Ok(());
        }
        // What is on its way may use an expired key anew.
        self.release.await_sound_write()?;
        let now_ms = self.parts.clock.now_ms();
        let mut deletes = Vec::new();
        for _ in 0..SWEEP_LOGS {
            if deletes.len() >= SWEEP_ROWS {
                break;
            }
            let Some(log) = self.to_sweep.pop_front() else { break };
            match idempotency::expired(&*self.parts.store, log, now_ms) {
                Ok(expired) => {
                    deletes.extend(expired.rows);
                    if expired.more {
                        self.to_sweep.push_back(log);
                    }
                }
                Err(error) => {
                    let damage = self.poison_or_damage(error)?;
                    // Nothing that was promised hangs on it.
                    tracing::error!(%log, error = %damage, "expired idempotency keys can't be deleted");
                }
            }
        }
        if deletes.is_empty() { Ok(()) } else { self.maintain(vec![MaintainJob { deletes, ..MaintainJob::default() }]) }
    }

    /// A log whose expired idempotency keys the next step goes on to delete.
    pub(super) fn next_sweep(&self) -> Option<LogId> {
        self.to_sweep.front().copied()
    }

    /// Makes a log: its binding and its empty head in one commit. It is registered, and whoever asked is told, once that
    /// head is marked.
    fn create(&mut self, job: CreateJob) -> Result<(), Poison> {
        // The registry must have every log that was made before: two may want one name.
        self.release.drain()?;
        let CreateJob { terms, predecessor, signer, reply } = job;
        let (id, standing, head) = match self.plan_create(terms, predecessor, signer) {
            Ok(plan) => plan,
            Err(error) => {
                // Whoever asked may have gone.
                let _ = reply.send(Err(error));
                return Ok(());
            }
        };
        let mut batch = Batch::new();
        self.parts.database.next_log = LogId::new(id.get() + 1);
        let commit = self.next_commit(&mut batch);
        let Head { size, root, time_ms, .. } = head;
        let (state, nodes) = (LogState::Open, Some(Vec::new()));
        let row = HeadRow { commit, state, size, root, time_ms, stale: (0, 0), nodes, mendable: false };
        batch.put(BindingRow::key(id), standing.binding.encode());
        batch.put(HeadRow::key(id), row.encode());
        self.commit(batch)?;
        let index = standing.binding.hash_index.then(|| HashIndex::empty(id));
        let shared = Arc::new(Shared::new(id, standing, head, index, LogState::Open));
        self.residents.insert(id, Track::new(Arc::clone(&shared), GrowingTree::new(), time_ms));
        self.release.hand(Work::Created(Box::new(Created { commit, shared, reply })))
    }

    fn plan_create(
        &self,
        terms: Terms,
        predecessor: Option<LogName>,
        signer: Arc<dyn HeadSigner>,
    ) -> Result<(LogId, Standing, Head), CreateError> {
        for other in self.parts.registry.all() {
            if other.info.name == terms.name {
                return Err(CreateError::Exists(terms.name.to_string()));
            }
            let theirs = other.standing();
            let same_key = signer.keys().iter().any(|key| theirs.binding.has_public_key(key));
            if same_key || other.info.origin == terms.origin {
                return Err(CreateError::Shared(other.info.name.to_string()));
            }
        }
        let id = self.parts.database.next_log;
        if id.get() == u32::MAX {
            return Err(CreateError::Exhausted);
        }
        let created_ms = self.parts.clock.now_ms();
        let (size, root) = (TreeSize::ZERO, Hash::EMPTY_TREE);
        let edge = Some(Arc::new(GrowingTree::new().edge()));
        let mut head = Head { size, root, time_ms: created_ms, note: Bytes::new(), edge };
        head.note = sign_empty(&*signer, &terms.origin, &head).map_err(|error| CreateError::Sign(error.to_string()))?;
        let vkeys = signer.keys().iter().map(ToString::to_string).collect();
        let mut binding = BindingRow::new(&self.parts.database.id, terms, created_ms, vkeys);
        binding.predecessor = predecessor;
        Ok((id, Standing { binding, signer }, head))
    }

    /// Brings a log to hand with its unfinished bundle, so that entries can be placed.
    pub(super) fn bring_to_place(&mut self, shared: &Arc<Shared>) -> Result<(), ReadError> {
        self.bring(shared)?;
        match self.residents.get_mut(shared.info.id) {
            Some(track) if !track.has_tail() => {
                self.release.await_sound_write().map_err(|Poison(problem)| StoreError::Io(problem))?;
                track.ensure_tail(&Stored::new(&*self.parts.store, shared.info.id))
            }
            _ => Ok(()),
        }
    }

    /// Brings a log to hand.
    pub(super) fn bring(&mut self, shared: &Arc<Shared>) -> Result<(), ReadError> {
        let log = shared.info.id;
        if self.residents.get_mut(log).is_none() {
            // It may have been let go of while its last rows are on their way.
            self.release.await_sound_write().map_err(|Poison(problem)| StoreError::Io(problem))?;
            let stored = Stored::new(&*self.parts.store, log);
            let missing = || stored.damaged("the head row, number", 0, "it is not there");
            let row = self.parts.store.get(&HeadRow::key(log))?.ok_or_else(missing)?;
            let track = Track::load(Arc::clone(shared), &HeadRow::decode(&row)?, &stored)?;
            self.residents.insert(log, track);
        }
        Ok(())
    }

    /// Takes a log out of service for good: durably, with its last signed head, and without the rows in `undo`, which
    /// no signed head covers.
    pub(super) fn halt(&mut self, shared: &Arc<Shared>, error: &ReadError, undo: Vec<Key>) -> Result<(), Poison> {
        tracing::error!(log = %shared.info.name, %error, "the stored bytes do not match what was to be signed");
        // Heads of the log that are on their way are sound, and will be signed: it ends with the last of them.
        self.release.drain()?;
        self.halt_for(shared, Halt::damage(error.to_string()), undo)
    }

    /// As [`Writer::halt`], for any reason, where nothing of the log is on its way.
    pub(super) fn halt_for(&mut self, shared: &Arc<Shared>, halt: Halt, undo: Vec<Key>) -> Result<(), Poison> {
        let what = if halt.mendable { Decides::Nothing } else { Decides::Halted };
        let commit = self.halt_unmarked(shared, halt, undo)?;
        let decision = Decision { shared: Arc::clone(shared), what, done: None };
        self.release.hand(Work::Decided(commit, vec![decision]))?;
        self.release.drain()
    }

    /// Writes what was decided about logs, in a commit of its own, and has the high-water told of it: a database that lost it
    /// is refused. With its write-ahead log it would lose what stands there alone, and go on as if nothing had been decided.
    fn decide(&mut self, jobs: Vec<DecideJob>) -> Result<(), Poison> {
        let mut batch = Batch::new();
        let commit = self.next_commit(&mut batch);
        let mut decisions = Vec::with_capacity(jobs.len());
        for DecideJob { log: shared, puts, deletes, what, done } in jobs {
            puts.into_iter().for_each(|(key, value)| batch.put(key, value));
            deletes.into_iter().for_each(|key| batch.delete(key));
            decisions.push(Decision { shared, what, done: Some(done) });
        }
        self.commit(batch)?;
        self.release.hand(Work::Decided(commit, decisions))
    }

    /// Halts a log by a commit that the high-water is not told of yet; gives its number.
    fn halt_unmarked(&mut self, shared: &Shared, halt: Halt, undo: Vec<Key>) -> Result<u64, Poison> {
        let Halt { reason, mendable } = halt;
        let log = shared.info.id;
        self.residents.remove(log);
        // Some of its records may not have come to be.
        self.parts.newest.write().unwrap_or_else(PoisonError::into_inner).forget(log);
        if !mendable {
            let halted = Incident::halted(&shared.info.name, &reason, self.parts.clock.now_ms());
            if let Err(error) = self.parts.incidents.add(halted) {
                tracing::error!(log = %shared.info.name, %error, "the incident can't be written down");
            }
        }
        let head = shared.head();
        let state = LogState::Halted(reason.clone());
        let mut batch = Batch::new();
        let commit = self.next_commit(&mut batch);
        let (size, root, time_ms) = (head.size, head.root, head.time_ms);
        let state_now = state.clone();
        let row = HeadRow { commit, state: state_now, size, root, time_ms, stale: (0, 0), nodes: None, mendable };
        batch.put(HeadRow::key(log), row.encode());
        undo.into_iter().for_each(|key| batch.delete(key));
        self.commit(batch)?;
        tracing::error!(log = %shared.info.name, %reason, "log halted");
        shared.set_state(state);
        self.parts.observer.halted(log, &reason);
        Ok(commit)
    }
}

fn resume_error(Poison(problem): Poison) -> OpenError {
    ReadError::Store(StoreError::Io(problem)).into()
}
