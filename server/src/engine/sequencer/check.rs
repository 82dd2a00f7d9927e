//! The check before a signature: what the store gives back must be what was placed.
//!
//! Every new entry is read back and hashed again onto the tree that the check before it left; new tiles and the new
//! root must come out as they were written, and so must what records disclose. A bit that flipped in memory or on its way
//! to the store is found here, while nobody has been told of the head (what ended the Yeti and Nessie logs).

use bytes::Bytes;
use cairn_tree::hash::Hash;
use cairn_tree::size::LeafIndex;
use cairn_tree::store::{Key, Store};
use cairn_tree::tile::{Entries, Width};

use super::track::{Track, Written};
use crate::engine::growing::FullTile;
use crate::engine::layout::{DisclosuresRow, HeadRow};
use crate::engine::stored::{ReadError, Stored, WIDTH};

/// Brings `track.checked` up to the commit's head from the stored bytes alone. On an error the track is of no more use.
pub(super) fn read_back(store: &dyn Store, track: &mut Track, written: &Written) -> Result<(), ReadError> {
    #[cfg(feature = "canaries")]
    if crate::canary::Canary::SignBeforeCheck.sings() {
        track.checked = track.working.clone();
        return Ok(());
    }
    let stored = Stored::new(store, track.shared.info.id);
    let mut tiles = Vec::new();
    absorb_entries(store, &stored, track, written, &mut tiles)?;
    let size = track.checked.size().get();
    if track.checked.size() != written.head.size || track.checked.root() != written.head.root {
        return Err(stored.damaged("the tree at size", size, "the stored entries hash to another root"));
    }
    compare_tiles(&stored, &tiles)?;
    compare_disclosures(store, &stored, written)?;
    let row = store.get(&HeadRow::key(track.shared.info.id))?.unwrap_or_default();
    if HeadRow::decode(&row)? == written.head {
        Ok(())
    } else {
        Err(stored.damaged("the head at size", size, "it reads back differently"))
    }
}

fn absorb_entries(
    store: &dyn Store,
    stored: &Stored<'_>,
    track: &mut Track,
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
        let known = if begun { known_leaves(stored, track, *number, &leaves)? } else { 0 };
        let new = leaves.get(known..).unwrap_or_default();
        let full = stored.damaged("a new row, number", *number, "the tree is full");
        track.checked.extend(new, &mut |tile| tiles.push(tile)).map_err(|_| full)?;
    }
    Ok(())
}

/// How many entries of the first bundle stand in the checked tree already. They must have the hashes that they had.
fn known_leaves(stored: &Stored<'_>, track: &mut Track, number: u64, leaves: &[Hash]) -> Result<usize, ReadError> {
    let same_bundle = track.checked.size().get() / WIDTH == number;
    let edge = track.checked.edge();
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
