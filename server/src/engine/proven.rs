//! Whether an entry's hash is the one that a tree has in its place, without a proof for others: each tile over it is what the
//! one above says of it, up to the unfinished ones, which are the head's own. That takes a comparison for each level of tiles,
//! their inner nodes being computed, where a proof takes two dozen hashes.
//!
//! Not here: proofs (`reader`).

use cairn_tree::hash::Hash;
use cairn_tree::merkle::subtree::NodeCoord;
use cairn_tree::merkle::{Root, RootPlan};
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::store::LogId;
use cairn_tree::tile::TileCoord;
use quick_cache::sync::Cache;

use super::head::{Head, Shared};
use super::reader::{ProofError, Reader, question, within};
use super::stored::ReadError;

/// Smaller trees whose roots are known: those under the newest published heads of many logs.
const ROOTS: usize = 4_096;

/// The roots that smaller trees have by tiles which are proven to be the head's.
pub(super) struct Roots(Cache<(LogId, TreeSize), Hash>);

impl Roots {
    pub(super) fn new() -> Self {
        Self(Cache::new(ROOTS))
    }
}

impl Reader {
    /// The hash of the leaf at `index`, if the tiles over it come to the head's root, and those of the smaller tree `under` to
    /// its root; `None` if they don't.
    pub(super) fn proven(
        &self,
        log: &Shared,
        head: &Head,
        index: LeafIndex,
        under: &Root,
    ) -> Result<Option<Hash>, ProofError> {
        within(under.size, head)?;
        if !under.size.contains(index) {
            return Err(question(format_args!("a tree of {} leaves has no leaf {index}", under.size)));
        }
        let is_under = *under == head.tree() || self.root_by_tiles(log, head, under)?;
        if is_under { Ok(self.proven_node(log, head, NodeCoord::leaf(index))?) } else { Ok(None) }
    }

    /// Whether a smaller tree has this root, by tiles of the head's tree.
    fn root_by_tiles(&self, log: &Shared, head: &Head, under: &Root) -> Result<bool, ProofError> {
        let key = (log.info.id, under.size);
        if let Some(known) = self.roots.0.get(&key) {
            return Ok(known == under.hash);
        }
        let plan = RootPlan::tree(under.size);
        let hashes = plan.nodes().iter().map(|node| self.proven_node(log, head, *node));
        let Some(hashes) = hashes.collect::<Result<Option<Vec<Hash>>, _>>()? else { return Ok(false) };
        let root = plan.fold(&hashes).map_err(question)?;
        self.roots.0.insert(key, root);
        Ok(root == under.hash)
    }

    /// The hash of a node of the head's tree; `None` if the tiles over it don't come to its root.
    fn proven_node(&self, log: &Shared, head: &Head, node: NodeCoord) -> Result<Option<Hash>, ReadError> {
        let (mut hash, mut above) = self.in_tile(log, head, node)?;
        let found = hash;
        while let Some((root, node)) = above {
            (hash, above) = self.in_tile(log, head, node)?;
            if hash != root {
                return Ok(None);
            }
        }
        Ok(Some(found))
    }

    /// The hash of a node as its tile has it, and the tile's own root with its place above; none of an unfinished tile, which
    /// is the head's.
    fn in_tile(
        &self,
        log: &Shared,
        head: &Head,
        node: NodeCoord,
    ) -> Result<(Hash, Option<(Hash, NodeCoord)>), ReadError> {
        let missing = || self.missing_node(log, node);
        let (coord, place) = TileCoord::of_node(node, head.size).ok_or_else(missing)?;
        let tile = self.expanded(log, head, coord)?;
        let hash = tile.get(place).ok_or_else(missing)?;
        Ok((hash, tile.root().zip(coord.root_node())))
    }
}
