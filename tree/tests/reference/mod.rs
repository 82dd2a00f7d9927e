//! RFC 9162, section 2.1, and the subtrees of draft-ietf-plants-merkle-tree-certs, section 4, as their recursive
//! definitions stand there: slow, plain, and sharing nothing with the crate but SHA-256.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use cairn_tree::hash::Hash;
use cairn_tree::merkle::Root;
use cairn_tree::size::{LeafIndex, TreeSize};
use sha2::{Digest, Sha256};

/// Past the largest tree.
const SAME: usize = 1 << 63;

/// Leaves `D`, with every `MTH(D[start:end])` remembered once it was asked for.
pub(crate) struct Reference {
    leaves: Leaves,
    known: RefCell<HashMap<(usize, usize), [u8; 32]>>,
}

enum Leaves {
    /// Their bytes.
    All(Vec<Vec<u8>>),
    /// As many as wanted, all the same but for these.
    SameBut(BTreeSet<usize>),
}

impl Reference {
    pub(crate) fn new(leaves: Vec<Vec<u8>>) -> Self {
        Self { leaves: Leaves::All(leaves), known: RefCell::default() }
    }

    /// A tree of up to 2^63 leaves that are all the same, except `marked` ones, so that its hashes can be computed.
    pub(crate) fn huge(marked: impl IntoIterator<Item = usize>) -> Self {
        Self { leaves: Leaves::SameBut(marked.into_iter().collect()), known: RefCell::default() }
    }

    /// Leaf `i` is the number `i` in eight bytes.
    pub(crate) fn counting(size: usize) -> Self {
        Self::new((0..size).map(|leaf| (leaf as u64).to_be_bytes().to_vec()).collect())
    }

    pub(crate) fn root(&self, size: usize) -> Root {
        Root { size: TreeSize::new(size as u64).unwrap(), hash: self.mth(0..size) }
    }

    /// `MTH(D[start:end])`.
    pub(crate) fn mth(&self, range: Range<usize>) -> Hash {
        Hash::new(self.mth_bytes(range.start, range.end))
    }

    fn leaf(&self, index: usize) -> Vec<u8> {
        match &self.leaves {
            Leaves::All(leaves) => leaves[index].clone(),
            Leaves::SameBut(marked) if marked.contains(&index) => index.to_be_bytes().to_vec(),
            Leaves::SameBut(_) => b"same".to_vec(),
        }
    }

    fn mth_bytes(&self, start: usize, end: usize) -> [u8; 32] {
        // Where all leaves are the same, only how many there are matters: count them from a place past every tree.
        if let Leaves::SameBut(marked) = &self.leaves
            && start != SAME
            && marked.range(start..end).next().is_none()
        {
            return self.mth_bytes(SAME, SAME + (end - start));
        }
        if let Some(known) = self.known.borrow().get(&(start, end)) {
            return *known;
        }
        let hash: [u8; 32] = match end - start {
            0 => Sha256::digest([]).into(),
            1 => Sha256::digest([&[0][..], &self.leaf(start)].concat()).into(),
            n => {
                let k = start + split(n);
                Sha256::digest([&[1][..], &self.mth_bytes(start, k), &self.mth_bytes(k, end)].concat()).into()
            }
        };
        self.known.borrow_mut().insert((start, end), hash);
        hash
    }

    /// `PATH(m, D[start:end])`, where `m` counts from `start`.
    pub(crate) fn path(&self, m: usize, range: Range<usize>) -> Vec<Hash> {
        let n = range.len();
        if n == 1 {
            return Vec::new();
        }
        let k = split(n);
        let middle = range.start + k;
        let (left, right) = (range.start..middle, middle..range.end);
        let (mut path, sibling) =
            if m < k { (self.path(m, left), self.mth(right)) } else { (self.path(m - k, right), self.mth(left)) };
        path.push(sibling);
        path
    }

    /// `PROOF(m, D_n)`.
    pub(crate) fn proof(&self, m: usize, n: usize) -> Vec<Hash> {
        self.subproof(m, 0..n, true)
    }

    fn subproof(&self, m: usize, range: Range<usize>, complete: bool) -> Vec<Hash> {
        let n = range.len();
        if m == n {
            return if complete { Vec::new() } else { vec![self.mth(range)] };
        }
        let k = split(n);
        let middle = range.start + k;
        let (left, right) = (range.start..middle, middle..range.end);
        let (mut proof, sibling) = if m <= k {
            (self.subproof(m, left, complete), self.mth(right))
        } else {
            (self.subproof(m - k, right, false), self.mth(left))
        };
        proof.push(sibling);
        proof
    }

    /// `SUBTREE_PROOF(start, end, D_n)`.
    pub(crate) fn subtree_proof(&self, subtree: Range<usize>, n: usize) -> Vec<Hash> {
        if subtree.is_empty() { Vec::new() } else { self.subtree_subproof(subtree, 0..n, true) }
    }

    /// `subtree` counts from the start of `range`.
    fn subtree_subproof(&self, subtree: Range<usize>, range: Range<usize>, complete: bool) -> Vec<Hash> {
        let n = range.len();
        if subtree == (0..n) {
            return if complete { Vec::new() } else { vec![self.mth(range)] };
        }
        let k = split(n);
        let middle = range.start + k;
        let (left, right) = (range.start..middle, middle..range.end);
        let (mut proof, sibling) = if subtree.end <= k {
            (self.subtree_subproof(subtree, left, complete), self.mth(right))
        } else if k <= subtree.start {
            (self.subtree_subproof(subtree.start - k..subtree.end - k, right, complete), self.mth(left))
        } else {
            assert_eq!(subtree.start, 0, "only a subtree that starts at 0 can reach over the middle");
            (self.subtree_subproof(0..subtree.end - k, right, false), self.mth(left))
        };
        proof.push(sibling);
        proof
    }
}

/// The largest power of two smaller than `n`, which is at least 2.
fn split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// Whether `[start, end)` is a subtree, by the draft's own words.
pub(crate) fn is_subtree(start: usize, end: usize) -> bool {
    let mut bit_ceil = 1;
    while bit_ceil < end - start {
        bit_ceil *= 2;
    }
    start.is_multiple_of(bit_ceil)
}

pub(crate) fn size(size: usize) -> TreeSize {
    TreeSize::new(size as u64).unwrap()
}

pub(crate) fn index(index: usize) -> LeafIndex {
    LeafIndex::new(index as u64).unwrap()
}
