//! What works: appends of all sizes, many logs, restarts, retries, duplicates, look-ups by hash.

use super::*;

#[test]
fn every_size_across_two_bundles_verifies_and_survives_a_restart() {
    let mut world = World::with_log("main");
    let entries = numbered(0..530);
    let mut next = 0;
    for step in [1, 1, 2, 3, 100, 148, 1, 1, 255, 18] {
        world.append("main", &entries[next..next + step]);
        next += step;
        if step % 2 == 0 {
            world.reopen().unwrap();
        }
    }
    world.reopen().unwrap();
    assert_eq!(world.engine.log("main").unwrap().head().size.get(), 530);
    assert_eq!(world.oracle["main"].acked.len(), 530);
    let finding = world.engine.log("main").unwrap().fsck(&mut |_| {});
    assert_eq!(finding.problem, None);
}

#[test]
fn a_large_batch_fills_bundles_and_a_second_tile_level() {
    let mut world = World::with_log("main");
    let appended = world.append("main", &numbered(0..70_000));
    assert_eq!(appended.placement, Placement::Run { first: LeafIndex::ZERO, count: 70_000 });
    world.stop();
    let findings = fsck(&options(world.path()), &mut |_, _, _| {}).unwrap();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].problem, None);
}

#[test]
fn empty_and_longest_entries_are_kept() {
    let mut world = World::with_log("main");
    world.append("main", &[vec![], vec![0xff; 65_535], vec![]]);
    world.reopen().unwrap();
    assert!(EntryBatch::single(&[0; 65_536]).is_err());
    assert!(EntryBatch::from_encoded(Bytes::new(), 10).is_err());
}

/// Else a reader who takes an entry slowly would hold up to 16 MiB of its neighbours.
#[test]
fn an_entry_does_not_keep_its_bundle_in_memory() {
    let mut world = World::with_log("main");
    world.append("main", &numbered(0..300));
    let log = world.engine.log("main").unwrap();
    let head = log.head();
    for index in [7, 299] {
        let entry = log.entry(&head, LeafIndex::new(index).unwrap()).unwrap().unwrap();
        assert!(entry.is_unique(), "entry {index}");
    }
}

#[test]
fn logs_in_one_database_do_not_mix() {
    let mut world = World::new();
    for number in 0..20 {
        let name = format!("log-{number}");
        world.create(terms(&name), number).unwrap();
    }
    let handles: Vec<_> = world.engine.logs();
    let appends = handles.iter().enumerate().flat_map(|(number, log)| {
        (0..10).map(move |entry| {
            let batch = EntryBatch::single(format!("{number} {entry}").as_bytes()).unwrap();
            let log = log.clone();
            async move { (log.info().name.clone(), log.append(batch, None).await.unwrap()) }
        })
    });
    let tasks: Vec<_> = appends.map(|append| world.runtime.spawn(append)).collect();
    let mut counts = BTreeMap::<LogName, usize>::new();
    for task in tasks {
        let (name, _) = world.runtime.block_on(task).unwrap();
        *counts.entry(name).or_default() += 1;
    }
    assert!(counts.values().all(|count| *count == 10));
    drop(handles);
    world.reopen().unwrap();
    assert!(world.engine.logs().iter().all(|log| log.head().size.get() == 10));
}

#[test]
fn a_retry_with_its_key_gets_the_same_indexes_also_after_a_restart() {
    let mut world = World::with_log("main");
    let entries = numbered(0..3);
    let first = world.try_append("main", &entries, Some("k")).unwrap();
    assert!(!first.replayed);
    let again = world.try_append("main", &entries, Some("k")).unwrap();
    assert!(again.replayed);
    assert_eq!(again.placement, first.placement);
    world.reopen().unwrap();
    let later = world.try_append("main", &entries, Some("k")).unwrap();
    assert_eq!((later.placement.clone(), later.replayed), (first.placement.clone(), true));
    assert_eq!(world.try_append("main", &numbered(1..4), Some("k")).unwrap_err(), AppendError::IdempotencyMismatch);
    assert_eq!(world.engine.log("main").unwrap().head().size.get(), 3);
    // Forgotten after its time: then it is a new request.
    world.clock.set(1_000_000 + 1_001);
    let anew = world.try_append("main", &entries, Some("k")).unwrap();
    assert!(!anew.replayed && anew.placement != first.placement);
    world.check("main");
}

#[test]
fn the_sweep_forgets_only_what_has_expired() {
    let mut world = World::with_log("main");
    let old = world.try_append("main", &numbered(0..1), Some("old")).unwrap();
    world.clock.set(1_000_500);
    let new = world.try_append("main", &numbered(1..2), Some("new")).unwrap();
    world.clock.set(1_001_100);
    world.engine.sweep();
    assert_ne!(world.try_append("main", &numbered(0..1), Some("old")).unwrap().placement, old.placement);
    assert_eq!(world.try_append("main", &numbered(1..2), Some("new")).unwrap().placement, new.placement);
}

/// A key that expired, was used anew and expired again before any sweep has two times and one row.
#[test]
fn a_key_that_expired_twice_is_swept_once() {
    let mut world = World::with_log("main");
    for use_ms in [1_000_000, 1_001_100] {
        world.clock.set(use_ms);
        world.try_append("main", &numbered(0..1), Some("daily")).unwrap();
    }
    world.clock.set(1_002_200);
    world.engine.sweep();
    world.wait_for_sweep("main");
    world.append("main", &numbered(1..2));
    assert_eq!(world.engine.poisoned(), None);
}

/// However many keys have expired, one call forgets them all, and appends go on meanwhile.
#[test]
fn a_sweep_goes_on_until_nothing_is_left() {
    let mut world = World::with_log("main");
    let log = world.engine.log("main").unwrap();
    let appends: Vec<_> = (0..2_500_u32)
        .map(|number| {
            let key = IdempotencyKey::new(log.info().id, "token", &number.to_string());
            let log = log.clone();
            world.runtime.spawn(async move { log.append(EntryBatch::single(b"one").unwrap(), Some(key)).await })
        })
        .collect();
    for append in appends {
        world.runtime.block_on(append).unwrap().unwrap();
    }
    drop(log);
    assert_eq!(world.left_to_sweep("main"), 2_500);
    world.clock.set(1_001_100);
    world.engine.sweep();
    world.engine.sweep();
    world.wait_for_sweep("main");
    world.append("main", &numbered(0..1));
    assert_eq!(world.engine.poisoned(), None);
}

#[test]
fn concurrent_retries_of_one_key_are_placed_once() {
    let world = World::with_log("main");
    let log = world.engine.log("main").unwrap();
    let key = IdempotencyKey::new(log.info().id, "token", "one");
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let log = log.clone();
            world.runtime.spawn(async move { log.append(EntryBatch::single(b"once").unwrap(), Some(key)).await })
        })
        .collect();
    for task in tasks {
        let appended = world.runtime.block_on(task).unwrap().unwrap();
        assert_eq!(appended.placement, Placement::Run { first: LeafIndex::ZERO, count: 1 });
    }
    assert_eq!(log.head().size.get(), 1);
}

#[test]
fn a_log_without_duplicates_gives_an_old_entry_its_old_index() {
    let mut world = World::new();
    world.create(Terms { dedup: true, ..terms("once") }, 1).unwrap();
    let first = world.append("once", &numbered(0..4));
    assert_eq!(first.placement, Placement::Run { first: LeafIndex::ZERO, count: 4 });
    let mixed: Vec<Vec<u8>> = [2, 9, 9, 0, 10].map(|n| format!("entry {n}").into_bytes()).into();
    let appended = world.append("once", &mixed);
    let indexes: Vec<u64> = appended.placement.indexes().map(LeafIndex::get).collect();
    assert_eq!(indexes, [2, 4, 4, 0, 5]);
    world.reopen().unwrap();
    let again = world.append("once", &mixed);
    assert_eq!(again.placement.indexes().map(LeafIndex::get).collect::<Vec<_>>(), indexes);
    assert_eq!(again.head.size.get(), 6);
}

#[test]
fn leaves_are_found_by_hash_in_memory_in_runs_and_after_a_restart() {
    let mut world = World::new();
    world.create(Terms { dedup: true, ..terms("once") }, 1).unwrap();
    let log = world.engine.log("once").unwrap();
    let total = 10 * 66_000;
    for start in (0..total).step_by(66_000) {
        world.try_append("once", &numbered(start..start + 66_000), None).unwrap();
    }
    // Ten runs: eight of them get merged into one. Wait until the rows are there, not for a time. Meanwhile the index is
    // let go of and read again, as happens to a log that others push out of memory.
    let rows = || {
        world
            .engine
            .inner
            .rocks
            .get(&cairn_tree::store::Key::only(log.info().id, cairn_tree::store::Kind::IndexManifest))
    };
    let runs = || rows().unwrap().map_or(0, |row| (row.len() - 9) / 26);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !(1..=3).contains(&runs()) {
        assert!(std::time::Instant::now() < deadline, "{} runs", runs());
        log.shared.index.as_ref().unwrap().unload();
        assert_eq!(log.find(&log.head(), &Hash::leaf(b"never")).unwrap(), None);
    }
    let look = |world: &World| {
        let log = world.engine.log("once").unwrap();
        let head = log.head();
        for number in (0..total).step_by(997).chain([0, total - 1]) {
            let leaf = Hash::leaf(format!("entry {number}").as_bytes());
            assert_eq!(log.find(&head, &leaf).unwrap().map(LeafIndex::get), Some(number as u64));
        }
        assert_eq!(log.find(&head, &Hash::leaf(b"never")).unwrap(), None);
    };
    look(&world);
    // What is let go of is read again.
    world.engine.log("once").unwrap().shared.index.as_ref().unwrap().unload();
    look(&world);
    world.oracle.clear();
    drop(log);
    world.reopen().unwrap();
    look(&world);
    let again = world.try_append("once", &numbered(1_000..1_200), None).unwrap();
    assert_eq!(again.placement.index(0).map(LeafIndex::get), Some(1_000));
    assert_eq!(again.head.size.get(), total as u64);
    world.stop();
    let findings = fsck(&options(world.path()), &mut |_, _, _| {}).unwrap();
    assert_eq!(findings[0].problem, None);
}

/// Nobody looks anything up, and runs are made all the same: else the first look-up would read the whole log at once,
/// while the writer waits.
#[test]
fn an_index_that_nobody_uses_is_built_as_the_log_grows() {
    let mut world = World::with_log("main");
    world.append("main", &numbered(0..1));
    world.reopen().unwrap();
    let log = world.engine.log("main").unwrap().info().id;
    let manifest = cairn_tree::store::Key::only(log, cairn_tree::store::Kind::IndexManifest);
    let wait = |world: &World, runs: usize| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let found = || world.engine.inner.rocks.get(&manifest).unwrap().map_or(0, |row| (row.len() - 9) / 26);
        while found() < runs {
            assert!(std::time::Instant::now() < deadline, "{} runs", found());
            std::thread::yield_now();
        }
    };
    world.try_append("main", &numbered(1..70_000), None).unwrap();
    wait(&world, 1);
    world.stop();
    // An index that is lost is built anew from the log's own tiles.
    let rocks = RocksStore::open(&world.path().join("db"), &Settings::default()).unwrap();
    let mut batch = Batch::new();
    batch.delete(manifest.clone());
    rocks.commit(batch).unwrap();
    drop(rocks);
    world.oracle.clear();
    world.reopen().unwrap();
    wait(&world, 1);
    let log = world.engine.log("main").unwrap();
    for number in [0_usize, 1, 65_535, 65_536, 69_999] {
        let leaf = Hash::leaf(format!("entry {number}").as_bytes());
        assert_eq!(log.find(&log.head(), &leaf).unwrap().map(LeafIndex::get), Some(number as u64));
    }
    drop(log);
    world.stop();
    assert_eq!(fsck(&options(world.path()), &mut |_, _, _| {}).unwrap()[0].problem, None);
}

/// Counts commits.
#[derive(Default)]
struct Counter(AtomicU64);

impl Observer for Counter {
    fn committed(&self, figures: &CommitFigures) {
        self.0.fetch_add(1, Ordering::SeqCst);
        assert!(figures.logs <= figures.requests);
    }

    fn halted(&self, _: LogId, reason: &str) {
        panic!("{reason}");
    }

    fn poisoned(&self, reason: &str) {
        panic!("{reason}");
    }
}

#[test]
fn a_thousand_logs_with_traffic_share_commits() {
    let mut world = World::new();
    let counter = Arc::new(Counter::default());
    world.stop();
    world.engine = Engine::open(&options(world.path()), Arc::new(SystemClock), Arc::clone(&counter) as _).unwrap();
    for number in 0..1_000_u16 {
        let name = format!("log-{number}");
        let key = KeyName::new(format!("example.com/logs/{name}")).unwrap();
        let mut seed = [0; 32];
        seed[..2].copy_from_slice(&number.to_be_bytes());
        let signer = SignerKey::from_seed(key, SignatureType::ED25519, &seed).unwrap();
        world.runtime.block_on(world.engine.create_log(terms(&name), vec![signer])).unwrap();
    }
    let tasks: Vec<_> = (0..3)
        .flat_map(|_| world.engine.logs())
        .map(|log| {
            let append = async move { log.append(EntryBatch::single(log.info().name.as_bytes()).unwrap(), None).await };
            world.runtime.spawn(append)
        })
        .collect();
    for task in tasks {
        world.runtime.block_on(task).unwrap().unwrap();
    }
    let commits = counter.0.load(Ordering::SeqCst);
    assert!(commits < 300, "{commits} commits for 3,000 appends to 1,000 logs");
    world.reopen().unwrap();
    assert!(world.engine.logs().iter().all(|log| log.head().size.get() == 3));
}

#[test]
fn time_never_goes_back() {
    let mut world = World::with_log("main");
    let first = world.append("main", &numbered(0..1)).head.time_ms;
    world.clock.set(10);
    assert_eq!(world.append("main", &numbered(1..2)).head.time_ms, first);
    world.reopen().unwrap();
    assert_eq!(world.append("main", &numbered(2..3)).head.time_ms, first);
}
