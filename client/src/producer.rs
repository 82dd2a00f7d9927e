//! Appending entries and keeping what proves it: a receipt is handed out only after it was checked.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cairn_tree::hash::Hash;
use cairn_tree::merkle::Root;
use cairn_tree::policy::Trust;
use cairn_tree::receipt::{Receipt, ReceiptVerifyError};
use cairn_tree::size::LeafIndex;
use cairn_tree::tile::{Entries, EntriesError};
use cairn_tree::wire::append::Wait;

use crate::bounds;
use crate::fetch::{FetchError, IdempotencyKey, Remote};

/// Entries that are sent together: all of them are appended, or none.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The length-prefixed entries.
    encoded: Vec<u8>,
    /// The leaf hash of each.
    leaves: Vec<Hash>,
}

/// Appends to one log.
pub struct Producer {
    remote: Arc<Remote>,
    trust: Option<Trust>,
    wait: Wait,
}

/// An entry that was appended, with its receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Where it is.
    pub index: LeafIndex,
    /// The hash of the bytes that were sent.
    pub leaf_hash: Hash,
    /// The receipt: verified if the producer knows whom to trust, otherwise only consistent in itself.
    pub receipt: Receipt,
}

/// Why there are no receipts. Whether the entries were appended is another question, which only a retry under the same
/// idempotency key answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// There is no answer, or none that is one.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The answer is about other entries than were sent.
    #[error("the log's answer does not fit what was sent: {0}")]
    OtherEntries(String),
    /// A receipt is not verified.
    #[error("the log's receipt for entry {index} is refused: {error}")]
    Receipt {
        /// The index that it claims.
        index: LeafIndex,
        /// What is wrong.
        error: ReceiptVerifyError,
    },
    /// The witnesses that the policy asks for were late.
    #[error(
        "the entries from index {0} on are in the log, but its witnesses are late: fetch receipts with `cairn prove` later"
    )]
    Late(LeafIndex),
}

impl AppendError {
    /// Whether the entries may be in the log although there is no receipt. A server that understood the request and
    /// refused it (4xx) has appended nothing.
    #[must_use]
    pub const fn leaves_doubt(&self) -> bool {
        match self {
            Self::Fetch(FetchError::SetUp(_)) => false,
            Self::Fetch(FetchError::Status { status, .. }) => *status >= 500 || *status == 408,
            Self::Fetch(_) | Self::OtherEntries(_) | Self::Receipt { .. } => true,
            Self::Late(_) => false,
        }
    }
}

impl Batch {
    /// Whether another entry of this length still fits; the first one always does.
    #[must_use]
    pub fn has_room_for(&self, entry: usize) -> bool {
        self.leaves.is_empty()
            || (self.leaves.len() < bounds::BATCH_ENTRIES && self.encoded.len() + entry <= bounds::BATCH_BYTES)
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// [`EntriesError::EntryTooLong`].
    pub fn push(&mut self, entry: &[u8]) -> Result<(), EntriesError> {
        Entries::encode(entry, &mut self.encoded)?;
        self.leaves.push(Hash::leaf(entry));
        Ok(())
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }
}

impl Producer {
    /// A producer that verifies receipts, if it is told whom to trust, and waits as it is told, if it is.
    #[must_use]
    pub fn new(remote: Arc<Remote>, trust: Option<Trust>, wait: Option<Wait>) -> Self {
        // A receipt that a policy shall accept needs the witnesses' cosignatures.
        let witnessed = trust.as_ref().is_some_and(Trust::needs_witnesses);
        let wait = wait.unwrap_or(if witnessed { Wait::Witnessed } else { Wait::Integrated });
        Self { remote, trust, wait }
    }

    /// Appends a batch and returns a receipt for each of its entries, in their order.
    ///
    /// # Errors
    /// [`AppendError`].
    pub async fn append(&self, batch: &Batch, key: &IdempotencyKey) -> Result<Vec<Appended>, AppendError> {
        let body: Bytes = BytesMut::from(batch.encoded.as_slice()).freeze();
        let taken = self.remote.append(body, key, self.wait).await?;
        if taken.is_late && self.wait == Wait::Witnessed {
            return Err(AppendError::Late(taken.answer.first()));
        }
        let other = |why: String| AppendError::OtherEntries(why);
        let proofs = taken.answer.proofs().ok_or_else(|| other("it has no receipts".to_owned()))?;
        if proofs.len() != batch.len() {
            return Err(other(format!("{} receipts for {} entries", proofs.len(), batch.len())));
        }
        let mut appended = Vec::with_capacity(batch.len());
        let entries = Entries::parse_batch(&batch.encoded, batch.len()).map_err(|error| other(error.to_string()))?;
        for ((receipt, entry), leaf_hash) in taken.answer.receipts().zip(&entries).zip(&batch.leaves) {
            let index = receipt.index();
            self.check(&receipt, entry, leaf_hash).map_err(|error| AppendError::Receipt { index, error })?;
            appended.push(Appended { index, leaf_hash: *leaf_hash, receipt });
        }
        Ok(appended)
    }

    fn check(&self, receipt: &Receipt, entry: &[u8], leaf: &Hash) -> Result<(), ReceiptVerifyError> {
        match &self.trust {
            Some(trust) => receipt.verify(entry, trust).map(drop),
            None => {
                // Nobody vouches for this head; that the proof fits it at least shows that the answer is a receipt.
                let head = receipt.checkpoint().unverified();
                let claimed = Root { size: head.size(), hash: head.root() };
                Ok(receipt.proof().verify(receipt.index(), leaf, &claimed)?)
            }
        }
    }
}
