//! Sequences of entries as C2SP tlog-tiles bundles them: each after its length, two bytes big-endian.
//!
//! The same encoding carries a batch of appends. What the entries mean, and whether a tree has them, is not known here.

use core::iter::FusedIterator;
use core::ops::Range;

use super::coord::Width;
use crate::hash::Hash;

/// How many bytes stand before an entry.
const PREFIX: usize = 2;

/// Well-formed entries, borrowed from the bytes they came in.
///
/// Invariant: the bytes are exactly `count` entries, each behind its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    count: usize,
}

/// Why bytes are not such a sequence, or an entry does not fit into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntriesError {
    /// The entry is longer than a length prefix can say.
    #[error("an entry has at most {max} bytes, not {0}", max = Entries::MAX_ENTRY)]
    EntryTooLong(usize),
    /// The bytes end within an entry or its length.
    #[error("entry {0} is cut off")]
    CutOff(usize),
    /// There are fewer or more entries than there must be.
    #[error("{expected} entries are expected, {found} are there")]
    Count {
        /// How many there must be.
        expected: usize,
        /// How many there are; of more than enough, one too many is counted.
        found: usize,
    },
    /// There are more entries than allowed.
    #[error("at most {0} entries are allowed")]
    TooMany(usize),
}

impl<'a> Entries<'a> {
    /// The most bytes that an entry can have.
    pub const MAX_ENTRY: usize = u16::MAX as usize;

    /// Reads a bundle: exactly `width` entries.
    ///
    /// # Errors
    /// [`EntriesError::CutOff`] or [`EntriesError::Count`].
    pub fn parse_bundle(bytes: &'a [u8], width: Width) -> Result<Self, EntriesError> {
        let expected = width.get();
        let count = count_up_to(bytes, expected)?.ok_or(EntriesError::Count { expected, found: expected + 1 })?;
        if count == expected { Ok(Self { bytes, count }) } else { Err(EntriesError::Count { expected, found: count }) }
    }

    /// Reads a batch: any number of entries, at most `max`; possibly none.
    ///
    /// # Errors
    /// [`EntriesError::CutOff`] or [`EntriesError::TooMany`].
    pub fn parse_batch(bytes: &'a [u8], max: usize) -> Result<Self, EntriesError> {
        let count = count_up_to(bytes, max)?.ok_or(EntriesError::TooMany(max))?;
        Ok(Self { bytes, count })
    }

    /// The number of entries.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The encoded bytes of all.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The entries' contents, in order.
    #[must_use]
    pub const fn iter(&self) -> EntriesIter<'a> {
        EntriesIter { rest: self.bytes, left: self.count }
    }

    /// The content of one entry, found by stepping over those before it.
    #[must_use]
    pub fn get(&self, position: usize) -> Option<&'a [u8]> {
        self.iter().nth(position)
    }

    /// The first entries only, as a partial bundle has them; `None` if there are fewer.
    #[must_use]
    pub fn first(&self, width: Width) -> Option<Self> {
        self.slice(0..width.get())
    }

    /// Some of the entries, in a row; `None` if there are not so many.
    #[must_use]
    pub fn slice(&self, positions: Range<usize>) -> Option<Self> {
        let count = positions.end.checked_sub(positions.start)?;
        if positions.end > self.count {
            return None;
        }
        let after_start = skip(self.bytes, positions.start)?;
        let after_end = skip(after_start, count)?;
        let bytes = after_start.get(..after_start.len().checked_sub(after_end.len())?)?;
        Some(Self { bytes, count })
    }

    /// The leaf hash of each entry, in order (RFC 9162, section 2.1.1).
    #[must_use]
    pub fn leaf_hashes(&self) -> Vec<Hash> {
        self.iter().map(Hash::leaf).collect()
    }

    /// Appends one encoded entry.
    ///
    /// # Errors
    /// [`EntriesError::EntryTooLong`]; then nothing is written.
    pub fn encode(entry: &[u8], out: &mut Vec<u8>) -> Result<(), EntriesError> {
        let length = u16::try_from(entry.len()).map_err(|_| EntriesError::EntryTooLong(entry.len()))?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(entry);
        Ok(())
    }
}

impl<'a> IntoIterator for &Entries<'a> {
    type Item = &'a [u8];
    type IntoIter = EntriesIter<'a>;

    fn into_iter(self) -> EntriesIter<'a> {
        self.iter()
    }
}

/// Iterates over what [`Entries::iter`] describes.
#[derive(Debug, Clone)]
pub struct EntriesIter<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for EntriesIter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (entry, rest) = split_entry(self.rest)?;
        self.rest = rest;
        self.left -= 1;
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for EntriesIter<'_> {}
impl FusedIterator for EntriesIter<'_> {}

/// The first entry, and what comes after it; `None` if it is not whole.
fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<PREFIX>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// What comes after so many entries.
fn skip(bytes: &[u8], entries: usize) -> Option<&[u8]> {
    (0..entries).try_fold(bytes, |bytes, _| split_entry(bytes).map(|(_, rest)| rest))
}

/// How many entries there are, or `None` if more than `max`; looks no further than one past `max`.
fn count_up_to(bytes: &[u8], max: usize) -> Result<Option<usize>, EntriesError> {
    let (mut rest, mut count) = (bytes, 0);
    while !rest.is_empty() {
        if count == max {
            return Ok(None);
        }
        (_, rest) = split_entry(rest).ok_or(EntriesError::CutOff(count))?;
        count += 1;
    }
    Ok(Some(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(entries: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| Entries::encode(entry, &mut bytes).unwrap());
        bytes
    }

    #[test]
    fn entries_are_length_prefixed_and_borrowed_back() {
        let bytes = encoded(&[b"", b"a", b"bc"]);
        assert_eq!(bytes, b"\0\0\0\x01a\0\x02bc");
        let entries = Entries::parse_bundle(&bytes, Width::new(3).unwrap()).unwrap();
        assert_eq!(entries.iter().collect::<Vec<_>>(), [&b""[..], b"a", b"bc"]);
        assert_eq!((entries.len(), entries.iter().len(), entries.is_empty()), (3, 3, false));
        assert_eq!((entries.get(2), entries.get(3)), (Some(&b"bc"[..]), None));
        assert_eq!(entries.leaf_hashes(), [Hash::leaf(b""), Hash::leaf(b"a"), Hash::leaf(b"bc")]);
        assert_eq!(Entries::parse_batch(&bytes, 3), Ok(entries));
        assert_eq!(Entries::parse_batch(b"", 0).unwrap().iter().next(), None);
    }

    #[test]
    fn an_entry_has_at_most_65535_bytes() {
        let mut bytes = Vec::new();
        Entries::encode(&[7; 65_535], &mut bytes).unwrap();
        assert_eq!(Entries::encode(&[7; 65_536], &mut bytes), Err(EntriesError::EntryTooLong(65_536)));
        assert_eq!(bytes.len(), 65_537, "nothing was written");
        assert_eq!(Entries::parse_batch(&bytes, 1).unwrap().get(0), Some(&[7; 65_535][..]));
    }

    #[test]
    fn another_number_of_entries_and_cut_off_ones_are_refused() {
        let bytes = encoded(&[b"", b"a", b"bc"]);
        let width = |width| Width::new(width).unwrap();
        assert_eq!(Entries::parse_bundle(&bytes, width(2)), Err(EntriesError::Count { expected: 2, found: 3 }));
        assert_eq!(Entries::parse_bundle(&bytes, width(4)), Err(EntriesError::Count { expected: 4, found: 3 }));
        assert_eq!(Entries::parse_bundle(b"", width(1)), Err(EntriesError::Count { expected: 1, found: 0 }));
        assert_eq!(Entries::parse_batch(&bytes, 2), Err(EntriesError::TooMany(2)));
        for (length, cut) in [(1, 0), (3, 1), (4, 1), (6, 2), (7, 2), (8, 2)] {
            assert_eq!(Entries::parse_batch(&bytes[..length], 3), Err(EntriesError::CutOff(cut)), "{length} bytes");
        }
        assert_eq!(
            Entries::parse_bundle(&[&bytes[..], b"\0"].concat(), width(3)),
            Err(EntriesError::Count { expected: 3, found: 4 })
        );
        assert_eq!(Entries::parse_bundle(&[&bytes[..], b"\0"].concat(), width(4)), Err(EntriesError::CutOff(3)));
    }

    #[test]
    fn parts_are_cut_at_entries() {
        let bytes = encoded(&[b"", b"a", b"bc"]);
        let entries = Entries::parse_batch(&bytes, 3).unwrap();
        for start in 0..=3 {
            for end in start..=3 {
                let part = entries.slice(start..end).unwrap();
                assert_eq!(part, Entries::parse_batch(part.as_bytes(), 3).unwrap());
                assert!(part.iter().eq(entries.iter().skip(start).take(end - start)));
            }
        }
        assert_eq!(entries.first(Width::new(2).unwrap()), entries.slice(0..2));
        assert_eq!(entries.first(Width::new(4).unwrap()), None);
        assert_eq!(entries.slice(2..4), None);
        #[expect(clippy::reversed_empty_ranges, reason = "what is refused")]
        let reversed = entries.slice(2..1);
        assert_eq!(reversed, None);
    }
}
