//! Tiles and entry bundles from outside: the specification's own examples, every node of trees of many sizes read through
//! tiles, and what a lying server could send.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;

use cairn_tree::hash::Hash;
use cairn_tree::merkle::{Frontier, Growth, InclusionProof, NodeCoord, ProofPlan, Root, RootPlan};
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::tile::{
    BundleCoord, CoordError, Entries, ProvenTile, ReaderError, Tile, TileCoord, TilePlan, TileSet, Width, tiles_of,
};

/// A log of so many entries and every tile that a tree of some size up to it has.
struct Log {
    rows: Vec<Vec<Hash>>,
}

fn entry(index: usize) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

fn width(width: u64) -> Width {
    Width::new(width).unwrap()
}

fn size(size: usize) -> TreeSize {
    TreeSize::new(size as u64).unwrap()
}

impl Log {
    fn new(len: usize) -> Self {
        let leaves: Vec<_> = (0..len).map(|leaf| Hash::leaf(&entry(leaf))).collect();
        let mut rows = vec![Vec::new(); 64];
        Frontier::new()
            .extend(&leaves, &mut |node, hash| {
                assert_eq!(rows[node.level() as usize].len() as u64, node.index(), "each row in order");
                rows[node.level() as usize].push(hash);
            })
            .unwrap();
        Self { rows }
    }

    fn node(&self, node: NodeCoord) -> Hash {
        self.rows[node.level() as usize][node.index() as usize]
    }

    fn root(&self, size: TreeSize) -> Root {
        let plan = RootPlan::tree(size);
        let hashes: Vec<_> = plan.nodes().iter().map(|node| self.node(*node)).collect();
        Root { size, hash: plan.fold(&hashes).unwrap() }
    }

    fn tile(&self, coord: TileCoord) -> Arc<Tile> {
        let first = coord.index() as usize * 256;
        let row = &self.rows[8 * coord.level() as usize];
        Arc::new(Tile::from_hashes(coord, &row[first..first + coord.width().get()]).unwrap())
    }

    fn serve(&self, coords: &[TileCoord]) -> Vec<Arc<Tile>> {
        coords.iter().map(|coord| self.tile(*coord)).collect()
    }

    fn all_nodes(&self, size: TreeSize) -> Vec<NodeCoord> {
        (0..64)
            .flat_map(|level| (0..size.get() >> level).map(move |index| NodeCoord::new(level, index).unwrap()))
            .collect()
    }
}

#[test]
fn the_specifications_examples_of_partial_tiles() {
    // "a tree of size 70,000 will be represented by 273 full level 0 tiles, one partial level 0 tile of width 112, one
    // full level 1 tile, one partial level 1 tile of width 17, and one partial level 2 tile of width 1"
    let tree = size(70_000);
    let partials: Vec<_> = TileCoord::partials(tree).map(|tile| (tile.level(), tile.index(), tile.width())).collect();
    assert_eq!(partials, [(0, 273, width(112)), (1, 1, width(17)), (2, 0, width(1))]);
    for (level, full) in [(0, 273), (1, 1), (2, 0)] {
        for index in 0..=full + 1 {
            let tile = TileCoord::in_tree(level, index, tree);
            assert_eq!(tile.is_some_and(|tile| tile.width().is_full()), index < full);
            assert_eq!(tile.is_some(), index <= full);
        }
    }
    assert_eq!(TileCoord::in_tree(3, 0, tree), None);
    // "a tree of size 256 will be represented by a full level 0 tile and a partial level 1 tile of width 1"
    let partials: Vec<_> = TileCoord::partials(size(256)).collect();
    assert_eq!(partials, [TileCoord::new(1, 0, width(1)).unwrap()]);
    assert!(TileCoord::in_tree(0, 0, size(256)).unwrap().width().is_full());
    assert_eq!(TileCoord::partials(TreeSize::ZERO).count(), 0);
}

#[test]
fn start_and_end_are_the_specifications() {
    let tile = TileCoord::new(1, 2, Width::FULL).unwrap();
    assert_eq!((tile.start(), tile.end()), (2 * 65_536, 3 * 65_536));
    let tile = TileCoord::new(1, 2, width(3)).unwrap();
    assert_eq!((tile.start(), tile.end()), (2 * 65_536, 2 * 65_536 + 3 * 256));
    let bundle = BundleCoord::new(7, width(9)).unwrap();
    assert_eq!((bundle.start(), bundle.end()), (7 * 256, 7 * 256 + 9));
}

#[test]
fn coordinates_end_with_the_largest_tree() {
    for level in 0..=TileCoord::MAX_LEVEL {
        let row = TreeSize::MAX.get() >> (8 * level);
        let last = TileCoord::in_tree(level, row / 256, TreeSize::MAX).unwrap();
        assert!(!last.width().is_full());
        assert!(last.end() <= TreeSize::MAX.get());
        assert_eq!(TileCoord::new(level, last.index(), last.width()), Ok(last));
        let wider = width(last.width().get() as u64 + 1);
        let refused = Err(CoordError::NoSuchTile { level, index: last.index() });
        assert_eq!(TileCoord::new(level, last.index(), wider), refused);
        assert_eq!(last.with_width(wider), refused);
        assert!(TileCoord::new(level, last.index() + 1, width(1)).is_err());
        assert!(TileCoord::new(level, u64::MAX, Width::FULL).is_err());
    }
    assert!(TileCoord::new(TileCoord::MAX_LEVEL + 1, 0, width(1)).is_err());
    assert!(TileCoord::new(u8::MAX, 0, width(1)).is_err());
    assert!(BundleCoord::new(TreeSize::MAX.get() / 256 + 1, width(1)).is_err());
    assert_eq!(Width::new(0), Err(CoordError::Width(0)));
    assert_eq!(Width::new(257), Err(CoordError::Width(257)));
}

#[test]
fn every_node_of_a_tree_is_read_from_the_tile_that_has_it() {
    let log = Log::new(66_000);
    for n in [1, 2, 3, 255, 256, 257, 511, 512, 600, 65_535, 65_536, 65_537, 66_000].map(size) {
        let nodes = log.all_nodes(n);
        let coords = tiles_of(&nodes, n).unwrap();
        assert_eq!(coords.len(), coords.iter().map(|tile| (tile.level(), tile.index())).collect::<BTreeSet<_>>().len());
        let tiles = TileSet::new(log.serve(&coords));
        for node in nodes {
            assert_eq!(tiles.hash(node), Ok(log.node(node)), "{node:?} of {n}");
            let (tile, place) = TileCoord::of_node(node, n).unwrap();
            assert!(tile.start() <= node.start() && node.end() <= tile.end());
            assert_eq!(
                u64::from(place.offset()) << place.height(),
                (node.start() - tile.start()) >> (8 * tile.level())
            );
        }
        for beyond in (0..63).filter_map(|level| NodeCoord::new(level, n.get() >> level).ok()) {
            assert_eq!(TileCoord::of_node(beyond, n), None);
            assert_eq!(tiles_of(&[beyond], n), Err(ReaderError::NotInTree { node: beyond, size: n }));
            assert!(matches!(tiles.hash(beyond), Err(ReaderError::MissingNode(_))), "{beyond:?} of {n}");
        }
    }
}

#[test]
fn a_tile_reads_back_from_its_bytes_and_is_cut_like_a_smaller_trees() {
    let log = Log::new(256);
    let full = log.tile(TileCoord::new(0, 0, Width::FULL).unwrap());
    for w in 1..=256 {
        let coord = TileCoord::new(0, 0, width(w)).unwrap();
        let tile = log.tile(coord);
        assert_eq!(full.cut(width(w)).as_ref(), Some(&*tile));
        let bytes = tile.to_bytes();
        assert_eq!(bytes.len() as u64, w * 32);
        assert_eq!(Tile::from_bytes(coord, &bytes).as_ref(), Ok(&*tile));
        assert_eq!(tile.root().is_some(), w == 256);
        assert_eq!(tile.hashes().len() as u64, w);
        if w < 256 {
            assert_eq!(tile.cut(width(w + 1)), None);
        }
        for wrong in [&bytes[1..], &bytes[..bytes.len() - 32], &[&bytes[..], &[0; 32]].concat(), &[]] {
            let refused = Err(ReaderError::Length { tile: coord, found: wrong.len() });
            assert_eq!(Tile::from_bytes(coord, wrong), refused);
        }
    }
    assert_eq!(full.root(), Some(log.rows[8][0]));
}

/// Proves the tiles of some nodes, in a tree with several tile levels.
fn plan_and_serve(log: &Log, nodes: &[NodeCoord], n: TreeSize) -> (TilePlan, Vec<Arc<Tile>>) {
    let plan = TilePlan::new(nodes, log.root(n)).unwrap();
    let tiles = log.serve(plan.tiles());
    (plan, tiles)
}

#[test]
fn proven_tiles_give_proofs_that_verify() {
    let log = Log::new(140_000);
    for n in [1, 255, 256, 257, 5_000, 65_536, 65_537, 131_072, 140_000].map(size) {
        for leaf in [0, 1, n.get() / 3, n.get() / 2, n.get() - 1].into_iter().filter(|leaf| *leaf < n.get()) {
            let index = LeafIndex::new(leaf).unwrap();
            let proof = ProofPlan::inclusion(index, n).unwrap();
            let (plan, tiles) = plan_and_serve(&log, proof.nodes(), n);
            let set = TileSet::new(plan.prove(&tiles).unwrap());
            let hashes = proof.fold(&set.hashes(proof.nodes()).unwrap()).unwrap();
            let verified =
                InclusionProof::from_hashes(hashes).unwrap().verify(index, &log.rows[0][leaf as usize], &log.root(n));
            assert_eq!(verified, Ok(()), "{leaf} of {n}");
        }
    }
}

#[test]
fn any_wrong_hash_in_any_tile_proves_nothing() {
    let n = size(131_072 + 300);
    let log = Log::new(n.get() as usize);
    let leaf = NodeCoord::leaf(LeafIndex::new(65_536 + 5).unwrap());
    let (plan, tiles) = plan_and_serve(&log, &[leaf], n);
    // The edge (widths 44, 1, 2), and on the way to the leaf one full tile of level 1 and one of level 0.
    let places: Vec<_> = plan.tiles().iter().map(|tile| (tile.level(), tile.index(), tile.width().get())).collect();
    assert_eq!(places, [(2, 0, 2), (1, 2, 1), (1, 1, 256), (0, 513, 44), (0, 256, 256)]);
    assert_eq!(plan.prove(&tiles).unwrap().len(), 5);

    for (position, tile) in tiles.iter().enumerate() {
        for at in 0..tile.hashes().len() {
            let mut hashes = tile.hashes().to_vec();
            hashes[at] = Hash::leaf(b"another");
            let mut lying = tiles.clone();
            lying[position] = Arc::new(Tile::from_hashes(tile.coord(), &hashes).unwrap());
            match plan.prove(&lying) {
                Err(ReaderError::WrongEdge { .. }) => assert!(!tile.coord().width().is_full()),
                Err(ReaderError::WrongTile { tile: named, .. }) => assert_eq!(named, tile.coord()),
                other => panic!("hash {at} of {}: {other:?}", tile.coord()),
            }
        }
    }
}

#[test]
fn missing_surplus_and_misplaced_tiles_prove_nothing() {
    let n = size(700);
    let log = Log::new(1_000);
    let (plan, tiles) = plan_and_serve(&log, &[NodeCoord::new(0, 3).unwrap()], n);
    assert_eq!(plan.tiles().len(), 3);
    for position in 0..tiles.len() {
        let mut lacking = tiles.clone();
        lacking.remove(position);
        assert!(matches!(plan.prove(&lacking), Err(ReaderError::MissingTile(_))));
    }
    let mut swapped = tiles.clone();
    swapped.swap(0, 1);
    assert!(matches!(plan.prove(&swapped), Err(ReaderError::MissingTile(_))));
    // What was not planned is not proven either.
    let stray = log.tile(TileCoord::new(0, 1, Width::FULL).unwrap());
    let proven = plan.prove(&[tiles.clone(), vec![stray]].concat()).unwrap();
    assert_eq!(proven.iter().map(|tile| tile.tile().coord()).collect::<Vec<_>>(), plan.tiles());
    // The right tiles of another tree, or another root.
    let other = TilePlan::new(&[], log.root(size(701))).unwrap();
    assert!(matches!(other.prove(&tiles), Err(ReaderError::MissingTile(_))));
    let forged = TilePlan::new(&[], Root { size: n, hash: Hash::EMPTY_TREE }).unwrap();
    assert!(matches!(forged.prove(&log.serve(forged.tiles())), Err(ReaderError::WrongEdge { .. })));
    // Nothing is proven of an empty tree but that its root is the empty one.
    assert_eq!(TilePlan::new(&[], Root::EMPTY).unwrap().prove(&[]), Ok(Vec::new()));
}

fn bundle_bytes(from: usize, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    (from..from + count).for_each(|index| Entries::encode(&entry(index), &mut bytes).unwrap());
    bytes
}

fn proven(log: &Log, n: TreeSize, leaf: u64) -> ProvenTile {
    let (plan, tiles) = plan_and_serve(log, &[NodeCoord::new(0, leaf).unwrap()], n);
    let (coord, _) = TileCoord::of_node(NodeCoord::new(0, leaf).unwrap(), n).unwrap();
    plan.prove(&tiles).unwrap().into_iter().find(|tile| tile.tile().coord() == coord).unwrap()
}

#[test]
fn a_bundles_entries_are_proven_by_its_tile_and_a_changed_one_is_named() {
    let log = Log::new(600);
    for (n, leaf) in [(600, 300), (600, 599), (257, 256)] {
        let n = size(n);
        let (bundle, place) = BundleCoord::of_leaf(LeafIndex::new(leaf).unwrap(), n).unwrap();
        assert_eq!(bundle.start() + u64::from(place), leaf);
        let bytes = bundle_bytes(bundle.start() as usize, bundle.width().get());
        let tile = proven(&log, n, leaf);
        let entries = Entries::parse_bundle(&bytes, bundle.width()).unwrap();
        let proven = tile.prove_entries(bundle, entries).unwrap();
        assert_eq!((proven.bundle(), proven.entries()), (bundle, entries));
        for position in 0..entries.len() {
            let mut changed = Vec::new();
            for (at, entry) in entries.iter().enumerate() {
                let tail: &[u8] = if at == position { b"!" } else { b"" };
                Entries::encode(&[entry, tail].concat(), &mut changed).unwrap();
            }
            let refused = tile.prove_entries(bundle, Entries::parse_bundle(&changed, bundle.width()).unwrap());
            let index = bundle.start() + position as u64;
            assert!(matches!(refused, Err(ReaderError::WrongEntry { index: named, .. }) if named == index));
        }
    }
}

#[test]
fn a_bundle_is_only_proven_by_its_own_tile_and_whole() {
    let log = Log::new(600);
    let n = size(600);
    let tile = proven(&log, n, 0);
    let bytes = bundle_bytes(0, 256);
    let entries = Entries::parse_bundle(&bytes, Width::FULL).unwrap();
    let elsewhere = BundleCoord::new(1, Width::FULL).unwrap();
    assert!(matches!(tile.prove_entries(elsewhere, entries), Err(ReaderError::NotTheBundles { .. })));
    let bundle = BundleCoord::new(0, Width::FULL).unwrap();
    let short = entries.first(width(255)).unwrap();
    assert!(matches!(tile.prove_entries(bundle, short), Err(ReaderError::EntryCount { found: 255, .. })));
    // A partial bundle is proven by the full tile, but a full one not by a partial tile.
    assert!(tile.prove_entries(bundle.with_width(width(255)).unwrap(), short).is_ok());
    let partial = proven(&log, size(100), 0);
    assert!(matches!(partial.prove_entries(bundle, entries), Err(ReaderError::NotTheBundles { .. })));
    let above = log.tile(TileCoord::new(1, 0, width(2)).unwrap());
    assert!(matches!(above.check_entries(bundle, &entries), Err(ReaderError::NotTheBundles { .. })));
}

#[test]
fn a_set_keeps_the_widest_of_a_place() {
    let log = Log::new(256);
    let coords = [3, 200, 100].map(|w| TileCoord::new(0, 0, width(w)).unwrap());
    let set = TileSet::new(log.serve(&coords));
    assert_eq!(set.get(0, 0).unwrap().coord().width(), width(200));
    assert_eq!(set.hash(NodeCoord::new(0, 199).unwrap()), Ok(log.rows[0][199]));
    assert!(set.hash(NodeCoord::new(0, 200).unwrap()).is_err());
}

/// Another implementation's proofs, from the same tiles.
mod tlog_oracle {
    use super::*;
    use tlog_tiles::{HashReader, prove_record, prove_tree};

    struct Stored<'a>(&'a Log);

    impl HashReader for Stored<'_> {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::tlog::Error> {
            let node = |index: &u64| {
                let (level, index) = tlog_tiles::split_stored_hash_index(*index);
                tlog_tiles::Hash(*self.0.rows[level as usize][index as usize].as_bytes())
            };
            Ok(indexes.iter().map(node).collect())
        }
    }

    fn ours(hashes: &[tlog_tiles::Hash]) -> Vec<Hash> {
        hashes.iter().map(|hash| Hash::new(hash.0)).collect()
    }

    #[test]
    fn proofs_are_the_same_as_tlog_tiles_gives() {
        let log = Log::new(3_000);
        for n in (1..400).chain([1_000, 1_023, 1_024, 1_025, 2_999, 3_000]) {
            for m in (0..n).step_by(1 + n as usize / 40) {
                let (size, index) = (TreeSize::new(n).unwrap(), LeafIndex::new(m).unwrap());
                let fetch = |plan: &ProofPlan| plan.nodes().iter().map(|node| log.node(*node)).collect::<Vec<_>>();
                let plan = ProofPlan::inclusion(index, size).unwrap();
                let theirs = prove_record(n, m, &Stored(&log)).unwrap();
                assert_eq!(plan.fold(&fetch(&plan)).unwrap(), ours(&theirs), "{m} of {n}");
                if m > 0 {
                    let growth = Growth { from: TreeSize::new(m).unwrap(), to: size };
                    let plan = ProofPlan::consistency(growth).unwrap();
                    let theirs = prove_tree(n, m, &Stored(&log)).unwrap();
                    assert_eq!(plan.fold(&fetch(&plan)).unwrap(), ours(&theirs), "{m} to {n}");
                }
            }
        }
    }

    #[test]
    fn paths_are_the_same_as_tlog_tiles_writes() {
        for level in 0..=TileCoord::MAX_LEVEL {
            let last = TreeSize::MAX.get() >> (8 * level) >> 8;
            for index in [0, 1, 9, 10, 99, 100, 999, 1_000, 1_001, 999_999, 1_000_000, 1_234_067, last / 2] {
                for w in [1, 9, 10, 99, 100, 127, 255, 256] {
                    let Ok(tile) = TileCoord::new(level, index, width(w)) else { continue };
                    let theirs = tlog_tiles::Tile::new(8, level, index, w as u32, false).path();
                    // Theirs names the height, which C2SP fixes to 8 and leaves out.
                    assert_eq!(tile.to_string(), theirs.replacen("tile/8/", "tile/", 1));
                }
            }
        }
    }
}
