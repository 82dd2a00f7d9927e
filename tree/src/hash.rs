//! The tree's hash: SHA-256 with the domain separation of RFC 6962, section 2.1.
//!
//! Not a general hash room: nothing but leaves, inner nodes and the empty tree is hashed here.

use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::block_api::compress256;

/// The first byte hashed for a leaf (RFC 6962, section 2.1).
const LEAF_PREFIX: u8 = 0x00;
/// The first byte hashed for an inner node (RFC 6962, section 2.1).
const NODE_PREFIX: u8 = 0x01;
/// How many bytes are hashed for an inner node.
const NODE_MESSAGE: usize = 1 + 2 * Hash::LEN;
/// The bytes that SHA-256 compresses at a time (FIPS 180-4, section 6.2).
const BLOCK: usize = 64;
/// The bytes of the message's length in bits at the end of its padding.
const LENGTH: usize = 8;
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
        let mut state = INITIAL_STATE;
        let mut last = [0; 2 * BLOCK];
        let (tail_from, tail) = match data.split_first_chunk::<{ BLOCK - 1 }>() {
            None => {
                last[0] = LEAF_PREFIX;
                (1, data)
            }
            Some((head, rest)) => {
                let mut first = [LEAF_PREFIX; BLOCK];
                first[1..].copy_from_slice(head);
                let (blocks, tail) = rest.as_chunks();
                compress256(&mut state, &[first]);
                compress256(&mut state, blocks);
                (0, tail)
            }
        };
        let used = tail_from + tail.len();
        let (message, _) = last.split_at_mut(used);
        message.split_at_mut(tail_from).1.copy_from_slice(tail);
        finish(state, last, used, 1 + data.len() as u64)
    }

    /// The hash of an inner node with these children: `SHA-256(0x01 || left || right)`.
    #[must_use]
    pub fn node(left: &Self, right: &Self) -> Self {
        let mut message = [0; 2 * BLOCK];
        message[0] = NODE_PREFIX;
        message[1..=Self::LEN].copy_from_slice(&left.0);
        message[1 + Self::LEN..NODE_MESSAGE].copy_from_slice(&right.0);
        finish(INITIAL_STATE, message, NODE_MESSAGE, NODE_MESSAGE as u64)
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

/// Pads and compresses the last `used` bytes of a message of `length` bytes (FIPS 180-4, sections 5.1.1 and 6.2.2).
///
/// Laying out blocks here spares the general hasher's buffer: a fifth of the time for an inner node, half for a short leaf.
fn finish(mut state: [u32; 8], mut last: [u8; 2 * BLOCK], used: usize, length: u64) -> Hash {
    // One block is enough if the mark and the length fit behind the message.
    let end = if used < BLOCK - LENGTH { BLOCK } else { 2 * BLOCK };
    let (blocks, _) = last.split_at_mut(end);
    let (message, length_field) = blocks.split_at_mut(end - LENGTH);
    let (_, padding) = message.split_at_mut(used);
    if let Some(mark) = padding.first_mut() {
        *mark = 0x80;
    }
    length_field.copy_from_slice(&(8 * length).to_be_bytes());
    compress256(&mut state, blocks.as_chunks().0);
    let mut hash = [0; Hash::LEN];
    for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    Hash(hash)
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
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn leaves_of_every_length_and_nodes_hash_as_the_general_hasher_does() {
        let data: Vec<u8> = (0..1_000).map(|i| (i * 31 % 251) as u8).collect();
        for length in 0..=data.len() {
            let expected = Sha256::new().chain_update([0]).chain_update(&data[..length]).finalize();
            assert_eq!(Hash::leaf(&data[..length]).as_bytes()[..], expected[..], "{length} bytes");
        }
        for pair in data.chunks_exact(64) {
            let [left, right] = [&pair[..32], &pair[32..]].map(|hash| Hash::from_slice(hash).unwrap());
            let expected = Sha256::new().chain_update([1]).chain_update(pair).finalize();
            assert_eq!(Hash::node(&left, &right).as_bytes()[..], expected[..]);
        }
    }

    #[test]
    fn the_longest_entry_hashes_as_the_general_hasher_does() {
        let entry = vec![0xa5; 65_535];
        let expected = Sha256::new().chain_update([0]).chain_update(&entry).finalize();
        assert_eq!(Hash::leaf(&entry).as_bytes()[..], expected[..]);
    }
}
