//! Reading a log's new entries: every byte that was logged is fetched, hashed, and appended to the tree that is known.

use std::sync::Arc;

use cairn_tree::hash::Hash;
use cairn_tree::merkle::{Frontier, Root};
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::tile::BundleCoord;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;

use crate::auditor::AuditError;
use crate::bounds::{self, TILE_WIDTH};
use crate::fetch::{FetchError, Freshness, Remote};

/// How far the reading is.
pub(super) struct Progress<'a>(pub(super) &'a mut (dyn FnMut(u64) + Send));

/// What is read, and how.
#[derive(Clone, Copy)]
pub(super) struct Span {
    /// Up to which size.
    pub(super) to: TreeSize,
    /// How large the tree is, whose last bundle may be partial.
    pub(super) of: TreeSize,
    /// Whether caches may answer.
    pub(super) freshness: Freshness,
    /// How many bundles are fetched at a time.
    pub(super) window: Window,
}

/// How many bundles may be on their way at a time.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// So many in any case.
    pub(super) least: usize,
    /// And so many if they are small.
    pub(super) most: usize,
}

impl Window {
    /// How many, of bundles of this size. Small ones are a matter of the way there and back: the more are on their way,
    /// the faster they come. Large ones must find room in memory.
    fn of(self, bytes: usize) -> usize {
        let fit = bounds::READ_AHEAD_BYTES.checked_div(bytes).unwrap_or(self.most);
        fit.min(self.most).max(self.least).max(1)
    }
}

/// Appends the log's entries from the frontier's size on. Whether the result is the signed tree is for the caller to
/// see.
pub(super) async fn read_entries(
    remote: &Arc<Remote>,
    mut frontier: Frontier,
    span: Span,
    progress: Progress<'_>,
) -> Result<Frontier, AuditError> {
    let from = frontier.size();
    let last = span.to.get().div_ceil(TILE_WIDTH);
    let mut bundles = (from.get() / TILE_WIDTH..last).filter_map(|number| BundleCoord::in_tree(number, span.of));
    // Each bundle is fetched and hashed by a task of its own, so that all cores hash; the order is kept.
    let (mut hashed, mut largest) = (FuturesOrdered::new(), None);
    loop {
        let room = span.window.of(largest.unwrap_or(bounds::BUNDLE_BYTES)).saturating_sub(hashed.len());
        for coord in bundles.by_ref().take(room) {
            let remote = Arc::clone(remote);
            hashed.push_back(tokio::spawn(async move { leaf_hashes(&remote, coord, span.freshness).await }));
        }
        let Some(joined) = hashed.next().await else { break };
        let Hashed { coord, hashes, bytes } = joined.map_err(|error| AuditError::Interrupted(error.to_string()))??;
        largest = largest.max(Some(bytes));
        // The first bundle may begin with entries that are known already.
        let known = usize::try_from(frontier.size().get().saturating_sub(coord.start())).unwrap_or(usize::MAX);
        let new = hashes.get(known..).unwrap_or_default();
        frontier.extend(new, &mut |_, _| {}).map_err(|error| AuditError::Interrupted(error.to_string()))?;
        (progress.0)(frontier.size().get() - from.get());
    }
    Ok(frontier)
}

/// A bundle whose entries were hashed.
struct Hashed {
    coord: BundleCoord,
    hashes: Vec<Hash>,
    /// How long its entries are in all.
    bytes: usize,
}

async fn leaf_hashes(remote: &Remote, coord: BundleCoord, freshness: Freshness) -> Result<Hashed, FetchError> {
    let bundle = remote.bundle(coord, freshness).await?;
    let entries = bundle.entries().map_err(|error| FetchError::Malformed {
        url: format!("{}/{coord}", remote.url()),
        fault: error.to_string(),
    })?;
    let bytes = (&entries).into_iter().map(<[u8]>::len).sum();
    Ok(Hashed { coord, hashes: entries.leaf_hashes(), bytes })
}

/// The first entry in a range whose bytes are not what the tree has, as the log serves it now.
pub(super) struct WrongEntry {
    /// Which.
    pub(super) index: LeafIndex,
    /// What was served.
    pub(super) served: Vec<u8>,
}

/// Looks for the first entry that does not fit the tree, in the bundles from `from` on.
pub(super) async fn first_wrong_entry(
    reader: &mut crate::auditor::TileReader,
    remote: &Remote,
    from: TreeSize,
    tree: Root,
) -> Result<Option<WrongEntry>, AuditError> {
    for number in from.get() / TILE_WIDTH..tree.size.get().div_ceil(TILE_WIDTH) {
        let Some(coord) = BundleCoord::in_tree(number, tree.size) else { break };
        let expected = reader.leaf_hashes(coord, tree).await?;
        let bundle = remote.bundle(coord, Freshness::PastCaches).await?;
        let Ok(entries) = bundle.entries() else { continue };
        for ((index, entry), expected) in (coord.start()..).zip(&entries).zip(expected) {
            if Hash::leaf(entry) != expected
                && let Ok(index) = LeafIndex::new(index)
            {
                return Ok(Some(WrongEntry { index, served: entry.to_vec() }));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_bundles_are_read_ahead_and_large_ones_only_as_many_as_were_asked_for() {
        let window = Window { least: 16, most: 64 };
        assert_eq!([0, 1, 256 * 300, bounds::BUNDLE_BYTES].map(|bytes| window.of(bytes)), [64, 64, 64, 16]);
        assert_eq!(window.of(bounds::READ_AHEAD_BYTES / 20), 20);
        // Who says how many are asked for has the last word.
        let fixed = Window { least: 3, most: 3 };
        assert_eq!([1, bounds::BUNDLE_BYTES].map(|bytes| fixed.of(bytes)), [3, 3]);
        assert_eq!(Window { least: 0, most: 0 }.of(1), 1, "it always gets on");
    }
}
