//! Reading node hashes out of tiles: one's own, and such as come from a server that is not trusted.
//!
//! A [`Tile`] claims nothing: it is hashes with their inner nodes computed, so that a proof costs look-ups. A
//! [`ProvenTile`] was shown to belong to a tree whose root was known, and only such tiles may be cached or believed by a
//! client. Fetching and caching themselves are not here.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::coord::{BundleCoord, NodePlace, TileCoord, Width};
use super::entries::Entries;
use crate::hash::Hash;
use crate::merkle::{NodeCoord, PlanError, Root, RootPlan};
use crate::size::TreeSize;

/// A full or partial tile's hashes and all nodes that they complete.
///
/// Invariant: `nodes` has the `width` hashes of the tile, then the `width / 2` perfect nodes above them, and so on up to
/// the one over all 256, if the tile is full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    coord: TileCoord,
    nodes: Box<[Hash]>,
}

/// A tile that is in a tree whose root its holder trusts: made by [`TilePlan::prove`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenTile(Arc<Tile>);

/// Entries that are in a tree whose root their holder trusts: made by [`ProvenTile::prove_entries`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProvenEntries<'a> {
    bundle: BundleCoord,
    entries: Entries<'a>,
}

/// Tiles by their place, to read node hashes from.
///
/// Invariant: sorted by level and index, and at most one tile at each place.
#[derive(Debug, Clone)]
pub struct TileSet<T> {
    tiles: Vec<T>,
}

/// Which tiles must be fetched from an untrusted server so that some nodes' hashes can be proven and read.
///
/// Besides the nodes' own tiles these are the tree's partial tiles, which together give the root, and the tiles between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TilePlan {
    tree: Root,
    edge: RootPlan,
    tiles: Vec<TileCoord>,
}

/// Why tiles could not be read or are not to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReaderError {
    /// The tree does not have the node.
    #[error("a tree of {size} leaves has no node {} at level {}", node.index(), node.level())]
    NotInTree {
        /// The node asked for.
        node: NodeCoord,
        /// The size of the tree.
        size: TreeSize,
    },
    /// The tile has another length than its width says.
    #[error("{tile} must have {} bytes, not {found}", tile.width().get() * Hash::LEN)]
    Length {
        /// The tile.
        tile: TileCoord,
        /// The number of bytes that came.
        found: usize,
    },
    /// No tile has the node.
    #[error("the tile with node {} at level {} is missing", .0.index(), .0.level())]
    MissingNode(NodeCoord),
    /// A planned tile is missing, or there with another width.
    #[error("{0} is missing")]
    MissingTile(TileCoord),
    /// The partial tiles do not give the known root: at least one of them is wrong.
    #[error("the partial tiles of a tree of {} leaves give the root {computed}, not {}", tree.size, tree.hash)]
    WrongEdge {
        /// The known root.
        tree: Root,
        /// What the tiles give.
        computed: Hash,
    },
    /// The tile's hashes do not give the hash that the proven tile above has for it.
    #[error("{tile} hashes to {computed}, but the tile above it has {expected}")]
    WrongTile {
        /// The tile that is wrong.
        tile: TileCoord,
        /// What its hashes give.
        computed: Hash,
        /// What is proven.
        expected: Hash,
    },
    /// The tile is not the one with the bundle's leaf hashes.
    #[error("{tile} does not have the leaf hashes of {bundle}")]
    NotTheBundles {
        /// The tile.
        tile: TileCoord,
        /// The bundle.
        bundle: BundleCoord,
    },
    /// The bundle has another number of entries than its width says.
    #[error("{bundle} must have {} entries, not {found}", bundle.width().get())]
    EntryCount {
        /// The bundle.
        bundle: BundleCoord,
        /// The number of entries.
        found: usize,
    },
    /// An entry does not hash to its leaf hash.
    #[error("entry {index} hashes to {computed}, but the tree has {expected}")]
    WrongEntry {
        /// The index of the entry in the log.
        index: u64,
        /// The entry's leaf hash.
        computed: Hash,
        /// The leaf hash in the tile.
        expected: Hash,
    },
    /// The root could not be computed.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl Tile {
    /// Computes the inner nodes of a tile.
    ///
    /// # Errors
    /// [`ReaderError::Length`] if there are not as many hashes as the tile is wide.
    pub fn from_hashes(coord: TileCoord, hashes: &[Hash]) -> Result<Self, ReaderError> {
        let width = coord.width().get();
        if hashes.len() != width {
            return Err(ReaderError::Length { tile: coord, found: hashes.len() * Hash::LEN });
        }
        let mut nodes = Vec::with_capacity(2 * width);
        nodes.extend_from_slice(hashes);
        let mut row = hashes.to_vec();
        let mut above = Vec::with_capacity(width / 2);
        while row.len() > 1 {
            above.clear();
            Hash::extend_with_parents(&row, &mut above);
            nodes.extend_from_slice(&above);
            core::mem::swap(&mut row, &mut above);
        }
        Ok(Self { coord, nodes: nodes.into() })
    }

    /// Reads a tile as it is served: its hashes and nothing else.
    ///
    /// # Errors
    /// [`ReaderError::Length`].
    pub fn from_bytes(coord: TileCoord, bytes: &[u8]) -> Result<Self, ReaderError> {
        let (hashes, rest) = bytes.as_chunks::<{ Hash::LEN }>();
        if hashes.len() != coord.width().get() || !rest.is_empty() {
            return Err(ReaderError::Length { tile: coord, found: bytes.len() });
        }
        let hashes: Vec<_> = hashes.iter().map(|hash| Hash::new(*hash)).collect();
        Self::from_hashes(coord, &hashes)
    }

    /// Which tile it is.
    #[must_use]
    pub const fn coord(&self) -> TileCoord {
        self.coord
    }

    /// The tile's own hashes, without the inner nodes.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        self.nodes.get(..self.coord.width().get()).unwrap_or_default()
    }

    /// The tile as it is served.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.hashes().iter().flat_map(|hash| *hash.as_bytes()).collect()
    }

    /// The tile as it was when the tree was smaller; `None` if it is not so wide.
    #[must_use]
    pub fn cut(&self, width: Width) -> Option<Self> {
        let coord = self.coord.with_width(width).ok()?;
        Self::from_hashes(coord, self.nodes.get(..width.get()).filter(|_| width <= self.coord.width())?).ok()
    }

    /// The hash at a place of the tile; `None` if its width does not reach there.
    #[must_use]
    pub fn get(&self, place: NodePlace) -> Option<Hash> {
        let width = self.coord.width().get();
        let offset = usize::from(place.offset());
        if offset >= width >> place.height() {
            return None;
        }
        let below = if self.coord.width().is_full() {
            // The same sum: reads of tiles that are not in the processor's cache should wait for them all at once.
            2 * width - ((2 * width) >> place.height())
        } else {
            (0..place.height()).map(|height| width >> height).sum()
        };
        self.nodes.get(below + offset).copied()
    }

    /// The hash over all of a full tile, which the tile above has; `None` for a partial tile.
    #[must_use]
    pub fn root(&self) -> Option<Hash> {
        if self.coord.width().is_full() { self.nodes.last().copied() } else { None }
    }

    /// Re-hashes a bundle's entries and compares them with this tile's leaf hashes.
    ///
    /// The tile may be wider than the bundle.
    ///
    /// # Errors
    /// [`ReaderError::NotTheBundles`], [`ReaderError::EntryCount`] or [`ReaderError::WrongEntry`].
    pub fn check_entries(&self, bundle: BundleCoord, entries: &Entries<'_>) -> Result<(), ReaderError> {
        let theirs = bundle.tile();
        let same_place = (theirs.level(), theirs.index()) == (self.coord.level(), self.coord.index());
        if !same_place || theirs.width() > self.coord.width() {
            return Err(ReaderError::NotTheBundles { tile: self.coord, bundle });
        }
        if entries.len() != bundle.width().get() {
            return Err(ReaderError::EntryCount { bundle, found: entries.len() });
        }
        for ((index, entry), expected) in (bundle.start()..).zip(entries).zip(self.hashes()) {
            let computed = Hash::leaf(entry);
            if computed != *expected {
                return Err(ReaderError::WrongEntry { index, computed, expected: *expected });
            }
        }
        Ok(())
    }
}

impl AsRef<Tile> for Tile {
    fn as_ref(&self) -> &Tile {
        self
    }
}

impl ProvenTile {
    /// The tile, also to be given to another [`TilePlan::prove`].
    #[must_use]
    pub const fn tile(&self) -> &Arc<Tile> {
        &self.0
    }

    /// Proves that the tree has these entries.
    ///
    /// # Errors
    /// As [`Tile::check_entries`].
    pub fn prove_entries<'a>(
        &self,
        bundle: BundleCoord,
        entries: Entries<'a>,
    ) -> Result<ProvenEntries<'a>, ReaderError> {
        self.0.check_entries(bundle, &entries)?;
        Ok(ProvenEntries { bundle, entries })
    }
}

impl AsRef<Tile> for ProvenTile {
    fn as_ref(&self) -> &Tile {
        &self.0
    }
}

impl<'a> ProvenEntries<'a> {
    /// Which bundle they are.
    #[must_use]
    pub const fn bundle(&self) -> BundleCoord {
        self.bundle
    }

    /// The entries; the first has the index [`BundleCoord::start`].
    #[must_use]
    pub const fn entries(&self) -> Entries<'a> {
        self.entries
    }
}

/// The tiles that nodes are in, each once, at the width that a tree of this size has them.
///
/// # Errors
/// [`ReaderError::NotInTree`].
pub fn tiles_of(nodes: &[NodeCoord], size: TreeSize) -> Result<Vec<TileCoord>, ReaderError> {
    let mut tiles: Vec<_> = nodes.iter().map(|node| tile_of(*node, size)).collect::<Result<_, _>>()?;
    tiles.sort_unstable();
    tiles.dedup();
    Ok(tiles)
}

fn tile_of(node: NodeCoord, size: TreeSize) -> Result<TileCoord, ReaderError> {
    let (tile, _) = TileCoord::of_node(node, size).ok_or(ReaderError::NotInTree { node, size })?;
    Ok(tile)
}

impl<T: AsRef<Tile>> TileSet<T> {
    /// Gathers tiles; of several with one place the widest is kept.
    pub fn new(tiles: impl IntoIterator<Item = T>) -> Self {
        let mut tiles: Vec<_> = tiles.into_iter().collect();
        let place = |tile: &mut T| (tile.as_ref().coord.level(), tile.as_ref().coord.index());
        // Coordinates are ordered by place and then width: the widest of a place is its first from behind.
        tiles.sort_unstable_by_key(|tile| Reverse(tile.as_ref().coord));
        tiles.dedup_by_key(place);
        tiles.reverse();
        Self { tiles }
    }

    /// The tile at a place, whatever its width.
    #[must_use]
    pub fn get(&self, level: u8, index: u64) -> Option<&T> {
        let place = |tile: &T| (tile.as_ref().coord.level(), tile.as_ref().coord.index());
        self.tiles.binary_search_by_key(&(level, index), place).ok().and_then(|position| self.tiles.get(position))
    }

    /// The hash of one node.
    ///
    /// # Errors
    /// [`ReaderError::MissingNode`].
    pub fn hash(&self, node: NodeCoord) -> Result<Hash, ReaderError> {
        let (level, index, place) = NodePlace::of(node);
        let tile = self.get(level, index).ok_or(ReaderError::MissingNode(node))?;
        tile.as_ref().get(place).ok_or(ReaderError::MissingNode(node))
    }

    /// The hashes of nodes, in their order.
    ///
    /// # Errors
    /// [`ReaderError::MissingNode`].
    pub fn hashes(&self, nodes: &[NodeCoord]) -> Result<Vec<Hash>, ReaderError> {
        nodes.iter().map(|node| self.hash(*node)).collect()
    }
}

impl TilePlan {
    /// Plans reading nodes of the tree that has this root, which the caller trusts.
    ///
    /// # Errors
    /// [`ReaderError::NotInTree`].
    pub fn new(nodes: &[NodeCoord], tree: Root) -> Result<Self, ReaderError> {
        let edge = RootPlan::tree(tree.size);
        let mut tiles: BTreeSet<_> = tiles_of(edge.nodes(), tree.size)?.into_iter().collect();
        for node in nodes {
            let mut tile = tile_of(*node, tree.size)?;
            // A partial tile is on the edge, and so already there, as is every tile above one that is.
            while tiles.insert(tile) {
                let Some(above) = tile.root_node() else { break };
                tile = tile_of(above, tree.size)?;
            }
        }
        // Tiles are ordered by level first: reversed, each comes after the one above it.
        Ok(Self { tree, edge, tiles: tiles.into_iter().rev().collect() })
    }

    /// The tiles to fetch, or to take from a cache; each after the one above it.
    #[must_use]
    pub fn tiles(&self) -> &[TileCoord] {
        &self.tiles
    }

    /// Proves that the tree has these tiles, one for each of [`TilePlan::tiles`] and in that order.
    ///
    /// All are checked, also those that were proven before: with the inner nodes computed that costs a comparison.
    ///
    /// # Errors
    /// [`ReaderError::MissingTile`], [`ReaderError::WrongEdge`] or [`ReaderError::WrongTile`]; then none is proven.
    pub fn prove(&self, tiles: &[Arc<Tile>]) -> Result<Vec<ProvenTile>, ReaderError> {
        for (position, planned) in self.tiles.iter().enumerate() {
            if tiles.get(position).is_none_or(|tile| tile.coord != *planned) {
                return Err(ReaderError::MissingTile(*planned));
            }
        }
        let tiles = tiles.get(..self.tiles.len()).unwrap_or_default();
        let set = TileSet::new(tiles);
        // The widths of a tree's partial tiles are the digits of its size to the base 256, and their hashes are all
        // below the nodes of the root plan: the root proves every one of them.
        let computed = self.edge.fold(&set.hashes(self.edge.nodes())?)?;
        if computed != self.tree.hash {
            return Err(ReaderError::WrongEdge { tree: self.tree, computed });
        }
        // A full tile is proven by the tile above it, which comes before it.
        for tile in tiles {
            if let (Some(computed), Some(above)) = (tile.root(), tile.coord.root_node()) {
                let expected = set.hash(above)?;
                if computed != expected {
                    return Err(ReaderError::WrongTile { tile: tile.coord, computed, expected });
                }
            }
        }
        Ok(tiles.iter().cloned().map(ProvenTile).collect())
    }
}
