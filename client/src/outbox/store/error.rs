//! Why an outbox can't be used, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::files::FileError;

/// Why an outbox can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or the folder.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// Others may enter the folder, and that can't be changed.
    #[error("{}: others may enter it (mode {mode:o}), and this can't be changed: {error}; make it 0700", path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// What the system said.
        error: io::Error,
    },
    /// There is no room for another segment. Nothing was written.
    #[error("{}: no room for more: {error}", path.display())]
    NoRoom {
        /// The file that was to be made.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file is not as it was written.
    #[error("{}: damaged: {why}; {RESTORE}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// There is no outbox in the folder, but something else.
    #[error("{}: not an outbox, and not empty", .0.display())]
    NotOne(PathBuf),
    /// There is no outbox.
    #[error("{}: there is no outbox; `cairn outbox add` makes one", .0.display())]
    Absent(PathBuf),
    /// Another process has it open, or a file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A write failed before: what is on the disk is known only when the outbox is opened again.
    #[error("a write failed before; the outbox must be opened again")]
    Failed,
}

/// What to do about damage.
const RESTORE: &str = "nothing is dropped by guessing: put a good copy of the folder back (whatever of it was delivered \
                       since is not delivered twice), or move the folder away, and what was not delivered with it";

impl StoreError {
    pub(in crate::outbox) fn damaged(path: &Path, why: impl core::fmt::Display) -> Self {
        Self::Damaged { path: path.to_owned(), why: why.to_string() }
    }

    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path, error }
    }
}
