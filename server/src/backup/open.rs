//! Opening a generation to read, where it stands: tables are linked to, not copied.

use std::os::unix::fs::symlink;
use std::path::{Path, absolute};

use cairn_rocks::{RocksStore, Settings};

use super::BackupError;
use super::copy;
use super::manifest::Generation;
use super::restore::compare;

impl Generation {
    /// Opens the database of this generation to read, by way of a folder that is made here and is the caller's to remove
    /// when the store is closed. Files that are not tables are compared with the manifest; of tables RocksDB checks each
    /// block that is read.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] if a file is not what was written, or the database does not open.
    pub fn open_to_read(&self, scratch: &Path, settings: &Settings) -> Result<RocksStore, BackupError> {
        let folder = scratch.join("db");
        copy::make_folder(&folder)?;
        for file in &self.manifest.files {
            let Some(name) = file.path.strip_prefix("db/") else { continue };
            let (from, to) = (self.place(file), folder.join(name));
            if file.tail.is_some() {
                let table = absolute(&from).map_err(BackupError::io(&from))?;
                symlink(table, &to).map_err(BackupError::io(&to))?;
            } else {
                let found = copy::copy(&from, &to, &mut |_| ())?;
                compare(file, &from, found)?;
            }
        }
        RocksStore::open_to_read(&folder, settings)
            .map_err(|error| BackupError::Damaged { path: self.dest.clone(), problem: error.to_string() })
    }
}
