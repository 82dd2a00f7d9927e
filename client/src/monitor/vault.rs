//! The folder where evidence is kept: never overwritten, never twice the same, and never more than fits.

use std::fs;
use std::path::{Path, PathBuf};

use cairn_tree::hash::Hash;
use sha2::{Digest as _, Sha256};

use super::evidence::{Case, Evidence, EvidenceError};
use crate::bounds;
use crate::files::{Durability, FileError, write_atomic};

/// A folder of evidence files. Its holder is the only one that writes there.
#[derive(Debug, Clone)]
pub struct Vault {
    folder: PathBuf,
}

/// Why evidence was not kept.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The folder could not be read or made.
    #[error("{}: {error}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Forks have taken all the room that a log has.
    #[error("{}: {forks} forks of {log} are kept there already; move some away", folder.display())]
    Full {
        /// The folder.
        folder: PathBuf,
        /// The log.
        log: String,
        /// How many there are.
        forks: usize,
    },
    /// The file's bytes could not be made.
    #[error(transparent)]
    Form(#[from] EvidenceError),
}

impl Vault {
    /// Opens the folder; it is made if it is missing.
    ///
    /// # Errors
    /// [`VaultError::Folder`].
    pub fn open(folder: &Path) -> Result<Self, VaultError> {
        fs::create_dir_all(folder).map_err(|error| VaultError::Folder { folder: folder.to_owned(), error })?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Keeps evidence about the log of this name, durably, and says where. What is kept already is not written again,
    /// whoever saw it when. Where a log's room is full, its oldest testimony gives way; no fork ever does, and nothing that
    /// is kept about another log.
    ///
    /// # Errors
    /// [`VaultError`]; then the evidence is the caller's to save.
    pub fn keep(&self, log: &str, evidence: &Evidence) -> Result<PathBuf, VaultError> {
        let case = evidence.case();
        let path = self.folder.join(format!("{log}.{}.{}.json", case.name(), digest(case)?));
        if path.exists() {
            return Ok(path);
        }
        let Room { forks, testimony } = self.room(log)?;
        let (new_forks, new_testimony) = if matches!(case, Case::Fork { .. }) { (1, 0) } else { (0, 1) };
        let left = (bounds::EVIDENCE_FILES + bounds::FORK_FILES).checked_sub(forks + new_forks);
        let left = left.map(|left| left.min(bounds::EVIDENCE_FILES)).filter(|left| *left >= new_testimony);
        let left = left.ok_or_else(|| VaultError::Full { folder: self.folder.clone(), log: log.to_owned(), forks })?;
        write_atomic(&path, &evidence.encode()?, Durability::PowerLoss)?;
        let excess = (testimony.len() + new_testimony).saturating_sub(left);
        for old in testimony.iter().take(excess) {
            // What can't be removed now is in the way of the next one again.
            let _ = fs::remove_file(old);
        }
        Ok(path)
    }

    /// What is kept about a log.
    fn room(&self, log: &str) -> Result<Room, VaultError> {
        let folder = |error| VaultError::Folder { folder: self.folder.clone(), error };
        let (mut forks, mut testimony) = (0, Vec::new());
        for file in fs::read_dir(&self.folder).map_err(folder)?.flatten() {
            match file.file_name().to_str().and_then(named) {
                Some((of, "fork")) if of == log => forks += 1,
                Some((of, _)) if of == log => {
                    let modified = file.metadata().and_then(|metadata| metadata.modified()).map_err(folder)?;
                    testimony.push((modified, file.path()));
                }
                _ => {}
            }
        }
        testimony.sort();
        Ok(Room { forks, testimony: testimony.into_iter().map(|(_, path)| path).collect() })
    }
}

/// How much is kept about one log.
struct Room {
    forks: usize,
    /// The files, oldest first.
    testimony: Vec<PathBuf>,
}

/// The log and the case of a file of this name. A log's name may have dots, a case's has none.
fn named(file: &str) -> Option<(&str, &str)> {
    let (rest, _digest) = file.strip_suffix(".json")?.rsplit_once('.')?;
    rest.rsplit_once('.')
}

/// What two files of one case have in common, in 16 digits.
fn digest(case: &Case) -> Result<String, VaultError> {
    let bytes = serde_json::to_vec(case).map_err(|error| EvidenceError::Form(error.to_string()))?;
    let mut digits = Hash::new(Sha256::digest(bytes).into()).to_string();
    digits.truncate(16);
    Ok(digits)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::monitor::Observation;
    use cairn_tree::checkpoint::LogKeys;

    fn evidence(case: Case, at: &str) -> Evidence {
        let keys: LogKeys = include_str!("../../../tests/vectors/evidence/log.vkey").parse().unwrap();
        let at = at.to_owned();
        Evidence::new(case, Observation { keys: &keys, url: String::new(), at, transcript: Vec::new() })
    }

    fn misfit(number: usize) -> Case {
        Case::Misfit { previous: None, head: "a head".to_owned(), fault: number.to_string() }
    }

    #[test]
    fn the_same_case_is_kept_once_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(&folder.path().join("kept/here")).unwrap();
        let first = vault.keep("log", &evidence(misfit(1), "now")).unwrap();
        let bytes = fs::read(&first).unwrap();
        assert_eq!(vault.keep("log", &evidence(misfit(1), "later")).unwrap(), first);
        assert_eq!(fs::read(&first).unwrap(), bytes);
        assert_ne!(vault.keep("log", &evidence(misfit(2), "now")).unwrap(), first);
        assert_eq!(Evidence::decode(&bytes).unwrap(), evidence(misfit(1), "now"));
    }

    fn fork(number: usize) -> Case {
        Case::Fork { smaller: number.to_string(), larger: "other".to_owned(), prefix: None }
    }

    /// Files of the folder whose names begin so.
    fn count(folder: &Path, prefix: &str) -> usize {
        let files = fs::read_dir(folder).unwrap();
        files.filter(|file| file.as_ref().unwrap().file_name().to_str().unwrap().starts_with(prefix)).count()
    }

    #[test]
    fn a_log_that_fills_its_room_loses_its_oldest_testimony_and_no_other_log_loses_any() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        let others = ["log.main", "other"].map(|log| vault.keep(log, &evidence(misfit(0), "now")).unwrap());
        let proof = vault.keep("log", &evidence(fork(0), "now")).unwrap();
        let mut kept = Vec::new();
        for number in 0..bounds::EVIDENCE_FILES + 3 {
            let path = vault.keep("log", &evidence(misfit(number), "now")).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(number as u64)).unwrap();
            kept.push(path);
        }
        assert_eq!(count(folder.path(), "log.misfit."), bounds::EVIDENCE_FILES);
        let gone: Vec<bool> = kept.iter().map(|path| !path.exists()).collect();
        assert_eq!(gone.iter().take_while(|gone| **gone).count(), 3, "the oldest ones");
        assert!(gone.iter().skip(3).all(|gone| !gone));
        assert!(proof.exists() && others.iter().all(|other| other.exists()));
    }

    #[test]
    fn forks_take_the_room_of_testimony_and_are_refused_only_when_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        let all = bounds::EVIDENCE_FILES + bounds::FORK_FILES;
        for number in 0..2 {
            vault.keep("log", &evidence(misfit(number), "now")).unwrap();
        }
        // Names are all that is looked at.
        (0..all - 1).for_each(|number| fs::write(folder.path().join(format!("log.fork.{number}.json")), b"").unwrap());
        vault.keep("log", &evidence(fork(0), "now")).unwrap();
        assert_eq!((count(folder.path(), "log.fork."), count(folder.path(), "log.misfit.")), (all, 0));
        for case in [fork(1), misfit(1)] {
            let full = vault.keep("log", &evidence(case, "now"));
            assert!(matches!(full, Err(VaultError::Full { forks, .. }) if forks == all), "{full:?}");
        }
        vault.keep("other", &evidence(misfit(1), "now")).unwrap();
    }
}
