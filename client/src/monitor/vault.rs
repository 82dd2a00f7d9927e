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
    /// There are too many files already.
    #[error("{}: {most} files of evidence are kept there already; move some away", folder.display())]
    Full {
        /// The folder.
        folder: PathBuf,
        /// How many it may hold.
        most: usize,
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
    /// whoever saw it when.
    ///
    /// # Errors
    /// [`VaultError`]; then the evidence is the caller's to save.
    pub fn keep(&self, log: &str, evidence: &Evidence) -> Result<PathBuf, VaultError> {
        let case = evidence.case();
        let path = self.folder.join(format!("{log}.{}.{}.json", case.name(), digest(case)?));
        if path.exists() {
            return Ok(path);
        }
        // Proof always finds room that testimony has left.
        let most = match case {
            Case::Fork { .. } => bounds::EVIDENCE_FILES + bounds::FORK_FILES,
            _ => bounds::EVIDENCE_FILES,
        };
        if self.count()? >= most {
            return Err(VaultError::Full { folder: self.folder.clone(), most });
        }
        write_atomic(&path, &evidence.encode()?, Durability::PowerLoss)?;
        Ok(path)
    }

    fn count(&self) -> Result<usize, VaultError> {
        let folder = fs::read_dir(&self.folder);
        let files = folder.map_err(|error| VaultError::Folder { folder: self.folder.clone(), error })?;
        let is_evidence = |name: &std::ffi::OsStr| Path::new(name).extension().is_some_and(|end| end == "json");
        Ok(files.flatten().filter(|file| is_evidence(&file.file_name())).count())
    }
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

    #[test]
    fn a_full_folder_takes_no_more_testimony_but_still_a_proof() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        for number in 0..bounds::EVIDENCE_FILES {
            fs::write(folder.path().join(format!("{number}.json")), b"{}").unwrap();
        }
        let full = vault.keep("log", &evidence(misfit(1), "now"));
        assert!(matches!(full, Err(VaultError::Full { most: bounds::EVIDENCE_FILES, .. })), "{full:?}");
        let fork = Case::Fork { smaller: "one".to_owned(), larger: "other".to_owned(), prefix: None };
        vault.keep("log", &evidence(fork, "now")).unwrap();
    }
}
