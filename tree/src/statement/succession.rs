//! The end of a log and its successor (`cairn.seal/1`), and where a log comes from (`cairn.link/1`).
//!
//! The old log's last entry names the successor's origin and keys; the new log's first entry holds the old log's final
//! head whole. So neither can be exchanged afterwards: the one stands under the old log's final head, the other under
//! every head of the new one. A log that is halted can't sign its own end: then only the new log's entry names the last
//! head that was signed, and says so.

use serde::{Deserialize, Serialize};

use super::{StatementError, canonical, check_keys, from_json, keys_of, origin, texts};
use crate::checkpoint::{CheckpointVerifyError, Origin, SignedCheckpoint, VerifiedCheckpoint};
use crate::note::{SignatureType, VerifierKey};

/// How the old log came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// Its last entry says so, and its final head covers it.
    Sealed,
    /// It could sign nothing more; the head is the last one that it is known to have signed.
    Halted,
}

/// This is the log's last entry; another log continues it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealStatement {
    origin: Origin,
    successor: Origin,
    /// Of the successor; at least one is an Ed25519 key.
    successor_keys: Vec<VerifierKey>,
}

/// This log continues another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStatement {
    origin: Origin,
    predecessor: Origin,
    /// Of the predecessor; at least one is an Ed25519 key.
    predecessor_keys: Vec<VerifierKey>,
    /// Its origin is the predecessor.
    head: SignedCheckpoint,
    ended: End,
}

/// The members stand in the order of their names, as canonical JSON wants them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    origin: String,
    successor: String,
    successor_keys: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    ended: End,
    head: String,
    origin: String,
    predecessor: String,
    predecessor_keys: Vec<String>,
}

/// Why two logs do not follow each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionError {
    /// The two statements name other logs than each other's.
    #[error("the old log ends with the successor {named}, the new log is {found}, a continuation of {continues}")]
    Others {
        /// The successor that the old log names.
        named: Origin,
        /// The new log.
        found: Origin,
        /// The log that it continues.
        continues: Origin,
    },
    /// The new log says that the old one was halted, and it was sealed.
    #[error("the new log says that the old one was halted, but it was sealed")]
    NotHalted,
    /// The head in the new log is not one that the old log's key signed.
    #[error("the head that the new log continues is not signed by the old log's key: {0}")]
    Head(#[from] CheckpointVerifyError),
    /// The new log continues from another head than the final one.
    #[error("the new log continues from size {found}, but the old log's final head is another, of size {last}")]
    OtherHead {
        /// The size in the new log's first entry.
        found: crate::size::TreeSize,
        /// The size of the final head.
        last: crate::size::TreeSize,
    },
}

impl SealStatement {
    /// Says that `successor` continues the log.
    ///
    /// # Errors
    /// [`StatementError::Parts`] if the keys are not the successor's, or it is the log itself.
    pub fn new(origin: Origin, successor: Origin, successor_keys: Vec<VerifierKey>) -> Result<Self, StatementError> {
        check_keys(&successor, &successor_keys)?;
        if origin == successor {
            return Err(StatementError::Parts("a log can't follow itself"));
        }
        Ok(Self { origin, successor, successor_keys })
    }

    /// The log that ends.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The log that continues it.
    #[must_use]
    pub const fn successor(&self) -> &Origin {
        &self.successor
    }

    /// The keys of that log when it began.
    #[must_use]
    pub fn successor_keys(&self) -> &[VerifierKey] {
        &self.successor_keys
    }

    pub(super) fn to_json(&self) -> String {
        canonical(&Seal {
            origin: self.origin.to_string(),
            successor: self.successor.to_string(),
            successor_keys: texts(&self.successor_keys),
        })
    }

    pub(super) fn parse_json(json: &str) -> Result<Self, StatementError> {
        let form: Seal = from_json(json)?;
        let successor = origin(form.successor)?;
        let keys = keys_of(&successor, &form.successor_keys)?;
        Self::new(origin(form.origin)?, successor, keys)
    }
}

impl LinkStatement {
    /// Says that the log continues the one whose last head is `head`.
    ///
    /// # Errors
    /// [`StatementError::Parts`] if the keys or the head are not the predecessor's.
    pub fn new(
        origin: Origin,
        predecessor_keys: Vec<VerifierKey>,
        head: SignedCheckpoint,
        ended: End,
    ) -> Result<Self, StatementError> {
        let predecessor = head.unverified().origin().clone();
        check_keys(&predecessor, &predecessor_keys)?;
        if origin == predecessor {
            return Err(StatementError::Parts("a log can't follow itself"));
        }
        Ok(Self { origin, predecessor, predecessor_keys, head, ended })
    }

    /// The log that begins.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The log that it continues.
    #[must_use]
    pub const fn predecessor(&self) -> &Origin {
        &self.predecessor
    }

    /// The keys of that log when it ended.
    #[must_use]
    pub fn predecessor_keys(&self) -> &[VerifierKey] {
        &self.predecessor_keys
    }

    /// How that log ended.
    #[must_use]
    pub const fn ended(&self) -> End {
        self.ended
    }

    /// That log's last head, unverified.
    #[must_use]
    pub const fn head(&self) -> &SignedCheckpoint {
        &self.head
    }

    /// Checks that the old log's end and this beginning name each other: `seal` is the old log's last entry, if it was
    /// sealed, `final_head` the head that covers it, `keys` the old log's.
    ///
    /// # Errors
    /// [`SuccessionError`].
    pub fn follows(
        &self,
        seal: Option<&SealStatement>,
        final_head: &VerifiedCheckpoint,
        keys: &[VerifierKey],
    ) -> Result<(), SuccessionError> {
        let named = seal.map_or(&self.origin, SealStatement::successor);
        if *named != self.origin || self.predecessor != *final_head.origin() {
            let (found, continues) = (self.origin.clone(), self.predecessor.clone());
            return Err(SuccessionError::Others { named: named.clone(), found, continues });
        }
        if seal.is_some() && self.ended == End::Halted {
            return Err(SuccessionError::NotHalted);
        }
        let note_keys: Vec<_> = keys.iter().filter(|key| key.kind() == SignatureType::ED25519).cloned().collect();
        let head = self.head.verify(&note_keys)?;
        if head.tree() == final_head.tree() {
            Ok(())
        } else {
            Err(SuccessionError::OtherHead { found: head.size(), last: final_head.size() })
        }
    }

    pub(super) fn to_json(&self) -> String {
        canonical(&Link {
            ended: self.ended,
            head: self.head.encode(),
            origin: self.origin.to_string(),
            predecessor: self.predecessor.to_string(),
            predecessor_keys: texts(&self.predecessor_keys),
        })
    }

    pub(super) fn parse_json(json: &str) -> Result<Self, StatementError> {
        let form: Link = from_json(json)?;
        let head = SignedCheckpoint::parse(form.head.as_bytes())
            .map_err(|error| StatementError::Json(format!("the head: {error}")))?;
        let predecessor = origin(form.predecessor)?;
        if *head.unverified().origin() != predecessor {
            return Err(StatementError::Parts("its head is of another log than the predecessor"));
        }
        let keys = keys_of(&predecessor, &form.predecessor_keys)?;
        Self::new(origin(form.origin)?, keys, head, form.ended)
    }
}
