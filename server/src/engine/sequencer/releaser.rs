//! The second stage of a commit: the check, signing, the high-water, and only then the answers. Its own thread, so that
//! the writer places and writes the next commit meanwhile.
//!
//! Commits come in the order in which the store got them and leave in that order: a replay, or a leaf that was there
//! already, is answered behind the commit that it points to. The store may be ahead of the marks by what is on the way
//! here; a start replays it, exactly as it replays a single commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_tree::size::LeafIndex;
use cairn_tree::store::{Key, LogId, StoreError};
use tokio::sync::oneshot;

use super::admit::Admitted;
use super::answer::{
    Signed, answer, answer_records, forget, index_leaves, index_prints, publish, publish_records, unload,
};
use super::check::{Checks, Placed};
use super::handover::{Changed, Commit, Created, Decision, Handover, Unsigned, Work};
use super::job::Job;
use super::records::AdmittedRecords;
use super::writer::Poison;
use crate::engine::append::IdempotencyKey;
use crate::engine::bounds::RELEASES_WAITING;
use crate::engine::due::Due;
use crate::engine::head::{Head, Shared, Standing};
use crate::engine::idempotency;
use crate::engine::layout::LogState;
use crate::engine::life::LifeError;
use crate::engine::observer::Observer;
use crate::engine::reader::Reader;
use crate::engine::registry::Registry;
use crate::engine::sign::sign_head;
use crate::engine::stored::ReadError;
use crate::high_water::{Decided, HighWater, HighWaterError, Mark, PolicyMark};
use crate::signer::SignerError;

/// What a commit brought to a log that must be taken back. Dropped, it tells those who wait that the server is stopping.
pub(in crate::engine) struct Unsound {
    pub(super) shared: Arc<Shared>,
    /// Why; `None` if the log is halted already, for the commit before.
    pub(super) reason: Option<String>,
    /// The keys of the rows.
    pub(super) undo: Vec<Key>,
    admitted: Vec<Admitted>,
    records: Vec<AdmittedRecords>,
    change: Option<oneshot::Sender<Result<(), LifeError>>>,
}

impl Unsound {
    /// Tells those who wait for it: the log is halted.
    pub(super) fn answer(self) {
        answer(self.admitted);
        answer_records(self.records);
        if let (Some(change), LogState::Halted(reason)) = (self.change, self.shared.state()) {
            // Whoever asked may have gone.
            let _ = change.send(Err(LifeError::Halted(reason)));
        }
    }
}

/// What the second stage is made of.
pub(in crate::engine) struct ReleaserParts {
    pub(in crate::engine) high_water: HighWater,
    /// The newest commit that the high-water has.
    pub(in crate::engine) marked: u64,
    pub(in crate::engine) observer: Arc<dyn Observer>,
    pub(in crate::engine) registry: Arc<Registry>,
    pub(in crate::engine) due: Arc<Due>,
    /// Reads the proofs that a signer asks for. Commits are read back from its store, past its caches.
    pub(in crate::engine) reader: Arc<Reader>,
    /// Set before any answer of a failed commit is dropped, so that whoever is told to stop finds the reason.
    pub(in crate::engine) poison: Arc<OnceLock<String>>,
}

/// Gives the writer something to do about a log of which nothing is signed any more.
pub(super) type Tell<'a> = &'a dyn Fn(Job);

pub(in crate::engine) struct Releaser {
    parts: ReleaserParts,
    marked: Arc<AtomicU64>,
    work: Receiver<Work>,
    checks: Checks,
    /// Logs whose head the signer refused: nothing of theirs is signed any more.
    refused: BTreeSet<LogId>,
    /// Logs whose rows did not read back as they were placed: likewise.
    unsound: BTreeSet<LogId>,
}

impl Releaser {
    pub(in crate::engine) fn new(parts: ReleaserParts) -> (Self, Handover) {
        let (send, work) = sync_channel(RELEASES_WAITING);
        let marked = Arc::new(AtomicU64::new(parts.marked));
        let poison = Arc::clone(&parts.poison);
        let handover = Handover::new(send, Arc::clone(&marked), poison);
        let checks = Checks::new(Arc::clone(&parts.reader.store));
        (Self { parts, marked, work, checks, refused: BTreeSet::new(), unsound: BTreeSet::new() }, handover)
    }

    /// Marks the heads that opening found unmarked; before anything is handed over.
    pub(super) fn resume(&mut self, commit: u64, marks: &[(LogId, Mark, Decided)]) -> Result<(), HighWaterError> {
        self.parts.high_water.append_decided(commit, marks)?;
        self.marked.store(commit, Ordering::Release);
        Ok(())
    }

    /// Marks the last head of a log that opening found damaged, and halted.
    pub(super) fn resume_halted(&mut self, commit: u64, log: &Shared) -> Result<(), HighWaterError> {
        self.parts.high_water.append(commit, &[(log.info.id, log.head().mark())])?;
        self.marked.store(commit, Ordering::Release);
        Ok(())
    }

    /// Does what is handed over until the writer has ended, or until something fails: then what waits is dropped. `tell`
    /// lets the writer halt a log.
    pub(super) fn run(mut self, tell: Tell<'_>) -> Result<(), Poison> {
        // A writer that failed has dropped its side: what it had handed over before is sound, and is finished.
        while let Ok(work) = self.work.recv() {
            match work {
                Work::Commit(commit) => self.finish(*commit, tell)?,
                Work::Rest(commit, unsigned) => self.finish_rest(commit, *unsigned, tell)?,
                Work::Created(created) => self.finish_creation(*created)?,
                Work::Changed(changed) => self.finish_change(*changed, tell)?,
                Work::Decided(commit, decisions) => self.finish_decisions(commit, decisions)?,
                Work::Forget(logs) => logs.iter().for_each(|log| {
                    self.checks.forget(log.info.id);
                    forget(log);
                }),
                // Whoever waited may have failed.
                Work::Drain(done) => drop(done.try_send(())),
                Work::Marks(done) => drop(done.try_send(self.parts.high_water.marks().clone())),
            }
        }
        Ok(())
    }

    /// Steps 2 to 5 of a commit of entries; the first stands in `commit`.
    fn finish(&mut self, commit: Commit, tell: Tell<'_>) -> Result<(), Poison> {
        let Commit { number, placed, promises, mut admitted, mut records, mut figures, begun, under_way } = commit;
        // 2. Nothing is signed that the store does not give back as it was placed.
        let started = Instant::now();
        let mut unsigned = Vec::new();
        for one in placed {
            match self.check(one, &promises)? {
                Ok(sound) => unsigned.extend(sound),
                Err(mut unsound) => {
                    // They are told once the log is halted for good.
                    let of_it = |log: &Shared| log.info.id == unsound.shared.info.id;
                    unsound.admitted = admitted.extract_if(.., |one| of_it(&one.log)).collect();
                    unsound.records = records.extract_if(.., |one| of_it(&one.log)).collect();
                    tell(Job::Unsound(Box::new(unsound)));
                }
            }
        }
        figures.check = started.elapsed();
        // 3. The signatures. Until the next step is done nobody is told of them.
        let started = Instant::now();
        let mut signed = Vec::new();
        for one in unsigned {
            let standing = one.shared.standing();
            signed.extend(self.sign(one, &standing, tell)?);
        }
        figures.sign = started.elapsed();
        figures.logs = signed.len();
        // 4. The high-water, outside the store: from here on a database that lacks these heads is refused.
        let marked = number.filter(|_| !signed.is_empty());
        if let Some(commit) = marked {
            figures.high_water = self.mark(commit, signed.iter().map(Signed::mark).collect())?;
        }
        // 5. The point of no return: below, heads and receipts leave the process and are never contradicted again.
        let grown: Vec<Arc<Shared>> = signed.iter().map(|signed| Arc::clone(&signed.shared)).collect();
        publish(&admitted, signed, &self.parts.due);
        publish_records(&records, &grown, &self.parts.due);
        if let Some(commit) = marked {
            self.marked.store(commit, Ordering::Release);
        }
        answer(admitted);
        answer_records(records);
        drop(under_way);
        figures.whole = begun.elapsed();
        self.parts.observer.committed(&figures);
        Ok(())
    }

    /// The same for a head alone.
    fn finish_rest(&mut self, commit: u64, unsigned: Unsigned, tell: Tell<'_>) -> Result<(), Poison> {
        let standing = unsigned.shared.standing();
        let Some(signed) = self.sign(unsigned, &standing, tell)? else { return Ok(()) };
        self.mark(commit, vec![signed.mark()])?;
        // The point of no return.
        signed.shared.heads.send_replace(Arc::new(signed.head));
        // Whoever has looked something up before has loaded what was released then.
        unload(&signed.shared);
        signed.shared.followed.wake_all();
        self.marked.store(commit, Ordering::Release);
        Ok(())
    }

    /// The same for a new log, whose empty head was signed before its commit.
    fn finish_creation(&mut self, created: Created) -> Result<(), Poison> {
        let Created { commit, shared, reply } = created;
        // It has no policy, and a repair is to know that.
        let decided = Decided { policy: PolicyMark::Absent, ..Decided::default() };
        let marked = self.parts.high_water.append_decided(commit, &[(shared.info.id, shared.head().mark(), decided)]);
        marked.map_err(|error| self.poison(format!("high-water: {error}")))?;
        // The point of no return.
        self.parts.registry.insert(Arc::clone(&shared));
        self.marked.store(commit, Ordering::Release);
        // Whoever asked may have gone; the log is there all the same.
        let _ = reply.send(Ok(shared.info.clone()));
        Ok(())
    }

    /// The same for a change of a log's keys, or of its place in a row of logs.
    fn finish_change(&mut self, changed: Changed, tell: Tell<'_>) -> Result<(), Poison> {
        let Changed { commit, placed, leaf, shared, standing, state, reply } = changed;
        let mut head = None;
        if let Some(one) = placed {
            let unsigned = match self.check(one, &[])? {
                Ok(unsigned) => unsigned,
                Err(unsound) => {
                    tell(Job::Unsound(Box::new(Unsound { change: Some(reply), ..unsound })));
                    return Ok(());
                }
            };
            let signed = unsigned.map(|unsigned| self.sign(unsigned, &standing, tell)).transpose()?.flatten();
            let Some(signed) = signed else {
                // Whoever asked may have gone.
                let _ = reply.send(Err(LifeError::Halted("its signer refuses".to_owned())));
                return Ok(());
            };
            self.mark(commit, vec![signed.mark()])?;
            head = Some(signed.head);
        } else {
            self.mark(commit, vec![(shared.info.id, shared.head().mark())])?;
        }
        // The point of no return.
        shared.change(standing, head, state);
        // The entry that says so is found by its leaf like any other.
        let index = shared.head().size.get().checked_sub(1).and_then(|last| LeafIndex::new(last).ok());
        index_leaves(&shared, index.zip(leaf).into_iter(), &self.parts.due);
        index_prints(&shared, &[]);
        self.marked.store(commit, Ordering::Release);
        // Whoever asked may have gone; the change is made all the same.
        let _ = reply.send(Ok(()));
        Ok(())
    }

    /// Reads back what one log got, and gives its head to be signed; none if the signer has refused one before. Where it is
    /// not as it was placed, it is taken back, and so are later commits that are on their way to the log.
    fn check(
        &mut self,
        mut placed: Placed,
        promises: &[(LogId, IdempotencyKey)],
    ) -> Result<Result<Option<Unsigned>, Unsound>, Poison> {
        let log = placed.log();
        if self.refused.contains(&log) {
            return Ok(Ok(None));
        }
        let mut reason = None;
        if !self.unsound.contains(&log) {
            match self.checks.check(&mut placed) {
                Ok(unsigned) => return Ok(Ok(Some(unsigned))),
                Err(ReadError::Store(StoreError::Io(problem))) => return Err(self.poison(problem)),
                Err(damage) => reason = Some(damage.to_string()),
            }
        }
        if let Some(reason) = &reason {
            self.unsound.insert(log);
            // Nothing more is placed in it.
            placed.shared.set_state(LogState::Halted(reason.clone()));
        }
        let mut undo = placed.keys(self.checks.store());
        let of_log = promises.iter().filter(|(of, _)| *of == log);
        undo.extend(of_log.map(|(log, key)| idempotency::row_key(*log, key)));
        let (admitted, records) = (Vec::new(), Vec::new());
        Ok(Err(Unsound { shared: placed.shared, reason, undo, admitted, records, change: None }))
    }

    /// Signs a head; none if the signer refuses, now or before: then the log is halted.
    ///
    /// A signer that fails ends the process. It had its time to come back; the entries are durable, nobody was told of
    /// them, and the next start signs them or says what is wrong. Going on without it would pile up entries that nobody
    /// can be told of, for every log of the database.
    fn sign(&mut self, one: Unsigned, standing: &Standing, tell: Tell<'_>) -> Result<Option<Signed>, Poison> {
        let Unsigned { shared, size, root, time_ms, edge } = one;
        if self.refused.contains(&shared.info.id) {
            return Ok(None);
        }
        let mut head = Head { size, root, time_ms, note: Bytes::new(), edge: Some(edge) };
        let old = shared.head().tree();
        match sign_head(&*standing.signer, (&shared, &self.parts.reader), old, &head) {
            Ok(note) => {
                head.note = note;
                Ok(Some(Signed { shared, head }))
            }
            Err(SignerError::Refused(reason)) => {
                self.refused.insert(shared.info.id);
                shared.set_state(LogState::Halted(reason.clone()));
                tell(Job::Refused(shared, reason));
                Ok(None)
            }
            Err(SignerError::Failed(reason)) => Err(self.poison(format!("the signer failed: {reason}"))),
        }
    }

    /// Marks the last heads of logs once more, with what was decided about them by a commit: a database that lacks it is
    /// refused, like one that lacks a head.
    fn finish_decisions(&mut self, commit: u64, decisions: Vec<Decision>) -> Result<(), Poison> {
        let mut decided: BTreeMap<LogId, (Mark, Decided)> = BTreeMap::new();
        for Decision { shared, what, .. } in &decisions {
            let log = shared.info.id;
            let before = || (shared.head().mark(), self.parts.high_water.marks().decided(log).unwrap_or_default());
            let (_, decided) = decided.entry(log).or_insert_with(before);
            *decided = what.after(*decided);
        }
        let marks: Vec<_> = decided.into_iter().map(|(log, (mark, decided))| (log, mark, decided)).collect();
        let marked = self.parts.high_water.append_decided(commit, &marks);
        marked.map_err(|error| self.poison(format!("high-water: {error}")))?;
        self.marked.store(commit, Ordering::Release);
        for done in decisions.into_iter().filter_map(|decision| decision.done) {
            // Whoever asked may have gone.
            let _ = done.send(());
        }
        Ok(())
    }

    fn mark(&mut self, commit: u64, marks: Vec<(LogId, Mark)>) -> Result<Duration, Poison> {
        let started = Instant::now();
        let marked = self.parts.high_water.append(commit, &marks);
        marked.map_err(|error| self.poison(format!("high-water: {error}")))?;
        Ok(started.elapsed())
    }

    /// From here on the process can only end.
    fn poison(&self, reason: String) -> Poison {
        // The first reason stands.
        let _ = self.parts.poison.set(reason.clone());
        Poison(reason)
    }
}
