//! Copying and hashing files so that what is done is on the disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::{BackupError, Digest};
use crate::names;

const BUFFER: usize = 1 << 20;
/// The end of a table, which holds an id of its own.
const TAIL: u64 = 64 << 10;

/// Copies a file to a new one that only its owner may read, durable but for its name, and hashes it on the way.
pub(super) fn copy(from: &Path, to: &Path, progress: &mut dyn FnMut(u64)) -> Result<(u64, Digest), BackupError> {
    let mut source = File::open(from).map_err(BackupError::io(from))?;
    let mut target = create(to)?;
    let mut write = |bytes: &[u8]| target.write_all(bytes).map_err(BackupError::io(to));
    let hashed = read_through(&mut source, from, progress, &mut write)?;
    target.sync_all().map_err(BackupError::io(to))?;
    Ok(hashed)
}

/// Reads a file and hashes it.
pub(super) fn hash(path: &Path, progress: &mut dyn FnMut(u64)) -> Result<(u64, Digest), BackupError> {
    let mut source = File::open(path).map_err(BackupError::io(path))?;
    read_through(&mut source, path, progress, &mut |_| Ok(()))
}

fn read_through(
    source: &mut File,
    path: &Path,
    progress: &mut dyn FnMut(u64),
    each: &mut dyn FnMut(&[u8]) -> Result<(), BackupError>,
) -> Result<(u64, Digest), BackupError> {
    let mut buffer = vec![0; BUFFER];
    let (mut length, mut hasher) = (0, Sha256::new());
    loop {
        let read = match source.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(BackupError::io(path))?,
        };
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return Ok((length, Digest::finish(hasher)));
        }
        hasher.update(bytes);
        each(bytes)?;
        length += read as u64;
        progress(read as u64);
    }
}

/// The SHA-256 of a file's last 64 KiB, and the file's length.
pub(super) fn tail(path: &Path) -> Result<(u64, Digest), BackupError> {
    let read = || -> io::Result<(u64, Digest)> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok((length, Digest::of(&bytes)))
    };
    read().map_err(BackupError::io(path))
}

/// Writes a small file, durable but for its name.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let mut file = create(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(BackupError::io(path))
}

fn create(path: &Path) -> Result<File, BackupError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(BackupError::io(path))
}

/// Gives a durable file or folder its name, durably.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), BackupError> {
    fs::rename(from, to).and_then(|()| names::sync_name(to)).map_err(BackupError::io(to))
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), BackupError> {
    names::sync_folder(path).map_err(BackupError::io(path))
}

/// Makes a folder that only its owner may enter, unless it is there, and those around it that are not there. Their names
/// are durable once they are synced: [`sync_way_to`].
pub(super) fn make_folder(path: &Path) -> Result<(), BackupError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(BackupError::io(path))
}

/// Makes the names of the folders on the way to this one durable: whoever was killed may have made any of them, and not come
/// so far. A folder that may not be read is another one's, as is the name in it; and of one that can't be synced, or can't
/// be written to, no more is to be had.
pub(super) fn sync_way_to(path: &Path) -> Result<(), BackupError> {
    let whole = std::path::absolute(path).map_err(BackupError::io(path))?;
    for above in whole.ancestors().skip(1) {
        match sync_folder(above) {
            Err(BackupError::Io { error, .. }) if is_no_failure(error.kind()) => {}
            synced => synced?,
        }
    }
    Ok(())
}

fn is_no_failure(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput | io::ErrorKind::ReadOnlyFilesystem)
}

/// Removes a folder with all that is in it; one that is not there is as it should be.
pub(super) fn remove_folder(path: &Path) -> Result<(), BackupError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(BackupError::io(path)(error)),
        _ => Ok(()),
    }
}

/// Removes a file, or a folder with all that is in it; one that is not there is as it should be.
pub(super) fn remove_any(path: &Path) -> Result<(), BackupError> {
    if path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        return remove_folder(path);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(BackupError::io(path)(error)),
        _ => Ok(()),
    }
}
