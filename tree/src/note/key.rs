//! Verifier keys and their vkey text (C2SP signed-note, verifier keys).
//!
//! A key of an unknown signature type is kept as bytes, so that it can be shown and written again; it verifies nothing.

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use ed25519_dalek::{Signature, VerifyingKey};

use super::ml_dsa;
use super::name::{KeyId, KeyName, KeyNameError, SignatureType};
use super::{decode_base64, encode_base64};

/// A public key with its name, its id and its signature type.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: KeyName,
    id: KeyId,
    kind: SignatureType,
    material: Material,
}

/// The public key; the variant always fits the key's signature type.
#[derive(Clone, PartialEq, Eq)]
enum Material {
    /// For 0x01 and 0x04: a canonical point that is not of small order.
    Ed25519(VerifyingKey),
    /// For 0x06; copies of the key share it.
    MlDsa44(Arc<ml_dsa::PublicKey>),
    /// For all other types.
    Opaque(Box<[u8]>),
}

/// Why a text is not a vkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifierKeyError {
    /// The text is longer than [`VerifierKey::MAX_TEXT_BYTES`].
    #[error("a verifier key must be at most {max} bytes, not {0}", max = VerifierKey::MAX_TEXT_BYTES)]
    TooLong(usize),
    /// There are fewer than three parts with plus signs between them.
    #[error("a verifier key must be <name>+<id>+<key>")]
    Parts,
    /// The first part is no key name.
    #[error(transparent)]
    Name(#[from] KeyNameError),
    /// The second part is not eight lower-case hexadecimal digits.
    #[error("a key id must be 8 lower-case hexadecimal digits")]
    Id,
    /// The third part is not canonical base64 of a type and a key.
    #[error("the key must be canonical padded base64 of a signature type and a public key")]
    Base64,
    /// The public key has the wrong length for its type.
    #[error("a public key for {kind} must be {expected} bytes, not {found}")]
    Length {
        /// The signature type.
        kind: SignatureType,
        /// The length that the type asks for.
        expected: usize,
        /// The length that was found.
        found: usize,
    },
    /// The bytes are not the canonical encoding of a curve point, or the point is of small order.
    #[error("the public key is not a usable Ed25519 point")]
    Point,
    /// The id is not the one that follows from the name, the type and the key.
    #[error("the key id is {found}, but the name and the key give {expected}")]
    IdMismatch {
        /// The id that name, type and key give.
        expected: KeyId,
        /// The id that was found.
        found: KeyId,
    },
}

impl VerifierKey {
    /// The longest vkey text. The largest assigned keys (ML-DSA-44) take 2,018 bytes with the longest name.
    pub const MAX_TEXT_BYTES: usize = 8 * 1024;
    /// The length of an Ed25519 public key.
    pub const ED25519_BYTES: usize = 32;
    /// The length of an ML-DSA-44 public key.
    pub const ML_DSA_44_BYTES: usize = ml_dsa::PUBLIC_KEY_BYTES;

    /// Makes a key from its parts; the id follows from them.
    ///
    /// # Errors
    /// [`VerifierKeyError`] if the public key does not fit the type, or if the id of this type does not follow from
    /// the parts.
    pub fn new(name: KeyName, kind: SignatureType, public_key: &[u8]) -> Result<Self, VerifierKeyError> {
        if !kind.derives_key_id() {
            return Err(VerifierKeyError::Id);
        }
        let material = Material::new(kind, public_key)?;
        let id = KeyId::derive(&name, kind, public_key);
        Ok(Self { name, id, kind, material })
    }

    /// Makes a key from an Ed25519 point that a signer derived from its seed.
    pub(super) fn from_ed25519(name: KeyName, kind: SignatureType, point: VerifyingKey) -> Self {
        let id = KeyId::derive(&name, kind, point.as_bytes());
        Self { name, id, kind, material: Material::Ed25519(point) }
    }

    /// Makes a key of type 0x06 from what a signer derived from its seed.
    pub(super) fn from_ml_dsa_44(name: KeyName, key: ml_dsa::PublicKey) -> Self {
        let kind = SignatureType::COSIGNATURE_ML_DSA_44;
        let id = KeyId::derive(&name, kind, key.bytes());
        Self { name, id, kind, material: Material::MlDsa44(Arc::new(key)) }
    }

    /// The name of the key.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// The id of the key.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The signature type of the key.
    #[must_use]
    pub const fn kind(&self) -> SignatureType {
        self.kind
    }

    /// The public key's bytes, without the signature type.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        match &self.material {
            Material::Ed25519(point) => point.as_bytes(),
            Material::MlDsa44(key) => key.bytes(),
            Material::Opaque(bytes) => bytes,
        }
    }

    /// Whether `signature` is this key's bare signature of `message`, which the caller has framed for the key's type.
    /// False for a key of a type that is only kept.
    ///
    /// Ed25519: small-order points and non-canonical signatures are refused (`verify_strict`), so that all verifiers
    /// agree. ML-DSA-44: the pure variant with an empty context (FIPS 204, algorithm 3).
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Ed25519(point) => {
                Signature::from_slice(signature).is_ok_and(|signature| point.verify_strict(message, &signature).is_ok())
            }
            Material::MlDsa44(key) => key.verifies(message, signature),
            Material::Opaque(_) => false,
        }
    }
}

impl Material {
    fn new(kind: SignatureType, bytes: &[u8]) -> Result<Self, VerifierKeyError> {
        let length = |expected| VerifierKeyError::Length { kind, expected, found: bytes.len() };
        match kind {
            SignatureType::ED25519 | SignatureType::COSIGNATURE_ED25519 => {
                let bytes = bytes.try_into().map_err(|_| length(VerifierKey::ED25519_BYTES))?;
                let point = VerifyingKey::from_bytes(bytes).map_err(|_| VerifierKeyError::Point)?;
                // Two encodings of one point would be two keys to a policy that counts each key once.
                if point.is_weak() || point.to_edwards().compress().as_bytes() != bytes {
                    return Err(VerifierKeyError::Point);
                }
                Ok(Self::Ed25519(point))
            }
            SignatureType::COSIGNATURE_ML_DSA_44 => {
                let bytes: [u8; VerifierKey::ML_DSA_44_BYTES] =
                    bytes.try_into().map_err(|_| length(VerifierKey::ML_DSA_44_BYTES))?;
                Ok(Self::MlDsa44(Arc::new(ml_dsa::PublicKey::new(bytes))))
            }
            _ if bytes.is_empty() => Err(VerifierKeyError::Base64),
            _ => Ok(Self::Opaque(bytes.into())),
        }
    }
}

/// Reads a vkey, `<name>+<id>+<base64 of type and public key>`; the id is checked.
impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        if text.len() > Self::MAX_TEXT_BYTES {
            return Err(VerifierKeyError::TooLong(text.len()));
        }
        let (name, rest) = text.split_once('+').ok_or(VerifierKeyError::Parts)?;
        let (id, key) = rest.split_once('+').ok_or(VerifierKeyError::Parts)?;
        let name = KeyName::new(name)?;
        let id = KeyId::parse(id).ok_or(VerifierKeyError::Id)?;
        let key = decode_base64(key).ok_or(VerifierKeyError::Base64)?;
        let (kind, public_key) = key.split_first().ok_or(VerifierKeyError::Base64)?;
        let kind = SignatureType::new(*kind);
        let material = Material::new(kind, public_key)?;
        let expected = KeyId::derive(&name, kind, public_key);
        if kind.derives_key_id() && id != expected {
            return Err(VerifierKeyError::IdMismatch { expected, found: id });
        }
        Ok(Self { name, id, kind, material })
    }
}

/// The vkey text.
impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.kind.byte()], self.public_key()].concat();
        write!(f, "{}+{}+{}", self.name, self.id, encode_base64(&key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}
