//! Why the quarantine does not do what it is asked.

use std::io;
use std::path::PathBuf;

/// Why the quarantine does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// There is no room for another message.
    #[error(
        "the quarantine is full, {0}: look at what is there (cairnd quarantine list), and retry or drop it, or raise \
         limits.quarantine_messages and limits.quarantine_bytes"
    )]
    Full(&'static str),
    /// The same message is leaving, once the log has it that it does.
    #[error("the same message is leaving the quarantine; send it again when it is gone")]
    Leaving,
    /// There is no such message.
    #[error("there is no quarantined message {0}")]
    Absent(String),
    /// A file is not what was written.
    #[error("{path} is damaged; what it held is lost, and it can only be dropped", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
