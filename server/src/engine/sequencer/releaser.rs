//! The second stage of a commit: signing, the high-water, and only then the answers. Its own thread, so that the writer
//! places and writes the next commit meanwhile.
//!
//! Commits come in the order in which the store got them and leave in that order: a replay, or a leaf that was there
//! already, is answered behind the commit that it points to. The store may be ahead of the marks by what is on the way
//! here; a start replays it, exactly as it replays a single commit. Not here: the check against the store, which comes
//! before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_tree::hash::Hash;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::store::LogId;
use tokio::sync::oneshot;

use super::admit::Admitted;
use super::job::CreateError;
use super::records::{AdmittedRecords, RecordOutcome};
use super::writer::Poison;
use crate::engine::append::{AppendError, Appended};
use crate::engine::bounds::RELEASES_WAITING;
use crate::engine::due::Due;
use crate::engine::growing::Edge;
use crate::engine::head::{Head, LogInfo, Shared, Standing};
use crate::engine::layout::{LogState, Placement};
use crate::engine::life::LifeError;
use crate::engine::observer::{CommitFigures, Observer};
use crate::engine::postings::Print;
use crate::engine::reader::Reader;
use crate::engine::records::{Found, Told};
use crate::engine::registry::Registry;
use crate::engine::sign::{sign_head, tree};
use crate::high_water::{HighWater, HighWaterError, Mark, Marks};
use crate::signer::SignerError;

/// What the writer hands over, in order.
pub(super) enum Work {
    /// A commit of entries that the store has and gives back as it was placed.
    Commit(Box<Checked>),
    /// A head of entries that were committed before the start, and nobody waits for.
    Rest(u64, Box<Unsigned>),
    /// A log that the store has.
    Created(Box<Created>),
    /// A change of a log's standing that the store has.
    Changed(Box<Changed>),
    /// Logs that the writer has let go of.
    Forget(Vec<Arc<Shared>>),
    /// Nothing: whoever sent it is told when all before it is done.
    Drain(SyncSender<()>),
    /// The same, and it gets what the high-water has by then.
    Marks(SyncSender<Marks>),
}

/// A commit that may be signed.
pub(super) struct Checked {
    /// Its number; `None` where only replays are answered, which needed no commit.
    pub(super) commit: Option<u64>,
    pub(super) unsigned: Vec<Unsigned>,
    pub(super) admitted: Vec<Admitted>,
    pub(super) records: Vec<AdmittedRecords>,
    pub(super) figures: CommitFigures,
    /// When its write began.
    pub(super) begun: Instant,
}

/// A head that the store gives back as it was placed.
pub(super) struct Unsigned {
    pub(super) shared: Arc<Shared>,
    pub(super) size: TreeSize,
    pub(super) root: Hash,
    pub(super) time_ms: u64,
    pub(super) edge: Arc<Edge>,
}

/// A log that was made but may not be told of yet.
pub(super) struct Created {
    pub(super) commit: u64,
    pub(super) shared: Arc<Shared>,
    pub(super) reply: oneshot::Sender<Result<LogInfo, CreateError>>,
}

/// A change of a log's standing that is durable but not in force yet.
pub(super) struct Changed {
    pub(super) commit: u64,
    /// The head that covers the entry that says so, if there is one; signed by the new standing's keys.
    pub(super) unsigned: Option<Unsigned>,
    pub(super) shared: Arc<Shared>,
    pub(super) standing: Arc<Standing>,
    pub(super) state: LogState,
    pub(super) reply: oneshot::Sender<Result<(), LifeError>>,
}

/// A head that is signed but may not be told yet.
struct Signed {
    shared: Arc<Shared>,
    head: Head,
}

/// What the second stage is made of.
pub(in crate::engine) struct ReleaserParts {
    pub(in crate::engine) high_water: HighWater,
    /// The newest commit that the high-water has.
    pub(in crate::engine) marked: u64,
    pub(in crate::engine) observer: Arc<dyn Observer>,
    pub(in crate::engine) registry: Arc<Registry>,
    pub(in crate::engine) due: Arc<Due>,
    /// Reads the proofs that a signer asks for.
    pub(in crate::engine) reader: Arc<Reader>,
    /// Set before any answer of a failed commit is dropped, so that whoever is told to stop finds the reason.
    pub(in crate::engine) poison: Arc<OnceLock<String>>,
}

/// Lets the writer halt a log, for this reason.
pub(super) type Halt<'a> = &'a dyn Fn(Arc<Shared>, String);

pub(in crate::engine) struct Releaser {
    parts: ReleaserParts,
    marked: Arc<AtomicU64>,
    work: Receiver<Work>,
    /// Logs whose head the signer refused: nothing of theirs is signed any more.
    refused: BTreeSet<LogId>,
}

/// The writer's side of it.
pub(in crate::engine) struct Handover {
    work: SyncSender<Work>,
    marked: Arc<AtomicU64>,
    poison: Arc<OnceLock<String>>,
}

impl Handover {
    /// Hands over; waits while as much as may be on the way is. Fails once the second stage has.
    pub(super) fn hand(&self, work: Work) -> Result<(), Poison> {
        // What was not sent is dropped here, after the second stage has said why it ended.
        self.work.send(work).map_err(|_| self.ended())
    }

    /// Waits until everything that was handed over is released.
    pub(super) fn drain(&self) -> Result<(), Poison> {
        let (done, told) = sync_channel(1);
        self.hand(Work::Drain(done))?;
        told.recv().map_err(|_| self.ended())
    }

    /// As [`Handover::drain`], with what the high-water has then.
    pub(super) fn marks(&self) -> Result<Marks, Poison> {
        let (done, told) = sync_channel(1);
        self.hand(Work::Marks(done))?;
        told.recv().map_err(|_| self.ended())
    }

    /// The newest commit that is released: its marks are durable, its heads are out, the hash index has its leaves.
    pub(super) fn released(&self) -> u64 {
        self.marked.load(Ordering::Acquire)
    }

    fn ended(&self) -> Poison {
        Poison(self.poison.get().cloned().unwrap_or_else(|| "the releasing thread has ended".to_owned()))
    }
}

impl Releaser {
    pub(in crate::engine) fn new(parts: ReleaserParts) -> (Self, Handover) {
        let (send, work) = sync_channel(RELEASES_WAITING);
        let marked = Arc::new(AtomicU64::new(parts.marked));
        let handover = Handover { work: send, marked: Arc::clone(&marked), poison: Arc::clone(&parts.poison) };
        (Self { parts, marked, work, refused: BTreeSet::new() }, handover)
    }

    /// Marks the heads that opening found unmarked; before anything is handed over.
    pub(super) fn resume(&mut self, commit: u64, marks: &[(LogId, Mark)]) -> Result<(), HighWaterError> {
        self.parts.high_water.append(commit, marks)?;
        self.marked.store(commit, Ordering::Release);
        Ok(())
    }

    /// Does what is handed over until the writer has ended, or until something fails: then what waits is dropped. `halt`
    /// lets the writer halt a log.
    pub(super) fn run(mut self, halt: Halt<'_>) -> Result<(), Poison> {
        // A writer that failed has dropped its side: what it had handed over before is sound, and is finished.
        while let Ok(work) = self.work.recv() {
            match work {
                Work::Commit(checked) => self.finish(*checked, halt)?,
                Work::Rest(commit, unsigned) => self.finish_rest(commit, *unsigned, halt)?,
                Work::Created(created) => self.finish_creation(*created)?,
                Work::Changed(changed) => self.finish_change(*changed, halt)?,
                Work::Forget(logs) => logs.iter().for_each(|log| forget(log)),
                // Whoever waited may have failed.
                Work::Drain(done) => drop(done.try_send(())),
                Work::Marks(done) => drop(done.try_send(self.parts.high_water.marks().clone())),
            }
        }
        Ok(())
    }

    /// Steps 3 to 5 of a commit of entries; the first two stand in `commit`.
    fn finish(&mut self, checked: Checked, halt: Halt<'_>) -> Result<(), Poison> {
        let Checked { commit, unsigned, admitted, records, mut figures, begun } = checked;
        // 3. The signatures. Until the next step is done nobody is told of them.
        let started = Instant::now();
        let mut signed = Vec::new();
        for one in unsigned {
            let standing = one.shared.standing();
            signed.extend(self.sign(one, &standing, halt)?);
        }
        figures.sign = started.elapsed();
        figures.logs = signed.len();
        // 4. The high-water, outside the store: from here on a database that lacks these heads is refused.
        let marked = commit.filter(|_| !signed.is_empty());
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
        for AdmittedRecords { log, outcome, reply } in records {
            // Whoever asked may have gone; the records are there all the same.
            let _ = reply.send(outcome.answer(&log));
        }
        figures.whole = begun.elapsed();
        self.parts.observer.committed(&figures);
        Ok(())
    }

    /// The same for a head alone.
    fn finish_rest(&mut self, commit: u64, unsigned: Unsigned, halt: Halt<'_>) -> Result<(), Poison> {
        let standing = unsigned.shared.standing();
        let Some(signed) = self.sign(unsigned, &standing, halt)? else { return Ok(()) };
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
        let Head { size, root, time_ms, .. } = *shared.head();
        self.mark(commit, vec![(shared.info.id, Mark { size, root, time_ms })])?;
        // The point of no return.
        self.parts.registry.insert(Arc::clone(&shared));
        self.marked.store(commit, Ordering::Release);
        // Whoever asked may have gone; the log is there all the same.
        let _ = reply.send(Ok(shared.info.clone()));
        Ok(())
    }

    /// The same for a change of a log's keys, or of its place in a row of logs.
    fn finish_change(&mut self, changed: Changed, halt: Halt<'_>) -> Result<(), Poison> {
        let Changed { commit, unsigned, shared, standing, state, reply } = changed;
        let mut head = None;
        if let Some(one) = unsigned {
            let Some(signed) = self.sign(one, &standing, halt)? else {
                let _ = reply.send(Err(LifeError::Halted("its signer refuses".to_owned())));
                return Ok(());
            };
            self.mark(commit, vec![signed.mark()])?;
            head = Some(signed.head);
        }
        // The point of no return.
        let marked = head.is_some();
        shared.change(standing, head, state);
        index_prints(&shared, &[]);
        if marked {
            self.marked.store(commit, Ordering::Release);
        }
        // Whoever asked may have gone; the change is made all the same.
        let _ = reply.send(Ok(()));
        Ok(())
    }

    /// Signs a head; none if the signer refuses, now or before: then the log is halted.
    ///
    /// A signer that fails ends the process. It had its time to come back; the entries are durable, nobody was told of
    /// them, and the next start signs them or says what is wrong. Going on without it would pile up entries that nobody
    /// can be told of, for every log of the database.
    fn sign(&mut self, one: Unsigned, standing: &Standing, halt: Halt<'_>) -> Result<Option<Signed>, Poison> {
        let Unsigned { shared, size, root, time_ms, edge } = one;
        if self.refused.contains(&shared.info.id) {
            return Ok(None);
        }
        let mut head = Head { size, root, time_ms, note: Bytes::new(), edge: Some(edge) };
        let old = tree(&shared.head());
        match sign_head(&*standing.signer, (&shared, &self.parts.reader), old, &head) {
            Ok(note) => {
                head.note = note;
                Ok(Some(Signed { shared, head }))
            }
            Err(SignerError::Refused(reason)) => {
                self.refused.insert(shared.info.id);
                shared.set_state(LogState::Halted(reason.clone()));
                halt(shared, reason);
                Ok(None)
            }
            Err(SignerError::Failed(reason)) => Err(self.poison(format!("the signer failed: {reason}"))),
        }
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

impl Signed {
    fn mark(&self) -> (LogId, Mark) {
        let Head { size, root, time_ms, .. } = self.head;
        (self.shared.info.id, Mark { size, root, time_ms })
    }
}

/// Publishes the heads, then the leaves.
fn publish(admitted: &[Admitted], signed: Vec<Signed>, due: &Due) {
    for Signed { shared, head } in signed {
        shared.heads.send_replace(Arc::new(head));
    }
    // After the heads: an index that is loaded meanwhile reads the log up to the new head. Before the answers: whoever
    // has a receipt finds its leaf.
    for one in admitted.iter().filter(|one| !one.replayed && is_released(one)) {
        index_leaves(&one.log, new_leaves(one), due);
    }
}

fn index_leaves(log: &Shared, leaves: impl Iterator<Item = (LeafIndex, Hash)>, due: &Due) {
    if let Some(index) = &log.index {
        index.insert(leaves);
        if index.is_due() {
            due.push(log.info.id);
        }
    }
}

/// Lets records be found, by their leaves and their prints. Then the postings know the logs that have grown up to their
/// heads.
fn publish_records(records: &[AdmittedRecords], grown: &[Arc<Shared>], due: &Due) {
    let mut found: BTreeMap<LogId, Vec<(Print, LeafIndex)>> = BTreeMap::new();
    for AdmittedRecords { log, outcome, .. } in records {
        let RecordOutcome::Placed { told, prints } = outcome else { continue };
        let size = log.head().size;
        if outcome.rests_on().is_some_and(|index| size.contains(index)) {
            let new = |told: &Told| match told {
                Told::New(sequenced) => Some((sequenced.index, sequenced.leaf)),
                Told::Before(_) => None,
            };
            index_leaves(log, told.iter().filter_map(new), due);
            found.entry(log.info.id).or_default().extend_from_slice(prints);
        }
    }
    // Of logs that grew by other entries too: the postings know then that these have none.
    for log in grown {
        let found = found.remove(&log.info.id).unwrap_or_default();
        index_prints(log, &found);
        log.followed.wake(&found);
    }
}

/// Tells the postings of a log that it has grown up to its head, by leaves that have these.
fn index_prints(log: &Shared, prints: &[(Print, LeafIndex)]) {
    if let Some(Found { postings, .. }) = log.found.get() {
        postings.insert(log.head().size, prints);
    }
}

/// Answers every request from the newest head of its log.
fn answer(admitted: Vec<Admitted>) {
    for one in admitted {
        let answer = match one.log.state() {
            // The writer may have halted the log for a later commit, or for this one.
            LogState::Halted(reason) if !is_released(&one) => Err(AppendError::Halted(reason)),
            _ => Ok(Appended { placement: one.placement, head: one.log.head(), replayed: one.replayed }),
        };
        // Whoever asked may have gone; the entries are there all the same.
        let _ = one.reply.send(answer);
    }
}

/// Whether the request's entries are under a signed head. They are not if its own commit halted the log, or, where it
/// is a replay, if the commit did that it points to: then its places are past the last signed head for good.
fn is_released(one: &Admitted) -> bool {
    let size = one.log.head().size;
    one.placement.indexes().all(|index| size.contains(index))
}

/// The leaves that a request placed, with their indexes. One that the index has already keeps its index.
fn new_leaves(one: &Admitted) -> impl Iterator<Item = (LeafIndex, Hash)> + '_ {
    let indexes: Box<dyn Iterator<Item = LeafIndex>> = match &one.placement {
        Placement::Run { first, .. } => Box::new((first.get()..).map_while(|index| LeafIndex::new(index).ok())),
        Placement::Each(indexes) => Box::new(indexes.iter().copied()),
    };
    indexes.zip(one.batch.leaves().iter().copied())
}

/// Lets go of what is in memory for a log that has not been written to for long; readers load it when they ask.
fn forget(shared: &Shared) {
    shared.heads.send_if_modified(|head| {
        let Head { size, root, time_ms, ref note, .. } = **head;
        *head = Arc::new(Head { size, root, time_ms, note: note.clone(), edge: None });
        // The head is the same: nobody who follows it is told.
        false
    });
    unload(shared);
}

/// Lets go of a log's indexes in memory.
fn unload(shared: &Shared) {
    if let Some(index) = &shared.index {
        index.unload();
    }
    if let Some(Found { postings, .. }) = shared.found.get() {
        postings.unload();
    }
}
