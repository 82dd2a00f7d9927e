//! What breaks between the two stages of a commit: the store has what no mark covers yet, and nobody was told of it.

use std::task::{Context, Waker};

use super::*;

/// Sends an append and waits until the store has begun to write it.
pub(super) fn begin(world: &World, store: &Faulty, entries: &[Vec<u8>], key: Option<&str>) -> Sent {
    let begun = store.begun();
    let sent = world.send("main", entries, key);
    wait_until(|| store.begun() > begun);
    sent
}

/// The same, and until the store has it. What follows in the writer waits for the gate or for work.
pub(super) fn commit(world: &World, store: &Faulty, entries: core::ops::Range<usize>, key: &str) -> Sent {
    let size = entries.end as u64;
    let sent = begin(world, store, &numbered(entries), Some(key));
    wait_until(|| size_in_store(world) >= size);
    sent
}

fn size_in_store(world: &World) -> u64 {
    world.size_in_store("main")
}

pub(super) fn wait_until(condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !condition() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
}

fn head_size(world: &World) -> u64 {
    world.engine.log("main").unwrap().head().size.get()
}

impl World {
    fn answer(&self, sent: Sent) -> Result<Appended, AppendError> {
        self.runtime.block_on(sent).unwrap()
    }

    pub(super) fn size_in_store(&self, log: &str) -> u64 {
        let log = self.engine.log(log).unwrap().info().id;
        let row = self.engine.inner.rocks.get(&layout::HeadRow::key(log)).unwrap().unwrap();
        layout::HeadRow::decode(&row).unwrap().size.get()
    }

    /// What stands on the disk now, opened as after a power failure.
    pub(super) fn copy(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(self.path(), folder.path());
        let clock = Arc::new(Hand(AtomicU64::new(self.clock.now_ms())));
        let engine = Engine::open(&options(folder.path()), Arc::clone(&clock) as _, Arc::new(Unobserved)).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let known = |oracle: &Oracle| Oracle { acked: oracle.acked.clone(), heads: oracle.heads.clone() };
        let oracle = self.oracle.iter().map(|(name, oracle)| (name.clone(), known(oracle))).collect();
        Self { folder, clock, engine, runtime, oracle }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

/// The retry of an append is exact, whether the first try is there or not.
fn retry(world: &mut World, entries: core::ops::Range<usize>, key: &str, there: bool) {
    let first = LeafIndex::new(entries.start as u64).unwrap();
    let count = entries.len() as u32;
    let retry = world.try_append("main", &numbered(entries), Some(key)).unwrap();
    assert_eq!((retry.placement, retry.replayed), (Placement::Run { first, count }, there), "{key}");
    world.check("main");
}

#[test]
fn a_high_water_that_fails_while_the_next_commit_is_written_releases_neither() {
    let mut world = World::with_log("main");
    world.append("main", &numbered(0..10));
    let gate = Gate::default();
    let store = world.reopen_behind(&gate);
    gate.shut();
    let first = commit(&world, &store, 10..20, "first");
    gate.wait_for_write();
    let in_store = store.fault.lock().unwrap();
    let second = begin(&world, &store, &numbered(20..30), Some("second"));
    gate.open_to_failure();
    let Err(AppendError::Stopping(reason)) = world.answer(first) else { panic!("the mark failed") };
    assert!(reason.contains("on purpose"), "{reason}");
    drop(in_store);
    let second = world.answer(second);
    assert!(matches!(second, Err(AppendError::Stopping(_))), "{second:?}");
    assert!(world.engine.poisoned().is_some());
    assert_eq!(head_size(&world), 10);
    assert!(matches!(world.try_append("main", &numbered(0..1), None), Err(AppendError::Stopping(_))));
    drop(store);
    // The store had both: the next start releases them.
    world.reopen().unwrap();
    assert_eq!(head_size(&world), 30);
    retry(&mut world, 10..20, "first", true);
    retry(&mut world, 20..30, "second", true);
}

#[test]
fn a_store_that_fails_while_the_mark_before_is_on_its_way_ends_only_what_comes_later() {
    for (written, there) in [(Written::Yes, true), (Written::No, false)] {
        let mut world = World::with_log("main");
        world.append("main", &numbered(0..10));
        let gate = Gate::default();
        let store = world.reopen_behind(&gate);
        gate.shut();
        let first = commit(&world, &store, 10..20, "first");
        gate.wait_for_write();
        store.arm(Fault { flip: None, unknown: Some(written) });
        let second = begin(&world, &store, &numbered(20..30), Some("second"));
        let second = world.answer(second);
        assert!(matches!(second, Err(AppendError::Stopping(_))), "{second:?}");
        assert_eq!(store.fired(), 1);
        assert_eq!(head_size(&world), 10);
        gate.open();
        assert_eq!(world.answer(first).unwrap().head.size.get(), 20);
        assert_eq!(head_size(&world), 20);
        assert!(world.engine.poisoned().is_some());
        assert!(matches!(world.try_append("main", &numbered(0..1), None), Err(AppendError::Stopping(_))));
        drop(store);
        world.reopen().unwrap();
        assert_eq!(head_size(&world), if there { 30 } else { 20 });
        retry(&mut world, 10..20, "first", true);
        retry(&mut world, 20..30, "second", there);
    }
}

/// The power fails while as many commits as may be stand in the store and none of them is marked.
#[test]
fn a_kill_between_the_stages_loses_nothing_and_releases_what_the_store_has() {
    let mut world = World::with_log("main");
    world.append("main", &numbered(0..250));
    let gate = Gate::default();
    let store = world.reopen_behind(&gate);
    gate.shut();
    let parts = [250..300, 300..301, 301..700];
    let keys = ["first", "second", "third"];
    let sent: Vec<_> = parts.iter().zip(keys).map(|(part, key)| commit(&world, &store, part.clone(), key)).collect();
    gate.wait_for_write();
    let mut after = world.copy();
    assert_eq!(head_size(&world), 250);
    assert_eq!(head_size(&after), 700);
    after.check("main");
    for (part, key) in parts.into_iter().zip(keys) {
        retry(&mut after, part, key, true);
    }
    after.stop();
    assert_eq!(fsck(&options(after.path()), &mut |_, _, _| {}).unwrap()[0].problem, None);
    gate.open();
    let sizes: Vec<_> = sent.into_iter().map(|sent| world.answer(sent).unwrap().placement.indexes().count()).collect();
    assert_eq!(sizes, [50, 1, 399]);
    world.check("main");
}

/// The same, with damage in the last of them. What was released, in pieces of a bundle that was then written whole, is
/// read after the damage has been taken back, and the log ends with it; where it is found at work, with the last head
/// that is on its way.
#[test]
fn damage_behind_unmarked_commits_takes_nothing_back_that_was_released() {
    for row in ROWS {
        let mut world = World::with_log("main");
        world.append("main", &numbered(0..100));
        world.append("main", &numbered(100..250));
        let gate = Gate::default();
        let store = world.reopen_behind(&gate);
        gate.shut();
        let first = commit(&world, &store, 250..300, "first");
        let second = commit(&world, &store, 300..310, "second");
        gate.wait_for_write();
        store.arm(Fault { flip: Some(row), unknown: None });
        let third = begin(&world, &store, &numbered(310..600), Some("third"));
        wait_until(|| size_in_store(&world) == 600);
        assert_eq!(store.fired(), 1);
        let mut after = world.copy();
        for _ in 0..2 {
            assert!(matches!(after.engine.log("main").unwrap().state(), LogState::Halted(_)), "{row:?}");
            assert_eq!(head_size(&after), 250, "{row:?}");
            after.check("main");
            after.reopen().unwrap();
        }
        gate.open();
        assert_eq!(world.answer(first).unwrap().placement.count(), 50);
        assert_eq!(world.answer(second).unwrap().placement.count(), 10);
        let third = world.answer(third);
        assert!(matches!(third, Err(AppendError::Halted(_))), "{row:?}: {third:?}");
        drop(store);
        for _ in 0..2 {
            assert_eq!(head_size(&world), 310, "{row:?}");
            world.check("main");
            let refused = world.try_append("main", &numbered(0..1), None);
            assert!(matches!(refused, Err(AppendError::Halted(_))), "{row:?}: {refused:?}");
            // What was released before the log was halted is still promised.
            let retry = world.try_append("main", &numbered(300..310), Some("second")).unwrap();
            assert!(retry.replayed, "{row:?}");
            world.reopen().unwrap();
        }
    }
}

/// A retry, and an entry that is there already, point to a commit that nobody may know of yet: they are answered after it.
#[test]
fn what_points_to_an_unreleased_commit_is_answered_behind_it() {
    let mut world = World::new();
    world.create(Terms { dedup: true, ..terms("main") }, 1).unwrap();
    let gate = Gate::default();
    let store = world.reopen_behind(&gate);
    gate.shut();
    let first = commit(&world, &store, 0..3, "key");
    gate.wait_for_write();
    let begun = store.begun();
    let retry = world.send("main", &numbered(0..3), Some("key"));
    let again = world.send("main", &numbered(1..3), None);
    // Neither brings an entry, but the second one touches its log.
    wait_until(|| store.begun() > begun && world.engine.queue_depth() == 0);
    assert!(!first.is_finished() && !retry.is_finished() && !again.is_finished());
    gate.open();
    let (first, retry, again) = (world.answer(first), world.answer(retry), world.answer(again));
    let indexes = |answer: &Result<Appended, AppendError>| {
        answer.as_ref().unwrap().placement.indexes().map(LeafIndex::get).collect::<Vec<_>>()
    };
    assert_eq!((indexes(&first), indexes(&retry), indexes(&again)), (vec![0, 1, 2], vec![0, 1, 2], vec![1, 2]));
    assert!(retry.unwrap().replayed);
    assert_eq!(head_size(&world), 3);
    // Released, they are found in the index.
    let later = world.try_append("main", &numbered(0..4), None);
    assert_eq!(indexes(&later), [0, 1, 2, 3]);
}

/// A log is made behind what is on its way, and closing waits for all of it.
#[test]
fn a_new_log_and_the_end_wait_for_what_is_on_its_way() {
    let mut world = World::with_log("main");
    let gate = Gate::default();
    let store = world.reopen_behind(&gate);
    gate.shut();
    let first = commit(&world, &store, 0..3, "key");
    gate.wait_for_write();
    let engine = world.engine.clone();
    let mut made = Box::pin(async move { engine.create_log(terms("other"), vec![signer("other", 2)]).await });
    // Once polled it stands in the queue.
    assert!(made.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let engine = world.engine.clone();
    let closed = std::thread::spawn(move || engine.close());
    wait_until(|| world.engine.queue_depth() == 0);
    assert!(!closed.is_finished() && world.engine.log("other").is_none());
    gate.open();
    closed.join().unwrap();
    assert_eq!(world.answer(first).unwrap().head.size.get(), 3);
    world.runtime.block_on(made).unwrap();
    drop(store);
    world.reopen().unwrap();
    assert!(world.engine.log("other").is_some());
}
