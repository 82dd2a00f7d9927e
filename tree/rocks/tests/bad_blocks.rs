//! Bad blocks of tables are named one by one, and past each of them all the rest is read.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "This is test code: it reports by panicking.")]

use std::fs;
use std::path::Path;

use cairn_rocks::{Place, RocksStore, Settings};
use cairn_tree::store::{Batch, Key, Kind, LogId, Store as _};
use tempfile::TempDir;

const LOG: LogId = LogId::new(1);

fn settings() -> Settings {
    Settings { block_cache: 1 << 20, memtables: 8 << 20, open_files: 64, background_jobs: 1 }
}

/// Some kibibytes that no compression shrinks.
fn random(seed: u64) -> Vec<u8> {
    let mut state = seed + 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..5_000).map(next).collect()
}

/// Two blocks of one family are bad: both are named, and all that stands between and behind them is read.
#[test]
fn each_bad_block_is_named_and_no_other_row_is_passed_over() {
    const ROWS: u64 = 40;
    // Longer than a block, so that each row has one of its own.
    let long = |number: u64| (0..10).flat_map(|part| random(number * 10 + part)).collect::<Vec<u8>>();
    let key = |number: u64| Key::numbered(LOG, Kind::Bundle, number);
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("db");
    let store = RocksStore::create(&path, &settings()).expect("a new database");
    for number in 0..ROWS {
        let mut batch = Batch::new();
        batch.put(key(number), long(number));
        batch.put(Key::only(LOG, Kind::Head), number.to_be_bytes().to_vec());
        store.commit(batch).expect("a commit");
    }
    store.compact().expect("tables");
    let swept = |store: &RocksStore| {
        let (mut bytes, mut bad, mut next) = (0, Vec::new(), Some(Place::default()));
        while let Some(place) = next {
            let swept = store.read_some(&place, 100_000).expect("an open family");
            bytes += swept.bytes;
            bad.extend(swept.bad);
            next = swept.next;
        }
        (bytes, bad)
    };
    let (whole, none) = swept(&store);
    assert_eq!((none, store.bad_blocks(64)), (Vec::new(), Ok((Vec::new(), false))));
    drop(store);
    // One in the middle, two that stand beside each other, and the last.
    let bad = [7, 20, 21, ROWS - 1];
    for number in bad {
        assert_eq!(flip_row(&path, &long(number)), 1, "row {number}");
    }
    let store = RocksStore::open(&path, &settings()).expect("the damaged database");
    let (read, found) = swept(&store);
    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), bad.len(), "{told:?}");
    assert!(told.iter().all(|one| one.contains("checksum") && told.iter().filter(|other| *other == one).count() == 1));
    let length = (key(0).as_bytes().len() + long(0).len()) as u64;
    assert_eq!(whole - read, bad.len() as u64 * length);
    assert_eq!(store.bad_blocks(64), Ok((found.clone(), false)));
    assert_eq!(store.bad_blocks(2), Ok((found.into_iter().take(2).collect(), true)));
    for number in 0..ROWS {
        assert_eq!(store.get(&key(number)).is_ok(), !bad.contains(&number), "{number}");
    }
}

/// Flips a bit of a row's value in every table that has it; how many have it.
fn flip_row(path: &Path, value: &[u8]) -> usize {
    // Incompressible, so that it stands there as it is.
    let mark = &value[1_000..1_040];
    let mut flipped = 0;
    for table in fs::read_dir(path).expect("a folder").map(|file| file.expect("a file").path()) {
        let mut bytes = fs::read(&table).expect("a file");
        let Some(at) = bytes.windows(mark.len()).position(|window| window == mark) else { continue };
        if table.extension().is_some_and(|extension| extension == "sst") {
            bytes[at] ^= 1;
            fs::write(&table, bytes).expect("a written file");
            flipped += 1;
        }
    }
    flipped
}
