//! A run: leaf hashes of a range of a log, sorted, in buckets by their first bits.
//!
//! Hashes are spread evenly, so the bucket that could have one is known without looking, and one read answers. A record
//! is eight bytes of the hash and a six-byte offset from the run's start.

use cairn_tree::hash::Hash;
use cairn_tree::size::LeafIndex;
use cairn_tree::store::{Key, Kind, LogId, Store};

use crate::engine::stored::{ReadError, Stored, WIDTH};

/// The bytes of a hash that stand in a record.
const PRINT: usize = 8;
/// The bytes of an offset.
const OFFSET: usize = 6;
const RECORD: usize = PRINT + OFFSET;
/// Records per bucket, on average; a bucket is read whole.
const BUCKET_RECORDS: u64 = 64;
/// The bytes of a run's id and a bucket's number.
const SUFFIX: usize = 12;

/// Where a run stands; its buckets are rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) id: u64,
    /// The first leaf's index.
    pub(super) start: u64,
    /// One past the last leaf's index.
    pub(super) end: u64,
    /// How many of a hash's first bits choose its bucket.
    pub(super) bits: u8,
}

/// One leaf, as a run remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    pub(super) print: u64,
    pub(super) index: u64,
}

impl Record {
    pub(super) fn new(leaf: &Hash, index: LeafIndex) -> Self {
        Self { print: Self::print_of(leaf), index: index.get() }
    }

    /// The part of a hash that stands in a record.
    pub(super) fn print_of(leaf: &Hash) -> u64 {
        leaf.as_bytes().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }
}

impl Run {
    /// The bytes of one leaf in a run.
    pub(super) const RECORD_BYTES: usize = RECORD;
    /// A bucket's number has four bytes.
    pub(super) const MAX_BITS: u8 = 32;

    /// A run of this range, with as many buckets as fit it.
    pub(super) fn new(id: u64, start: u64, end: u64) -> Self {
        let buckets = ((end - start) / BUCKET_RECORDS).max(1);
        Self { id, start, end, bits: (buckets.ilog2() as u8).min(Self::MAX_BITS) }
    }

    pub(super) fn buckets(&self) -> u64 {
        1 << self.bits
    }

    pub(super) fn bucket_of(&self, print: u64) -> u64 {
        print.checked_shr(u64::BITS - u32::from(self.bits)).unwrap_or(0)
    }

    pub(super) fn key(&self, log: LogId, bucket: u64) -> Key {
        let mut suffix = [0; SUFFIX];
        let (id, number) = suffix.split_at_mut(8);
        id.copy_from_slice(&self.id.to_be_bytes());
        number.copy_from_slice(&(bucket as u32).to_be_bytes());
        Key::suffixed(log, Kind::IndexRun, &suffix)
    }

    /// The first key that a run with this id or a higher one can have.
    pub(super) fn first_key(log: LogId, id: u64) -> Key {
        Self { id, start: 0, end: 0, bits: 0 }.key(log, 0)
    }

    /// The rows of sorted records that fill whole buckets; empty buckets have no row.
    pub(super) fn rows(&self, log: LogId, sorted: &[Record]) -> Vec<(Key, Vec<u8>)> {
        let bucket = |record: &Record| self.bucket_of(record.print);
        let chunks = sorted.chunk_by(|one, next| bucket(one) == bucket(next));
        chunks.filter_map(|records| Some((self.key(log, bucket(records.first()?)), self.encode(records)))).collect()
    }

    fn encode(&self, records: &[Record]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(records.len() * RECORD);
        for record in records {
            let offset = (record.index - self.start).to_be_bytes();
            bytes.extend_from_slice(&record.print.to_be_bytes());
            bytes.extend_from_slice(offset.last_chunk::<OFFSET>().map_or(&[], |low| low.as_slice()));
        }
        bytes
    }

    /// The records of a bucket's row; damaged ones are only ever candidates.
    pub(super) fn decode(&self, row: &[u8]) -> impl Iterator<Item = Record> {
        let start = self.start;
        row.as_chunks::<RECORD>().0.iter().filter_map(move |record| {
            let print = u64::from_be_bytes(*record.first_chunk()?);
            let low = record.last_chunk::<OFFSET>()?;
            let offset = low.iter().fold(0, |offset, byte| offset << 8 | u64::from(*byte));
            Some(Record { print, index: start.checked_add(offset)? })
        })
    }

    /// Overwrites `found` where this run has a leaf, after comparing the whole hash with the log's own tile.
    pub(super) fn find_many(
        &self,
        store: &dyn Store,
        stored: &Stored<'_>,
        leaves: &[Hash],
        found: &mut [Option<LeafIndex>],
    ) -> Result<(), ReadError> {
        let keys: Vec<Key> =
            leaves.iter().map(|leaf| self.key(stored.log(), self.bucket_of(Record::print_of(leaf)))).collect();
        let rows = store.get_many(&keys)?;
        for ((leaf, row), found) in leaves.iter().zip(rows).zip(found) {
            let Some(row) = row else { continue };
            let print = Record::print_of(leaf);
            for record in self.decode(&row).filter(|record| record.print == print) {
                let in_run = (self.start..self.end).contains(&record.index);
                if in_run && is_leaf(stored, record.index, leaf)? {
                    *found = LeafIndex::new(record.index).ok();
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Whether the log's leaf at `index` has this hash. Runs cover full tiles only.
fn is_leaf(stored: &Stored<'_>, index: u64, leaf: &Hash) -> Result<bool, ReadError> {
    let tile = stored.tile(0, index / WIDTH)?;
    Ok(tile.get((index % WIDTH) as usize) == Some(leaf))
}
