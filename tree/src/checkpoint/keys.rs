//! The keys of one log: more than one while they change, or while it signs with two algorithms.

use core::fmt;
use core::str::FromStr;

use super::{CheckpointVerifyError, Origin, SignedCheckpoint, VerifiedCheckpoint};
use crate::note::{KeyName, SignatureType, VerifierKey, VerifierKeyError};

/// The keys of one log. A head that any of them signed, and none wrongly, is the log's: so heads verify while old keys
/// still sign and new ones already do.
///
/// Invariants: at least one, at most [`LogKeys::MAX`], all of a type that signs for logs and of the same name, which is
/// the log's origin; no two have the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKeys {
    origin: Origin,
    keys: Vec<VerifierKey>,
}

/// Why keys are not those of one log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogKeysError {
    /// There is no key.
    #[error("a log must have a key")]
    None,
    /// There are more than [`LogKeys::MAX`].
    #[error("a log must have at most {max} keys, not {0}", max = LogKeys::MAX)]
    TooMany(usize),
    /// A key is of a type that does not sign for logs.
    #[error("a key for {0} is no log's key")]
    Type(SignatureType),
    /// Two keys have different names.
    #[error("the keys are of different logs, {0} and {1}")]
    Names(KeyName, KeyName),
    /// Two keys are the same, or share an id, so that a signature could be by either.
    #[error("there are two keys {0}")]
    Duplicate(String),
    /// A text is no vkey.
    #[error(transparent)]
    Key(#[from] VerifierKeyError),
}

impl LogKeys {
    /// The most keys of one log.
    pub const MAX: usize = 16;

    /// Checks that the keys can be those of one log.
    ///
    /// # Errors
    /// [`LogKeysError`] says what is wrong.
    pub fn new(keys: Vec<VerifierKey>) -> Result<Self, LogKeysError> {
        if keys.len() > Self::MAX {
            return Err(LogKeysError::TooMany(keys.len()));
        }
        let [first, ..] = keys.as_slice() else { return Err(LogKeysError::None) };
        for (number, key) in keys.iter().enumerate() {
            if !key.kind().signs_for_logs() {
                return Err(LogKeysError::Type(key.kind()));
            }
            if key.name() != first.name() {
                return Err(LogKeysError::Names(first.name().clone(), key.name().clone()));
            }
            if keys.iter().take(number).any(|other| other.id() == key.id()) {
                return Err(LogKeysError::Duplicate(format!("{}+{}", key.name(), key.id())));
            }
        }
        Ok(Self { origin: Origin::from(first.name()), keys })
    }

    /// These keys and further ones. Those that the invariants leave no room for are passed over: keys of another log or of
    /// a type that does not sign for logs, second ones of an id, and all past [`LogKeys::MAX`].
    #[must_use]
    pub fn with_further<'a>(mut self, further: impl IntoIterator<Item = &'a VerifierKey>) -> Self {
        for key in further {
            let fits = key.kind().signs_for_logs()
                && self.origin.is_named(key.name())
                && self.keys.len() < Self::MAX
                && self.keys.iter().all(|known| known.id() != key.id());
            if fits {
                self.keys.push(key.clone());
            }
        }
        self
    }

    /// The log's identity, which is the name of all keys.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The keys, at least one.
    #[must_use]
    pub fn as_slice(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// Verifies that the log signed: [`SignedCheckpoint::verify`] with these keys.
    ///
    /// # Errors
    /// [`CheckpointVerifyError`] says what is wrong.
    pub fn verify(&self, checkpoint: &SignedCheckpoint) -> Result<VerifiedCheckpoint, CheckpointVerifyError> {
        checkpoint.verify(&self.keys)
    }
}

impl TryFrom<VerifierKey> for LogKeys {
    type Error = LogKeysError;

    fn try_from(key: VerifierKey) -> Result<Self, LogKeysError> {
        Self::new(vec![key])
    }
}

/// Reads vkeys with white space between them, which no vkey holds.
impl FromStr for LogKeys {
    type Err = LogKeysError;

    fn from_str(text: &str) -> Result<Self, LogKeysError> {
        let mut keys = Vec::new();
        for vkey in text.split_whitespace() {
            if keys.len() == Self::MAX {
                return Err(LogKeysError::TooMany(text.split_whitespace().count()));
            }
            keys.push(vkey.parse()?);
        }
        Self::new(keys)
    }
}

/// The vkeys, one to a line, without a newline at the end.
impl fmt::Display for LogKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.keys.iter().enumerate().try_for_each(|(number, key)| {
            if number > 0 {
                f.write_str("\n")?;
            }
            key.fmt(f)
        })
    }
}
