//! Every tree to 300 leaves: every index, every older size, every subtree of the smaller ones. Each proof must be the one
//! that the recursive definitions give, verify, and be refused in every corruption.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod reference;

use cairn_tree::hash::Hash;
use cairn_tree::merkle::{
    ConsistencyError, ConsistencyProof, Extension, Frontier, Growth, InclusionProof, NodeCoord, ProofPlan, Root,
    RootPlan, Subtree, SubtreeRoot,
};
use reference::{Reference, index, is_subtree, size};

const SIZES: usize = 300;
const SUBTREE_SIZES: usize = 130;

fn fetch(tree: &Reference, nodes: &[NodeCoord]) -> Vec<Hash> {
    nodes.iter().map(|node| tree.mth(node.start() as usize..node.end() as usize)).collect()
}

/// Every single change of a proof's hashes: one flipped bit in each, each dropped, one added anywhere, any two swapped.
fn corruptions(hashes: &[Hash]) -> impl Iterator<Item = Vec<Hash>> {
    let len = hashes.len();
    let flipped = (0..len).map(move |at| {
        let mut corrupt = hashes.to_vec();
        corrupt[at] = flip(&corrupt[at], at * 37 + len);
        corrupt
    });
    let dropped = (0..len).map(move |at| [&hashes[..at], &hashes[at + 1..]].concat());
    let added = (0..=len).map(move |at| {
        let mut corrupt = hashes.to_vec();
        corrupt.insert(at, hashes.get(at).copied().unwrap_or(Hash::EMPTY_TREE));
        corrupt
    });
    let swapped = (0..len).flat_map(move |at| {
        (0..at).map(move |with| {
            let mut corrupt = hashes.to_vec();
            corrupt.swap(at, with);
            corrupt
        })
    });
    flipped.chain(dropped).chain(added).chain(swapped)
}

fn flip(hash: &Hash, bit: usize) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8 % Hash::LEN] ^= 1 << (bit % 8);
    Hash::new(bytes)
}

fn flipped(root: Root) -> Root {
    Root { hash: flip(&root.hash, 77), ..root }
}

fn flipped_subtree(known: SubtreeRoot) -> SubtreeRoot {
    SubtreeRoot { hash: flip(&known.hash, 77), ..known }
}

#[test]
fn every_root_folds_from_its_plan_and_from_the_frontier() {
    let tree = Reference::counting(SIZES);
    let mut frontier = Frontier::new();
    for n in 0..=SIZES {
        let plan = RootPlan::tree(size(n));
        let hashes = fetch(&tree, plan.nodes());
        assert_eq!(plan.fold(&hashes), Ok(tree.mth(0..n)));
        assert_eq!(frontier.root(), tree.root(n));
        assert_eq!(frontier.hashes(), hashes);
        assert_eq!(Frontier::from_parts(size(n), hashes).as_ref(), Ok(&frontier));
        if n < SIZES {
            let mut completed = Vec::new();
            frontier.push(tree.mth(n..n + 1), &mut |node, hash| completed.push((node, hash))).unwrap();
            assert_eq!(completed.len(), (n + 1).trailing_zeros() as usize + 1);
            for (node, hash) in completed {
                assert_eq!(node.end() as usize, n + 1);
                assert_eq!(hash, tree.mth(node.start() as usize..node.end() as usize));
            }
        }
    }
}

#[test]
fn every_inclusion_proof_is_the_defined_one_and_verifies_and_no_corruption_does() {
    let tree = Reference::counting(SIZES);
    for n in 1..=SIZES {
        let root = tree.root(n);
        for m in 0..n {
            let plan = ProofPlan::inclusion(index(m), size(n)).unwrap();
            let hashes = plan.fold(&fetch(&tree, plan.nodes())).unwrap();
            assert_eq!(hashes, tree.path(m, 0..n), "leaf {m} of {n}");
            let leaf = tree.mth(m..m + 1);
            let proof = InclusionProof::from_hashes(hashes.clone()).unwrap();
            assert_eq!(proof.verify(index(m), &leaf, &root), Ok(()), "leaf {m} of {n}");
            assert_eq!(proof.root(index(m), &leaf, size(n)), Ok(root.hash), "leaf {m} of {n}");

            for corrupt in corruptions(&hashes) {
                let proof = InclusionProof::from_hashes(corrupt.clone()).unwrap();
                assert!(proof.verify(index(m), &leaf, &root).is_err(), "leaf {m} of {n}, corrupted to {corrupt:?}");
            }
            assert!(proof.verify(index(m), &flip(&leaf, m), &root).is_err());
            assert!(proof.verify(index(m), &leaf, &flipped(root)).is_err());
            for other in (0..=n).filter(|other| *other != m && (n <= 100 || other.abs_diff(m).is_power_of_two())) {
                assert!(proof.verify(index(other), &leaf, &root).is_err(), "leaf {m} of {n} as {other}");
            }
            for other in [n - 1, n + 1, 2 * n, SIZES].into_iter().filter(|other| *other != n && *other <= SIZES) {
                assert!(proof.verify(index(m), &leaf, &tree.root(other)).is_err(), "leaf {m} of {n}, not {other}");
            }
        }
    }
}

#[test]
fn every_consistency_proof_is_the_defined_one_and_verifies_and_no_corruption_does() {
    let tree = Reference::counting(SIZES);
    for n in 1..=SIZES {
        for m in 1..=n {
            let plan = ProofPlan::consistency(Growth { from: size(m), to: size(n) }).unwrap();
            let hashes = plan.fold(&fetch(&tree, plan.nodes())).unwrap();
            assert_eq!(hashes, tree.proof(m, n), "{m} to {n}");
            let claim = Extension { old: tree.root(m), new: tree.root(n) };
            let proof = ConsistencyProof::from_hashes(hashes.clone()).unwrap();
            assert_eq!(proof.verify(&claim), Ok(()), "{m} to {n}");

            for corrupt in corruptions(&hashes) {
                let proof = ConsistencyProof::from_hashes(corrupt.clone()).unwrap();
                assert!(proof.verify(&claim).is_err(), "{m} to {n}, corrupted to {corrupt:?}");
            }
            assert!(proof.verify(&Extension { old: flipped(claim.old), ..claim }).is_err());
            assert!(proof.verify(&Extension { new: flipped(claim.new), ..claim }).is_err());
            for other in [m - 1, m + 1, n, SIZES].into_iter().filter(|other| *other != m && *other <= SIZES) {
                let claim = Extension { old: tree.root(other), ..claim };
                assert!(proof.verify(&claim).is_err(), "{m} to {n}, not from {other}");
            }
            for other in [m, n - 1, n + 1, SIZES].into_iter().filter(|other| *other != n && *other <= SIZES) {
                let claim = Extension { new: tree.root(other), ..claim };
                assert!(proof.verify(&claim).is_err(), "{m} to {n}, not to {other}");
            }
        }
    }
}

#[test]
fn every_subtree_proof_is_the_defined_one_and_verifies_and_no_corruption_does() {
    let tree = Reference::counting(SUBTREE_SIZES);
    for n in 0..=SUBTREE_SIZES {
        for end in 0..=n {
            for start in 0..=end {
                let subtree = Subtree::new(start as u64..end as u64);
                assert_eq!(subtree.is_ok(), is_subtree(start, end), "[{start}, {end})");
                let Ok(subtree) = subtree else { continue };
                let known = SubtreeRoot { subtree, hash: tree.mth(start..end) };
                let plan = ProofPlan::subtree_consistency(subtree, size(n)).unwrap();
                let hashes = plan.fold(&fetch(&tree, plan.nodes())).unwrap();
                assert_eq!(hashes, tree.subtree_proof(start..end, n), "{subtree} in {n}");
                let proof = ConsistencyProof::from_hashes(hashes.clone()).unwrap();
                assert_eq!(proof.verify_subtree(&known, &tree.root(n)), Ok(()), "{subtree} in {n}");
                assert!(proof.verify_subtree(&flipped_subtree(known), &tree.root(n)).is_err());
                // The right half as if it were the whole tree: all hashes but the last fit, and with it the root does.
                let half = if n > 1 { n.next_power_of_two() / 2 } else { 0 };
                if half > 0 && half <= start && start < end {
                    let moved = Subtree::new((start - half) as u64..(end - half) as u64).unwrap();
                    let tree = Root { size: size(n - half), hash: tree.mth(0..n) };
                    let refused = proof.verify_subtree(&SubtreeRoot { subtree: moved, ..known }, &tree);
                    assert!(matches!(refused, Err(ConsistencyError::Length { .. })), "{subtree} in {n} as {moved}");
                }
                // The draft does not look at the tree's root if the subtree is empty.
                assert_eq!(proof.verify_subtree(&known, &flipped(tree.root(n))).is_err(), start < end);
                for corrupt in corruptions(&hashes) {
                    let proof = ConsistencyProof::from_hashes(corrupt.clone()).unwrap();
                    let verified = proof.verify_subtree(&known, &tree.root(n));
                    assert!(verified.is_err(), "{subtree} in {n}, corrupted to {corrupt:?}");
                }
                if n > end {
                    continue;
                }
                for m in start..end {
                    let plan = ProofPlan::subtree_inclusion(index(m), subtree).unwrap();
                    let hashes = plan.fold(&fetch(&tree, plan.nodes())).unwrap();
                    assert_eq!(hashes, tree.path(m - start, start..end), "{m} in {subtree}");
                    let leaf = tree.mth(m..m + 1);
                    let proof = InclusionProof::from_hashes(hashes.clone()).unwrap();
                    assert_eq!(proof.verify_in_subtree(index(m), &leaf, &known), Ok(()), "{m} in {subtree}");
                    assert!(proof.verify_in_subtree(index(m), &leaf, &flipped_subtree(known)).is_err());
                    for other in (0..=end).filter(|other| *other != m) {
                        let verified = proof.verify_in_subtree(index(other), &leaf, &known);
                        assert!(verified.is_err(), "{m} in {subtree} as {other}");
                    }
                    for corrupt in corruptions(&hashes) {
                        let proof = InclusionProof::from_hashes(corrupt.clone()).unwrap();
                        let verified = proof.verify_in_subtree(index(m), &leaf, &known);
                        assert!(verified.is_err(), "{m} in {subtree}, corrupted to {corrupt:?}");
                    }
                }
            }
        }
    }
}

/// Another implementation's trees and proofs.
#[test]
fn every_root_and_proof_is_the_same_as_ct_merkle_gives() {
    let ours = |bytes: &[u8]| -> Vec<Hash> { bytes.chunks(32).map(|hash| Hash::from_slice(hash).unwrap()).collect() };
    let tree = Reference::counting(SIZES);
    let mut theirs = ct_merkle::mem_backed_tree::MemoryBackedTree::<sha2::Sha256, [u8; 8]>::new();
    for n in 1..=SIZES {
        theirs.push((n as u64 - 1).to_be_bytes());
        let root = RootPlan::tree(size(n));
        assert_eq!(root.fold(&fetch(&tree, root.nodes())).unwrap().as_bytes()[..], theirs.root().as_bytes()[..]);
        for m in 0..n {
            let plan = ProofPlan::inclusion(index(m), size(n)).unwrap();
            let proof = plan.fold(&fetch(&tree, plan.nodes())).unwrap();
            assert_eq!(proof, ours(theirs.prove_inclusion(m).as_bytes()), "leaf {m} of {n}");
        }
        for m in 1..n {
            let plan = ProofPlan::consistency(Growth { from: size(m), to: size(n) }).unwrap();
            let proof = plan.fold(&fetch(&tree, plan.nodes())).unwrap();
            assert_eq!(proof, ours(theirs.prove_consistency(n - m).as_bytes()), "{m} to {n}");
        }
    }
}
