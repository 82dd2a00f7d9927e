//! Every tree to 300 leaves: every index, every older size, every subtree of the smaller ones. Each proof must be the one
//! that the recursive definitions give, and verify.

#![allow(clippy::unwrap_used, reason = "test code outside of #[test] functions")]

mod reference;

use cairn_tree::hash::Hash;
use cairn_tree::merkle::{
    ConsistencyProof, Extension, Frontier, Growth, InclusionProof, NodeCoord, ProofPlan, RootPlan, Subtree, SubtreeRoot,
};
use reference::{Reference, index, is_subtree, size};

const SIZES: usize = 300;
const SUBTREE_SIZES: usize = 130;

fn fetch(tree: &Reference, nodes: &[NodeCoord]) -> Vec<Hash> {
    nodes.iter().map(|node| tree.mth(node.start() as usize..node.end() as usize)).collect()
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
fn every_inclusion_proof_is_the_defined_one_and_verifies() {
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
        }
    }
}

#[test]
fn every_consistency_proof_is_the_defined_one_and_verifies() {
    let tree = Reference::counting(SIZES);
    for n in 1..=SIZES {
        for m in 1..=n {
            let plan = ProofPlan::consistency(Growth { from: size(m), to: size(n) }).unwrap();
            let hashes = plan.fold(&fetch(&tree, plan.nodes())).unwrap();
            assert_eq!(hashes, tree.proof(m, n), "{m} to {n}");
            let claim = Extension { old: tree.root(m), new: tree.root(n) };
            let proof = ConsistencyProof::from_hashes(hashes.clone()).unwrap();
            assert_eq!(proof.verify(&claim), Ok(()), "{m} to {n}");
        }
    }
}

#[test]
fn every_subtree_proof_is_the_defined_one_and_verifies() {
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
                }
            }
        }
    }
}
