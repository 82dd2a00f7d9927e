//! The right edge of a log's tree, put together from whoever has its parts, until it hashes to the signed root.

use cairn_tree::hash::Hash;
use cairn_tree::merkle::Root;

use super::sources::{Had, Parts};
use crate::engine::growing::{GrowingTree, width};
use crate::engine::judge::LEVELS;

/// A tree's right edge that hashes to the signed root, with the entries of its unfinished bundle.
pub(super) struct SignedEdge {
    pub(super) tree: GrowingTree,
    pub(super) tail: Had,
}

/// Tries whoever has the tiles along the edge, one after the other first, with whoever has the unfinished bundle. `None`
/// if nothing that anybody has hashes to the root.
pub(super) fn signed_edge(parts: &Parts<'_>, signed: Root) -> Option<SignedEdge> {
    let tails = parts.tails(signed.size);
    for first in 0..parts.holders() {
        let Some(above) = levels_above(parts, signed, first) else { continue };
        for tail in &tails {
            let edge = core::iter::once(tail.leaves.clone()).chain(above.iter().cloned()).collect();
            let tree = GrowingTree::from_edge(signed.size, edge).filter(|tree| tree.root() == signed.hash);
            if let Some(tree) = tree {
                return Some(SignedEdge { tree, tail: tail.clone() });
            }
        }
    }
    None
}

/// The unfinished tiles of the levels above the leaves.
fn levels_above(parts: &Parts<'_>, signed: Root, first: usize) -> Option<Vec<Vec<Hash>>> {
    let level = |level: u8| -> Option<Vec<Hash>> {
        let there = signed.size.get().checked_shr(u32::from(level) * 8).unwrap_or(0);
        let open = width(signed.size, usize::from(level)) as u64;
        (there - open..there).map(|number| parts.tile_root(level - 1, number, first)).collect()
    };
    (1..LEVELS).map(level).collect()
}
