//! Consistency proofs: that a tree extends an older one, or contains a subtree, unchanged.
//!
//! RFC 9162, section 2.1.4; for subtrees draft-ietf-plants-merkle-tree-certs, section 4.4. Every tree extends the empty
//! one, so the general verifier refuses to "prove" that; C2SP tlog-witness's `old 0` has a function of its own.

use super::Root;
use super::subtree::{Subtree, SubtreeRoot};
use crate::hash::Hash;
use crate::size::TreeSize;

/// The hashes of a consistency proof, from the lowest shared node upwards. Nothing is proven until they are verified.
///
/// Invariant: at most [`ConsistencyProof::MAX_HASHES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    hashes: Vec<Hash>,
}

/// The claim of a consistency proof: that the `new` tree begins with all leaves of the `old` one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension {
    /// The older, smaller tree.
    pub old: Root,
    /// The newer, larger tree.
    pub new: Root,
}

/// Why a consistency proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConsistencyError {
    /// No tree is so large that a proof in it has so many hashes.
    #[error("a consistency proof has at most {max} hashes, not {0}", max = ConsistencyProof::MAX_HASHES)]
    TooManyHashes(usize),
    /// Nothing can be proven about the empty tree.
    #[error("an empty tree is consistent with every tree: there is nothing to prove")]
    FromEmpty,
    /// The tree is smaller than what shall be in it.
    #[error("a tree of {size} leaves does not contain the subtree {subtree}")]
    BeyondTree {
        /// The subtree, or the whole older tree.
        subtree: Subtree,
        /// The size of the tree.
        size: TreeSize,
    },
    /// The number of hashes does not fit the sizes.
    #[error("a consistency proof of {subtree} in a tree of {size} leaves has another length than {hashes}")]
    Length {
        /// The subtree, or the whole older tree.
        subtree: Subtree,
        /// The size of the tree.
        size: TreeSize,
        /// The number of hashes in the proof.
        hashes: usize,
    },
    /// The hashes lead to another older root or subtree hash.
    #[error("the proof leads to the hash {computed} of what is contained, not {expected}")]
    OldRoot {
        /// What the proof's hashes give.
        computed: Hash,
        /// The known hash of the older tree or subtree.
        expected: Hash,
    },
    /// The hashes lead to another newer root.
    #[error("the proof leads to the root {computed}, not {expected}")]
    NewRoot {
        /// What the proof's hashes give.
        computed: Hash,
        /// The known root of the tree.
        expected: Hash,
    },
}

impl ConsistencyProof {
    /// How many hashes a proof in a tree of [`TreeSize::MAX`] leaves can have.
    ///
    /// Up to 2^62 leaves it is one less, which is the limit of C2SP tlog-witness.
    pub const MAX_HASHES: usize = 64;

    /// Takes the hashes of a proof, checking only their number.
    ///
    /// # Errors
    /// [`ConsistencyError::TooManyHashes`].
    pub fn from_hashes(hashes: Vec<Hash>) -> Result<Self, ConsistencyError> {
        if hashes.len() > Self::MAX_HASHES {
            Err(ConsistencyError::TooManyHashes(hashes.len()))
        } else {
            Ok(Self { hashes })
        }
    }

    /// Takes the hashes of a plan, which are never too many.
    pub(super) const fn planned(hashes: Vec<Hash>) -> Self {
        Self { hashes }
    }

    /// The hashes, from the lowest shared node upwards.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Proves that the new tree extends the old one (RFC 9162, section 2.1.4.2).
    ///
    /// # Errors
    /// [`ConsistencyError`], if it does not prove that; always if the old tree is empty.
    pub fn verify(&self, claim: &Extension) -> Result<(), ConsistencyError> {
        if claim.old.size == TreeSize::ZERO {
            return Err(ConsistencyError::FromEmpty);
        }
        self.verify_subtree(&SubtreeRoot { subtree: Subtree::tree(claim.old.size), hash: claim.old.hash }, &claim.new)
    }

    /// Accepts the proof that C2SP tlog-witness, `add-checkpoint`, asks for with `old 0`: the one without hashes.
    ///
    /// It shows nothing, because there is nothing to show: any tree extends the empty one.
    ///
    /// # Errors
    /// [`ConsistencyError::Length`] if there are hashes, [`ConsistencyError::NewRoot`] if the new tree is empty and has
    /// another root than the empty tree's.
    pub fn verify_from_empty(&self, new: &Root) -> Result<(), ConsistencyError> {
        self.verify_empty(Subtree::tree(TreeSize::ZERO), new)?;
        if new.size == TreeSize::ZERO && new.hash != Hash::EMPTY_TREE {
            return Err(ConsistencyError::NewRoot { computed: Hash::EMPTY_TREE, expected: new.hash });
        }
        Ok(())
    }

    /// Proves that the tree contains the subtree (draft-ietf-plants-merkle-tree-certs, section 4.4.3).
    ///
    /// The procedure is that of RFC 9162, section 2.1.4.2, for any start; with the start 0 it accepts the same proofs. As
    /// in the draft, an empty subtree is in every tree that reaches to it.
    ///
    /// # Errors
    /// [`ConsistencyError`], if it does not prove that.
    pub fn verify_subtree(&self, known: &SubtreeRoot, tree: &Root) -> Result<(), ConsistencyError> {
        let SubtreeRoot { subtree, hash: node_hash } = *known;
        let wrong_length = ConsistencyError::Length { subtree, size: tree.size, hashes: self.hashes.len() };
        // 1. Check that the subtree is valid (its type is) and within the tree.
        if subtree.end() > tree.size {
            return Err(ConsistencyError::BeyondTree { subtree, size: tree.size });
        }
        // 2. An empty subtree has an empty proof and the hash of the empty string.
        if subtree.is_empty() {
            self.verify_empty(subtree, tree)?;
            return expect_old(Hash::EMPTY_TREE, node_hash);
        }
        // 3. Set fn to start, sn to end - 1, and tn to n - 1.
        let mut climb = Climb { first: subtree.start(), last: subtree.end().get() - 1, tree_last: tree.size.get() - 1 };
        // 4 and 5. Shift them right until fn is sn, or, unless sn is tn, LSB(sn) is not set.
        let to_one_node = u64::BITS - (climb.first ^ climb.last).leading_zeros();
        let skipped =
            if climb.last == climb.tree_last { to_one_node } else { to_one_node.min(climb.last.trailing_ones()) };
        climb.shift(skipped);
        // 6. If fn is sn, fr and sr are node_hash; 7. otherwise they are the proof's first value.
        let mut rest = self.hashes.as_slice();
        let seed = if climb.first == climb.last {
            node_hash
        } else {
            let (seed, after) = rest.split_first().ok_or(wrong_length)?;
            rest = after;
            *seed
        };
        let (mut old, mut new) = (seed, seed);
        // 8. For each further value c:
        for sibling in rest {
            // 8.1. If tn is 0, stop and fail.
            if climb.tree_last == 0 {
                return Err(wrong_length);
            }
            if climb.last & 1 == 1 || climb.last == climb.tree_last {
                // 8.2. If LSB(sn) is set or sn is tn: c is to the left, and in the subtree too while fn < sn. Then
                // shift right until LSB(sn) is set. (It will be: tn is not 0, and so neither is sn.)
                if climb.first < climb.last {
                    old = Hash::node(sibling, &old);
                }
                new = Hash::node(sibling, &new);
                climb.shift(climb.last.trailing_zeros());
            } else {
                // 8.3. Otherwise c is to the right, and only in the tree.
                new = Hash::node(&new, sibling);
            }
            // 8.4. Shift right once more.
            climb.shift(1);
        }
        // 9. Compare tn with 0, fr with node_hash, and sr with root_hash.
        if climb.tree_last != 0 {
            return Err(wrong_length);
        }
        expect_old(old, node_hash)?;
        if new == tree.hash { Ok(()) } else { Err(ConsistencyError::NewRoot { computed: new, expected: tree.hash }) }
    }

    fn verify_empty(&self, subtree: Subtree, tree: &Root) -> Result<(), ConsistencyError> {
        if self.hashes.is_empty() {
            Ok(())
        } else {
            Err(ConsistencyError::Length { subtree, size: tree.size, hashes: self.hashes.len() })
        }
    }
}

/// The draft's fn, sn and tn: the nodes above the subtree's first and last leaf and the tree's last, on one level.
struct Climb {
    first: u64,
    last: u64,
    tree_last: u64,
}

impl Climb {
    /// Goes up so many levels; past the root everything is node 0.
    fn shift(&mut self, levels: u32) {
        for node in [&mut self.first, &mut self.last, &mut self.tree_last] {
            *node = node.checked_shr(levels).unwrap_or(0);
        }
    }
}

fn expect_old(computed: Hash, expected: Hash) -> Result<(), ConsistencyError> {
    if computed == expected { Ok(()) } else { Err(ConsistencyError::OldRoot { computed, expected }) }
}
