//! Moving the keys of a database's logs from the server's files to the signer.
//!
//! First everything is durable at the signer, then the files go: a crash leaves keys at two places or at the signer, and
//! the same command goes on from there. Retired keys go too: whoever still trusts one could be shown a fork with it. What
//! is no key of a log stays where it is, and is named.

use std::path::PathBuf;

use cairn_tree::note::SignerKey;

use super::vault::{HandedOver, Vault, VaultError};
use crate::engine::{BoundKeys, BoundLog, KeyFileError, KeyFiles};

/// What became of the files.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// How many private keys' files were removed, now.
    pub removed: usize,
    /// Files of private keys that are still there.
    pub left: Vec<Left>,
}

/// A file that was left.
#[derive(Debug, PartialEq, Eq)]
pub struct Left {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// Why the keys are not moved, or not all of them. Given again, the command goes on.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A key that signs is nowhere, or not as it must be.
    #[error("log {log}: {error}")]
    Key {
        /// The log's name.
        log: String,
        /// What is wrong.
        error: KeyFileError,
    },
    /// A key file holds another key than the log's.
    #[error("log {log}: {} holds {found}, but the log belongs to {bound}; restore the right key file", path.display())]
    OtherKey {
        /// The log's name.
        log: String,
        /// The file.
        path: PathBuf,
        /// The vkey of the file.
        found: String,
        /// The vkey in the database.
        bound: String,
    },
    /// The signer can't take them.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The signer has the keys, and a file of one can't be removed.
    #[error(
        "the signer has the keys, but not all files could be removed; a key at two places can sign two histories: {0}"
    )]
    NotRemoved(KeyFileError),
}

/// Moves the keys.
///
/// # Errors
/// [`ImportError`].
pub fn import(vault: &mut Vault, files: &KeyFiles, bound: &BoundKeys) -> Result<Imported, ImportError> {
    for log in &bound.logs {
        let (active, retired) = (private_keys(vault, files, log, true)?, private_keys(vault, files, log, false)?);
        let known = vault.keys_of(log.origin.as_str()).is_some();
        if !known || !active.is_empty() || !retired.is_empty() {
            vault.import(&log.origin, HandedOver { active, retired, last: log.last })?;
        }
    }
    // Durable over there by now: here they go.
    let mut imported = Imported::default();
    for log in &bound.logs {
        let there = vault.keys_of(log.origin.as_str()).unwrap_or_default();
        for one in log.keys.iter().filter(|one| there.contains(&one.key)) {
            let removed = files.remove_copy(&one.file, &one.key).map_err(ImportError::NotRemoved)?;
            imported.removed += usize::from(removed);
        }
    }
    for path in files.private_files().map_err(ImportError::NotRemoved)? {
        let why = why_left(files, bound, &path);
        imported.left.push(Left { path, why });
    }
    Ok(imported)
}

/// The private keys of a log that are in files here and that the signer does not have. One that signs must be at one of
/// the two places; one that is retired may be gone.
fn private_keys(vault: &Vault, files: &KeyFiles, log: &BoundLog, active: bool) -> Result<Vec<SignerKey>, ImportError> {
    let there = vault.keys_of(log.origin.as_str()).unwrap_or_default();
    let mut keys = Vec::new();
    for one in log.keys.iter().filter(|one| one.active == active && !there.contains(&one.key)) {
        match files.read(&one.file) {
            Ok(key) if *key.verifier_key() == one.key => keys.push(key),
            Ok(key) if active => {
                let (found, bound) = (key.verifier_key().to_string(), one.key.to_string());
                return Err(ImportError::OtherKey {
                    log: log.name.clone(),
                    path: files.private_path(&one.file),
                    found,
                    bound,
                });
            }
            Err(error) if active => return Err(ImportError::Key { log: log.name.clone(), error }),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(keys)
}

/// Why a private key's file is still there.
fn why_left(files: &KeyFiles, bound: &BoundKeys, path: &std::path::Path) -> String {
    if path.extension().is_none_or(|end| end != "skey") {
        return "it was set aside: the log of this name was never made with it".to_owned();
    }
    let keys = || bound.logs.iter().flat_map(|log| log.keys.iter().map(move |one| (log, one)));
    let owner = keys().find(|(_, one)| files.private_path(&one.file) == *path);
    match (KeyFiles::read_at(path.to_owned()), owner) {
        (Err(error), _) => format!("it can't be used: {error}"),
        (Ok(_), Some((log, _))) => format!("it holds another key than the one of log {} that belongs here", log.name),
        (Ok(key), None) => {
            let vkey = key.verifier_key();
            match bound.logs.iter().find(|log| log.origin.is_named(vkey.name())) {
                Some(log) if log.keys.iter().any(|one| one.key == *vkey) => {
                    format!("it is a copy of a key of log {} under another name", log.name)
                }
                Some(log) => {
                    format!(
                        "it is no key of log {}: it was made for it and never used, or for another database",
                        log.name
                    )
                }
                None => "it belongs to no log of this database".to_owned(),
            }
        }
    }
}
