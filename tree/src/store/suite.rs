//! The tests that every store passes. An implementation's own tests call [`run`], and a durable one's [`run_durable`].
//!
//! Not here: what only one engine can do wrong (damaged files, lost power), nor failed commits, which need a fault seam.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "This is test code: it reports by panicking.")]

use core::ops::{ControlFlow, Range};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Batch, BatchError, CommitError, Key, KeyRange, Kind, LogId, Store, TileLevel};

/// The value of a bundle of 256 entries of the greatest length, with their lengths before them.
const LARGEST_VALUE: usize = 256 * (65_535 + 2);
/// The commits of the random history; each is followed by a comparison with the model.
const HISTORY: u64 = 300;
/// The commits that readers watch.
const WATCHED: u64 = 200;

/// Runs every test, each on a store without rows from `fresh`.
///
/// # Panics
/// If the store does not keep the contract.
pub fn run<S: Store>(fresh: &mut dyn FnMut() -> S) {
    an_empty_store_has_no_rows(&fresh());
    a_commit_is_read_back(&fresh());
    a_multi_get_answers_in_the_order_of_its_keys(&fresh());
    scans_are_ordered_bounded_and_half_open(&fresh());
    first_rows_are_those_that_scans_begin_with(&fresh());
    ranges_end_at_their_neighbours(&fresh());
    a_batch_with_a_key_twice_changes_nothing(&fresh());
    large_values_come_back_whole(&fresh());
    a_reader_sees_all_that_a_head_promises(&fresh());
    a_random_history_agrees_with_a_map(fresh(), &mut |store| store);
}

/// Runs every test of [`run`], and those for which `reopen` closes a store and opens it again.
///
/// # Panics
/// If the store does not keep the contract.
pub fn run_durable<S: Store>(fresh: &mut dyn FnMut() -> S, reopen: &mut dyn FnMut(S) -> S) {
    run(fresh);
    rows_outlive_the_store(fresh(), reopen);
    a_random_history_agrees_with_a_map(fresh(), reopen);
}

type Rows = Vec<(Key, Vec<u8>)>;

/// A range that holds every key of every log.
fn everything() -> KeyRange {
    let last = Key::suffixed(LogId::new(u32::MAX), Kind::Tile(TileLevel::MAX), &[0xff; 56]);
    KeyRange::between(&Key::only(LogId::DATABASE, Kind::Head)..&last)
}

fn commit(store: &impl Store, puts: &[(Key, &[u8])], deletes: &[Key]) {
    let mut batch = Batch::new();
    puts.iter().for_each(|(key, value)| batch.put(key.clone(), value.to_vec()));
    deletes.iter().for_each(|key| batch.delete(key.clone()));
    store.commit(batch).expect("a commit");
}

fn scan(store: &impl Store, range: &KeyRange, limit: usize) -> Rows {
    store.scan(range, limit).expect("a scan")
}

fn get(store: &impl Store, key: &Key) -> Option<Vec<u8>> {
    store.get(key).expect("a get")
}

fn head() -> Key {
    Key::only(LogId::DATABASE, Kind::Head)
}

fn bundle(number: u64) -> Key {
    Key::numbered(LogId::new(1), Kind::Bundle, number)
}

fn every_kind() -> impl Iterator<Item = Kind> {
    let kinds = [Kind::Head, Kind::Binding, Kind::Bundle, Kind::Piece, Kind::IndexManifest, Kind::IndexRun];
    let small = [Kind::Policy, Kind::Checkpoint, Kind::Idempotency, Kind::Expiry];
    kinds.into_iter().chain(small).chain(TileLevel::all().map(Kind::Tile))
}

fn an_empty_store_has_no_rows(store: &impl Store) {
    assert_eq!(get(store, &head()), None);
    assert_eq!(store.get_many(&[]), Ok(Vec::new()));
    assert_eq!(store.get_many(&[head(), bundle(0)]), Ok(vec![None, None]));
    assert_eq!(scan(store, &everything(), 10), []);
    assert_eq!(store.commit(Batch::new()), Ok(()), "an empty batch is a commit");
    assert_eq!(scan(store, &everything(), 10), []);
}

fn a_commit_is_read_back(store: &impl Store) {
    commit(store, &[(bundle(0), b"first"), (bundle(1), b""), (head(), b"one")], &[bundle(7)]);
    assert_eq!(get(store, &bundle(0)).as_deref(), Some(&b"first"[..]));
    assert_eq!(get(store, &bundle(1)).as_deref(), Some(&b""[..]), "an empty value is not a missing row");
    assert_eq!(get(store, &bundle(7)), None, "deleting an absent row leaves it absent");
    commit(store, &[(bundle(0), b"second")], &[bundle(1)]);
    assert_eq!(get(store, &bundle(0)).as_deref(), Some(&b"second"[..]), "a put overwrites");
    assert_eq!(get(store, &bundle(1)), None, "a delete removes");
    commit(store, &[(bundle(1), b"third")], &[bundle(0)]);
    assert_eq!(get(store, &bundle(0)), None);
    assert_eq!(get(store, &bundle(1)).as_deref(), Some(&b"third"[..]), "a put brings a deleted row back");
    assert_eq!(get(store, &head()).as_deref(), Some(&b"one"[..]), "other rows are as they were");
}

fn a_multi_get_answers_in_the_order_of_its_keys(store: &impl Store) {
    let tile = Key::numbered(LogId::new(1), Kind::Tile(TileLevel::LEAVES), 0);
    commit(store, &[(bundle(1), b"one"), (bundle(2), b"two"), (tile.clone(), b"tile"), (head(), b"head")], &[]);
    let keys = [tile, bundle(9), bundle(2), head(), bundle(1), bundle(0), bundle(2)];
    let values = store.get_many(&keys).expect("a multi-get");
    let values: Vec<_> = values.iter().map(|value| value.as_deref()).collect();
    let expected: [Option<&[u8]>; 7] =
        [Some(b"tile"), None, Some(b"two"), Some(b"head"), Some(b"one"), None, Some(b"two")];
    assert_eq!(values, expected);
}

fn scans_are_ordered_bounded_and_half_open(store: &impl Store) {
    // Written in an order that is neither the keys' nor its reverse; the numbers cross a byte's boundary.
    let numbers = [300, 2, 255, 0, 256, 1, u64::MAX, 65_536];
    for number in numbers {
        commit(store, &[(bundle(number), &number.to_be_bytes())], &[]);
    }
    let mut sorted = numbers;
    sorted.sort_unstable();
    let found = |range: &KeyRange, limit| -> Vec<u64> {
        scan(store, range, limit)
            .into_iter()
            .map(|(key, value)| {
                assert_eq!(key.suffix(), value, "a row has its own value");
                key.number().expect("a number")
            })
            .collect()
    };
    let all = KeyRange::all(LogId::new(1), Kind::Bundle);
    for limit in 0..=numbers.len() + 1 {
        assert_eq!(found(&all, limit), sorted[..limit.min(numbers.len())], "the first {limit} rows");
    }
    assert_eq!(found(&all, usize::MAX), sorted);
    let some = |numbers| found(&KeyRange::numbers(LogId::new(1), Kind::Bundle, numbers), usize::MAX);
    assert_eq!(some(1..256), [1, 2, 255], "the first key is in the range, the last is not");
    assert_eq!(some(3..255), [] as [u64; 0]);
    assert_eq!(some(256..256), [] as [u64; 0]);
    // Not written as a literal, which the compiler takes for a slip.
    let reversed = Range { start: 300, end: 1 };
    assert_eq!(some(reversed), [] as [u64; 0], "a range whose end stands before its start is empty");
    assert_eq!(found(&KeyRange::from_key(bundle(65_536)), usize::MAX), [65_536, u64::MAX]);
}

fn first_rows_are_those_that_scans_begin_with(store: &impl Store) {
    let (log, kinds) = (LogId::new(1), [Kind::Bundle, Kind::Piece, Kind::Tile(TileLevel::LEAVES)]);
    for number in [3_u64, 9, 10, 300] {
        let put = |kind| (Key::numbered(log, kind, number), number.to_be_bytes());
        let [one, other, _] = kinds.map(put);
        commit(store, &[(one.0, &one.1), (other.0, &other.1)], &[]);
    }
    // One that is gone must not be found, nor hide the next.
    commit(store, &[], &[bundle(9)]);
    let numbered = |kind| move |(start, end)| KeyRange::numbers(log, kind, start..end);
    let in_order =
        [(0, 3), (0, 4), (2, 11), (3, 9), (4, 10), (4, 11), (5, 11), (10, 11), (10, 900), (11, 900), (301, 900)];
    let scattered = [(11, 900), (0, 11), (4, 10), (300, 301), (3, 4), (4, 4), (301, 900), (0, 900)];
    let mut ranges: Vec<KeyRange> = Vec::new();
    for kind in kinds {
        ranges.extend(in_order.map(numbered(kind)));
        ranges.extend(scattered.map(numbered(kind)));
    }
    ranges.extend(scattered.into_iter().flat_map(|numbers| kinds.map(|kind| numbered(kind)(numbers))));
    ranges.push(everything());
    let expected: Vec<_> = ranges.iter().map(|range| scan(store, range, 1).pop()).collect();
    for most in [usize::MAX, 7, 1] {
        let (mut found, mut taken) = (vec![None; ranges.len()], 0);
        let mut each = |place: usize, key: &Key, value: &[u8]| {
            found[place] = Some((key.clone(), value.to_vec()));
            taken += 1;
            if taken < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        store.firsts(&ranges, &mut each).expect("first rows");
        let there = expected.iter().map(|row| row.iter().count());
        let last = there.scan(0, |sum, one| (*sum < most).then(|| *sum += one)).count();
        assert_eq!(found[..last], expected[..last], "the first {most}");
        assert_eq!(found[last..], vec![None; found.len() - last], "nothing behind the first {most}");
    }
}

fn ranges_end_at_their_neighbours(store: &impl Store) {
    let logs = [0, 1, 2, 255, 256, u32::MAX].map(LogId::new);
    let mut model = BTreeMap::new();
    for log in logs {
        let mut batch = Batch::new();
        for kind in every_kind() {
            let keys = [Key::only(log, kind), Key::numbered(log, kind, 0), Key::numbered(log, kind, u64::MAX)];
            for key in keys.into_iter().chain([Key::suffixed(log, kind, &[0xff; 55])]) {
                model.insert(key.as_bytes().to_vec(), key.clone());
                batch.put(key.clone(), key.as_bytes().to_vec());
            }
        }
        store.commit(batch).expect("a commit");
    }
    for log in logs {
        for kind in every_kind() {
            let rows = scan(store, &KeyRange::all(log, kind), usize::MAX);
            assert_eq!(rows.len(), 4, "{kind:?} of log {log}");
            for (key, value) in rows {
                assert_eq!((key.log(), key.kind()), (log, kind));
                assert_eq!(key.as_bytes(), value);
            }
            let rest = scan(store, &KeyRange::from_key(Key::numbered(log, kind, 1)), usize::MAX);
            assert_eq!(rest.len(), 2, "the greater keys of {kind:?} of log {log}");
        }
    }
    let rows = scan(store, &everything(), usize::MAX);
    assert!(rows.iter().map(|(key, _)| key).eq(model.values()), "a scan across kinds and logs is in the keys' order");
    let half = scan(store, &everything(), rows.len() / 2);
    assert_eq!(half, rows[..rows.len() / 2], "and its limit counts all kinds together");
}

fn a_batch_with_a_key_twice_changes_nothing(store: &impl Store) {
    commit(store, &[(bundle(0), b"before")], &[]);
    let batches: [(Rows, Vec<Key>); 3] = [
        (vec![(bundle(1), vec![1]), (bundle(0), vec![2]), (bundle(0), vec![3])], vec![]),
        (vec![(bundle(1), vec![1]), (bundle(0), vec![2])], vec![bundle(0)]),
        (vec![(bundle(1), vec![1])], vec![bundle(0), bundle(0)]),
    ];
    for (puts, deletes) in batches {
        let mut batch = Batch::new();
        puts.into_iter().for_each(|(key, value)| batch.put(key, value));
        deletes.into_iter().for_each(|key| batch.delete(key));
        assert_eq!(store.commit(batch), Err(CommitError::Refused(BatchError::Twice(bundle(0)))));
        assert_eq!(get(store, &bundle(0)).as_deref(), Some(&b"before"[..]));
        assert_eq!(get(store, &bundle(1)), None, "nothing of a refused batch is written");
    }
    commit(store, &[(bundle(1), b"after")], &[]);
    assert_eq!(get(store, &bundle(1)).as_deref(), Some(&b"after"[..]), "the store goes on after a refusal");
}

fn large_values_come_back_whole(store: &impl Store) {
    let mut random = Random(5);
    let large: Vec<u8> =
        core::iter::repeat_with(|| random.next().to_le_bytes()).flatten().take(LARGEST_VALUE).collect();
    commit(store, &[(bundle(0), &large), (bundle(1), b"small"), (bundle(2), &large[1..])], &[]);
    let values = store.get_many(&[bundle(2), bundle(0)]).expect("a multi-get");
    assert!(values == [Some(large[1..].to_vec()), Some(large)], "large values differ");
    assert_eq!(get(store, &bundle(1)).as_deref(), Some(&b"small"[..]));
}

/// What stands in for a snapshot: a reader takes the head first, and finds every row that this head promises.
fn a_reader_sees_all_that_a_head_promises(store: &impl Store) {
    commit(store, &[(head(), &0_u64.to_be_bytes())], &[]);
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // When a commit fails, the readers end too.
        let _writing = SetOnPanic(&failed);
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while last < WATCHED && !failed.load(Ordering::Acquire) {
                    let row = get(store, &head()).expect("a head");
                    let size = u64::from_be_bytes(row.try_into().expect("a number"));
                    assert!(size >= last, "the head went from {last} back to {size}");
                    last = size;
                    if let Some(newest) = size.checked_sub(1) {
                        let value = get(store, &bundle(newest)).expect("a row that the head promises");
                        assert_eq!(value, newest.to_be_bytes());
                        let range = KeyRange::numbers(LogId::new(1), Kind::Bundle, 0..size);
                        assert_eq!(scan(store, &range, usize::MAX).len() as u64, size);
                    }
                }
            });
        }
        for number in 0..WATCHED {
            let next = (number + 1).to_be_bytes();
            commit(store, &[(bundle(number), &number.to_be_bytes()), (head(), &next)], &[]);
            let row = get(store, &head()).expect("a head");
            assert_eq!(row, next, "a read after a commit sees it");
        }
    });
}

struct SetOnPanic<'a>(&'a AtomicBool);

impl Drop for SetOnPanic<'_> {
    fn drop(&mut self) {
        self.0.store(std::thread::panicking(), Ordering::Release);
    }
}

fn rows_outlive_the_store<S: Store>(mut store: S, reopen: &mut dyn FnMut(S) -> S) {
    commit(&store, &[(bundle(0), b"kept"), (bundle(1), b"removed"), (head(), b"first")], &[]);
    store = reopen(store);
    commit(&store, &[(head(), b"second")], &[bundle(1)]);
    for _ in 0..3 {
        store = reopen(store);
        let rows = scan(&store, &everything(), usize::MAX);
        assert_eq!(rows, [(head(), b"second".to_vec()), (bundle(0), b"kept".to_vec())]);
    }
}

/// A small random history over few keys, so that overwrites, deletes and deletes of absent rows all happen.
fn a_random_history_agrees_with_a_map<S: Store>(mut store: S, reopen: &mut dyn FnMut(S) -> S) {
    let mut random = Random(2_463_534_242);
    let mut model: BTreeMap<Vec<u8>, (Key, Vec<u8>)> = BTreeMap::new();
    let kinds: Vec<_> = every_kind().collect();
    for step in 0..HISTORY {
        let mut batch = Batch::new();
        let mut touched = BTreeMap::new();
        for _ in 0..random.below(12) {
            let kind = kinds[random.below(kinds.len() as u64) as usize];
            let key = Key::numbered(LogId::new(random.below(3) as u32), kind, random.below(6));
            touched.insert(key.as_bytes().to_vec(), (key, random.below(4) > 0));
        }
        for (bytes, (key, put)) in touched {
            if put {
                let value = vec![step as u8; random.below(2_000) as usize];
                model.insert(bytes, (key.clone(), value.clone()));
                batch.put(key, value);
            } else {
                model.remove(&bytes);
                batch.delete(key);
            }
        }
        store.commit(batch).expect("a commit");
        if step % 50 == 49 {
            store = reopen(store);
        }
        let rows: Rows = model.values().cloned().collect();
        assert_eq!(scan(&store, &everything(), usize::MAX), rows, "after commit {step}");
        let (from, to) = (random.below(3) as u32, random.below(3) as u32);
        let [from, to] = [from, to].map(|log| Key::numbered(LogId::new(log), Kind::Bundle, random.below(6)));
        let range = KeyRange::between(&from..&to);
        let inside: Rows = rows.into_iter().filter(|(key, _)| range.contains(key)).collect();
        assert_eq!(scan(&store, &range, usize::MAX), inside, "after commit {step}, {range:?}");
    }
}

/// Marsaglia's xorshift: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
