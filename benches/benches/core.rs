//! How fast the pure core is, each comparison with ct-merkle in the same run.
//!
//! Criterion gives the times. The ratios are printed beside them, out of rounds in which the two take turns, because
//! times that were measured minutes apart on a busy machine cannot be divided. What was measured stands in `README.md`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "a benchmark fails by panicking")]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_tree::hash::Hash;
use cairn_tree::merkle::{Extension, Frontier, InclusionProof, MemoryTree, ProofPlan};
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::tile::{Entries, Tile, TileCoord, TileSet, Width, tiles_of};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use sha2::Sha256;

/// The leaves of a tree: no power of two, so that its right edge is ragged.
const LEAVES: usize = 1_000_000;
/// How many leaves are appended at a time.
const BATCH: usize = 4_096;
/// How many rounds a ratio is the median of.
const ROUNDS: usize = 11;

fn leaves<const LEN: usize>(count: usize) -> Vec<[u8; LEN]> {
    let leaf = |index: usize| {
        let mut leaf = [0x5a; LEN];
        leaf[..8].copy_from_slice(&(index as u64).to_be_bytes());
        leaf
    };
    (0..count).map(leaf).collect()
}

/// From one index to the next: neighbours, whose nodes are in the caches, or all over the tree, where memory binds.
const STEPS: [(&str, usize); 2] = [("one after another", 1), ("anywhere", 611_953)];

fn indexes(step: usize) -> impl FnMut() -> usize {
    let mut index = 0;
    move || {
        index = (index + step) % LEAVES;
        index
    }
}

/// Lets criterion time both, then prints how many times ours is faster.
fn compare(c: &mut Criterion, name: &str, elements: u64, mut ours: impl FnMut(), mut theirs: impl FnMut()) {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(elements)).sample_size(if elements > 1 { 10 } else { 100 });
    group.bench_function("cairn", |b| b.iter(&mut ours));
    group.bench_function("ct-merkle", |b| b.iter(&mut theirs));
    group.finish();

    // A round takes at least some milliseconds, so that neither the clock's steps nor cold caches count.
    let mut repeat = 1;
    while time(repeat, &mut ours) < Duration::from_millis(20) {
        repeat *= 2;
    }
    let mut ratios: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let ours = time(repeat, &mut ours);
            time(repeat, &mut theirs).as_secs_f64() / ours.as_secs_f64()
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let (low, median, high) = (ratios[ROUNDS / 4], ratios[ROUNDS / 2], ratios[ROUNDS * 3 / 4]);
    println!("{name}: {median:.2} times ct-merkle (quartiles {low:.2} to {high:.2})\n");
}

fn time(repeat: u32, run: &mut impl FnMut()) -> Duration {
    let started = Instant::now();
    (0..repeat).for_each(|_| run());
    started.elapsed()
}

fn our_tree<const LEN: usize>(leaves: &[[u8; LEN]]) -> MemoryTree {
    let mut tree = MemoryTree::new();
    for batch in leaves.chunks(BATCH) {
        let hashes: Vec<_> = batch.iter().map(|leaf| Hash::leaf(leaf)).collect();
        tree.extend(&hashes).unwrap();
    }
    tree
}

fn their_tree<const LEN: usize>(leaves: &[[u8; LEN]]) -> MemoryBackedTree<Sha256, [u8; LEN]> {
    let mut tree = MemoryBackedTree::new();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree
}

fn build(c: &mut Criterion) {
    fn of<const LEN: usize>(c: &mut Criterion) {
        let leaves = leaves::<LEN>(LEAVES);
        let name = format!("build a tree of 1 M leaves of {LEN} bytes");
        let (ours, theirs) = (|| drop(black_box(our_tree(&leaves))), || drop(black_box(their_tree(&leaves))));
        compare(c, &name, LEAVES as u64, ours, theirs);
    }
    of::<32>(c);
    of::<300>(c);
}

fn prove(c: &mut Criterion) {
    let leaves = leaves::<32>(LEAVES);
    let (ours, theirs) = (our_tree(&leaves), their_tree(&leaves));
    let leaf_index = |index: usize| LeafIndex::new(index as u64).unwrap();
    let size = |size: usize| TreeSize::new(size as u64).unwrap();

    for (how, step) in STEPS {
        let (mut ours_next, mut theirs_next) = (indexes(step), indexes(step));
        compare(
            c,
            &format!("build inclusion proofs, 1 M leaves, {how}"),
            1,
            || drop(black_box(ours.prove_inclusion(leaf_index(ours_next())).unwrap())),
            || drop(black_box(theirs.prove_inclusion(theirs_next()))),
        );
    }

    let (index, root, their_root) = (LEAVES / 3, ours.root(), theirs.root());
    let (our_proof, their_proof) = (ours.prove_inclusion(leaf_index(index)).unwrap(), theirs.prove_inclusion(index));
    compare(
        c,
        "verify an inclusion proof, 1 M leaves",
        1,
        || our_proof.verify(leaf_index(index), &Hash::leaf(&leaves[index]), black_box(&root)).unwrap(),
        || their_root.verify_inclusion(&leaves[index], index as u64, black_box(&their_proof)).unwrap(),
    );

    for (how, step) in STEPS {
        let (mut ours_next, mut theirs_next) = (indexes(step), indexes(step));
        compare(
            c,
            &format!("build consistency proofs, 1 M leaves, {how}"),
            1,
            || drop(black_box(ours.prove_consistency(size(ours_next().max(1))).unwrap())),
            || drop(black_box(theirs.prove_consistency(LEAVES - theirs_next().max(1)))),
        );
    }

    let old = LEAVES / 3;
    let claim = Extension { old: our_tree(&leaves[..old]).root(), new: root };
    let their_old = their_tree(&leaves[..old]).root();
    let (our_proof, their_proof) = (ours.prove_consistency(size(old)).unwrap(), theirs.prove_consistency(LEAVES - old));
    compare(
        c,
        "verify a consistency proof, 1 M leaves",
        1,
        || our_proof.verify(black_box(&claim)).unwrap(),
        || their_root.verify_consistency(&their_old, black_box(&their_proof)).unwrap(),
    );
}

/// What the server does: read a proof's nodes out of tiles that are in memory.
fn prove_from_tiles(c: &mut Criterion) {
    let tree = our_tree(&leaves::<32>(LEAVES));
    let size = tree.size();
    let levels = 0..=TileCoord::MAX_LEVEL;
    let coords = levels.flat_map(|level| (0..).map_while(move |index| TileCoord::in_tree(level, index, size)));
    let tile = |coord: TileCoord| {
        let nodes = (0..coord.width().get()).filter_map(|offset| tree.node(coord.node(offset as u8)?));
        Tile::from_hashes(coord, &nodes.collect::<Vec<_>>()).unwrap()
    };
    let cache: HashMap<_, _> = coords.map(|coord| (coord, Arc::new(tile(coord)))).collect();
    for (how, step) in STEPS {
        let mut next = indexes(step);
        c.bench_function(&format!("build inclusion proofs from cached tiles, 1 M leaves, {how}"), |b| {
            b.iter(|| {
                let plan = ProofPlan::inclusion(LeafIndex::new(next() as u64).unwrap(), size).unwrap();
                let needed = tiles_of(plan.nodes(), size).unwrap();
                let tiles = TileSet::new(needed.iter().map(|tile| Arc::clone(&cache[tile])));
                let hashes = tiles.hashes(plan.nodes()).unwrap();
                InclusionProof::from_hashes(plan.fold(&hashes).unwrap()).unwrap()
            });
        });
    }
}

fn hash(c: &mut Criterion) {
    let hashes: Vec<_> = leaves::<32>(LEAVES / 10).iter().map(|leaf| Hash::leaf(leaf)).collect();
    let [left, right] = [hashes[0], hashes[1]];
    c.bench_function("hash an inner node", |b| b.iter(|| Hash::node(black_box(&left), black_box(&right))));
    let leaf = leaves::<300>(1)[0];
    c.bench_function("hash a leaf of 300 bytes", |b| b.iter(|| Hash::leaf(black_box(&leaf))));

    let coord = TileCoord::new(0, 0, Width::FULL).unwrap();
    c.bench_function("compute the inner nodes of a full tile", |b| {
        b.iter(|| Tile::from_hashes(coord, black_box(&hashes[..256])).unwrap());
    });

    let mut bundle = Vec::new();
    leaves::<300>(256).iter().for_each(|leaf| Entries::encode(leaf, &mut bundle).unwrap());
    c.bench_function("parse and hash a full bundle of 300-byte entries", |b| {
        b.iter(|| Entries::parse_bundle(black_box(&bundle), Width::FULL).unwrap().leaf_hashes());
    });

    let mut group = c.benchmark_group("append leaf hashes to a frontier");
    group.throughput(Throughput::Elements(hashes.len() as u64));
    group.bench_function("one by one", |b| {
        b.iter(|| {
            let mut frontier = Frontier::new();
            for leaf in &hashes {
                frontier.push(*leaf, &mut |_, _| ()).unwrap();
            }
            frontier.root()
        });
    });
    group.bench_function("at once", |b| {
        b.iter(|| {
            let mut frontier = Frontier::new();
            frontier.extend(&hashes, &mut |_, _| ()).unwrap();
            frontier.root()
        });
    });
    group.finish();
}

/// What a monitor does with entries once it has their bundles: read, hash, append to the tree that is known.
fn verify_bundles(c: &mut Criterion) {
    let bundles: Vec<Vec<u8>> = leaves::<300>(BATCH * 16)
        .chunks(Width::FULL.get())
        .map(|entries| {
            let mut bundle = Vec::new();
            entries.iter().for_each(|entry| Entries::encode(entry, &mut bundle).unwrap());
            bundle
        })
        .collect();
    let mut group = c.benchmark_group("verify a monitor's bundles");
    group.throughput(Throughput::Elements((BATCH * 16) as u64));
    group.bench_function("entries of 300 bytes", |b| {
        b.iter(|| {
            let mut frontier = Frontier::new();
            for bundle in &bundles {
                let entries = Entries::parse_bundle(bundle, Width::FULL).unwrap();
                frontier.extend(&entries.leaf_hashes(), &mut |_, _| {}).unwrap();
            }
            black_box(frontier.root())
        });
    });
    group.finish();
}

criterion_group!(benches, build, prove, prove_from_tiles, hash, verify_bundles);
criterion_main!(benches);
