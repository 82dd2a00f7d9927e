//! A last commit that a power failure tore where its record has its header.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "This is test code: it reports by panicking.")]

use std::fs;
use std::path::PathBuf;

use cairn_rocks::{RocksStore, Settings};
use cairn_tree::store::{Batch, Key, Kind, LogId, Store as _};
use tempfile::TempDir;

/// The power fails over the last commit, whose record has its header in two sectors; of these the first was not written.
#[test]
fn a_commit_whose_header_is_torn_is_dropped() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("db");
    let store = RocksStore::create(&path, &Settings::default()).expect("a new database");
    let key = |number: u64| Key::numbered(LogId::new(1), Kind::Bundle, number);
    let log = || -> PathBuf {
        let files = fs::read_dir(&path).expect("a folder").map(|file| file.expect("a file").path());
        files.filter(|file| file.extension().is_some_and(|extension| extension == "log")).max().expect("a log")
    };
    let length = || fs::metadata(log()).expect("a log").len() as usize;
    let commit = |number: u64, bytes: usize| {
        let mut batch = Batch::new();
        batch.put(key(number), vec![7; bytes]);
        store.commit(batch).expect("a commit");
    };
    commit(1, 300);
    let before = length();
    commit(2, 300);
    let around = length() - before - 300;
    // The next record begins 4 bytes before the end of a sector.
    let filling = (508 + 512 * 8 - (length() + around)) % 512 + 512;
    commit(3, filling);
    let start = length();
    assert_eq!(start % 512, 508);
    commit(4, 900);
    drop(store);
    let mut bytes = fs::read(log()).expect("a log");
    bytes[start..start + 4].fill(0);
    fs::write(log(), bytes).expect("a written log");
    let store = RocksStore::open(&path, &Settings::default()).expect("the database before that commit");
    let there: Vec<bool> = (1..=4).map(|number| store.get(&key(number)).expect("a read").is_some()).collect();
    assert_eq!(there, [true, true, true, false]);
}
