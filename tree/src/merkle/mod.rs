//! The Merkle tree of RFC 9162, section 2.1 (the same tree as RFC 6962's): which nodes there are, and what they prove.
//!
//! Nothing here knows how nodes are stored or fetched. A prover asks [`plan`] which nodes it needs, fetches them however
//! it likes, and folds them; a verifier uses [`inclusion`] and [`consistency`], which trust nothing but the hashes they
//! were given as known.

pub mod consistency;
pub mod frontier;
pub mod inclusion;
pub mod memory;
pub mod plan;
pub mod subtree;

pub use consistency::{ConsistencyError, ConsistencyProof, Extension};
pub use frontier::{Frontier, FrontierError};
pub use inclusion::{InclusionError, InclusionProof};
pub use memory::MemoryTree;
pub use plan::{EdgeHashes, Growth, PlanError, ProofPlan, RootPlan};
pub use subtree::{NodeCoord, Subtree, SubtreeError, SubtreeRoot};

use crate::hash::Hash;
use crate::size::TreeSize;

/// A tree's size together with its root hash.
///
/// Whether it is known to be the log's, or only claimed, is for its holder to say; nothing is checked here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Root {
    /// How many leaves the tree has.
    pub size: TreeSize,
    /// `MTH` of all its leaves.
    pub hash: Hash,
}

impl Root {
    /// The tree without leaves.
    pub const EMPTY: Self = Self { size: TreeSize::ZERO, hash: Hash::EMPTY_TREE };
}
