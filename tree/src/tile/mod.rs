//! Tiles and entry bundles, the form in which C2SP tlog-tiles publishes a tree.
//!
//! Built on `merkle`, which knows nothing of them. Not here: how tiles are stored, fetched, cached or served.

pub mod coord;
pub mod entries;
pub mod path;
pub mod reader;

pub use coord::{BundleCoord, CoordError, NodePlace, TileCoord, Width};
pub use entries::{Entries, EntriesError};
pub use path::{PathError, TilePath};
pub use reader::{ProvenEntries, ProvenTile, ReaderError, Tile, TilePlan, TileSet, tiles_of};
