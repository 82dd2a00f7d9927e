//! Letting go of old generations, and of the tables that no generation has any more.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use super::hold::hold_backups;
use super::make::{clear, files_in};
use super::manifest::{generations, list, name_of, tables};
use super::{BackupError, copy};

/// What was let go of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The generations, oldest first.
    pub generations: Vec<u64>,
    /// The bytes of tables that nothing had any more.
    pub bytes: u64,
}

/// Removes all but the newest `keep` generations that are whole, and those that are not; then the tables that none of the
/// others has. A crash leaves each generation whole or unfinished, and at most tables that the next call removes.
///
/// # Errors
/// [`BackupError`]. Nothing is removed while a generation's manifest can't be read that is newer than the oldest to be kept:
/// nobody knows which tables it has.
pub fn prune(dest: &Path, keep: NonZeroUsize) -> Result<Pruned, BackupError> {
    let _lock = hold_backups(dest)?;
    clear(dest)?;
    let (mut kept, mut old) = (BTreeSet::new(), Vec::new());
    let mut whole = 0;
    for listed in list(dest)?.into_iter().rev() {
        if whole == keep.get() {
            old.push(listed.number);
            continue;
        }
        let generation = listed.generation?;
        whole += 1;
        kept.extend(generation.manifest.files.iter().map(|file| generation.place(file)));
    }
    old.reverse();
    for number in &old {
        let folder = generations(dest).join(name_of(*number));
        let partial = folder.with_extension("partial");
        // Once it has lost its name it is none, and its tables may go.
        copy::rename(&folder, &partial)?;
        copy::remove_folder(&partial)?;
    }
    let mut pruned = Pruned { generations: old, bytes: 0 };
    for table in files_in(&tables(dest), "")? {
        if !kept.contains(&table.from) {
            let length = fs::metadata(&table.from).map_err(BackupError::io(&table.from))?.len();
            fs::remove_file(&table.from).map_err(BackupError::io(&table.from))?;
            pruned.bytes += length;
        }
    }
    Ok(pruned)
}
