//! What must not stand inside of a backup, or a backup inside of it.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

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

/// That a folder of backups and a data folder stand apart.
///
/// # Errors
/// [`BackupError::Within`] names the two; [`BackupError::Nameless`] if a path can't be followed.
pub fn stands_apart(dest: &Path, data: &Path) -> Result<(), BackupError> {
    let within = |inner: &Path, outer: PathBuf| BackupError::Within { inner: inner.into(), outer };
    let real = followed(dest)?;
    // The database may be a link to another disk.
    for folder in [data.to_owned(), data.join("db")] {
        if followed(&folder).is_ok_and(|folder| real.starts_with(folder)) {
            return Err(within(dest, folder));
        }
    }
    for own in [generations(&real), tables(&real)] {
        if followed(data)?.starts_with(&own) {
            return Err(within(data, own));
        }
    }
    Ok(())
}

/// A path without links, of something that need not be there yet.
fn followed(path: &Path) -> Result<PathBuf, BackupError> {
    let whole = std::path::absolute(path).map_err(BackupError::io(path))?;
    for ancestor in whole.ancestors() {
        let real = match fs::canonicalize(ancestor) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            real => real.map_err(BackupError::io(ancestor))?,
        };
        let rest = whole.strip_prefix(ancestor).unwrap_or(Path::new(""));
        if rest.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(BackupError::Nameless(path.into()));
        }
        return Ok(real.join(rest));
    }
    Err(BackupError::Nameless(path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_stands_beside_the_database_and_never_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let (data, link) = (folder.path().join("data"), folder.path().join("link"));
        fs::create_dir_all(data.join("db")).unwrap();
        std::os::unix::fs::symlink(data.join("db"), &link).unwrap();
        for inside in [data.clone(), data.join("db"), data.join("new/one"), link.clone(), link.join("x")] {
            let refused = stands_apart(&inside, &data);
            assert!(matches!(refused, Err(BackupError::Within { .. })), "{}: {refused:?}", inside.display());
        }
        assert!(matches!(stands_apart(&folder.path().join("nn/../data"), &data), Err(BackupError::Nameless(_))));
        for beside in [folder.path().join("backups"), folder.path().to_owned(), folder.path().join("data2")] {
            stands_apart(&beside, &data).unwrap();
        }
        let own = folder.path().join("tables");
        fs::create_dir(&own).unwrap();
        assert!(matches!(stands_apart(folder.path(), &own), Err(BackupError::Within { .. })));
    }
}
