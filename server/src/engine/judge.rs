//! What the tiles and entries of a log must hash to, derived from its signed root downwards.
//!
//! A tile is believed if its root stands in a believed tile above it, and the topmost if the tree's right edge hashes to
//! the signed root. So whatever is damaged, what must stand there is known as long as all above it is sound.

use std::sync::Arc;

use cairn_tree::hash::Hash;
use cairn_tree::size::TreeSize;

use super::growing::{Edge, perfect_root};
use super::stored::{ReadError, Stored, WIDTH};

/// Tile levels that can have full tiles.
pub(super) const LEVELS: u8 = 8;

/// Where tiles that are to be believed come from.
pub(super) trait Tiles {
    /// The hashes of a full tile that hash to this; `None` if there are none.
    fn tile(&self, level: u8, number: u64, expected: &Hash) -> Option<Vec<Hash>>;
}

impl Tiles for Stored<'_> {
    fn tile(&self, level: u8, number: u64, expected: &Hash) -> Option<Vec<Hash>> {
        Stored::tile(self, level, number).ok().filter(|hashes| perfect_root(hashes) == *expected)
    }
}

pub(super) struct Judge<T> {
    tiles: T,
    size: TreeSize,
    /// The unfinished tiles at the size; absent if they do not hash to the signed root.
    edge: Result<Arc<Edge>, ReadError>,
    /// The believed tile that was asked for last, of each level.
    believed: Vec<Option<(u64, Option<Vec<Hash>>)>>,
}

impl<'a> Judge<Stored<'a>> {
    /// Judges by this root. `edge`, if the writer has it at hand, was computed from entries before it was signed.
    pub(super) fn new(stored: Stored<'a>, (size, root): (TreeSize, Hash), edge: Option<Arc<Edge>>) -> Self {
        let read = || {
            let mut tree = stored.growing(size)?;
            let wrong = || stored.damaged("the tree at size", size.get(), format!("its root is {}", tree.root()));
            if tree.root() == root { Ok(Arc::new(tree.edge())) } else { Err(wrong()) }
        };
        let edge = edge.map_or_else(read, Ok);
        Self::of(stored, size, edge)
    }
}

impl<T: Tiles> Judge<T> {
    /// Judges by an edge that hashes to the signed root.
    pub(super) fn of(tiles: T, size: TreeSize, edge: Result<Arc<Edge>, ReadError>) -> Self {
        Self { tiles, size, edge, believed: vec![None; usize::from(LEVELS)] }
    }

    /// How many full tiles of a level there are.
    pub(super) fn full(&self, level: u8) -> u64 {
        self.size.get().checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0)
    }

    /// Why the right edge can't be believed, if it can't.
    pub(super) fn edge_error(&self) -> Option<&ReadError> {
        self.edge.as_ref().err()
    }

    /// The hashes of the unfinished tile of a level.
    pub(super) fn edge_hashes(&self, level: u8) -> Option<&[Hash]> {
        self.edge.as_ref().ok().map(|edge| edge.hashes(level))
    }

    /// What the hashes of a full tile hash to; `None` where something above it is damaged.
    pub(super) fn expected(&mut self, level: u8, number: u64) -> Option<Hash> {
        let (above, place) = (number / WIDTH, (number % WIDTH) as usize);
        if level + 1 < LEVELS && above < self.full(level + 1) {
            return self.believed(level + 1, above)?.get(place).copied();
        }
        self.edge.as_ref().ok()?.hashes(level + 1).get(place).copied()
    }

    fn believed(&mut self, level: u8, number: u64) -> Option<&[Hash]> {
        let at = usize::from(level);
        if self.believed.get(at)?.as_ref().is_none_or(|(known, _)| *known != number) {
            let expected = self.expected(level, number);
            let hashes = expected.and_then(|expected| self.tiles.tile(level, number, &expected));
            *self.believed.get_mut(at)? = Some((number, hashes));
        }
        self.believed.get(at)?.as_ref().and_then(|(_, hashes)| hashes.as_deref())
    }
}
