//! RocksDB keeps the contract of every store, and survives being closed and opened.

#![allow(clippy::expect_used, reason = "This is test code: it reports by panicking.")]

use cairn_rocks::{RocksStore, Settings};
use cairn_tree::store::{Batch, CommitError, EachRow, Key, KeyRange, Kind, LogId, Store, StoreError, TileLevel, suite};
use tempfile::TempDir;

/// A store that knows its directory, so that the suite can open it again; the directory goes with it.
struct Kept {
    store: RocksStore,
    directory: TempDir,
}

impl Store for Kept {
    fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.store.get_many(keys)
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        self.store.scan(range, limit)
    }

    fn firsts(&self, ranges: &[KeyRange], each: &mut EachRow<'_>) -> Result<(), StoreError> {
        self.store.firsts(ranges, each)
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        self.store.commit(batch)
    }
}

fn small() -> Settings {
    Settings { block_cache: 1 << 20, memtables: 1 << 20, open_files: 64, background_jobs: 2 }
}

fn fresh() -> Kept {
    let directory = TempDir::new().expect("a directory");
    let store = RocksStore::create(&directory.path().join("db"), &small()).expect("a new database");
    Kept { store, directory }
}

#[test]
fn rocksdb_passes_the_suite_of_every_durable_store() {
    let mut reopen = |kept: Kept| {
        let Kept { store, directory } = kept;
        drop(store);
        let store = RocksStore::open(&directory.path().join("db"), &small()).expect("the database again");
        Kept { store, directory }
    };
    suite::run_durable(&mut fresh, &mut reopen);
}

/// The suite again, over rows that stand in tables and not in memory.
#[test]
fn rocksdb_passes_the_suite_from_its_tables_too() {
    let mut reopen = |kept: Kept| {
        kept.store.compact().expect("a compaction");
        kept
    };
    suite::run_durable(&mut fresh, &mut reopen);
}

/// More bundles and tiles than the memtables hold, so that some are read from tables and some from the recovered log.
#[test]
fn bundles_and_tiles_come_back_from_tables_and_from_the_log() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("db");
    let store = RocksStore::create(&path, &small()).expect("a new database");
    let log = LogId::new(3);
    let tile = Kind::Tile(TileLevel::LEAVES);
    let value = |kind: u8, number: u64, length: usize| -> Vec<u8> {
        (0..length as u64).map(|at| (at * 31 + number * 7) as u8 ^ kind).collect()
    };
    let count = 100;
    for number in 0..count {
        let mut batch = Batch::new();
        batch.put(Key::numbered(log, Kind::Bundle, number), value(1, number, 77_312));
        batch.put(Key::numbered(log, tile, number), value(2, number, 8_192));
        batch.put(Key::only(log, Kind::Head), number.to_be_bytes().to_vec());
        store.commit(batch).expect("a commit");
    }
    let stats = store.stats();
    let bundles = stats.families.iter().find(|family| family.name == "bundles").expect("the family of bundles");
    assert!(bundles.table_bytes > 0, "nothing was flushed: {stats:?}");
    assert_eq!((stats.writes_stopped, stats.background_errors), (false, 0));
    drop(store);
    let store = RocksStore::open(&path, &small()).expect("the database again");
    for number in 0..count {
        let keys = [Key::numbered(log, tile, number), Key::numbered(log, Kind::Bundle, number)];
        let values = store.get_many(&keys).expect("a multi-get");
        assert!(values == [Some(value(2, number, 8_192)), Some(value(1, number, 77_312))], "bundle or tile {number}");
    }
}

/// Whoever reads a second time what looked bad must read the disk, and whoever looks for flipped bits too.
#[test]
fn blocks_that_are_forgotten_are_gone_from_memory() {
    let directory = TempDir::new().expect("a directory");
    let store = RocksStore::create(&directory.path().join("db"), &small()).expect("a new database");
    let key = |number| Key::numbered(LogId::new(3), Kind::Bundle, number);
    for number in 0..20 {
        let mut batch = Batch::new();
        batch.put(key(number), vec![number as u8; 60_000]);
        store.commit(batch).expect("a commit");
    }
    store.compact().expect("tables");
    let read = || (0..20).for_each(|number| assert!(store.get(&key(number)).expect("a read").is_some()));
    for _ in 0..3 {
        read();
        read();
        let before = store.stats().block_cache_bytes;
        store.forget_blocks();
        let after = store.stats().block_cache_bytes;
        assert!(before > 60_000 && after < before / 10, "{before} bytes were kept, and {after} still are");
    }
}

/// A row of 16 KiB is a block of its own: whoever wants one does not wait for the next.
#[test]
fn a_scan_reads_no_block_behind_the_last_row_that_it_gives() {
    let Kept { store, directory } = fresh();
    let key = |number| Key::numbered(LogId::new(1), Kind::PostingRun, number);
    let mut batch = Batch::new();
    (0..40_u8).for_each(|number| batch.put(key(u64::from(number)), vec![number; 16 << 10]));
    store.commit(batch).expect("rows");
    drop(store);
    // From here on they stand in tables.
    let store = RocksStore::open(&directory.path().join("db"), &small()).expect("the same database");
    let read = |limit: usize| {
        store.forget_blocks();
        let before = store.stats().block_cache_bytes;
        let rows = store.scan(&KeyRange::from_key(key(7)), limit).expect("rows");
        assert_eq!((rows.len(), rows[0].1[0]), (limit, 7));
        store.stats().block_cache_bytes - before
    };
    let (one, three) = (read(1), read(3));
    assert!(one >= 16 << 10, "it came from a table: {one}");
    assert!(one < 32 << 10, "one block, and the table's index: {one}");
    assert!(three < 64 << 10, "{three}");
}
