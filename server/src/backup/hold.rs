//! Locks that keep two backups, or two restores, out of each other's way, and that whoever is killed lets go of.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::FlockOperation;

use super::BackupError;

/// Keeps others from making or removing the frozen copy of a data folder, until it is dropped.
///
/// # Errors
/// [`BackupError::Busy`] if somebody does already.
pub fn hold(data: &Path) -> Result<File, BackupError> {
    let path = data.join("frozen.lock");
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    lock(opened.map_err(BackupError::io(&path))?, &path)
}

/// Keeps others from adding to a folder of backups.
pub(super) fn hold_backups(dest: &Path) -> Result<File, BackupError> {
    lock(File::open(dest).map_err(BackupError::io(dest))?, dest)
}

/// Keeps others from restoring into a folder.
pub(super) fn hold_restore(staging: &Path) -> Result<File, BackupError> {
    let busy = || BackupError::Restoring(staging.into());
    let file = File::open(staging).map_err(BackupError::io(staging))?;
    let held =
        lock(file, staging).map_err(|error| if matches!(error, BackupError::Busy(_)) { busy() } else { error })?;
    // It may have been given its name a moment ago, and another one made.
    let inode = |found: io::Result<Metadata>| found.map(|found| (found.dev(), found.ino())).ok();
    if inode(held.metadata()) == inode(fs::metadata(staging)) { Ok(held) } else { Err(busy()) }
}

fn lock(file: File, path: &Path) -> Result<File, BackupError> {
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(BackupError::Busy(path.into())),
        Err(error) => Err(BackupError::io(path)(error.into())),
    }
}
