//! An outbox on the disk for a producer's records: what was appended to it is delivered to the log once, in order, whatever
//! fails in between.
//!
//! [`Outbox::append`] returns when the records, with their ids, their idempotency key and, if they are signed, their salts,
//! are durable on this machine. [`Delivery`] sends them, again and again if it must: under the same key, and when the server
//! has forgotten the key, under the same ids, which are unique in a log for ever. An answer counts only when it is verified
//! under the log's key. What a log refuses for good waits, with the answer, for somebody who tries it again or gives it up;
//! giving up puts a record of that into the log.
//!
//! An outbox is bounded: when it is full, appending fails at once. One process has it open at a time; [`Session`] is how
//! others reach it. `docs/outbox.md` tells what is promised and what is not.
//!
//! Rooms: [`entry`] what the journal says, [`segment`] and [`store`] its files, [`state`] what follows from it, [`writer`]
//! the one thread that writes, [`shared`] what it and everybody else see, [`event`] what is fixed before sending,
//! [`dropped`] what tells of a drop, [`delivery`] and [`judge`] the way to the log, [`socket`] the way in for other
//! processes; [`options`], [`error`], [`status`] and [`listed`] what its users see.

pub mod bounds;
mod delivery;
mod dropped;
mod entry;
mod error;
mod event;
mod judge;
mod listed;
mod options;
mod pace;
mod receipts;
mod reply;
mod segment;
mod shared;
mod socket;
mod state;
mod status;
mod store;
mod surroundings;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::Instant;

use cairn_tree::record::id::RecordId;

pub use self::delivery::{Delivery, DeliveryError, Ended, Policy, Target};
use self::entry::{BatchNumber, Entry};
pub use self::entry::{Refusal, commit_again};
pub use self::error::{AppendError, ChangeError};
pub use self::event::{Event, EventError, Signing};
pub(crate) use self::listed::Listed;
pub use self::options::{AfterRefusal, Limits, Options};
pub(crate) use self::receipts::{check as check_answer, check_same, vouches_for};
use self::reply::Reply;
use self::shared::Shared;
pub use self::socket::{Reply as SocketReply, Request as SocketRequest, Session, SocketError, answer, listen};
use self::state::{Batch, State};
pub use self::status::{Refused, Status};
use self::store::Store;
pub use self::store::StoreError;
use self::surroundings::draw;
pub use self::surroundings::{Machine, NoRandomness, Surroundings};
use self::writer::{Job, Writer};
use crate::sector::StoreId;

/// A batch that is in the outbox, durably.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Its number in the outbox.
    pub number: u64,
    /// The ids of its records, under which they will be in the log.
    pub ids: Vec<RecordId>,
}

/// A batch that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The ids of its records. They are dropped together, as they would have been appended.
    pub ids: Vec<RecordId>,
    /// The ids of the records that tell of it, which are in the outbox now.
    pub records: Vec<RecordId>,
    /// Whether the log had refused it for good. Otherwise nobody knows whether it is in the log: it may have been sent, and
    /// the answer lost.
    pub was_refused: bool,
}

/// An open outbox. Clones are the same one; it is closed with the last of them.
#[derive(Clone)]
pub struct Outbox(Arc<Inner>);

struct Inner {
    jobs: Option<SyncSender<Job>>,
    shared: Arc<Shared>,
    signing: Option<Signing>,
    surroundings: Arc<dyn Surroundings>,
    writer: Option<JoinHandle<()>>,
}

impl Outbox {
    /// Opens the outbox in a folder, all of which is read and checked.
    ///
    /// # Errors
    /// [`StoreError`] if it is damaged, somebody else's, or open in another process.
    pub fn open(folder: &Path, options: Options) -> Result<Self, StoreError> {
        let Options { limits, after_refusal, signing, sweep_after, segment_bytes, make, surroundings } = options;
        let io = |error: String| StoreError::Io { path: folder.to_owned(), error: std::io::Error::other(error) };
        let id = draw(&*surroundings).map_err(|error| io(error.to_string()))?;
        let (store, entries) = Store::open(folder, segment_bytes, make.then_some(StoreId::new(id)))?;
        let mut state = State::new(after_refusal == AfterRefusal::GoOn);
        let mut is_dirty = false;
        for (entry, place) in entries {
            is_dirty |= matches!(entry, Entry::Delivered(_) | Entry::Dropped(..));
            state.apply(entry, place);
        }
        let shared = Arc::new(Shared::new(state));
        let (jobs, received) = mpsc::sync_channel(bounds::QUEUE);
        let writer = Writer {
            store,
            jobs: received,
            shared: Arc::clone(&shared),
            limits,
            // Not all the time, where it can't be done now.
            sweep_after: sweep_after.max(bounds::LEAST_SWEEP_AFTER),
            unwritten: Vec::new(),
            dirty: is_dirty.then(Instant::now),
            sweeping: None,
        };
        let thread = std::thread::Builder::new().name("outbox".into()).spawn(move || writer.run());
        let writer = Some(thread.map_err(|error| io(error.to_string()))?);
        Ok(Self(Arc::new(Inner { jobs: Some(jobs), shared, signing, surroundings, writer })))
    }

    /// Appends a batch, to be delivered as one: all of its records get into the log, in a row, or none. Waits for the disk.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append(&self, events: &[Event]) -> Result<Ticket, AppendError> {
        let (reply, receiver) = Reply::thread();
        self.send_append(events, reply)?;
        receiver.recv().unwrap_or_else(|_| Err(AppendError::Failed(self.0.shared.failure())))
    }

    /// The same for asynchronous code, on any runtime.
    ///
    /// # Errors
    /// [`AppendError`].
    pub async fn append_async(&self, events: &[Event]) -> Result<Ticket, AppendError> {
        let (reply, receiver) = Reply::task();
        self.send_append(events, reply)?;
        receiver.await.unwrap_or_else(|_| Err(AppendError::Failed(self.0.shared.failure())))
    }

    fn send_append(&self, events: &[Event], reply: Reply<Result<Ticket, AppendError>>) -> Result<(), AppendError> {
        let Inner { surroundings, signing, .. } = &*self.0;
        let prepared = event::prepare(events, signing.as_ref(), &**surroundings)?;
        let key = draw(&**surroundings).map_err(EventError::from)?;
        self.send(Job::Append(prepared, key, surroundings.now(), reply)).map_err(|refused| match refused {
            Unsent::Full => AppendError::Busy,
            Unsent::Closed => AppendError::Failed(self.0.shared.failure()),
        })
    }

    fn send(&self, job: Job) -> Result<(), Unsent> {
        let jobs = self.0.jobs.as_ref().ok_or(Unsent::Closed)?;
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Unsent::Full,
            TrySendError::Disconnected(_) => Unsent::Closed,
        })
    }

    fn ask<T>(
        &self,
        job: impl FnOnce(Reply<Result<T, ChangeError>>) -> Job,
    ) -> Result<mpsc::Receiver<Result<T, ChangeError>>, ChangeError> {
        let (reply, receiver) = Reply::thread();
        self.send(job(reply)).map_err(|refused| match refused {
            Unsent::Full => ChangeError::Busy,
            Unsent::Closed => ChangeError::Failed(self.0.shared.failure()),
        })?;
        Ok(receiver)
    }

    /// Lets what was refused be tried again: the batch that a record is in, or all. Returns how many batches that are.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn retry(&self, id: Option<RecordId>) -> Result<usize, ChangeError> {
        let receiver = self.ask(|reply| Job::Retry(id, reply))?;
        receiver.recv().unwrap_or_else(|_| Err(ChangeError::Failed(self.0.shared.failure())))
    }

    /// Gives up the batch that a record is in. For each of its records (of more than a hundred, for each of their streams,
    /// up to a thousand), another one that tells of it is put into the outbox in the same commit: an ordinary record in the
    /// same stream, with the operation `outbox.dropped`, the reason, and ids and digest of what was dropped. A batch of such
    /// records that is dropped itself is only noted in the outbox.
    ///
    /// # Errors
    /// [`ChangeError`]. What is being sent at this moment is not dropped.
    pub fn drop(&self, id: RecordId, reason: &str) -> Result<Dropped, ChangeError> {
        let Inner { surroundings, signing, shared, .. } = &*self.0;
        let (number, batch) = {
            let state = shared.state();
            let (number, batch) = state.with_id(id).ok_or(ChangeError::Unknown)?;
            (number, batch.clone())
        };
        let put = batch.place.read(number).map_err(|error| ChangeError::Damaged(error.to_string()))?;
        // Also where nothing is made of it: a reason is words that a record can hold.
        let events = dropped::of_drop(&put.body, reason, batch.refused.as_ref())?;
        let record = if batch.is_drop {
            None
        } else {
            let prepared = event::prepare(&events, signing.as_ref(), &**surroundings)?;
            Some((prepared, draw(&**surroundings).map_err(EventError::from)?))
        };
        let (at, reason) = (surroundings.now(), reason.to_owned());
        let receiver = self.ask(|reply| Job::Drop(number, reason, at, record, reply))?;
        receiver.recv().unwrap_or_else(|_| Err(ChangeError::Failed(shared.failure())))
    }

    /// What is in the outbox.
    #[must_use]
    pub fn status(&self) -> Status {
        let trouble = self.0.shared.trouble();
        Status::of(&self.0.shared.state(), trouble)
    }

    fn take(&self) -> Option<(BatchNumber, Batch)> {
        self.0.shared.state().take()
    }

    /// Notes what became of a batch. Waits where the writer has much to do, on the blocking pool.
    async fn note(&self, job: Job) -> Result<(), String> {
        let Some(jobs) = self.0.jobs.clone() else { return Err(self.0.shared.failure()) };
        let sent = cairn_listen::spawn_blocking(move || jobs.send(job).is_ok()).await;
        if sent.unwrap_or(false) { Ok(()) } else { Err(self.0.shared.failure()) }
    }
}

enum Unsent {
    Full,
    Closed,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The writer ends when nobody can ask it any more; the lock is free after that.
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Outbox").field(&self.status()).finish()
    }
}
