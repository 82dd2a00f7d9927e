//! Signer keys and their skey text, as golang.org/x/mod/sumdb/note writes it:
//! `PRIVATE+KEY+<name>+<id>+<base64 of type and seed>`.
//!
//! The id is the public key's. No randomness here: the caller gives the 32-byte seed, which for ML-DSA-44 is the one that
//! FIPS 204 makes keys from. Ed25519 signatures are deterministic, and `ml_dsa` says when those of ML-DSA-44 are. The seed
//! and what follows from it are wiped when the key is dropped, and `Debug` shows the public half only.

use core::fmt;
use core::str::FromStr;

use ed25519_dalek::Signer as _;
use zeroize::Zeroizing;

use super::key::VerifierKey;
use super::ml_dsa;
use super::name::{KeyId, KeyName, KeyNameError, SignatureType};
use super::signed::NoteSignature;
use super::{decode_base64, encode_base64};

const SKEY_PREFIX: &str = "PRIVATE+KEY+";

/// A private key: Ed25519 for notes (0x01) or for cosignatures (0x04), or ML-DSA-44 for cosignatures (0x06).
pub struct SignerKey {
    secret: Secret,
    public: VerifierKey,
}

/// The private key; the variant always fits the public key's type. Both wipe themselves.
enum Secret {
    Ed25519(ed25519_dalek::SigningKey),
    MlDsa44(ml_dsa::PrivateKey),
}

/// Why a text is not an skey, or why a key cannot be made. No message repeats any of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignerKeyError {
    /// The text is longer than any skey of a supported type.
    #[error("a signer key must be at most {max} bytes, not {0}", max = SignerKey::MAX_TEXT_BYTES)]
    TooLong(usize),
    /// The text does not have the parts of an skey.
    #[error("a signer key must be PRIVATE+KEY+<name>+<id>+<key>")]
    Parts,
    /// The name is no key name.
    #[error(transparent)]
    Name(#[from] KeyNameError),
    /// The id is not eight lower-case hexadecimal digits.
    #[error("a key id must be 8 lower-case hexadecimal digits")]
    Id,
    /// The last part is not canonical base64 of a type and a 32-byte seed.
    #[error("the key must be canonical padded base64 of a signature type and a 32-byte seed")]
    Seed,
    /// Nothing here signs with keys of this type.
    #[error("cannot sign with a key for {0}")]
    Type(SignatureType),
    /// The library makes no key, which is not expected to be seen.
    #[error("the cryptographic library made no key")]
    Library,
    /// The id is not the one that follows from the name, the type and the public key.
    #[error("the key id is {found}, but the name and the key give {expected}")]
    IdMismatch {
        /// The id that name, type and key give.
        expected: KeyId,
        /// The id that was found.
        found: KeyId,
    },
}

/// Why a key refuses to sign a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The key is for another kind of signature.
    #[error("the key is for {found}, this signature needs a key for {expected}")]
    Type {
        /// What the signature needs.
        expected: SignatureType,
        /// What the key is for.
        found: SignatureType,
    },
    /// The library made no signature, which is not expected to be seen.
    #[error("the cryptographic library made no signature")]
    Library,
}

impl SignerKey {
    /// The longest skey text: the longest name, and the fixed parts.
    pub const MAX_TEXT_BYTES: usize = SKEY_PREFIX.len() + KeyName::MAX_BYTES + 1 + 8 + 1 + 44;
    /// The length of a seed.
    pub const SEED_BYTES: usize = 32;

    /// Makes a key from a seed of 32 uniformly random bytes.
    ///
    /// # Errors
    /// [`SignerKeyError::Type`] for a type other than [`SignatureType::ED25519`],
    /// [`SignatureType::COSIGNATURE_ED25519`] and [`SignatureType::COSIGNATURE_ML_DSA_44`].
    pub fn from_seed(
        name: KeyName,
        kind: SignatureType,
        seed: &[u8; Self::SEED_BYTES],
    ) -> Result<Self, SignerKeyError> {
        match kind {
            SignatureType::ED25519 | SignatureType::COSIGNATURE_ED25519 => {
                let secret = ed25519_dalek::SigningKey::from_bytes(seed);
                let public = VerifierKey::from_ed25519(name, kind, secret.verifying_key());
                Ok(Self { secret: Secret::Ed25519(secret), public })
            }
            SignatureType::COSIGNATURE_ML_DSA_44 => {
                let secret = ml_dsa::PrivateKey::from_seed(seed).map_err(|_| SignerKeyError::Library)?;
                let public = secret.public().map_err(|_| SignerKeyError::Library)?;
                let public = VerifierKey::from_ml_dsa_44(name, public);
                Ok(Self { secret: Secret::MlDsa44(secret), public })
            }
            other => Err(SignerKeyError::Type(other)),
        }
    }

    /// The public half.
    #[must_use]
    pub const fn verifier_key(&self) -> &VerifierKey {
        &self.public
    }

    /// The name of the key.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        self.public.name()
    }

    /// The signature type of the key.
    #[must_use]
    pub const fn kind(&self) -> SignatureType {
        self.public.kind()
    }

    /// The skey text. It is the secret itself: write it to a file that only its owner can read, and nowhere else.
    #[must_use]
    pub fn to_skey(&self) -> Zeroizing<String> {
        let mut key = Zeroizing::new([0; 1 + Self::SEED_BYTES]);
        let (kind, seed) = key.split_at_mut(1);
        kind.fill(self.kind().byte());
        seed.copy_from_slice(self.seed());
        let text = Zeroizing::new(encode_base64(key.as_slice()));
        // With room for the longest, so that no shorter copy is left behind when it grows.
        let mut skey = Zeroizing::new(String::with_capacity(Self::MAX_TEXT_BYTES));
        for part in [SKEY_PREFIX, self.name().as_str(), "+", &self.public.id().to_string(), "+", &text] {
            skey.push_str(part);
        }
        skey
    }

    fn seed(&self) -> &[u8] {
        match &self.secret {
            Secret::Ed25519(secret) => secret.as_bytes(),
            Secret::MlDsa44(secret) => secret.seed(),
        }
    }

    /// Signs the text of a note (signed-note, Ed25519 signatures).
    ///
    /// # Errors
    /// [`SignError::Type`] if this key is not of type [`SignatureType::ED25519`]: a cosignature key never signs bare
    /// text.
    pub fn sign_text(&self, text: &str) -> Result<NoteSignature, SignError> {
        let (expected, found) = (SignatureType::ED25519, self.kind());
        if found != expected {
            return Err(SignError::Type { expected, found });
        }
        Ok(self.signature_line(self.sign_message(text.as_bytes())?))
    }

    /// The bare signature of bytes that the caller has framed for this key's type.
    pub(crate) fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.secret {
            Secret::Ed25519(secret) => Ok(secret.sign(message).to_bytes().to_vec()),
            Secret::MlDsa44(secret) => secret.sign(message).map_err(|_| SignError::Library),
        }
    }

    /// A signature line by this key.
    pub(crate) fn signature_line(&self, signature: Vec<u8>) -> NoteSignature {
        NoteSignature::by_key(&self.public, signature)
    }
}

impl FromStr for SignerKey {
    type Err = SignerKeyError;

    fn from_str(text: &str) -> Result<Self, SignerKeyError> {
        if text.len() > Self::MAX_TEXT_BYTES {
            return Err(SignerKeyError::TooLong(text.len()));
        }
        let rest = text.strip_prefix(SKEY_PREFIX).ok_or(SignerKeyError::Parts)?;
        let (name, rest) = rest.split_once('+').ok_or(SignerKeyError::Parts)?;
        let (id, key) = rest.split_once('+').ok_or(SignerKeyError::Parts)?;
        let name = KeyName::new(name)?;
        let found = KeyId::parse(id).ok_or(SignerKeyError::Id)?;
        let key = Zeroizing::new(decode_base64(key).ok_or(SignerKeyError::Seed)?);
        let (kind, seed) = key.split_first().ok_or(SignerKeyError::Seed)?;
        let seed: &[u8; Self::SEED_BYTES] = seed.try_into().map_err(|_| SignerKeyError::Seed)?;
        let key = Self::from_seed(name, SignatureType::new(*kind), seed)?;
        let expected = key.public.id();
        if found == expected { Ok(key) } else { Err(SignerKeyError::IdMismatch { expected, found }) }
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey(of {})", self.public)
    }
}
