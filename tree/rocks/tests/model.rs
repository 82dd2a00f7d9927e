//! Random batches, reopenings and compactions beside the plainest store there is: one ordered map.

#![allow(clippy::expect_used, clippy::panic, reason = "This is test code: it reports by panicking.")]

use std::collections::BTreeMap;

use cairn_rocks::{RocksStore, Settings};
use cairn_tree::store::{Batch, CommitError, Key, KeyRange, Kind, LogId, Store, TileLevel};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

/// One row of every family, few enough numbers that rows meet again.
fn key() -> impl Strategy<Value = Key> {
    let kinds = [
        Kind::Binding,
        Kind::Bundle,
        Kind::Piece,
        Kind::Tile(TileLevel::LEAVES),
        Kind::Tile(TileLevel::MAX),
        Kind::IndexRun,
        Kind::IndexManifest,
    ];
    let numbers = prop_oneof![0_u64..6, Just(255), Just(256), Just(u64::MAX)];
    (prop_oneof![0_u32..3, Just(u32::MAX)], 0..kinds.len(), numbers).prop_map(move |(log, kind, number)| {
        let kind = kinds.get(kind).copied().unwrap_or(Kind::Bundle);
        Key::numbered(LogId::new(log), kind, number)
    })
}

#[derive(Clone, Debug)]
enum Step {
    /// A row with a value is put, one without is deleted.
    Commit(Vec<(Key, Option<Vec<u8>>)>),
    Reopen,
    Compact,
    Scan {
        from: Key,
        to: Key,
        limit: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![
        1 => Just(None),
        3 => (any::<u8>(), 0_usize..40).prop_map(|(byte, length)| Some(vec![byte; length])),
        // Larger than a block, so that tables have several.
        1 => any::<u8>().prop_map(|byte| Some(vec![byte; 20_000])),
    ];
    prop_oneof![
        6 => vec((key(), value), 0..8).prop_map(Step::Commit),
        1 => Just(Step::Reopen),
        1 => Just(Step::Compact),
        4 => (key(), key(), 0_usize..6).prop_map(|(from, to, limit)| Step::Scan { from, to, limit }),
    ]
}

struct Pair {
    store: Option<RocksStore>,
    plain: BTreeMap<Key, Vec<u8>>,
    directory: TempDir,
}

fn settings() -> Settings {
    Settings { block_cache: 1 << 20, memtables: 1 << 20, open_files: 64, background_jobs: 2 }
}

impl Pair {
    fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        let store = RocksStore::create(&directory.path().join("db"), &settings()).expect("a new database");
        Self { store: Some(store), plain: BTreeMap::new(), directory }
    }

    fn store(&self) -> &RocksStore {
        self.store.as_ref().expect("an open store")
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Commit(rows) => self.commit(rows),
            Step::Reopen => {
                self.store = None;
                let path = self.directory.path().join("db");
                self.store = Some(RocksStore::open(&path, &settings()).expect("the database again"));
            }
            Step::Compact => self.store().compact().expect("a compaction"),
            Step::Scan { from, to, limit } => self.scan(&KeyRange::between(&from..&to), limit),
        }
        let keys: Vec<Key> = self.plain.keys().cloned().collect();
        let values = self.store().get_many(&keys).expect("all rows");
        assert_eq!(values, self.plain.values().cloned().map(Some).collect::<Vec<_>>());
    }

    /// A batch that names a row twice changes nothing, and the store goes on.
    fn commit(&mut self, rows: Vec<(Key, Option<Vec<u8>>)>) {
        let mut batch = Batch::new();
        let mut after = self.plain.clone();
        let mut named: Vec<&Key> = rows.iter().map(|(key, _)| key).collect();
        named.sort();
        let twice = named.windows(2).any(|pair| pair.first() == pair.last());
        for (key, value) in &rows {
            match value {
                Some(value) => {
                    batch.put(key.clone(), value.clone());
                    after.insert(key.clone(), value.clone());
                }
                None => {
                    batch.delete(key.clone());
                    after.remove(key);
                }
            }
        }
        match self.store().commit(batch) {
            Ok(()) => {
                assert!(!twice, "{rows:?}");
                self.plain = after;
            }
            Err(CommitError::Refused(_)) => assert!(twice, "{rows:?}"),
            Err(other) => panic!("{other}"),
        }
    }

    fn scan(&self, range: &KeyRange, limit: usize) {
        let expected: Vec<(Key, Vec<u8>)> =
            self.plain.iter().filter(|(key, _)| range.contains(key)).take(limit).map(own).collect();
        assert_eq!(self.store().scan(range, limit).expect("a scan"), expected);
        let kinds: Vec<KeyRange> = self.plain.keys().map(|key| KeyRange::all(key.log(), key.kind())).collect();
        for range in kinds {
            let expected: Vec<_> = self.plain.iter().filter(|(key, _)| range.contains(key)).map(own).collect();
            assert_eq!(self.store().scan(&range, usize::MAX).expect("a scan"), expected);
        }
    }
}

fn own((key, value): (&Key, &Vec<u8>)) -> (Key, Vec<u8>) {
    (key.clone(), value.clone())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// `PROPTEST_CASES` makes more of them; a failing journey is made shorter and printed.
    #[test]
    fn every_journey_is_one_of_an_ordered_map(steps in vec(step(), 1..40)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.take(step);
        }
    }
}
