//! The SHA-256 of a log's origin: the log's name in the paths of C2SP tlog-witness, "Monitor Retrieval Mechanism".

use core::fmt;
use core::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::Origin;

/// A log's origin, hashed; written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginHash([u8; Self::LEN]);

impl OriginHash {
    /// The length in bytes.
    pub const LEN: usize = 32;

    /// The hash of an origin.
    #[must_use]
    pub fn of(origin: &Origin) -> Self {
        Self(Sha256::digest(origin.as_str()).into())
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

    /// Where the log's newest cosigned head stands, beneath a witness's monitoring prefix.
    #[must_use]
    pub fn checkpoint_path(&self) -> String {
        format!("{self}/checkpoint")
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
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

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
        // As `sha256sum` has it.
        assert_eq!(text, "4d3203c8f35cdf600e475f55fede6081a703d3d322f208865fca2ec4f0e030f8");
        assert_eq!(hash.checkpoint_path(), format!("{text}/checkpoint"));
    }
}
