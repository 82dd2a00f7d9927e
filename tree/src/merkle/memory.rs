//! A whole tree in memory, with all of its perfect nodes.
//!
//! For small trees, tests and measurements; not a log's storage, since it grows with the tree.

use super::Root;
use super::consistency::ConsistencyProof;
use super::frontier::Frontier;
use super::inclusion::InclusionProof;
use super::plan::{Growth, PlanError, ProofPlan};
use super::subtree::NodeCoord;
use crate::hash::Hash;
use crate::size::{LeafIndex, SizeError, TreeSize};

/// A tree that grows, and proves anything about what it was and is.
#[derive(Debug, Clone, Default)]
pub struct MemoryTree {
    frontier: Frontier,
    /// The perfect nodes of each level, from left to right.
    rows: Vec<Vec<Hash>>,
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
        let rows = &mut self.rows;
        let first = self.frontier.extend(leaves, &mut |node, hash| {
            let level = usize::from(node.level());
            if level >= rows.len() {
                rows.push(Vec::with_capacity(leaves.len() >> level));
            }
            // A node is reported after its children, so its level is at most one above those that there are.
            if let Some(row) = rows.get_mut(level) {
                row.push(hash);
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
        self.rows.get(usize::from(node.level()))?.get(usize::try_from(node.index()).ok()?).copied()
    }

    /// Proves that this tree has a leaf.
    ///
    /// # Errors
    /// [`PlanError::NoSuchLeaf`].
    pub fn prove_inclusion(&self, index: LeafIndex) -> Result<InclusionProof, PlanError> {
        let plan = ProofPlan::inclusion(index, self.size())?;
        Ok(InclusionProof::planned(self.read(&plan)))
    }

    /// Proves that this tree extends the one that it was with `from` leaves.
    ///
    /// # Errors
    /// [`PlanError::FromEmpty`] or [`PlanError::BeyondTree`].
    pub fn prove_consistency(&self, from: TreeSize) -> Result<ConsistencyProof, PlanError> {
        let plan = ProofPlan::consistency(Growth { from, to: self.size() })?;
        Ok(ConsistencyProof::planned(self.read(&plan)))
    }

    /// The proof's hashes; the tree has all nodes that are planned within its size.
    fn read(&self, plan: &ProofPlan) -> Vec<Hash> {
        let (before, ragged, after) = plan.parts();
        let mut proof = Vec::with_capacity(before.len() + 1 + after.len());
        proof.extend(before.iter().filter_map(|node| self.node(*node)));
        // The part that ends at the right edge is the last nodes of the frontier.
        let from = self.edge.len().saturating_sub(ragged.len());
        proof.extend(self.edge.get(from));
        proof.extend(after.iter().filter_map(|node| self.node(*node)));
        proof
    }
}
