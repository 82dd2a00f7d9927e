//! Reading records back: a leaf, and what is kept of its disclosures. Nothing here is verified; that is for whoever opens
//! them (`cairn_tree::record::open`).

use core::ops::{ControlFlow, Range};

use bytes::Bytes;
use cairn_tree::record::disclosure::Disclosures;
use cairn_tree::record::leaf::{Entry, Leaf};
use cairn_tree::size::LeafIndex;
use cairn_tree::store::{Key, KeyRange, Kind, LogId, Store};

use super::secret::print_row;
use crate::engine::Log;
use crate::engine::bounds::{AHEAD_BYTES, AHEAD_RECORDS};
use crate::engine::head::Head;
use crate::engine::layout::DisclosuresRow;
use crate::engine::stored::{ReadError, Stored};

/// An entry, and what is kept of its disclosures: none of an entry that is no record, nor of a record of which all was
/// erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Where it is.
    pub index: LeafIndex,
    /// The entry.
    pub leaf: Bytes,
    /// The disclosures.
    pub disclosures: Disclosures,
}

/// An entry that can't be read, since what is stored there is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Where it is.
    pub index: LeafIndex,
    /// Why not; never that the store failed, of which nothing follows.
    pub error: ReadError,
}

impl StoredRecord {
    /// The bytes of both.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.leaf.len().saturating_add(self.disclosures.as_str().len())
    }
}

impl Log {
    /// An entry with its disclosures; `None` past the head.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn stored_record(&self, head: &Head, index: LeafIndex) -> Result<Option<StoredRecord>, ReadError> {
        self.stored_records(head, &[index], 0)?.pop().transpose().map_err(|unreadable| unreadable.error)
    }

    /// Entries with their disclosures, in the order of `indexes`; fewer if they pass `most` bytes or the head, but at least
    /// one if the first one is there. One that is damaged does not keep the others from being read; disclosures that are,
    /// are not there.
    ///
    /// # Errors
    /// [`ReadError::Store`] if the store failed.
    pub fn stored_records(
        &self,
        head: &Head,
        indexes: &[LeafIndex],
        most: usize,
    ) -> Result<Vec<Result<StoredRecord, Unreadable>>, ReadError> {
        let mut rows = Rows::new(&*self.running.reader.store, self.shared.info.id);
        let mut found: Vec<Result<StoredRecord, Unreadable>> = Vec::new();
        let mut bytes = 0_usize;
        for indexes in indexes.chunks(AHEAD_RECORDS) {
            let mut ahead = Ahead::read(self, head, indexes);
            for index in indexes {
                let leaf = match ahead.entry(*index).map_or_else(|| self.entry(head, *index), |leaf| Ok(Some(leaf))) {
                    Ok(Some(leaf)) => leaf,
                    Ok(None) => return Ok(found),
                    Err(error) if error.is_failure() => return Err(error),
                    Err(error) => {
                        found.push(Err(Unreadable { index: *index, error }));
                        continue;
                    }
                };
                let disclosures = ahead.take_disclosures(*index).map_or_else(|| rows.disclosures(*index), Ok);
                let disclosures = match disclosures {
                    Err(error) if error.is_failure() => return Err(error),
                    disclosures => disclosures.unwrap_or_else(|_| Disclosures::none()),
                };
                bytes = bytes.saturating_add(leaf.len()).saturating_add(disclosures.as_str().len());
                if bytes > most && !found.is_empty() {
                    return Ok(found);
                }
                found.push(Ok(StoredRecord { index: *index, leaf, disclosures }));
            }
        }
        Ok(found)
    }
}

impl Log {
    /// Hands on the records of this version among the entries in a range, which is below the head, with what is kept of
    /// their disclosures; disclosures that are damaged are not there.
    ///
    /// # Errors
    /// [`ReadError`] if an entry can't be read, or the store failed.
    pub fn each_record(&self, range: Range<u64>, each: &mut dyn FnMut(StoredRecord)) -> Result<(), ReadError> {
        let (store, log) = (&*self.running.reader.store, self.shared.info.id);
        let Some(row) = print_row(store, log)? else { return Ok(()) };
        let mut rows = Rows::new(store, log);
        Stored::new(store, log).each_entry(range.start.max(row.first)..range.end, |index, entry| {
            if !matches!(Leaf::classify(entry), Ok(Entry::Record(_))) {
                return Ok(());
            }
            let disclosures = match rows.disclosures(index) {
                Err(error) if error.is_failure() => return Err(error),
                disclosures => disclosures.unwrap_or_else(|_| Disclosures::none()),
            };
            each(StoredRecord { index, leaf: Bytes::copy_from_slice(entry), disclosures });
            Ok(())
        })
    }

    /// Lets go of what is in memory of the store's files, so that the next reads are of these.
    pub fn forget_blocks(&self) {
        self.running.rocks.forget_blocks();
    }
}

/// What could be read of some records at once, by their indexes, which rise. Whatever is not here is read by itself, which
/// tells why not.
#[derive(Default)]
struct Ahead {
    entries: Vec<(LeafIndex, Bytes)>,
    disclosures: Vec<(LeafIndex, Option<Disclosures>)>,
}

impl Ahead {
    fn read(log: &Log, head: &Head, indexes: &[LeafIndex]) -> Self {
        if indexes.len() < 2 {
            return Self::default();
        }
        let mut sorted = indexes.to_vec();
        sorted.sort_unstable();
        let (reader, id) = (&log.running.reader, log.shared.info.id);
        let entries = reader.records(&log.shared, head, &sorted);
        let entries = entries.into_iter().map(|(index, entry)| (index, entry.into())).collect();
        let range = |index: &LeafIndex| KeyRange::from_key(Key::numbered(id, Kind::Disclosures, index.get()));
        let ranges: Vec<KeyRange> = sorted.iter().map(range).collect();
        let (mut disclosures, mut bytes) = (Vec::with_capacity(sorted.len()), 0);
        let mut each = |place: usize, key: &Key, row: &[u8]| {
            if let Some(index) = sorted.get(place)
                && let Ok(found) = DisclosuresRow::find(key, row, *index)
            {
                let found = found.unwrap_or_else(Disclosures::none);
                bytes += found.as_str().len();
                disclosures.push((*index, Some(found)));
            }
            if bytes < AHEAD_BYTES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        // What could not be read is not there.
        let _ = reader.store.firsts(&ranges, &mut each);
        Self { entries, disclosures }
    }

    fn entry(&self, index: LeafIndex) -> Option<Bytes> {
        let place = self.entries.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        self.entries.get(place).map(|(_, entry)| entry.clone())
    }

    /// Once.
    fn take_disclosures(&mut self, index: LeafIndex) -> Option<Disclosures> {
        let place = self.disclosures.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        self.disclosures.get_mut(place)?.1.take()
    }
}

/// What the first row that may have a record has of it.
fn of_row(row: &DisclosuresRow, index: LeafIndex) -> Result<Disclosures, ReadError> {
    Ok(row.of(index)?.unwrap_or_else(Disclosures::none))
}

/// The rows of a log's disclosures, with the one at hand that was read last.
pub(in crate::engine) struct Rows<'a> {
    store: &'a dyn Store,
    log: LogId,
    /// From which index on it is the first, and the row.
    last: Option<(LeafIndex, DisclosuresRow)>,
}

impl<'a> Rows<'a> {
    /// Looks at a log.
    pub(in crate::engine) fn new(store: &'a dyn Store, log: LogId) -> Self {
        Self { store, log, last: None }
    }

    /// What is kept of a record's disclosures.
    pub(in crate::engine) fn disclosures(&mut self, index: LeafIndex) -> Result<Disclosures, ReadError> {
        let Some(row) = self.row(index)? else { return Ok(Disclosures::none()) };
        of_row(row, index)
    }

    /// Whether anything is kept of a record that was just asked for.
    pub(super) fn has(&self, index: LeafIndex) -> bool {
        self.last.as_ref().is_some_and(|(_, row)| row.packed(index).is_some())
    }

    /// The first row that has a record from this index on.
    fn row(&mut self, index: LeafIndex) -> Result<Option<&DisclosuresRow>, ReadError> {
        let known = |(from, row): &(LeafIndex, DisclosuresRow)| {
            *from <= index && row.indexes().last().is_some_and(|last| index <= last)
        };
        if !self.last.as_ref().is_some_and(known) {
            let range = KeyRange::from_key(Key::numbered(self.log, Kind::Disclosures, index.get()));
            let row = self.store.scan(&range, 1)?.pop();
            let row = row.map(|(key, bytes)| DisclosuresRow::decode(&key, bytes)).transpose()?;
            self.last = row.map(|row| (index, row));
        }
        Ok(self.last.as_ref().map(|(_, row)| row))
    }
}
