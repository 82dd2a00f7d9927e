//! Where a list goes on: the size that it is complete up to, and how far it came. A cursor is bound to its query and to the
//! log by a keyed hash, and holds nothing of what was asked for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cairn_tree::size::TreeSize;

use crate::records::Secret;

/// A version, two numbers and a hash.
const BYTES: usize = 1 + 8 + 8 + 16;
const VERSION: u8 = 1;

/// A place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The size up to which the whole list is complete.
    pub(super) size: TreeSize,
    /// Everything from here up was given out.
    pub(super) below: TreeSize,
}

impl Place {
    /// The text, for a query of these parts.
    pub(super) fn to_text(self, secret: &Secret, query: &[&[u8]]) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.size.get().to_be_bytes());
        bytes.extend_from_slice(&self.below.get().to_be_bytes());
        let hash = sum(secret, &bytes, query);
        bytes.extend_from_slice(&hash);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a text that was made for the same query.
    pub(super) fn parse(text: &str, secret: &Secret, query: &[&[u8]]) -> Option<Self> {
        let bytes: [u8; BYTES] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (body, hash) = bytes.split_last_chunk::<16>()?;
        if *hash != sum(secret, body, query) {
            return None;
        }
        let (_version, numbers) = body.split_first()?;
        let (size, below) = numbers.split_first_chunk::<8>()?;
        let below: [u8; 8] = below.try_into().ok()?;
        let number = |bytes| TreeSize::new(u64::from_be_bytes(bytes)).ok();
        Some(Self { size: number(*size)?, below: number(below)? })
    }
}

fn sum(secret: &Secret, body: &[u8], query: &[&[u8]]) -> [u8; 16] {
    let mut parts = vec![body];
    parts.extend_from_slice(query);
    secret.cursor(&parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_query_in_its_log_alone() {
        let (secret, size) = (Secret::new(&[1; 32]), |number| TreeSize::new(number).unwrap());
        let cursor = Place { size: size(900), below: size(7) };
        let query: [&[u8]; 2] = [b"actor", b"person:4711"];
        let text = cursor.to_text(&secret, &query);
        assert_eq!(Place::parse(&text, &secret, &query), Some(cursor));
        assert_eq!(Place::parse(&text, &secret, &[b"actor", b"person:4712"]), None);
        assert_eq!(Place::parse(&text, &Secret::new(&[2; 32]), &query), None);
        for place in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[place] = if other[place] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            assert_eq!(Place::parse(&other, &secret, &query), None, "{place}");
            assert_eq!(Place::parse(&text[..place], &secret, &query), None);
        }
    }
}
