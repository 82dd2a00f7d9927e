//! Where the keys of a database's logs are: in files of its own, or at a signer process. All of one database are at one
//! place, so that no key is at two.

use std::sync::Arc;

use cairn_tree::note::{SignerKey, VerifierKey};

use super::keys::{KeyFile, KeyFileError, KeyFiles};
use super::layout::{BindingRow, KeyStatus};
use crate::log_name::LogName;
use crate::signer::{Connection, FileSigner, HeadSigner, KeyType, RemoteSigner, SignerError};

/// The keys of all logs.
#[derive(Clone)]
pub(super) struct KeyRing {
    files: KeyFiles,
    signer: Option<Arc<Connection>>,
}

/// Why a log's keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// A key file is missing, damaged or open to others.
    #[error("log {log}: {error}")]
    File {
        /// The log's name.
        log: String,
        /// What is wrong.
        error: KeyFileError,
    },
    /// The key in the file is not the one that the log was made with.
    #[error("log {log}: its key file holds {found}, but the log belongs to {bound}; restore the right key file")]
    OtherKey {
        /// The log's name.
        log: String,
        /// The vkey of the file.
        found: String,
        /// The vkey in the database.
        bound: String,
    },
    /// A key is at two places.
    #[error(
        "log {log}: the configuration names a signer, but {path} is still here. A key that is at two places can sign two \
         histories: bring it in with `cairnd signer import`, which removes the file"
    )]
    AtTwoPlaces {
        /// The log's name.
        log: String,
        /// The file.
        path: String,
    },
    /// The signer does not have a key.
    #[error("log {log}: the signer at {socket} has no key {bound}; it serves other logs, or an old copy of its folder")]
    NotAtSigner {
        /// The log's name.
        log: String,
        /// Where the signer listens.
        socket: String,
        /// The vkey in the database.
        bound: String,
    },
    /// The signer can't be asked, or refuses.
    #[error("log {log}: {error}")]
    Signer {
        /// The log's name.
        log: String,
        /// What it said.
        error: SignerError,
    },
    /// The binding lists a key that is none.
    #[error("log {log}: its binding lists a key that can't be read: {problem}")]
    Binding {
        /// The log's name.
        log: String,
        /// What is wrong.
        problem: String,
    },
}

impl KeyRing {
    pub(super) fn new(files: KeyFiles, signer: Option<Arc<Connection>>) -> Self {
        Self { files, signer }
    }

    /// Whether asking may take as long as a signer process does.
    pub(super) fn waits(&self) -> bool {
        self.signer.is_some()
    }

    /// What signs for a log with these bindings: with exactly its active keys, each of which must be there.
    pub(super) fn signer(&self, binding: &BindingRow) -> Result<Arc<dyn HeadSigner>, KeyRingError> {
        let log = || binding.name.to_string();
        let (mut active, mut retired) = (Vec::new(), Vec::new());
        for (position, entry) in binding.keys.iter().enumerate() {
            let key: VerifierKey = entry.vkey.parse().map_err(|error: cairn_tree::note::VerifierKeyError| {
                KeyRingError::Binding { log: log(), problem: error.to_string() }
            })?;
            let of_status = if entry.status == KeyStatus::Active { &mut active } else { &mut retired };
            of_status.push((KeyFile::of(&binding.name, position, &key), key));
        }
        match &self.signer {
            None => {
                let keys = active.iter().map(|(file, key)| self.read(&binding.name, file, key));
                Ok(Arc::new(FileSigner::new(keys.collect::<Result<_, _>>()?)))
            }
            Some(connection) => {
                // A retired one too: there are those who trust it still.
                let all = active.iter().chain(&retired);
                let there = all.map(|(file, _)| self.files.private_path(file)).find(|path| path.exists());
                if let Some(path) = there {
                    return Err(KeyRingError::AtTwoPlaces { log: log(), path: path.display().to_string() });
                }
                let known =
                    connection.keys(&binding.origin).map_err(|error| KeyRingError::Signer { log: log(), error })?;
                let keys: Vec<VerifierKey> = active.into_iter().map(|(_, key)| key).collect();
                if let Some(missing) = keys.iter().find(|key| !known.contains(key)) {
                    let socket = connection.path().display().to_string();
                    return Err(KeyRingError::NotAtSigner { log: log(), socket, bound: missing.to_string() });
                }
                Ok(Arc::new(RemoteSigner::new(Arc::clone(connection), keys)))
            }
        }
    }

    fn read(&self, log: &str, file: &KeyFile, bound: &VerifierKey) -> Result<SignerKey, KeyRingError> {
        let key = self.files.read(file).map_err(|error| KeyRingError::File { log: log.to_owned(), error })?;
        if key.verifier_key() == bound {
            return Ok(key);
        }
        let (found, bound) = (key.verifier_key().to_string(), bound.to_string());
        Err(KeyRingError::OtherKey { log: log.to_owned(), found, bound })
    }

    /// Makes the keys of a new log, durably. No log of this name is there, nor being made. A signer process draws keys of
    /// its own, of the same types.
    pub(super) fn create(
        &self,
        log: &LogName,
        origin: &str,
        new: &[SignerKey],
    ) -> Result<Vec<VerifierKey>, KeyRingError> {
        if let Some(connection) = &self.signer {
            let key = |key: &SignerKey| connection.new_key(origin, KeyType::of(key.verifier_key()));
            let keys = new.iter().map(key).collect::<Result<_, _>>();
            return keys.map_err(|error| KeyRingError::Signer { log: log.to_string(), error });
        }
        let error = |error| KeyRingError::File { log: log.to_string(), error };
        self.files.set_aside(log).map_err(error)?;
        let mut written: Vec<(KeyFile, VerifierKey)> = Vec::new();
        for (position, key) in new.iter().enumerate() {
            let public = key.verifier_key().clone();
            let file = KeyFile::of(log, position, &public);
            if let Err(failure) = self.files.write(&file, key) {
                written.iter().for_each(|(file, _)| self.files.discard(file));
                return Err(error(failure));
            }
            written.push((file, public));
        }
        Ok(written.into_iter().map(|(_, key)| key).collect())
    }

    /// Makes one further key of a log, durably; it gets the last place among its keys.
    pub(super) fn add(&self, binding: &BindingRow, new: &SignerKey) -> Result<VerifierKey, KeyRingError> {
        let log = || binding.name.to_string();
        if let Some(connection) = &self.signer {
            let key = connection.new_key(&binding.origin, KeyType::of(new.verifier_key()));
            return key.map_err(|error| KeyRingError::Signer { log: log(), error });
        }
        let public = new.verifier_key().clone();
        let file = KeyFile::of(&binding.name, binding.keys.len(), &public);
        self.files.write(&file, new).map_err(|error| KeyRingError::File { log: log(), error })?;
        Ok(public)
    }

    /// Forgets keys that were made for a log that then was not made, or for a change that was not.
    pub(super) fn discard(&self, log: &LogName, keys: &[(usize, VerifierKey)]) {
        // A signer process gives them out again when it is asked the next time.
        if self.signer.is_none() {
            keys.iter().for_each(|(position, key)| self.files.discard(&KeyFile::of(log, *position, key)));
        }
    }
}
