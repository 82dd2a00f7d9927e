//! One log's entries and tiles as the store holds them.
//!
//! Every read is bounded by a size that the caller knows to be committed. Nothing is trusted because of where it was
//! found: counts and lengths are checked here, hashes by whoever asks.

use core::ops::{ControlFlow, Range};

use cairn_tree::hash::Hash;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::statement::reserved_prefix;
use cairn_tree::store::{Key, KeyRange, Kind, LogId, Store, StoreError, TileLevel};
use cairn_tree::tile::{Entries, Width};

use super::bounds::{AHEAD_BYTES, BUNDLE_PART_BYTES, UNDO_ROWS};
use super::growing::{GrowingTree, perfect_root, root_of, width};
use super::layout::RowError;

/// Entries per bundle and hashes per tile, as the unit of indexes.
pub(super) const WIDTH: u64 = TILE_WIDTH as u64;
/// The same, as the length of lists.
const TILE_WIDTH: usize = Width::FULL.get();

/// The bytes of a length before an entry.
const PREFIX: usize = 2;
/// What records begin with.
pub(super) const RECORD: &str = "cairn.record/";

/// Why a log's data could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The engine failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row is there but is not what it must be.
    #[error(transparent)]
    Row(#[from] RowError),
    /// Something that was committed is missing or does not fit.
    #[error("log {log}: {place} is missing or damaged: {problem}")]
    Damaged {
        /// Whose.
        log: LogId,
        /// What: a bundle, a piece, a tile, by number.
        place: String,
        /// How.
        problem: String,
        /// An entry that can't be read because of it, where that is known.
        entry: Option<LeafIndex>,
    },
}

impl ReadError {
    /// Whether the store failed, so that nothing is known of what is there; else what is there is damaged.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        matches!(self, Self::Store(StoreError::Io(_)))
    }

    /// An entry that can't be read because of it, where that is known.
    #[must_use]
    pub const fn entry(&self) -> Option<LeafIndex> {
        match self {
            Self::Damaged { entry, .. } => *entry,
            Self::Store(_) | Self::Row(_) => None,
        }
    }

    /// The same where an entry was read. That the store failed stays what it is.
    #[must_use]
    pub fn of_entry(self, log: LogId, index: LeafIndex) -> Self {
        let entry = Some(index);
        match self {
            Self::Damaged { log, place, problem, entry: None } => Self::Damaged { log, place, problem, entry },
            Self::Store(StoreError::Corrupt(problem)) => {
                Self::Damaged { log, place: format!("entry {index}"), problem, entry }
            }
            other => other,
        }
    }
}

/// A log within a store.
#[derive(Clone, Copy)]
pub(super) struct Stored<'a> {
    store: &'a dyn Store,
    log: LogId,
}

impl<'a> Stored<'a> {
    /// Looks at `log`.
    #[must_use]
    pub(super) fn new(store: &'a dyn Store, log: LogId) -> Self {
        Self { store, log }
    }

    /// Whose rows these are.
    #[must_use]
    pub(super) fn log(&self) -> LogId {
        self.log
    }

    /// The key of a bundle.
    #[must_use]
    pub(super) fn bundle_key(&self, number: u64) -> Key {
        Key::numbered(self.log, Kind::Bundle, number)
    }

    /// The key of the piece whose first entry has this index.
    #[must_use]
    pub(super) fn piece_key(&self, first: u64) -> Key {
        Key::numbered(self.log, Kind::Piece, first)
    }

    /// The key of a full tile; `None` above the highest level.
    #[must_use]
    pub(super) fn tile_key(&self, level: u8, number: u64) -> Option<Key> {
        Some(Key::numbered(self.log, Kind::Tile(TileLevel::new(level).ok()?), number))
    }

    /// The first `width` entries of a bundle, encoded; from its row or, while it is unfinished, from its pieces.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] if they are not all there.
    pub(super) fn bundle(&self, number: u64, width: usize) -> Result<Vec<u8>, ReadError> {
        // Pieces outlive the commit that writes their bundle: should that bundle be damaged before it is released, what
        // was released from it is still in them.
        if width < TILE_WIDTH
            && let Some(pieces) = self.pieces(number, width)?
        {
            return Ok(pieces);
        }
        if let Some(whole) = self.whole(number)? {
            return self.cut(number, whole, width);
        }
        if let Some(pieces) = self.pieces(number, width)? {
            return Ok(pieces);
        }
        // The bundle may have been finished, and its pieces deleted, between the reads.
        let whole = self.whole(number)?.ok_or_else(|| self.damaged("bundle", number, "no row"))?;
        self.cut(number, whole, width)
    }

    /// A finished bundle, from its row or its parts.
    fn whole(&self, number: u64) -> Result<Option<Vec<u8>>, ReadError> {
        match self.store.get(&self.bundle_key(number))? {
            None => {
                let range = KeyRange::numbers(self.log, Kind::BundlePart, number * WIDTH..(number + 1) * WIDTH);
                let parts: Vec<Vec<u8>> =
                    self.store.scan(&range, TILE_WIDTH)?.into_iter().map(|(_, part)| part).collect();
                // In one piece of memory of its length.
                Ok((!parts.is_empty()).then(|| parts.concat()))
            }
            whole => Ok(whole),
        }
    }

    /// The rows of a bundle that is finished: one, or its parts if it has records and is long.
    #[must_use]
    pub(super) fn bundle_rows(&self, number: u64, encoded: Vec<u8>) -> Vec<(Key, Vec<u8>)> {
        let is_record = |entry: &[u8]| reserved_prefix(entry) == Some(RECORD);
        let entries = Entries::parse_bundle(&encoded, Width::FULL).ok();
        let entries = entries.filter(|entries| encoded.len() > BUNDLE_PART_BYTES && entries.iter().any(is_record));
        let Some(entries) = entries else { return vec![(self.bundle_key(number), encoded)] };
        let mut parts: Vec<(Key, Vec<u8>)> = Vec::new();
        for (index, entry) in (number * WIDTH..).zip(entries.iter()) {
            let key = Key::numbered(self.log, Kind::BundlePart, index);
            match parts.last_mut() {
                Some((last, part)) if part.len() + PREFIX + entry.len() <= BUNDLE_PART_BYTES => {
                    *last = key;
                    // It had a length before.
                    let _ = Entries::encode(entry, part);
                }
                _ => {
                    let mut part = Vec::with_capacity(BUNDLE_PART_BYTES);
                    let _ = Entries::encode(entry, &mut part);
                    parts.push((key, part));
                }
            }
        }
        parts
    }

    /// The entry at `index`, if it stands in a part of its bundle: for a log with records, of which single ones are read.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] if the part is not one.
    pub(super) fn entry_in_part(&self, index: LeafIndex) -> Result<Option<Vec<u8>>, ReadError> {
        let end = (index.get() / WIDTH + 1) * WIDTH;
        let range = KeyRange::numbers(self.log, Kind::BundlePart, index.get()..end);
        let Some((key, part)) = self.store.scan(&range, 1)?.pop() else { return Ok(None) };
        self.entry_of_part(index, &key, &part).map(Some)
    }

    /// Those of these entries that stand in parts of their bundles and can be read together, by their indexes, which rise,
    /// up to about as many bytes as are read together. For each of the others nothing is known.
    pub(super) fn entries_in_parts(&self, indexes: &[LeafIndex]) -> Vec<(LeafIndex, Vec<u8>)> {
        let range = |index: &LeafIndex| {
            KeyRange::numbers(self.log, Kind::BundlePart, index.get()..(index.get() / WIDTH + 1) * WIDTH)
        };
        let ranges: Vec<KeyRange> = indexes.iter().map(range).collect();
        let (mut entries, mut bytes) = (Vec::with_capacity(indexes.len()), 0);
        let mut each = |place: usize, key: &Key, part: &[u8]| {
            if let Some(index) = indexes.get(place)
                && let Ok(entry) = self.entry_of_part(*index, key, part)
            {
                bytes += entry.len();
                entries.push((*index, entry));
            }
            if bytes < AHEAD_BYTES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        // What could not be read is not there.
        let _ = self.store.firsts(&ranges, &mut each);
        entries
    }

    /// An entry of the part that it stands in if it stands in one.
    fn entry_of_part(&self, index: LeafIndex, key: &Key, part: &[u8]) -> Result<Vec<u8>, ReadError> {
        let last = key.number().unwrap_or_default();
        let damaged = |problem: &dyn ToString| self.damaged("bundle part", last, problem.to_string());
        let entries = Entries::parse_batch(part, TILE_WIDTH).map_err(|error| damaged(&error))?;
        let after = usize::try_from(last.saturating_sub(index.get())).unwrap_or(TILE_WIDTH);
        let place = entries.len().checked_sub(after + 1);
        // It may begin after the entry only if the one before it is gone.
        let entry =
            place.and_then(|place| entries.get(place)).ok_or_else(|| damaged(&"a part before it is missing"))?;
        Ok(entry.to_vec())
    }

    fn cut(&self, number: u64, mut whole: Vec<u8>, width: usize) -> Result<Vec<u8>, ReadError> {
        let entries =
            Entries::parse_bundle(&whole, Width::FULL).map_err(|error| self.damaged("bundle", number, error))?;
        let cut = entries.slice(0..width).map_or(0, |first| first.as_bytes().len());
        whole.truncate(cut);
        Ok(whole)
    }

    /// The unfinished bundle's entries, if the pieces of the first `width` are all there.
    fn pieces(&self, number: u64, width: usize) -> Result<Option<Vec<u8>>, ReadError> {
        let first = number * WIDTH;
        let range = KeyRange::numbers(self.log, Kind::Piece, first..first + width as u64);
        let rows = self.store.scan(&range, TILE_WIDTH)?;
        let mut encoded = Vec::new();
        let mut count = 0;
        for (key, piece) in rows {
            if key.number() != Some(first + count as u64) {
                return Ok(None);
            }
            let entries =
                Entries::parse_batch(&piece, TILE_WIDTH).map_err(|error| self.damaged("piece", first, error))?;
            // A commit after the caller's head may have brought more than is asked for.
            let wanted = entries.len().min(width - count);
            encoded.extend_from_slice(entries.slice(0..wanted).unwrap_or(entries).as_bytes());
            count += wanted;
        }
        Ok((count == width).then_some(encoded))
    }

    /// The first indexes of the pieces that begin in `range`.
    ///
    /// # Errors
    /// [`ReadError::Store`].
    pub(super) fn piece_firsts(&self, range: Range<u64>) -> Result<Vec<u64>, ReadError> {
        let range = KeyRange::numbers(self.log, Kind::Piece, range);
        let rows = self.store.scan(&range, 2 * TILE_WIDTH)?;
        Ok(rows.iter().filter_map(|(key, _)| key.number()).collect())
    }

    /// The keys of the rows of a kind whose numbers are in `range`.
    ///
    /// # Errors
    /// [`ReadError::Store`].
    pub(super) fn keys(&self, kind: Kind, range: Range<u64>) -> Result<Vec<Key>, ReadError> {
        let mut keys: Vec<Key> = Vec::new();
        let mut from = range.start;
        loop {
            let rows = self.store.scan(&KeyRange::numbers(self.log, kind, from..range.end), UNDO_ROWS)?;
            let Some(last) = rows.last().and_then(|(key, _)| key.number()) else { return Ok(keys) };
            keys.extend(rows.into_iter().map(|(key, _)| key));
            from = last.saturating_add(1);
        }
    }

    /// The leaf hashes of the first `width` entries of a bundle, hashed from the entries.
    ///
    /// # Errors
    /// As [`Stored::bundle`].
    pub(super) fn leaves(&self, number: u64, width: usize) -> Result<Vec<Hash>, ReadError> {
        if width == 0 {
            return Ok(Vec::new());
        }
        let encoded = self.bundle(number, width)?;
        let entries = Entries::parse_batch(&encoded, width).map_err(|error| self.damaged("bundle", number, error))?;
        Ok(entries.leaf_hashes())
    }

    /// Shows the entries in `range`, which are all there, one after another.
    ///
    /// # Errors
    /// As [`Stored::bundle`], and whatever `show` says.
    pub(super) fn each_entry(
        &self,
        range: Range<u64>,
        mut show: impl FnMut(LeafIndex, &[u8]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let mut index = range.start;
        while index < range.end {
            let number = index / WIDTH;
            let end = range.end.min((number + 1) * WIDTH);
            let width = (end - number * WIDTH) as usize;
            let first = LeafIndex::new(index).unwrap_or(LeafIndex::ZERO);
            let encoded = self.bundle(number, width).map_err(|error| error.of_entry(self.log, first))?;
            let damaged =
                |problem: &dyn ToString| self.damaged("bundle", number, problem.to_string()).of_entry(self.log, first);
            let entries = Entries::parse_batch(&encoded, width).map_err(|error| damaged(&error))?;
            for (index, entry) in (index..end).zip(entries.iter().skip((index % WIDTH) as usize)) {
                show(LeafIndex::new(index).map_err(|error| damaged(&error))?, entry)?;
            }
            index = end;
        }
        Ok(())
    }

    /// The hashes of a full tile.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] if it is not there.
    pub(super) fn tile(&self, level: u8, number: u64) -> Result<Vec<Hash>, ReadError> {
        Ok(self.tiles(level, &[number])?.pop().unwrap_or_default())
    }

    /// The hashes of full tiles of one level, in the order of `numbers`.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] if one is not there.
    pub(super) fn tiles(&self, level: u8, numbers: &[u64]) -> Result<Vec<Vec<Hash>>, ReadError> {
        let place = || format!("tile of level {level}, number");
        let keys: Option<Vec<Key>> = numbers.iter().map(|number| self.tile_key(level, *number)).collect();
        let keys = keys.ok_or_else(|| self.damaged(&place(), 0, "no such level"))?;
        let rows = self.store.get_many(&keys)?;
        let hashes = |(row, number): (Option<Vec<u8>>, &u64)| {
            let row = row.ok_or_else(|| self.damaged(&place(), *number, "no row"))?;
            tile_hashes(&row).ok_or_else(|| self.damaged(&place(), *number, format!("{} bytes", row.len())))
        };
        rows.into_iter().zip(numbers).map(hashes).collect()
    }

    /// The tree's right edge at `size`: read from full tiles, and hashed from the entries of the last bundle.
    ///
    /// Costs at most 255 tiles per level, whatever the size of the tree.
    ///
    /// # Errors
    /// As [`Stored::bundle`] and [`Stored::tile`].
    pub(super) fn growing(&self, size: TreeSize) -> Result<GrowingTree, ReadError> {
        let mut edge = vec![self.leaves(size.get() / WIDTH, width(size, 0))?];
        for level in 1..8_u8 {
            let open = width(size, usize::from(level));
            let hashes_there = size.get().checked_shr(u32::from(level) * 8).unwrap_or(0);
            let first = hashes_there - open as u64;
            let below: Vec<u64> = (first..hashes_there).collect();
            let tiles = self.tiles(level - 1, &below)?;
            edge.push(tiles.iter().map(|hashes| perfect_root(hashes)).collect());
        }
        GrowingTree::from_edge(size, edge).ok_or_else(|| self.damaged("edge at size", size.get(), "widths"))
    }

    /// The root at `size` by what the head row says of the full bundles: a few reads, and no tile. Whether it is right is
    /// for the caller to see.
    ///
    /// # Errors
    /// As [`Stored::bundle`].
    pub(super) fn root_by(&self, size: TreeSize, nodes: Vec<Hash>) -> Result<Option<Hash>, ReadError> {
        Ok(root_of(size, nodes, &self.leaves(size.get() / WIDTH, width(size, 0))?))
    }

    /// The error for something of this log.
    pub(super) fn damaged(&self, what: &str, number: u64, problem: impl ToString) -> ReadError {
        let (place, problem) = (format!("{what} {number}"), problem.to_string());
        ReadError::Damaged { log: self.log, place, problem, entry: None }
    }
}

/// The hashes of a full tile's bytes.
#[must_use]
pub(super) fn tile_hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<{ Hash::LEN }>();
    (rest.is_empty() && hashes.len() == TILE_WIDTH).then(|| hashes.iter().copied().map(Hash::new).collect())
}

#[cfg(test)]
mod tests {
    use cairn_tree::store::Batch;
    use cairn_tree::store::memory::MemoryStore;

    use super::*;

    const LOG: LogId = LogId::new(1);

    /// A bundle of entries of these lengths, in the second place of its log.
    fn bundle(lengths: impl Fn(usize) -> usize) -> (Vec<Vec<u8>>, Vec<u8>) {
        let entry = |place: usize| {
            let mut entry = RECORD.as_bytes().to_vec();
            entry.resize(RECORD.len() + lengths(place), place as u8);
            entry
        };
        let entries: Vec<Vec<u8>> = (0..TILE_WIDTH).map(entry).collect();
        let mut encoded = Vec::new();
        entries.iter().for_each(|entry| Entries::encode(entry, &mut encoded).unwrap());
        (entries, encoded)
    }

    #[test]
    fn a_bundle_in_parts_is_the_same_again_and_each_entry_is_in_one() {
        let lengths: [fn(usize) -> usize; 3] = [|_| 800, |place| place * 131 % 5_000, |place| 60_000 * (place % 2)];
        for lengths in lengths {
            let (entries, encoded) = bundle(lengths);
            let store = MemoryStore::new();
            let stored = Stored::new(&store, LOG);
            let rows = stored.bundle_rows(1, encoded.clone());
            assert!(rows.len() > 1);
            let mut batch = Batch::new();
            rows.iter().for_each(|(key, row)| batch.put(key.clone(), row.clone()));
            store.commit(batch).unwrap();
            for width in [1, 100, 255, 256] {
                let expected = Entries::parse_bundle(&encoded, Width::FULL).unwrap().slice(0..width).unwrap();
                assert_eq!(stored.bundle(1, width).unwrap(), expected.as_bytes());
            }
            let index = |place: usize| LeafIndex::new(WIDTH + place as u64).unwrap();
            for (place, entry) in entries.iter().enumerate() {
                assert_eq!(stored.entry_in_part(index(place)), Ok(Some(entry.clone())));
            }
            assert_eq!(stored.entry_in_part(LeafIndex::new(3).unwrap()), Ok(None));
            assert_eq!(stored.keys(Kind::BundlePart, WIDTH..2 * WIDTH).unwrap().len(), rows.len());
            // One is gone: neither its entries nor the bundle are there, nor are others in their places.
            let mut batch = Batch::new();
            batch.delete(rows[1].0.clone());
            store.commit(batch).unwrap();
            assert!(stored.bundle(1, TILE_WIDTH).is_err());
            let lost = rows[1].0.number().unwrap() - WIDTH;
            assert!(stored.entry_in_part(index(lost as usize)).is_err());
            assert_eq!(stored.entry_in_part(index(0)), Ok(Some(entries[0].clone())));
        }
    }

    #[test]
    fn short_bundles_and_those_without_records_are_one_row() {
        let store = MemoryStore::new();
        let stored = Stored::new(&store, LOG);
        let (_, short) = bundle(|_| 40);
        let mut raw = Vec::new();
        (0..TILE_WIDTH).for_each(|_| Entries::encode(&[7; 1_000], &mut raw).unwrap());
        for encoded in [short, raw] {
            assert_eq!(stored.bundle_rows(9, encoded.clone()), [(stored.bundle_key(9), encoded)]);
        }
    }
}
