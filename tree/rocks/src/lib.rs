//! The store contract of `cairn-tree` on an embedded RocksDB.
//!
//! Here: opening and creating, which rows live in which column family, one synced batch per commit, recovery. Not here:
//! what the rows mean, and the high-water file.
//!
//! # What survives what
//!
//! A commit is on disk when it returns: one `WriteBatch`, one write-ahead log for all families, one fdatasync. What a
//! flipped bit does after that:
//! - in a table file: reads of its block answer [`StoreError::Corrupt`](cairn_tree::store::StoreError::Corrupt), and so
//!   does [`RocksStore::open`] where it reads the block;
//! - in the write-ahead log: `open` refuses, **or** drops the commits from there on, where the damage looks like a write
//!   that a crash cut short (a length that runs past the end of the file). RocksDB has no mode that can tell the two
//!   apart, so the high-water file, outside the database, must;
//! - in the manifest: the same two.
//!
//! A wrong value is never read, and a commit is never seen in part (`tests/damage.rs` flips the bytes).

mod error;
mod family;
mod settings;
mod stats;
mod store;

pub use error::OpenError;
pub use settings::Settings;
pub use stats::{FamilyStats, Stats};
pub use store::RocksStore;
