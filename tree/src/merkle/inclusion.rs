//! Inclusion proofs: that a leaf is in a tree, or in a subtree of it.
//!
//! RFC 9162, section 2.1.3; for subtrees draft-ietf-plants-merkle-tree-certs, section 4.3. This proves a leaf *hash*; that
//! the hash is of the right bytes is for the caller, who has them, to see to with [`Hash::leaf`].

use super::Root;
use super::subtree::{Subtree, SubtreeRoot};
use crate::hash::Hash;
use crate::size::{LeafIndex, TreeSize};

/// The hashes of an inclusion proof, from the leaf's sibling upwards. Nothing is proven until they are verified.
///
/// Invariant: at most [`InclusionProof::MAX_HASHES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    hashes: Vec<Hash>,
}

/// Why an inclusion proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InclusionError {
    /// No tree is so large that a proof in it has so many hashes.
    #[error("an inclusion proof has at most {max} hashes, not {0}", max = InclusionProof::MAX_HASHES)]
    TooManyHashes(usize),
    /// The leaf is not in the tree or subtree, whatever the hashes.
    #[error("leaf {index} is not in {subtree}")]
    NoSuchLeaf {
        /// The leaf that the proof is about.
        index: LeafIndex,
        /// The leaves that there are.
        subtree: Subtree,
    },
    /// The number of hashes does not fit the leaf's place.
    #[error("an inclusion proof of leaf {index} in {subtree} has another length than {hashes}")]
    Length {
        /// The leaf that the proof is about.
        index: LeafIndex,
        /// The leaves that there are.
        subtree: Subtree,
        /// The number of hashes in the proof.
        hashes: usize,
    },
    /// The hashes lead to another root.
    #[error("the proof leads to the root {computed}, not {expected}")]
    Root {
        /// What the leaf and the proof's hashes give.
        computed: Hash,
        /// The known root.
        expected: Hash,
    },
}

impl InclusionProof {
    /// How many hashes a proof in a tree of [`TreeSize::MAX`] leaves can have.
    pub const MAX_HASHES: usize = 63;

    /// Takes the hashes of a proof, checking only their number.
    ///
    /// # Errors
    /// [`InclusionError::TooManyHashes`].
    pub fn from_hashes(hashes: Vec<Hash>) -> Result<Self, InclusionError> {
        if hashes.len() > Self::MAX_HASHES {
            Err(InclusionError::TooManyHashes(hashes.len()))
        } else {
            Ok(Self { hashes })
        }
    }

    /// Takes the hashes of a plan, which are never too many.
    pub(super) const fn planned(hashes: Vec<Hash>) -> Self {
        Self { hashes }
    }

    /// The hashes, from the leaf's sibling upwards.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Proves that the tree with this root has the leaf at `index` (RFC 9162, section 2.1.3.2).
    ///
    /// # Errors
    /// [`InclusionError`], if it does not prove that.
    pub fn verify(&self, index: LeafIndex, leaf: &Hash, tree: &Root) -> Result<(), InclusionError> {
        self.verify_in_subtree(index, leaf, &SubtreeRoot { subtree: Subtree::tree(tree.size), hash: tree.hash })
    }

    /// The root of the tree of `size` leaves that this is a proof for, if the leaf is at `index` in it.
    ///
    /// # Errors
    /// [`InclusionError::NoSuchLeaf`] or [`InclusionError::Length`]: no tree of that size has such a proof.
    pub fn root(&self, index: LeafIndex, leaf: &Hash, size: TreeSize) -> Result<Hash, InclusionError> {
        self.subtree_hash(index, leaf, Subtree::tree(size))
    }

    /// Proves that the subtree with this hash has the leaf at `index`, counted from the start of the log
    /// (draft-ietf-plants-merkle-tree-certs, section 4.3.3).
    ///
    /// # Errors
    /// [`InclusionError`], if it does not prove that.
    pub fn verify_in_subtree(&self, index: LeafIndex, leaf: &Hash, known: &SubtreeRoot) -> Result<(), InclusionError> {
        let computed = self.subtree_hash(index, leaf, known.subtree)?;
        if computed == known.hash { Ok(()) } else { Err(InclusionError::Root { computed, expected: known.hash }) }
    }

    /// The hash of the subtree that this is a proof for (draft-ietf-plants-merkle-tree-certs, section 4.3.2).
    ///
    /// # Errors
    /// As [`InclusionProof::root`].
    pub fn subtree_hash(&self, index: LeafIndex, leaf: &Hash, subtree: Subtree) -> Result<Hash, InclusionError> {
        let wrong_length = InclusionError::Length { index, subtree, hashes: self.hashes.len() };
        // The steps are those of RFC 9162, section 2.1.3.2; the draft's are the same, counted from the subtree's start.
        // 1. Compare leaf_index with tree_size.
        if !subtree.contains(index) {
            return Err(InclusionError::NoSuchLeaf { index, subtree });
        }
        // 2. Set fn to leaf_index and sn to tree_size - 1.
        let mut node = index.get() - subtree.start();
        let mut last = subtree.size() - 1;
        // 3. Set r to hash.
        let mut computed = *leaf;
        // 4. For each value p in the inclusion_path array:
        for sibling in &self.hashes {
            // 4a. If sn is 0, stop and fail.
            if last == 0 {
                return Err(wrong_length);
            }
            if node & 1 == 1 || node == last {
                // 4b. If LSB(fn) is set or fn equals sn, set r to HASH(0x01 || p || r), and shift both right until
                // LSB(fn) is set. (It will be: sn is not 0, and so neither is fn.)
                computed = Hash::node(sibling, &computed);
                let skipped = node.trailing_zeros();
                node >>= skipped;
                last >>= skipped;
            } else {
                // 4b, otherwise: set r to HASH(0x01 || r || p).
                computed = Hash::node(&computed, sibling);
            }
            // 4c. Shift both right once more.
            node >>= 1;
            last >>= 1;
        }
        // 5. Compare sn with 0 (and r with the root, which the callers do).
        if last == 0 { Ok(computed) } else { Err(wrong_length) }
    }
}
