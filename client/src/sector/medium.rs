//! The calls that the journal makes of the operating system, behind a seam, so that tests can make them fail.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// An open file that is written in place.
pub(crate) trait Medium: fmt::Debug + Send {
    /// The whole file, or its first `limit` bytes.
    fn read(&mut self, limit: usize) -> io::Result<Vec<u8>>;
    /// Writes all of the bytes.
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the written bytes durable.
    fn sync_data(&mut self) -> io::Result<()>;
}

impl Medium for File {
    fn read(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.metadata()?.len()).unwrap_or(usize::MAX).min(limit);
        let mut bytes = vec![0; length];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, offset)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        File::sync_data(self)
    }
}

/// Opens a file that is there.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Makes a new file of zeros. They are written, not left out: from then on a commit changes nothing but its own blocks, so
/// that one sync of data is all that it needs.
pub(crate) fn create(path: &Path, length: usize) -> io::Result<File> {
    const PIECE: usize = 1 << 20;
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    let zeros = vec![0; PIECE];
    for start in (0..length).step_by(PIECE) {
        let piece = zeros.get(..PIECE.min(length - start)).unwrap_or_default();
        std::os::unix::fs::FileExt::write_all_at(&file, piece, start as u64)?;
    }
    file.sync_all()?;
    Ok(file)
}
