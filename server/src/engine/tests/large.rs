//! Large commits, which a thread of its own writes while the writer places the next: what breaks in between.

use cairn_tree::store::{KeyRange, Kind};

use super::pipeline::{begin, wait_until};
use super::*;
use crate::engine::bounds::LARGE_COMMIT_BYTES;

/// So many of [`large`] are a large commit.
const COUNT: usize = 20;

/// Entries that together are a large commit.
fn large(range: core::ops::Range<usize>) -> Vec<Vec<u8>> {
    let filling = vec![b'.'; LARGE_COMMIT_BYTES / COUNT];
    numbered(range).into_iter().map(|entry| [entry.as_slice(), &filling].concat()).collect()
}

fn part(number: usize) -> Vec<Vec<u8>> {
    large(number * COUNT..(number + 1) * COUNT)
}

fn run(number: usize) -> Placement {
    let first = LeafIndex::new((number * COUNT) as u64).unwrap();
    Placement::Run { first, count: COUNT as u32 }
}

impl World {
    /// Sends a large append and waits until the writer decides about it.
    fn send_large(&self, store: &Faulty, number: usize, key: &str) -> Sent {
        let asked = || store.reads_of(|kind| kind == Kind::Idempotency) > 0;
        asked();
        let sent = self.send("main", &part(number), Some(key));
        wait_until(asked);
        sent
    }

    fn told(&self, sent: Sent) -> Result<Appended, AppendError> {
        self.runtime.block_on(sent).unwrap()
    }

    fn size(&self) -> u64 {
        self.engine.log("main").unwrap().head().size.get()
    }

    fn retried(&mut self, number: usize, key: &str, there: bool) {
        let retry = self.try_append("main", &part(number), Some(key)).unwrap();
        assert_eq!((retry.placement, retry.replayed), (run(number), there), "{key}");
        self.check("main");
    }
}

/// The store has neither the entries nor the promise when the retry is decided about.
#[test]
fn a_retry_is_exact_while_its_first_request_is_being_written() {
    let mut world = World::with_log("main");
    let store = world.reopen_faulty();
    // Whoever writes waits for this lock.
    let held = store.fault.lock().unwrap();
    let begun = store.begun();
    let first = begin(&world, &store, &part(0), Some("first"));
    let retry = world.send_large(&store, 0, "first");
    assert!(!first.is_finished() && !retry.is_finished());
    drop(held);
    assert_eq!(world.told(first).unwrap().placement, run(0));
    let retry = world.told(retry).unwrap();
    assert_eq!((retry.placement, retry.replayed), (run(0), true));
    assert_eq!(store.begun(), begun + 1, "a retry needs no commit");
    world.check("main");
    drop(store);
    world.reopen().unwrap();
    assert_eq!(world.size(), COUNT as u64);
    world.retried(0, "first", true);
}

/// Small requests that come while a large commit is written are one commit behind it.
#[test]
fn small_requests_gather_behind_a_large_commit() {
    let mut world = World::with_log("main");
    let store = world.reopen_faulty();
    let held = store.fault.lock().unwrap();
    let begun = store.begun();
    let first = begin(&world, &store, &part(0), None);
    let small: Vec<_> = (0..10).map(|number| world.send("main", &numbered(number..number + 1), None)).collect();
    wait_until(|| world.engine.queue_depth() == small.len());
    drop(held);
    assert_eq!(world.told(first).unwrap().placement, run(0));
    let heads: Vec<_> = small.into_iter().map(|sent| world.told(sent).unwrap().head.size.get()).collect();
    assert_eq!(heads, [COUNT as u64 + 10; 10]);
    assert_eq!(store.begun(), begun + 2);
    world.check("main");
}

/// Damage in a commit that is found while the next one is in the store takes both back, and nothing that came before.
#[test]
fn damage_takes_back_what_was_placed_behind_it() {
    for row in [Row::Bundle, Row::Piece, Row::Tile, Row::Head] {
        let mut world = World::with_log("main");
        world.create(terms("other"), 2).unwrap();
        let before = 200;
        world.append("main", &numbered(0..before));
        let gate = Gate::default();
        let store = world.reopen_behind(&gate);
        gate.shut();
        // The releaser waits with this one until the others are in the store.
        let small = world.send("main", &numbered(before..before + 1), Some("small"));
        gate.wait_for_write();
        store.arm(Fault { flip: Some(row), unknown: None });
        // Enough for a full tile, so that there is every kind of row.
        let count = 100;
        let bulky: Vec<_> = large(0..count);
        let unsound = world.send("main", &bulky, Some("unsound"));
        wait_until(|| store.fired() == 1);
        let behind = world.send("main", &part(9), Some("behind"));
        let size = (before + 1 + count + COUNT) as u64;
        wait_until(|| world.size_in_store("main") == size);
        gate.open();
        assert_eq!(world.told(small).unwrap().head.size.get(), before as u64 + 1);
        for sent in [unsound, behind] {
            let told = world.told(sent);
            // The head's row is that of the commit behind it by now, which is sound.
            if row == Row::Head { assert!(told.is_ok(), "{told:?}") } else { halted(&told, row) }
        }
        drop(store);
        for _ in 0..2 {
            let end = if row == Row::Head { size } else { before as u64 + 1 };
            assert_eq!(world.size(), end, "{row:?}");
            world.check("main");
            if row != Row::Head {
                assert_eq!(left_behind(&world, end), 0, "{row:?}");
                for (entries, key) in [(&bulky, "unsound"), (&part(9), "behind")] {
                    halted(&world.try_append("main", entries, Some(key)), row);
                }
                assert!(world.try_append("main", &numbered(before..before + 1), Some("small")).unwrap().replayed);
            }
            world.append("other", &numbered(0..3));
            world.reopen().unwrap();
        }
    }
}

fn halted(told: &Result<Appended, AppendError>, row: Row) {
    assert!(matches!(told, Err(AppendError::Halted(_))), "{row:?}: {told:?}");
}

/// Rows of entries past this index, and promises but one.
fn left_behind(world: &World, from: u64) -> usize {
    let log = world.engine.log("main").unwrap().info().id;
    let rows = |range: &KeyRange| world.engine.inner.rocks.scan(range, 10_000).unwrap().len();
    let promises = rows(&KeyRange::all(log, Kind::Idempotency));
    assert!(promises <= 1, "{promises} promises");
    rows(&KeyRange::numbers(log, Kind::Piece, from..u64::MAX))
        + rows(&KeyRange::numbers(log, Kind::Bundle, from / 256..u64::MAX))
}

/// Nor may a retry, which needs no commit of its own, tell of one whose outcome is unknown.
#[test]
fn a_retry_of_what_was_not_written_is_not_answered() {
    for written in [Written::Yes, Written::No] {
        let mut world = World::with_log("main");
        let store = world.reopen_faulty();
        let mut fault = store.fault.lock().unwrap();
        let first = begin(&world, &store, &part(0), Some("first"));
        let retry = world.send_large(&store, 0, "first");
        *fault = Some(Fault { flip: None, unknown: Some(written) });
        drop(fault);
        for sent in [first, retry] {
            let told = world.told(sent);
            assert!(matches!(told, Err(AppendError::Stopping(_))), "{told:?}");
        }
        assert_eq!(store.fired(), 1);
        drop(store);
        world.reopen().unwrap();
        world.retried(0, "first", written == Written::Yes);
    }
}

/// A write whose outcome is unknown ends the writer, which has placed the next commit by then; that one is never written,
/// nor does anything that stands behind it wait for ever.
#[test]
fn a_failed_write_ends_what_was_placed_behind_it() {
    for (written, there) in [(Written::Yes, true), (Written::No, false)] {
        let mut world = World::with_log("main");
        let store = world.reopen_faulty();
        let mut fault = store.fault.lock().unwrap();
        let begun = store.begun();
        let first = begin(&world, &store, &part(0), Some("first"));
        let second = world.send_large(&store, 1, "second");
        let engine = world.engine.clone();
        let other =
            world.runtime.spawn(async move { engine.create_log(terms("other"), vec![signer("other", 2)]).await });
        *fault = Some(Fault { flip: None, unknown: Some(written) });
        drop(fault);
        for sent in [first, second] {
            let told = world.told(sent);
            assert!(matches!(told, Err(AppendError::Stopping(_))), "{told:?}");
        }
        assert!(world.runtime.block_on(other).unwrap().is_err());
        assert_eq!((store.fired(), store.begun()), (1, begun + 1));
        assert!(world.engine.poisoned().is_some());
        assert_eq!(world.size(), 0);
        drop(store);
        world.reopen().unwrap();
        assert_eq!(world.size(), if there { COUNT as u64 } else { 0 });
        world.retried(0, "first", there);
        world.retried(1, "second", false);
    }
}

/// The power fails while as many commits as may be stand in the store and none of them is marked.
#[test]
fn a_kill_with_large_commits_on_their_way_loses_nothing() {
    let mut world = World::with_log("main");
    let gate = Gate::default();
    let store = world.reopen_behind(&gate);
    gate.shut();
    let keys = ["first", "second", "third", "fourth"];
    let mut sent = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        sent.push(world.send_large(&store, number, key));
        // The fourth is placed and waits for the third's way to be free.
        let size = ((number + 1).min(3) * COUNT) as u64;
        wait_until(|| world.size_in_store("main") == size);
    }
    gate.wait_for_write();
    let mut after = world.copy();
    assert_eq!((world.size(), after.size()), (0, 3 * COUNT as u64));
    after.check("main");
    for (number, key) in keys.iter().enumerate() {
        after.retried(number, key, number < 3);
    }
    gate.open();
    for (number, sent) in sent.into_iter().enumerate() {
        assert_eq!(world.told(sent).unwrap().placement, run(number));
    }
    world.check("main");
}

/// Closing waits for what is being written.
#[test]
fn the_end_waits_for_a_large_commit() {
    let mut world = World::with_log("main");
    let store = world.reopen_faulty();
    let held = store.fault.lock().unwrap();
    let first = begin(&world, &store, &part(0), Some("first"));
    let engine = world.engine.clone();
    let closed = std::thread::spawn(move || engine.close());
    // What comes before the queue is closed waits as well.
    wait_until(|| {
        let late = world.send("main", &part(1), None);
        std::thread::sleep(std::time::Duration::from_millis(1));
        late.is_finished() && matches!(world.told(late), Err(AppendError::Stopping(_)))
    });
    assert!(!closed.is_finished() && !first.is_finished());
    drop(held);
    closed.join().unwrap();
    assert_eq!(world.told(first).unwrap().placement, run(0));
    drop(store);
    world.reopen().unwrap();
    world.retried(0, "first", true);
}
