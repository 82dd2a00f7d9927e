//! What was scanned of a log for one stream, in one file that is whole or refused, so that the next scan reads what is new.

use std::path::Path;

use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::record::stream::StreamId;
use cairn_tree::size::TreeSize;
use serde::{Deserialize, Serialize};

use super::framed::{self, damaged};
use super::state::{self, StateError};
use crate::auditor::trail::Known;
use crate::bounds;
use crate::files::{Durability, FileError, read_bounded, write_atomic};

/// What every such file begins with, before the checksum of the rest.
const MAGIC: &str = "cairn.scanned/1 ";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    origin: String,
    stream: String,
    size: u64,
    frontier: Vec<String>,
    records: u64,
    last: Option<String>,
    others: u64,
}

/// Why such a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ScannedError {
    /// It can't be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not what was written.
    #[error(transparent)]
    State(#[from] StateError),
    /// It is about another stream.
    #[error("the file is about another stream")]
    OtherStream,
}

/// Reads what was scanned before for a stream of a log; nothing if there is no such file.
///
/// # Errors
/// [`ScannedError`].
pub fn load(path: &Path, origin: &Origin, stream: StreamId) -> Result<Known, ScannedError> {
    let bytes = match read_bounded(path, bounds::SCANNED_BYTES) {
        Err(error) if error.is_absent() => return Ok(Known::default()),
        other => other?,
    };
    let stored: Stored = framed::decode(MAGIC, &bytes)?;
    if stored.origin != origin.as_str() {
        return Err(StateError::OtherLog(stored.origin).into());
    }
    if stored.stream != stream.to_string() {
        return Err(ScannedError::OtherStream);
    }
    let size = TreeSize::new(stored.size).map_err(damaged)?;
    let last = stored.last.map(|text| Hash::from_base64(&text)).transpose().map_err(damaged)?;
    let frontier = state::frontier(size, &stored.frontier)?;
    Ok(Known { frontier, records: stored.records, last, others: stored.others })
}

/// Keeps what was scanned for a stream of a log.
///
/// # Errors
/// [`ScannedError`].
pub fn save(path: &Path, origin: &Origin, stream: StreamId, known: &Known) -> Result<(), ScannedError> {
    let stored = Stored {
        origin: origin.to_string(),
        stream: stream.to_string(),
        size: known.frontier.size().get(),
        frontier: known.frontier.hashes().iter().map(Hash::to_base64).collect(),
        records: known.records,
        last: known.last.map(|last| last.to_base64()),
        others: known.others,
    };
    Ok(write_atomic(path, &framed::encode(MAGIC, &stored)?, Durability::PowerLoss)?)
}

#[cfg(test)]
mod tests {
    use cairn_tree::merkle::Frontier;
    use cairn_tree::record::digest::Digest;

    use super::*;

    #[test]
    fn what_was_scanned_comes_back_for_its_stream_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scanned");
        let (origin, stream) = (Origin::new("log.example").unwrap(), StreamId::new(Digest::of("name")));
        assert_eq!(load(&path, &origin, stream).unwrap(), Known::default());
        let mut frontier = Frontier::new();
        for entry in 0..300_u64 {
            frontier.push(Hash::leaf(&entry.to_be_bytes()), &mut |_, _| {}).unwrap();
        }
        let known = Known { frontier, records: 2, last: Some(Hash::leaf(b"last")), others: 7 };
        save(&path, &origin, stream, &known).unwrap();
        assert_eq!(load(&path, &origin, stream).unwrap(), known);
        let refused = |origin: &str, name: &str| {
            load(&path, &Origin::new(origin).unwrap(), StreamId::new(Digest::of(name))).unwrap_err()
        };
        assert!(matches!(refused("log.example", "other"), ScannedError::OtherStream));
        assert!(matches!(refused("other.example", "name"), ScannedError::State(StateError::OtherLog(_))));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[200] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let damaged = load(&path, &origin, stream);
        assert!(matches!(damaged, Err(ScannedError::State(StateError::Damaged(_)))), "{damaged:?}");
    }
}
