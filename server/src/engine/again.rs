//! What the readers of stored rows make of any bytes: for the fuzz targets, which nothing inside of the engine needs.

use cairn_tree::store::{DatabaseId, Key, Kind, LogId};

use super::index;
use super::layout::{BindingRow, DatabaseRow, DisclosuresRow, HeadRow, IdempotencyRow, PolicyRow, RowMaker};
use super::postings::{self, PrintRow};

/// A sort of stored row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowSort {
    /// A log's head.
    Head,
    /// The database's own.
    Database,
    /// A log's binding, which is JSON; of the database whose id is all sevens.
    Binding,
    /// A log's witness policy.
    Policy,
    /// What an idempotency key stands for.
    Idempotency,
    /// The disclosures of some records: first the number of its key, then the row.
    Disclosures,
    /// What records are found by.
    Prints,
    /// The list of the runs of the hash index.
    HashRuns,
    /// The list of the runs of the postings.
    PostingRuns,
}

impl RowSort {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Head,
        Self::Database,
        Self::Binding,
        Self::Policy,
        Self::Idempotency,
        Self::Disclosures,
        Self::Prints,
        Self::HashRuns,
        Self::PostingRuns,
    ];
}

/// Reads a row and writes it again; `None` if it is none.
#[must_use]
pub fn row_again(sort: RowSort, bytes: &[u8]) -> Option<Vec<u8>> {
    match sort {
        RowSort::Head => HeadRow::decode(bytes).ok().map(|row| row.encode()),
        RowSort::Database => DatabaseRow::decode(bytes).ok().map(|row| row.encode()),
        RowSort::Binding => {
            BindingRow::decode(bytes, &DatabaseId::new([7; DatabaseId::LEN])).ok().map(|row| row.encode())
        }
        RowSort::Policy => PolicyRow::decode(bytes).ok().map(|row| row.encode()),
        RowSort::Idempotency => IdempotencyRow::decode(bytes).ok().map(|row| row.encode()),
        RowSort::Disclosures => disclosures_again(bytes),
        RowSort::Prints => PrintRow::decode(bytes).map(|row| row.encode()),
        RowSort::HashRuns => index::Manifest::decode(bytes).map(|row| row.encode()),
        RowSort::PostingRuns => postings::Manifest::decode(bytes).map(|row| row.encode()),
    }
}

/// All that a row has, in the fewest rows: one, unless a record alone is longer than rows are made.
fn disclosures_again(bytes: &[u8]) -> Option<Vec<u8>> {
    let (number, row) = bytes.split_first_chunk()?;
    let key = Key::numbered(LogId::new(1), Kind::Disclosures, u64::from_be_bytes(*number));
    let row = DisclosuresRow::decode(&key, row).ok()?;
    let mut written = number.to_vec();
    for (place, index) in row.indexes().enumerate() {
        let mut maker = RowMaker::default();
        maker.push(index, &[row.packed(index)?]);
        let (_, one) = maker.rows().into_iter().next()?;
        // The version stands there once.
        written.extend(one.into_iter().skip(usize::from(place > 0)));
    }
    Some(written)
}
