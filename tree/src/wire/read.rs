//! Reading over HTTP: entries, proofs and the event stream. Heads, tiles and bundles are C2SP tlog-tiles and need
//! nothing here.
//!
//! Answers ignore members that they do not know, so that they may gain some.

use serde::{Deserialize, Serialize};

use super::json::Bytes;
use crate::checkpoint::SignedCheckpoint;
use crate::hash::Hash;
use crate::merkle::{ConsistencyProof, InclusionProof};
use crate::receipt::Receipt;
use crate::size::{LeafIndex, TreeSize};

/// The answer to `GET entries/{index}`, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryAnswer {
    /// Where the entry is.
    pub index: LeafIndex,
    /// The hash of the entry.
    pub leaf_hash: Hash,
    /// The entry's bytes.
    pub entry: Bytes,
    /// The inclusion proof in the checkpoint's tree.
    pub proof: InclusionProof,
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
}

/// The answer to `GET entries?start=&end=`, as JSON. It may hold fewer entries than were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntriesAnswer {
    /// The index of the first entry.
    pub start: LeafIndex,
    /// The entries' bytes, in order.
    pub entries: Vec<Bytes>,
}

/// The answer to `GET proof/inclusion`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InclusionAnswer {
    /// Where the leaf is.
    pub index: LeafIndex,
    /// The hash of the leaf.
    pub leaf_hash: Hash,
    /// The size of the tree that the proof is for.
    pub size: TreeSize,
    /// The proof.
    pub proof: InclusionProof,
    /// The checkpoint, if the proof is for its tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<SignedCheckpoint>,
}

/// The answer to `GET proof/consistency`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsistencyAnswer {
    /// The older size.
    pub from: TreeSize,
    /// The newer size.
    pub to: TreeSize,
    /// The proof.
    pub proof: ConsistencyProof,
}

/// The kinds of server-sent events. The id of each is a [`TreeSize`]: whoever resumes after it has seen that many
/// leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A new head; its data is a [`HeadEvent`], its id the head's size.
    Head,
    /// A new checkpoint of a log with a witness policy; its data is a [`HeadEvent`], its id what was seen before.
    Checkpoint,
    /// An entry that a head has; its data is an [`EntryEvent`], its id the index plus one.
    Entry,
}

/// The data of an [`EventKind::Head`] and of an [`EventKind::Checkpoint`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadEvent {
    /// The head's size.
    pub size: TreeSize,
    /// The head, as `GET head` or `GET checkpoint` answers it.
    pub checkpoint: SignedCheckpoint,
}

/// The data of an [`EventKind::Entry`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryEvent {
    /// Where the entry is.
    pub index: LeafIndex,
    /// The hash of the entry.
    pub leaf_hash: Hash,
    /// The entry's bytes, where the stream carries them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Bytes>,
}

impl EntryAnswer {
    /// The receipt, which is still to be verified.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        Receipt::new(self.index, self.proof.clone(), self.checkpoint.clone())
    }
}

impl InclusionAnswer {
    /// The receipt, which is still to be verified, if there is a checkpoint.
    #[must_use]
    pub fn receipt(&self) -> Option<Receipt> {
        let checkpoint = self.checkpoint.clone()?;
        Some(Receipt::new(self.index, self.proof.clone(), checkpoint))
    }
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Head, Self::Checkpoint, Self::Entry];

    /// The name in the stream's `event` field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Checkpoint => "checkpoint",
            Self::Entry => "entry",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}
