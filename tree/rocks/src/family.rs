//! Which rows live together: one column family per way of being written and read.
//!
//! All families share one write-ahead log and are flushed together, so a batch over several of them stays one batch.

use cairn_tree::store::{KeyRange, Kind};

/// A column family. The names are on disk and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Small rows, mostly overwritten or deleted: heads, bindings, policies, checkpoints, idempotency keys, lists of runs.
    Rows,
    /// Pieces of unfinished bundles: written by one commit, deleted by a later one.
    Tail,
    /// Full bundles: large, read one by one, worth compressing.
    Bundles,
    /// Full tiles: 8 KiB of hashes, which do not compress.
    Tiles,
    /// Blocks of index runs: hashes as well, sorted.
    Index,
    /// What records disclose: apart from all else, since it is what may be erased.
    Disclosures,
}

impl Family {
    pub(crate) const ALL: [Self; 6] =
        [Self::Rows, Self::Tail, Self::Bundles, Self::Tiles, Self::Index, Self::Disclosures];
    /// Those that databases had before there were records.
    pub(crate) const FIRST: [Self; 5] = [Self::Rows, Self::Tail, Self::Bundles, Self::Tiles, Self::Index];

    pub(crate) const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Head | Kind::Binding | Kind::Policy | Kind::Checkpoint => Self::Rows,
            Kind::Idempotency | Kind::Expiry | Kind::IndexManifest => Self::Rows,
            Kind::PostingManifest | Kind::PrintSecret => Self::Rows,
            Kind::Piece => Self::Tail,
            Kind::Bundle | Kind::BundlePart => Self::Bundles,
            Kind::Tile(_) => Self::Tiles,
            Kind::IndexRun | Kind::PostingRun => Self::Index,
            Kind::Disclosures => Self::Disclosures,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            // RocksDB always has a family of this name.
            Self::Rows => "default",
            Self::Tail => "tail",
            Self::Bundles => "bundles",
            Self::Tiles => "tiles",
            Self::Index => "index",
            Self::Disclosures => "disclosures",
        }
    }

    /// The families that may hold keys of `range`: one for a range within a kind, else all.
    pub(crate) fn within(range: &KeyRange) -> Vec<Self> {
        range.kind().map_or_else(|| Self::ALL.to_vec(), |kind| vec![Self::of(kind)])
    }
}
