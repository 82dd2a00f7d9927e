//! The store contract: what a log needs of the engine beneath it, and no more.
//!
//! An ordered key-value space with one writer. Reads may be network round trips, so there are multi-gets and bounded
//! scans, and no snapshot object: a reader reads the head first and bounds every later read by it, which append-only data
//! makes safe. A commit is one batch of puts and deletes; there is no read-modify-write, merge or expiry.
//!
//! Not here: what the rows mean (the server's `layout`), nor the high-water file, which must live outside the engine.

use core::ops::ControlFlow;

mod batch;
mod database;
mod key;
pub mod memory;
pub mod suite;

pub use batch::{Batch, BatchError};
pub use database::DatabaseId;
pub use key::{Key, KeyError, KeyRange, Kind, LogId, TileLevel};

/// What takes rows one after another: the place of what was asked for, the row's key, and its value. It says whether to go on.
pub type EachRow<'e> = dyn FnMut(usize, &Key, &[u8]) -> ControlFlow<()> + 'e;

/// Where a log's rows live.
///
/// Every implementation passes [`suite::run`], and a durable one [`suite::run_durable`]. Any number of threads read;
/// exactly one thread commits. A read that begins after a commit returned sees the whole of it. One read need not see
/// one moment: while a commit runs, a scan or multi-get may see some rows of before and some of after.
pub trait Store: Send + Sync {
    /// The values of `keys`, in their order; `None` where there is no row.
    ///
    /// # Errors
    /// [`StoreError`] if any of them could not be read; never a wrong value instead.
    fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// The first `limit` rows of `range`, in ascending order of the key's bytes.
    ///
    /// # Errors
    /// As [`Store::get_many`]; a row whose key no [`Key`] constructor makes is [`StoreError::Corrupt`].
    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError>;

    /// Hands on the first row of each of these ranges, with the place of its range among them, as long as `each` goes on;
    /// nothing for a range without rows. The row's bytes are the store's own, and last as long as the call.
    ///
    /// # Errors
    /// As [`Store::scan`].
    fn firsts(&self, ranges: &[KeyRange], each: &mut EachRow<'_>) -> Result<(), StoreError> {
        for (place, range) in ranges.iter().enumerate() {
            if let Some((key, value)) = self.scan(range, 1)?.pop()
                && each(place, &key, &value).is_break()
            {
                break;
            }
        }
        Ok(())
    }

    /// Writes the whole batch or nothing, and returns once it is durable.
    ///
    /// # Errors
    /// See [`CommitError`]. After any but [`CommitError::Refused`] the store refuses all further commits.
    fn commit(&self, batch: Batch) -> Result<(), CommitError>;

    /// The value of one key.
    ///
    /// # Errors
    /// As [`Store::get_many`].
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.get_many(core::slice::from_ref(key))?.pop().flatten())
    }
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The engine found its own bytes damaged (a checksum that does not fit).
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// The engine could not be asked (an I/O error).
    #[error("the store could not be read: {0}")]
    Io(String),
}

/// How a commit ended, if not well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The batch is not one: the caller's mistake. Nothing was written, and the store goes on.
    #[error("the batch was refused: {0}")]
    Refused(#[from] BatchError),
    /// Another writer owns the store now; nothing of the batch was written.
    #[error("another writer has taken over this store")]
    Fenced,
    /// The batch may or may not be there after the store is opened anew. The process must stop signing and end:
    /// a failed fsync is never tried again, since the kernel may have dropped the pages.
    #[error("the outcome of a commit is unknown: {0}")]
    Unknown(String),
}
