//! A log's checkpoint row: the newest head that met its witness policy, with its cosignatures, as it is served.

use bytes::Bytes;
use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::note::VerifierKey;
use cairn_tree::store::{Key, Kind, LogId};

use super::RowError;
use super::fields::Fields;
use crate::engine::head::Head;

const ROW: &str = "checkpoint";
const VERSION: u8 = 1;

/// Written before the checkpoint is served.
#[derive(Debug)]
pub(in crate::engine) struct CheckpointRow;

impl CheckpointRow {
    /// The key of `log`'s checkpoint.
    #[must_use]
    pub(in crate::engine) fn key(log: LogId) -> Key {
        Key::numbered(log, Kind::Checkpoint, 0)
    }

    /// The bytes: version, time, and the checkpoint itself.
    #[must_use]
    pub(in crate::engine) fn encode(checkpoint: &Head) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&checkpoint.time_ms.to_be_bytes());
        bytes.extend_from_slice(&checkpoint.note);
        bytes
    }

    /// Reads what [`CheckpointRow::encode`] wrote for a log with one of these keys.
    ///
    /// # Errors
    /// [`RowError`] for anything else: not even one bit of a cosigned head can change unseen by its log's key, or by
    /// whoever verifies the cosignatures.
    pub(in crate::engine) fn decode(bytes: &[u8], keys: &[VerifierKey]) -> Result<Head, RowError> {
        let mut fields = Fields::open(ROW, VERSION, bytes)?;
        let time_ms = fields.u64()?;
        let note = fields.rest();
        let wrong = |error: String| RowError::new(ROW, error);
        let signed = SignedCheckpoint::parse(note).map_err(|error| wrong(error.to_string()))?;
        let verified = signed.verify(keys).map_err(|error| wrong(error.to_string()))?;
        Ok(Head {
            size: verified.size(),
            root: verified.root(),
            time_ms,
            note: Bytes::copy_from_slice(note),
            edge: None,
        })
    }
}
