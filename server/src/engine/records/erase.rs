//! Taking disclosures away that a redaction record says were erased, and that are there all the same: an old copy had them.
//!
//! Nobody here asks whether they may go; whoever calls has verified the redaction record.

use std::collections::BTreeSet;

use cairn_tree::record::digest::Digest;
use cairn_tree::record::disclosure::Disclosures;
use cairn_tree::size::LeafIndex;
use cairn_tree::store::{Key, KeyRange, Kind};

use crate::engine::Log;
use crate::engine::layout::{DisclosuresRow, RowMaker};
use crate::engine::postings::{Sink as _, SinkError};
use crate::engine::stored::ReadError;

/// Why disclosures are still there.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// Their row can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Their row can't be written.
    #[error(transparent)]
    Write(#[from] SinkError),
    /// What is left of the record can't be packed.
    #[error("{0}")]
    Pack(String),
}

impl Log {
    /// Takes the disclosures of these digests away from the record at an index, durably. What other records of its row
    /// have stays as it is.
    ///
    /// # Errors
    /// [`EraseError`]; then nothing was changed.
    pub fn erase(&self, index: LeafIndex, digests: &BTreeSet<Digest>) -> Result<(), EraseError> {
        let (store, log) = (&self.running.reader.store, self.shared.info.id);
        let range = KeyRange::from_key(Key::numbered(log, Kind::Disclosures, index.get()));
        let Some((key, bytes)) = store.scan(&range, 1).map_err(ReadError::from)?.pop() else { return Ok(()) };
        let row = DisclosuresRow::decode(&key, bytes).map_err(ReadError::from)?;
        let mut left = RowMaker::default();
        for other in row.indexes() {
            if other != index {
                left.push(other, &[row.packed(other).unwrap_or_default()]);
                continue;
            }
            let kept = row.of(other).map_err(ReadError::from)?.unwrap_or_else(Disclosures::none);
            let kept = kept.filtered(|digest| !digests.contains(digest));
            if !kept.is_empty() {
                let mut packed = Vec::new();
                kept.pack(&mut packed).map_err(|error| EraseError::Pack(error.to_string()))?;
                left.push(other, &[packed]);
            }
        }
        let puts: Vec<_> = left.rows().into_iter().map(|(last, row)| (DisclosuresRow::key(log, last), row)).collect();
        // Of its last record nothing may be left; then the row stands under another key.
        let deletes = if puts.iter().any(|(other, _)| *other == key) { Vec::new() } else { vec![key] };
        Ok(self.running.sequencer.write(puts, deletes)?)
    }
}
