//! What the tiles over an entry prove of it: in each tree that had it, and not once any of them is changed.

use cairn_tree::merkle::Root;
use cairn_tree::store::{Key, Kind, TileLevel};

use super::*;

/// One full tile of level 1, and a bit.
const LEAVES: usize = 256 * 256 + 600;

fn proven(log: &Log, index: u64, under: Root) -> Option<Hash> {
    log.proven(&log.head(), LeafIndex::new(index).unwrap(), &under).unwrap()
}

/// Whether nothing is said of an entry, or that the tree's edge, by which all is proven, is damaged.
fn is_refused(log: &Log, index: u64, under: Root) -> bool {
    let found = log.proven(&log.head(), LeafIndex::new(index).unwrap(), &under);
    matches!(found, Ok(None) | Err(ProofError::Read(ReadError::Damaged { .. })))
}

fn leaf(index: u64) -> Option<Hash> {
    numbered(index as usize..index as usize + 1).first().map(|entry| Hash::leaf(entry))
}

fn grown(to: &[usize]) -> (World, Vec<Root>) {
    let mut world = World::with_log("main");
    let (mut from, mut roots) = (0, Vec::new());
    for size in to {
        for begin in (from..*size).step_by(10_000) {
            world.append("main", &numbered(begin..(begin + 10_000).min(*size)));
        }
        let head = world.engine.log("main").unwrap().head();
        roots.push(head.tree());
        from = *size;
    }
    (world, roots)
}

#[test]
fn an_entry_is_proven_in_each_tree_that_has_it_and_in_no_other() {
    let (world, roots) = grown(&[1, 255, 256, 300, 700, 256 * 256, LEAVES]);
    let log = world.engine.log("main").unwrap();
    for root in &roots {
        let size = root.size.get();
        for index in [0, 1, 254, 255, 256, 299, 511, 699, 65_535, 65_536, size - 1] {
            if index < size {
                assert_eq!(proven(&log, index, *root), leaf(index), "{index} of {size}");
                let other = Root { hash: Hash::leaf(b"other"), ..*root };
                assert_eq!(proven(&log, index, other), None, "{index} of {size}");
                assert_eq!(proven(&log, index, *root), leaf(index), "what was wrong is not kept");
            } else {
                let asked = log.proven(&log.head(), LeafIndex::new(index).unwrap(), root);
                assert!(matches!(asked, Err(ProofError::Question(_))), "{asked:?}");
            }
        }
    }
    let larger = Root { size: TreeSize::new(LEAVES as u64 + 1).unwrap(), hash: roots[0].hash };
    let asked = log.proven(&log.head(), LeafIndex::ZERO, &larger);
    assert!(matches!(asked, Err(ProofError::Question(_))), "{asked:?}");
}

#[test]
fn a_changed_tile_proves_nothing_that_is_below_it() {
    let (mut world, roots) = grown(&[700, LEAVES]);
    let [earlier, newest] = roots[..] else { panic!() };
    let id = world.engine.log("main").unwrap().info().id;
    let tile = |level, number| Key::numbered(id, Kind::Tile(TileLevel::new(level).unwrap()), number);
    // The tile; leaves below it, and one that is not.
    let cases = [
        (tile(0, 0), vec![0, 255], Some(256)),
        (tile(0, 200), vec![200 * 256, 200 * 256 + 99], Some(199 * 256)),
        // Both are of the edge, by which all else is proven.
        (tile(0, 256), vec![65_536], None),
        (tile(1, 0), vec![0, 40_000, 65_535], None),
    ];
    for (key, below, beside) in cases {
        for place in [0, 99 * Hash::LEN, 255 * Hash::LEN + 31] {
            world.stop();
            let opened = Engine::open(&options(world.path()), Arc::clone(&world.clock) as _, Arc::new(Unobserved));
            world.engine = opened.unwrap();
            let rocks = &world.engine.inner.rocks;
            let sound = rocks.get(&key).unwrap().unwrap();
            let mut changed = sound.clone();
            changed[place] ^= 1;
            let put = |row: &[u8]| {
                let mut batch = Batch::new();
                batch.put(key.clone(), row.to_vec());
                rocks.commit(batch).unwrap();
            };
            put(&changed);
            let log = world.engine.log("main").unwrap();
            for index in &below {
                assert!(is_refused(&log, *index, newest), "{index} below {key:?}");
                assert!(*index >= 700 || is_refused(&log, *index, earlier), "{index} below {key:?}");
            }
            if let Some(index) = beside {
                assert_eq!(proven(&log, index, newest), leaf(index), "{index} beside {key:?}");
            }
            put(&sound);
        }
    }
}
