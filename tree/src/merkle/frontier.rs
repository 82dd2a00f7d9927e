//! The right edge of a growing tree: all that is needed to append to it and to know its root.
//!
//! Not a store: completed nodes are reported to the caller and then forgotten.

use super::Root;
use super::plan::fold_right_edge;
use super::subtree::{NodeCoord, Subtree};
use crate::hash::Hash;
use crate::size::{LeafIndex, SizeError, TreeSize};

/// The perfect nodes that a tree of some size is made of.
///
/// Invariant: one hash for each node of `RootPlan::tree(size)`, from left to right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontier {
    size: TreeSize,
    hashes: Vec<Hash>,
}

/// Why hashes are not a frontier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrontierError {
    /// A tree of this size has another number of perfect nodes.
    #[error("the frontier of {size} leaves has {expected} hashes, not {found}")]
    HashCount {
        /// The size of the tree.
        size: TreeSize,
        /// How many hashes its frontier has.
        expected: usize,
        /// How many came.
        found: usize,
    },
}

/// How many leaves are hashed level by level at a time: as many as fit the processor's first cache, and a full tile.
const BLOCK_LEVEL: u32 = 8;

impl Frontier {
    /// The frontier of the empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: TreeSize::ZERO, hashes: Vec::new() }
    }

    /// Takes the hashes of `RootPlan::tree(size).nodes()`, in their order. Compare [`Frontier::root`] with a known root
    /// if they come from where they could be wrong.
    ///
    /// # Errors
    /// [`FrontierError::HashCount`].
    pub fn from_parts(size: TreeSize, hashes: Vec<Hash>) -> Result<Self, FrontierError> {
        let expected = Subtree::tree(size).nodes().len();
        if hashes.len() == expected {
            Ok(Self { size, hashes })
        } else {
            Err(FrontierError::HashCount { size, expected, found: hashes.len() })
        }
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> TreeSize {
        self.size
    }

    /// The hashes of the perfect nodes, from left to right.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The size and the root hash.
    #[must_use]
    pub fn root(&self) -> Root {
        Root { size: self.size, hash: fold_right_edge(&self.hashes) }
    }

    /// For each perfect node the hash of everything from its first leaf to the last one: the first is the root.
    pub(super) fn edge(&self) -> Vec<Hash> {
        let mut edge: Vec<Hash> = Vec::with_capacity(self.hashes.len());
        for hash in self.hashes.iter().rev() {
            edge.push(edge.last().map_or(*hash, |right| Hash::node(hash, right)));
        }
        edge.reverse();
        edge
    }

    /// Appends one leaf and reports every node that it completes, itself first and then upwards.
    ///
    /// # Errors
    /// [`SizeError::TooLarge`] if the tree is full; then nothing is appended or reported.
    pub fn push(&mut self, leaf: Hash, completed: &mut impl FnMut(NodeCoord, Hash)) -> Result<LeafIndex, SizeError> {
        let index = self.size.next_index()?;
        self.push_node(NodeCoord::leaf(index), leaf, completed)?;
        Ok(index)
    }

    /// Appends leaves and reports every node that they complete, children before their parents.
    ///
    /// Returns the index of the first. Faster than as many [`Frontier::push`], and equal to them but for the order of reports.
    ///
    /// # Errors
    /// [`SizeError::TooLarge`] if they do not all fit; then nothing is appended or reported.
    pub fn extend(
        &mut self,
        leaves: &[Hash],
        completed: &mut impl FnMut(NodeCoord, Hash),
    ) -> Result<LeafIndex, SizeError> {
        let first = self.size.next_index()?;
        self.size.plus(leaves.len() as u64)?;
        let mut rest = leaves;
        let (mut hashes, mut above) = (Vec::new(), Vec::new());
        while let Some(fitting) = rest.len().checked_ilog2() {
            // The largest perfect subtree that begins at the edge, ends within the leaves, and is not over the block.
            let level = fitting.min(self.size.get().trailing_zeros()).min(BLOCK_LEVEL);
            let (block, after) = rest.split_at(1 << level);
            rest = after;
            let mut first_node = self.size.get();
            hashes.clear();
            hashes.extend_from_slice(block);
            for height in 0..level {
                report(height as u8, first_node, &hashes, completed);
                above.clear();
                Hash::extend_with_parents(&hashes, &mut above);
                core::mem::swap(&mut hashes, &mut above);
                first_node >>= 1;
            }
            for root in hashes.drain(..) {
                self.push_node(NodeCoord::known(level as u8, first_node), root, completed)?;
            }
        }
        Ok(first)
    }

    /// Appends a perfect node that begins at the edge, and reports it and what it completes.
    fn push_node(
        &mut self,
        node: NodeCoord,
        hash: Hash,
        completed: &mut impl FnMut(NodeCoord, Hash),
    ) -> Result<(), SizeError> {
        let size = self.size.plus(1 << node.level())?;
        let (mut level, mut index, mut hash) = (node.level(), node.index(), hash);
        completed(node, hash);
        // A node that is a right child completes its parent, for its sibling is the frontier's last.
        while index & 1 == 1 {
            let Some(left) = self.hashes.pop() else { break };
            hash = Hash::node(&left, &hash);
            (level, index) = (level + 1, index >> 1);
            completed(NodeCoord::known(level, index), hash);
        }
        self.hashes.push(hash);
        self.size = size;
        Ok(())
    }
}

fn report(level: u8, first: u64, hashes: &[Hash], completed: &mut impl FnMut(NodeCoord, Hash)) {
    for (index, hash) in (first..).zip(hashes) {
        completed(NodeCoord::known(level, index), *hash);
    }
}

/// The empty tree's.
impl Default for Frontier {
    fn default() -> Self {
        Self::new()
    }
}
