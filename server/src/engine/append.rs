//! What is asked of the writer and what it answers.

use std::sync::Arc;

use cairn_tree::hash::Hash;
use cairn_tree::store::LogId;
use sha2::{Digest as _, Sha256};

use super::doubt::{OF_THE_LOG, policy_in_doubt};
use super::head::Head;
use super::layout::Placement;

/// The answer to a batch: its entries are under `head`, which is signed and durable.
#[derive(Debug, Clone)]
pub struct Appended {
    /// Where each entry is.
    pub placement: Placement,
    /// The newest head; it covers every index of the placement.
    pub head: Arc<Head>,
    /// Whether an earlier request with the same idempotency key had placed the batch.
    pub replayed: bool,
}

/// Why a batch was not appended. Unless it says so, nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Too much waits already; try again a little later.
    #[error("too many appends are waiting")]
    QueueFull,
    /// The disk is nearly full; appends go on by themselves when there is room.
    #[error("the disk has {free} bytes left, below the reserve of {reserve}")]
    DiskReserve {
        /// Bytes that are free.
        free: u64,
        /// Bytes that must stay free.
        reserve: u64,
    },
    /// The log was stopped because its stored bytes did not match, or its history is not the one that it showed others.
    #[error("the log is halted: {0}")]
    Halted(String),
    /// The log's witnesses have not agreed yet, since the start, that it goes on.
    #[error("the log waits for its witnesses to agree that it goes on from where it was")]
    Held,
    /// A repair lost the log's witness policy, and the operator has not said yet which one holds.
    #[error("{}, and its operator has not said yet which one holds", policy_in_doubt(OF_THE_LOG))]
    LacksPolicy,
    /// The log has ended; the origin of the log that continues it.
    #[error("the log is sealed")]
    Sealed(Option<String>),
    /// The log continues another one, whose end is on its way.
    #[error("the log's first entry, which links it to the log before, is not there yet")]
    AwaitsLink,
    /// The key came with other entries before.
    #[error("this idempotency key was used with other entries")]
    IdempotencyMismatch,
    /// The tree can't hold so many entries.
    #[error("the log is full")]
    LogFull,
    /// The server is going down; whether the batch was appended is known after its restart.
    #[error("the server is stopping: {0}")]
    Stopping(String),
}

/// An idempotency key, as one log and one token mean it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdempotencyKey([u8; 32]);

impl IdempotencyKey {
    /// The key that `token` used for `log`: other logs' and tokens' equal keys are other keys.
    #[must_use]
    pub fn new(log: LogId, token: &str, key: &str) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(log.get().to_be_bytes());
        hasher.update((token.len() as u64).to_be_bytes());
        hasher.update(token);
        hasher.update(key);
        Self(hasher.finalize().into())
    }

    /// The digest under which it is stored.
    #[must_use]
    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A key together with what it is bound to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub(super) key: IdempotencyKey,
    pub(super) leaves: Hash,
}
