//! Planners: which perfect nodes a root or a proof is made of, and how their hashes fold into it.
//!
//! Plan purely, fetch once, fold. A plan holds coordinates only; fetching them, in whatever order and from whatever place,
//! is the caller's. Proofs are those of RFC 9162, sections 2.1.3.1 and 2.1.4.1, and draft-ietf-plants-merkle-tree-certs,
//! sections 4.3 and 4.4.1, in closed form instead of by recursion.

use core::ops::Range;

use super::subtree::{NodeCoord, Subtree};
use crate::hash::Hash;
use crate::size::{LeafIndex, TreeSize};

/// From which size to which a tree grew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// The older, smaller size.
    pub from: TreeSize,
    /// The newer, larger size.
    pub to: TreeSize,
}

/// The nodes of a root: the root of a whole tree, or of one subtree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootPlan {
    nodes: Vec<NodeCoord>,
}

/// The nodes of a proof.
///
/// Invariant: every node outside `ragged` is one hash of the proof; those in `ragged`, which are the perfect nodes of
/// the one part of the tree that ends at its right edge, fold into one hash. `ragged` lies within `nodes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofPlan {
    nodes: Vec<NodeCoord>,
    ragged: Range<usize>,
}

/// Why there is no plan, or it could not be folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The leaf is not in the tree.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    NoSuchLeaf {
        /// The leaf asked for.
        index: LeafIndex,
        /// The size of the tree.
        size: TreeSize,
    },
    /// The leaf is not in the subtree.
    #[error("leaf {index} is not in the subtree {subtree}")]
    NotInSubtree {
        /// The leaf asked for.
        index: LeafIndex,
        /// The subtree.
        subtree: Subtree,
    },
    /// Nothing can be proven about the empty tree: every tree extends it.
    #[error("there is no consistency proof from an empty tree")]
    FromEmpty,
    /// The tree is smaller than what shall be in it.
    #[error("a tree of {size} leaves does not contain the subtree {subtree}")]
    BeyondTree {
        /// The subtree, or the whole older tree.
        subtree: Subtree,
        /// The size of the tree.
        size: TreeSize,
    },
    /// Another number of hashes was fetched than planned.
    #[error("{planned} hashes were planned, {fetched} fetched")]
    HashCount {
        /// How many nodes the plan has.
        planned: usize,
        /// How many hashes came.
        fetched: usize,
    },
}

impl RootPlan {
    /// Plans `MTH` of all leaves of a tree.
    ///
    /// The nodes are also exactly the hashes of a `Frontier` of this size.
    #[must_use]
    pub fn tree(size: TreeSize) -> Self {
        Self::subtree(Subtree::tree(size))
    }

    /// Plans `MTH(D[start:end])`.
    #[must_use]
    pub fn subtree(subtree: Subtree) -> Self {
        Self { nodes: subtree.nodes().collect() }
    }

    /// The nodes to fetch, from left to right; none for an empty tree.
    #[must_use]
    pub fn nodes(&self) -> &[NodeCoord] {
        &self.nodes
    }

    /// Computes the root from the hashes of [`RootPlan::nodes`], in their order.
    ///
    /// # Errors
    /// [`PlanError::HashCount`].
    pub fn fold(&self, hashes: &[Hash]) -> Result<Hash, PlanError> {
        check_count(&self.nodes, hashes)?;
        Ok(fold_right_edge(hashes))
    }
}

/// The hashes of all parts of a tree that end at its right edge.
///
/// They are the same for every proof in this tree, and half of what a proof hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeHashes {
    /// Of the last node of the tree's [`RootPlan`], of the last two, and so on up to all.
    parts: Vec<Hash>,
}

impl EdgeHashes {
    /// Folds the hashes of the nodes of a tree's [`RootPlan`].
    #[must_use]
    pub fn new(hashes: &[Hash]) -> Self {
        let mut parts: Vec<Hash> = Vec::with_capacity(hashes.len());
        for left in hashes.iter().rev() {
            parts.push(parts.last().map_or(*left, |right| Hash::node(left, right)));
        }
        Self { parts }
    }

    /// The hash of the part that the last `nodes` nodes make up; `None` if the tree has not so many, or for no node.
    fn of_last(&self, nodes: usize) -> Option<Hash> {
        self.parts.get(nodes.checked_sub(1)?).copied()
    }
}

impl ProofPlan {
    /// Plans `PATH(index, D_size)` (RFC 9162, section 2.1.3.1).
    ///
    /// # Errors
    /// [`PlanError::NoSuchLeaf`].
    pub fn inclusion(index: LeafIndex, size: TreeSize) -> Result<Self, PlanError> {
        Path::inclusion(index, size).map(|path| Self::along(&path))
    }

    /// Plans the proof that a leaf is in a subtree (draft-ietf-plants-merkle-tree-certs, section 4.3).
    ///
    /// # Errors
    /// [`PlanError::NotInSubtree`].
    pub fn subtree_inclusion(index: LeafIndex, subtree: Subtree) -> Result<Self, PlanError> {
        if !subtree.contains(index) {
            return Err(PlanError::NotInSubtree { index, subtree });
        }
        Ok(Self::along(&Path::of_leaf(index, subtree)))
    }

    /// Plans `PROOF(from, D_to)` (RFC 9162, section 2.1.4.1).
    ///
    /// # Errors
    /// [`PlanError::FromEmpty`], or [`PlanError::BeyondTree`] if the tree would shrink.
    pub fn consistency(growth: Growth) -> Result<Self, PlanError> {
        Path::consistency(growth).map(|path| Self::along(&path))
    }

    /// Plans `SUBTREE_PROOF(start, end, D_size)` (draft-ietf-plants-merkle-tree-certs, section 4.4.1).
    ///
    /// # Errors
    /// [`PlanError::BeyondTree`].
    pub fn subtree_consistency(subtree: Subtree, size: TreeSize) -> Result<Self, PlanError> {
        if subtree.end() > size {
            return Err(PlanError::BeyondTree { subtree, size });
        }
        if subtree.is_empty() {
            return Ok(Self { nodes: Vec::new(), ragged: 0..0 });
        }
        Ok(Self::along(&Path::of_subtree(subtree, size)))
    }

    /// The nodes to fetch; possibly none.
    #[must_use]
    pub fn nodes(&self) -> &[NodeCoord] {
        &self.nodes
    }

    /// Computes the proof's hashes from the hashes of [`ProofPlan::nodes`], in their order.
    ///
    /// # Errors
    /// [`PlanError::HashCount`].
    pub fn fold(&self, hashes: &[Hash]) -> Result<Vec<Hash>, PlanError> {
        check_count(&self.nodes, hashes)?;
        let (before, rest) = hashes.split_at(self.ragged.start);
        let (ragged, after) = rest.split_at(self.ragged.len());
        let mut proof = Vec::with_capacity(before.len() + 1 + after.len());
        proof.extend_from_slice(before);
        if !ragged.is_empty() {
            proof.push(fold_right_edge(ragged));
        }
        proof.extend_from_slice(after);
        Ok(proof)
    }

    /// The nodes that are still to fetch by whoever has the [`EdgeHashes`] of the whole.
    pub fn nodes_within(&self) -> impl Iterator<Item = NodeCoord> {
        let (before, rest) = self.nodes.split_at(self.ragged.start);
        before.iter().chain(rest.get(self.ragged.len()..).unwrap_or_default()).copied()
    }

    /// Whether the proof has a hash of the right edge: else [`EdgeHashes`] help nothing.
    #[must_use]
    pub fn has_edge(&self) -> bool {
        !self.ragged.is_empty()
    }

    /// As [`ProofPlan::fold`], from the hashes of [`ProofPlan::nodes_within`] and those of the whole's edge.
    ///
    /// # Errors
    /// [`PlanError::HashCount`].
    pub fn fold_within(&self, mut hashes: Vec<Hash>, edge: &EdgeHashes) -> Result<Vec<Hash>, PlanError> {
        let planned = self.nodes.len() - self.ragged.len();
        let (start, pieces) = (self.ragged.start, self.ragged.len());
        let counts = PlanError::HashCount { planned, fetched: hashes.len() };
        if hashes.len() != planned {
            return Err(counts);
        }
        // The part's nodes are the last ones of the whole's root.
        if self.has_edge() {
            hashes.insert(start, edge.of_last(pieces).ok_or(counts)?);
        }
        Ok(hashes)
    }

    fn along(path: &Path) -> Self {
        let (mut nodes, mut ragged) = (Vec::with_capacity(path.max_hashes()), 0..0);
        path.walk(|part| match part {
            Part::Node(node) => nodes.push(node),
            Part::Edge(edge) => {
                let first = nodes.len();
                nodes.extend(edge.nodes());
                ragged = first..nodes.len();
            }
        });
        Self { nodes, ragged }
    }
}

/// What one hash of a proof is of.
pub(super) enum Part {
    /// A perfect node.
    Node(NodeCoord),
    /// What lies right of the path, up to the right edge, where that is not a perfect node. A path has at most one.
    Edge(Subtree),
}

/// The way from a node up to the root of `whole`, whose siblings make up a proof.
pub(super) struct Path {
    whole: Subtree,
    /// The last leaf below the node that it begins at.
    last: u64,
    /// The level of that node.
    level: u32,
    /// Whether the proof begins with that node itself.
    with_first: bool,
}

impl Path {
    pub(super) fn inclusion(index: LeafIndex, size: TreeSize) -> Result<Self, PlanError> {
        if size.contains(index) {
            Ok(Self::of_leaf(index, Subtree::tree(size)))
        } else {
            Err(PlanError::NoSuchLeaf { index, size })
        }
    }

    pub(super) fn consistency(growth: Growth) -> Result<Self, PlanError> {
        let (subtree, size) = (Subtree::tree(growth.from), growth.to);
        if growth.from == TreeSize::ZERO {
            Err(PlanError::FromEmpty)
        } else if growth.from > size {
            Err(PlanError::BeyondTree { subtree, size })
        } else {
            Ok(Self::of_subtree(subtree, size))
        }
    }

    /// From a leaf that is in `whole`.
    const fn of_leaf(index: LeafIndex, whole: Subtree) -> Self {
        Self { whole, last: index.get(), level: 0, with_first: false }
    }

    /// From a subtree that is not empty and within the tree.
    fn of_subtree(subtree: Subtree, size: TreeSize) -> Self {
        let (whole, last) = (Subtree::tree(size), subtree.end().get() - 1);
        if subtree.end() == size {
            // The subtree's root is itself a node, on the tree's right edge: the verifier has it.
            let level = subtree.size().next_power_of_two().trailing_zeros();
            return Self { whole, last, level, with_first: false };
        }
        // The last of the subtree's perfect nodes is the lowest node that it shares with the tree; the proof climbs from
        // there. If it is the whole subtree the verifier has its hash, else the proof begins with it.
        let with_first = !subtree.size().is_power_of_two();
        Self { whole, last, level: subtree.size().trailing_zeros(), with_first }
    }

    /// A bound of the nodes that the proof is made of: one for each level, and two more where the edge is in pieces.
    pub(super) const fn max_hashes(&self) -> usize {
        (u64::BITS - self.whole.size().leading_zeros()) as usize + 2
    }

    /// Visits what the proof's hashes are of, in their order.
    pub(super) fn walk(&self, mut visit: impl FnMut(Part)) {
        let base = self.whole.start();
        // Relative to the subtree, which is aligned, so that adding its start never carries into a node's index.
        let (position, end) = (self.last - base, self.whole.size() - 1);
        let node = |level: u32, index: u64| Part::Node(NodeCoord::known(level as u8, (base >> level) + index));
        if self.with_first {
            visit(node(self.level, position >> self.level));
        }
        // Below `join` the path and the last leaf are in different halves, so that all siblings are perfect, except
        // the last: it is what lies between there and the right edge.
        let join = u64::BITS - ((position ^ end) >> self.level << self.level).leading_zeros();
        for level in self.level..join.saturating_sub(1) {
            visit(node(level, (position >> level) ^ 1));
        }
        if join > self.level {
            let level = join - 1;
            let index = (position >> level) ^ 1;
            let edge = self.whole.from(base + (index << level));
            visit(if edge.size() == 1 << level { node(level, index) } else { Part::Edge(edge) });
        }
        // From there on the path is the right edge, which has siblings only to the left.
        let top = u64::BITS - position.leading_zeros();
        for level in join.max(self.level)..top {
            if position >> level & 1 == 1 {
                visit(node(level, (position >> level) ^ 1));
            }
        }
    }
}

fn check_count(nodes: &[NodeCoord], hashes: &[Hash]) -> Result<(), PlanError> {
    if nodes.len() == hashes.len() {
        Ok(())
    } else {
        Err(PlanError::HashCount { planned: nodes.len(), fetched: hashes.len() })
    }
}

/// `MTH` of adjacent perfect nodes of falling level: each is the left child of a node whose right child is the rest.
pub(super) fn fold_right_edge(hashes: &[Hash]) -> Hash {
    let mut right_to_left = hashes.iter().rev();
    match right_to_left.next() {
        None => Hash::EMPTY_TREE,
        Some(last) => right_to_left.fold(*last, |right, left| Hash::node(left, &right)),
    }
}
