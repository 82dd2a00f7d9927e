//! What the writer knows of one log: its tree with everything that was placed, and the rows that the next commit writes.

use core::ops::Range;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use cairn_tree::size::{LeafIndex, SizeError, TreeSize};
use cairn_tree::store::{Batch, Key};

use super::check::Placed;
use super::handover::Unsigned;
use crate::engine::batch::EntryBatch;
use crate::engine::bounds::TAIL_BYTES;
use crate::engine::growing::{FullTile, GrowingTree};
use crate::engine::head::Shared;
use crate::engine::layout::{DisclosuresRow, HeadRow, LogState, RowMaker};
use crate::engine::stored::{ReadError, Stored, WIDTH};

/// One log, at hand.
pub(super) struct Track {
    pub(super) shared: Arc<Shared>,
    /// The tree with every entry that was placed.
    working: GrowingTree,
    /// Its size with the last commit.
    committed: TreeSize,
    /// The tree with which the log was taken up, until its first commit since takes it along to be checked.
    base: Option<GrowingTree>,
    /// When the last head was made. No record before it is later, and none after it earlier.
    pub(super) time_ms: u64,
    /// When the last record was sequenced, in microseconds; 0 if that is long ago.
    record_us: u64,
    tail: Tail,
    /// Pieces whose bundle was written whole, in the order of the commits that wrote it.
    stale: VecDeque<Stale>,
    pub(super) fresh: Fresh,
}

/// A piece that is to be deleted once the commit that wrote its bundle is released.
struct Stale {
    commit: u64,
    first: u64,
}

/// The unfinished bundle.
#[derive(Default)]
struct Tail {
    /// Its entries, encoded, as far as placed; absent when they were too many to keep.
    encoded: Option<Vec<u8>>,
    /// The first indexes of its pieces in the store.
    pieces: Vec<u64>,
}

/// What was placed since the last commit.
#[derive(Default)]
pub(super) struct Fresh {
    pub(super) bundles: Vec<(u64, Vec<u8>)>,
    pub(super) tiles: Vec<FullTile>,
    /// The part of it that stands in the unfinished bundle.
    piece: Vec<u8>,
    /// Pieces of bundles that were finished.
    finished_pieces: Vec<u64>,
    /// What records disclose.
    rows: RowMaker,
    /// The same as it came in, to be compared with what the store gives back.
    kept: Vec<(LeafIndex, [Bytes; 2])>,
    pub(super) entries: usize,
    pub(super) bytes: usize,
}

/// The commit that a log's rows go with.
#[derive(Clone, Copy)]
pub(super) struct WriteAs {
    pub(super) commit: u64,
    /// The newest commit that is released.
    pub(super) released: u64,
    pub(super) now_ms: u64,
    /// It is the log's last.
    pub(super) seals: bool,
}

/// Where the rows of one commit stand, to read them back.
pub(super) struct Written {
    /// Finished bundles, each with the keys of its rows.
    pub(super) bundles: Vec<(u64, Vec<Key>)>,
    pub(super) piece: Option<u64>,
    pub(super) tiles: Vec<(u8, u64)>,
    /// The last index of each row of disclosures, and what they must hold.
    pub(super) disclosures: Vec<LeafIndex>,
    pub(super) kept: Vec<(LeafIndex, [Bytes; 2])>,
    pub(super) head: HeadRow,
}

impl Track {
    /// Takes up a log whose tree of the last commit is known.
    pub(super) fn new(shared: Arc<Shared>, working: GrowingTree, time_ms: u64) -> Self {
        let committed = working.size();
        let tail = Tail { encoded: (committed.get().is_multiple_of(WIDTH)).then(Vec::new), pieces: Vec::new() };
        let (base, stale, fresh) = (Some(working.clone()), VecDeque::new(), Fresh::default());
        Self { shared, working, committed, base, time_ms, record_us: 0, tail, stale, fresh }
    }

    /// Takes up a log from its rows.
    pub(super) fn load(shared: Arc<Shared>, row: &HeadRow, stored: &Stored<'_>) -> Result<Self, ReadError> {
        let tree = stored.growing(row.size)?;
        if tree.root() != row.root {
            return Err(stored.damaged(
                "the tree at size",
                row.size.get(),
                "its root is not the one that was committed",
            ));
        }
        // Whatever the row says, only pieces are deleted whose bundle is written whole.
        if row.stale.1 > bundle_start(row.size) {
            return Err(stored.damaged("the head row, number", 0, "it would delete pieces that are needed"));
        }
        let mut track = Self::new(shared, tree, row.time_ms);
        // Which of them an earlier commit left is not known: all wait for the last.
        let stale = stored.piece_firsts(row.stale.0..row.stale.1)?.into_iter();
        track.stale = stale.map(|first| Stale { commit: row.commit, first }).collect();
        track.tail.pieces = stored.piece_firsts(bundle_start(row.size)..row.size.get())?;
        Ok(track)
    }

    /// The size with everything that was placed.
    pub(super) fn size(&self) -> TreeSize {
        self.working.size()
    }

    /// The head of the tree with which the log was taken up. Since then nothing may have been placed.
    pub(super) fn unsigned(&mut self) -> Unsigned {
        let (size, root, time_ms) = (self.working.size(), self.working.root(), self.time_ms);
        Unsigned { shared: Arc::clone(&self.shared), size, root, time_ms, edge: Arc::new(self.working.edge()) }
    }

    /// Whether the next commit has something to write.
    pub(super) fn has_fresh(&self) -> bool {
        self.fresh.entries > 0
    }

    /// Whether the unfinished bundle's entries are at hand.
    pub(super) fn has_tail(&self) -> bool {
        self.tail.encoded.is_some()
    }

    /// Makes sure that they are. The store has everything that was placed before.
    pub(super) fn ensure_tail(&mut self, stored: &Stored<'_>) -> Result<(), ReadError> {
        if self.tail.encoded.is_none() {
            let size = self.size().get();
            self.tail.encoded = Some(stored.bundle(size / WIDTH, (size % WIDTH) as usize)?);
        }
        Ok(())
    }

    /// Places the entries at these positions of a batch, in a row. [`Track::ensure_tail`] comes first.
    ///
    /// Returns the index of the first.
    pub(super) fn place(&mut self, batch: &EntryBatch, positions: Range<usize>) -> Result<LeafIndex, SizeError> {
        let first = self.size().next_index()?;
        self.size().plus(positions.len() as u64)?;
        let mut position = positions.start;
        while position < positions.end {
            let room = (WIDTH - self.size().get() % WIDTH) as usize;
            let end = positions.end.min(position + room);
            self.place_in_bundle(batch, position..end)?;
            position = end;
        }
        self.fresh.entries += positions.len();
        Ok(first)
    }

    /// When a record is sequenced, in microseconds, where a clock shows `now_us`: never before the last one or the last
    /// head.
    pub(super) fn record_time(&self, now_us: u64) -> u64 {
        now_us.max(self.record_us).max(self.time_ms.saturating_mul(1_000))
    }

    /// Keeps what a record discloses that has just been placed, after those before it; in two parts, perhaps empty.
    pub(super) fn keep(&mut self, index: LeafIndex, time_us: u64, disclosures: [Bytes; 2]) {
        self.record_us = self.record_us.max(time_us);
        self.fresh.rows.push(index, &disclosures);
        self.fresh.kept.push((index, disclosures));
    }

    /// Places entries that all fit the unfinished bundle, and finishes it when it is full.
    fn place_in_bundle(&mut self, batch: &EntryBatch, positions: Range<usize>) -> Result<(), SizeError> {
        let Self { working, fresh, tail, .. } = self;
        let encoded = batch.encoded(positions.clone());
        let leaves = batch.leaves().get(positions).unwrap_or_default();
        let number = working.size().get() / WIDTH;
        working.extend(leaves, &mut |tile| fresh.tiles.push(tile))?;
        fresh.bytes += encoded.len();
        let bundle = tail.encoded.get_or_insert_default();
        bundle.extend_from_slice(encoded);
        if working.size().get().is_multiple_of(WIDTH) {
            fresh.bundles.push((number, core::mem::take(bundle)));
            fresh.piece.clear();
            fresh.finished_pieces.append(&mut tail.pieces);
        } else {
            fresh.piece.extend_from_slice(encoded);
        }
        Ok(())
    }

    /// Adds this log's rows to the batch of a commit, and says where they stand and what is to be checked.
    pub(super) fn write(&mut self, batch: &mut Batch, stored: &Stored<'_>, with: WriteAs) -> Placed {
        let written = self.write_rows(batch, stored, with);
        self.committed = self.working.size();
        Placed {
            shared: Arc::clone(&self.shared),
            written,
            time_ms: self.time_ms,
            base: self.base.take(),
            #[cfg(feature = "canaries")]
            working: self.working.clone(),
        }
    }

    fn write_rows(&mut self, batch: &mut Batch, stored: &Stored<'_>, with: WriteAs) -> Written {
        let id = self.shared.info.id;
        let fresh = core::mem::take(&mut self.fresh);
        // Only pieces whose bundle was read back and stands under a released head. Until its mark is durable a start would
        // go back to the head before, and, should it find damage after that one, take the bundle back as well.
        let released = self.stale.iter().take_while(|stale| stale.commit <= with.released).count();
        self.stale.drain(..released).for_each(|stale| batch.delete(stored.piece_key(stale.first)));
        let written_piece = (!fresh.piece.is_empty()).then(|| {
            let first = bundle_start(self.working.size()).max(self.committed.get());
            self.tail.pieces.push(first);
            batch.put(stored.piece_key(first), fresh.piece);
            first
        });
        let mut bundles = Vec::with_capacity(fresh.bundles.len());
        let tiles = fresh.tiles.iter().map(|tile| (tile.level, tile.number)).collect();
        for (number, encoded) in fresh.bundles {
            let rows = stored.bundle_rows(number, encoded);
            bundles.push((number, rows.iter().map(|(key, _)| key.clone()).collect()));
            rows.into_iter().for_each(|(key, row)| batch.put(key, row));
        }
        for tile in fresh.tiles {
            if let Some(key) = stored.tile_key(tile.level, tile.number) {
                batch.put(key, tile.bytes());
            }
        }
        let mut disclosures = Vec::new();
        for (last, row) in fresh.rows.rows() {
            batch.put(DisclosuresRow::key(id, last), row);
            disclosures.push(last);
        }
        let commit = with.commit;
        self.stale.extend(fresh.finished_pieces.into_iter().map(|first| Stale { commit, first }));
        self.time_ms = self.time_ms.max(with.now_ms).max(self.record_us.div_ceil(1_000));
        let stale = match (self.stale.front(), self.stale.back()) {
            (Some(first), Some(last)) => (first.first, last.first + 1),
            _ => (0, 0),
        };
        let (size, root) = (self.working.size(), self.working.root());
        let state = if with.seals { LogState::Sealed } else { LogState::Open };
        let (time_ms, nodes) = (self.time_ms, Some(self.working.nodes()));
        let head = HeadRow { commit, state, size, root, time_ms, stale, nodes, mendable: false };
        batch.put(HeadRow::key(id), head.encode());
        if self.tail.encoded.as_ref().is_some_and(|encoded| encoded.len() > TAIL_BYTES) {
            self.tail.encoded = None;
        }
        Written { bundles, piece: written_piece, tiles, disclosures, kept: fresh.kept, head }
    }
}

impl Written {
    /// The keys of everything that the commit put for this log but its head, to take it back.
    pub(super) fn keys(&self, stored: &Stored<'_>) -> Vec<Key> {
        let bundles = self.bundles.iter().flat_map(|(_, keys)| keys).cloned();
        let piece = self.piece.map(|first| stored.piece_key(first));
        let tiles = self.tiles.iter().filter_map(|(level, number)| stored.tile_key(*level, *number));
        let disclosures = self.disclosures.iter().map(|last| DisclosuresRow::key(stored.log(), *last));
        bundles.chain(piece).chain(tiles).chain(disclosures).collect()
    }
}

/// The index of the first entry of the unfinished bundle.
fn bundle_start(size: TreeSize) -> u64 {
    size.get() - size.get() % WIDTH
}
