//! What a log under one of its heads is read for: entries, tiles, hashes and proofs. Not here: how they are read (`reader`),
//! and records (`records`).

use bytes::Bytes;
use cairn_tree::hash::Hash;
use cairn_tree::merkle::{ConsistencyProof, Growth, InclusionProof, Root};
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::tile::{BundleCoord, TileCoord};

use super::Log;
use super::fsck::{self, Finding};
use super::head::Head;
use super::layout::LogState;
use super::reader::ProofError;
use super::stored::ReadError;

impl Log {
    /// One entry; `None` past the head.
    ///
    /// # Errors
    /// [`ReadError`], for this and all reads below: the store failed, or holds something damaged.
    pub fn entry(&self, head: &Head, index: LeafIndex) -> Result<Option<Bytes>, ReadError> {
        self.running.reader.entry(&self.shared, head, index)
    }

    /// Entries from `start` to before `end`, fewer if they pass `most` bytes, but at least one if there is one.
    ///
    /// # Errors
    /// As [`Log::entry`].
    pub fn entries(&self, head: &Head, start: LeafIndex, end: TreeSize, most: usize) -> Result<Vec<Bytes>, ReadError> {
        self.running.reader.entries(&self.shared, head, start, end, most)
    }

    /// The bytes of a tile of exactly this width; `None` if the head's tree has none.
    ///
    /// # Errors
    /// As [`Log::entry`].
    pub fn tile(&self, head: &Head, coord: TileCoord) -> Result<Option<Bytes>, ReadError> {
        self.running.reader.tile(&self.shared, head, coord)
    }

    /// The bytes of an entry bundle of exactly this width; `None` if the head's tree has none.
    ///
    /// # Errors
    /// As [`Log::entry`].
    pub fn bundle(&self, head: &Head, coord: BundleCoord) -> Result<Option<Bytes>, ReadError> {
        self.running.reader.bundle(&self.shared, head, coord)
    }

    /// A leaf's hash; `None` past the head.
    ///
    /// # Errors
    /// As [`Log::entry`].
    pub fn leaf_hash(&self, head: &Head, index: LeafIndex) -> Result<Option<Hash>, ReadError> {
        self.running.reader.leaf_hash(&self.shared, head, index)
    }

    /// The proof that the leaf at `index` is in the tree of `size`, which is at most the head's.
    ///
    /// # Errors
    /// [`ProofError::Question`] if there is no such leaf or tree.
    pub fn inclusion(&self, head: &Head, index: LeafIndex, size: TreeSize) -> Result<InclusionProof, ProofError> {
        self.located(head, index, size).map(|(_, proof)| proof)
    }

    /// The hash of the leaf at `index` with its proof, as [`Log::inclusion`] gives it.
    ///
    /// # Errors
    /// As there.
    pub fn located(&self, head: &Head, index: LeafIndex, size: TreeSize) -> Result<(Hash, InclusionProof), ProofError> {
        self.running.reader.inclusion(&self.shared, head, index, size)
    }

    /// The hash that the tree `under` proves to have at `index`; it is at most the head's. `None` if what is stored of the
    /// tree does not come to its root.
    ///
    /// # Errors
    /// As [`Log::inclusion`].
    pub fn proven(&self, head: &Head, index: LeafIndex, under: &Root) -> Result<Option<Hash>, ProofError> {
        self.running.reader.proven(&self.shared, head, index, under)
    }

    /// The proof that one tree extends another; both are at most the head's.
    ///
    /// # Errors
    /// [`ProofError::Question`] if there are no such trees.
    pub fn consistency(&self, head: &Head, growth: Growth) -> Result<ConsistencyProof, ProofError> {
        self.running.reader.consistency(&self.shared, head, growth)
    }

    /// The root that the tree had at `size`.
    ///
    /// # Errors
    /// [`ProofError::Question`] if it never had that size.
    pub fn root(&self, head: &Head, size: TreeSize) -> Result<Hash, ProofError> {
        self.running.reader.root(&self.shared, head, size)
    }

    /// The lowest index of a leaf in the head's tree; always `None` for a log without a hash index.
    ///
    /// # Errors
    /// As [`Log::entry`].
    pub fn find(&self, head: &Head, leaf: &Hash) -> Result<Option<LeafIndex>, ReadError> {
        self.running.reader.find(&self.shared, head, leaf)
    }

    /// Re-hashes everything under the newest head while the log is served; what is wrong, if anything, and where.
    pub fn fsck(&self, progress: &mut dyn FnMut(TreeSize)) -> Finding {
        let size = self.head().size;
        let wrong = fsck::check_served(&*self.running.reader.store, &self.shared, progress);
        let halted = match self.state() {
            LogState::Halted(reason) => Some(format!("halted: {reason}")),
            LogState::Open | LogState::Sealed => None,
        };
        let damaged = wrong.is_some();
        let (problem, places) = wrong.map_or((halted, Vec::new()), |(first, places)| (Some(first), places));
        Finding { log: self.shared.info.name.to_string(), size, problem, damaged, places }
    }
}
