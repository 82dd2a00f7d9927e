//! The SHA-256 of a log's origin: the log's name in the retrieval paths of C2SP tlog-witness.

use core::fmt;
use core::fmt::Write as _;

use cairn_tree::checkpoint::Origin;
use sha2::{Digest as _, Sha256};

/// A log's origin, hashed; written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginHash([u8; Self::LEN]);

impl OriginHash {
    /// The length in bytes.
    pub const LEN: usize = 32;

    /// The hash of an origin.
    #[must_use]
    pub fn of(origin: &Origin) -> Self {
        Self(Sha256::digest(origin.to_string().as_bytes()).into())
    }

    /// Wraps the bytes of a hash.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Reads what `Display` writes, and nothing else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
        if rest.is_empty() { bytes?.try_into().ok().map(Self) } else { None }
    }
}

impl fmt::Display for OriginHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(2 * Self::LEN);
        self.0.iter().try_for_each(|byte| write!(text, "{byte:02x}"))?;
        f.write_str(&text)
    }
}

impl fmt::Debug for OriginHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_has_one_text() {
        let hash = OriginHash::of(&Origin::new("example.com/log").unwrap());
        let text = hash.to_string();
        assert_eq!((text.len(), OriginHash::parse(&text)), (64, Some(hash)));
        for wrong in [text.to_uppercase(), format!("{text}0"), text[..62].to_owned(), format!("{}g", &text[..63])] {
            assert_eq!(OriginHash::parse(&wrong), None, "{wrong}");
        }
        assert_eq!(OriginHash::parse(""), None);
    }
}
