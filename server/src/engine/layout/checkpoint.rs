//! A log's checkpoint row: the newest head that met its witness policy, with its cosignatures, as it is served; or that
//! there is none, because a repair or a restore lost it and no head has met the policy since.

use bytes::Bytes;
use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::note::VerifierKey;
use cairn_tree::store::{Key, Kind, LogId};

use super::RowError;
use super::fields::Fields;
use crate::engine::head::Head;

const ROW: &str = "checkpoint";
const VERSION: u8 = 1;
/// There is none.
const NOT_YET: u8 = 2;

/// Written before the checkpoint is served.
#[derive(Debug)]
pub(in crate::engine) struct CheckpointRow;

/// What the row says.
#[derive(Debug)]
pub(in crate::engine) enum Checkpointed {
    /// This is the checkpoint.
    At(Head),
    /// Nothing is published before a head meets the policy.
    NotYet,
}

impl Checkpointed {
    /// The checkpoint, if there is one.
    pub(in crate::engine) fn head(self) -> Option<Head> {
        match self {
            Self::At(head) => Some(head),
            Self::NotYet => None,
        }
    }
}

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

    /// The bytes that say that there is none: another version, and nothing else.
    #[must_use]
    pub(in crate::engine) fn not_yet() -> Vec<u8> {
        vec![NOT_YET]
    }

    /// Reads what [`CheckpointRow::encode`] wrote for a log with one of these keys, or [`CheckpointRow::not_yet`].
    ///
    /// # Errors
    /// [`RowError`] for anything else: not even one bit of a cosigned head can change unseen by its log's key, or by
    /// whoever verifies the cosignatures.
    pub(in crate::engine) fn decode(bytes: &[u8], keys: &[VerifierKey]) -> Result<Checkpointed, RowError> {
        let (mut fields, version) = Fields::open_any(ROW, &[VERSION, NOT_YET], bytes)?;
        if version == NOT_YET {
            fields.end()?;
            return Ok(Checkpointed::NotYet);
        }
        let time_ms = fields.u64()?;
        let note = fields.rest();
        let wrong = |error: String| RowError::new(ROW, error);
        let signed = SignedCheckpoint::parse(note).map_err(|error| wrong(error.to_string()))?;
        let verified = signed.verify(keys).map_err(|error| wrong(error.to_string()))?;
        Ok(Checkpointed::At(Head {
            size: verified.size(),
            root: verified.root(),
            time_ms,
            note: Bytes::copy_from_slice(note),
            edge: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_there_is_none_is_one_byte_and_no_other() {
        assert!(matches!(CheckpointRow::decode(&CheckpointRow::not_yet(), &[]), Ok(Checkpointed::NotYet)));
        for other in [&[][..], &[VERSION], &[NOT_YET, 0], &[3]] {
            assert!(CheckpointRow::decode(other, &[]).is_err(), "{other:?}");
        }
    }
}
