//! A whole tree in memory, with all of its perfect nodes.
//!
//! For small trees, tests and measurements; not a log's storage, since it grows with the tree.

use super::Root;
use super::consistency::ConsistencyProof;
use super::frontier::Frontier;
use super::inclusion::InclusionProof;
use super::plan::{Growth, Part, Path, PlanError};
use super::subtree::NodeCoord;
use crate::hash::Hash;
use crate::size::{LeafIndex, SizeError, TreeSize};

/// A tree that grows, and proves anything about what it was and is.
#[derive(Debug, Clone, Default)]
pub struct MemoryTree {
    frontier: Frontier,
    /// The perfect nodes, each between its children, so that a leaf's nearest nodes are near in memory. What is between
    /// nodes that are there, but whose parent is not, holds no hash yet and is never read.
    nodes: Vec<Hash>,
    /// What the frontier's nodes from each one to the last fold into, so that a proof costs look-ups only.
    edge: Vec<Hash>,
}

impl MemoryTree {
    /// The empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends leaves, and returns the index of the first.
    ///
    /// # Errors
    /// [`SizeError::TooLarge`] if they do not all fit; then nothing is appended.
    pub fn extend(&mut self, leaves: &[Hash]) -> Result<LeafIndex, SizeError> {
        let size = self.size().plus(leaves.len() as u64)?;
        let nodes = &mut self.nodes;
        // More than the address space holds is as impossible as more than the tree does.
        let slots = usize::try_from(2 * size.get()).map_err(|_| SizeError::TooLarge)?;
        nodes.resize(slots, Hash::EMPTY_TREE);
        let first = self.frontier.extend(leaves, &mut |node, hash| {
            if let Some(slot) = position(node).and_then(|position| nodes.get_mut(position)) {
                *slot = hash;
            }
        })?;
        self.edge = self.frontier.edge();
        Ok(first)
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> TreeSize {
        self.frontier.size()
    }

    /// The size and the root hash.
    #[must_use]
    pub fn root(&self) -> Root {
        Root { size: self.size(), hash: self.edge.first().copied().unwrap_or(Hash::EMPTY_TREE) }
    }

    /// The hash of a perfect node, if the tree has it.
    #[must_use]
    pub fn node(&self, node: NodeCoord) -> Option<Hash> {
        if node.is_within(self.size()) { self.slot(node).copied() } else { None }
    }

    /// Where a node is, or will be.
    fn slot(&self, node: NodeCoord) -> Option<&Hash> {
        self.nodes.get(position(node)?)
    }

    /// Proves that this tree has a leaf.
    ///
    /// # Errors
    /// [`PlanError::NoSuchLeaf`].
    pub fn prove_inclusion(&self, index: LeafIndex) -> Result<InclusionProof, PlanError> {
        let path = Path::inclusion(index, self.size())?;
        Ok(InclusionProof::planned(self.read(&path)))
    }

    /// Proves that this tree extends the one that it was with `from` leaves.
    ///
    /// # Errors
    /// [`PlanError::FromEmpty`] or [`PlanError::BeyondTree`].
    pub fn prove_consistency(&self, from: TreeSize) -> Result<ConsistencyProof, PlanError> {
        let path = Path::consistency(Growth { from, to: self.size() })?;
        Ok(ConsistencyProof::planned(self.read(&path)))
    }

    /// The hashes of a proof; the tree has all that is on a path within it.
    fn read(&self, path: &Path) -> Vec<Hash> {
        let mut proof = Vec::with_capacity(path.max_hashes());
        path.walk(|part| {
            let hash = match part {
                Part::Node(node) => self.slot(node),
                // It is not perfect, so no node is above it: it is made of the frontier's last nodes.
                Part::Edge(edge) => {
                    let from = self.edge.len().checked_sub(edge.nodes().len());
                    from.and_then(|from| self.edge.get(from))
                }
            };
            if let Some(hash) = hash {
                proof.push(*hash);
            }
        });
        proof
    }
}

/// Counts all nodes of a tree from left to right, parents between their children.
fn position(node: NodeCoord) -> Option<usize> {
    usize::try_from(node.start() + node.end() - 1).ok()
}

#[cfg(test)]
mod tests {
    use super::super::consistency::Extension;
    use super::*;

    #[test]
    fn a_tree_that_grew_in_pieces_proves_every_leaf_and_every_smaller_size() {
        let leaves: Vec<_> = (0..600_u64).map(|leaf| Hash::leaf(&leaf.to_be_bytes())).collect();
        let mut tree = MemoryTree::new();
        assert_eq!(tree.root(), Root::EMPTY);
        let mut roots: Vec<Root> = Vec::new();
        for (piece, from) in leaves.chunks(7).zip((0..).step_by(7)) {
            assert_eq!(tree.extend(piece).map(LeafIndex::get), Ok(from));
            let root = tree.root();
            assert_eq!(root.size.get(), from + piece.len() as u64);
            for (index, leaf) in (0..).zip(&leaves[..root.size.get() as usize]) {
                let index = LeafIndex::new(index).unwrap();
                assert_eq!(tree.prove_inclusion(index).unwrap().verify(index, leaf, &root), Ok(()));
                assert_eq!(tree.node(NodeCoord::leaf(index)), Some(*leaf));
            }
            for old in &roots {
                let proof = tree.prove_consistency(old.size).unwrap();
                assert_eq!(proof.verify(&Extension { old: *old, new: root }), Ok(()));
            }
            for level in 0..=NodeCoord::MAX_LEVEL {
                let beyond = NodeCoord::new(level, root.size.get() >> level).unwrap();
                assert_eq!(tree.node(beyond), None);
            }
            let after = LeafIndex::new(root.size.get()).unwrap();
            assert_eq!(tree.prove_inclusion(after), Err(PlanError::NoSuchLeaf { index: after, size: root.size }));
            roots.push(root);
        }
        assert_eq!(tree.prove_consistency(TreeSize::ZERO), Err(PlanError::FromEmpty));
        assert!(matches!(tree.prove_consistency(TreeSize::MAX), Err(PlanError::BeyondTree { .. })));
    }
}
