//! Why a batch is not in an outbox, and why nothing was changed there.

use super::event::EventError;
use super::options::Limits;
use super::store::StoreError;

/// Why a batch is not in the outbox.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// It is not what a server would take.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The outbox is full. Nothing was kept.
    #[error(
        "the outbox is full: {records} records of {bytes} bytes wait in it, and {} records of {} bytes may",
        limits.records, limits.bytes
    )]
    Full {
        /// The records that wait.
        records: usize,
        /// Their bytes.
        bytes: u64,
        /// How much may.
        limits: Limits,
    },
    /// The disk is full. Nothing was kept.
    #[error("{0}")]
    NoRoom(String),
    /// More calls at a time than can wait. Nothing was kept.
    #[error("too many calls wait for the outbox already")]
    Busy,
    /// The disk failed: whether the batch is kept is known only when the outbox is opened again. With an id of its own, a
    /// record that is appended twice is delivered once.
    #[error("the outbox can't be written any more and must be opened again: {0}")]
    Failed(String),
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// No record with this id waits.
    #[error("no record with this id waits in the outbox")]
    Unknown,
    /// The record was not refused.
    #[error("the record was not refused; it is tried again anyway")]
    NotRefused,
    /// The record is on its way just now.
    #[error("the record is being sent at this moment: try again when the answer is there")]
    UnderWay,
    /// The record of the drop can't be made.
    #[error("the record of the drop can't be made: {0}")]
    Record(#[from] EventError),
    /// What was to be dropped can't be read.
    #[error("{0}")]
    Damaged(String),
    /// More calls at a time than can wait.
    #[error("too many calls wait for the outbox already")]
    Busy,
    /// The disk is full, or failed.
    #[error("{0}")]
    Failed(String),
}

impl AppendError {
    pub(super) fn of(error: &StoreError) -> Self {
        match error {
            StoreError::NoRoom { .. } => Self::NoRoom(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl ChangeError {
    pub(super) fn of(error: &StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}
