//! How much is read: what a start looks at, and what readers share.

use cairn_tree::store::Kind;

use super::*;

fn is_tile(kind: Kind) -> bool {
    matches!(kind, Kind::Tile(_))
}

impl World {
    pub(super) fn head_row(&self, name: &str) -> layout::HeadRow {
        let log = self.engine.log(name).unwrap().info().id;
        layout::HeadRow::decode(&self.engine.inner.rocks.get(&layout::HeadRow::key(log)).unwrap().unwrap()).unwrap()
    }

    /// Stops, and changes rows as something else than the server would.
    fn put_behind_its_back(&mut self, key: cairn_tree::store::Key, value: Vec<u8>) {
        self.stop();
        let options = options(self.path());
        let store = RocksStore::open(&options.database_path(), &options.settings).unwrap();
        let mut batch = Batch::new();
        batch.put(key, value);
        store.commit(batch).unwrap();
    }
}

#[test]
fn a_head_row_and_the_last_entries_give_the_root_without_tiles() {
    for size in [1, 255, 256, 257, 700, 256 * 9 + 100] {
        let mut world = World::with_log("main");
        world.append("main", &numbered(0..size));
        let store = world.reopen_faulty();
        let (log, row) = (world.engine.log("main").unwrap(), world.head_row("main"));
        let mark = crate::high_water::Mark { size: row.size, root: row.root, time_ms: row.time_ms };
        store.reads_of(|_| true);
        let stored = stored::Stored::new(&*store, log.info().id);
        assert!(open::is_as_released(&stored, &row, mark).unwrap());
        assert_eq!(store.reads_of(is_tile), 0, "{size}");
        let other = layout::HeadRow { nodes: Some(vec![Hash::leaf(b"a"); 9]), ..row };
        assert!(!open::is_as_released(&stored, &other, mark).unwrap());
        drop((log, store));
        world.check("main");
        world.append("main", &numbered(size..size + 300));
    }
}

/// Rows of an older version have no nodes: the tiles are read as they were then, and the next commit writes them.
#[test]
fn a_head_row_without_nodes_opens_and_one_with_wrong_nodes_is_not_believed() {
    let mut world = World::with_log("main");
    world.append("main", &numbered(0..1_000));
    let (log, row) = (world.engine.log("main").unwrap().info().id, world.head_row("main"));
    assert_eq!(row.nodes.as_ref().map(Vec::len), Some(2));
    let wrong = |nodes: Option<Vec<Hash>>| layout::HeadRow { nodes, ..row.clone() };
    let mut swapped = row.nodes.clone().unwrap();
    swapped.reverse();
    for (nodes, sound) in [(None, true), (Some(swapped), false), (Some(Vec::new()), false)] {
        let mut world = World::with_log("main");
        world.append("main", &numbered(0..1_000));
        world.put_behind_its_back(layout::HeadRow::key(log), wrong(nodes).encode());
        let options = options(world.path());
        let findings = fsck(&options, &mut |_, _, _| {}).unwrap();
        assert_eq!(findings.iter().all(|finding| finding.problem.is_none()), sound, "{findings:?}");
        let store = world.reopen_faulty();
        assert!(store.reads_of(is_tile) > 0);
        drop(store);
        world.check("main");
        assert_eq!(world.engine.log("main").unwrap().state() == LogState::Open, sound);
        if sound {
            world.append("main", &numbered(1_000..1_001));
            assert_eq!(world.head_row("main").nodes.map(|nodes| nodes.len()), Some(2));
        }
    }
    let mut world = World::with_log("main");
    world.append("main", &numbered(0..1_000));
    // Another root is another log, whatever the nodes say.
    let forged = layout::HeadRow { nodes: Some(vec![Hash::leaf(b"a"), Hash::leaf(b"b")]), ..world.head_row("main") };
    let forged = layout::HeadRow { root: Hash::leaf(b"c"), ..forged };
    world.put_behind_its_back(layout::HeadRow::key(log), forged.encode());
    world.reopen().unwrap();
    assert!(matches!(world.engine.log("main").unwrap().state(), LogState::Halted(_)));
}

/// What a start does not look at, because there is too much of it, is looked at before it is used.
#[test]
fn a_changed_tile_at_the_edge_is_neither_served_nor_signed() {
    let mut world = World::with_log("main");
    world.append("main", &numbered(0..1_000));
    let log = world.engine.log("main").unwrap().info().id;
    let key = cairn_tree::store::Key::numbered(log, Kind::Tile(cairn_tree::store::TileLevel::new(0).unwrap()), 2);
    let mut tile = world.engine.inner.rocks.get(&key).unwrap().unwrap();
    tile[77] ^= 1;
    let sound = world.engine.inner.rocks.get(&key).unwrap().unwrap();
    world.put_behind_its_back(key.clone(), tile.clone());
    let refused = world.reopen().unwrap_err();
    assert!(matches!(refused, OpenError::Changed { .. }), "{refused}");
    // As of a log that is one of too many: it is not looked at before it is used.
    world.put_behind_its_back(key.clone(), sound);
    // Opened, and nothing of it read since.
    world.engine = Engine::open(&options(world.path()), Arc::clone(&world.clock) as _, Arc::new(Unobserved)).unwrap();
    let mut batch = Batch::new();
    batch.put(key, tile);
    world.engine.inner.rocks.commit(batch).unwrap();
    let log = world.engine.log("main").unwrap();
    let coord = TileCoord::in_tree(1, 0, log.head().size).unwrap();
    assert!(matches!(log.tile(&log.head(), coord), Err(ReadError::Damaged { .. })));
    drop(log);
    let refused = world.try_append("main", &numbered(1_000..1_001), None).unwrap_err();
    assert!(matches!(refused, AppendError::Halted(_)), "{refused:?}");
    assert_eq!(world.engine.log("main").unwrap().head().size.get(), 1_000);
}

/// Long entries, taken in small pieces by several readers at once, as event streams do.
#[test]
fn a_bundle_is_read_once_for_all_who_take_it_in_pieces() {
    let long = |range: core::ops::Range<u64>| -> Vec<Vec<u8>> {
        range.map(|number| number.to_be_bytes().repeat(8_191)).collect()
    };
    let mut world = World::with_log("main");
    for start in [0, 100, 200, 300] {
        world.append("main", &long(start..start + 100));
    }
    let store = world.reopen_faulty();
    let log = world.engine.log("main").unwrap();
    let head = log.head();
    assert_eq!(head.size.get(), 400);
    store.reads_of(|_| true);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut index = 0;
                while index < 400 {
                    let first = LeafIndex::new(index).unwrap();
                    let entries = log.entries(&head, first, head.size, 100_000).unwrap();
                    assert_eq!(entries[0], index.to_be_bytes().repeat(8_191));
                    index += entries.len() as u64;
                }
                let last = log.entry(&head, LeafIndex::new(399).unwrap()).unwrap().unwrap();
                assert_eq!(last, 399_u64.to_be_bytes().repeat(8_191));
            });
        }
    });
    let of_entries = store.reads_of(|kind| matches!(kind, Kind::Bundle | Kind::Piece));
    // The full bundle's row, and a scan for the unfinished one's pieces.
    assert_eq!(of_entries, 2);
}

/// A name that came to be a path would lead out of the folder of keys.
#[test]
fn a_binding_with_a_name_that_is_none_is_refused() {
    let mut world = World::with_log("main");
    let key = layout::BindingRow::key(world.engine.log("main").unwrap().info().id);
    let row = String::from_utf8(world.engine.inner.rocks.get(&key).unwrap().unwrap()).unwrap();
    for name in ["../main", "", "Main"] {
        let row = row.replacen("\"name\":\"main\"", &format!("\"name\":\"{name}\""), 1);
        world.put_behind_its_back(key.clone(), row.into_bytes());
        let refused = world.reopen().unwrap_err();
        assert!(matches!(refused, OpenError::Row(_)), "{refused}");
        assert!(refused.to_string().contains("is not a log's name"), "{refused}");
    }
}
