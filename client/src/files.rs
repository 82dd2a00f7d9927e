//! Files that are whole or absent: bounded reading, atomic writing, and one holder per state file.
//!
//! Not here: what stands in the files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system said no.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// The file is longer than anything that may stand in it.
    #[error("{}: longer than {bound} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The bound.
        bound: usize,
    },
    /// Another process holds the file.
    #[error("{}: another cairn process is using it", path.display())]
    Held {
        /// The file.
        path: PathBuf,
    },
}

impl FileError {
    /// Whether there is simply no such file.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Io { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }

    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path, error }
    }
}

/// How much a write has to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of this process: what can be had again.
    Process,
    /// A power loss: what only this machine knows.
    PowerLoss,
}

/// Reads a file that is at most `bound` bytes long.
///
/// # Errors
/// [`FileError`] if it cannot be read or is longer.
pub fn read_bounded(path: &Path, bound: usize) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(FileError::io(path))?;
    let mut bytes = Vec::new();
    file.take(bound as u64 + 1).read_to_end(&mut bytes).map_err(FileError::io(path))?;
    if bytes.len() > bound { Err(FileError::TooLong { path: path.to_owned(), bound }) } else { Ok(bytes) }
}

/// Replaces a file by one with these bytes; whoever looks sees the old file or the new one, never a part.
///
/// # Errors
/// [`FileError`]; the old file is then still there.
pub fn write_atomic(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), FileError> {
    let mut pending = Pending::create(path)?;
    pending.write(bytes)?;
    pending.keep(path, durability)
}

/// A file that is written piece by piece, and seen by nobody until it is whole. Dropped before that, it leaves nothing.
#[derive(Debug)]
pub struct Pending {
    temporary: PathBuf,
    file: BufWriter<File>,
    has_name: bool,
}

impl Pending {
    /// Begins a file, in the folder of this path and for now under another name.
    ///
    /// # Errors
    /// [`FileError`] if it can't be made.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let temporary = beside(path, &format!(".tmp-{}", std::process::id()));
        let file = File::create(&temporary).map_err(FileError::io(&temporary))?;
        Ok(Self { temporary, file: BufWriter::new(file), has_name: false })
    }

    /// Writes what comes next.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all(bytes).map_err(FileError::io(&self.temporary))
    }

    /// Gives the file its name, in the same folder; what was there under that name is replaced.
    ///
    /// # Errors
    /// [`FileError`]; what was there is then still there.
    pub fn keep(mut self, path: &Path, durability: Durability) -> Result<(), FileError> {
        self.file.flush().map_err(FileError::io(&self.temporary))?;
        if durability == Durability::PowerLoss {
            // The bytes must be on the disk before the name points to them: a rename alone can survive a power loss that
            // its file's contents do not, and leave zeros under the right name.
            self.file.get_ref().sync_all().map_err(FileError::io(&self.temporary))?;
        }
        fs::rename(&self.temporary, path).map_err(FileError::io(path))?;
        self.has_name = true;
        if durability == Durability::PowerLoss {
            let folder = folder_of(path);
            File::open(&folder).and_then(|folder| folder.sync_all()).map_err(FileError::io(&folder))?;
        }
        Ok(())
    }
}

/// A temporary file that stays behind all the same harms nobody. Once it has its name, what is called as it was is another's.
impl Drop for Pending {
    fn drop(&mut self) {
        if !self.has_name {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Writes a file under the first of `path`, `path.2`, `path.3`, ... that does not exist yet, durably.
///
/// # Errors
/// [`FileError`] if none could be written.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<PathBuf, FileError> {
    let mut candidate = path.to_owned();
    for number in 2.. {
        match OpenOptions::new().write(true).create_new(true).open(&candidate) {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 10_000 => {
                candidate = beside(path, &format!(".{number}"));
            }
            Err(error) => return Err(FileError::Io { path: candidate, error }),
        }
    }
    write_atomic(&candidate, bytes, Durability::PowerLoss)?;
    Ok(candidate)
}

/// The sole use of a state file, as long as this is kept.
#[derive(Debug)]
pub struct Hold {
    lock: File,
}

impl Hold {
    /// Takes the lock beside the file (the file itself is replaced at each write, and its lock would go with it).
    ///
    /// # Errors
    /// [`FileError::Held`] if another process has it.
    pub fn take(path: &Path) -> Result<Self, FileError> {
        let lock = beside(path, ".lock");
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(&lock).map_err(FileError::io(&lock))?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { lock: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(FileError::Held { path: path.to_owned() }),
            Err(error) => Err(FileError::Io { path: lock, error: error.into() }),
        }
    }
}

/// Let go explicitly: a process that was forked meanwhile and has not begun its program yet has the file open too, and
/// closing it here alone would leave the lock with that one.
impl Drop for Hold {
    fn drop(&mut self) {
        // If this fails, closing the file lets go, a moment later at worst.
        let _ = rustix::fs::flock(&self.lock, rustix::fs::FlockOperation::Unlock);
    }
}

/// The path with `suffix` after its last character.
#[must_use]
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The folder that a file is in.
#[must_use]
pub fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        for bytes in [b"one".as_slice(), b"another"] {
            write_atomic(&path, bytes, Durability::PowerLoss).unwrap();
            assert_eq!(read_bounded(&path, 7).unwrap(), bytes);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(matches!(read_bounded(&path, 6), Err(FileError::TooLong { bound: 6, .. })));
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir_all(path.join("by a folder")).unwrap();
        assert!(write_atomic(&path, b"new", Durability::Process).is_err());
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn new_files_never_replace_older_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evidence.json");
        assert_eq!(write_new(&path, b"1").unwrap(), path);
        assert_eq!(write_new(&path, b"2").unwrap(), beside(&path, ".2"));
        assert_eq!(write_new(&path, b"3").unwrap(), beside(&path, ".3"));
        assert_eq!(fs::read(&path).unwrap(), b"1");
    }

    #[test]
    fn a_state_file_has_one_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let hold = Hold::take(&path).unwrap();
        assert!(matches!(Hold::take(&path), Err(FileError::Held { .. })));
        drop(hold);
        Hold::take(&path).unwrap();
    }
}
