//! The identity of a log (C2SP tlog-checkpoint, note text, line 1).
//!
//! Not here: whether anybody speaks for it; that its name equals a key's is checked where a signature is.

use core::fmt;

use super::CheckpointError;
use crate::note::{KeyName, find_control};

/// The identity of a log: the first line of its checkpoints.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

impl Origin {
    /// The longest origin: what the one length byte of an ML-DSA-44 cosigned message can say (C2SP tlog-cosignature).
    pub const MAX_BYTES: usize = 255;

    /// Checks an origin line: non-empty, bounded, one line without control characters. Nothing else is asked of it;
    /// that it equals a key's name is checked where a signature is.
    ///
    /// # Errors
    /// [`CheckpointError::Origin`].
    pub fn new(origin: impl Into<String>) -> Result<Self, CheckpointError> {
        let origin = origin.into();
        let one_line = find_control(&origin).is_none() && !origin.contains('\n');
        if origin.is_empty() || origin.len() > Self::MAX_BYTES || !one_line {
            return Err(CheckpointError::Origin);
        }
        Ok(Self(origin))
    }

    /// The line without its newline.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a key of this name speaks for the log.
    #[must_use]
    pub fn is_named(&self, name: &KeyName) -> bool {
        self.0 == name.as_str()
    }
}

/// Every key name is an origin.
impl From<&KeyName> for Origin {
    fn from(name: &KeyName) -> Self {
        Self(name.as_str().to_owned())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
