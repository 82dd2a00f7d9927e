//! Keys: format byte, log id, kind, then what tells rows of one kind apart, numbers in big-endian order.
//!
//! The order of the bytes is the order of the numbers, so that a log's bundles, tiles or pieces are one range each.

use core::fmt;
use core::ops::Range;

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
    /// Log only: its witness policy.
    Policy,
    /// Log only: the newest head that met its witness policy, with its cosignatures.
    Checkpoint,
    /// 256 entries in C2SP bundle encoding, by bundle number.
    Bundle,
    /// Some entries of a bundle that is kept in parts, by the index of the last: so a scan from any of them finds its part
    /// first.
    BundlePart,
    /// Entries of the last, unfinished bundle, as one commit brought them, by the first one's index.
    Piece,
    /// The disclosures of records that one commit brought, in the order of their indexes, by the last one's index: so a
    /// scan from any of them finds its row first.
    Disclosures,
    /// A full tile of 256 hashes, by tile number; the level is part of the kind.
    Tile(TileLevel),
    /// A block of a sorted run of the index from leaf hash to index.
    IndexRun,
    /// The list of a log's index runs.
    IndexManifest,
    /// A block of a sorted run of the postings, by run, print and index.
    PostingRun,
    /// The list of a log's runs of postings.
    PostingManifest,
    /// Log only: the key of its records' prints.
    PrintSecret,
    /// What an idempotency key stands for, by its digest.
    Idempotency,
    /// When an idempotency key may be forgotten, by time and digest.
    Expiry,
}

/// The level of a stored tile: 0 to 7, since a tree of at most 2^63 - 1 leaves has none above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileLevel(u8);

impl TileLevel {
    /// The level whose tiles hold leaf hashes.
    pub const LEAVES: Self = Self(0);
    /// The highest level.
    pub const MAX: Self = Self(7);

    /// Checks the bound.
    ///
    /// # Errors
    /// [`KeyError::TileLevel`] past [`TileLevel::MAX`].
    pub const fn new(level: u8) -> Result<Self, KeyError> {
        if level > Self::MAX.0 { Err(KeyError::TileLevel(level)) } else { Ok(Self(level)) }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Every level, from the leaves up.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=Self::MAX.0).map(Self)
    }
}

/// The code of tile level 0; the other levels follow.
const TILE_LEVEL_0: u8 = 0x40;
/// The code of the highest tile level.
const TILE_LEVEL_LAST: u8 = TILE_LEVEL_0 + TileLevel::MAX.0;

impl Kind {
    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).filter_map(Self::from_code)
    }

    const fn code(self) -> u8 {
        match self {
            Self::Head => 0x01,
            Self::Binding => 0x02,
            Self::Policy => 0x03,
            Self::Checkpoint => 0x04,
            Self::Bundle => 0x10,
            Self::Piece => 0x11,
            Self::Disclosures => 0x12,
            Self::BundlePart => 0x13,
            Self::IndexManifest => 0x20,
            Self::IndexRun => 0x21,
            Self::PostingManifest => 0x22,
            Self::PostingRun => 0x23,
            Self::PrintSecret => 0x24,
            Self::Idempotency => 0x30,
            Self::Expiry => 0x31,
            Self::Tile(level) => TILE_LEVEL_0 + level.0,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0x01 => Self::Head,
            0x02 => Self::Binding,
            0x03 => Self::Policy,
            0x04 => Self::Checkpoint,
            0x10 => Self::Bundle,
            0x11 => Self::Piece,
            0x12 => Self::Disclosures,
            0x13 => Self::BundlePart,
            0x20 => Self::IndexManifest,
            0x21 => Self::IndexRun,
            0x22 => Self::PostingManifest,
            0x23 => Self::PostingRun,
            0x24 => Self::PrintSecret,
            0x30 => Self::Idempotency,
            0x31 => Self::Expiry,
            TILE_LEVEL_0..=TILE_LEVEL_LAST => Self::Tile(TileLevel(code - TILE_LEVEL_0)),
            _ => return None,
        })
    }
}

/// The key of one row.
///
/// Keys compare as their bytes do: the bytes stand first, and the log and the kind follow from them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    bytes: Vec<u8>,
    log: LogId,
    kind: Kind,
}

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
    /// No tree is high enough for tiles of this level.
    #[error("tile level {0} is past {max}", max = TileLevel::MAX.0)]
    TileLevel(u8),
}

impl Key {
    /// The key of the only row of `kind`; it stands before all others of that kind.
    #[must_use]
    pub fn only(log: LogId, kind: Kind) -> Self {
        Self::from_parts(log, kind, &[])
    }

    /// The key of the row of `kind` with this number.
    #[must_use]
    pub fn numbered(log: LogId, kind: Kind, number: u64) -> Self {
        Self::from_parts(log, kind, &number.to_be_bytes())
    }

    /// The key with this suffix. A suffix of more than 56 bytes does not compile.
    #[must_use]
    pub fn suffixed<const LEN: usize>(log: LogId, kind: Kind, suffix: &[u8; LEN]) -> Self {
        const { assert!(LEN <= SUFFIX_MAX, "the suffix of a key is at most 56 bytes") };
        Self::from_parts(log, kind, suffix)
    }

    fn from_parts(log: LogId, kind: Kind, suffix: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(PREFIX_LEN + suffix.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&log.get().to_be_bytes());
        bytes.push(kind.code());
        bytes.extend_from_slice(suffix);
        Self { bytes, log, kind }
    }

    /// Reads a key that the store holds.
    ///
    /// # Errors
    /// [`KeyError`] for anything that no constructor would have made.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let length = KeyError::Length(bytes.len());
        let (prefix, suffix) = bytes.split_first_chunk::<PREFIX_LEN>().ok_or(length)?;
        if suffix.len() > SUFFIX_MAX {
            return Err(length);
        }
        let [format, log @ .., code] = *prefix;
        if format != FORMAT {
            return Err(KeyError::Format(format));
        }
        let kind = Kind::from_code(code).ok_or(KeyError::Kind(code))?;
        Ok(Self { bytes: bytes.to_vec(), log: LogId::new(u32::from_be_bytes(log)), kind })
    }

    /// The bytes that the store orders by.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The log whose row this is.
    #[must_use]
    pub const fn log(&self) -> LogId {
        self.log
    }

    /// What the row is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What tells this row from others of its kind.
    #[must_use]
    pub fn suffix(&self) -> &[u8] {
        self.bytes.get(PREFIX_LEN..).unwrap_or_default()
    }

    /// The number, for keys whose suffix is one.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        self.suffix().try_into().ok().map(u64::from_be_bytes)
    }
}

/// The keys from one to before another, in the order of their bytes; none if they stand the other way round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    from: Key,
    /// Not always a key.
    to: Vec<u8>,
}

impl KeyRange {
    /// The keys with `range.start <= key < range.end`.
    #[must_use]
    pub fn between(range: Range<&Key>) -> Self {
        Self { from: range.start.clone(), to: range.end.bytes.clone() }
    }

    /// The rows of one kind of one log whose numbers stand in `numbers`.
    #[must_use]
    pub fn numbers(log: LogId, kind: Kind, numbers: Range<u64>) -> Self {
        Self::between(&Key::numbered(log, kind, numbers.start)..&Key::numbered(log, kind, numbers.end))
    }

    /// All rows of one kind of one log.
    #[must_use]
    pub fn all(log: LogId, kind: Kind) -> Self {
        Self::from_key(Key::only(log, kind))
    }

    /// The rows from `key` on, itself included, to the last of its log and kind.
    #[must_use]
    pub fn from_key(key: Key) -> Self {
        Self { to: past_kind(&key), from: key }
    }

    /// The part of the range from `key` on, itself included.
    #[must_use]
    pub fn starting_at(&self, key: &Key) -> Self {
        Self { from: key.max(&self.from).clone(), to: self.to.clone() }
    }

    /// The part of the range before `key`.
    #[must_use]
    pub fn ending_at(&self, key: &Key) -> Self {
        Self { from: self.from.clone(), to: key.bytes.clone().min(self.to.clone()) }
    }

    /// The number before which all numbers of the range stand, if it ends with one.
    #[must_use]
    pub fn end_number(&self) -> Option<u64> {
        Key::parse(&self.to).ok()?.number()
    }

    /// The bytes of the first key that may stand in the range.
    #[must_use]
    pub fn start(&self) -> &[u8] {
        &self.from.bytes
    }

    /// The bytes before which every key of the range stands; not always a key.
    #[must_use]
    pub fn end(&self) -> &[u8] {
        &self.to
    }

    /// The kind of every key in the range, if it cannot hold two kinds or logs.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        (self.to <= past_kind(&self.from)).then_some(self.from.kind)
    }

    /// Whether `key` stands in the range.
    #[must_use]
    pub fn contains(&self, key: &Key) -> bool {
        self.from <= *key && key.bytes < self.to
    }

    /// Whether no key can stand in the range.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.from.bytes >= self.to
    }
}

/// The least bytes past every key of this key's log and kind: its prefix with the kind's code, which is below 0xff,
/// raised by one.
fn past_kind(key: &Key) -> Vec<u8> {
    let mut bytes = Key::only(key.log, key.kind).bytes;
    bytes.pop();
    bytes.push(key.kind.code() + 1);
    bytes
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(")?;
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_is_number_order_and_every_kind_reads_back() {
        let tiles = TileLevel::all().map(Kind::Tile);
        let kinds = [Kind::Head, Kind::Binding, Kind::Bundle, Kind::Piece, Kind::IndexRun, Kind::IndexManifest];
        let postings = [Kind::PostingRun, Kind::PostingManifest, Kind::PrintSecret];
        let small = [Kind::Policy, Kind::Checkpoint, Kind::Idempotency, Kind::Expiry];
        let records = [Kind::Disclosures, Kind::BundlePart];
        for kind in kinds.into_iter().chain(postings).chain(small).chain(records).chain(tiles) {
            let keys: Vec<_> =
                [0, 1, 255, 256, u64::MAX].map(|number| Key::numbered(LogId::new(7), kind, number)).into();
            assert!(keys.is_sorted());
            for key in keys {
                assert_eq!(Key::parse(key.as_bytes()), Ok(key.clone()));
                assert_eq!((key.log(), key.kind()), (LogId::new(7), kind));
                assert!(KeyRange::all(LogId::new(7), kind).contains(&key));
            }
        }
    }

    #[test]
    fn a_tile_level_past_seven_is_no_kind() {
        assert_eq!(TileLevel::new(7), Ok(TileLevel::MAX));
        assert_eq!(TileLevel::new(8), Err(KeyError::TileLevel(8)));
        assert_eq!(TileLevel::new(255), Err(KeyError::TileLevel(255)));
        assert_eq!(TileLevel::all().count(), 8);
    }

    #[test]
    fn a_range_holds_its_kind_and_no_neighbour() {
        let (log, next) = (LogId::new(7), LogId::new(8));
        let all = KeyRange::all(log, Kind::Bundle);
        for inside in [Key::only(log, Kind::Bundle), Key::suffixed(log, Kind::Bundle, &[0xff; SUFFIX_MAX])] {
            assert!(all.contains(&inside));
        }
        for outside in [Key::only(log, Kind::Piece), Key::numbered(log, Kind::Binding, u64::MAX)] {
            assert!(!all.contains(&outside));
        }
        assert!(!all.contains(&Key::only(next, Kind::Bundle)));
        let some = KeyRange::numbers(log, Kind::Bundle, 3..5);
        let inside: Vec<_> = (0..9).filter(|&n| some.contains(&Key::numbered(log, Kind::Bundle, n))).collect();
        assert_eq!(inside, [3, 4]);
        assert!(KeyRange::numbers(log, Kind::Bundle, 5..5).is_empty());
        assert_eq!((all.kind(), some.kind()), (Some(Kind::Bundle), Some(Kind::Bundle)));
        let two = KeyRange::between(&Key::only(log, Kind::Bundle)..&Key::numbered(log, Kind::Piece, 0));
        assert_eq!(two.kind(), None);
        assert_eq!(KeyRange::between(&Key::only(log, Kind::Bundle)..&Key::only(next, Kind::Bundle)).kind(), None);
        assert_eq!(some.starting_at(&Key::numbered(log, Kind::Bundle, 4)), KeyRange::numbers(log, Kind::Bundle, 4..5));
        assert_eq!(some.starting_at(&Key::only(log, Kind::Bundle)), some);
        assert_eq!(some.ending_at(&Key::numbered(log, Kind::Bundle, 4)), KeyRange::numbers(log, Kind::Bundle, 3..4));
        assert_eq!((some.ending_at(&Key::only(next, Kind::Bundle)), some.end_number()), (some.clone(), Some(5)));
        let rest = KeyRange::from_key(Key::numbered(log, Kind::Bundle, u64::MAX));
        assert!(rest.contains(&Key::numbered(log, Kind::Bundle, u64::MAX)));
        assert!(!rest.contains(&Key::only(log, Kind::Piece)));
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert_eq!(Key::parse(&[]), Err(KeyError::Length(0)));
        assert_eq!(Key::parse(&[2, 0, 0, 0, 1, 1]), Err(KeyError::Format(2)));
        assert_eq!(Key::parse(&[1, 0, 0, 0, 1, 0x48]), Err(KeyError::Kind(0x48)));
        assert_eq!(Key::parse(&[1; 63]), Err(KeyError::Length(63)));
    }
}
