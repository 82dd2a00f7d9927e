//! Digests of disclosures (RFC 9901, section 4.2.3): SHA-256 over the disclosure's text, written as base64url.
//!
//! Not the tree's hash: that one separates leaves from nodes and is written in standard base64 ([`crate::hash`]).

use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

use sha2::block_api::compress256;

use super::base64url;

/// SHA-256's initial hash value (FIPS 180-4, section 5.3.3).
const INITIAL_STATE: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The digest of a disclosure. Digests are in the order of their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; Digest::LEN]);

/// A text that is not a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest is the base64url of 32 bytes without padding, 43 characters")]
pub struct DigestError;

impl Digest {
    /// The length in bytes.
    pub const LEN: usize = 32;
    /// The length of its text.
    pub const TEXT_LEN: usize = 43;

    /// The digest of a disclosure's text.
    ///
    /// Most of these texts fill two blocks: to lay out the last ones here spares the general hasher's buffer, a quarter of
    /// the time.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self::of_ascii(text.as_bytes())
    }

    /// The same for a text as bytes.
    pub(super) fn of_ascii(text: &[u8]) -> Self {
        let mut state = INITIAL_STATE;
        let (blocks, rest) = text.as_chunks::<64>();
        compress256(&mut state, blocks);
        // FIPS 180-4, section 5.1.1: a mark, zeros, and the length in bits.
        let mut last = [0; 128];
        let (used, free) = last.split_at_mut(rest.len());
        used.copy_from_slice(rest);
        if let Some(mark) = free.first_mut() {
            *mark = 0x80;
        }
        let padded = if rest.len() < 56 { 64 } else { 128 };
        let bits = (text.len() as u64).wrapping_mul(8).to_be_bytes();
        if let Some(length) = last.get_mut(padded - 8..padded) {
            length.copy_from_slice(&bits);
        }
        let (last, _) = last.as_chunks::<64>();
        compress256(&mut state, last.get(..padded / 64).unwrap_or_default());
        let mut digest = [0; Self::LEN];
        for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
            *bytes = word.to_be_bytes();
        }
        Self(digest)
    }

    /// Wraps bytes that are known to be a digest.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The text, in ASCII.
    #[must_use]
    pub fn to_text(self) -> [u8; Self::TEXT_LEN] {
        base64url::encode_array(&self.0)
    }
}

impl Ord for Digest {
    fn cmp(&self, other: &Self) -> Ordering {
        // Nearly always the first eight bytes decide.
        let [one, two] = [self, other].map(|digest| digest.0.first_chunk::<8>().copied().map(u64::from_be_bytes));
        one.cmp(&two).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Digest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Reads the one text of a digest: unpadded base64url (RFC 4648, section 5) without stray trailing bits.
impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        base64url::decode_array(text).map(Self).ok_or(DigestError)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.to_text()).unwrap_or_default())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn digests_are_sha_256_whatever_the_length() {
        let text: String = (0..700).map(|i: u32| char::from(b'A' + (i * 7 % 26) as u8)).collect();
        for length in 0..=text.len() {
            let text = &text[..length];
            assert_eq!(Digest::of(text).as_bytes()[..], Sha256::digest(text)[..], "{length} bytes");
        }
    }
}
