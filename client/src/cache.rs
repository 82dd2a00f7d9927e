//! A bounded memory of tiles that were proven. What is not proven cannot be put here: the type does not allow it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use cairn_tree::tile::{ProvenTile, Tile, TileCoord};

/// Proven tiles by their coordinates, the oldest forgotten first.
///
/// A tile was proven against some signed head; a log that forks may not fit the tiles of its other side, so whoever
/// takes one from here proves it again against the head at hand (`TilePlan::prove` does, at the cost of a comparison).
pub struct TileCache {
    tiles: HashMap<TileCoord, Arc<Tile>>,
    /// The coordinates in the order in which they came.
    order: VecDeque<TileCoord>,
    capacity: usize,
}

impl TileCache {
    /// An empty cache for so many tiles.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { tiles: HashMap::new(), order: VecDeque::new(), capacity }
    }

    /// A tile of exactly these coordinates, width included.
    #[must_use]
    pub fn get(&self, coord: TileCoord) -> Option<Arc<Tile>> {
        self.tiles.get(&coord).cloned()
    }

    /// Keeps a proven tile.
    pub fn put(&mut self, tile: &ProvenTile) {
        let coord = tile.tile().coord();
        if self.tiles.insert(coord, Arc::clone(tile.tile())).is_none() {
            self.order.push_back(coord);
        }
        while self.order.len() > self.capacity {
            if let Some(oldest) = self.order.pop_front() {
                self.tiles.remove(&oldest);
            }
        }
    }

    /// Forgets everything: the log was caught serving something else.
    pub fn clear(&mut self) {
        self.tiles.clear();
        self.order.clear();
    }
}
