//! What must hold for any input: proofs in trees of up to 2^63 - 1 leaves, the frontier however it grows, and parsers that
//! accept only what their writers write.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod reference;

use std::collections::BTreeMap;

use cairn_tree::hash::Hash;
use cairn_tree::merkle::{
    ConsistencyProof, EdgeHashes, Extension, Frontier, Growth, InclusionProof, NodeCoord, PlanError, ProofPlan, Root,
    RootPlan, Subtree, SubtreeRoot,
};
use cairn_tree::size::TreeSize;
use cairn_tree::tile::{BundleCoord, Entries, TileCoord, TilePath, Width};
use proptest::prelude::*;
use reference::{Reference, index, size};

const MAX: usize = TreeSize::MAX.get() as usize;

/// A number from `from` to `to`, of any length in bits alike, and often near a power of two.
fn number(from: usize, to: usize) -> impl Strategy<Value = usize> {
    let any = (0..64_u32, any::<usize>()).prop_map(|(shift, bits)| bits >> shift);
    let near_power = (0..64_u32, -2..=2_isize).prop_map(|(bit, by)| (1_usize << bit).wrapping_add_signed(by));
    prop_oneof![any, near_power].prop_map(move |number| from + number % (to - from).saturating_add(1))
}

/// Two numbers from `from` up, the first not larger.
fn ordered(from: usize) -> impl Strategy<Value = (usize, usize)> {
    number(from, MAX).prop_flat_map(move |large| (number(from, large), Just(large)))
}

fn fetch(tree: &Reference, nodes: &[NodeCoord]) -> Vec<Hash> {
    nodes.iter().map(|node| tree.mth(node.start() as usize..node.end() as usize)).collect()
}

/// Folds a plan with the edge of the tree at hand, and sees that no other number of hashes folds.
fn fold_within(tree: &Reference, plan: &ProofPlan, n: usize) -> Result<Vec<Hash>, PlanError> {
    let edge = EdgeHashes::new(&fetch(tree, RootPlan::tree(size(n)).nodes()));
    let hashes = fetch(tree, &plan.nodes_within().collect::<Vec<_>>());
    assert!(plan.fold_within([&hashes[..], &[Hash::EMPTY_TREE]].concat(), &edge).is_err());
    if plan.has_edge() {
        assert!(plan.fold_within(hashes.clone(), &EdgeHashes::new(&[])).is_err());
    }
    plan.fold_within(hashes, &edge)
}

fn flip(hash: &Hash, bit: usize) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8 % Hash::LEN] ^= 1 << (bit % 8);
    Hash::new(bytes)
}

/// Each hash with one bit flipped, and a hash too few and too many.
fn corruptions(hashes: &[Hash], bit: usize) -> Vec<Vec<Hash>> {
    let mut all: Vec<Vec<Hash>> = (0..hashes.len())
        .map(|at| hashes.iter().enumerate().map(|(i, hash)| if i == at { flip(hash, bit) } else { *hash }).collect())
        .collect();
    all.extend(hashes.split_last().map(|(_, rest)| rest.to_vec()));
    all.push([hashes, &[Hash::EMPTY_TREE]].concat());
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn inclusion_proofs_in_huge_trees((m, n) in ordered(1), marks in prop::collection::vec(number(0, MAX), 3), bit in 0..256_usize) {
        let m = m - 1;
        let tree = Reference::huge(marks.into_iter().chain([m, m ^ 1, n - 1]));
        let plan = ProofPlan::inclusion(index(m), size(n)).unwrap();
        let hashes = plan.fold(&fetch(&tree, plan.nodes())).unwrap();
        prop_assert_eq!(&hashes, &tree.path(m, 0..n));
        prop_assert_eq!(fold_within(&tree, &plan, n), Ok(hashes.clone()));
        let leaf = tree.mth(m..m + 1);
        let verify = |hashes| InclusionProof::from_hashes(hashes)?.verify(index(m), &leaf, &tree.root(n));
        for corrupt in corruptions(&hashes, bit) {
            prop_assert!(verify(corrupt).is_err());
        }
        prop_assert_eq!(verify(hashes), Ok(()));
    }

    #[test]
    fn consistency_proofs_in_huge_trees((m, n) in ordered(1), marks in prop::collection::vec(number(0, MAX), 3), bit in 0..256_usize) {
        let tree = Reference::huge(marks.into_iter().chain([m - 1, m, n - 1]));
        let plan = ProofPlan::consistency(Growth { from: size(m), to: size(n) }).unwrap();
        let hashes = plan.fold(&fetch(&tree, plan.nodes())).unwrap();
        prop_assert_eq!(&hashes, &tree.proof(m, n));
        prop_assert_eq!(fold_within(&tree, &plan, n), Ok(hashes.clone()));
        let claim = Extension { old: tree.root(m), new: tree.root(n) };
        let verify = |hashes| ConsistencyProof::from_hashes(hashes)?.verify(&claim);
        for corrupt in corruptions(&hashes, bit) {
            prop_assert!(verify(corrupt).is_err());
        }
        prop_assert_eq!(verify(hashes), Ok(()));
    }

    #[test]
    fn subtree_proofs_in_huge_trees((a, b) in ordered(0), more in number(0, MAX), pick in any::<usize>(), bit in 0..256_usize) {
        let (left, right) = Subtree::cover(a as u64..b as u64).unwrap();
        let n = (b + more).min(MAX);
        for subtree in [left, right] {
            let (start, end) = (subtree.start() as usize, subtree.end().get() as usize);
            let tree = Reference::huge([start, end.saturating_sub(1), end, n.saturating_sub(1)]);
            let known = SubtreeRoot { subtree, hash: tree.mth(start..end) };
            let root = RootPlan::subtree(subtree);
            prop_assert_eq!(root.fold(&fetch(&tree, root.nodes())), Ok(known.hash));
            let plan = ProofPlan::subtree_consistency(subtree, size(n)).unwrap();
            let hashes = plan.fold(&fetch(&tree, plan.nodes())).unwrap();
            prop_assert_eq!(&hashes, &tree.subtree_proof(start..end, n));
            let verify = |hashes| ConsistencyProof::from_hashes(hashes)?.verify_subtree(&known, &tree.root(n));
            for corrupt in corruptions(&hashes, bit) {
                prop_assert!(verify(corrupt).is_err());
            }
            prop_assert_eq!(verify(hashes), Ok(()));
            if start < end {
                let m = start + pick % (end - start);
                let plan = ProofPlan::subtree_inclusion(index(m), subtree).unwrap();
                let hashes = plan.fold(&fetch(&tree, plan.nodes())).unwrap();
                prop_assert_eq!(&hashes, &tree.path(m - start, start..end));
                let proof = InclusionProof::from_hashes(hashes).unwrap();
                prop_assert_eq!(proof.verify_in_subtree(index(m), &tree.mth(m..m + 1), &known), Ok(()));
            }
        }
    }

    #[test]
    fn a_frontier_grows_the_same_in_any_pieces(start in number(0, MAX - 3_000), pieces in prop::collection::vec(0..700_usize, 1..4)) {
        let tree = Reference::huge([start, start + 1]);
        let nodes = RootPlan::tree(size(start));
        let mut one_by_one = Frontier::from_parts(size(start), fetch(&tree, nodes.nodes())).unwrap();
        let mut in_pieces = one_by_one.clone();
        let (mut reports, mut in_order) = ((BTreeMap::new(), BTreeMap::new()), true);
        for piece in pieces {
            let first = in_pieces.size().get() as usize;
            let leaves: Vec<_> = (first..first + piece).map(|leaf| tree.mth(leaf..leaf + 1)).collect();
            for leaf in &leaves {
                one_by_one.push(*leaf, &mut |node, hash| { reports.0.insert(node, hash); }).unwrap();
            }
            let assigned = in_pieces.extend(&leaves, &mut |node: NodeCoord, hash| {
                let below = node.children().filter(|(left, _)| left.start() >= start as u64);
                in_order &= below.is_none_or(|(left, right)| reports.1.contains_key(&left) && reports.1.contains_key(&right));
                assert_eq!(reports.1.insert(node, hash), None, "each node once");
            });
            prop_assert_eq!(assigned, Ok(index(first)));
            prop_assert_eq!(&one_by_one, &in_pieces);
            prop_assert_eq!(in_pieces.root(), tree.root(first + piece));
        }
        prop_assert!(in_order, "children come before their parents");
        prop_assert_eq!(reports.0, reports.1);
    }

    #[test]
    fn tiles_of_huge_trees_have_their_nodes(n in number(1, MAX), level in 0..63_u8, place in number(0, MAX)) {
        let tree = size(n);
        let level = level % (n.ilog2() as u8 + 1);
        let row = n >> level;
        let node = NodeCoord::new(level, (place % row) as u64).unwrap();
        let (tile, place) = TileCoord::of_node(node, tree).unwrap();
        prop_assert_eq!(TileCoord::new(tile.level(), tile.index(), tile.width()), Ok(tile));
        prop_assert_eq!(TileCoord::in_tree(tile.level(), tile.index(), tree), Some(tile));
        prop_assert!(tile.start() <= node.start() && node.end() <= tile.end() && tile.end() <= tree.get());
        let below = u64::from(place.offset()) << place.height();
        prop_assert_eq!(tile.node(below as u8).unwrap().start(), node.start());
        prop_assert!(!tile.width().is_full() || TileCoord::partials(tree).all(|partial| partial != tile));
    }

    #[test]
    fn paths_read_back(level in 0..=TileCoord::MAX_LEVEL, first in number(0, MAX), width in 1..=256_u64) {
        let index = first as u64 >> 8;
        let width = Width::new(width).unwrap();
        if let Ok(tile) = TileCoord::new(level, index, width) {
            prop_assert_eq!(tile.to_string().parse(), Ok(TilePath::Tile(tile)));
        }
        if let Ok(bundle) = BundleCoord::new(index, width) {
            prop_assert_eq!(bundle.to_string().parse(), Ok(TilePath::Entries(bundle)));
        }
    }

    #[test]
    fn what_is_read_as_a_path_is_what_would_be_written(text in "tile/(entries|[0-9]{1,2})/(x?[0-9]{1,4}/){0,3}[0-9]{2,3}(\\.p/[0-9]{1,3})?") {
        if let Ok(path) = text.parse::<TilePath>() {
            prop_assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn no_text_makes_the_path_parser_panic(text in ".*") {
        prop_assert!(text.parse::<TilePath>().is_err());
    }

    #[test]
    fn what_is_read_as_entries_is_what_would_be_written(lengths in prop::collection::vec(0..5_u8, 0..10), cut in 0..60_usize) {
        let mut bytes = Vec::new();
        lengths.iter().for_each(|length| Entries::encode(&vec![*length; usize::from(*length)], &mut bytes).unwrap());
        let whole = Entries::parse_batch(&bytes, 10).unwrap();
        prop_assert_eq!(whole.iter().map(|entry| entry.len() as u8).collect::<Vec<_>>(), lengths.clone());
        bytes.truncate(cut);
        if let Ok(entries) = Entries::parse_batch(&bytes, 10) {
            let mut again = Vec::new();
            entries.iter().for_each(|entry| Entries::encode(entry, &mut again).unwrap());
            prop_assert_eq!(&again, &bytes);
        }
    }
}

#[test]
fn a_full_tree_takes_no_further_leaf() {
    let tree = Reference::huge([]);
    let nodes = RootPlan::tree(TreeSize::MAX);
    let mut frontier = Frontier::from_parts(TreeSize::MAX, fetch(&tree, nodes.nodes())).unwrap();
    let root = frontier.root();
    assert_eq!(root, tree.root(MAX));
    let mut reported = 0;
    assert!(frontier.push(Hash::EMPTY_TREE, &mut |_, _| reported += 1).is_err());
    assert!(frontier.extend(&[Hash::EMPTY_TREE], &mut |_, _| reported += 1).is_err());
    assert_eq!((frontier.root(), reported), (root, 0));

    let nodes = RootPlan::tree(size(MAX - 1));
    let mut frontier = Frontier::from_parts(size(MAX - 1), fetch(&tree, nodes.nodes())).unwrap();
    assert!(frontier.extend(&[tree.mth(0..1); 2], &mut |_, _| reported += 1).is_err());
    assert_eq!((frontier.size(), reported), (size(MAX - 1), 0));
    frontier.push(tree.mth(0..1), &mut |_, _| reported += 1).unwrap();
    assert_eq!((frontier.root(), reported), (root, 1));
}

#[test]
fn the_longest_proofs_are_the_bounds() {
    let longest = |plan: ProofPlan| plan.fold(&vec![Hash::EMPTY_TREE; plan.nodes().len()]).unwrap().len();
    let inclusion = ProofPlan::inclusion(index(0), TreeSize::MAX).unwrap();
    assert_eq!(longest(inclusion), InclusionProof::MAX_HASHES);
    let growth = Growth { from: size((1 << 62) - 1), to: TreeSize::MAX };
    assert_eq!(longest(ProofPlan::consistency(growth).unwrap()), ConsistencyProof::MAX_HASHES);
    let growth = Growth { from: size((1 << 61) - 1), to: size(1 << 62) };
    assert_eq!(longest(ProofPlan::consistency(growth).unwrap()), 63, "the bound of C2SP tlog-witness");
    assert!(InclusionProof::from_hashes(vec![Hash::EMPTY_TREE; InclusionProof::MAX_HASHES + 1]).is_err());
    assert!(ConsistencyProof::from_hashes(vec![Hash::EMPTY_TREE; ConsistencyProof::MAX_HASHES + 1]).is_err());
    let unbounded = InclusionProof::from_hashes(vec![Hash::EMPTY_TREE; InclusionProof::MAX_HASHES]).unwrap();
    let root = Root { size: TreeSize::MAX, hash: Hash::EMPTY_TREE };
    assert!(unbounded.verify(index(MAX - 1), &Hash::EMPTY_TREE, &root).is_err());
}
