//! The check before a signature: what the store gives back must be what was placed.
//!
//! Every new entry is read back and hashed again onto the tree that the check before it left; new tiles and the new
//! root must come out as they were written, and so must what records disclose. A bit that flipped in memory or on its way
//! to the store is found here, while nobody has been told of the head (what ended the Yeti and Nessie logs).
//!
//! It runs on the releaser's thread. The store may have later commits by then, which change nothing that is read here but
//! the head row.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use cairn_tree::hash::Hash;
use cairn_tree::size::LeafIndex;
use cairn_tree::store::{Key, LogId, Store};
use cairn_tree::tile::{Entries, Width};

use super::handover::Unsigned;
use super::track::Written;
use crate::engine::growing::{FullTile, GrowingTree};
use crate::engine::head::Shared;
use crate::engine::layout::{DisclosuresRow, HeadRow};
use crate::engine::stored::{ReadError, Stored, WIDTH};

/// What a commit brought to a log; the store has it.
pub(super) struct Placed {
    pub(super) shared: Arc<Shared>,
    pub(super) written: Written,
    pub(super) time_ms: u64,
    /// The tree before it, where the writer has taken the log up with this commit.
    pub(super) base: Option<GrowingTree>,
    /// The tree that was written, for a build that does not check.
    #[cfg(feature = "canaries")]
    pub(super) working: GrowingTree,
}

impl Placed {
    pub(super) fn log(&self) -> LogId {
        self.shared.info.id
    }

    /// The keys of its rows but the head's, to take them back.
    pub(super) fn keys(&self, store: &dyn Store) -> Vec<Key> {
        self.written.keys(&Stored::new(store, self.log()))
    }
}

/// The trees of the logs that the writer has at hand, as the store gave them back: of heads that are signed, or will be
/// next.
pub(super) struct Checks {
    store: Arc<dyn Store>,
    trees: HashMap<LogId, GrowingTree>,
}

impl Checks {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, trees: HashMap::new() }
    }

    /// The store that is read.
    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Lets go of a log.
    pub(super) fn forget(&mut self, log: LogId) {
        self.trees.remove(&log);
    }

    /// Reads back what one log got, and gives its head to be signed. After an error its tree is gone: nothing of it may be
    /// signed any more.
    pub(super) fn check(&mut self, placed: &mut Placed) -> Result<Unsigned, ReadError> {
        let log = placed.log();
        let stored = Stored::new(&*self.store, log);
        let gone = || stored.damaged("the log, number", u64::from(log.get()), "its tree is not at hand");
        let mut tree = placed.base.take().or_else(|| self.trees.remove(&log)).ok_or_else(gone)?;
        #[cfg(feature = "canaries")]
        if crate::canary::Canary::SignBeforeCheck.sings() {
            tree = placed.working.clone();
        } else {
            read_back(&*self.store, log, &mut tree, &placed.written)?;
        }
        #[cfg(not(feature = "canaries"))]
        read_back(&*self.store, log, &mut tree, &placed.written)?;
        let (shared, time_ms) = (Arc::clone(&placed.shared), placed.time_ms);
        let unsigned = Unsigned { shared, size: tree.size(), root: tree.root(), time_ms, edge: Arc::new(tree.edge()) };
        self.trees.insert(log, tree);
        Ok(unsigned)
    }
}

/// Brings `tree` up to the commit's head from the stored bytes alone. On an error it is of no more use.
fn read_back(store: &dyn Store, log: LogId, tree: &mut GrowingTree, written: &Written) -> Result<(), ReadError> {
    let stored = Stored::new(store, log);
    let mut tiles = Vec::new();
    absorb_entries(store, &stored, tree, written, &mut tiles)?;
    let size = tree.size().get();
    if tree.size() != written.head.size || tree.root() != written.head.root {
        return Err(stored.damaged("the tree at size", size, "the stored entries hash to another root"));
    }
    compare_tiles(&stored, &tiles)?;
    compare_disclosures(store, &stored, written)?;
    let row = HeadRow::decode(&store.get(&HeadRow::key(log))?.unwrap_or_default())?;
    // A later commit of this log has written its own over it, and reads that one back.
    let replaced = row.commit > written.head.commit && row.size > written.head.size;
    if replaced || row == written.head {
        Ok(())
    } else {
        Err(stored.damaged("the head at size", size, "it reads back differently"))
    }
}

fn absorb_entries(
    store: &dyn Store,
    stored: &Stored<'_>,
    tree: &mut GrowingTree,
    written: &Written,
    tiles: &mut Vec<FullTile>,
) -> Result<(), ReadError> {
    let piece = written.piece.map(|first| (first, vec![stored.piece_key(first)]));
    let all = || written.bundles.iter().chain(&piece);
    let keys: Vec<Key> = all().flat_map(|(_, keys)| keys).cloned().collect();
    let mut rows = store.get_many(&keys)?.into_iter();
    for (position, (number, keys)) in all().enumerate() {
        let missing = || stored.damaged("a new row, number", *number, "it is not there");
        let mut encoded = Vec::new();
        for row in rows.by_ref().take(keys.len()) {
            let row = row.ok_or_else(missing)?;
            if encoded.is_empty() { encoded = row } else { encoded.extend_from_slice(&row) }
        }
        let damaged = |error| stored.damaged("a new row, number", *number, error);
        let entries = Entries::parse_batch(&encoded, Width::FULL.get()).map_err(damaged)?;
        let leaves = entries.leaf_hashes();
        // Only the first bundle can have begun before this commit.
        let begun = position == 0 && !written.bundles.is_empty();
        let known = if begun { known_leaves(stored, tree, *number, &leaves)? } else { 0 };
        let new = leaves.get(known..).unwrap_or_default();
        let full = stored.damaged("a new row, number", *number, "the tree is full");
        tree.extend(new, &mut |tile| tiles.push(tile)).map_err(|_| full)?;
    }
    Ok(())
}

/// How many entries of the first bundle stand in the checked tree already. They must have the hashes that they had.
fn known_leaves(stored: &Stored<'_>, tree: &mut GrowingTree, number: u64, leaves: &[Hash]) -> Result<usize, ReadError> {
    let same_bundle = tree.size().get() / WIDTH == number;
    let edge = tree.edge();
    let known = edge.hashes(0);
    match leaves.get(..known.len()) {
        Some(again) if same_bundle && again == known => Ok(known.len()),
        _ => Err(stored.damaged("bundle", number, "entries that were checked before have changed")),
    }
}

/// Compares the disclosures of this commit's records with what came in.
fn compare_disclosures(store: &dyn Store, stored: &Stored<'_>, written: &Written) -> Result<(), ReadError> {
    let keys: Vec<Key> = written.disclosures.iter().map(|last| DisclosuresRow::key(stored.log(), *last)).collect();
    let mut expected = written.kept.iter();
    for (row, key) in store.get_many(&keys)?.into_iter().zip(&keys) {
        let damaged = |problem| stored.damaged("disclosures, row", key.number().unwrap_or_default(), problem);
        let row = DisclosuresRow::decode(key, row.ok_or_else(|| damaged("it is not there"))?)?;
        for index in row.indexes() {
            let same = |(expected, [one, other]): &(LeafIndex, [Bytes; 2])| {
                let packed = row.packed(index).unwrap_or_default();
                *expected == index && packed.strip_prefix(&**one) == Some(&**other)
            };
            if !expected.next().is_some_and(same) {
                return Err(damaged("it is not as it came in"));
            }
        }
    }
    match expected.next() {
        Some((index, _)) => Err(stored.damaged("the disclosures of record", index.get(), "they are not there")),
        None => Ok(()),
    }
}

/// Compares tiles that were computed from entries with those in the store.
pub(in crate::engine) fn compare_tiles(stored: &Stored<'_>, tiles: &[FullTile]) -> Result<(), ReadError> {
    for tile in tiles {
        if stored.tile(tile.level, tile.number)? != tile.hashes {
            let what = format!("tile of level {}, number", tile.level);
            return Err(stored.damaged(&what, tile.number, "it does not fit the entries"));
        }
    }
    Ok(())
}
