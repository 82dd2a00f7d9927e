//! How commands fail, and the one place where that becomes an exit code.

use crate::auditor::AuditError;
use crate::fetch::FetchError;
use crate::files::FileError;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The command line, or a file that it names, cannot be used.
    #[error("{0}")]
    Usage(String),
    /// Something was not verified, is not sound, or could not be had.
    #[error("{0}")]
    Refused(String),
    /// The log contradicted itself or rolled back; the verdict is printed already.
    #[error("")]
    Contradiction,
    /// A file of evidence is only its observer's word; that is printed already.
    #[error("")]
    Testimony,
    /// What this machine remembers of a log is damaged, which says nothing about the log.
    #[error("{0}")]
    Damaged(String),
    /// Nobody reads our output any more.
    #[error("")]
    Silent,
}

impl Failure {
    /// The process's exit code.
    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::Silent => 1,
            Self::Usage(_) => 2,
            Self::Contradiction => 3,
            Self::Testimony => 4,
            Self::Damaged(_) => 5,
        }
    }

    /// Whether there are words that have not been printed.
    pub(super) const fn has_words(&self) -> bool {
        matches!(self, Self::Usage(_) | Self::Refused(_) | Self::Damaged(_))
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// A file that a command was told to use.
impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::Usage(error.to_string())
    }
}
