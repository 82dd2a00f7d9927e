//! Reading one log, bounded by a head that the caller read first.
//!
//! Full tiles and bundles never change, so they are cached as they are served and with their inner nodes computed; the
//! unfinished ones come from the head. Every call may touch the disk.

use std::sync::Arc;

use bytes::Bytes;
use cairn_tree::hash::Hash;
use cairn_tree::merkle::plan::{EdgeHashes, Growth, ProofPlan, RootPlan};
use cairn_tree::merkle::subtree::NodeCoord;
use cairn_tree::merkle::{ConsistencyProof, InclusionProof};
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::store::{LogId, Store};
use cairn_tree::tile::{BundleCoord, Entries, NodePlace, Tile, TileCoord};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::bounds::{BUNDLE_CACHE_BYTES, SERVED_CACHE_BYTES, TILE_CACHE_BYTES};
use super::caches::Cached;
use super::growing::Edge;
use super::head::{Head, Shared};
use super::proven::Roots;
use super::scrub::Place;
use super::stored::{ReadError, Stored, WIDTH};

/// What all readers of a database share.
pub(super) struct Reader {
    pub(super) store: Arc<dyn Store>,
    tiles: Cache<(LogId, u8, u64), Arc<Tile>>,
    served: Cache<(LogId, TileCoord), Bytes, Length>,
    /// Unfinished ones by their width: an event stream takes them in many pieces, and its neighbours take the same.
    bundles: Cache<(LogId, BundleCoord), Bytes, Length>,
    edges: Cache<(LogId, TreeSize), Arc<Edge>>,
    /// The hashes of right edges, for the sizes that proofs are asked for.
    folded: Cache<(LogId, TreeSize), Arc<EdgeHashes>>,
    pub(super) roots: Roots,
}

/// Weighs what is served by its bytes.
#[derive(Clone)]
struct Length;

impl<K> Weighter<K, Bytes> for Length {
    fn weight(&self, _: &K, bytes: &Bytes) -> u64 {
        bytes.len() as u64
    }
}

/// The memory of a full tile with its inner nodes: 511 hashes.
const EXPANDED_TILE_BYTES: usize = 511 * Hash::LEN;
/// The bytes of a full tile as it is served.
const TILE_BYTES: usize = 256 * Hash::LEN;
/// Bundles of a common length that the cache has room for.
const BUNDLES: usize = 1_024;
/// Edges of logs that have not been written to for long.
const EDGES: usize = 256;
/// Folded edges, of at most 2 KiB each: those of the newest heads of many logs.
const FOLDED_EDGES: usize = 4_096;

/// Why a proof can't be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The question has no answer in this tree: an index or a size that does not fit.
    #[error("{0}")]
    Question(String),
}

impl Reader {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        let served = Cache::with_weighter(SERVED_CACHE_BYTES / TILE_BYTES, SERVED_CACHE_BYTES as u64, Length);
        let tiles = Cache::new(TILE_CACHE_BYTES / EXPANDED_TILE_BYTES);
        Self {
            store,
            tiles,
            served,
            bundles: bundle_cache(),
            edges: Cache::new(EDGES),
            folded: Cache::new(FOLDED_EDGES),
            roots: Roots::new(),
        }
    }

    pub(super) fn cached(&self) -> [Cached; 3] {
        let tile = EXPANDED_TILE_BYTES as u64;
        [
            Cached { name: "tiles", used: self.tiles.weight() * tile, capacity: self.tiles.capacity() * tile },
            Cached { name: "served_tiles", used: self.served.weight(), capacity: self.served.capacity() },
            Cached { name: "bundles", used: self.bundles.weight(), capacity: self.bundles.capacity() },
        ]
    }

    fn stored(&self, log: &Shared) -> Stored<'_> {
        Stored::new(&*self.store, log.info.id)
    }

    fn edge(&self, log: &Shared, head: &Head) -> Result<Arc<Edge>, ReadError> {
        if let Some(edge) = &head.edge {
            return Ok(Arc::clone(edge));
        }
        let key = (log.info.id, head.size);
        if let Some(edge) = self.edges.get(&key) {
            return Ok(edge);
        }
        let mut tree = self.stored(log).growing(head.size)?;
        if tree.root() != head.root {
            let size = head.size.get();
            return Err(self.stored(log).damaged("the tree at size", size, "its tiles do not hash to the head's root"));
        }
        let edge = Arc::new(tree.edge());
        self.edges.insert(key, Arc::clone(&edge));
        Ok(edge)
    }

    /// What was found damaged is not served, whatever a cache still has: nobody knows since when it is.
    fn refuse_damaged(&self, log: &Shared, place: Place) -> Result<(), ReadError> {
        match log.damage.get(place) {
            Some(problem) => {
                Err(ReadError::Damaged { log: log.info.id, place: place.to_string(), problem, entry: None })
            }
            None => Ok(()),
        }
    }

    /// The tile that has a node of the head's tree: full from the store, or unfinished from the head.
    pub(super) fn expanded(&self, log: &Shared, head: &Head, coord: TileCoord) -> Result<Arc<Tile>, ReadError> {
        let stored = self.stored(log);
        let damaged =
            || stored.damaged(&format!("tile of level {}, number", coord.level()), coord.index(), "its width");
        if !coord.width().is_full() {
            return self.edge(log, head)?.tile(coord).ok_or_else(damaged);
        }
        self.refuse_damaged(log, Place::Tile { level: coord.level(), number: coord.index() })?;
        let key = (log.info.id, coord.level(), coord.index());
        if let Some(tile) = self.tiles.get(&key) {
            return Ok(tile);
        }
        let hashes = stored.tile(coord.level(), coord.index())?;
        let tile = Arc::new(Tile::from_hashes(coord, &hashes).map_err(|_| damaged())?);
        self.tiles.insert(key, Arc::clone(&tile));
        Ok(tile)
    }

    fn node(&self, log: &Shared, head: &Head, node: NodeCoord) -> Result<Hash, ReadError> {
        let missing = || self.missing_node(log, node);
        let (coord, place) = TileCoord::of_node(node, head.size).ok_or_else(missing)?;
        self.expanded(log, head, coord)?.get(place).ok_or_else(missing)
    }

    /// The nodes of a proof. Most neighbours among them stand in one tile, which is looked up once: the cache's own work
    /// would cost more than all the rest of a proof. They are read in a row, so that the processor waits for all of a
    /// tile's memory at once.
    fn nodes(&self, log: &Shared, head: &Head, nodes: &[NodeCoord]) -> Result<Vec<Hash>, ReadError> {
        let mut hashes = Vec::with_capacity(nodes.len() + 1);
        let mut places: Vec<(TileCoord, NodePlace)> = Vec::with_capacity(nodes.len());
        for node in nodes {
            places.push(TileCoord::of_node(*node, head.size).ok_or_else(|| self.missing_node(log, *node))?);
        }
        for places in places.chunk_by(|one, next| one.0 == next.0) {
            let Some((coord, _)) = places.first() else { continue };
            let tile = self.expanded(log, head, *coord)?;
            let before = hashes.len();
            hashes.extend(places.iter().filter_map(|(_, place)| tile.get(*place)));
            if hashes.len() != before + places.len() {
                let what = format!("a node of the tile of level {}, number", coord.level());
                return Err(self.stored(log).damaged(&what, coord.index(), "it is not there"));
            }
        }
        Ok(hashes)
    }

    /// The hashes of a proof in the tree of `size`, and before them that of `first`, if there is one.
    fn proof(
        &self,
        log: &Shared,
        head: &Head,
        first: Option<NodeCoord>,
        plan: &ProofPlan,
        size: TreeSize,
    ) -> Result<(Option<Hash>, Vec<Hash>), ProofError> {
        let edge = if plan.has_edge() { Some(self.edge_hashes(log, head, size)?) } else { None };
        let mut wanted = Vec::with_capacity(1 + plan.nodes().len());
        wanted.extend(first);
        match edge {
            Some(_) => wanted.extend(plan.nodes_within()),
            None => wanted.extend(plan.nodes()),
        }
        let mut hashes = self.nodes(log, head, &wanted)?;
        let lead = first.map(|_| hashes.remove(0));
        let proof = match edge {
            Some(edge) => plan.fold_within(hashes, &edge),
            None => plan.fold(&hashes),
        };
        Ok((lead, proof.map_err(question)?))
    }

    fn edge_hashes(&self, log: &Shared, head: &Head, size: TreeSize) -> Result<Arc<EdgeHashes>, ReadError> {
        let key = (log.info.id, size);
        if let Some(folded) = self.folded.get(&key) {
            return Ok(folded);
        }
        let hashes = self.nodes(log, head, RootPlan::tree(size).nodes())?;
        let folded = Arc::new(EdgeHashes::new(&hashes));
        self.folded.insert(key, Arc::clone(&folded));
        Ok(folded)
    }

    pub(super) fn missing_node(&self, log: &Shared, node: NodeCoord) -> ReadError {
        self.stored(log).damaged("a node below the head, number", node.index(), "it is not there")
    }

    /// The bytes of a tile, cut to its width; `None` where the head's tree has no such tile.
    pub(super) fn tile(&self, log: &Shared, head: &Head, coord: TileCoord) -> Result<Option<Bytes>, ReadError> {
        let Some(widest) = TileCoord::in_tree(coord.level(), coord.index(), head.size) else { return Ok(None) };
        if coord.width() > widest.width() {
            return Ok(None);
        }
        self.refuse_damaged(log, Place::Tile { level: coord.level(), number: coord.index() })?;
        let key = (log.info.id, coord);
        if let Some(bytes) = self.served.get(&key) {
            return Ok(Some(bytes));
        }
        let hashes = if widest.width().is_full() {
            self.stored(log).tile(coord.level(), coord.index())?
        } else {
            self.edge(log, head)?.hashes(coord.level()).to_vec()
        };
        let bytes: Bytes = hashes.iter().take(coord.width().get()).flat_map(|hash| *hash.as_bytes()).collect();
        if coord.width().is_full() {
            self.served.insert(key, bytes.clone());
        }
        Ok(Some(bytes))
    }

    /// The bytes of an entry bundle, cut to its width; `None` where the head's tree has no such bundle.
    pub(super) fn bundle(&self, log: &Shared, head: &Head, coord: BundleCoord) -> Result<Option<Bytes>, ReadError> {
        let Some(widest) = BundleCoord::in_tree(coord.index(), head.size) else { return Ok(None) };
        if coord.width() > widest.width() {
            return Ok(None);
        }
        self.refuse_damaged(log, Place::Bundle { number: coord.index() })?;
        // Whoever asks for one that is being read waits for that: it may have 16 MiB, and many may ask.
        let read = || self.stored(log).bundle(coord.index(), coord.width().get()).map(exactly);
        self.bundles.get_or_insert_with(&(log.info.id, coord), read).map(Some)
    }

    /// One entry; `None` past the head.
    pub(super) fn entry(&self, log: &Shared, head: &Head, index: LeafIndex) -> Result<Option<Bytes>, ReadError> {
        let Some((coord, position)) = BundleCoord::of_leaf(index, head.size) else { return Ok(None) };
        if let Some(entry) = self.record(log, index, coord)? {
            return Ok(Some(entry.into()));
        }
        let Some(bundle) = self.bundle(log, head, coord)? else { return Ok(None) };
        let damaged = |error| self.stored(log).damaged("bundle", coord.index(), error);
        let entries = Entries::parse_bundle(&bundle, coord.width()).map_err(damaged)?;
        // A copy: a part of the bundle would keep all of it in memory until the slowest reader has taken this entry.
        Ok(entries.get(usize::from(position)).map(Bytes::copy_from_slice))
    }

    /// Those of these entries, by their indexes, which rise, that are read faster together than each by itself. One that is
    /// not among them may be there all the same.
    pub(super) fn records(&self, log: &Shared, head: &Head, indexes: &[LeafIndex]) -> Vec<(LeafIndex, Vec<u8>)> {
        let is_in_part = |index: &LeafIndex| {
            BundleCoord::of_leaf(*index, head.size).is_some_and(|(coord, _)| {
                self.reads_parts(log, coord)
                    && self.refuse_damaged(log, Place::Bundle { number: coord.index() }).is_ok()
            })
        };
        let indexes: Vec<LeafIndex> = indexes.iter().copied().filter(is_in_part).collect();
        if indexes.len() > 1 { self.stored(log).entries_in_parts(&indexes) } else { Vec::new() }
    }

    /// Whether an entry of a bundle is read from its part: if there may be one and the whole bundle is not at hand.
    fn reads_parts(&self, log: &Shared, coord: BundleCoord) -> bool {
        let has_records = log.found.get().is_some();
        has_records && coord.width().is_full() && self.bundles.peek(&(log.info.id, coord)).is_none()
    }

    /// An entry from the part of its bundle.
    fn record(&self, log: &Shared, index: LeafIndex, coord: BundleCoord) -> Result<Option<Vec<u8>>, ReadError> {
        if !self.reads_parts(log, coord) {
            return Ok(None);
        }
        self.refuse_damaged(log, Place::Bundle { number: coord.index() })?;
        self.stored(log).entry_in_part(index)
    }

    /// Entries from `start` to before `end`, as many as fit `most` bytes, at least one if there is one.
    pub(super) fn entries(
        &self,
        log: &Shared,
        head: &Head,
        start: LeafIndex,
        end: TreeSize,
        most: usize,
    ) -> Result<Vec<Bytes>, ReadError> {
        let end = end.min(head.size).get();
        let mut found = Vec::new();
        let mut bytes = 0_usize;
        let mut index = start.get();
        while index < end {
            let Some(coord) = BundleCoord::in_tree(index / WIDTH, head.size) else { break };
            let Some(bundle) = self.bundle(log, head, coord)? else { break };
            let damaged = |error| self.stored(log).damaged("bundle", coord.index(), error);
            let entries = Entries::parse_bundle(&bundle, coord.width()).map_err(damaged)?;
            for entry in entries.iter().skip((index % WIDTH) as usize).take((end - index) as usize) {
                bytes = bytes.saturating_add(entry.len());
                if bytes > most && !found.is_empty() {
                    return Ok(found);
                }
                found.push(bundle.slice_ref(entry));
            }
            index = (index / WIDTH + 1) * WIDTH;
        }
        Ok(found)
    }

    pub(super) fn leaf_hash(&self, log: &Shared, head: &Head, index: LeafIndex) -> Result<Option<Hash>, ReadError> {
        if !head.size.contains(index) {
            return Ok(None);
        }
        self.node(log, head, NodeCoord::leaf(index)).map(Some)
    }

    /// A leaf's hash, and the proof that it is in the tree of `size`.
    pub(super) fn inclusion(
        &self,
        log: &Shared,
        head: &Head,
        index: LeafIndex,
        size: TreeSize,
    ) -> Result<(Hash, InclusionProof), ProofError> {
        within(size, head)?;
        let plan = ProofPlan::inclusion(index, size).map_err(question)?;
        let (leaf, hashes) = self.proof(log, head, Some(NodeCoord::leaf(index)), &plan, size)?;
        let leaf = leaf.ok_or_else(|| self.missing_node(log, NodeCoord::leaf(index)))?;
        Ok((leaf, InclusionProof::from_hashes(hashes).map_err(question)?))
    }

    pub(super) fn consistency(
        &self,
        log: &Shared,
        head: &Head,
        growth: Growth,
    ) -> Result<ConsistencyProof, ProofError> {
        within(growth.to, head)?;
        let plan = ProofPlan::consistency(growth).map_err(question)?;
        let (_, hashes) = self.proof(log, head, None, &plan, growth.to)?;
        ConsistencyProof::from_hashes(hashes).map_err(question)
    }

    /// The root that the tree had at a smaller size.
    pub(super) fn root(&self, log: &Shared, head: &Head, size: TreeSize) -> Result<Hash, ProofError> {
        within(size, head)?;
        let plan = RootPlan::tree(size);
        let hashes = self.nodes(log, head, plan.nodes())?;
        plan.fold(&hashes).map_err(question)
    }

    /// The lowest index at which the head's tree has a leaf.
    pub(super) fn find(&self, log: &Shared, head: &Head, leaf: &Hash) -> Result<Option<LeafIndex>, ReadError> {
        let Some(index) = &log.index else { return Ok(None) };
        let found = index.find_many(&*self.store, || log.head().size, core::slice::from_ref(leaf))?.pop().flatten();
        Ok(found.filter(|index| head.size.contains(*index)))
    }
}

/// In one part: in several, none would have room for a long bundle.
fn bundle_cache<K: Eq + core::hash::Hash>() -> Cache<K, Bytes, Length> {
    let mut options = OptionsBuilder::new();
    options.shards(1).estimated_items_capacity(BUNDLES).weight_capacity(BUNDLE_CACHE_BYTES as u64);
    // Only a missing capacity is refused.
    match options.build() {
        Ok(options) => Cache::with_options(options, Length, DefaultHashBuilder::default(), DefaultLifecycle::default()),
        Err(_) => Cache::with_weighter(BUNDLES, BUNDLE_CACHE_BYTES as u64, Length),
    }
}

/// In memory of just their length, which is what they weigh in a cache: what grew piece by piece, or was cut from something
/// longer, still takes up the room of the longest that it could be.
fn exactly(bytes: Vec<u8>) -> Bytes {
    if bytes.capacity() == bytes.len() { bytes.into() } else { Bytes::copy_from_slice(&bytes) }
}

pub(super) fn question(error: impl ToString) -> ProofError {
    ProofError::Question(error.to_string())
}

pub(super) fn within(size: TreeSize, head: &Head) -> Result<(), ProofError> {
    if size <= head.size {
        Ok(())
    } else {
        Err(ProofError::Question(format!("the log's size is {}, not {size}", head.size)))
    }
}
