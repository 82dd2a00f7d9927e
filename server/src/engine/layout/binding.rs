//! A log's binding: the name, origin and keys that belong to this database and to no other.
//!
//! Compared with the key files at every start, so that a key never signs two trees.

use cairn_tree::store::{DatabaseId, Key, Kind, LogId};
use serde::{Deserialize, Serialize};

use super::RowError;

const ROW: &str = "binding";
const FORMAT: u8 = 1;

/// Whether a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::engine) enum KeyStatus {
    /// It signs every new head.
    Active,
    /// It signed heads once and does no more.
    Retired,
}

/// One key of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::engine) struct KeyEntry {
    /// The key as a C2SP vkey.
    pub vkey: String,
    /// Whether it signs.
    pub status: KeyStatus,
    /// The size of the first head that it signs.
    pub first_size: u64,
}

/// What is fixed about a log. JSON, because it is read by people who must explain it, and once per start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::engine) struct BindingRow {
    format: u8,
    /// The database, as hexadecimal digits.
    database: String,
    /// The log's name within the server.
    pub name: String,
    /// The origin line of its checkpoints and the name of its keys.
    pub origin: String,
    /// Whether reads need a token.
    pub private: bool,
    /// Whether appends need no token.
    pub open_append: bool,
    /// Whether an entry that is there already is not appended again.
    pub dedup: bool,
    /// Whether entries can be found by their leaf hash.
    pub hash_index: bool,
    /// When it was made, in milliseconds since the epoch.
    pub created_ms: u64,
    /// Its keys, oldest first.
    pub keys: Vec<KeyEntry>,
}

/// The parts of a binding that whoever makes a log decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The log's name within the server.
    pub name: String,
    /// The origin line of its checkpoints.
    pub origin: String,
    /// Whether reads need a token.
    pub private: bool,
    /// Whether appends need no token.
    pub open_append: bool,
    /// Whether an entry that is there already is not appended again.
    pub dedup: bool,
    /// Whether entries can be found by their leaf hash.
    pub hash_index: bool,
}

impl BindingRow {
    /// The binding of a new log with one key.
    #[must_use]
    pub(in crate::engine) fn new(database: &DatabaseId, terms: Terms, created_ms: u64, vkey: String) -> Self {
        let Terms { name, origin, private, open_append, dedup, hash_index } = terms;
        let keys = vec![KeyEntry { vkey, status: KeyStatus::Active, first_size: 0 }];
        let database = database.to_string();
        Self { format: FORMAT, database, name, origin, private, open_append, dedup, hash_index, created_ms, keys }
    }

    /// The key of `log`'s binding.
    #[must_use]
    pub(in crate::engine) fn key(log: LogId) -> Key {
        Key::numbered(LogId::DATABASE, Kind::Binding, u64::from(log.get()))
    }

    /// The JSON text.
    #[must_use]
    pub(in crate::engine) fn encode(&self) -> Vec<u8> {
        // Strings, numbers and booleans always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`BindingRow::encode`] wrote in this very database.
    ///
    /// # Errors
    /// [`RowError`] for anything else, another database's binding included.
    pub(in crate::engine) fn decode(bytes: &[u8], database: &DatabaseId) -> Result<Self, RowError> {
        let row: Self = serde_json::from_slice(bytes).map_err(|error| RowError::new(ROW, error.to_string()))?;
        if row.format != FORMAT {
            return Err(RowError::new(ROW, format!("format {}, not {FORMAT}", row.format)));
        }
        if row.database != database.to_string() {
            return Err(RowError::new(ROW, format!("it belongs to database {}", row.database)));
        }
        Ok(row)
    }

    /// The keys that sign new heads.
    pub(in crate::engine) fn active_keys(&self) -> impl Iterator<Item = &KeyEntry> {
        self.keys.iter().filter(|key| key.status == KeyStatus::Active)
    }
}
