//! A producer's signature: Ed25519 over the line `cairn.record/1` and the canonical JSON of the event, which names the key.
//!
//! The id is the key's JWK thumbprint (RFC 7638; RFC 8037, section 2): the whole SHA-256 of the public key in a standard
//! form, so that an id names one key and says nothing about whose it is. Not here: which keys a producer has.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeMap;

use ed25519_dalek::{Signer as _, VerifyingKey};

use super::base64url;
use super::digest::{Digest, DigestError};
use super::event::EventText;
use super::leaf::HEADER;

/// The id of a producer's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerKeyId(Digest);

/// A producer's public key: an Ed25519 point in its one encoding, not of small order.
#[derive(Clone, PartialEq, Eq)]
pub struct ProducerKey {
    point: VerifyingKey,
    id: ProducerKeyId,
}

/// Bytes that are no producer's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not a usable Ed25519 public key")]
pub struct ProducerKeyError;

/// The producers' keys that a reader trusts to be theirs, by their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProducerKeys(BTreeMap<ProducerKeyId, ProducerKey>);

/// Whose event a record is, after its signature was verified as far as the key is known. There is no case for a signature
/// that is not good: such a record is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Producer {
    /// Nobody signed it: the log alone vouches for it.
    None,
    /// The key with this id signed it.
    Verified(ProducerKeyId),
    /// It claims to be signed by a key that the reader does not know. Nobody may have signed it.
    Unknown(ProducerKeyId),
}

/// A producer's private key. `Debug` shows the public half only.
pub struct ProducerSigner {
    secret: ed25519_dalek::SigningKey,
    public: ProducerKey,
}

/// A signature that nobody may have verified yet, by the key that the event names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ProducerSignature([u8; ProducerSignature::LEN]);

/// An event that does not name the key that it should be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event does not name the key {0}")]
pub struct OtherKey(pub ProducerKeyId);

impl ProducerKeyId {
    /// The length of its text.
    pub const TEXT_LEN: usize = Digest::TEXT_LEN;

    /// The text, in ASCII.
    #[must_use]
    pub fn to_text(self) -> [u8; Self::TEXT_LEN] {
        self.0.to_text()
    }
}

impl FromStr for ProducerKeyId {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for ProducerKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ProducerKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProducerKeyId({self})")
    }
}

impl ProducerKey {
    /// Checks a public key.
    ///
    /// # Errors
    /// [`ProducerKeyError`].
    pub fn new(bytes: &[u8; 32]) -> Result<Self, ProducerKeyError> {
        let point = VerifyingKey::from_bytes(bytes).map_err(|_| ProducerKeyError)?;
        // Two encodings of one point would be two keys.
        if point.is_weak() || point.to_edwards().compress().as_bytes() != bytes {
            return Err(ProducerKeyError);
        }
        Ok(Self::of(point))
    }

    fn of(point: VerifyingKey) -> Self {
        let mut jwk = String::from("{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"");
        let x: [u8; Digest::TEXT_LEN] = base64url::encode_array(point.as_bytes());
        jwk.extend(x.map(char::from));
        jwk.push_str("\"}");
        Self { point, id: ProducerKeyId(Digest::of(&jwk)) }
    }

    /// The key's id.
    #[must_use]
    pub const fn id(&self) -> ProducerKeyId {
        self.id
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.point.as_bytes()
    }

    /// Whether the event names this key and `signature` is its (`verify_strict`, so that all verifiers agree).
    #[must_use]
    pub fn verifies(&self, event: &EventText, signature: &ProducerSignature) -> bool {
        let value = ed25519_dalek::Signature::from_bytes(&signature.0);
        event.key() == Some(self.id) && self.point.verify_strict(&signed(event), &value).is_ok()
    }
}

impl fmt::Debug for ProducerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProducerKey({})", self.id)
    }
}

impl ProducerKeys {
    /// None: every signature is by a key that is not known.
    #[must_use]
    pub const fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// The key with this id.
    #[must_use]
    pub fn get(&self, id: ProducerKeyId) -> Option<&ProducerKey> {
        self.0.get(&id)
    }
}

impl FromIterator<ProducerKey> for ProducerKeys {
    fn from_iter<I: IntoIterator<Item = ProducerKey>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| (key.id, key)).collect())
    }
}

impl ProducerSigner {
    /// The key of 32 uniformly random bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = ProducerKey::of(secret.verifying_key());
        Self { secret, public }
    }

    /// The public half.
    #[must_use]
    pub const fn key(&self) -> &ProducerKey {
        &self.public
    }

    /// Signs an event that names this key.
    ///
    /// # Errors
    /// [`OtherKey`].
    pub fn sign(&self, event: &EventText) -> Result<ProducerSignature, OtherKey> {
        if event.key() != Some(self.public.id) {
            return Err(OtherKey(self.public.id));
        }
        Ok(ProducerSignature(self.secret.sign(&signed(event)).to_bytes()))
    }
}

impl fmt::Debug for ProducerSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProducerSigner(of {:?})", self.public)
    }
}

/// What is signed: the line keeps the signature from meaning anything in a protocol that signs JSON as well.
fn signed(event: &EventText) -> Vec<u8> {
    [HEADER.as_bytes(), event.as_bytes()].concat()
}

impl ProducerSignature {
    /// The length in bytes.
    pub const LEN: usize = 64;
    /// The length of its text.
    pub const TEXT_LEN: usize = 86;

    /// Wraps the bytes.
    #[must_use]
    pub const fn new(value: [u8; Self::LEN]) -> Self {
        Self(value)
    }

    /// The signature's text, in ASCII.
    #[must_use]
    pub fn to_text(self) -> [u8; Self::TEXT_LEN] {
        base64url::encode_array(&self.0)
    }
}

/// A text that is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signature is the base64url of 64 bytes without padding, 86 characters")]
pub struct SignatureTextError;

impl FromStr for ProducerSignature {
    type Err = SignatureTextError;

    fn from_str(text: &str) -> Result<Self, SignatureTextError> {
        base64url::decode_array(text).map(Self).ok_or(SignatureTextError)
    }
}

impl fmt::Debug for ProducerSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProducerSignature")
    }
}
