//! The store contract: what a log needs of the engine beneath it, and no more.
//!
//! An ordered key-value space with one writer. Reads may be network round trips, so there are multi-gets and bounded
//! scans, and no snapshot object: a reader reads the head first and bounds every later read by it, which append-only data
//! makes safe. A commit is one batch of puts and deletes; there is no read-modify-write, merge or expiry.
//!
//! Not here: what the rows mean (the server's `layout`), nor the high-water file, which must live outside the engine.

mod batch;
mod database;
mod key;
pub mod memory;
pub mod suite;

pub use batch::{Batch, BatchError};
pub use database::DatabaseId;
pub use key::{Key, KeyError, KeyRange, Kind, LogId, TileLevel};

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

    /// The first row of each of these ranges, until the rows have more than `most` bytes: of those behind nothing is said.
    /// Neighbours that begin with the same row share it, if they stand in the order of their beginnings.
    ///
    /// # Errors
    /// As [`Store::scan`].
    fn firsts(&self, ranges: &[KeyRange], most: usize) -> Result<Firsts, StoreError> {
        let mut firsts = Firsts::new(most);
        for range in ranges {
            if !firsts.is_full() && !firsts.again(range) {
                firsts.push(range, self.scan(range, 1)?.pop());
            }
        }
        Ok(firsts)
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

/// The first rows of some ranges.
#[derive(Debug)]
pub struct Firsts {
    rows: Vec<(Key, Vec<u8>)>,
    /// Which of the rows each range begins with.
    places: Vec<Option<usize>>,
    /// From where on the last of the rows is the first.
    from: Vec<u8>,
    left: usize,
}

impl Firsts {
    /// None yet, and room for about so many bytes.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self { rows: Vec::new(), places: Vec::new(), from: Vec::new(), left: most }
    }

    /// Whether there is no room for more.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.left == 0
    }

    /// Whether the range begins with the row that was found last, and takes it if so.
    pub fn again(&mut self, range: &KeyRange) -> bool {
        let Some((key, _)) = self.rows.last() else { return false };
        let key = key.as_bytes();
        let is_its_own = self.from.as_slice() <= range.start() && range.start() <= key && key < range.end();
        if is_its_own {
            self.places.push(Some(self.rows.len() - 1));
        }
        is_its_own
    }

    /// Takes what the next range begins with.
    pub fn push(&mut self, range: &KeyRange, row: Option<(Key, Vec<u8>)>) {
        self.places.push(row.as_ref().map(|_| self.rows.len()));
        if let Some((key, value)) = row {
            self.left = self.left.saturating_sub(value.len().max(1));
            self.rows.push((key, value));
            self.from = range.start().to_vec();
        }
    }

    /// Which of the rows each range begins with, in the order in which they were asked for; `None` for one without rows.
    #[must_use]
    pub fn places(&self) -> &[Option<usize>] {
        &self.places
    }

    /// The rows, each once.
    #[must_use]
    pub fn into_rows(self) -> Vec<(Key, Vec<u8>)> {
        self.rows
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
