//! Checking a whole log: every entry, every tile and the root, against the signed head. Memory does not grow with the
//! log.

use core::fmt;
use std::sync::Arc;

use cairn_tree::checkpoint::VerifiedCheckpoint;
use cairn_tree::hash::Hash;
use cairn_tree::merkle::Frontier;
use cairn_tree::size::TreeSize;
use cairn_tree::tile::{BundleCoord, ReaderError, Tile, TileCoord};
use futures_util::StreamExt as _;

use crate::bounds::TILE_WIDTH;
use crate::fetch::{FetchError, Freshness, Remote};

/// What was checked of a sound log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// Entries whose bytes were hashed.
    pub entries: u64,
    /// Tiles that were compared with what the entries give.
    pub tiles: u64,
}

/// The first place at which a log is not what its head signs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct Unsound {
    /// The resource, relative to the log.
    pub place: String,
    /// What is wrong there.
    pub fault: String,
    /// The resource was not to be had, so that it may yet be sound.
    pub is_missing: bool,
}

impl Unsound {
    fn at(place: impl fmt::Display, fault: impl fmt::Display) -> Self {
        Self { place: place.to_string(), fault: fault.to_string(), is_missing: false }
    }

    fn of_fetch(place: impl fmt::Display, error: &FetchError) -> Self {
        let is_missing = !matches!(error, FetchError::Malformed { .. } | FetchError::TooLong { .. });
        Self { place: place.to_string(), fault: error.to_string(), is_missing }
    }
}

/// Re-reads the tree that `head` signs. `progress` is told how many entries were checked.
///
/// # Errors
/// [`Unsound`] names the first bad place, in the order of the log.
pub async fn check_whole(
    remote: &Arc<Remote>,
    head: &VerifiedCheckpoint,
    parallel: usize,
    progress: &mut dyn FnMut(u64),
) -> Result<Checked, Unsound> {
    let size = head.size();
    let mut climb = Climb { remote, size, rows: Vec::new(), checked: Checked::default() };
    let mut frontier = Frontier::new();
    let bundles = (0..size.get().div_ceil(TILE_WIDTH)).filter_map(|number| BundleCoord::in_tree(number, size));
    // Each bundle is fetched and hashed by a task of its own; they are put together in the order of the log.
    let mut checks = futures_util::stream::iter(bundles)
        .map(|coord| tokio::spawn(check_bundle(Arc::clone(remote), coord)))
        .buffered(parallel.max(1));
    while let Some(joined) = checks.next().await {
        let tile = joined.map_err(|error| Unsound::at("this client", error))??;
        let hashes = tile.hashes();
        frontier.extend(hashes, &mut |_, _| {}).map_err(|error| Unsound::at(tile.coord(), error))?;
        climb.checked.entries += hashes.len() as u64;
        climb.checked.tiles += 1;
        if let Some(root) = tile.root() {
            climb.push(1, tile.coord().index(), root).await?;
        }
        progress(climb.checked.entries);
    }
    climb.finish().await?;
    let computed = frontier.root();
    let signed = head.tree();
    if computed == signed {
        return Ok(climb.checked);
    }
    let fault = format!("its root is {}, but the entries give {}", signed.hash.to_base64(), computed.hash.to_base64());
    Err(Unsound::at("the signed head", fault))
}

/// Compares a bundle's entries with the tile of their leaf hashes, and returns the tile.
async fn check_bundle(remote: Arc<Remote>, coord: BundleCoord) -> Result<Tile, Unsound> {
    let first = compare_bundle(&remote, coord, Freshness::AnyCache).await;
    match first {
        // What is wrong may be a cache's fault; the log itself decides.
        Err(fault) if !fault.is_missing => compare_bundle(&remote, coord, Freshness::PastCaches).await,
        other => other,
    }
}

async fn compare_bundle(remote: &Remote, coord: BundleCoord, freshness: Freshness) -> Result<Tile, Unsound> {
    let (tile, bundle) =
        futures_util::future::join(remote.tile(coord.tile(), freshness), remote.bundle(coord, freshness)).await;
    let tile = tile.map_err(|error| Unsound::of_fetch(coord.tile(), &error))?;
    let bundle = bundle.map_err(|error| Unsound::of_fetch(coord, &error))?;
    let entries = bundle.entries().map_err(|error| Unsound::at(coord, error))?;
    match tile.check_entries(coord, &entries) {
        Ok(()) => Ok(tile),
        Err(ReaderError::WrongEntry { index, computed, expected }) => {
            let (computed, expected) = (computed.to_base64(), expected.to_base64());
            let fault = format!("entry {index} hashes to {computed}, but {} has {expected}", coord.tile());
            Err(Unsound::at(coord, fault))
        }
        Err(error) => Err(Unsound::at(coord, error)),
    }
}

/// The tiles above the leaves, as the entries give them: one unfinished row for each level.
struct Climb<'a> {
    remote: &'a Remote,
    size: TreeSize,
    /// For each level from 1 on, the hashes of its last tile so far, and that tile's index.
    rows: Vec<(u64, Vec<Hash>)>,
    checked: Checked,
}

impl Climb<'_> {
    /// Takes the hash over the `index`-th tile of the level below; whenever that fills a tile, compares it with the
    /// log's.
    async fn push(&mut self, level: u8, index: u64, hash: Hash) -> Result<(), Unsound> {
        let (mut level, mut index, mut hash) = (level, index, hash);
        loop {
            let depth = usize::from(level) - 1;
            if self.rows.len() <= depth {
                self.rows.push((0, Vec::new()));
            }
            let Some((tile, row)) = self.rows.get_mut(depth) else { return Ok(()) };
            *tile = index / TILE_WIDTH;
            row.push(hash);
            if (row.len() as u64) < TILE_WIDTH {
                return Ok(());
            }
            let (number, full) = (*tile, core::mem::take(row));
            let Some(root) = self.compare(level, number, &full).await?.root() else { return Ok(()) };
            (level, index, hash) = (level + 1, number, root);
        }
    }

    /// Compares the partial tiles above the leaves.
    async fn finish(&mut self) -> Result<(), Unsound> {
        for (level, (number, row)) in (1..).zip(core::mem::take(&mut self.rows)) {
            if !row.is_empty() {
                self.compare(level, number, &row).await?;
            }
        }
        Ok(())
    }

    async fn compare(&mut self, level: u8, number: u64, hashes: &[Hash]) -> Result<Tile, Unsound> {
        let coord = TileCoord::in_tree(level, number, self.size)
            .ok_or_else(|| Unsound::at("this client", format!("no tile {number} at level {level}")))?;
        let ours = Tile::from_hashes(coord, hashes).map_err(|error| Unsound::at(coord, error))?;
        self.checked.tiles += 1;
        if let Ok(theirs) = self.remote.tile(coord, Freshness::AnyCache).await
            && theirs == ours
        {
            return Ok(ours);
        }
        let theirs = self.remote.tile(coord, Freshness::PastCaches).await;
        let theirs = theirs.map_err(|error| Unsound::of_fetch(coord, &error))?;
        match theirs.hashes().iter().zip(hashes).position(|(theirs, ours)| theirs != ours) {
            None => Ok(ours),
            Some(position) => Err(Unsound::at(coord, format!("its hash {position} is not what the tiles below give"))),
        }
    }
}
