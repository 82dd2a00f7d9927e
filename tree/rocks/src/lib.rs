//! The store contract of `cairn-tree` on an embedded RocksDB.
//!
//! Here: opening and creating, which rows live in which column family, one synced batch per commit, recovery. Not here:
//! what the rows mean, and the high-water file.
//!
//! # What survives what
//!
//! A commit is on disk when it returns: one `WriteBatch`, one write-ahead log for all families, one fdatasync. What
//! damage does after that (`tests/damage.rs` does it, to each sort of file):
//! - a flipped bit in a table: reads of its block answer
//!   [`StoreError::Corrupt`](cairn_tree::store::StoreError::Corrupt), or [`RocksStore::open`] refuses where it reads the
//!   block;
//! - a flipped bit in a write-ahead log or in the manifest: `open` refuses. RocksDB alone would take a flipped length for
//!   the end of the file, and remove the tables or drop the commits after it (see `cut.rs`);
//! - a table, a closed log or a manifest that was cut: `open` refuses, unless the part is not needed. RocksDB alone would
//!   remove the tables that the missing part of a manifest named, where that was cut between two records (see `named.rs`);
//! - the newest write-ahead log, cut: `open` drops the commits from there on, as after a crash that cut the last write
//!   short. It cannot know whether they were acknowledged; the high-water file, outside the database, does.
//!
//! A wrong value is never read, and a commit is never seen in part.

#[cfg(feature = "canaries")]
pub mod canary;
mod checkpoint;
mod cut;
mod error;
mod family;
mod named;
mod salvage;
mod scrub;
mod settings;
mod stats;
mod store;

pub use cut::{Records, judge_records};
pub use error::OpenError;
pub use salvage::{DatabaseLock, Remains};
pub use scrub::{Place, PlaceError, Swept};
pub use settings::Settings;
pub use stats::{FamilyStats, Stats};
pub use store::RocksStore;
