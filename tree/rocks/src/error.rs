//! What RocksDB's errors mean to a log. All of them are mapped here.

use std::path::{Path, PathBuf};

use cairn_tree::store::{CommitError, StoreError};
use rocksdb::{Error, ErrorKind};

/// Why a database was not opened or created.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing to open; a log is never begun anew by opening.
    #[error("there is no database at {}", .0.display())]
    Missing(PathBuf),
    /// Something to open where a database was to be created.
    #[error("{} is not empty: a database is created only in a new or empty directory", .0.display())]
    NotEmpty(PathBuf),
    /// One process per database.
    #[error("the database at {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The engine found its own bytes damaged.
    #[error("the database at {} is damaged: {message}", path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What RocksDB says.
        message: String,
    },
    /// Written by another program, or a newer version of this one.
    #[error("the database at {} is not one of this program's: {message}", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
        /// What RocksDB says.
        message: String,
    },
    /// The files could not be read or written.
    #[error("the database at {} could not be opened: {message}", path.display())]
    Io {
        /// The database.
        path: PathBuf,
        /// What the system or RocksDB says.
        message: String,
    },
}

impl OpenError {
    pub(crate) fn from_io(path: &Path, error: &std::io::Error) -> Self {
        Self::Io { path: path.into(), message: error.to_string() }
    }

    pub(crate) fn from_rocksdb(path: &Path, error: Error) -> Self {
        let kind = error.kind();
        let (path, message) = (path.to_path_buf(), error.into_string());
        match kind {
            ErrorKind::Corruption => Self::Corrupt { path, message },
            // Families that are missing or unknown, or a comparator or format that this build has not.
            ErrorKind::InvalidArgument | ErrorKind::NotSupported => Self::Foreign { path, message },
            ErrorKind::IOError if is_lock_conflict(&message) => Self::Locked(path),
            _ => Self::Io { path, message },
        }
    }
}

/// RocksDB has no kind of its own for a taken lock; its two messages are for this process and for another one
/// (`env/fs_posix.cc`, `LockFile`).
fn is_lock_conflict(message: &str) -> bool {
    let taken = ["Resource temporarily unavailable", "Permission denied"];
    message.contains("lock hold by current process")
        || (message.contains("While lock file") && taken.iter().any(|reason| message.contains(reason)))
}

pub(crate) fn on_read(error: Error) -> StoreError {
    match error.kind() {
        ErrorKind::Corruption => StoreError::Corrupt(error.into_string()),
        _ => StoreError::Io(error.into_string()),
    }
}

pub(crate) fn on_commit(error: Error) -> CommitError {
    CommitError::Unknown(error.into_string())
}
