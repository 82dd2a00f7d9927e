//! Opening and reading the small files of a data directory: whatever else stands in their place is refused, and nothing is
//! waited for.
//!
//! Files that a command is given by its caller may well be pipes: of those only the reading is bounded.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file to read. To open a pipe that nobody writes to would take for ever, and a device may never end.
///
/// # Errors
/// What the system says, and [`io::ErrorKind::InvalidInput`] for anything but a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().read(true))
}

/// Opens a file to read and to write in place.
///
/// # Errors
/// As [`open_regular`].
pub(crate) fn open_regular_to_write(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().read(true).write(true))
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let file = options.custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
    }
}

/// What is left of an open file, in full.
///
/// # Errors
/// What the system says, and [`io::ErrorKind::FileTooLarge`] for more than `most` bytes.
pub fn read_bounded(file: File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let words = format!("it is longer than {most} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, words));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened_and_only_so_much_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"12345").unwrap();
        let read = |most| open_regular(&path).and_then(|file| read_bounded(file, most));
        assert_eq!(read(5).unwrap(), b"12345");
        assert_eq!(read(4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(open_regular_to_write(&path).and_then(|file| read_bounded(file, 5)).unwrap(), b"12345");
        assert_eq!(open_regular(folder.path()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        for open in [open_regular, open_regular_to_write] {
            assert_eq!(open(Path::new("/dev/zero")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        assert_eq!(open_regular(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
