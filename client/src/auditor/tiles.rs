//! Node hashes of a signed tree, read from tiles that are proven against its root.

use std::sync::Arc;

use cairn_tree::hash::Hash;
use cairn_tree::merkle::{ConsistencyProof, Growth, InclusionProof, NodeCoord, ProofPlan, Root, RootPlan};
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::tile::{BundleCoord, ProvenTile, Tile, TileCoord, TilePlan, TileSet};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::error::AuditError;
use crate::bounds;
use crate::cache::TileCache;
use crate::fetch::{FetchError, Freshness, Remote};

/// Reads proven tiles of one log.
pub struct TileReader {
    remote: Arc<Remote>,
    cache: TileCache,
    parallel: usize,
}

impl TileReader {
    /// A reader that fetches so many tiles at a time.
    #[must_use]
    pub fn new(remote: Arc<Remote>, parallel: usize) -> Self {
        Self { remote, cache: TileCache::new(bounds::CACHED_TILES), parallel: parallel.max(1) }
    }

    /// The tiles with these nodes, proven to be of the tree that has this root, which the caller trusts.
    ///
    /// # Errors
    /// [`AuditError::Fetch`], or [`AuditError::Misfit`] if they are not of that tree.
    pub async fn prove(
        &mut self,
        nodes: &[NodeCoord],
        tree: Root,
        freshness: Freshness,
    ) -> Result<TileSet<ProvenTile>, AuditError> {
        let plan = TilePlan::new(nodes, tree)?;
        if freshness == Freshness::PastCaches {
            self.cache.clear();
        }
        let known: Vec<Option<Arc<Tile>>> = plan.tiles().iter().map(|coord| self.cache.get(*coord)).collect();
        // Collected: a stream over this closure could not be sent to another thread (rust-lang/rust #100013).
        let fetches: Vec<_> = plan
            .tiles()
            .iter()
            .zip(known)
            .map(|(coord, known)| fetch(&self.remote, *coord, known, freshness))
            .collect();
        let tiles: Vec<Arc<Tile>> = futures_util::stream::iter(fetches).buffered(self.parallel).try_collect().await?;
        let proven = plan.prove(&tiles)?;
        for tile in &proven {
            self.cache.put(tile);
        }
        Ok(TileSet::new(proven))
    }

    /// The roots that a tree had at smaller sizes.
    ///
    /// # Errors
    /// As [`TileReader::prove`].
    pub async fn root_at(&mut self, size: TreeSize, tree: Root, freshness: Freshness) -> Result<Root, AuditError> {
        let plan = RootPlan::tree(size);
        let tiles = self.prove(plan.nodes(), tree, freshness).await?;
        Ok(Root { size, hash: plan.fold(&tiles.hashes(plan.nodes())?)? })
    }

    /// The consistency proof from a smaller size to a tree that the caller trusts. It is right as built: its hashes are
    /// proven.
    ///
    /// # Errors
    /// As [`TileReader::prove`], and [`AuditError::Plan`] if there is no such proof.
    pub async fn consistency(
        &mut self,
        from: TreeSize,
        tree: Root,
        freshness: Freshness,
    ) -> Result<ConsistencyProof, AuditError> {
        let plan = ProofPlan::consistency(Growth { from, to: tree.size })?;
        let hashes = self.fold(&plan, tree, freshness).await?;
        Ok(ConsistencyProof::from_hashes(hashes)?)
    }

    /// The inclusion proof of a leaf in a tree that the caller trusts, and the leaf's hash.
    ///
    /// # Errors
    /// As [`TileReader::consistency`].
    pub async fn inclusion(
        &mut self,
        index: LeafIndex,
        tree: Root,
        freshness: Freshness,
    ) -> Result<(Hash, InclusionProof), AuditError> {
        let plan = ProofPlan::inclusion(index, tree.size)?;
        let hashes = self.fold(&plan, tree, freshness).await?;
        let leaf = NodeCoord::leaf(index);
        let tiles = self.prove(&[leaf], tree, Freshness::AnyCache).await?;
        Ok((tiles.hash(leaf)?, InclusionProof::from_hashes(hashes)?))
    }

    /// The leaf hashes that a tree has for the entries of a bundle.
    ///
    /// # Errors
    /// As [`TileReader::prove`].
    pub async fn leaf_hashes(&mut self, bundle: BundleCoord, tree: Root) -> Result<Vec<Hash>, AuditError> {
        let tile = bundle.tile();
        let first: Vec<NodeCoord> = tile.node(0).into_iter().collect();
        let tiles = self.prove(&first, tree, Freshness::AnyCache).await?;
        let proven = tiles.get(tile.level(), tile.index());
        Ok(proven.map(|tile| tile.as_ref().hashes().to_vec()).unwrap_or_default())
    }

    async fn fold(&mut self, plan: &ProofPlan, tree: Root, freshness: Freshness) -> Result<Vec<Hash>, AuditError> {
        let tiles = self.prove(plan.nodes(), tree, freshness).await?;
        Ok(plan.fold(&tiles.hashes(plan.nodes())?)?)
    }
}

async fn fetch(
    remote: &Remote,
    coord: TileCoord,
    known: Option<Arc<Tile>>,
    freshness: Freshness,
) -> Result<Arc<Tile>, FetchError> {
    match known {
        Some(tile) => Ok(tile),
        None => remote.tile(coord, freshness).await.map(Arc::new),
    }
}
