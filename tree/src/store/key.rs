//! Keys: format byte, log id, kind, then what tells rows of one kind apart, numbers in big-endian order.
//!
//! The order of the bytes is the order of the numbers, so that a log's bundles, tiles or pieces are one range each.

use core::fmt;

/// The version of the key layout; the first byte of every key.
const FORMAT: u8 = 1;
/// The bytes before a key's suffix: format, log id, kind.
const PREFIX_LEN: usize = 6;
/// The longest suffix: a number and a digest, with room for one more number.
const SUFFIX_MAX: usize = 56;

/// The number of a log within its database. Never reused; 0 is the database itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(u32);

impl LogId {
    /// Rows that belong to the database and to no log.
    pub const DATABASE: Self = Self(0);

    /// Wraps a number that was read from a row or counted up from one.
    #[must_use]
    pub const fn new(id: u32) -> Self {
        Self(id)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a row is. The numbers are on disk and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Database: its id, and the number of its last commit. Log: its size, root, time and state.
    Head,
    /// Database only: a log's name, origin and keys, by log id.
    Binding,
    /// 256 entries in C2SP bundle encoding, by bundle number.
    Bundle,
    /// Entries of the last, unfinished bundle, as one commit brought them, by the first one's index.
    Piece,
    /// A full tile of 256 hashes, by tile number; the level (0 to 7) is part of the kind.
    Tile(u8),
    /// A block of a sorted run of the index from leaf hash to index.
    IndexRun,
    /// The list of a log's index runs.
    IndexManifest,
    /// What an idempotency key stands for, by its digest.
    Idempotency,
    /// When an idempotency key may be forgotten, by time and digest.
    Expiry,
}

/// The code of tile level 0; levels 1 to 7 follow.
const TILE_LEVEL_0: u8 = 0x40;
/// The highest tile level that a tree of at most 2^63 - 1 leaves can have.
const TILE_LEVEL_MAX: u8 = 7;

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Head => 0x01,
            Self::Binding => 0x02,
            Self::Bundle => 0x10,
            Self::Piece => 0x11,
            Self::IndexManifest => 0x20,
            Self::IndexRun => 0x21,
            Self::Idempotency => 0x30,
            Self::Expiry => 0x31,
            Self::Tile(level) => TILE_LEVEL_0 + level,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0x01 => Self::Head,
            0x02 => Self::Binding,
            0x10 => Self::Bundle,
            0x11 => Self::Piece,
            0x20 => Self::IndexManifest,
            0x21 => Self::IndexRun,
            0x30 => Self::Idempotency,
            0x31 => Self::Expiry,
            TILE_LEVEL_0..=0x47 => Self::Tile(code - TILE_LEVEL_0),
            _ => return None,
        })
    }
}

/// The key of one row.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<u8>);

/// Why bytes are not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Shorter than the prefix or longer than any key.
    #[error("a key of {0} bytes")]
    Length(usize),
    /// Written by another version of this program.
    #[error("key format {0}, not {FORMAT}")]
    Format(u8),
    /// No kind has this code.
    #[error("unknown kind of row {0:#04x}")]
    Kind(u8),
}

impl Key {
    /// The key of the row of `kind` with this number.
    #[must_use]
    pub fn numbered(log: LogId, kind: Kind, number: u64) -> Self {
        Self::suffixed(log, kind, &number.to_be_bytes())
    }

    /// The key with this suffix. A suffix past 56 bytes is cut; all of this program's are shorter.
    #[must_use]
    pub fn suffixed(log: LogId, kind: Kind, suffix: &[u8]) -> Self {
        let suffix = suffix.get(..SUFFIX_MAX).unwrap_or(suffix);
        let mut bytes = Vec::with_capacity(PREFIX_LEN + suffix.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&log.get().to_be_bytes());
        bytes.push(kind.code());
        bytes.extend_from_slice(suffix);
        Self(bytes)
    }

    /// Reads a key that the store holds.
    ///
    /// # Errors
    /// [`KeyError`] for anything that no constructor would have made.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let length = KeyError::Length(bytes.len());
        let (prefix, suffix) = bytes.split_at_checked(PREFIX_LEN).ok_or(length)?;
        let &[format, .., code] = prefix else { return Err(length) };
        if suffix.len() > SUFFIX_MAX {
            return Err(length);
        }
        if format != FORMAT {
            return Err(KeyError::Format(format));
        }
        Kind::from_code(code).ok_or(KeyError::Kind(code))?;
        Ok(Self(bytes.to_vec()))
    }

    /// The bytes that the store orders by.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What the row is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        let code = self.0.get(PREFIX_LEN - 1).copied().unwrap_or_default();
        Kind::from_code(code).unwrap_or(Kind::Head)
    }

    /// What tells this row from others of its kind.
    #[must_use]
    pub fn suffix(&self) -> &[u8] {
        self.0.get(PREFIX_LEN..).unwrap_or_default()
    }

    /// The number, for keys whose suffix is one.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        self.suffix().try_into().ok().map(u64::from_be_bytes)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_is_number_order_and_every_kind_reads_back() {
        let tiles = (0..=TILE_LEVEL_MAX).map(Kind::Tile);
        let kinds = [Kind::Head, Kind::Binding, Kind::Bundle, Kind::Piece, Kind::IndexRun, Kind::IndexManifest];
        for kind in kinds.into_iter().chain([Kind::Idempotency, Kind::Expiry]).chain(tiles) {
            let keys: Vec<_> =
                [0, 1, 255, 256, u64::MAX].map(|number| Key::numbered(LogId::new(7), kind, number)).into();
            assert!(keys.is_sorted());
            for key in keys {
                assert_eq!(Key::parse(key.as_bytes()), Ok(key.clone()));
                assert_eq!(key.kind(), kind);
            }
        }
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert_eq!(Key::parse(&[]), Err(KeyError::Length(0)));
        assert_eq!(Key::parse(&[2, 0, 0, 0, 1, 1]), Err(KeyError::Format(2)));
        assert_eq!(Key::parse(&[1, 0, 0, 0, 1, 0x48]), Err(KeyError::Kind(0x48)));
        assert_eq!(Key::parse(&[1; 63]), Err(KeyError::Length(63)));
    }
}
