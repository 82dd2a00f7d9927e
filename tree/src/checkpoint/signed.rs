//! Checkpoints with signature lines, and the verified ones (C2SP tlog-checkpoint, signatures).

use core::fmt;

use super::timed::{self, Timestamp};
use super::{AvowedCheckpoint, Checkpoint, CheckpointError, Origin};
use crate::hash::Hash;
use crate::merkle::Root;
use crate::note::{KeyName, NoteError, NoteSignature, NoteVerifyError, SignatureType, SignedNote, VerifierKey};
use crate::size::TreeSize;

/// A checkpoint with signature lines that nobody has verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    note: SignedNote,
    /// What the note's text says.
    checkpoint: Checkpoint,
}

/// A checkpoint that its log has signed, as a whole, and with no wrong line by a known key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    avowed: AvowedCheckpoint,
    /// The same as the first of the keys that signed.
    key: VerifierKey,
    time: Option<Timestamp>,
}

/// Why a checkpoint is not verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointVerifyError {
    /// A signature is wrong or missing.
    #[error(transparent)]
    Note(#[from] NoteVerifyError),
    /// A known key signed, and its name is not the origin.
    #[error("the checkpoint is of {origin}, it was signed by the key of {key}")]
    Origin {
        /// The checkpoint's origin.
        origin: Origin,
        /// The name of the key that signed.
        key: KeyName,
    },
    /// The log signed a size of zero with a root that no empty tree has (C2SP tlog-witness, add-checkpoint).
    #[error("the log signed an empty tree whose root hash is not the hash of nothing")]
    EmptyRoot,
    /// There are extension lines, and the log signed with ML-DSA-44 alone, which does not cover them.
    #[error("the checkpoint of {0} has extension lines that its log's ML-DSA-44 signature does not cover")]
    UnsignedExtensions(Origin),
}

impl SignedCheckpoint {
    /// Reads a checkpoint with its signature lines.
    ///
    /// # Errors
    /// [`CheckpointError`] for anything that [`SignedCheckpoint::encode`] would not have written.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let note = SignedNote::parse(bytes)?;
        let checkpoint = Checkpoint::parse_text(note.unverified_text())?;
        Ok(Self { note, checkpoint })
    }

    /// The note must be one around the checkpoint's text.
    pub(super) const fn from_parts(note: SignedNote, checkpoint: Checkpoint) -> Self {
        Self { note, checkpoint }
    }

    /// What the checkpoint says, which nobody may have signed: only for finding out which keys to verify with.
    #[must_use]
    pub const fn unverified(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note: the text and all signature lines, unverified.
    #[must_use]
    pub const fn note(&self) -> &SignedNote {
        &self.note
    }

    /// Adds a signature line, in the place of an older one by the same key. Nothing is verified.
    ///
    /// # Errors
    /// [`NoteError`] if the note gets too long or gets too many signatures.
    pub fn with_signature(self, signature: NoteSignature) -> Result<Self, NoteError> {
        Ok(Self { note: self.note.with_signature(signature)?, checkpoint: self.checkpoint })
    }

    /// Verifies that the log signed: at least one of `keys` has signed, none wrongly, and the origin is the name of one
    /// that did. The keys are of type 0x01 and 0x06; those that did not sign are no hindrance, so that during a change
    /// of keys the old and the new may be known together.
    ///
    /// # Errors
    /// [`CheckpointVerifyError`] says what is wrong.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<VerifiedCheckpoint, CheckpointVerifyError> {
        if let Some(key) = keys.iter().find(|key| !key.kind().signs_for_logs()) {
            return Err(NoteVerifyError::KeyType(key.kind()).into());
        }
        let signers = self.note.signers(keys, |key, signature| self.is_signed_by(key, signature))?;
        let origin = self.checkpoint.origin();
        let keys: Vec<VerifierKey> = signers.iter().filter(|key| origin.is_named(key.name())).cloned().collect();
        let Some(key) = keys.first().cloned() else {
            return Err(match signers.first() {
                Some(other) => CheckpointVerifyError::Origin { origin: origin.clone(), key: other.name().clone() },
                None => NoteVerifyError::NoKnownKey.into(),
            });
        };
        if !self.checkpoint.root_can_be() {
            return Err(CheckpointVerifyError::EmptyRoot);
        }
        let covers_extensions = keys.iter().any(|key| key.kind() == SignatureType::ED25519);
        if !self.checkpoint.extensions().is_empty() && !covers_extensions {
            return Err(CheckpointVerifyError::UnsignedExtensions(origin.clone()));
        }
        let time = self.newest_time(&keys);
        Ok(VerifiedCheckpoint { avowed: AvowedCheckpoint::new(self.clone(), keys), key, time })
    }

    /// Whether a signature is by this key, of type 0x01 or 0x06.
    pub(super) fn is_signed_by(&self, key: &VerifierKey, signature: &[u8]) -> bool {
        match key.kind() {
            SignatureType::ED25519 => key.verifies(self.note.unverified_text().as_bytes(), signature),
            _ => timed::verify(&self.checkpoint, key, signature).is_ok(),
        }
    }

    /// The newest time other than zero on the lines of these keys, all of which were verified.
    fn newest_time(&self, keys: &[VerifierKey]) -> Option<Timestamp> {
        let timed = keys.iter().filter(|key| key.kind() == SignatureType::COSIGNATURE_ML_DSA_44);
        let lines = timed.flat_map(|key| self.note.signatures().iter().filter(|line| line.claims(key)));
        let times = lines.filter_map(|line| timed::unverified_time(line.signature()));
        times.max().filter(|time| *time > Timestamp::ZERO)
    }

    /// The checkpoint's bytes.
    #[must_use]
    pub fn encode(&self) -> String {
        self.note.encode()
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

impl VerifiedCheckpoint {
    /// What the log signed.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        self.avowed.checkpoint()
    }

    /// The log's identity, which is also [`VerifiedCheckpoint::key`]'s name.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        self.checkpoint().origin()
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> TreeSize {
        self.checkpoint().size()
    }

    /// The root hash.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.checkpoint().root()
    }

    /// The size and the root hash together, as proofs are verified against.
    #[must_use]
    pub const fn tree(&self) -> Root {
        Root { size: self.size(), hash: self.root() }
    }

    /// A log key that signed: the first of [`VerifiedCheckpoint::keys`].
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The known log keys that signed, at least one, in the order of their lines.
    #[must_use]
    pub fn keys(&self) -> &[VerifierKey] {
        self.avowed.keys()
    }

    /// When the log signed, as it says itself. Only ML-DSA-44 signatures carry a time.
    #[must_use]
    pub const fn time(&self) -> Option<Timestamp> {
        self.time
    }

    /// The checkpoint with all its lines, those by unknown keys included.
    #[must_use]
    pub const fn signed(&self) -> &SignedCheckpoint {
        self.avowed.signed()
    }
}

impl AsRef<AvowedCheckpoint> for VerifiedCheckpoint {
    fn as_ref(&self) -> &AvowedCheckpoint {
        &self.avowed
    }
}
