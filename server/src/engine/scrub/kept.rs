//! How far the scrubber is, kept in a file so that a restart goes on from there. Losing it costs a pass and nothing else,
//! so it is replaced without being synced, and one that does not fit its digest (`crate::summed`) is as good as none.

use std::fs;
use std::path::{Path, PathBuf};

use cairn_tree::store::DatabaseId;
use serde::{Deserialize, Serialize};

use crate::regular::{open_regular, read_bounded};
use crate::summed;

const FILE_NAME: &str = "scrub.json";
/// More than the file takes.
const FILE_BYTES: u64 = 1 << 20;

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    database: String,
    /// When the pass that is under way began, in milliseconds since the epoch; 0 between two passes.
    pub(super) begun_ms: u64,
    /// When the last whole pass ended; 0 before the first.
    pub(super) whole_ms: u64,
    /// The number of the log that is read, or the first one after it.
    pub(super) log: u32,
    /// The bundle of that log that is read next.
    pub(super) bundle: u64,
    /// Where the sweep over the tables is, once it has begun.
    pub(super) tables: Option<String>,
}

#[derive(Debug)]
pub(super) struct Keeper {
    path: PathBuf,
    database: String,
}

impl Keeper {
    pub(super) fn new(data: &Path, database: DatabaseId) -> Self {
        Self { path: data.join(FILE_NAME), database: database.to_string() }
    }

    /// What was kept of this database. A file that is cut, changed or another's is none.
    pub(super) fn read(&self) -> Kept {
        let text = open_regular(&self.path).and_then(|file| read_bounded(file, FILE_BYTES));
        let kept = text.ok().and_then(|text| summed::read::<Kept>(&text).ok()).map(|read| read.content);
        let fresh = || Kept { database: self.database.clone(), ..Kept::default() };
        kept.filter(|kept| kept.database == self.database).unwrap_or_else(fresh)
    }

    pub(super) fn write(&self, kept: &Kept) {
        let beside = self.path.with_extension("json.new");
        let written = summed::to_line(kept).map_err(Into::into).and_then(|text| fs::write(&beside, text));
        if let Err(error) = written.and_then(|()| fs::rename(&beside, &self.path)) {
            tracing::debug!(%error, "how far the scrubber is can't be kept; a restart begins anew");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_in_its_own_database_only() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(folder.path(), DatabaseId::new([1; 16]));
        let kept = Kept { begun_ms: 5, log: 7, bundle: 9, tables: Some("1:00".to_owned()), ..keeper.read() };
        keeper.write(&kept);
        assert_eq!(keeper.read(), kept);
        let other = Keeper::new(folder.path(), DatabaseId::new([2; 16]));
        assert_eq!(other.read(), Kept { database: other.database.clone(), ..Kept::default() });
        let path = folder.path().join(FILE_NAME);
        let whole = fs::read(&path).unwrap();
        for bit in 0..8 * whole.len() {
            let mut bad = whole.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, bad).unwrap();
            assert_eq!(keeper.read(), Kept { database: keeper.database.clone(), ..Kept::default() }, "bit {bit}");
        }
        fs::write(path, b"{\"database\":").unwrap();
        assert_eq!(keeper.read().bundle, 0);
    }
}
