//! Checkpoints: signed tree heads (C2SP tlog-checkpoint).
//!
//! [`SignedCheckpoint`] has parsed and is not verified; [`VerifiedCheckpoint`] carries a log key's signature, and the
//! name of that key is its origin; [`AvowedCheckpoint`] is good for accusing a log and not for trusting it. A log signs with Ed25519 (0x01), ML-DSA-44 (0x06), or both. What others sign, stands
//! in [`crate::cosignature`], trust in several parties in [`crate::policy`].

pub mod avowed;
pub mod keys;
pub mod origin;
pub mod origin_hash;
pub mod signed;
pub mod timed;

pub use avowed::AvowedCheckpoint;
pub use keys::{LogKeys, LogKeysError};
pub use origin::Origin;
pub use origin_hash::OriginHash;
pub use signed::{CheckpointVerifyError, SignedCheckpoint, VerifiedCheckpoint};
pub use timed::{Timestamp, TimestampError};

use crate::hash::{Hash, HashError};
use crate::note::{KeyName, NoteError, NoteSignature, SignError, SignatureType, SignedNote, SignerKey, find_control};
use crate::size::{SizeError, TreeSize};
/// A tree head: what a checkpoint says, signed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: Origin,
    size: TreeSize,
    root: Hash,
    /// Each non-empty, without newlines and control characters; at most [`Checkpoint::MAX_EXTENSIONS`].
    extensions: Vec<String>,
}

/// Why bytes are not a checkpoint, or a head cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around the checkpoint is malformed.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// There are fewer than three lines.
    #[error("a checkpoint must have an origin, a size and a root hash, each on its line")]
    Lines,
    /// The origin is empty, too long, or contains control characters.
    #[error("an origin must be 1 to {max} bytes without control characters", max = Origin::MAX_BYTES)]
    Origin,
    /// The second line is no tree size.
    #[error("the tree size {0}")]
    Size(#[from] SizeError),
    /// The third line is no hash.
    #[error("the root hash: {0}")]
    Root(#[from] HashError),
    /// An extension line is empty.
    #[error("extension line {0} must not be empty")]
    EmptyExtension(usize),
    /// There are more extension lines than [`Checkpoint::MAX_EXTENSIONS`].
    #[error("a checkpoint must have at most {max} extension lines", max = Checkpoint::MAX_EXTENSIONS)]
    TooManyExtensions,
}

/// Why a checkpoint is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointSignError {
    /// The key is of the wrong type.
    #[error(transparent)]
    Key(#[from] SignError),
    /// The key's name is not the origin.
    #[error("the key is named {key}, the log is {origin}")]
    Origin {
        /// The checkpoint's origin.
        origin: Origin,
        /// The key's name.
        key: KeyName,
    },
    /// The tree is empty and the root is not [`Hash::EMPTY_TREE`].
    #[error("the root hash of an empty tree must be the hash of nothing")]
    EmptyRoot,
    /// An ML-DSA-44 key is to sign without a time.
    #[error("a head that is signed with ML-DSA-44 must have a time other than zero")]
    NoTime,
    /// The parts do not make a note.
    #[error(transparent)]
    Note(#[from] NoteError),
}

impl Checkpoint {
    /// The most extension lines.
    pub const MAX_EXTENSIONS: usize = 64;

    /// A head without extension lines.
    #[must_use]
    pub const fn new(origin: Origin, size: TreeSize, root: Hash) -> Self {
        Self { origin, size, root, extensions: Vec::new() }
    }

    /// Reads the text of a checkpoint's note (tlog-checkpoint, note text).
    ///
    /// # Errors
    /// [`CheckpointError`] for anything that [`Checkpoint::text`] would not have written.
    pub fn parse_text(text: &str) -> Result<Self, CheckpointError> {
        if let Some(offset) = find_control(text) {
            return Err(NoteError::Control(offset).into());
        }
        let mut lines = text.strip_suffix('\n').ok_or(NoteError::TextEnd)?.split('\n');
        // 1. The origin. 2. The tree size. 3. The root hash.
        let origin = Origin::new(lines.next().ok_or(CheckpointError::Lines)?)?;
        let size = TreeSize::parse(lines.next().ok_or(CheckpointError::Lines)?)?;
        let root = Hash::from_base64(lines.next().ok_or(CheckpointError::Lines)?)?;
        // 4. Extension lines.
        let mut extensions = Vec::new();
        for (number, line) in (1..).zip(lines) {
            if number > Self::MAX_EXTENSIONS {
                return Err(CheckpointError::TooManyExtensions);
            }
            if line.is_empty() {
                return Err(CheckpointError::EmptyExtension(number));
            }
            extensions.push(line.to_owned());
        }
        Ok(Self { origin, size, root, extensions })
    }

    /// The text of the checkpoint's note.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64());
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// The log's identity.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> TreeSize {
        self.size
    }

    /// The root hash.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.root
    }

    /// The extension lines: opaque, and covered by signatures of type 0x01 and 0x04 only.
    #[must_use]
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// Signs the head with its log's Ed25519 key. Extension lines are not signed: the result has none.
    ///
    /// # Errors
    /// [`CheckpointSignError`] if the key is not an Ed25519 note key named like the origin, or the root cannot be.
    pub fn sign(&self, key: &SignerKey) -> Result<SignedCheckpoint, CheckpointSignError> {
        let (expected, found) = (SignatureType::ED25519, key.kind());
        if found != expected {
            return Err(SignError::Type { expected, found }.into());
        }
        self.sign_all(&[key], Timestamp::ZERO)
    }

    /// Signs the head with several keys of its log, of type 0x01 and 0x06, in this order. `time` is now; the
    /// signatures of type 0x06 carry it. Extension lines are not signed: the result has none.
    ///
    /// # Errors
    /// [`CheckpointSignError`] if there is no key, a key is of another type or not named like the origin, the root
    /// cannot be, or there is no time for a signature that needs one.
    pub fn sign_all(&self, keys: &[&SignerKey], time: Timestamp) -> Result<SignedCheckpoint, CheckpointSignError> {
        let head = Self::new(self.origin.clone(), self.size, self.root);
        let lines = keys.iter().map(|key| head.signature(key, time)).collect::<Result<_, _>>()?;
        Ok(SignedCheckpoint::from_parts(SignedNote::new(head.text(), lines)?, head))
    }

    /// The signature line of one of the log's keys.
    fn signature(&self, key: &SignerKey, time: Timestamp) -> Result<NoteSignature, CheckpointSignError> {
        if !self.origin.is_named(key.name()) {
            return Err(CheckpointSignError::Origin { origin: self.origin.clone(), key: key.name().clone() });
        }
        if !self.root_can_be() {
            return Err(CheckpointSignError::EmptyRoot);
        }
        match key.kind() {
            SignatureType::COSIGNATURE_ML_DSA_44 if time == Timestamp::ZERO => Err(CheckpointSignError::NoTime),
            SignatureType::COSIGNATURE_ML_DSA_44 => Ok(timed::sign(self, key, time)?),
            _ => Ok(key.sign_text(&self.text())?),
        }
    }

    /// Whether the root is the empty tree's if the size is zero.
    fn root_can_be(&self) -> bool {
        self.size > TreeSize::ZERO || self.root == Hash::EMPTY_TREE
    }
}
