//! Bringing a generation back: copied beside its place, verified, and only then given its name.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::copy;
use super::hold::hold_restore;
use super::make::{Extra, files_in};
use super::manifest::{FileLine, Generation};
use super::{BackupError, Progress};

/// Part of the name of a folder that is being restored into, so that nobody takes it for another.
const UNFINISHED: &str = "cairn-restoring";
/// The file in such a folder that says so, should somebody give it another name.
const MARK: &str = "restore.unfinished";

/// A restore that is under way. What a crash leaves of it is removed by the next one into the same place.
#[derive(Debug)]
pub struct Restoring {
    staging: PathBuf,
    target: PathBuf,
    /// Lasts until the folder has its name, or is gone.
    _alone: File,
}

impl Restoring {
    /// Begins a restore into `target`.
    ///
    /// # Errors
    /// [`BackupError::Exists`] if anything stands there, [`BackupError::Nameless`] if nothing could, [`BackupError::Restoring`] if
    /// another restore into it is under way: either could give its name to what the other has half copied.
    pub fn begin(target: &Path) -> Result<Self, BackupError> {
        // What stands beside it could not be given its name.
        if target.file_name().is_none() {
            return Err(BackupError::Nameless(target.into()));
        }
        if target.symlink_metadata().is_ok() {
            return Err(BackupError::Exists(target.into()));
        }
        let staging = staging(target);
        let is_left = staging.symlink_metadata().is_ok_and(|found| found.is_dir());
        let left = is_left.then(|| hold_restore(&staging)).transpose()?;
        discard(&staging)?;
        drop(left);
        copy::make_folder(&staging)?;
        let alone = hold_restore(&staging)?;
        // Before anything else: from here on it is no database, until it has all that one must have.
        copy::write(&staging.join(MARK), b"")?;
        copy::sync_folder(&staging)?;
        Ok(Self { staging, target: target.into(), _alone: alone })
    }

    /// Where it stands until it is finished.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.staging
    }

    /// Copies every file, and compares its SHA-256 with the manifest's on the way.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] names the first file that differs.
    pub fn copy(&self, generation: &Generation, progress: &mut Progress<'_>) -> Result<(), BackupError> {
        let (mut done, total) = (0, generation.manifest.bytes());
        for file in &generation.manifest.files {
            let to = self.staging.join(&file.path);
            if let Some(folder) = to.parent() {
                copy::make_folder(folder)?;
            }
            let from = generation.place(file);
            let found = copy::copy(&from, &to, &mut |bytes| {
                done += bytes;
                progress(done, total);
            })?;
            compare(file, &from, found)?;
        }
        Ok(())
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// [`BackupError::Exists`] if something has come to stand there.
    pub fn finish(self) -> Result<(), BackupError> {
        sync_folders(&self.staging)?;
        copy::sync_way_to(&self.target)?;
        let mark = self.staging.join(MARK);
        fs::remove_file(&mark).map_err(BackupError::io(&mark))?;
        copy::sync_folder(&self.staging)?;
        if self.target.symlink_metadata().is_ok() {
            return Err(BackupError::Exists(self.target));
        }
        copy::rename(&self.staging, &self.target)
    }

    /// Removes what was copied.
    ///
    /// # Errors
    /// [`BackupError::Io`].
    pub fn abandon(self) -> Result<(), BackupError> {
        discard(&self.staging)
    }
}

/// That a data folder is not what a restore left that was never finished. Every command asks before it opens one.
///
/// # Errors
/// [`BackupError::Unfinished`].
pub fn refuse_unfinished(data: &Path) -> Result<(), BackupError> {
    if data.join(MARK).symlink_metadata().is_ok() { Err(BackupError::Unfinished(data.into())) } else { Ok(()) }
}

/// Makes the names in a folder and in all below it durable; as deep as paths of a configuration are.
fn sync_folders(folder: &Path) -> Result<(), BackupError> {
    for Extra { from, .. } in files_in(folder, "")? {
        if from.is_dir() {
            sync_folders(&from)?;
        }
    }
    copy::sync_folder(folder)
}

/// Removes what a restore left, its mark last: whatever a crash leaves of that says that it is no database.
fn discard(staging: &Path) -> Result<(), BackupError> {
    if !staging.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        return copy::remove_folder(staging);
    }
    let mark = staging.join(MARK);
    let all = files_in(staging, "")?;
    let (marks, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|entry| entry.from == mark);
    // 1. One that lacked nothing but its name has lost its mark already, and is about to lack more.
    if marks.is_empty() && !others.is_empty() {
        copy::write(&mark, b"")?;
    }
    copy::sync_folder(staging)?;
    // 2. All that could make it a database, durably: the disk may have the removal of the mark and not what came before it.
    for Extra { from, .. } in others {
        copy::remove_any(&from)?;
    }
    copy::sync_folder(staging)?;
    // 3. What says that it is none.
    copy::remove_any(&mark)?;
    copy::remove_folder(staging)
}

fn staging(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{UNFINISHED}"))
}

pub(super) fn compare(file: &FileLine, path: &Path, found: (u64, super::Digest)) -> Result<(), BackupError> {
    if found == (file.bytes, file.sha256) {
        return Ok(());
    }
    let problem = format!("({}) has SHA-256 {}, not {}", file.path, found.1, file.sha256);
    Err(BackupError::Damaged { path: path.into(), problem })
}

/// Reads every file of a generation again.
///
/// # Errors
/// [`BackupError::Damaged`] names the first that is not what was written.
pub fn verify(generation: &Generation, progress: &mut Progress<'_>) -> Result<(), BackupError> {
    verify_others(generation, &mut BTreeSet::new(), progress)
}

/// The same, but for files that were read already, to which it adds its own.
pub(super) fn verify_others(
    generation: &Generation,
    verified: &mut BTreeSet<PathBuf>,
    progress: &mut Progress<'_>,
) -> Result<(), BackupError> {
    let files = generation.manifest.files.iter().map(|file| (file, generation.place(file)));
    let others: Vec<_> = files.filter(|(_, path)| !verified.contains(path)).collect();
    let (mut done, total) = (0, others.iter().map(|(file, _)| file.bytes).sum());
    for (file, path) in others {
        let found = copy::hash(&path, &mut |bytes| {
            done += bytes;
            progress(done, total);
        })?;
        compare(file, &path, found)?;
        verified.insert(path);
    }
    Ok(())
}
