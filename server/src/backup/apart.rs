//! What must not stand inside of a backup.

use std::fs;
use std::path::Path;

use super::manifest::{claims, generations, tables};
use super::{BackupError, copy};

/// That a high-water file is no copy that a generation of this backup has: such a copy says what was signed before the
/// generation was made, and nothing of what came after.
///
/// A file that a database itself goes on writing has other bytes than any copy as soon as a head was recorded in it.
///
/// # Errors
/// [`BackupError::OwnHighWater`], or why the file can't be read.
pub fn is_no_copy(dest: &Path, high_water: &Path) -> Result<(), BackupError> {
    let refused = |how: String| BackupError::OwnHighWater { path: high_water.into(), how };
    let real = fs::canonicalize(high_water).map_err(BackupError::io(high_water))?;
    for folder in [generations(dest), tables(dest)] {
        if fs::canonicalize(&folder).is_ok_and(|folder| real.starts_with(folder)) {
            return Err(refused(format!("stands inside of the backup ({})", real.display())));
        }
    }
    let (bytes, sha256) = copy::hash(high_water, &mut |_| ())?;
    for claim in claims(dest)? {
        let is_it = |line: &&super::FileLine| line.path == HIGH_WATER && (line.bytes, line.sha256) == (bytes, sha256);
        if claim.manifest.files.iter().any(|line| is_it(&line)) {
            return Err(refused(format!("is byte for byte the copy that generation {} has", claim.number)));
        }
    }
    Ok(())
}

/// The name of a generation's high-water file.
pub(super) const HIGH_WATER: &str = "high-water";
