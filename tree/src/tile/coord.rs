//! Coordinates of tiles and entry bundles (C2SP tlog-tiles, "Merkle Tree" and "Log entries").
//!
//! Arithmetic only; `path` writes and reads them as text.

use crate::merkle::NodeCoord;
use crate::size::{LeafIndex, TreeSize};

/// How many levels of the tree one tile spans.
const HEIGHT: u8 = 8;

/// The number of hashes in a tile, or of entries in a bundle: 1 to 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Width(u16);

/// A full or partial tile: `width` nodes of level `8 * level`, beginning at node `256 * index`.
///
/// Invariant: the tree of [`TileCoord::end`] leaves is not larger than [`TreeSize::MAX`]. So `level` is at most
/// [`TileCoord::MAX_LEVEL`], although C2SP allows 63 to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileCoord {
    level: u8,
    index: u64,
    width: Width,
}

/// A full or partial entry bundle: `width` entries, beginning at leaf `256 * index`.
///
/// Invariant: its last entry is within [`TreeSize::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleCoord {
    index: u64,
    width: Width,
}

/// Where in its tile a node is: the `offset`-th of the nodes `height` levels above the tile's own hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodePlace {
    height: u8,
    offset: u8,
}

/// Why numbers are not a tile or a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CoordError {
    /// The width is not 1 to 256.
    #[error("a tile's width must be 1 to 256, not {0}")]
    Width(u64),
    /// No tree of a supported size has this tile.
    #[error("no tree has a tile {index} at level {level}")]
    NoSuchTile {
        /// The level asked for.
        level: u8,
        /// The index asked for.
        index: u64,
    },
    /// No tree of a supported size has this bundle.
    #[error("no tree has an entry bundle {0}")]
    NoSuchBundle(u64),
}

impl Width {
    /// A full tile's or bundle's.
    pub const FULL: Self = Self(256);

    /// Checks the bounds.
    ///
    /// # Errors
    /// [`CoordError::Width`].
    pub const fn new(width: u64) -> Result<Self, CoordError> {
        if width == 0 || width > Self::FULL.0 as u64 { Err(CoordError::Width(width)) } else { Ok(Self(width as u16)) }
    }

    /// The number of hashes or entries.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0 as usize
    }

    /// Whether it is 256.
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.0 == Self::FULL.0
    }

    /// The width of the tile that begins at `first`, of a row that has so many hashes.
    fn of_row(first: u64, row: u64) -> Option<Self> {
        let width = row.checked_sub(first)?.min(u64::from(Self::FULL.0));
        Self::new(width).ok()
    }
}

impl TileCoord {
    /// The largest level that a tile of a tree of at most [`TreeSize::MAX`] leaves has.
    pub const MAX_LEVEL: u8 = NodeCoord::MAX_LEVEL / HEIGHT;

    /// Checks that some tree has this tile.
    ///
    /// # Errors
    /// [`CoordError::NoSuchTile`].
    pub fn new(level: u8, index: u64, width: Width) -> Result<Self, CoordError> {
        let fits = level <= Self::MAX_LEVEL
            && index
                .checked_mul(256)
                .and_then(|first| first.checked_add(u64::from(width.0)))
                .is_some_and(|end| end <= TreeSize::MAX.get() >> (HEIGHT * level));
        if fits { Ok(Self { level, index, width }) } else { Err(CoordError::NoSuchTile { level, index }) }
    }

    /// The tile in which a tree of this size has a node, as wide as it is there, and where in it the node is.
    ///
    /// `None` if the tree does not have the node.
    #[must_use]
    pub fn of_node(node: NodeCoord, size: TreeSize) -> Option<(Self, NodePlace)> {
        if !node.is_within(size) {
            return None;
        }
        let (level, index, place) = NodePlace::of(node);
        Some((Self::in_tree(level, index, size)?, place))
    }

    /// The tile as wide as a tree of this size has it; `None` if there is nothing of it yet.
    #[must_use]
    pub fn in_tree(level: u8, index: u64, size: TreeSize) -> Option<Self> {
        if level > Self::MAX_LEVEL {
            return None;
        }
        let width = Width::of_row(index.checked_mul(256)?, size.get() >> (HEIGHT * level))?;
        Some(Self { level, index, width })
    }

    /// The partial tiles of a tree of this size, from the leaves up: at most one for each level.
    pub fn partials(size: TreeSize) -> impl Iterator<Item = Self> {
        (0..=Self::MAX_LEVEL).filter_map(move |level| {
            let row = size.get() >> (HEIGHT * level);
            Self::in_tree(level, row / 256, size)
        })
    }

    /// The level, counted in tiles: its hashes are nodes of level `8 * level`.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.level
    }

    /// The position among the tiles of its level.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.index
    }

    /// How many hashes it has.
    #[must_use]
    pub const fn width(self) -> Width {
        self.width
    }

    /// The tile's `offset`-th hash, as a node of the tree; `None` past its width.
    #[must_use]
    pub fn node(self, offset: u8) -> Option<NodeCoord> {
        let inside = usize::from(offset) < self.width.get();
        inside.then(|| NodeCoord::known(HEIGHT * self.level, self.index * 256 + u64::from(offset)))
    }

    /// The node that all of a full tile's hashes are below; `None` for a partial tile.
    #[must_use]
    pub fn root_node(self) -> Option<NodeCoord> {
        self.width.is_full().then(|| NodeCoord::known(HEIGHT * (self.level + 1), self.index))
    }

    /// The same tile with another width.
    ///
    /// # Errors
    /// [`CoordError::NoSuchTile`] if it would be past the largest tree.
    pub fn with_width(self, width: Width) -> Result<Self, CoordError> {
        Self::new(self.level, self.index, width)
    }

    /// The index of the first leaf below its hashes (C2SP "start index").
    #[must_use]
    pub const fn start(self) -> u64 {
        (self.index * 256) << (HEIGHT * self.level)
    }

    /// One past the last leaf below its hashes (for a full tile C2SP's "end index"): the smallest tree that has them all.
    #[must_use]
    pub const fn end(self) -> u64 {
        (self.index * 256 + self.width.0 as u64) << (HEIGHT * self.level)
    }
}

impl BundleCoord {
    /// Checks that some tree has this bundle.
    ///
    /// # Errors
    /// [`CoordError::NoSuchBundle`].
    pub fn new(index: u64, width: Width) -> Result<Self, CoordError> {
        match TileCoord::new(0, index, width) {
            Ok(_) => Ok(Self { index, width }),
            Err(_) => Err(CoordError::NoSuchBundle(index)),
        }
    }

    /// The bundle in which a tree of this size has a leaf, as wide as it is there, and the entry's place in it.
    ///
    /// `None` if the tree does not have the leaf.
    #[must_use]
    pub fn of_leaf(leaf: LeafIndex, size: TreeSize) -> Option<(Self, u8)> {
        let (tile, place) = TileCoord::of_node(NodeCoord::leaf(leaf), size)?;
        Some((Self { index: tile.index, width: tile.width }, place.offset))
    }

    /// The bundle as wide as a tree of this size has it; `None` if there is nothing of it yet.
    #[must_use]
    pub fn in_tree(index: u64, size: TreeSize) -> Option<Self> {
        let width = TileCoord::in_tree(0, index, size)?.width;
        Some(Self { index, width })
    }

    /// The position among the bundles.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.index
    }

    /// How many entries it has.
    #[must_use]
    pub const fn width(self) -> Width {
        self.width
    }

    /// The level 0 tile that has its entries' leaf hashes.
    #[must_use]
    pub const fn tile(self) -> TileCoord {
        TileCoord { level: 0, index: self.index, width: self.width }
    }

    /// The same bundle with another width.
    ///
    /// # Errors
    /// [`CoordError::NoSuchBundle`] if it would be past the largest tree.
    pub fn with_width(self, width: Width) -> Result<Self, CoordError> {
        Self::new(self.index, width)
    }

    /// The index of its first entry.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.index * 256
    }

    /// One past the index of its last entry.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.index * 256 + self.width.0 as u64
    }
}

impl NodePlace {
    /// The level and index of the tile that a node is in, and where it is there.
    ///
    /// Every node has exactly one place: one at a multiple of eight levels is a hash of its own in the tile above.
    pub(super) const fn of(node: NodeCoord) -> (u8, u64, Self) {
        let height = node.level() % HEIGHT;
        // Cut to the offset's bits, which are at most eight.
        let offset = (node.index() & (0xff >> height)) as u8;
        (node.level() / HEIGHT, node.index() >> (HEIGHT - height), Self { height, offset })
    }

    /// How many levels above the tile's own hashes: 0 to 7.
    #[must_use]
    pub const fn height(self) -> u8 {
        self.height
    }

    /// The position among the tile's nodes of that height.
    #[must_use]
    pub const fn offset(self) -> u8 {
        self.offset
    }
}
