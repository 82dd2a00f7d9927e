//! The database's own row: its identity, the number of its last commit, and the next log's id.

use cairn_tree::store::{DatabaseId, Key, Kind, LogId};

use super::RowError;
use super::fields::Fields;

const ROW: &str = "database";
const VERSION: u8 = 1;

/// Written anew in every batch, so that the number of the last commit is always known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct DatabaseRow {
    /// Drawn when the database was made; the high-water file carries the same.
    pub id: DatabaseId,
    /// The number of the commit that wrote this row; the first is 1.
    pub commit: u64,
    /// The number of the last commit whose heads were released before this one was written. The high-water knows it, or
    /// has lost its own tail.
    pub(in crate::engine) released: u64,
    /// The id that the next log will get; ids are never reused.
    pub next_log: LogId,
}

impl DatabaseRow {
    /// The one key.
    #[must_use]
    pub(in crate::engine) fn key() -> Key {
        Key::numbered(LogId::DATABASE, Kind::Head, 0)
    }

    /// The bytes: version, id, commit, released commit, next log.
    #[must_use]
    pub(in crate::engine) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&self.commit.to_be_bytes());
        bytes.extend_from_slice(&self.released.to_be_bytes());
        bytes.extend_from_slice(&self.next_log.get().to_be_bytes());
        bytes
    }

    /// Reads what [`DatabaseRow::encode`] wrote.
    ///
    /// # Errors
    /// [`RowError`] for anything else.
    pub(in crate::engine) fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let mut fields = Fields::open(ROW, VERSION, bytes)?;
        let row = Self {
            id: DatabaseId::new(fields.array()?),
            commit: fields.u64()?,
            released: fields.u64()?,
            next_log: LogId::new(fields.u32()?),
        };
        fields.end()?;
        Ok(row)
    }
}
