//! What the writer hands over to the releaser, in the order in which the store gets it; large commits by way of a thread
//! of their own. Not here: what becomes of it, which is the releaser's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use cairn_tree::hash::Hash;
use cairn_tree::size::TreeSize;
use cairn_tree::store::{LogId, Store};
use tokio::sync::oneshot;

use super::admit::Admitted;
use super::beside::{Beside, Unwritten};
use super::check::Placed;
use super::job::{CreateError, Decides, Job};
use super::pool::UnderWay;
use super::records::AdmittedRecords;
use super::writer::Poison;
use crate::engine::append::IdempotencyKey;
use crate::engine::growing::Edge;
use crate::engine::head::{LogInfo, Shared, Standing};
use crate::engine::layout::LogState;
use crate::engine::life::LifeError;
use crate::engine::observer::CommitFigures;
use crate::high_water::Marks;

/// What the writer hands over, in order.
pub(super) enum Work {
    /// A commit of entries that the store has.
    Commit(Box<Commit>),
    /// A head of entries that were committed before the start, and nobody waits for.
    Rest(u64, Box<Unsigned>),
    /// A log that the store has.
    Created(Box<Created>),
    /// A change of a log's standing that the store has, with what it brought.
    Changed(Box<Changed>),
    /// A commit without heads that must not get lost, and what it decided about logs.
    Decided(u64, Vec<Decision>),
    /// Logs that the writer has let go of.
    Forget(Vec<Arc<Shared>>),
    /// Nothing: whoever sent it is told when all before it is done.
    Drain(SyncSender<()>),
    /// The same, and it gets what the high-water has by then.
    Marks(SyncSender<Marks>),
}

/// A commit of entries.
pub(super) struct Commit {
    /// Its number; `None` where only replays are answered, which needed no commit.
    pub(super) number: Option<u64>,
    /// What it brought, by log.
    pub(super) placed: Vec<Placed>,
    /// The idempotency keys that it made promises for.
    pub(super) promises: Vec<(LogId, IdempotencyKey)>,
    pub(super) admitted: Vec<Admitted>,
    pub(super) records: Vec<AdmittedRecords>,
    pub(super) figures: CommitFigures,
    /// When its write began.
    pub(super) begun: Instant,
    /// Until it is answered.
    pub(super) under_way: UnderWay<Job>,
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

/// What was decided about a log, and the store has.
pub(super) struct Decision {
    pub(super) shared: Arc<Shared>,
    pub(super) what: Decides,
    /// Told once the high-water has it.
    pub(super) done: Option<oneshot::Sender<()>>,
}

/// A change of a log's standing that is durable but not in force yet.
pub(super) struct Changed {
    pub(super) commit: u64,
    /// The entry that says so, if there is one. Its head is signed by the new standing's keys.
    pub(super) placed: Option<Placed>,
    /// Its leaf hash.
    pub(super) leaf: Option<Hash>,
    pub(super) shared: Arc<Shared>,
    pub(super) standing: Arc<Standing>,
    pub(super) state: LogState,
    pub(super) reply: oneshot::Sender<Result<(), LifeError>>,
}

/// The writer's side of the way to the releaser.
pub(in crate::engine) struct Handover {
    work: SyncSender<Work>,
    /// The thread for large commits, once it runs.
    beside: Option<Beside>,
    marked: Arc<AtomicU64>,
    poison: Arc<OnceLock<String>>,
}

impl Handover {
    pub(super) fn new(work: SyncSender<Work>, marked: Arc<AtomicU64>, poison: Arc<OnceLock<String>>) -> Self {
        Self { work, beside: None, marked, poison }
    }

    /// Hands over, behind everything that is written; waits while as much as may be on the way is. Fails once the second
    /// stage has, or a write: what points to a commit of unknown outcome is never told.
    pub(super) fn hand(&self, work: Work) -> Result<(), Poison> {
        self.await_sound_write()?;
        // What was not sent is dropped here, after the second stage has said why it ended.
        self.work.send(work).map_err(|_| self.ended())
    }

    /// Waits until everything is in the store that was to be written; fails if it never will be. Nothing may be written
    /// after a commit whose outcome is unknown.
    pub(super) fn await_sound_write(&self) -> Result<(), Poison> {
        if let Some(beside) = &self.beside {
            beside.wait();
        }
        self.poison.get().map_or(Ok(()), |reason| Err(Poison(reason.clone())))
    }

    /// Writes a commit, after the one before it, and hands it over; if it is large, another thread does both.
    pub(super) fn write(&self, commit: Unwritten, store: &dyn Store, large: bool) -> Result<(), Poison> {
        self.await_sound_write()?;
        match &self.beside {
            Some(beside) if large => beside.write(commit).then_some(()).ok_or_else(|| self.ended()),
            _ => self.hand(commit.write(store, &self.poison)?),
        }
    }

    /// The way to the second stage, for a thread that stands before it.
    pub(super) fn work(&self) -> SyncSender<Work> {
        self.work.clone()
    }

    /// From here on large commits are written by that thread.
    pub(super) fn set_beside(&mut self, beside: Beside) {
        self.beside = Some(beside);
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
        releaser_ended(&self.poison)
    }
}

/// Why nothing can be handed over any more.
pub(super) fn releaser_ended(poison: &OnceLock<String>) -> Poison {
    Poison(poison.get().cloned().unwrap_or_else(|| "the releasing thread has ended".to_owned()))
}
