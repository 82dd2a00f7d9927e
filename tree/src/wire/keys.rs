//! The keys of a log over HTTP: which sign, and what the log itself says about how they changed.
//!
//! The answer is a hint, the statements in it are the proof: each is an entry of the log, signed by the keys that signed
//! before it (see [`crate::statement`]).

use serde::{Deserialize, Serialize};

use crate::size::{LeafIndex, TreeSize};
use crate::statement::KeyChange;

/// The answer to `GET keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysAnswer {
    /// The log.
    pub origin: String,
    /// Its keys, oldest first, those that sign no more included.
    pub keys: Vec<KeyAnswer>,
    /// The entries that say how they changed, in order.
    pub statements: Vec<StatementAnswer>,
    /// The origin of the log that it continues: then its first entry says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<String>,
    /// The origin of the log that continues it: then its last entry says so, unless it was halted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAnswer {
    /// The key.
    pub vkey: String,
    /// Whether it signs.
    pub status: KeyChange,
    /// The size of the first head that it signs.
    pub first_size: TreeSize,
}

/// One entry about a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementAnswer {
    /// Where it is.
    pub index: LeafIndex,
    /// The entry, which is text.
    pub statement: String,
}
