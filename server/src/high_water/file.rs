//! The operating system's calls that the high-water file makes, behind a seam, so that tests can make them fail.
//!
//! Not a file system: one file that is written in place, and its replacement.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::regular::open_regular_to_write;

/// Where the file lies.
pub(super) trait Disk: fmt::Debug + Send {
    /// The path of a file that is there, with all links followed.
    fn resolve(&mut self, path: &Path) -> io::Result<PathBuf>;
    /// Opens a file for reading and writing.
    fn open(&mut self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Makes a new file that only its owner may read, in place of one of that name.
    fn create(&mut self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Renames a file over another, atomically.
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_directory(&mut self, path: &Path) -> io::Result<()>;
}

/// An open file.
pub(super) trait DiskFile: fmt::Debug + Send {
    /// The whole file, or its first `limit` bytes.
    fn read(&mut self, limit: u64) -> io::Result<Vec<u8>>;
    /// Writes some of the bytes, and says how many.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes the written bytes durable.
    fn sync_data(&mut self) -> io::Result<()>;
    /// Makes the written bytes and the file's length durable.
    fn sync_all(&mut self) -> io::Result<()>;
}

/// Writes all of the bytes. Only writing is ever tried again, and only where nothing failed.
pub(super) fn write_all_at(file: &mut dyn DiskFile, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = bytes.get(written..).unwrap_or_default();
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The operating system itself.
#[derive(Debug)]
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn resolve(&mut self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn open(&mut self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(open_regular_to_write(path)?))
    }

    fn create(&mut self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Box::new(OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?))
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_directory(&mut self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl DiskFile for File {
    fn read(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(self, bytes, offset)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn sync_all(&mut self) -> io::Result<()> {
        File::sync_all(self)
    }
}
