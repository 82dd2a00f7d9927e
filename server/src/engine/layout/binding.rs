//! A log's binding: the name, origin and keys that belong to this database and to no other.
//!
//! Compared with the key files at every start, so that a key never signs two trees.

use cairn_tree::note::VerifierKey;
use cairn_tree::store::{DatabaseId, Key, Kind, LogId};
use serde::{Deserialize, Serialize};

use super::RowError;
use crate::log_name::LogName;

const ROW: &str = "binding";
const FORMAT: u8 = 1;

/// Whether a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyStatus {
    /// It signs every new head.
    Active,
    /// It signed heads once and does no more.
    Retired,
}

/// One key of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
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
    pub name: LogName,
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
    /// The indexes of the entries that say how the keys changed, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<u64>,
    /// The name of the log that this one continues: then its first entry says so, and nothing else may come before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<LogName>,
    /// The log that continues this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<Successor>,
}

/// The log that continues another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Successor {
    /// Its name within the server.
    pub name: LogName,
    /// Its origin.
    pub origin: String,
}

/// The parts of a binding that whoever makes a log decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The log's name within the server.
    pub name: LogName,
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
    /// The binding of a new log.
    #[must_use]
    pub(in crate::engine) fn new(database: &DatabaseId, terms: Terms, created_ms: u64, vkeys: Vec<String>) -> Self {
        let Terms { name, origin, private, open_append, dedup, hash_index } = terms;
        let key = |vkey| KeyEntry { vkey, status: KeyStatus::Active, first_size: 0 };
        Self {
            format: FORMAT,
            database: database.to_string(),
            name,
            origin,
            private,
            open_append,
            dedup,
            hash_index,
            created_ms,
            keys: vkeys.into_iter().map(key).collect(),
            statements: Vec::new(),
            predecessor: None,
            successor: None,
        }
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

    /// The public keys of all of them, with those that sign no more.
    pub(in crate::engine) fn public_keys(&self) -> impl Iterator<Item = Vec<u8>> {
        let keys = self.keys.iter().filter_map(|key| key.vkey.parse::<VerifierKey>().ok());
        keys.map(|key| key.public_key().to_vec())
    }

    /// Whether one of them has this public key, whatever its name.
    pub(in crate::engine) fn has_public_key(&self, key: &VerifierKey) -> bool {
        self.public_keys().any(|own| own == key.public_key())
    }
}
