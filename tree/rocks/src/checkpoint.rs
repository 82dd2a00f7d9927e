//! A checkpoint: the database as it is at one moment, in a folder of its own that can be opened as a database.
//!
//! Tables are linked and not copied, so it costs little but must be on the same file system; whoever wants it elsewhere
//! copies it from there, and removes it, since it keeps tables from being deleted.

use std::path::Path;

use cairn_tree::store::StoreError;
use rocksdb::FlushOptions;
use rocksdb::checkpoint::Checkpoint;

use crate::error::on_read;
use crate::family::Family;
use crate::store::RocksStore;

impl RocksStore {
    /// Writes the rows in memory to tables, beside commits. A checkpoint that follows has little left to write.
    ///
    /// # Errors
    /// [`StoreError::Io`] if they could not be written.
    pub fn flush(&self) -> Result<(), StoreError> {
        let families: Vec<_> = Family::ALL.iter().map(|family| self.family(*family)).collect::<Result<_, _>>()?;
        let families: Vec<_> = families.iter().collect();
        self.db.flush_cfs_opt(&families, &FlushOptions::default()).map_err(on_read)
    }

    /// Makes a checkpoint in `path`, which must not be there and whose parent must. It holds every commit that returned
    /// before, and no part of one that began later than this returns.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be written; what is there of it then is of no use.
    pub fn checkpoint(&self, path: &Path) -> Result<(), StoreError> {
        Checkpoint::new(&self.db).and_then(|checkpoint| checkpoint.create_checkpoint(path)).map_err(on_read)
    }
}
