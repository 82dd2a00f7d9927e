//! What records disclose, beside the tree: several records of one commit to a row, in the order of their indexes, under the
//! index of the last.
//!
//! Each stands with the id of the key that it is encrypted with; 0 says that it is not. What was erased of a record is not
//! there, nor anything of a record that discloses nothing any more. Not here: whether a disclosure belongs to its record,
//! which its digest tells.

use core::ops::Range;

use cairn_tree::record::disclosure::Disclosures;
use cairn_tree::size::LeafIndex;
use cairn_tree::store::{Key, Kind, LogId};

use super::RowError;
use super::fields::Fields;
use crate::engine::bounds::DISCLOSURE_ROW_BYTES;

const ROW: &str = "disclosures";
const VERSION: u8 = 1;
/// The id of no key.
const PLAIN: u32 = 0;
/// The bytes before a record's disclosures: its index, the encryption key, their length.
const ENTRY: usize = 16;

/// The disclosures of some records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct DisclosuresRow<B = Vec<u8>> {
    /// In the order of their indexes, which are all different.
    kept: Vec<(LeafIndex, Range<usize>)>,
    bytes: B,
}

impl DisclosuresRow {
    /// The key of the row whose last record has this index.
    #[must_use]
    pub(in crate::engine) fn key(log: LogId, last: LeafIndex) -> Key {
        Key::numbered(log, Kind::Disclosures, last.get())
    }
}

/// The records of a row, one after another.
struct Entries<'a> {
    fields: Fields<'a>,
    at: usize,
    before: Option<LeafIndex>,
}

impl<'a> Entries<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, RowError> {
        Ok(Self { fields: Fields::open(ROW, VERSION, bytes)?, at: 1, before: None })
    }

    /// The next record, and where what is kept of it stands.
    fn next(&mut self) -> Result<Option<(LeafIndex, Range<usize>)>, RowError> {
        let fields = &mut self.fields;
        if fields.is_empty() {
            return Ok(None);
        }
        let number = fields.u64()?;
        let index = LeafIndex::new(number).map_err(|error| fields.error(format!("index: {error}")))?;
        if self.before.is_some_and(|before| before >= index) {
            return Err(fields.error(format!("the record {index} stands after a later one")));
        }
        let encryption = fields.u32()?;
        if encryption != PLAIN {
            return Err(fields.error(format!("the record {index} needs the key {encryption}")));
        }
        let length = fields.u32()? as usize;
        fields.bytes(length)?;
        let start = self.at + ENTRY;
        (self.at, self.before) = (start + length, Some(index));
        Ok(Some((index, start..self.at)))
    }
}

impl DisclosuresRow<&[u8]> {
    /// The disclosures of a record, without a look at those behind it: each of those lies in memory that has to be waited for.
    ///
    /// # Errors
    /// [`RowError`] if the row is none as far as it was read, or they are not what was packed.
    pub(in crate::engine) fn find(key: &Key, bytes: &[u8], index: LeafIndex) -> Result<Option<Disclosures>, RowError> {
        let mut entries = Entries::of(bytes)?;
        while let Some((found, place)) = entries.next()? {
            if found == index {
                return unpacked(index, bytes.get(place).unwrap_or_default()).map(Some);
            }
        }
        // Only a row that is what it should be says that nothing is kept.
        DisclosuresRow::decode(key, bytes).map(|_| None)
    }
}

fn unpacked(index: LeafIndex, packed: &[u8]) -> Result<Disclosures, RowError> {
    Disclosures::unpack(packed).map_err(|error| RowError::new(ROW, format!("of the record {index}: {error}")))
}

impl<B: AsRef<[u8]>> DisclosuresRow<B> {
    /// Reads a row of [`RowMaker`].
    ///
    /// # Errors
    /// [`RowError`] for anything else, and for one that does not belong under its key.
    pub(in crate::engine) fn decode(key: &Key, bytes: B) -> Result<Self, RowError> {
        let mut entries = Entries::of(bytes.as_ref())?;
        let mut kept = Vec::new();
        while let Some(entry) = entries.next()? {
            kept.push(entry);
        }
        if kept.last().map(|(last, _)| last.get()) != key.number() {
            return Err(RowError::new(ROW, "it stands under another index than that of its last record"));
        }
        Ok(Self { kept, bytes })
    }

    /// The records that it is of.
    pub(in crate::engine) fn indexes(&self) -> impl Iterator<Item = LeafIndex> + '_ {
        self.kept.iter().map(|(index, _)| *index)
    }

    /// What is kept of a record, packed.
    #[must_use]
    pub(in crate::engine) fn packed(&self, index: LeafIndex) -> Option<&[u8]> {
        let place = self.kept.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        self.bytes.as_ref().get(self.kept.get(place)?.1.clone())
    }

    /// The disclosures of a record.
    ///
    /// # Errors
    /// [`RowError`] if they are not what was packed.
    pub(in crate::engine) fn of(&self, index: LeafIndex) -> Result<Option<Disclosures>, RowError> {
        self.packed(index).map(|packed| unpacked(index, packed)).transpose()
    }
}

/// Fills rows with the disclosures of one commit's records.
#[derive(Debug, Default)]
pub(in crate::engine) struct RowMaker {
    whole: Vec<(LeafIndex, Vec<u8>)>,
    open: Option<(LeafIndex, Vec<u8>)>,
}

impl RowMaker {
    /// Adds a record, whose disclosures are the parts one after another; its index is higher than those before.
    pub(in crate::engine) fn push(&mut self, index: LeafIndex, parts: &[impl AsRef<[u8]>]) {
        let length: usize = parts.iter().map(|part| part.as_ref().len()).sum();
        let fits = |row: &Vec<u8>| row.len() + ENTRY + length <= DISCLOSURE_ROW_BYTES;
        if self.open.as_ref().is_some_and(|(_, row)| !fits(row)) {
            self.whole.extend(self.open.take());
        }
        let begin = || {
            let mut row = Vec::with_capacity(DISCLOSURE_ROW_BYTES.max(1 + ENTRY + length));
            row.push(VERSION);
            (index, row)
        };
        let (last, row) = self.open.get_or_insert_with(begin);
        *last = index;
        row.extend_from_slice(&index.get().to_be_bytes());
        row.extend_from_slice(&PLAIN.to_be_bytes());
        // A record's are at most 4 MiB.
        row.extend_from_slice(&(length as u32).to_be_bytes());
        parts.iter().for_each(|part| row.extend_from_slice(part.as_ref()));
    }

    /// The rows, by the index of the last record of each.
    #[must_use]
    pub(in crate::engine) fn rows(mut self) -> Vec<(LeafIndex, Vec<u8>)> {
        self.whole.extend(self.open.take());
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogId = LogId::new(7);

    fn index(number: u64) -> LeafIndex {
        LeafIndex::new(number).unwrap()
    }

    fn packed(length: usize) -> Vec<u8> {
        let bytes = vec![7; length];
        [&(length as u32).to_be_bytes()[1..], &bytes].concat()
    }

    fn rows(lengths: &[(u64, usize)]) -> Vec<(LeafIndex, Vec<u8>)> {
        let mut maker = RowMaker::default();
        for (number, length) in lengths {
            let packed = packed(*length);
            let (one, other) = packed.split_at(packed.len() / 2);
            maker.push(index(*number), &[one, other]);
        }
        maker.rows()
    }

    #[test]
    fn records_share_rows_up_to_a_bound_and_come_back_from_them() {
        let most = DISCLOSURE_ROW_BYTES;
        let lengths = [(3, 100), (4, 0), (9, most), (10, 1), (11, most / 2), (12, most / 2), (14, 5)];
        let rows = rows(&lengths);
        let lasts: Vec<u64> = rows.iter().map(|(last, _)| last.get()).collect();
        assert_eq!(lasts, [4, 9, 11, 14]);
        for (last, row) in rows {
            assert!(row.len() <= most || last == index(9));
            let row = DisclosuresRow::decode(&DisclosuresRow::key(LOG, last), row).unwrap();
            for found in row.indexes() {
                let length = lengths.iter().find(|(number, _)| *number == found.get()).unwrap().1;
                assert_eq!(row.packed(found), Some(packed(length).as_slice()));
                assert_eq!(row.of(found).unwrap().unwrap().len(), 1);
            }
            assert_eq!(row.of(index(8)), Ok(None));
        }
        assert_eq!(RowMaker::default().rows(), []);
    }

    #[test]
    fn cut_and_changed_rows_are_refused() {
        let (last, row) = rows(&[(3, 10), (4, 20)]).remove(0);
        let decode = |row: &[u8]| DisclosuresRow::decode(&DisclosuresRow::key(LOG, last), row.to_vec());
        assert!(decode(&row).is_ok());
        for cut in 0..row.len() {
            assert!(decode(&row[..cut]).is_err(), "cut at {cut}");
        }
        // The version, the index, the key, the length; then the index of the second one.
        for at in [0, 1, 9, 15, 1 + ENTRY + 13 + 7] {
            let mut damaged = row.clone();
            damaged[at] ^= 0x80;
            assert!(decode(&damaged).is_err(), "byte {at}");
        }
        assert!(DisclosuresRow::decode(&DisclosuresRow::key(LOG, index(5)), row).is_err());
    }
}
