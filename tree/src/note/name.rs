//! What identifies a key on a signature line: its name, its 32-bit id and its signature type (C2SP signed-note, format
//! and signatures).
//!
//! Not here: key material.

use core::fmt;
use core::str::FromStr;

use sha2::{Digest as _, Sha256};

/// The name of a key, as it stands in vkeys and on signature lines.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

/// Why a text is not the name of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyNameError {
    /// The name has no characters.
    #[error("a key name must not be empty")]
    Empty,
    /// The name is longer than [`KeyName::MAX_BYTES`].
    #[error("a key name must be at most {max} bytes, not {0}", max = KeyName::MAX_BYTES)]
    TooLong(usize),
    /// The name has a Unicode space, a plus or a control character in it.
    #[error("a key name must not contain {0:?}")]
    Character(char),
}

impl KeyName {
    /// The longest name: what the one length byte of an ML-DSA-44 cosigned message can say (C2SP tlog-cosignature).
    pub const MAX_BYTES: usize = 255;

    /// Checks the name: non-empty, bounded, without Unicode spaces, plus and control characters.
    ///
    /// # Errors
    /// [`KeyNameError`] says which of these does not hold.
    pub fn new(name: impl Into<String>) -> Result<Self, KeyNameError> {
        let name = name.into();
        if name.is_empty() {
            return Err(KeyNameError::Empty);
        }
        if name.len() > Self::MAX_BYTES {
            return Err(KeyNameError::TooLong(name.len()));
        }
        match name.chars().find(|&c| c.is_whitespace() || c == '+' || c < ' ') {
            Some(found) => Err(KeyNameError::Character(found)),
            None => Ok(Self(name)),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = KeyNameError;

    fn from_str(name: &str) -> Result<Self, KeyNameError> {
        Self::new(name)
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The short id of a key: with the [`KeyName`], it says which key made a signature. It is no strong hash; a match never
/// replaces verification.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; KeyId::LEN]);

impl KeyId {
    /// The length of an id in bytes.
    pub const LEN: usize = 4;

    /// Wraps the four big-endian bytes of an id.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The id that signed-note recommends: `SHA-256(name || 0x0A || type || public key)[:4]`.
    #[must_use]
    pub fn derive(name: &KeyName, kind: SignatureType, public_key: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(name.as_str().as_bytes());
        hasher.update([b'\n', kind.byte()]);
        hasher.update(public_key);
        let [a, b, c, d, ..]: [u8; 32] = hasher.finalize().into();
        Self([a, b, c, d])
    }

    /// The four bytes, big-endian.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Reads eight lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 2 * Self::LEN || !text.bytes().all(lower_hex) {
            return None;
        }
        u32::from_str_radix(text, 16).ok().map(|id| Self(id.to_be_bytes()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// The signature type identifier byte of a key (signed-note, signature types). Any byte may stand in a vkey; the ones
/// that this crate knows have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignatureType(u8);

impl SignatureType {
    /// Ed25519 over the note's text.
    pub const ED25519: Self = Self(0x01);
    /// ECDSA; its key id is derived in another way.
    pub const ECDSA: Self = Self(0x02);
    /// Timestamped Ed25519 checkpoint cosignature (C2SP tlog-cosignature).
    pub const COSIGNATURE_ED25519: Self = Self(0x04);
    /// RFC 6962 tree head signature (C2SP static-ct-api); its key id is derived in another way.
    pub const RFC6962_TREE_HEAD: Self = Self(0x05);
    /// Timestamped ML-DSA-44 (sub)tree cosignature (C2SP tlog-cosignature).
    pub const COSIGNATURE_ML_DSA_44: Self = Self(0x06);

    /// Wraps an identifier byte, known or not.
    #[must_use]
    pub const fn new(byte: u8) -> Self {
        Self(byte)
    }

    /// The identifier byte.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// Whether a log may sign its checkpoints with keys of this type (tlog-checkpoint, signatures).
    #[must_use]
    pub const fn signs_for_logs(self) -> bool {
        matches!(self, Self::ED25519 | Self::COSIGNATURE_ML_DSA_44)
    }

    /// Whether keys of this type cosign (C2SP tlog-cosignature).
    #[must_use]
    pub const fn cosigns(self) -> bool {
        matches!(self, Self::COSIGNATURE_ED25519 | Self::COSIGNATURE_ML_DSA_44)
    }

    /// Whether the key id of this type follows [`KeyId::derive`]. Two assigned types are known to differ; whoever uses
    /// an unassigned one is held to the recommendation, which also catches typing errors.
    pub(crate) const fn derives_key_id(self) -> bool {
        !matches!(self, Self::ECDSA | Self::RFC6962_TREE_HEAD)
    }
}

impl fmt::Display for SignatureType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ED25519 => f.write_str("Ed25519 (0x01)"),
            Self::ECDSA => f.write_str("ECDSA (0x02)"),
            Self::COSIGNATURE_ED25519 => f.write_str("Ed25519 cosignature (0x04)"),
            Self::RFC6962_TREE_HEAD => f.write_str("RFC 6962 tree head (0x05)"),
            Self::COSIGNATURE_ML_DSA_44 => f.write_str("ML-DSA-44 cosignature (0x06)"),
            Self(other) => write!(f, "unknown ({other:#04x})"),
        }
    }
}
