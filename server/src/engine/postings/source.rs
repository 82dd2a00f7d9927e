//! What the postings stand on: the stored records that they follow from, and who writes their rows.

use core::ops::Range;

use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::store::{Batch, Key, Store};

use super::print::Print;
use crate::engine::stored::ReadError;

/// A log's stored records, as far as they are released.
pub trait Source {
    /// Where the runs are, and the records.
    fn store(&self) -> &dyn Store;

    /// The size of the newest released head. Never falls.
    fn size(&self) -> TreeSize;

    /// The print of the leaves that are not found by all that they once were, if there may be such: what runs have of them
    /// besides can't be told from damage.
    fn partial(&self) -> Option<Print> {
        None
    }

    /// Adds the postings of the leaves in `range`, which is below [`Source::size`], in the order of their indexes; within
    /// a leaf their order is free. A leaf that is no record has none. At most [`SOURCE_LEAVES`] leaves are asked for.
    /// Gives the first of these leaves that is not what the tree has, if there is one: its postings are not to be kept.
    ///
    /// # Errors
    /// [`ReadError`] if a leaf or what its prints follow from can't be read.
    ///
    /// [`SOURCE_LEAVES`]: super::SOURCE_LEAVES
    fn postings(&self, range: Range<u64>, to: &mut Vec<(Print, LeafIndex)>) -> Result<Option<LeafIndex>, ReadError>;
}

/// Who writes the rows of runs.
pub trait Sink {
    /// Writes rows and deletes others, in one batch, and returns once that is durable.
    ///
    /// # Errors
    /// [`SinkError`]; then the batch may have been written or not.
    fn write(&self, puts: Vec<(Key, Vec<u8>)>, deletes: Vec<Key>) -> Result<(), SinkError>;
}

/// Rows were not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rows of postings were not written: {0}")]
pub struct SinkError(pub String);

/// Writes straight to a store that nobody else writes to.
pub struct DirectSink<'a>(pub &'a dyn Store);

impl Sink for DirectSink<'_> {
    fn write(&self, puts: Vec<(Key, Vec<u8>)>, deletes: Vec<Key>) -> Result<(), SinkError> {
        let mut batch = Batch::new();
        puts.into_iter().for_each(|(key, row)| batch.put(key, row));
        deletes.into_iter().for_each(|key| batch.delete(key));
        self.0.commit(batch).map_err(|error| SinkError(error.to_string()))
    }
}
