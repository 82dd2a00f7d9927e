//! Perfect nodes, and the subtrees of draft-ietf-plants-merkle-tree-certs, section 4, which C2SP tlog-cosignature signs.
//!
//! Coordinates only: hashes are planned in `plan` and proven in `inclusion` and `consistency`.

use core::fmt;
use core::ops::Range;

use crate::hash::Hash;
use crate::size::{LeafIndex, SizeError, TreeSize};

/// A node over exactly `2^level` leaves, the `index`-th such from the left.
///
/// Once its leaves are there its hash never changes, whatever the tree grows to. Invariant: its last leaf is within
/// [`TreeSize::MAX`], so `level` is at most [`NodeCoord::MAX_LEVEL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeCoord {
    level: u8,
    index: u64,
}

/// An interval of leaves that is aligned well enough to be proven consistent with any tree that contains it.
///
/// Invariant (draft-ietf-plants-merkle-tree-certs, section 4.1): `start <= end`, and `start` is a multiple of the smallest
/// power of two that is at least `end - start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subtree {
    start: u64,
    end: TreeSize,
}

/// A subtree together with its hash, `MTH(D[start:end])`, known or claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubtreeRoot {
    /// Which leaves.
    pub subtree: Subtree,
    /// Their Merkle tree hash.
    pub hash: Hash,
}

/// Why numbers are not a node or a subtree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubtreeError {
    /// No tree of a supported size has this node.
    #[error("no tree has a node {index} at level {level}")]
    NoSuchNode {
        /// The level asked for.
        level: u8,
        /// The index asked for.
        index: u64,
    },
    /// The interval ends before it starts.
    #[error("the interval [{start}, {end}) ends before it starts")]
    Reversed {
        /// The first leaf.
        start: u64,
        /// One past the last leaf.
        end: u64,
    },
    /// The start is no multiple of the length rounded up to a power of two.
    #[error("the interval [{start}, {end}) is not aligned to be a subtree")]
    Unaligned {
        /// The first leaf.
        start: u64,
        /// One past the last leaf.
        end: u64,
    },
    /// The end is past the largest tree.
    #[error("the end of an interval {0}")]
    Size(#[from] SizeError),
}

impl NodeCoord {
    /// The largest level of a node in a tree of at most [`TreeSize::MAX`] leaves.
    pub const MAX_LEVEL: u8 = 62;

    /// Checks that some tree has this node.
    ///
    /// # Errors
    /// [`SubtreeError::NoSuchNode`] if its last leaf is past [`TreeSize::MAX`].
    pub const fn new(level: u8, index: u64) -> Result<Self, SubtreeError> {
        if level > Self::MAX_LEVEL || index >= TreeSize::MAX.get() >> level {
            return Err(SubtreeError::NoSuchNode { level, index });
        }
        Ok(Self { level, index })
    }

    /// The node that is one leaf.
    #[must_use]
    pub const fn leaf(index: LeafIndex) -> Self {
        Self { level: 0, index: index.get() }
    }

    /// A node that the caller knows to end within a valid tree size.
    pub(crate) const fn known(level: u8, index: u64) -> Self {
        Self { level, index }
    }

    /// The base-two logarithm of how many leaves are below.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.level
    }

    /// The position among the nodes of its level.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.index
    }

    /// The index of the first leaf below.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.index << self.level
    }

    /// One past the index of the last leaf below: the smallest tree that has this node.
    #[must_use]
    pub const fn end(self) -> u64 {
        (self.index + 1) << self.level
    }

    /// Whether a tree of this size has the node.
    #[must_use]
    pub const fn is_within(self, size: TreeSize) -> bool {
        self.end() <= size.get()
    }

    /// The two halves, or `None` for a leaf.
    #[must_use]
    pub const fn children(self) -> Option<(Self, Self)> {
        match self.level.checked_sub(1) {
            Some(level) => {
                let left = self.index * 2;
                Some((Self { level, index: left }, Self { level, index: left + 1 }))
            }
            None => None,
        }
    }
}

impl Subtree {
    /// Checks the draft's two conditions (section 4.1).
    ///
    /// # Errors
    /// [`SubtreeError`], except [`SubtreeError::NoSuchNode`].
    pub fn new(interval: Range<u64>) -> Result<Self, SubtreeError> {
        let Range { start, end } = interval;
        let length = end.checked_sub(start).ok_or(SubtreeError::Reversed { start, end })?;
        let bound = TreeSize::new(end)?;
        // The length is below 2^63, so its BIT_CEIL does not overflow.
        if start & (length.next_power_of_two() - 1) != 0 {
            return Err(SubtreeError::Unaligned { start, end });
        }
        Ok(Self { start, end: bound })
    }

    /// The whole tree of this size.
    #[must_use]
    pub const fn tree(size: TreeSize) -> Self {
        Self { start: 0, end: size }
    }

    /// The two adjacent subtrees that together contain `interval`, with less than half of the first in excess before
    /// it and nothing after it (section 4.5.1).
    ///
    /// # Errors
    /// [`SubtreeError`] if the interval is reversed or ends past the largest tree.
    pub fn cover(interval: Range<u64>) -> Result<(Self, Self), SubtreeError> {
        let Range { start, end } = interval;
        let length = end.checked_sub(start).ok_or(SubtreeError::Reversed { start, end })?;
        let bound = TreeSize::new(end)?;
        // Step 1.
        if length <= 1 {
            return Ok((Self { start, end: bound }, Self { start: end, end: bound }));
        }
        // Steps 2.1 to 2.3: where the paths of the first and the last leaf part, and the first leaf right of there.
        let last = end - 1;
        let split = (start ^ last).ilog2();
        let below_split = (1 << split) - 1;
        let mid = last & !below_split;
        // Steps 2.4 and 2.5: move the start left as far as its path runs along the left subtree's inside.
        let left_split = u64::BITS - (!start & below_split).leading_zeros();
        let left_start = start & !((1 << left_split) - 1);
        // Step 2.6.
        Ok((Self { start: left_start, end: TreeSize::new(mid)? }, Self { start: mid, end: bound }))
    }

    /// The index of the first leaf, if there is any.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// One past the index of the last leaf: the smallest tree that contains the subtree.
    #[must_use]
    pub const fn end(self) -> TreeSize {
        self.end
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(self) -> u64 {
        self.end.get() - self.start
    }

    /// Whether there are no leaves.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.size() == 0
    }

    /// Whether this leaf is one of them.
    #[must_use]
    pub const fn contains(self, index: LeafIndex) -> bool {
        self.start <= index.get() && self.end.contains(index)
    }

    /// The fewest perfect nodes that make it up, from left to right, so of falling level.
    ///
    /// There is one for each bit that is set in the size, because the start is aligned.
    #[must_use]
    pub const fn nodes(self) -> PerfectNodes {
        PerfectNodes { start: self.start, left: self.size() }
    }

    /// What lies right of a node of the subtree: from `start`, which is aligned as a subtree's start, to the same end.
    pub(super) const fn from(self, start: u64) -> Self {
        Self { start, end: self.end }
    }
}

/// Iterates over what [`Subtree::nodes`] describes.
#[derive(Debug, Clone)]
pub struct PerfectNodes {
    start: u64,
    left: u64,
}

impl Iterator for PerfectNodes {
    type Item = NodeCoord;

    fn next(&mut self) -> Option<NodeCoord> {
        let level = self.left.checked_ilog2()?;
        // Levels are below 64, and the end of the node is at most the end of the subtree.
        let node = NodeCoord::known(level as u8, self.start >> level);
        self.start += 1 << level;
        self.left -= 1 << level;
        Some(node)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.left.count_ones() as usize;
        (count, Some(count))
    }
}

impl ExactSizeIterator for PerfectNodes {}

/// As the draft writes intervals: `[4, 8)`.
impl fmt::Display for Subtree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}
