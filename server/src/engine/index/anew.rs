//! Making the runs of a log that nobody writes to, from its tiles alone: what a repair does.

use cairn_tree::size::TreeSize;
use cairn_tree::store::{Batch, Key, LogId, Store};

use super::leaves_between;
use super::manifest::Manifest;
use super::run::{Record, Run};
use crate::engine::bounds::{INDEX_FAN, INDEX_RUN_ENTRIES, MEND_RUN_ENTRIES};
use crate::engine::stored::{ReadError, Stored};

/// Runs that are being made, oldest first.
pub(in crate::engine) struct Anew {
    log: LogId,
    manifest: Manifest,
}

impl Anew {
    pub(in crate::engine) fn new(log: LogId) -> Self {
        Self { log, manifest: Manifest::default() }
    }

    /// The rows of the next run; `None` when what is left is so little that it is read when the index is first used.
    ///
    /// # Errors
    /// [`ReadError`] if the log's tiles can't be read.
    pub(in crate::engine) fn next(&mut self, store: &dyn Store, size: TreeSize) -> Result<Option<Batch>, ReadError> {
        let start = self.manifest.end();
        let Some(length) = length(size.get().saturating_sub(start)) else { return Ok(None) };
        let leaves = leaves_between(&Stored::new(store, self.log), start, start + length)?;
        let mut records: Vec<Record> = leaves.iter().map(|(index, leaf)| Record::new(leaf, *index)).collect();
        records.sort_unstable();
        let run = Run::new(self.manifest.next_id(), start, start + length);
        self.manifest = self.manifest.with_run(run);
        let mut batch = Batch::new();
        run.rows(self.log, &records).into_iter().for_each(|(key, row)| batch.put(key, row));
        Ok(Some(batch))
    }

    /// The row that names all runs; it goes last.
    pub(in crate::engine) fn finish(self) -> (Key, Vec<u8>) {
        (Manifest::key(self.log), self.manifest.encode())
    }
}

/// How long the next run is: of a size that the builder's merges go on from.
fn length(left: u64) -> Option<u64> {
    let mut length = MEND_RUN_ENTRIES;
    while length > left {
        length /= INDEX_FAN as u64;
    }
    (length >= INDEX_RUN_ENTRIES).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_as_long_as_those_that_the_builder_makes() {
        let (one, most) = (INDEX_RUN_ENTRIES, MEND_RUN_ENTRIES);
        for (left, expected) in [
            (0, None),
            (one - 1, None),
            (one, Some(one)),
            (most - 1, Some(one)),
            (most, Some(most)),
            (u64::MAX, Some(most)),
        ] {
            assert_eq!(length(left), expected, "{left}");
        }
    }
}
