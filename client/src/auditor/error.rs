//! Why something is not known. The variants say whose fault it can be.

use cairn_tree::checkpoint::{CheckpointVerifyError, SignedCheckpoint};
use cairn_tree::merkle::{ConsistencyError, InclusionError, PlanError};
use cairn_tree::note::{KeyId, KeyName, NoteVerifyError};
use cairn_tree::policy::PolicyVerifyError;
use cairn_tree::tile::ReaderError;

use crate::fetch::{FetchError, HeadKind};

/// Why something is not known about a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// It could not be had; nothing is said about the log's honesty.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The head is not signed by the log's key, so it need not be the log's at all.
    #[error("the log's {} is not verified: {fault}", kind.path())]
    Head {
        /// Which head.
        kind: HeadKind,
        /// What is wrong with it.
        fault: HeadFault,
        /// What was served.
        served: Box<SignedCheckpoint>,
    },
    /// The checkpoint does not meet the policy.
    #[error("the log's checkpoint is not trusted: {0}")]
    Policy(#[from] PolicyVerifyError),
    /// What is served does not fit the head that the log signed.
    #[error("what the log serves does not fit its signed head: {0}")]
    Misfit(#[from] ReaderError),
    /// The log's inclusion proof proves nothing.
    #[error("the log's inclusion proof is not verified: {0}")]
    Inclusion(#[from] InclusionError),
    /// The log's consistency proof proves nothing.
    #[error("the log's consistency proof is not verified: {0}")]
    Consistency(#[from] ConsistencyError),
    /// The log's keys can't be followed from those that are trusted.
    #[error("the log's keys are not verified: {0}")]
    Keys(String),
    /// The log and the one that is to continue it do not name each other.
    #[error("the successor is not verified: {0}")]
    Succession(String),
    /// This client failed, not the log.
    #[error("the check did not come to its end: {0}")]
    Interrupted(String),
    /// Something was asked for that a tree of this size does not have.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// What is wrong with a head's signatures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    /// One is wrong, or there is none by a known key.
    #[error(transparent)]
    Signature(#[from] CheckpointVerifyError),
    /// It is signed by a key alone that the log had retired before, by its own word.
    #[error("the key {0}+{1}, which has signed it, was retired before")]
    Retired(KeyName, KeyId),
}

impl HeadFault {
    /// Whether nobody has signed whom we know: there may be a new key.
    #[must_use]
    pub const fn is_unknown_key(&self) -> bool {
        matches!(self, Self::Signature(CheckpointVerifyError::Note(NoteVerifyError::NoKnownKey)))
    }
}

impl AuditError {
    /// Whether the log, asked for something that it signed, answered with something else (or some cache did).
    #[must_use]
    pub const fn is_misfit(&self) -> bool {
        matches!(self, Self::Misfit(_) | Self::Fetch(FetchError::Malformed { .. } | FetchError::TooLong { .. }))
    }
}
