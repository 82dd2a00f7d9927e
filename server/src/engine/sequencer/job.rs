//! What waits in the pool for the writer.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use cairn_tree::size::TreeSize;
use cairn_tree::store::{Batch, Key, LogId};
use tokio::sync::oneshot;

use super::pool::{Weighed, Whose};
use super::releaser::Unsound;
use crate::engine::append::{AppendError, Appended, Bound};
use crate::engine::batch::EntryBatch;
use crate::engine::head::{LogInfo, Shared};
use crate::engine::layout::Terms;
use crate::engine::life::{LifeError, Plan};
use crate::engine::postings::PrintSecret;
use crate::engine::records::{Prepared, RecordAnswer};
use crate::high_water::{Decided, Marks, PolicyMark};
use crate::log_name::LogName;
use crate::signer::HeadSigner;

/// One thing that the writer is to do in its next commit.
pub(in crate::engine) enum Job {
    /// Append a batch.
    Append(AppendJob),
    /// Append records.
    Record(Box<RecordJob>),
    /// Make a log.
    Create(Box<CreateJob>),
    /// Change a log's keys, end it, or begin it.
    Change(Box<ChangeJob>),
    /// Take a log out of service whose next head the signer refuses.
    Refused(Arc<Shared>, String),
    /// Take a log out of service whose rows do not read back as they were placed.
    Unsound(Box<Unsound>),
    /// Write rows that were prepared elsewhere and that no other job touches.
    Maintain(MaintainJob),
    /// Forget a log's expired idempotency keys.
    Sweep(LogId),
    /// Sign and release what was committed before the start, now that the log's witnesses have agreed.
    Release(Arc<Shared>, oneshot::Sender<()>),
    /// Halt a log for this reason.
    Halt(Arc<Shared>, String, oneshot::Sender<()>),
    /// Halt a log whose stored bytes were found damaged, as here.
    Damaged(Arc<Shared>, String, SyncSender<()>),
    /// Write down what was decided about a log.
    Decide(DecideJob),
    /// Make a copy of everything between two commits.
    Freeze(Box<FreezeJob>),
}

pub(in crate::engine) struct AppendJob {
    pub(in crate::engine) log: Arc<Shared>,
    pub(in crate::engine) is_of_crowd: bool,
    pub(in crate::engine) batch: EntryBatch,
    pub(in crate::engine) bound: Option<Bound>,
    pub(in crate::engine) reply: oneshot::Sender<Result<Appended, AppendError>>,
}

pub(in crate::engine) struct RecordJob {
    pub(in crate::engine) log: Arc<Shared>,
    pub(in crate::engine) is_of_crowd: bool,
    /// At least one.
    pub(in crate::engine) records: Vec<Prepared>,
    /// What the log's prints are keyed with.
    pub(in crate::engine) secret: PrintSecret,
    pub(in crate::engine) bound: Option<Bound>,
    pub(in crate::engine) reply: oneshot::Sender<RecordAnswer>,
}

/// What brings entries, in the order of the queue.
pub(super) enum Request {
    Append(AppendJob),
    Record(Box<RecordJob>),
}

impl Request {
    pub(super) fn log(&self) -> &Arc<Shared> {
        match self {
            Self::Append(job) => &job.log,
            Self::Record(job) => &job.log,
        }
    }

    pub(super) fn bound(&self) -> Option<Bound> {
        match self {
            Self::Append(job) => job.bound,
            Self::Record(job) => job.bound,
        }
    }

    /// Answers a request that is not admitted. Whoever asked may have gone.
    pub(super) fn refuse(self, error: AppendError) {
        match self {
            Self::Append(job) => drop(job.reply.send(Err(error))),
            Self::Record(job) => drop(job.reply.send(RecordAnswer::Refused(error.into()))),
        }
    }
}

pub(in crate::engine) struct CreateJob {
    pub(in crate::engine) terms: Terms,
    /// The log that it continues.
    pub(in crate::engine) predecessor: Option<LogName>,
    pub(in crate::engine) signer: Arc<dyn HeadSigner>,
    pub(in crate::engine) reply: oneshot::Sender<Result<LogInfo, CreateError>>,
}

pub(in crate::engine) struct ChangeJob {
    pub(in crate::engine) log: Arc<Shared>,
    pub(in crate::engine) plan: Plan,
    pub(in crate::engine) reply: oneshot::Sender<Result<(), LifeError>>,
}

/// Makes a copy, told the number of the last commit and the marks.
pub(in crate::engine) type MakeCopy = Box<dyn FnOnce(u64, &Marks) + Send>;

/// A copy of the database between two commits, with nothing on its way to be released.
pub(in crate::engine) struct FreezeJob {
    /// Makes it, told the number of the last commit and what has been released by now; tells whoever waits itself.
    pub(in crate::engine) make: MakeCopy,
}

/// Why a log was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// There is one of that name.
    #[error("a log named {0} exists already")]
    Exists(String),
    /// The key or the origin belongs to another log of this database.
    #[error("its key or origin belongs to log {0} already; every log has its own")]
    Shared(String),
    /// No more log ids are left.
    #[error("this database has no log ids left")]
    Exhausted,
    /// The origin does not fit the key.
    #[error("the first checkpoint can't be signed: {0}")]
    Sign(String),
    /// Too much waits already.
    #[error("the server is busy; try again")]
    Busy,
    /// The server is going down.
    #[error("the server is stopping")]
    Stopping,
}

/// Rows that say what was decided about a log, and that must not get lost: a database that lacks them is refused.
pub(in crate::engine) struct DecideJob {
    pub(in crate::engine) log: Arc<Shared>,
    pub(in crate::engine) puts: Vec<(Key, Vec<u8>)>,
    pub(in crate::engine) deletes: Vec<Key>,
    pub(in crate::engine) what: Decides,
    /// Told once the rows are durable, and the high-water knows of them.
    pub(in crate::engine) done: oneshot::Sender<()>,
}

/// What is decided about a log.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) enum Decides {
    /// That it is halted because of damage, which is mended.
    Nothing,
    /// That it is halted for good.
    Halted,
    /// Its policy, and the checkpoint that stays until a larger head meets it.
    Policy(PolicyMark, TreeSize),
    /// The checkpoint that is published.
    Checkpoint(TreeSize),
}

impl Decides {
    /// What is decided by then.
    pub(in crate::engine) fn after(self, before: Decided) -> Decided {
        match self {
            Self::Nothing => before,
            Self::Halted => Decided { halted: true, ..before },
            Self::Policy(policy, size) => Decided { policy, checkpoint: before.checkpoint.max(size), ..before },
            Self::Checkpoint(size) => Decided { checkpoint: before.checkpoint.max(size), ..before },
        }
    }
}

#[derive(Default)]
pub(in crate::engine) struct MaintainJob {
    pub(in crate::engine) puts: Vec<(Key, Vec<u8>)>,
    pub(in crate::engine) deletes: Vec<Key>,
    /// Told once the rows are durable; dropped if the writer ends before.
    pub(in crate::engine) done: Option<Done>,
}

/// Who waits for rows.
pub(in crate::engine) enum Done {
    /// A thread of ours.
    Thread(SyncSender<()>),
    /// A task.
    Task(oneshot::Sender<()>),
}

impl MaintainJob {
    /// Adds the rows to a batch. Whoever waits for them is told after its commit.
    pub(super) fn write(jobs: Vec<Self>, batch: &mut Batch) -> Waiting {
        let mut waiting = Vec::new();
        for job in jobs {
            job.puts.into_iter().for_each(|(key, value)| batch.put(key, value));
            job.deletes.into_iter().for_each(|key| batch.delete(key));
            waiting.extend(job.done);
        }
        Waiting(waiting)
    }
}

/// Those who wait for rows in a batch. Dropped, it tells them that the writer has ended.
#[must_use]
pub(super) struct Waiting(Vec<Done>);

impl Waiting {
    /// The rows are durable.
    pub(super) fn tell(self) {
        for done in self.0 {
            // Whoever asked may have gone.
            match done {
                Done::Thread(done) => drop(done.try_send(())),
                Done::Task(done) => drop(done.send(())),
            }
        }
    }
}

impl Weighed for Job {
    fn weight(&self) -> usize {
        match self {
            Self::Append(job) => job.batch.weight(),
            Self::Record(job) => job.records.iter().map(Prepared::weight).sum(),
            Self::Create(_) | Self::Change(_) | Self::Sweep(_) => 0,
            Self::Release(..) | Self::Halt(..) | Self::Refused(..) | Self::Damaged(..) | Self::Freeze(_) => 0,
            Self::Unsound(_) => 0,
            Self::Decide(job) => job.puts.iter().map(|(_, value)| value.len()).sum(),
            Self::Maintain(job) => job.puts.iter().map(|(_, value)| value.len()).sum(),
        }
    }

    fn whose(&self) -> Whose {
        let is_of_crowd = match self {
            Self::Append(job) => job.is_of_crowd,
            Self::Record(job) => job.is_of_crowd,
            _ => return Whose::Own,
        };
        if is_of_crowd { Whose::Many } else { Whose::Few }
    }
}
