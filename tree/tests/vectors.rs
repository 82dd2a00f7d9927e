//! Published test vectors of Merkle trees, proofs and subtrees. What the files are and whence they come stands in
//! `tests/vectors/merkle/README.md`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod reference;

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cairn_tree::hash::Hash;
use cairn_tree::merkle::{
    ConsistencyError, ConsistencyProof, Extension, Frontier, Growth, InclusionProof, NodeCoord, ProofPlan, Root,
    RootPlan, Subtree, SubtreeRoot,
};
use cairn_tree::size::{LeafIndex, TreeSize};
use reference::{Reference, index, size};
use serde_json::Value;
use sha2::{Digest, Sha256};

const RFC6962_TREE: &str = include_str!("../../tests/vectors/merkle/rfc6962-tree.jsonl");
const INCLUSION: &str = include_str!("../../tests/vectors/merkle/transparency-dev-inclusion.jsonl");
const CONSISTENCY: &str = include_str!("../../tests/vectors/merkle/transparency-dev-consistency.jsonl");
const SUBTREE_INCLUSION: &str = include_str!("../../tests/vectors/merkle/transparency-dev-subtreeinclusion.jsonl");
const SUBTREE_CONSISTENCY: &str = include_str!("../../tests/vectors/merkle/transparency-dev-subtreeconsistency.jsonl");

fn lines(file: &str) -> impl Iterator<Item = Value> {
    file.lines().map(|line| serde_json::from_str(line).unwrap())
}

fn number(case: &Value, name: &str) -> u64 {
    case[name].as_u64().unwrap()
}

fn decoded(text: &Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}

/// `None` if it has not the length of a hash, so that no proof with it can be given to a verifier.
fn hash(text: &Value) -> Option<Hash> {
    Hash::from_slice(&decoded(text)).ok()
}

/// Some roots in the consistency cases are words, because only whether they are equal matters.
fn hash_or_word(text: &Value) -> Hash {
    hash(text).unwrap_or_else(|| Hash::new(Sha256::digest(decoded(text)).into()))
}

fn proof(case: &Value) -> Option<Vec<Hash>> {
    match &case["proof"] {
        Value::Null => Some(Vec::new()),
        hashes => hashes.as_array().unwrap().iter().map(hash).collect(),
    }
}

/// Asserts that exactly the cases that must be accepted are, and that there are so many.
fn check(file: &str, total: usize, accepts: impl Fn(&Value) -> Option<()>) {
    let cases: Vec<_> = lines(file).collect();
    assert_eq!(cases.len(), total);
    for case in cases {
        assert_eq!(accepts(&case).is_none(), case["wantErr"].as_bool().unwrap(), "{case}");
    }
}

#[test]
fn every_published_inclusion_case_is_judged_as_published() {
    check(INCLUSION, 98, |case| {
        let index = LeafIndex::new(number(case, "leafIdx")).ok()?;
        let tree = Root { size: TreeSize::new(number(case, "treeSize")).ok()?, hash: hash(&case["root"])? };
        InclusionProof::from_hashes(proof(case)?).ok()?.verify(index, &hash(&case["leafHash"])?, &tree).ok()
    });
}

#[test]
fn every_published_consistency_case_is_judged_as_published() {
    check(CONSISTENCY, 98, |case| {
        let root =
            |size, hash| Some(Root { size: TreeSize::new(number(case, size)).ok()?, hash: hash_or_word(&case[hash]) });
        let claim = Extension { old: root("size1", "root1")?, new: root("size2", "root2")? };
        ConsistencyProof::from_hashes(proof(case)?).ok()?.verify(&claim).ok()
    });
}

#[test]
fn every_published_subtree_inclusion_case_is_judged_as_published() {
    check(SUBTREE_INCLUSION, 204, |case| {
        let index = LeafIndex::new(number(case, "leafIdx")).ok()?;
        let subtree = Subtree::new(number(case, "start")..number(case, "end")).ok()?;
        let known = SubtreeRoot { subtree, hash: hash(&case["root"])? };
        InclusionProof::from_hashes(proof(case)?).ok()?.verify_in_subtree(index, &hash(&case["leafHash"])?, &known).ok()
    });
}

#[test]
fn every_published_subtree_consistency_case_is_judged_as_published() {
    check(SUBTREE_CONSISTENCY, 118, |case| {
        let subtree = Subtree::new(number(case, "start")..number(case, "end")).ok()?;
        let known = SubtreeRoot { subtree, hash: hash_or_word(&case["root1"]) };
        let tree = Root { size: TreeSize::new(number(case, "size")).ok()?, hash: hash_or_word(&case["root2"]) };
        ConsistencyProof::from_hashes(proof(case)?).ok()?.verify_subtree(&known, &tree).ok()
    });
}

#[test]
fn an_empty_old_tree_is_refused_in_general_and_accepted_with_an_empty_proof_by_name() {
    let tree = Reference::counting(5);
    let empty = ConsistencyProof::from_hashes(Vec::new()).unwrap();
    let full = ConsistencyProof::from_hashes(vec![tree.mth(0..4)]).unwrap();
    for n in 0..=5 {
        let claim = Extension { old: Root::EMPTY, new: tree.root(n) };
        assert_eq!(empty.verify(&claim), Err(ConsistencyError::FromEmpty));
        assert_eq!(empty.verify_from_empty(&claim.new), Ok(()));
        assert!(matches!(full.verify_from_empty(&claim.new), Err(ConsistencyError::Length { hashes: 1, .. })));
    }
    let wrong = Root { size: TreeSize::ZERO, hash: tree.mth(0..1) };
    assert!(matches!(empty.verify_from_empty(&wrong), Err(ConsistencyError::NewRoot { .. })));
}

#[test]
fn the_leaves_of_certificate_transparency_give_the_published_roots() {
    let mut frontier = Frontier::new();
    assert_eq!(frontier.root(), Root::EMPTY);
    assert_eq!(Hash::EMPTY_TREE.as_bytes()[..], Sha256::digest([])[..]);
    for line in lines(RFC6962_TREE) {
        let text = line["leaf"].as_str().unwrap();
        let leaf: Vec<u8> =
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect();
        frontier.push(Hash::leaf(&leaf), &mut |_, _| ()).unwrap();
        let root = Root {
            size: TreeSize::new(number(&line, "size")).unwrap(),
            hash: line["root"].as_str().unwrap().parse().unwrap(),
        };
        assert_eq!(frontier.root(), root);
    }
    assert_eq!(frontier.size().get(), 8);
}

/// RFC 9162, section 2.1.5, draws a tree of seven leaves and names the nodes of its proofs.
#[test]
fn the_rfcs_example_proofs_have_the_nodes_that_it_names() {
    let [b, c, d, f] = [1, 2, 3, 5].map(|leaf| (0, leaf));
    let ([g, h, i], j, k) = ([0, 1, 2].map(|node| (1, node)), (0, 6), (2, 0));
    let named = |plan: ProofPlan| -> Vec<_> { plan.nodes().iter().map(|node| (node.level(), node.index())).collect() };
    let inclusion = |m| named(ProofPlan::inclusion(index(m), size(7)).unwrap());
    // `l`, the right half, has the leaf `j` and so is no perfect node: it is fetched as its perfect nodes `i` and `j`.
    assert_eq!(inclusion(0), [b, h, i, j]);
    assert_eq!(inclusion(3), [c, g, i, j]);
    assert_eq!(inclusion(4), [f, j, k]);
    assert_eq!(inclusion(6), [i, k]);
    let consistency = |m| named(ProofPlan::consistency(Growth { from: size(m), to: size(7) }).unwrap());
    assert_eq!(consistency(3), [c, d, g, i, j]);
    assert_eq!(consistency(4), [i, j]);
    assert_eq!(consistency(6), [i, j, k]);
}

/// The draft's tree: leaf `i` is the one byte `i`. Its outputs are accumulated into one hash.
struct Accumulated {
    tree: Reference,
    hasher: Sha256,
}

const DRAFT_SIZES: u64 = 130;

impl Accumulated {
    fn new() -> Self {
        let leaves = (0..=u8::MAX).take(DRAFT_SIZES as usize).map(|leaf| vec![leaf]).collect();
        Self { tree: Reference::new(leaves), hasher: Sha256::new() }
    }

    fn fetch(&self, nodes: &[NodeCoord]) -> Vec<Hash> {
        nodes.iter().map(|node| self.tree.mth(node.start() as usize..node.end() as usize)).collect()
    }

    fn add(&mut self, line: &str, proof: &ProofPlan) {
        let mut line = line.to_owned();
        for hash in proof.fold(&self.fetch(proof.nodes())).unwrap() {
            write!(line, " {hash}").unwrap();
        }
        self.hasher.update(line + "\n");
    }

    fn finish(self) -> String {
        Hash::new(self.hasher.finalize().into()).to_string()
    }
}

fn subtrees(end: u64) -> impl Iterator<Item = Subtree> {
    (0..=end).filter_map(move |start| Subtree::new(start..end).ok())
}

#[test]
fn subtree_hashes_accumulate_to_the_drafts() {
    let mut all = Accumulated::new();
    for subtree in (0..=DRAFT_SIZES).flat_map(subtrees) {
        let plan = RootPlan::subtree(subtree);
        let hash = plan.fold(&all.fetch(plan.nodes())).unwrap();
        all.hasher.update(format!("{subtree} {hash}\n"));
    }
    assert_eq!(all.finish(), "b82806ad4265bb151c1119c0f4db437bb4d1a1f887b3a7fba1cd4ebf552e3e81");
}

#[test]
fn subtree_inclusion_proofs_accumulate_to_the_drafts() {
    let mut all = Accumulated::new();
    for subtree in (0..=DRAFT_SIZES).flat_map(subtrees) {
        for leaf in subtree.start()..subtree.end().get() {
            let plan = ProofPlan::subtree_inclusion(LeafIndex::new(leaf).unwrap(), subtree).unwrap();
            all.add(&format!("{leaf} {subtree}"), &plan);
        }
    }
    assert_eq!(all.finish(), "ac2a8f989e44d99e399db448050ff5f19757df53cfb716aa81015d3955d8163f");
}

#[test]
fn subtree_consistency_proofs_accumulate_to_the_drafts() {
    let mut all = Accumulated::new();
    for n in 0..=DRAFT_SIZES {
        for subtree in (0..=n).flat_map(subtrees) {
            let plan = ProofPlan::subtree_consistency(subtree, TreeSize::new(n).unwrap()).unwrap();
            all.add(&format!("{subtree} {n}"), &plan);
        }
    }
    assert_eq!(all.finish(), "10fa99b37bf9bf9ffa26b412fbd98bd75363256d0b75d61bc4538b9c9c5a0a74");
}

#[test]
fn covering_subtrees_accumulate_to_the_drafts() {
    let mut all = Accumulated::new();
    for end in 0..=DRAFT_SIZES {
        for start in 0..=end {
            let (left, right) = Subtree::cover(start..end).unwrap();
            for part in [left, right] {
                assert_eq!(Subtree::new(part.start()..part.end().get()), Ok(part));
            }
            all.hasher.update(format!("{left} {right}\n"));
        }
    }
    assert_eq!(all.finish(), "7fd9c8b926e9d2b5cf831560e8ce295a5ef97ad5c5ede4ea0dea28a8c8fc8bb0");
}
