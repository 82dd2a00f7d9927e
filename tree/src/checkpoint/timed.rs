//! Signatures that carry a time, and the messages that they cover (C2SP tlog-cosignature): Ed25519 (0x04) and ML-DSA-44
//! (0x06).
//!
//! Cosigners make both, and a log may sign its own heads with the second. Who signed, and what that means, is for
//! [`super::signed`] and [`crate::cosignature`]. Subtrees that begin past the first leaf have no checkpoint and are
//! deliberately absent.

use core::fmt;

use super::{Checkpoint, Origin};
use crate::note::{KeyName, NoteSignature, SignError, SignatureType, SignerKey, VerifierKey};

/// The length of the time before the signature (`timestamped_signature`).
const TIME_BYTES: usize = 8;
const ED25519_SIGNATURE_BYTES: usize = 64;
const ML_DSA_44_SIGNATURE_BYTES: usize = 2420;

/// The `label` of a `cosigned_message`.
const SUBTREE_LABEL: &[u8; 12] = b"subtree/v1\n\0";

/// Seconds since the Epoch, at most 2^63 - 1 (tlog-cosignature, format). Zero stands for no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// A time is past [`Timestamp::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time of a signature must be at most 2^63 - 1 seconds, not {0}")]
pub struct TimestampError(pub u64);

/// Why bytes are not a key's signature with a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimedError {
    /// They have another length.
    Length { expected: usize },
    /// The time is past the bound.
    Time(TimestampError),
    /// The signature is wrong, or the key is of a type without time.
    Signature,
}

impl Timestamp {
    /// No time: the signer says nothing about how large the tree was when.
    pub const ZERO: Self = Self(0);
    /// The latest time.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// Checks the bound.
    ///
    /// # Errors
    /// [`TimestampError`] past 2^63 - 1.
    pub const fn new(seconds: u64) -> Result<Self, TimestampError> {
        if seconds > Self::MAX.0 { Err(TimestampError(seconds)) } else { Ok(Self(seconds)) }
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

/// Signs a head with a key of type 0x04 or 0x06. Whether the time may be zero is for the caller to say.
pub(crate) fn sign(head: &Checkpoint, key: &SignerKey, time: Timestamp) -> Result<NoteSignature, SignError> {
    let expected = SignatureType::COSIGNATURE_ML_DSA_44;
    let message = message(head, key.verifier_key(), time).ok_or(SignError::Type { expected, found: key.kind() })?;
    let mut signature = time.0.to_be_bytes().to_vec();
    signature.extend_from_slice(&key.sign_message(&message)?);
    Ok(key.signature_line(signature))
}

/// Verifies that `signature` is the key's, of type 0x04 or 0x06, over a head, and tells its time.
pub(crate) fn verify(head: &Checkpoint, key: &VerifierKey, signature: &[u8]) -> Result<Timestamp, TimedError> {
    let bare = match key.kind() {
        SignatureType::COSIGNATURE_ED25519 => ED25519_SIGNATURE_BYTES,
        SignatureType::COSIGNATURE_ML_DSA_44 => ML_DSA_44_SIGNATURE_BYTES,
        _ => return Err(TimedError::Signature),
    };
    let expected = TIME_BYTES + bare;
    let split = signature.split_first_chunk::<TIME_BYTES>().filter(|_| signature.len() == expected);
    let (time, bare) = split.ok_or(TimedError::Length { expected })?;
    let time = Timestamp::new(u64::from_be_bytes(*time)).map_err(TimedError::Time)?;
    let message = message(head, key, time).ok_or(TimedError::Signature)?;
    if key.verifies(&message, bare) { Ok(time) } else { Err(TimedError::Signature) }
}

/// The time in a signature that is known to be one with a time.
pub(crate) fn unverified_time(signature: &[u8]) -> Option<Timestamp> {
    let (time, _) = signature.split_first_chunk::<TIME_BYTES>()?;
    Timestamp::new(u64::from_be_bytes(*time)).ok()
}

/// What a key signs, by its type; `None` for a type without time.
fn message(head: &Checkpoint, key: &VerifierKey, time: Timestamp) -> Option<Vec<u8>> {
    match key.kind() {
        // Two header lines, then the whole text of the checkpoint, extension lines included.
        SignatureType::COSIGNATURE_ED25519 => {
            Some(format!("cosignature/v1\ntime {time}\n{}", head.text()).into_bytes())
        }
        SignatureType::COSIGNATURE_ML_DSA_44 => Some(cosigned_message(head, key.name(), time)),
        _ => None,
    }
}

/// The `cosigned_message` of a whole tree. Extension lines are not in it.
fn cosigned_message(head: &Checkpoint, cosigner: &KeyName, time: Timestamp) -> Vec<u8> {
    let mut message = SUBTREE_LABEL.to_vec();
    push_opaque(&mut message, cosigner.as_str());
    message.extend_from_slice(&time.0.to_be_bytes());
    push_opaque(&mut message, head.origin().as_str());
    // `start` is zero: the subtree is the tree.
    message.extend_from_slice(&0_u64.to_be_bytes());
    message.extend_from_slice(&head.size().get().to_be_bytes());
    message.extend_from_slice(head.root().as_bytes());
    message
}

/// One byte says the length: neither a key's name nor an origin is ever longer.
fn push_opaque(message: &mut Vec<u8>, name: &str) {
    const { assert!(KeyName::MAX_BYTES == u8::MAX as usize && Origin::MAX_BYTES == u8::MAX as usize) };
    message.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    message.extend_from_slice(name.as_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::hash::Hash;
    use crate::size::TreeSize;

    /// Byte for byte as the structure of the specification reads.
    #[test]
    fn a_cosigned_message_is_the_structure_of_the_specification() {
        let origin = Origin::new("log.example/\u{e9}").unwrap();
        let head = Checkpoint::new(origin, TreeSize::new(0x0102).unwrap(), Hash::new([0xab; 32]));
        let message = cosigned_message(&head, &KeyName::new("w").unwrap(), Timestamp::new(0x0304).unwrap());
        let mut expected = b"subtree/v1\n\0\x01w\0\0\0\0\0\0\x03\x04\x0elog.example/\xc3\xa9".to_vec();
        expected.extend_from_slice(b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x02");
        expected.extend_from_slice(&[0xab; 32]);
        assert_eq!(message, expected);
    }

    #[test]
    fn the_longest_names_fit_their_length_byte_and_longer_ones_do_not_exist() {
        let head = Checkpoint::new(Origin::new("o".repeat(255)).unwrap(), TreeSize::ZERO, Hash::EMPTY_TREE);
        let message = cosigned_message(&head, &KeyName::new("n".repeat(255)).unwrap(), Timestamp::MAX);
        assert_eq!(message.len(), 12 + 1 + 255 + 8 + 1 + 255 + 8 + 8 + 32);
        assert_eq!((message.get(12), message.get(12 + 1 + 255 + 8)), (Some(&255), Some(&255)));
        assert!(Origin::new("o".repeat(256)).is_err());
        assert!(KeyName::new("n".repeat(256)).is_err());
    }
}
