//! Timestamped cosignatures of checkpoints (C2SP tlog-cosignature).
//!
//! Both types are made and verified: Ed25519 (0x04), which covers the checkpoint's whole text, and ML-DSA-44 (0x06),
//! which covers its first three lines and the cosigner's name. Time comes in by parameter. How the signed bytes are
//! framed stands in [`crate::checkpoint::timed`], because logs sign in that way too.

pub use crate::checkpoint::{Timestamp, TimestampError};

use crate::checkpoint::timed::{self, TimedError};
use crate::checkpoint::{SignedCheckpoint, VerifiedCheckpoint};
use crate::note::{KeyId, KeyName, NoteSignature, SignError, SignatureType, SignerKey, VerifierKey};

/// The key of a cosigner, of type [`SignatureType::COSIGNATURE_ED25519`] or [`SignatureType::COSIGNATURE_ML_DSA_44`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignerKey(VerifierKey);

/// Why a cosignature is not made or not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CosignatureError {
    /// The time is past the bound.
    #[error(transparent)]
    Time(#[from] TimestampError),
    /// A checkpoint's cosignature has no time, or is to have none (C2SP tlog-witness, add-checkpoint).
    #[error("a checkpoint's cosignature must have a time other than zero")]
    NoTime,
    /// The key is not for cosignatures.
    #[error("a key for {0} does not cosign")]
    KeyType(SignatureType),
    /// The signer key does not sign.
    #[error(transparent)]
    Signer(#[from] SignError),
    /// A line by the known key is not a time and a signature.
    #[error("the cosignature by {name}+{id} must be {expected} bytes, not {found}")]
    Length {
        /// The cosigner's name.
        name: KeyName,
        /// The cosigner's key id.
        id: KeyId,
        /// The length of a cosignature by a key of its type.
        expected: usize,
        /// The length that was found.
        found: usize,
    },
    /// A line by the known key has a wrong signature.
    #[error("the cosignature by the known key {0}+{1} is wrong")]
    BadSignature(KeyName, KeyId),
}

/// Cosigns a checkpoint, in the way of the key's type. That the head is consistent with all that this cosigner saw
/// before, and the largest of it, is for the caller to know.
///
/// # Errors
/// [`CosignatureError`] if the key is of a type that does not cosign or the time is zero.
pub fn cosign(
    checkpoint: &VerifiedCheckpoint,
    key: &SignerKey,
    time: Timestamp,
) -> Result<NoteSignature, CosignatureError> {
    if !key.kind().cosigns() {
        return Err(CosignatureError::KeyType(key.kind()));
    }
    if time == Timestamp::ZERO {
        return Err(CosignatureError::NoTime);
    }
    Ok(timed::sign(checkpoint.checkpoint(), key, time)?)
}

impl CosignerKey {
    /// Checks that the key is of a type that cosigns.
    ///
    /// # Errors
    /// [`CosignatureError::KeyType`] for any other type.
    pub fn new(key: VerifierKey) -> Result<Self, CosignatureError> {
        if key.kind().cosigns() { Ok(Self(key)) } else { Err(CosignatureError::KeyType(key.kind())) }
    }

    /// The key as a vkey.
    #[must_use]
    pub const fn verifier_key(&self) -> &VerifierKey {
        &self.0
    }

    /// Verifies what this cosigner says about a checkpoint: the newest time it attests, or `None` if no line is its. A
    /// line with time zero, which is for subtrees, attests none. The checkpoint may be unverified; a cosignature does
    /// not speak for the log.
    ///
    /// # Errors
    /// [`CosignatureError`] if any line by this key is wrong.
    pub fn verify(&self, checkpoint: &SignedCheckpoint) -> Result<Option<Timestamp>, CosignatureError> {
        let mut newest = None;
        for line in checkpoint.note().signatures() {
            match self.verify_line(checkpoint, line) {
                Ok(time) => newest = newest.max(time),
                Err(CosignatureError::NoTime) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(newest)
    }

    /// Verifies one line, which need not be among the checkpoint's own (a witness answers bare lines): the time it
    /// attests, never zero, or `None` if it is not by this cosigner.
    ///
    /// # Errors
    /// [`CosignatureError`] if the line is by this key and wrong; [`CosignatureError::NoTime`] if it is right but has no
    /// time, which a witness must not answer.
    pub fn verify_line(
        &self,
        checkpoint: &SignedCheckpoint,
        line: &NoteSignature,
    ) -> Result<Option<Timestamp>, CosignatureError> {
        if !line.claims(&self.0) {
            return Ok(None);
        }
        let (name, id) = (line.name().clone(), line.id());
        match timed::verify(checkpoint.unverified(), &self.0, line.signature()) {
            Ok(Timestamp::ZERO) => Err(CosignatureError::NoTime),
            Ok(time) => Ok(Some(time)),
            Err(TimedError::Length { expected }) => {
                Err(CosignatureError::Length { name, id, expected, found: line.signature().len() })
            }
            Err(TimedError::Time(error)) => Err(error.into()),
            Err(TimedError::Signature) => Err(CosignatureError::BadSignature(name, id)),
        }
    }
}
