//! Appending over HTTP: `POST entries` and its answers, and the JSON twin of a receipt.
//!
//! The binary forms need nothing here: one entry is its bytes, and a batch is a C2SP entry bundle of any length
//! ([`super::media::ENTRIES`]). Requests refuse members that they do not know; answers ignore them, so that they may
//! gain some.

use serde::{Deserialize, Serialize};

use super::json::Bytes;
use crate::checkpoint::SignedCheckpoint;
use crate::hash::Hash;
use crate::merkle::InclusionProof;
use crate::receipt::{Receipt, ReceiptError};
use crate::size::{LeafIndex, SizeError};

pub use super::media::ENTRIES as ENTRIES_MEDIA_TYPE;

/// When an append is answered (query parameter `wait`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wait {
    /// When a head that the log signed has the entries.
    #[default]
    Integrated,
    /// When a head that met the witness policy has them; if that takes too long, 202 with the integrated receipt.
    Witnessed,
}

/// A batch as JSON: `{"entries":["base64", ...]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// The entries' bytes, in order.
    pub entries: Vec<Bytes>,
}

/// A receipt as JSON, and the answer to a single append.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptJson {
    /// Where the entry is.
    pub index: LeafIndex,
    /// The hash of the entry, for looking it up; verification hashes the entry itself.
    pub leaf_hash: Hash,
    /// The inclusion proof in the checkpoint's tree.
    pub proof: InclusionProof,
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
    /// Unauthenticated extra data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Bytes>,
}

/// The answer to a batch.
///
/// Invariants: [`BatchAnswer::indexes`] are as many as there are entries, and where proofs are given, so are they.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BatchAnswerJson")]
pub struct BatchAnswer {
    first: LeafIndex,
    count: u64,
    checkpoint: SignedCheckpoint,
    #[serde(skip_serializing_if = "Option::is_none")]
    indexes: Option<Vec<LeafIndex>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipts: Option<Vec<EntryProof>>,
}

/// One entry of a batch: with the batch's checkpoint, a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryProof {
    /// Where the entry is.
    pub index: LeafIndex,
    /// The hash of the entry.
    pub leaf_hash: Hash,
    /// The inclusion proof in the tree of the batch's checkpoint.
    pub proof: InclusionProof,
}

/// Why a batch's answer is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchAnswerError {
    /// There is no entry.
    #[error("a batch has at least one entry")]
    Empty,
    /// The number of entries goes past any tree.
    #[error("the count {0}")]
    Count(#[from] SizeError),
    /// The numbers of entries, indexes and receipts differ, or a receipt stands at another index.
    #[error("the count, the indexes and the receipts do not fit each other")]
    Mismatch,
}

#[derive(Deserialize)]
struct BatchAnswerJson {
    first: LeafIndex,
    count: u64,
    checkpoint: SignedCheckpoint,
    #[serde(default)]
    indexes: Option<Vec<LeafIndex>>,
    #[serde(default)]
    receipts: Option<Vec<EntryProof>>,
}

impl Wait {
    /// Reads the parameter's value.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Integrated, Self::Witnessed].into_iter().find(|wait| wait.as_str() == text)
    }

    /// The parameter's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Integrated => "integrated",
            Self::Witnessed => "witnessed",
        }
    }
}

impl ReceiptJson {
    /// The JSON twin of a receipt for the entry with this hash.
    #[must_use]
    pub fn new(receipt: &Receipt, leaf_hash: Hash) -> Self {
        Self {
            index: receipt.index(),
            leaf_hash,
            proof: receipt.proof().clone(),
            checkpoint: receipt.checkpoint().clone(),
            extra: receipt.unauthenticated_extra().map(|extra| Bytes(extra.to_vec())),
        }
    }

    /// The receipt, which is still to be verified. The leaf hash is left behind: verifying starts from the entry.
    ///
    /// # Errors
    /// [`ReceiptError`] if there is extra data that no receipt holds.
    pub fn into_receipt(self) -> Result<Receipt, ReceiptError> {
        let receipt = Receipt::new(self.index, self.proof, self.checkpoint);
        match self.extra {
            Some(Bytes(extra)) => receipt.with_extra(extra),
            None => Ok(receipt),
        }
    }
}

impl BatchAnswer {
    /// Answers a batch whose entries stand one after the other from `first` on.
    ///
    /// # Errors
    /// [`BatchAnswerError`] if there are none, or more than any tree holds.
    pub fn run(first: LeafIndex, count: u64, checkpoint: SignedCheckpoint) -> Result<Self, BatchAnswerError> {
        BatchAnswerJson { first, count, checkpoint, indexes: None, receipts: None }.try_into()
    }

    /// Answers a batch by the index of each entry; they are listed only if they are not one after the other.
    ///
    /// # Errors
    /// [`BatchAnswerError`] if there are none.
    pub fn at(indexes: Vec<LeafIndex>, checkpoint: SignedCheckpoint) -> Result<Self, BatchAnswerError> {
        let first = *indexes.first().ok_or(BatchAnswerError::Empty)?;
        let is_run = (first.get()..).zip(&indexes).all(|(expected, index)| index.get() == expected);
        let count = indexes.len() as u64;
        let indexes = (!is_run).then_some(indexes);
        BatchAnswerJson { first, count, checkpoint, indexes, receipts: None }.try_into()
    }

    /// Adds a proof for each entry.
    ///
    /// # Errors
    /// [`BatchAnswerError::Mismatch`] if they are not those of the batch's entries, in order.
    pub fn with_receipts(self, receipts: Vec<EntryProof>) -> Result<Self, BatchAnswerError> {
        let Self { first, count, checkpoint, indexes, .. } = self;
        BatchAnswerJson { first, count, checkpoint, indexes, receipts: Some(receipts) }.try_into()
    }

    /// The index of the batch's first entry.
    #[must_use]
    pub const fn first(&self) -> LeafIndex {
        self.first
    }

    /// The number of entries. It is the server's word: compare it with what was sent before walking through
    /// [`BatchAnswer::indexes`].
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The checkpoint that has all of them.
    #[must_use]
    pub const fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// The index of each entry, in the order of the request.
    pub fn indexes(&self) -> impl Iterator<Item = LeafIndex> + '_ {
        let listed = self.indexes.iter().flatten().copied();
        let run = if self.indexes.is_some() { 0 } else { self.count };
        // The range was checked to end within the bound of indexes.
        listed.chain((self.first.get()..self.first.get() + run).filter_map(|index| LeafIndex::new(index).ok()))
    }

    /// The proofs of the entries, if they were asked for.
    #[must_use]
    pub fn proofs(&self) -> Option<&[EntryProof]> {
        self.receipts.as_deref()
    }

    /// The receipts of the entries, in the order of the request; none if they were not asked for.
    pub fn receipts(&self) -> impl Iterator<Item = Receipt> + '_ {
        let proofs = self.receipts.iter().flatten();
        proofs.map(|entry| Receipt::new(entry.index, entry.proof.clone(), self.checkpoint.clone()))
    }
}

impl TryFrom<BatchAnswerJson> for BatchAnswer {
    type Error = BatchAnswerError;

    fn try_from(json: BatchAnswerJson) -> Result<Self, BatchAnswerError> {
        let BatchAnswerJson { first, count, checkpoint, indexes, receipts } = json;
        let last = count.checked_sub(1).ok_or(BatchAnswerError::Empty)?;
        LeafIndex::new(first.get().checked_add(last).ok_or(SizeError::TooLarge)?)?;
        if indexes.as_ref().is_some_and(|listed| listed.len() as u64 != count || listed.first() != Some(&first)) {
            return Err(BatchAnswerError::Mismatch);
        }
        let answer = Self { first, count, checkpoint, indexes, receipts };
        let fitting = answer.receipts.as_ref().is_none_or(|receipts| {
            receipts.len() as u64 == count && receipts.iter().map(|entry| entry.index).eq(answer.indexes())
        });
        if fitting { Ok(answer) } else { Err(BatchAnswerError::Mismatch) }
    }
}
