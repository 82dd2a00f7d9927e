//! Submitting records: prepared and looked up on the caller's side, decided by the writer, answered once they are under a
//! released head.

use std::sync::Arc;

use cairn_tree::hash::Hash;
use cairn_tree::record::leaf::Leaf;
use cairn_tree::size::LeafIndex;
use tokio::sync::oneshot;

use super::{BoundBody, Prepared, RecordError, Recorded, Sequenced, Submission};
use crate::engine::Log;
use crate::engine::append::{AppendError, Bound};
use crate::engine::bounds::{PREPARE_INLINE, RECORD_LOOK_UPS};
use crate::engine::head::Head;
use crate::engine::index::HashIndex;
use crate::engine::layout::LogState;
use crate::engine::sequencer::{Job, RecordJob, Refused};
use crate::engine::stored::{ReadError, Stored};

/// What the writer tells of one record.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) enum Told {
    /// It has been placed.
    New(Sequenced),
    /// It is there, placed before.
    Before(LeafIndex),
}

impl Told {
    /// Where it is.
    pub(in crate::engine) fn index(&self) -> LeafIndex {
        match self {
            Self::New(sequenced) => sequenced.index,
            Self::Before(index) => *index,
        }
    }
}

/// The writer's answer to a request of records.
pub(in crate::engine) enum RecordAnswer {
    /// All of them are in the log.
    Recorded {
        told: Vec<Told>,
        head: Arc<Head>,
        /// By an earlier request with the same idempotency key.
        replayed: bool,
    },
    /// None of them is.
    Refused(RecordError),
    /// More has been sequenced since they were looked up than the writer remembers. What that was is released by now.
    Again(Vec<Prepared>),
}

impl Log {
    /// Appends records, all of them or none. Resolves once they are under a released head, which is then durable, and once
    /// they are found by their prints.
    ///
    /// # Errors
    /// [`RecordError`]. After [`AppendError::Stopping`] they may still be found after a restart; a retry with the same
    /// idempotency key, or with the same events, is exact.
    pub async fn append_records(
        &self,
        submissions: Vec<Submission>,
        key: Option<BoundBody>,
    ) -> Result<Recorded, RecordError> {
        if submissions.is_empty() {
            return Err(RecordError::Empty);
        }
        self.refuse_early()?;
        let (found, _) = self.source()?.ok_or(RecordError::Prints)?;
        if found.postings.is_overdue() {
            // No run is made of what is damaged.
            self.misses_nothing()?;
            return Err(AppendError::QueueFull.into());
        }
        let secret = found.secret.clone();
        let bound = key.map(|BoundBody { key, body }| Bound { key, leaves: Hash::new(body) });
        let bytes: usize = submissions.iter().map(|submission| submission.disclosures.as_str().len()).sum();
        let log = self.clone();
        let mut records = blocking(bytes > PREPARE_INLINE, move || log.prepare(submissions)).await?;
        for attempt in 0..RECORD_LOOK_UPS {
            if self.needs_looks(&mut records, attempt > 0) {
                let log = self.clone();
                records = blocking(true, move || log.look_up(records)).await?;
            }
            // It may be the last of a stream that is appended to, or have an id that comes again. What is halted is refused by
            // the writer, which says why.
            if self.shared.state() == LogState::Open {
                self.misses_nothing()?;
            }
            let (reply, answer) = oneshot::channel();
            let secret = secret.clone();
            let (log, is_of_crowd) = (Arc::clone(&self.shared), self.is_of_crowd);
            let job = RecordJob { log, is_of_crowd, records, secret, bound, reply };
            let stopping = || AppendError::Stopping(self.running.sequencer.poison().unwrap_or_default());
            match self.running.sequencer.submit(Job::Record(Box::new(job))) {
                Ok(()) => {}
                Err(Refused::Full) => return Err(AppendError::QueueFull.into()),
                Err(Refused::Closed) => return Err(stopping().into()),
            }
            match answer.await.map_err(|_| stopping())? {
                RecordAnswer::Recorded { told, head, replayed } => return self.recorded(told, head, replayed).await,
                RecordAnswer::Refused(error) => return Err(error),
                RecordAnswer::Again(again) => records = again,
            }
        }
        Err(AppendError::QueueFull.into())
    }

    /// What is known before the writer is asked.
    pub(in crate::engine) fn refuse_early(&self) -> Result<(), AppendError> {
        if self.shared.index.as_ref().is_some_and(HashIndex::is_overdue) {
            return Err(AppendError::QueueFull);
        }
        if self.shared.publishing.is_held() {
            return Err(match self.shared.state() {
                LogState::Open if self.lacks_policy() => AppendError::LacksPolicy,
                LogState::Open => AppendError::Held,
                LogState::Halted(reason) => AppendError::Halted(reason),
                LogState::Sealed => AppendError::Sealed(self.successor().map(|log| log.origin)),
            });
        }
        Ok(())
    }

    fn prepare(&self, submissions: Vec<Submission>) -> Result<Vec<Prepared>, RecordError> {
        let origin = &self.shared.info.origin;
        let numbered = submissions.into_iter().enumerate();
        numbered.map(|(position, submission)| Prepared::new(origin, position, submission)).collect()
    }

    /// The whole answer: of what was there before, from the log itself.
    async fn recorded(&self, told: Vec<Told>, head: Arc<Head>, replayed: bool) -> Result<Recorded, RecordError> {
        let reads = told.iter().any(|told| matches!(told, Told::Before(_)));
        let log = self.clone();
        let fill = move || {
            let fill = |told: &Told| match told {
                Told::New(sequenced) => Ok(*sequenced),
                Told::Before(index) => log.sequenced(&head, *index),
            };
            let records = told.iter().map(fill).collect::<Result<_, ReadError>>()?;
            Ok::<_, RecordError>(Recorded { records, head, replayed })
        };
        blocking(reads, fill).await
    }

    /// What the sequencer said about a record that is in the log.
    pub(super) fn sequenced(&self, head: &Head, index: LeafIndex) -> Result<Sequenced, ReadError> {
        let stored = Stored::new(&*self.running.reader.store, self.shared.info.id);
        let id = self.shared.info.id;
        let damaged = |problem: String| stored.damaged("the record", index.get(), problem).of_entry(id, index);
        let entry = self.entry(head, index).map_err(|error| error.of_entry(id, index))?;
        let entry = entry.ok_or_else(|| damaged("it is past the head".to_owned()))?;
        let leaf = Leaf::decode(&entry).map_err(|error| damaged(error.to_string()))?;
        let server = leaf.server();
        let (id, stream, time) = (leaf.event().head().id, server.stream, server.time);
        let (seq, prev) = (server.place.seq(), server.place.prev());
        Ok(Sequenced { id, index, leaf: Hash::leaf(&entry), stream, seq, prev, time, replayed: true })
    }
}

/// Does what takes long where it holds up nobody else, and what does not at once.
async fn blocking<T, F>(elsewhere: bool, work: F) -> Result<T, RecordError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, RecordError> + Send + 'static,
{
    if !elsewhere {
        return work();
    }
    let failed = |error: tokio::task::JoinError| AppendError::Stopping(error.to_string());
    cairn_listen::spawn_blocking(work).await.map_err(failed)?
}
