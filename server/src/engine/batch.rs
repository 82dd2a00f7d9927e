//! A batch of entries on its way into a log: their bytes in C2SP bundle encoding, and their leaf hashes.
//!
//! Made by the handler, on its own thread, so that the writer hashes nothing that comes in; what it writes it hashes
//! again from the stored bytes.

use core::ops::Range;

use bytes::Bytes;
use cairn_tree::hash::Hash;
use cairn_tree::tile::{Entries, EntriesError};
use sha2::{Digest as _, Sha256};

/// The length prefix of an entry in bytes (C2SP tlog-tiles, log entries).
const PREFIX: usize = 2;

/// One or more entries, each at most 65,535 bytes.
#[derive(Debug, Clone)]
pub struct EntryBatch {
    encoded: Bytes,
    /// Where each entry's length prefix stands in `encoded`.
    starts: Vec<u32>,
    leaves: Vec<Hash>,
}

/// A batch in the making, of entries that are made one from the other.
#[derive(Debug, Default)]
pub(super) struct Making {
    encoded: Vec<u8>,
    starts: Vec<u32>,
    leaves: Vec<Hash>,
}

impl Making {
    /// With room for so many entries of about this length.
    pub(super) fn with_capacity(entries: usize, length: usize) -> Self {
        let encoded = Vec::with_capacity(entries * (PREFIX + length));
        Self { encoded, starts: Vec::with_capacity(entries), leaves: Vec::with_capacity(entries) }
    }

    /// Adds an entry, and gives its leaf hash.
    ///
    /// # Errors
    /// [`BatchError`] if it is too long, or all together are.
    pub(super) fn push(&mut self, entry: &[u8]) -> Result<Hash, BatchError> {
        let start = u32::try_from(self.encoded.len()).map_err(|_| BatchError::TooLong(self.encoded.len()))?;
        Entries::encode(entry, &mut self.encoded)?;
        let leaf = Hash::leaf(entry);
        self.starts.push(start);
        self.leaves.push(leaf);
        Ok(leaf)
    }

    /// How many entries.
    pub(super) fn len(&self) -> usize {
        self.leaves.len()
    }

    /// The batch; `None` without an entry.
    pub(super) fn done(self) -> Option<EntryBatch> {
        let Self { encoded, starts, leaves } = self;
        (!leaves.is_empty()).then(|| EntryBatch { encoded: encoded.into(), starts, leaves })
    }
}

/// Why bytes are not a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// They are not whole entries, or too many.
    #[error(transparent)]
    Entries(#[from] EntriesError),
    /// There is no entry.
    #[error("a batch has at least one entry")]
    Empty,
    /// All of them together are too long to be one request.
    #[error("a batch has at most {max} bytes, not {0}", max = u32::MAX)]
    TooLong(usize),
}

impl EntryBatch {
    /// Takes a sequence of at most `most` length-prefixed entries as it is, without copying it.
    ///
    /// # Errors
    /// [`BatchError`] for anything else, the empty sequence included.
    pub fn from_encoded(encoded: Bytes, most: usize) -> Result<Self, BatchError> {
        if u32::try_from(encoded.len()).is_err() {
            return Err(BatchError::TooLong(encoded.len()));
        }
        let entries = Entries::parse_batch(&encoded, most)?;
        if entries.is_empty() {
            return Err(BatchError::Empty);
        }
        let mut starts = Vec::with_capacity(entries.len());
        let mut leaves = Vec::with_capacity(entries.len());
        let mut start = 0;
        for entry in entries.iter() {
            // Below the length that was checked above.
            starts.push(start as u32);
            leaves.push(Hash::leaf(entry));
            start += PREFIX + entry.len();
        }
        Ok(Self { encoded, starts, leaves })
    }

    /// A batch of one entry.
    ///
    /// # Errors
    /// [`BatchError::Entries`] if it is too long.
    pub fn single(entry: &[u8]) -> Result<Self, BatchError> {
        Self::from_entries([entry])
    }

    /// A batch of these entries.
    ///
    /// # Errors
    /// [`BatchError`] for no entry at all, or one that is too long.
    pub fn from_entries<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, BatchError> {
        let mut encoded = Vec::new();
        for entry in entries {
            Entries::encode(entry, &mut encoded)?;
        }
        Self::from_encoded(encoded.into(), usize::MAX)
    }

    /// How many entries; at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Bytes in memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.encoded.len() + self.leaves.len() * (Hash::LEN + size_of::<u32>())
    }

    /// The entries' leaf hashes, in order.
    #[must_use]
    pub fn leaves(&self) -> &[Hash] {
        &self.leaves
    }

    /// The encoded entries at these positions; empty where there are none.
    #[must_use]
    pub fn encoded(&self, positions: Range<usize>) -> &[u8] {
        let at = |position: usize| self.starts.get(position).map_or(self.encoded.len(), |start| *start as usize);
        self.encoded.get(at(positions.start)..at(positions.end)).unwrap_or_default()
    }

    /// A digest of the ordered leaf hashes: what an idempotency key is bound to.
    #[must_use]
    pub fn digest(&self) -> Hash {
        let mut hasher = Sha256::new();
        self.leaves.iter().for_each(|leaf| hasher.update(leaf.as_bytes()));
        Hash::new(hasher.finalize().into())
    }
}
