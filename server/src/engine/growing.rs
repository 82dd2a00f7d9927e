//! A tree that grows: its frontier, and the unfinished tiles along its right edge.
//!
//! The writer keeps two of one log: one takes the hashes that handlers made, the other, after the commit, those made
//! again from the stored bytes. Only when both agree is the head signed.

use std::sync::{Arc, OnceLock};

use cairn_tree::hash::Hash;
use cairn_tree::merkle::frontier::Frontier;
use cairn_tree::merkle::subtree::NodeCoord;
use cairn_tree::size::{SizeError, TreeSize};
use cairn_tree::tile::{Tile, TileCoord, Width};

/// Tile levels of a tree of at most 2^63 - 1 leaves.
const LEVELS: usize = 8;
/// Tree levels per tile level.
const TILE_HEIGHT: u32 = 8;
/// Hashes per full tile.
const TILE_WIDTH: usize = Width::FULL.get();

/// The unfinished tile of each level, lowest first.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    levels: Vec<Arc<EdgeTile>>,
}

/// The hashes of one unfinished tile; its inner nodes are computed when somebody first asks.
#[derive(Debug, Default)]
pub(super) struct EdgeTile {
    hashes: Vec<Hash>,
    expanded: OnceLock<Option<Arc<Tile>>>,
}

impl Edge {
    /// The hashes of the unfinished tile at `level`: fewer than 256, perhaps none.
    #[must_use]
    pub(super) fn hashes(&self, level: u8) -> &[Hash] {
        self.levels.get(usize::from(level)).map_or(&[], |tile| &tile.hashes)
    }

    /// The unfinished tile at `coord` with its inner nodes; `None` unless it has exactly that width.
    #[must_use]
    pub(super) fn tile(&self, coord: TileCoord) -> Option<Arc<Tile>> {
        let tile = self.levels.get(usize::from(coord.level()))?;
        let expand = || Tile::from_hashes(coord, &tile.hashes).ok().map(Arc::new);
        tile.expanded.get_or_init(expand).clone().filter(|tile| tile.coord() == coord)
    }
}

/// A tile that has just become full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FullTile {
    /// Its level, 0 to 7.
    pub level: u8,
    /// Its number within the level.
    pub number: u64,
    /// Its 256 hashes.
    pub hashes: Vec<Hash>,
}

impl FullTile {
    /// The C2SP bytes of the tile.
    #[must_use]
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.hashes.iter().flat_map(|hash| hash.as_bytes()).copied().collect()
    }
}

/// The frontier and the edge, of one size.
#[derive(Debug, Clone)]
pub(super) struct GrowingTree {
    frontier: Frontier,
    levels: Vec<Level>,
}

/// One level's unfinished tile, with the snapshot that was last handed out while it has not changed.
#[derive(Debug, Clone, Default)]
struct Level {
    hashes: Vec<Hash>,
    snapshot: Option<Arc<EdgeTile>>,
}

impl GrowingTree {
    /// The empty tree.
    #[must_use]
    pub(super) fn new() -> Self {
        Self { frontier: Frontier::new(), levels: vec![Level::default(); LEVELS] }
    }

    /// A tree of this size whose unfinished tiles have these hashes, lowest level first. `None` if their widths are not
    /// those of a tree of this size.
    #[must_use]
    pub(super) fn from_edge(size: TreeSize, edge: Vec<Vec<Hash>>) -> Option<Self> {
        let widths = (0..LEVELS).map(|level| width(size, level));
        if edge.len() != LEVELS || !edge.iter().map(Vec::len).eq(widths) {
            return None;
        }
        // The largest perfect subtrees stand leftmost, in the highest level.
        let nodes: Vec<Hash> = edge.iter().rev().flat_map(|hashes| perfect_roots(hashes)).collect();
        let frontier = Frontier::from_parts(size, nodes).ok()?;
        let levels = edge.into_iter().map(|hashes| Level { hashes, snapshot: None }).collect();
        Some(Self { frontier, levels })
    }

    /// The number of leaves.
    #[must_use]
    pub(super) fn size(&self) -> TreeSize {
        self.frontier.size()
    }

    /// The root over them.
    #[must_use]
    pub(super) fn root(&self) -> Hash {
        self.frontier.root().hash
    }

    /// The perfect nodes over all full bundles, largest first.
    #[must_use]
    pub(super) fn nodes(&self) -> Vec<Hash> {
        let count = perfect_nodes(self.size());
        self.frontier.hashes().iter().take(count).copied().collect()
    }

    /// Appends leaves and tells of each tile that they complete.
    ///
    /// # Errors
    /// [`SizeError`] if the tree would pass its bound; nothing is appended then.
    pub(super) fn extend(&mut self, leaves: &[Hash], full: &mut impl FnMut(FullTile)) -> Result<(), SizeError> {
        let levels = &mut self.levels;
        let mut keep = |node: NodeCoord, hash| {
            let height = u32::from(node.level());
            if height.is_multiple_of(TILE_HEIGHT) {
                add(levels, (height / TILE_HEIGHT) as usize, node.index(), hash, full);
            }
        };
        if !leaves.is_empty() {
            self.frontier.extend(leaves, &mut keep)?;
        }
        Ok(())
    }

    /// The edge as it is now; levels that have not changed since the last time are shared with that one.
    pub(super) fn edge(&mut self) -> Edge {
        let snapshot = |level: &mut Level| {
            let Level { hashes, snapshot } = level;
            let fresh = || Arc::new(EdgeTile { hashes: hashes.clone(), expanded: OnceLock::new() });
            Arc::clone(snapshot.get_or_insert_with(fresh))
        };
        Edge { levels: self.levels.iter_mut().map(snapshot).collect() }
    }
}

impl Default for GrowingTree {
    fn default() -> Self {
        Self::new()
    }
}

/// The number of hashes in the unfinished tile at `level` (C2SP tlog-tiles, partial tiles).
#[must_use]
pub(super) fn width(size: TreeSize, level: usize) -> usize {
    let shift = level as u32 * TILE_HEIGHT;
    size.get().checked_shr(shift).map_or(0, |hashes| (hashes % TILE_WIDTH as u64) as usize)
}

/// How many perfect nodes stand over all full bundles of a tree.
fn perfect_nodes(size: TreeSize) -> usize {
    (size.get() / TILE_WIDTH as u64).count_ones() as usize
}

/// The root of a tree of this size, from the perfect nodes over its full bundles and the leaves of the unfinished one.
/// `None` if these are not as many as such a tree has.
#[must_use]
pub(super) fn root_of(size: TreeSize, nodes: Vec<Hash>, leaves: &[Hash]) -> Option<Hash> {
    let full = TreeSize::new(size.get() - size.get() % TILE_WIDTH as u64).ok()?;
    let mut frontier = Frontier::from_parts(full, nodes).ok()?;
    if !leaves.is_empty() {
        frontier.extend(leaves, &mut |_, _| {}).ok()?;
    }
    (frontier.size() == size).then(|| frontier.root().hash)
}

/// How many full tiles stand below the unfinished ones of a tree: what it takes to read its edge.
#[must_use]
pub(super) fn edge_tiles(size: TreeSize) -> usize {
    (1..LEVELS).map(|level| width(size, level)).sum()
}

/// Adds the hash at position `index` of a level, and hands the tile on when that fills it.
fn add(levels: &mut [Level], level: usize, index: u64, hash: Hash, full: &mut impl FnMut(FullTile)) {
    let Some(open) = levels.get_mut(level) else { return };
    open.snapshot = None;
    open.hashes.push(hash);
    if open.hashes.len() == TILE_WIDTH {
        let hashes = core::mem::take(&mut open.hashes);
        full(FullTile { level: level as u8, number: index / TILE_WIDTH as u64, hashes });
    }
}

/// The roots of the perfect subtrees that these hashes, one level's unfinished tile, fall into; largest first.
fn perfect_roots(hashes: &[Hash]) -> Vec<Hash> {
    let mut roots = Vec::new();
    let mut rest = hashes;
    while !rest.is_empty() {
        let (subtree, after) = rest.split_at(1 << rest.len().ilog2());
        roots.push(perfect_root(subtree));
        rest = after;
    }
    roots
}

/// The root over a power of two of hashes.
#[must_use]
pub(super) fn perfect_root(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => Hash::EMPTY_TREE,
        [hash] => *hash,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            Hash::node(&perfect_root(left), &perfect_root(right))
        }
    }
}
