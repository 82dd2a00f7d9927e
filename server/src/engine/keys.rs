//! Key files: a log's private key beside its public one, readable by their owner alone.
//!
//! The first key of log NAME is in `NAME.skey`, each further one in `NAME+ID.skey` with its key id: no log's name has a
//! plus sign.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use cairn_tree::note::{SignerKey, VerifierKey};
use cairn_tree::store::LogId;

use crate::log_name::LogName;
use crate::names::{sync_folder, sync_name};
use crate::regular::{open_regular, read_bounded};

/// The name of a key's two files, without their endings. It is no path: it is made of a checked name, or of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile(String);

impl KeyFile {
    /// Of a log's key: the log's name for its first key, with the key's id for all others.
    #[must_use]
    pub fn of(log: &LogName, position: usize, key: &VerifierKey) -> Self {
        if position == 0 { Self(log.to_string()) } else { Self(format!("{log}+{}", key.id())) }
    }

    /// Of a key that a signer has for the log of this number.
    #[must_use]
    pub fn numbered(log: LogId, key: &VerifierKey) -> Self {
        Self(format!("{log}+{}", key.id()))
    }
}

/// The folder of a database's key files.
#[derive(Debug, Clone)]
pub struct KeyFiles {
    folder: PathBuf,
}

/// Why a key file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It is not there.
    #[error("the key file {} is missing; restore it from a backup: without it this log can't sign", .0.display())]
    Missing(PathBuf),
    /// There is one already.
    #[error("the key file {} exists already; a key is never overwritten", .0.display())]
    Exists(PathBuf),
    /// Others may read it.
    #[error("the key file {} has mode {mode:04o}; others must not read it: chmod 600", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds something else.
    #[error("the key file {} holds no key: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong; repeats nothing of the file.
        problem: String,
    },
    /// The file system failed.
    #[error("the key file {} can't be used: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// How it failed.
        error: io::Error,
    },
}

impl KeyFiles {
    /// The key files in this folder.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The file of a private key.
    #[must_use]
    pub fn private_path(&self, KeyFile(name): &KeyFile) -> PathBuf {
        self.folder.join(format!("{name}.skey"))
    }

    /// The file of a public key.
    #[must_use]
    pub fn public_path(&self, KeyFile(name): &KeyFile) -> PathBuf {
        self.folder.join(format!("{name}.vkey"))
    }

    /// Moves key files away that have the name of a log that is not there: a crash came between them and the log's first
    /// commit. The key in them has signed nothing that anybody saw, and is not used: it might be another database's.
    ///
    /// # Errors
    /// What the file system said, or that there are too many of them.
    pub fn set_aside(&self, log: &LogName) -> Result<(), KeyFileError> {
        let first = KeyFile(log.to_string());
        for path in [self.private_path(&first), self.public_path(&first)] {
            if path.symlink_metadata().is_err() {
                continue;
            }
            let aside = |number: u32| {
                let mut name = path.as_os_str().to_owned();
                name.push(format!(".unused-{number}"));
                PathBuf::from(name)
            };
            let free = (1..=ASIDE_MOST).map(aside).find(|aside| aside.symlink_metadata().is_err());
            let aside = free.ok_or_else(|| KeyFileError::Exists(path.clone()))?;
            let error = |error| KeyFileError::Io { path: path.clone(), error };
            fs::rename(&path, &aside).map_err(error)?;
            sync_folder(&self.folder).map_err(error)?;
            tracing::warn!(path = %aside.display(), "a key file of a log that was never made was moved away");
        }
        Ok(())
    }

    /// Writes a key, durably, mode 0600; never over a file that is there.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`], or what the file system said.
    pub fn write(&self, file: &KeyFile, key: &SignerKey) -> Result<(), KeyFileError> {
        let folder_error = |error| KeyFileError::Io { path: self.folder.clone(), error };
        match fs::DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(folder_error(error)),
            _ => {}
        }
        // The folder's own name must outlive a power loss too: a log without its key can't go on.
        sync_name(&self.folder).map_err(folder_error)?;
        let (private, public) = (self.private_path(file), self.public_path(file));
        write_new(&private, &key.to_skey())?;
        write_new(&public, &key.verifier_key().to_string()).inspect_err(|_| remove(&private))?;
        sync_folder(&self.folder).map_err(folder_error).inspect_err(|_| self.discard(file))
    }

    /// Removes what [`KeyFiles::write`] wrote for a log that then was not made.
    pub fn discard(&self, file: &KeyFile) {
        remove(&self.private_path(file));
        remove(&self.public_path(file));
    }

    /// Removes the files of a key that is kept elsewhere; whether there was a private one. A file that holds anything else
    /// stays.
    ///
    /// # Errors
    /// What the file system said.
    pub fn remove_copy(&self, file: &KeyFile, key: &VerifierKey) -> Result<bool, KeyFileError> {
        let (private, public) = (self.private_path(file), self.public_path(file));
        let is_copy = self.read(file).is_ok_and(|there| there.verifier_key() == key);
        if is_copy {
            remove_durably(&private, &self.folder)?;
        }
        let there = open_regular(&public).and_then(|file| read_bounded(file, KEY_FILE_MAX));
        let text = there.ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        if private.symlink_metadata().is_err() && text.trim_end_matches('\n') == key.to_string() {
            remove_durably(&public, &self.folder)?;
        }
        Ok(is_copy)
    }

    /// Removes the files of a key that nothing was ever signed with, if they are there.
    ///
    /// # Errors
    /// What the file system said.
    pub(crate) fn remove(&self, file: &KeyFile) -> Result<(), KeyFileError> {
        for path in [self.private_path(file), self.public_path(file)] {
            if path.symlink_metadata().is_ok() {
                remove_durably(&path, &self.folder)?;
            }
        }
        Ok(())
    }

    /// The files that hold, or may hold, private keys; in order.
    ///
    /// # Errors
    /// What the file system said.
    pub fn private_files(&self) -> Result<Vec<PathBuf>, KeyFileError> {
        let failed = |error| KeyFileError::Io { path: self.folder.clone(), error };
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
        let mut paths = paths.map_err(failed)?;
        paths.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(".skey")));
        paths.sort();
        Ok(paths)
    }

    /// Reads a private key.
    ///
    /// # Errors
    /// [`KeyFileError`] for a file that is missing, damaged, or open to others.
    pub fn read(&self, file: &KeyFile) -> Result<SignerKey, KeyFileError> {
        Self::read_at(self.private_path(file))
    }

    /// The same from a file of any name, such as [`KeyFiles::private_files`] lists.
    ///
    /// # Errors
    /// As [`KeyFiles::read`].
    pub fn read_at(path: PathBuf) -> Result<SignerKey, KeyFileError> {
        let read = || -> io::Result<(u32, zeroize::Zeroizing<String>)> {
            let file = open_regular(&path)?;
            let mode = file.metadata()?.mode() & 0o7777;
            // So much room that nothing of it is left behind where it was.
            let mut text = zeroize::Zeroizing::new(String::with_capacity(KEY_FILE_MAX as usize));
            io::Read::read_to_string(&mut io::Read::take(file, KEY_FILE_MAX), &mut text)?;
            Ok((mode, text))
        };
        let (mode, text) = read().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => KeyFileError::Missing(path.clone()),
            _ => KeyFileError::Io { path: path.clone(), error },
        })?;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Mode { path, mode });
        }
        text.trim_end_matches('\n').parse().map_err(|error: cairn_tree::note::SignerKeyError| KeyFileError::Damaged {
            path,
            problem: error.to_string(),
        })
    }
}

/// More than any key file has.
const KEY_FILE_MAX: u64 = 4_096;
/// Key files of one name that are kept aside.
const ASIDE_MOST: u32 = 1_000;

/// Writes a file that is not there yet, durably but for its name; leaves none that is not whole.
fn write_new(path: &Path, text: &str) -> Result<(), KeyFileError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists(path.to_owned()),
        _ => KeyFileError::Io { path: path.to_owned(), error },
    })?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all());
    written.map_err(|error| {
        remove(path);
        KeyFileError::Io { path: path.to_owned(), error }
    })
}

fn remove_durably(path: &Path, folder: &Path) -> Result<(), KeyFileError> {
    let removed = fs::remove_file(path).and_then(|()| sync_folder(folder));
    removed.map_err(|error| KeyFileError::Io { path: path.to_owned(), error })
}

/// Removes a file of a key that nothing was signed with.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "an unused key file could not be removed");
    }
}
