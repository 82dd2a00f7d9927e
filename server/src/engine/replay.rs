//! Growing a tree again from the stored entries alone: what recovery does from the last signed head to the end of the
//! database, and `fsck` from the first entry.

use cairn_tree::size::TreeSize;

use super::bounds::REPLAY_BUNDLES;
use super::growing::{FullTile, GrowingTree};
use super::sequencer::compare_tiles;
use super::stored::{ReadError, Stored, WIDTH};

/// Re-hashes every entry from the tree's size up to `to`, and compares each tile that they complete with the stored one.
///
/// `progress` is told the size reached, every few thousand entries.
pub(super) fn replay(
    stored: &Stored<'_>,
    tree: &mut GrowingTree,
    to: TreeSize,
    progress: &mut dyn FnMut(TreeSize),
) -> Result<(), ReadError> {
    let mut tiles: Vec<FullTile> = Vec::new();
    while tree.size() < to {
        let size = tree.size().get();
        let number = size / WIDTH;
        let width = (to.get() - number * WIDTH).min(WIDTH) as usize;
        let leaves = stored.leaves(number, width)?;
        let new = leaves.get((size % WIDTH) as usize..).unwrap_or_default();
        let full = stored.damaged("bundle", number, "the tree is full");
        tree.extend(new, &mut |tile| tiles.push(tile)).map_err(|_| full)?;
        if tiles.len() >= REPLAY_BUNDLES || tree.size() == to {
            compare_tiles(stored, &tiles)?;
            tiles.clear();
            progress(tree.size());
        }
    }
    Ok(())
}
