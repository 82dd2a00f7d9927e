//! What breaks, and what then must hold: nothing wrong is ever signed, and nothing acknowledged is lost.

use super::*;

/// A flipped bit in what is stored is found before the signature: that log halts, others go on, its good part is read.
#[test]
fn yeti_2022_a_flipped_bit_on_the_way_to_the_store_is_never_signed() {
    for row in ROWS {
        let mut world = World::with_log("main");
        world.create(terms("other"), 2).unwrap();
        world.append("main", &numbered(0..250));
        let store = world.reopen_faulty();
        store.arm(Fault { flip: Some(row), unknown: None });
        let refused = world.try_append("main", &numbered(250..300), None).unwrap_err();
        assert_eq!(store.fired(), 1, "{row:?}");
        assert!(matches!(refused, AppendError::Halted(_)), "{row:?}: {refused:?}");
        drop(store);
        for _ in 0..2 {
            let log = world.engine.log("main").unwrap();
            assert!(matches!(log.state(), LogState::Halted(_)));
            assert_eq!(log.head().size.get(), 250);
            world.check("main");
            assert!(matches!(world.try_append("main", &numbered(0..1), None), Err(AppendError::Halted(_))));
            world.append("other", &numbered(0..3));
            drop(log);
            world.reopen().unwrap();
        }
    }
}

/// A retry that stands in the queue right behind its first request is not told of a place that the log then never got.
#[test]
fn a_retry_in_the_commit_that_halts_its_log_is_refused_with_it() {
    let mut world = World::with_log("main");
    world.create(terms("other"), 2).unwrap();
    world.append("main", &numbered(0..250));
    let store = world.reopen_faulty();
    // While the writer waits for this lock in its commit for another log, all others gather behind it.
    let mut fault = store.fault.lock().unwrap();
    let other = world.send("other", &numbered(0..1), None);
    while world.engine.queue_depth() > 0 || store.begun() == 0 {
        std::thread::yield_now();
    }
    let retries: Vec<_> = (0..3).map(|_| world.send("main", &numbered(250..300), Some("key"))).collect();
    while world.engine.queue_depth() < retries.len() {
        std::thread::yield_now();
    }
    *fault = Some(Fault { flip: Some(Row::Bundle), unknown: None });
    drop(fault);
    world.runtime.block_on(other).unwrap().unwrap();
    for retry in retries {
        let answer = world.runtime.block_on(retry).unwrap();
        assert!(matches!(answer, Err(AppendError::Halted(_))), "{answer:?}");
    }
    assert_eq!(store.fired(), 1);
    assert_eq!(world.engine.log("main").unwrap().head().size.get(), 250);
}

/// A commit whose outcome is unknown ends the writer; after a restart the entries are there or not, never half.
#[test]
fn a_failed_fsync_poisons_and_the_next_start_decides() {
    for (written, there) in [(Written::Yes, true), (Written::No, false)] {
        let mut world = World::with_log("main");
        world.append("main", &numbered(0..10));
        let store = world.reopen_faulty();
        store.arm(Fault { flip: None, unknown: Some(written) });
        let error = world.try_append("main", &numbered(10..20), Some("key")).unwrap_err();
        assert!(matches!(error, AppendError::Stopping(_)), "{error:?}");
        assert_eq!(store.fired(), 1);
        assert!(world.engine.poisoned().is_some());
        assert!(matches!(world.try_append("main", &numbered(0..1), None), Err(AppendError::Stopping(_))));
        assert_eq!(world.engine.log("main").unwrap().head().size.get(), 10);
        drop(store);
        world.reopen().unwrap();
        assert_eq!(world.engine.log("main").unwrap().head().size.get(), if there { 20 } else { 10 });
        // The retry is exact whatever happened.
        let retry = world.try_append("main", &numbered(10..20), Some("key")).unwrap();
        assert_eq!(retry.replayed, there);
        assert_eq!(retry.placement, Placement::Run { first: LeafIndex::new(10).unwrap(), count: 10 });
        assert_eq!(retry.head.size.get(), 20);
        world.check("main");
    }
}

/// Idempotency keys of one log that can't be read end that log alone, in an append as in the sweep.
#[test]
fn damaged_idempotency_rows_of_one_log_do_not_end_the_others() {
    use cairn_tree::store::Kind;
    let mut world = World::with_log("main");
    world.create(terms("other"), 2).unwrap();
    world.try_append("main", &numbered(0..10), Some("key")).unwrap();
    world.try_append("other", &numbered(0..10), Some("key")).unwrap();
    let store = world.reopen_faulty();
    let log = world.engine.log("main").unwrap().info().id;
    *store.damaged.lock().unwrap() = Some((log, Kind::Idempotency));
    world.clock.set(1_001_100);
    world.engine.sweep();
    world.append("other", &numbered(10..11));
    let refused = world.try_append("main", &numbered(0..10), Some("key"));
    assert!(matches!(refused, Err(AppendError::Halted(_))), "{refused:?}");
    world.try_append("other", &numbered(11..12), Some("key")).unwrap();
    assert_eq!(world.engine.poisoned(), None);
    world.check("main");
    world.check("other");
}

/// Entries that were committed but not released, and are damaged at the next start, halt the log at its released head.
#[test]
fn damage_past_the_released_head_halts_the_log_at_it() {
    for row in ROWS {
        let mut world = World::with_log("main");
        world.append("main", &numbered(0..250));
        let store = world.reopen_faulty();
        // The batch reaches the store with its flipped bit; then the process ends before it has read anything back.
        store.arm(Fault { flip: Some(row), unknown: Some(Written::Yes) });
        let error = world.try_append("main", &numbered(250..600), Some("key")).unwrap_err();
        assert!(matches!(error, AppendError::Stopping(_)), "{error:?}");
        assert_eq!(store.fired(), 1);
        drop(store);
        world.reopen().unwrap();
        // What was promised with those entries is not kept, and not claimed to be.
        let retry = world.try_append("main", &numbered(250..600), Some("key"));
        assert!(matches!(retry, Err(AppendError::Halted(_))), "{row:?}: {retry:?}");
        let log = world.engine.log("main").unwrap();
        assert!(matches!(log.state(), LogState::Halted(_)), "{row:?}");
        assert_eq!(log.head().size.get(), 250);
        drop(log);
        world.reopen().unwrap();
        assert_eq!(world.engine.log("main").unwrap().head().size.get(), 250);
    }
}

/// A run of the hash index that lost a leaf, or points to another, is named by `fsck`.
#[test]
fn a_damaged_index_run_is_named() {
    let mut world = World::new();
    world.create(Terms { dedup: true, ..terms("once") }, 1).unwrap();
    world.try_append("once", &numbered(0..66_000), None).unwrap();
    let log = world.engine.log("once").unwrap().info().id;
    let rocks = Arc::clone(&world.engine.inner.rocks);
    let runs = cairn_tree::store::KeyRange::all(log, cairn_tree::store::Kind::IndexRun);
    let manifest = cairn_tree::store::Key::only(log, cairn_tree::store::Kind::IndexManifest);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while rocks.get(&manifest).unwrap().is_none() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    drop(rocks);
    world.stop();
    let check = |world: &World| fsck(&options(world.path()), &mut |_, _, _| {}).unwrap()[0].problem.clone();
    assert_eq!(check(&world), None);
    let change = |world: &World, change: &dyn Fn(&mut Vec<u8>)| {
        let rocks = RocksStore::open(&world.path().join("db"), &Settings::default()).unwrap();
        let (key, row) = rocks.scan(&runs, 1).unwrap().remove(0);
        let mut changed = row.clone();
        change(&mut changed);
        let mut batch = Batch::new();
        batch.put(key.clone(), changed);
        rocks.commit(batch).unwrap();
        (key, row)
    };
    let flip_hash = |row: &mut Vec<u8>| row[7] ^= 1;
    let flip_index = |row: &mut Vec<u8>| row[13] ^= 1;
    let lose_leaf = |row: &mut Vec<u8>| row.truncate(row.len() - 14);
    let lose_byte = |row: &mut Vec<u8>| row.truncate(row.len() - 1);
    for one in [flip_hash, flip_index, lose_leaf, lose_byte] as [fn(&mut Vec<u8>); 4] {
        let (key, row) = change(&world, &one);
        let problem = check(&world).unwrap();
        assert!(problem.contains("hash index run"), "{problem}");
        let rocks = RocksStore::open(&world.path().join("db"), &Settings::default()).unwrap();
        let mut batch = Batch::new();
        batch.put(key, row);
        rocks.commit(batch).unwrap();
    }
    assert_eq!(check(&world), None);
}
