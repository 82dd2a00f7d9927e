//! Prints: what the postings know of a value. A print is keyed with a secret of its log, so that the runs tell nobody who
//! lacks the secret which values there are; equal values have equal prints, and other than by chance in 2^60 no others do.
//!
//! The first byte is the facet's code. So all prints of a facet stand together, and filters are kept for those facets only
//! that every append asks for.

use core::fmt;
use core::hash::Hasher as _;

use cairn_tree::store::{Key, Kind, LogId, Store};
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::engine::layout::RowError;
use crate::engine::stored::ReadError;

const ROW: &str = "print secret";
const VERSION: u8 = 1;
/// The bits of a print that are not its facet's code.
const HASHED: u32 = 120;

/// What a value is in a record. The codes are on disk and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Facet {
    /// The stream's name, the whole of it.
    StreamName,
    /// The record's id.
    RecordId,
    /// The stream's id.
    StreamId,
    /// The object's tenant.
    Tenant,
    /// The object's module.
    Module,
    /// The object's entity name.
    Entity,
    /// The object's id.
    Object,
    /// What was done.
    Operation,
    /// Which action that was.
    Action,
    /// The action's category.
    Category,
    /// Who did it.
    Actor,
    /// A data subject.
    Subject,
    /// The correlation id.
    Correlation,
    /// The transaction code.
    Transaction,
    /// A topic of the stream.
    Topic,
}

impl Facet {
    /// All of them, in order of their codes.
    pub const ALL: [Self; 15] = [
        Self::StreamName,
        Self::RecordId,
        Self::StreamId,
        Self::Tenant,
        Self::Module,
        Self::Entity,
        Self::Object,
        Self::Operation,
        Self::Action,
        Self::Category,
        Self::Actor,
        Self::Subject,
        Self::Correlation,
        Self::Transaction,
        Self::Topic,
    ];

    const fn code(self) -> u8 {
        match self {
            // Those that have filters come first: they are the beginning of every run.
            Self::StreamName => 1,
            Self::RecordId => 2,
            Self::StreamId => 3,
            Self::Tenant => 4,
            Self::Module => 5,
            Self::Entity => 6,
            Self::Object => 7,
            Self::Operation => 8,
            Self::Action => 9,
            Self::Category => 10,
            Self::Actor => 11,
            Self::Subject => 12,
            Self::Correlation => 13,
            Self::Transaction => 14,
            Self::Topic => 15,
        }
    }
}

/// The highest code of a facet whose prints have filters: stream names and record ids, which every append looks up.
const FILTERED: u8 = Facet::RecordId.code();

/// A facet's value, as the postings know it. Ordered as its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Print(u128);

impl Print {
    /// The length on disk.
    pub(super) const LEN: usize = 16;
    /// Past the last print that has a filter.
    pub(super) const UNFILTERED: Self = Self(((FILTERED + 1) as u128) << HASHED);

    /// The print of a value in parts, each with its length before it: no two different lists of parts are one value.
    #[must_use]
    pub fn new(secret: &PrintSecret, facet: Facet, parts: &[&str]) -> Self {
        let mut hasher = SipHasher24::new_with_key(&secret.0);
        hasher.write(&[facet.code()]);
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part.as_bytes());
        }
        let hash = hasher.finish128().as_u128();
        Self(hash << (u128::BITS - HASHED) >> (u128::BITS - HASHED) | u128::from(facet.code()) << HASHED)
    }

    pub(super) const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    pub(super) const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0.to_be_bytes()
    }

    pub(in crate::engine) const fn get(self) -> u128 {
        self.0
    }

    /// Whether it is the print of a value of this facet.
    pub(in crate::engine) const fn is_of(self, facet: Facet) -> bool {
        self.0 >> HASHED == facet.code() as u128
    }

    /// Whether runs have this print in their filters.
    pub(super) fn is_filtered(self) -> bool {
        self < Self::UNFILTERED
    }
}

impl fmt::Debug for Print {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Print({:032x})", self.0)
    }
}

/// The key of a log's prints. Whoever has it can try out which values a log has.
#[derive(Clone, PartialEq, Eq)]
pub struct PrintSecret([u8; Self::LEN]);

impl PrintSecret {
    /// The length in bytes.
    pub const LEN: usize = 16;

    /// Wraps bytes that the caller drew at random.
    #[must_use]
    pub const fn new(random: [u8; Self::LEN]) -> Self {
        Self(random)
    }

    pub(super) const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for PrintSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrintSecret(..)")
    }
}

/// The row that a log gets with its first record, in the same commit: without it the log has no postings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrintRow {
    /// The key of its prints.
    pub secret: PrintSecret,
    /// The index of its first record: no leaf before it has postings.
    pub first: u64,
}

impl PrintRow {
    /// The one key.
    #[must_use]
    pub fn key(log: LogId) -> Key {
        Key::only(log, Kind::PrintSecret)
    }

    /// The bytes: version, secret, first index, checksum. A secret that is not the one of the runs would find nothing.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.secret.0);
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes
    }

    /// Reads a log's row, if it has one.
    ///
    /// # Errors
    /// [`ReadError`] if it can't be read, or is not what [`PrintRow::encode`] wrote.
    pub fn read(store: &dyn Store, log: LogId) -> Result<Option<Self>, ReadError> {
        let Some(row) = store.get(&Self::key(log))? else { return Ok(None) };
        let damaged = || RowError { row: ROW, problem: "it is not one that this program writes".to_owned() };
        Ok(Some(Self::decode(&row).ok_or_else(damaged)?))
    }

    /// Reads what [`PrintRow::encode`] wrote; `None` for anything else.
    #[must_use]
    pub fn decode(row: &[u8]) -> Option<Self> {
        let (body, sum) = row.split_last_chunk()?;
        if crc32fast::hash(body) != u32::from_be_bytes(*sum) {
            return None;
        }
        let (version, rest) = body.split_first()?;
        let (secret, rest) = rest.split_first_chunk()?;
        let first = u64::from_be_bytes(rest.try_into().ok()?);
        (*version == VERSION).then_some(Self { secret: PrintSecret(*secret), first })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The codes and the hashing are on disk: what they give once, they give for ever. The prints were computed by another
    /// implementation of SipHash.
    #[test]
    fn prints_are_what_they_were() {
        let secret = PrintSecret::new(core::array::from_fn(|at| at as u8));
        let codes: Vec<u8> = Facet::ALL.map(Facet::code).into();
        assert_eq!(codes, (1..=15).collect::<Vec<u8>>());
        let print = |facet, parts: &[&str]| format!("{:?}", Print::new(&secret, facet, parts));
        assert_eq!(print(Facet::Tenant, &["pb"]), "Print(04126cf37d2d18377de2ae643883b4b3)");
        assert_eq!(print(Facet::RecordId, &[""]), "Print(02aec48b75594770467a1be05d7ae014)");
    }

    #[test]
    fn no_two_values_facets_or_secrets_share_a_print() {
        let mut seen = BTreeSet::new();
        for secret in [[0; 16], [1; 16]].map(PrintSecret::new) {
            for facet in Facet::ALL {
                for parts in [&[][..], &[""], &["", ""], &["ab"], &["a", "b"], &["ab", ""], &["", "ab"]] {
                    let print = Print::new(&secret, facet, parts);
                    assert_eq!(print.to_bytes()[0], facet.code());
                    assert_eq!(Print::from_bytes(print.to_bytes()), print);
                    assert!(seen.insert(print), "{facet:?} {parts:?}");
                }
            }
        }
        assert_eq!(seen.iter().filter(|print| print.is_filtered()).count(), seen.len() / 15 * 2);
    }

    #[test]
    fn a_damaged_secret_is_no_secret() {
        let row = PrintRow { secret: PrintSecret::new([7; 16]), first: 300 };
        let whole = row.encode();
        assert_eq!(PrintRow::decode(&whole), Some(row));
        for at in 0..whole.len() {
            assert_eq!(PrintRow::decode(&whole[..at]), None);
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                assert_eq!(PrintRow::decode(&flipped), None);
            }
        }
    }
}
