//! High-water files that a restore has gone by.
//!
//! A restored copy keeps a high-water file of its own, so that the one on another disk, which the configuration in older backups
//! goes on naming, says nothing of what the copy signs. By it alone a second restore would let a log sign that again. So a note
//! beside the file says that it was used, as long as the file is what it was then: a database that goes on writes to it, and it
//! tells again. Not here: a file that the operator names, which is the operator's own word for being the newest.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{BackupError, Digest, copy};
use crate::regular::{open_regular, read_bounded};
use crate::replace::replace_file;
use crate::summed;

/// What is added to the name of the file.
const SUFFIX: &str = ".restored";
/// No path is longer than 4 KiB.
const NOTE_BYTES: u64 = 32 << 10;

/// What stands beside the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    /// Of the file as it was.
    high_water: Digest,
    /// Where the copy was put.
    into: String,
}

/// That no copy was restored by a high-water file since it was last written to.
///
/// # Errors
/// [`BackupError::Spent`], or why that can't be read.
pub fn is_not_spent(high_water: &Path) -> Result<(), BackupError> {
    let (real, note) = note_of(high_water)?;
    let bytes = match open_regular(&note).and_then(|file| read_bounded(file, NOTE_BYTES)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        bytes => bytes.map_err(BackupError::io(&note))?,
    };
    let said = summed::read(&bytes).map_err(|error| BackupError::io(&note)(io::Error::other(error)))?;
    let Note { high_water: then, into } = said.content;
    if then == copy::hash(&real, &mut |_| ())?.1 {
        return Err(BackupError::Spent { path: high_water.into(), into });
    }
    Ok(())
}

/// Notes that a copy was restored into a folder by a high-water file; durable on return.
///
/// # Errors
/// [`BackupError::Io`].
pub fn spend(high_water: &Path, into: &Path) -> Result<(), BackupError> {
    let (real, note) = note_of(high_water)?;
    let into = std::path::absolute(into).map_err(BackupError::io(into))?;
    let said = Note { high_water: copy::hash(&real, &mut |_| ())?.1, into: into.display().to_string() };
    let line = summed::to_line(&said).map_err(|error| BackupError::io(&note)(error.into()))?;
    replace_file(&note, &line).map_err(BackupError::io(&note))
}

/// The file itself, and the note beside it.
fn note_of(high_water: &Path) -> Result<(PathBuf, PathBuf), BackupError> {
    let real = fs::canonicalize(high_water).map_err(BackupError::io(high_water))?;
    let mut note = OsString::from(&real);
    note.push(SUFFIX);
    Ok((real, note.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_tells_again_once_it_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("high-water"), folder.path().join("link"));
        fs::write(&file, "first").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        is_not_spent(&file).unwrap();
        spend(&link, Path::new("one")).unwrap();
        spend(&file, Path::new("/the other")).unwrap();
        for path in [&file, &link] {
            let refused = is_not_spent(path);
            assert!(matches!(&refused, Err(BackupError::Spent { into, .. }) if into == "/the other"), "{refused:?}");
        }
        let mut note = fs::read(folder.path().join("high-water.restored")).unwrap();
        fs::write(&file, "second").unwrap();
        is_not_spent(&file).unwrap();
        // One that was changed says nothing, least of all that the file was never used.
        *note.last_mut().unwrap() ^= 1;
        fs::write(folder.path().join("high-water.restored"), note).unwrap();
        assert!(matches!(is_not_spent(&file), Err(BackupError::Io { .. })));
    }
}
