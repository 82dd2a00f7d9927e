//! Checkpoints: signed tree heads (C2SP tlog-checkpoint).
//!
//! [`SignedCheckpoint`] has parsed and is not verified; [`VerifiedCheckpoint`] carries a log key's signature, and the
//! name of that key is its origin. Cosignatures stand in [`crate::cosignature`], trust in several parties in
//! [`crate::policy`].

use core::fmt;

use crate::hash::{Hash, HashError};
use crate::merkle::Root;
use crate::note::{
    KeyName, NoteError, NoteSignature, NoteVerifyError, SignError, SignedNote, SignerKey, VerifierKey, find_control,
};
use crate::size::{SizeError, TreeSize};

/// The identity of a log: the first line of its checkpoints.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

/// A tree head: what a checkpoint says, signed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: Origin,
    size: TreeSize,
    root: Hash,
    /// Each non-empty, without newlines and control characters; at most [`Checkpoint::MAX_EXTENSIONS`].
    extensions: Vec<String>,
}

/// A checkpoint with signature lines that nobody has verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    note: SignedNote,
    /// What the note's text says.
    checkpoint: Checkpoint,
}

/// A checkpoint that its log has signed: the key's name is the origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    signed: SignedCheckpoint,
    key: VerifierKey,
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
    /// The parts do not make a note.
    #[error(transparent)]
    Note(#[from] NoteError),
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
}

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

    /// Signs the head with its log's key. Extension lines are not signed: the result has none.
    ///
    /// # Errors
    /// [`CheckpointSignError`] if the key is not an Ed25519 note key named like the origin, or the root cannot be.
    pub fn sign(&self, key: &SignerKey) -> Result<SignedCheckpoint, CheckpointSignError> {
        if !self.origin.is_named(key.name()) {
            return Err(CheckpointSignError::Origin { origin: self.origin.clone(), key: key.name().clone() });
        }
        if !self.root_can_be() {
            return Err(CheckpointSignError::EmptyRoot);
        }
        let checkpoint = Self::new(self.origin.clone(), self.size, self.root);
        let text = checkpoint.text();
        let signature = key.sign_text(&text)?;
        Ok(SignedCheckpoint { note: SignedNote::new(text, vec![signature])?, checkpoint })
    }

    /// Whether the root is the empty tree's if the size is zero.
    fn root_can_be(&self) -> bool {
        self.size > TreeSize::ZERO || self.root == Hash::EMPTY_TREE
    }
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
    /// that did.
    ///
    /// # Errors
    /// [`CheckpointVerifyError`] says what is wrong.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<VerifiedCheckpoint, CheckpointVerifyError> {
        let note = self.note.verify(keys)?;
        let origin = &self.checkpoint.origin;
        let Some(key) = note.signers().iter().find(|key| origin.is_named(key.name())) else {
            return Err(match note.signers().first() {
                Some(other) => CheckpointVerifyError::Origin { origin: origin.clone(), key: other.name().clone() },
                None => NoteVerifyError::NoKnownKey.into(),
            });
        };
        if !self.checkpoint.root_can_be() {
            return Err(CheckpointVerifyError::EmptyRoot);
        }
        Ok(VerifiedCheckpoint { signed: self.clone(), key: key.clone() })
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
        &self.signed.checkpoint
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

    /// The log key that signed.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The checkpoint with all its lines, those by unknown keys included.
    #[must_use]
    pub const fn signed(&self) -> &SignedCheckpoint {
        &self.signed
    }
}
