//! Locks that keep two backups out of each other's way, and that whoever is killed lets go of.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
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

fn lock(file: File, path: &Path) -> Result<File, BackupError> {
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(BackupError::Busy(path.into())),
        Err(error) => Err(BackupError::io(path)(error.into())),
    }
}
