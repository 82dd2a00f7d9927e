//! The tree's hash: SHA-256 with the domain separation of RFC 6962, section 2.1.
//!
//! Not a general hash room: nothing but leaves, inner nodes and the empty tree is hashed here.

use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::block_api::compress256;
use sha2::{Digest as _, Sha256};

/// The first byte hashed for a leaf (RFC 6962, section 2.1).
const LEAF_PREFIX: [u8; 1] = [0x00];
/// The first byte hashed for an inner node (RFC 6962, section 2.1).
const NODE_PREFIX: [u8; 1] = [0x01];
/// How many bytes are hashed for an inner node.
const NODE_MESSAGE: usize = 1 + 2 * Hash::LEN;
/// An inner node's message of zeros, padded to two blocks: a mark, and the length in bits at the end (FIPS 180-4, section
/// 5.1.1).
const NODE_PADDING: [u8; 128] = {
    let mut blocks = [0; 128];
    blocks[NODE_MESSAGE] = 0x80;
    [blocks[126], blocks[127]] = (8 * NODE_MESSAGE as u16).to_be_bytes();
    blocks
};
/// SHA-256's initial hash value (FIPS 180-4, section 5.3.3).
const INITIAL_STATE: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A 32-byte Merkle tree hash: of a leaf, of an inner node, or of a whole tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; Hash::LEN]);

/// Why a text is not a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// The text is not canonical, padded, standard base64.
    #[error("a hash must be canonical padded base64")]
    NotBase64,
    /// The text is not lower-case hexadecimal.
    #[error("a hash must be lower-case hexadecimal")]
    NotHex,
    /// The decoded bytes have another length than [`Hash::LEN`].
    #[error("a hash must be 32 bytes, not {0}")]
    Length(usize),
}

impl Hash {
    /// The length of a hash in bytes.
    pub const LEN: usize = 32;

    /// The root of the tree of size zero: SHA-256 of the empty string (RFC 6962, section 2.1).
    pub const EMPTY_TREE: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae,
        0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]);

    /// Wraps bytes that are known to be a hash.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Reads a hash from exactly [`Hash::LEN`] bytes.
    ///
    /// # Errors
    /// [`HashError::Length`] for any other length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, HashError> {
        bytes.try_into().map(Self).map_err(|_| HashError::Length(bytes.len()))
    }

    /// The hash of a leaf with these bytes: `SHA-256(0x00 || data)`.
    #[must_use]
    pub fn leaf(data: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(LEAF_PREFIX);
        hasher.update(data);
        Self(hasher.finalize().into())
    }

    /// The hash of an inner node with these children: `SHA-256(0x01 || left || right)`.
    ///
    /// All inner nodes hash 65 bytes, so that the padding is always the same. To lay out the two blocks here spares the
    /// general hasher's buffer, a sixth of the time. (Hashing several nodes interleaved was tried too: 12 % faster at
    /// best, and not to be had without unsafe code.)
    #[must_use]
    pub fn node(left: &Self, right: &Self) -> Self {
        let mut blocks = NODE_PADDING;
        blocks[0] = NODE_PREFIX[0];
        blocks[1..=Self::LEN].copy_from_slice(&left.0);
        blocks[1 + Self::LEN..NODE_MESSAGE].copy_from_slice(&right.0);
        let mut state = INITIAL_STATE;
        compress256(&mut state, blocks.as_chunks().0);
        let mut hash = [0; Self::LEN];
        for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(state) {
            *bytes = word.to_be_bytes();
        }
        Self(hash)
    }

    /// Appends to `parents` the hashes of the nodes whose children are these, two by two; an odd last one is left out.
    pub fn extend_with_parents(children: &[Self], parents: &mut Vec<Self>) {
        let (pairs, _odd) = children.as_chunks::<2>();
        parents.extend(pairs.iter().map(|[left, right]| Self::node(left, right)));
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Reads the one base64 text of a hash (RFC 4648, section 4: padded, no stray trailing bits).
    ///
    /// # Errors
    /// [`HashError`] for anything that [`Hash::to_base64`] would not have written.
    pub fn from_base64(text: &str) -> Result<Self, HashError> {
        let bytes = STANDARD.decode(text).map_err(|_| HashError::NotBase64)?;
        Self::from_slice(&bytes)
    }

    /// The standard padded base64 text, 44 characters.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }
}

/// Reads 64 lower-case hexadecimal digits.
impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        if text.len() != 2 * Self::LEN {
            return Err(HashError::Length(text.len() / 2));
        }
        let mut bytes = [0; Self::LEN];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let [high, low] = pair else { return Err(HashError::NotHex) };
            *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
        }
        Ok(Self(bytes))
    }
}

fn hex_digit(digit: u8) -> Result<u8, HashError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(HashError::NotHex),
    }
}

/// Lower-case hexadecimal, for people and logs; signed formats use [`Hash::to_base64`].
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_and_nodes_hash_as_defined() {
        let data: Vec<u8> = (0..6_400).map(|i| (i * 31 % 251) as u8).collect();
        for length in 0..=data.len() {
            let message = [&[0], &data[..length]].concat();
            assert_eq!(Hash::leaf(&data[..length]).as_bytes()[..], Sha256::digest(message)[..], "{length} bytes");
        }
        for children in data.chunks_exact(64) {
            let [left, right] = [&children[..32], &children[32..]].map(|hash| Hash::from_slice(hash).unwrap());
            let message = [&[1], children].concat();
            assert_eq!(Hash::node(&left, &right).as_bytes()[..], Sha256::digest(message)[..]);
        }
    }
}
