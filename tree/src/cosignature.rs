//! Timestamped cosignatures of checkpoints (C2SP tlog-cosignature).
//!
//! Ed25519 cosignatures (0x04) are made and verified. ML-DSA-44 keys (0x06) are read and kept, but their cosignatures
//! do not count yet: [`MlDsa44Cosigner`] has nothing that verifies. Time comes in by parameter.

use core::fmt;

use crate::checkpoint::{SignedCheckpoint, VerifiedCheckpoint};
use crate::note::{KeyId, KeyName, NoteSignature, SignError, SignatureType, SignerKey, VerifierKey};

/// The length of the signed structure: an eight-byte time and an Ed25519 signature.
const COSIGNATURE_BYTES: usize = 8 + 64;

/// Seconds since the Epoch, at most 2^63 - 1 (tlog-cosignature, format).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// The key of a cosigner, by what this crate can do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CosignerKey {
    /// Cosignatures by this key are verified.
    Ed25519(Ed25519Cosigner),
    /// Cosignatures by this key do not count yet.
    MlDsa44(MlDsa44Cosigner),
}

/// A key of type [`SignatureType::COSIGNATURE_ED25519`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ed25519Cosigner(VerifierKey);

/// A key of type [`SignatureType::COSIGNATURE_ML_DSA_44`]: it can be read and written; nothing is verified with it, so
/// that no cosignature by it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MlDsa44Cosigner(VerifierKey);

/// Why a cosignature is not made or not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CosignatureError {
    /// The time is past the bound.
    #[error("a cosignature's time must be at most 2^63 - 1 seconds, not {0}")]
    Time(u64),
    /// A cosignature without a time was asked for (C2SP tlog-witness, add-checkpoint: it must not be zero).
    #[error("a checkpoint's cosignature must have a time other than zero")]
    NoTime,
    /// The vkey is not for cosignatures.
    #[error("a key for {0} does not cosign")]
    KeyType(SignatureType),
    /// The signer key is not for cosignatures.
    #[error(transparent)]
    Signer(#[from] SignError),
    /// A line by the known key is not a time and a signature.
    #[error("the cosignature by {name}+{id} must be {COSIGNATURE_BYTES} bytes, not {found}")]
    Length {
        /// The cosigner's name.
        name: KeyName,
        /// The cosigner's key id.
        id: KeyId,
        /// The length that was found.
        found: usize,
    },
    /// A line by the known key has a wrong signature.
    #[error("the cosignature by the known key {0}+{1} is wrong")]
    BadSignature(KeyName, KeyId),
}

impl Timestamp {
    /// The latest time.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// Checks the bound.
    ///
    /// # Errors
    /// [`CosignatureError::Time`] past 2^63 - 1.
    pub const fn new(seconds: u64) -> Result<Self, CosignatureError> {
        if seconds > Self::MAX.0 { Err(CosignatureError::Time(seconds)) } else { Ok(Self(seconds)) }
    }

    /// Seconds since the Epoch.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Cosigns a checkpoint (tlog-cosignature, Ed25519 signed message). That the head is consistent with all that this
/// cosigner saw before is for the caller to know.
///
/// # Errors
/// [`CosignatureError`] if the key is not of type [`SignatureType::COSIGNATURE_ED25519`] or the time is zero.
pub fn cosign(
    checkpoint: &VerifiedCheckpoint,
    key: &SignerKey,
    time: Timestamp,
) -> Result<NoteSignature, CosignatureError> {
    key.require(SignatureType::COSIGNATURE_ED25519)?;
    if time.0 == 0 {
        return Err(CosignatureError::NoTime);
    }
    let message = signed_message(checkpoint.signed().note().unverified_text(), time);
    let mut structure = time.0.to_be_bytes().to_vec();
    structure.extend_from_slice(&key.sign_message(message.as_bytes()));
    Ok(key.signature_line(structure))
}

impl CosignerKey {
    /// Sorts a key by its type.
    ///
    /// # Errors
    /// [`CosignatureError::KeyType`] for a type that does not cosign.
    pub fn new(key: VerifierKey) -> Result<Self, CosignatureError> {
        match key.kind() {
            SignatureType::COSIGNATURE_ED25519 => Ok(Self::Ed25519(Ed25519Cosigner(key))),
            SignatureType::COSIGNATURE_ML_DSA_44 => Ok(Self::MlDsa44(MlDsa44Cosigner(key))),
            other => Err(CosignatureError::KeyType(other)),
        }
    }

    /// The key as a vkey.
    #[must_use]
    pub const fn verifier_key(&self) -> &VerifierKey {
        match self {
            Self::Ed25519(Ed25519Cosigner(key)) | Self::MlDsa44(MlDsa44Cosigner(key)) => key,
        }
    }
}

impl MlDsa44Cosigner {
    /// The key as a vkey.
    #[must_use]
    pub const fn verifier_key(&self) -> &VerifierKey {
        &self.0
    }
}

impl Ed25519Cosigner {
    /// Checks that the key is of type [`SignatureType::COSIGNATURE_ED25519`].
    ///
    /// # Errors
    /// [`CosignatureError::KeyType`] for any other type.
    pub fn new(key: VerifierKey) -> Result<Self, CosignatureError> {
        match CosignerKey::new(key)? {
            CosignerKey::Ed25519(cosigner) => Ok(cosigner),
            CosignerKey::MlDsa44(other) => Err(CosignatureError::KeyType(other.0.kind())),
        }
    }

    /// The key as a vkey.
    #[must_use]
    pub const fn verifier_key(&self) -> &VerifierKey {
        &self.0
    }

    /// Verifies what this cosigner says about a checkpoint: the newest time it attests, or `None` if no line is its.
    /// The checkpoint may be unverified; a cosignature does not speak for the log.
    ///
    /// # Errors
    /// [`CosignatureError`] if any line by this key is wrong.
    pub fn verify(&self, checkpoint: &SignedCheckpoint) -> Result<Option<Timestamp>, CosignatureError> {
        let mut newest = None;
        for line in checkpoint.note().signatures() {
            newest = newest.max(self.verify_line(checkpoint, line)?);
        }
        Ok(newest)
    }

    /// Verifies one line, which need not be among the checkpoint's own (a witness answers bare lines): the time it
    /// attests, or `None` if it is not by this cosigner.
    ///
    /// # Errors
    /// [`CosignatureError`] if the line is by this key and wrong.
    pub fn verify_line(
        &self,
        checkpoint: &SignedCheckpoint,
        line: &NoteSignature,
    ) -> Result<Option<Timestamp>, CosignatureError> {
        if !line.claims(&self.0) {
            return Ok(None);
        }
        let (name, id) = (line.name().clone(), line.id());
        let found = line.signature().len();
        let Some((time, signature)) = line.signature().split_first_chunk::<8>().filter(|_| found == COSIGNATURE_BYTES)
        else {
            return Err(CosignatureError::Length { name, id, found });
        };
        let time = Timestamp::new(u64::from_be_bytes(*time))?;
        let message = signed_message(checkpoint.note().unverified_text(), time);
        if !self.0.verifies(message.as_bytes(), signature) {
            return Err(CosignatureError::BadSignature(name, id));
        }
        Ok(Some(time))
    }
}

/// Two header lines, then the whole text of the checkpoint, extension lines included.
fn signed_message(text: &str, time: Timestamp) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}
