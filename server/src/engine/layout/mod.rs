//! What the rows of a database mean: the bytes of each value, and which key holds it.
//!
//! Not here: the order of keys (`cairn_tree::store::Key`) and entries and tiles, whose values are the C2SP bytes
//! themselves. Decoding is total: damaged rows are errors that name the row.

mod binding;
mod checkpoint;
mod database;
mod disclosures;
mod fields;
mod head;
mod placement;
mod policy;

pub(in crate::engine) use binding::BindingRow;
pub use binding::{KeyEntry, KeyStatus, Successor, Terms};
pub(in crate::engine) use checkpoint::{CheckpointRow, Checkpointed};
pub(in crate::engine) use database::DatabaseRow;
pub(in crate::engine) use disclosures::{DisclosuresRow, RowMaker};
pub(in crate::engine) use head::HeadRow;
pub use head::LogState;
pub(in crate::engine) use placement::IdempotencyRow;
pub use placement::Placement;
pub(in crate::engine) use policy::{Current, PolicyRow, PolicyText};

/// A row whose bytes no version of this program wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {row} row is damaged: {problem}")]
pub struct RowError {
    /// Which kind of row.
    pub row: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl RowError {
    fn new(row: &'static str, problem: impl Into<String>) -> Self {
        Self { row, problem: problem.into() }
    }
}
