//! Damaged files: a flipped bit is noticed, a cut file is noticed or lacks the newest commits whole, and neither gives a
//! wrong value.
//!
//! A file that was cut looks like one that a crash left: the high-water file, outside the database, must notice. Losing
//! commits otherwise than from the newest on is not allowed, nor is seeing a part of one.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "This is test code: it reports by panicking.")]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cairn_rocks::{RocksStore, Settings};
use cairn_tree::store::{Batch, Key, KeyRange, Kind, LogId, Store as _, StoreError, TileLevel};
use tempfile::TempDir;

/// Where the process that makes a database puts it.
const DATABASE: &str = "CAIRN_TEST_DATABASE";
/// The commits that stand in tables.
const IN_TABLES: u64 = 8;
/// Those that stand there or in the older write-ahead log.
const IN_OLDER_LOG: u64 = 11;
/// All commits; the last ones stand in the newer write-ahead log only.
const COMMITS: u64 = 14;
const LOG: LogId = LogId::new(1);

fn settings() -> Settings {
    Settings { block_cache: 1 << 20, memtables: 1 << 20, open_files: 64, background_jobs: 1 }
}

fn value(kind: u8, number: u64) -> Vec<u8> {
    // Some kibibytes that LZ4 cannot shrink to nothing.
    let mut state = number + u64::from(kind) * 1_000 + 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    // What stands in the logs fills some blocks of 32 KiB.
    (0..if number > IN_TABLES { 5_000 } else { 500 }).map(next).collect()
}

fn head() -> Key {
    Key::only(LOG, Kind::Head)
}

fn rows(number: u64) -> [(Key, Vec<u8>); 2] {
    let tile = Kind::Tile(TileLevel::LEAVES);
    [(Key::numbered(LOG, Kind::Bundle, number), value(1, number)), (Key::numbered(LOG, tile, number), value(2, number))]
}

/// The piece that this commit writes and the next one deletes.
fn piece(number: u64) -> Key {
    Key::numbered(LOG, Kind::Piece, number)
}

fn commit(number: u64) -> Batch {
    let mut batch = Batch::new();
    rows(number).into_iter().for_each(|(key, value)| batch.put(key, value));
    batch.put(head(), number.to_be_bytes().to_vec());
    batch.put(piece(number), value(3, number));
    batch.delete(piece(number - 1));
    batch
}

/// Makes a database as a crash during a flush leaves it: rows in tables, rows in a closed log, and rows in a newer one.
/// Needs a process of its own, since it stops the threads that flush, which RocksDB has once per process.
#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn makes_a_database() {
    let path = PathBuf::from(env::var_os(DATABASE).expect("run by another test only"));
    let work = path.with_extension("work");
    let store = RocksStore::create(&work, &settings()).expect("a new database");
    for number in 1..=IN_TABLES {
        store.commit(commit(number)).expect("a commit");
        if number == IN_TABLES / 2 || number == IN_TABLES {
            store.compact().expect("tables");
        }
    }
    drop(store);
    // The store itself does not flush without waiting, so RocksDB is opened as the store opens it.
    let mut options = rocksdb::Options::default();
    options.set_atomic_flush(true);
    options.set_track_and_verify_wals_in_manifest(true);
    let families = ["default", "tail", "bundles", "tiles", "index", "disclosures"];
    let db = rocksdb::DB::open_cf(&options, &work, families).expect("the database");
    let handles = families.map(|name| db.cf_handle(name).expect("a family"));
    let mut threads = rocksdb::Env::new().expect("the environment");
    threads.set_high_priority_background_threads(0);
    threads.set_background_threads(0);
    for number in IN_TABLES + 1..=COMMITS {
        put(&db, commit(number));
        if number == IN_OLDER_LOG {
            let mut flush = rocksdb::FlushOptions::default();
            flush.set_wait(false);
            db.flush_cfs_opt(&handles.each_ref(), &flush).expect("a flush that waits for a thread");
        }
    }
    copy(&work, &path);
    threads.set_high_priority_background_threads(1);
    threads.set_background_threads(1);
}

fn put(db: &rocksdb::DB, batch: Batch) {
    let (puts, deletes) = batch.into_parts();
    let family = |key: &Key| {
        let name = match key.kind() {
            Kind::Bundle => "bundles",
            Kind::Tile(_) => "tiles",
            Kind::Piece => "tail",
            _ => "default",
        };
        db.cf_handle(name).expect("a family")
    };
    let mut rows = rocksdb::WriteBatch::default();
    puts.iter().for_each(|(key, value)| rows.put_cf(family(key), key.as_bytes(), value));
    deletes.iter().for_each(|key| rows.delete_cf(family(key), key.as_bytes()));
    let mut options = rocksdb::WriteOptions::default();
    options.set_sync(true);
    db.write_opt(rows, &options).expect("a commit");
}

fn make(path: &Path) {
    let mut command = Command::new(env::current_exe().expect("this test's own path"));
    command.args(["--ignored", "--exact", "makes_a_database"]).env(DATABASE, path);
    let output = command.output().expect("a process");
    assert!(output.status.success(), "{output:?}");
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).expect("a directory");
    for entry in fs::read_dir(from).expect("the database") {
        let entry = entry.expect("a file");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

/// What a damaged database gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// It did not open.
    Refused,
    /// It opened, and some rows could not be read; all others were right.
    Errors,
    /// It opened without the newest commits; all others were there whole.
    TailLost,
    /// All was there: the byte does not matter.
    Sound,
}

/// Reads everything, and panics at a wrong value or a part of a commit.
fn judge(path: &Path, what: &str) -> Outcome {
    let Ok(store) = RocksStore::open(path, &settings()) else { return Outcome::Refused };
    let mut errors = 0;
    let mut read = |key: &Key| match store.get(key) {
        Ok(value) => Some(value),
        Err(StoreError::Corrupt(_) | StoreError::Io(_)) => {
            errors += 1;
            None
        }
    };
    // The newest commit that any readable row tells of.
    let mut newest = 0;
    let mut missing = COMMITS + 1;
    for number in 1..=COMMITS {
        for (key, expected) in rows(number) {
            match read(&key) {
                None => {}
                Some(None) => missing = missing.min(number),
                Some(Some(found)) => {
                    assert!(found == expected, "{what}: a wrong value of {key:?}");
                    newest = newest.max(number);
                }
            }
        }
    }
    assert!(newest < missing, "{what}: commit {newest} is there, though {missing} is not");
    if let Some(row) = read(&head()) {
        let found = row.map_or(0, |row| u64::from_be_bytes(row.try_into().expect("a number")));
        assert!(newest <= found && found < missing, "{what}: head {found}, rows to {newest}, none from {missing} on");
        newest = found;
    }
    for number in 1..=COMMITS {
        if let Some(row) = read(&piece(number)) {
            let is_right = row.is_none_or(|row| number == newest && row == value(3, number));
            assert!(is_right, "{what}: a wrong piece {number} of {newest}");
        }
    }
    for kind in [Kind::Bundle, Kind::Tile(TileLevel::LEAVES)] {
        match store.scan(&KeyRange::all(LOG, kind), usize::MAX) {
            Err(_) => errors += 1,
            Ok(found) => {
                let numbers: Vec<_> = found.iter().filter_map(|(key, _)| key.number()).collect();
                let expected: Vec<_> = (1..=newest).collect();
                assert!(numbers == expected || errors > 0, "{what}: a scan found {numbers:?} of {newest}");
                let all: BTreeMap<_, _> = (1..=newest).flat_map(rows).collect();
                found.iter().for_each(|(key, value)| assert!(all.get(key) == Some(value), "{what}: {key:?} in a scan"));
            }
        }
    }
    match (errors, newest) {
        (1.., _) => Outcome::Errors,
        (_, COMMITS) => Outcome::Sound,
        _ => Outcome::TailLost,
    }
}

/// The files of a database that RocksDB reads at its start or later, with a name for each sort.
fn files(path: &Path) -> Vec<(&'static str, PathBuf)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).expect("the database") {
        let path = entry.expect("a file").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let sort = match name.as_str() {
            "CURRENT" => "CURRENT",
            _ if name.ends_with(".log") => "write-ahead log",
            _ if name.ends_with(".sst") => "table",
            _ if name.starts_with("MANIFEST") => "manifest",
            _ => continue,
        };
        files.push((sort, path));
    }
    files.sort();
    files
}

type Outcomes = BTreeMap<(&'static str, Outcome), usize>;

/// How many changes lie between two lines of progress.
const PROGRESS: usize = 5_000;

/// One file of the sound database, and where it is to be changed.
struct Target {
    sort: &'static str,
    file: PathBuf,
    bytes: Arc<[u8]>,
    offset: usize,
}

/// Changes each file at the offsets that `places` names, each in a fresh copy, and counts what came of it. Works on as
/// many copies side by side as there are processors.
fn damage(places: impl Fn(&'static str, &[u8]) -> Vec<usize>, change: impl Fn(&mut Vec<u8>, usize) + Sync) -> Outcomes {
    let directory = TempDir::new().expect("a directory");
    let sound = directory.path().join("sound");
    make(&sound);
    let untouched = directory.path().join("untouched");
    copy(&sound, &untouched);
    assert_eq!(judge(&untouched, "an untouched copy"), Outcome::Sound);
    let files = files(&sound);
    assert_eq!(files.iter().filter(|(sort, _)| *sort == "write-ahead log").count(), 2, "{files:?}");
    let mut targets = Vec::new();
    for (sort, file) in files {
        let bytes: Arc<[u8]> = fs::read(&file).expect("a file").into();
        let offsets = places(sort, &bytes).into_iter();
        targets.extend(offsets.map(|offset| Target { sort, file: file.clone(), bytes: Arc::clone(&bytes), offset }));
    }
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Outcomes::new()));
    std::thread::scope(|threads| {
        for number in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let damaged = directory.path().join(format!("damaged-{number}"));
            let (sound, targets, next, outcomes, change) = (&sound, &targets, &next, &outcomes, &change);
            threads.spawn(move || {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = try_one(sound, &damaged, target, change);
                    let mut outcomes = outcomes.lock().expect("no other thread has failed");
                    *outcomes.entry((target.sort, outcome)).or_default() += 1;
                    let done: usize = outcomes.values().sum();
                    if done.is_multiple_of(PROGRESS) {
                        println!("{done} of {} changes", targets.len());
                    }
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().expect("no thread has failed");
    println!("{outcomes:#?}");
    outcomes
}

fn try_one(sound: &Path, damaged: &Path, target: &Target, change: impl Fn(&mut Vec<u8>, usize)) -> Outcome {
    copy(sound, damaged);
    let mut changed = target.bytes.to_vec();
    change(&mut changed, target.offset);
    let name = target.file.file_name().unwrap_or_default();
    fs::write(damaged.join(name), changed).expect("a file");
    judge(damaged, &format!("{} at {} of {}", name.display(), target.offset, target.bytes.len()))
}

fn every(stride: usize) -> impl Fn(&'static str, &[u8]) -> Vec<usize> {
    move |_, bytes| (0..bytes.len()).step_by(stride).collect()
}

/// Where each record's kind stands, in the logs and the manifest.
fn kinds(sort: &'static str, bytes: &[u8]) -> Vec<usize> {
    lengths(sort, bytes).iter().step_by(2).map(|at| at + 2).collect()
}

/// Where the two bytes of each record's length stand, in the logs and the manifest.
fn lengths(sort: &'static str, bytes: &[u8]) -> Vec<usize> {
    const BLOCK: usize = 32 << 10;
    let mut places = Vec::new();
    let mut at = 0;
    while sort != "table" && sort != "CURRENT" && at + 7 <= bytes.len() {
        let length = usize::from(u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]));
        places.extend([at + 4, at + 5]);
        at += 7 + length;
        // A record's header does not stand in a block's last six bytes.
        if BLOCK - at % BLOCK < 7 {
            at = at.next_multiple_of(BLOCK);
        }
    }
    places
}

/// A flip loses nothing at all: it is noticed, or does not matter.
fn flips(places: impl Fn(&'static str, &[u8]) -> Vec<usize>, flip: u8) -> Outcomes {
    let outcomes = damage(places, |bytes, offset| bytes[offset] ^= flip);
    for ((sort, outcome), count) in &outcomes {
        assert_ne!(*outcome, Outcome::TailLost, "{count} flips in a {sort} lost commits");
        assert!(*sort != "write-ahead log" || *outcome == Outcome::Refused, "{count} flips in a log: {outcome:?}");
    }
    for sort in ["write-ahead log", "manifest"] {
        assert!(outcomes.contains_key(&(sort, Outcome::Refused)), "no flip in a {sort} was tried");
    }
    outcomes
}

fn cuts(stride: usize) {
    // A manifest also between its records, where nothing in it shows the cut.
    let places = |sort, bytes: &[u8]| {
        let mut places = every(stride)(sort, bytes);
        places.extend(lengths(sort, bytes).iter().step_by(2).map(|at| at - 4).filter(|_| sort == "manifest"));
        places
    };
    let outcomes = damage(places, |bytes, offset| bytes.truncate(offset));
    for sort in ["table", "manifest"] {
        assert_eq!(outcomes.get(&(sort, Outcome::TailLost)), None, "{outcomes:?}");
    }
    assert_eq!(outcomes.get(&("table", Outcome::Sound)), None, "a cut table is always noticed");
    assert!(outcomes.contains_key(&("write-ahead log", Outcome::TailLost)), "a cut log is what a crash leaves");
}

#[test]
fn a_flipped_bit_is_noticed() {
    let outcomes = flips(every(409), 0x10);
    assert!(outcomes.contains_key(&("table", Outcome::Errors)), "no flip in a table was tried");
}

/// RocksDB alone takes some of these for the end of the file, and opens without what follows.
#[test]
fn a_flipped_bit_in_the_length_of_a_record_is_noticed() {
    for flip in [0x01, 0x10, 0x80] {
        flips(lengths, flip);
    }
}

/// RocksDB alone takes some of these for records of a recycled log: it drops what follows in a log, and never comes to the
/// end of a manifest.
#[test]
fn a_flipped_bit_in_the_kind_of_a_record_is_noticed() {
    for bit in 0..8 {
        flips(kinds, 1 << bit);
    }
}

/// What a start leaves that did not come to its end: a log without anything in it, and a manifest that nothing names.
fn leave_a_start_that_was_cut_short(path: &Path) {
    fs::write(path.join("900000.log"), b"").expect("a log");
    // A record that runs past the end, though a shorter one is there whole: damage, if it counted.
    let empty = [0x4a, 0x39, 0xa5, 0x2b, 0x44, 0x0f, 1];
    fs::write(path.join("MANIFEST-900001"), [&[0; 512][..], &empty, &[1; 40]].concat()).expect("a manifest");
}

/// What a power failure leaves of a commit whose sync did not return: some of its sectors, in any order.
#[test]
fn a_torn_last_commit_is_dropped_whole() {
    const SECTOR: usize = 512;
    let folder = tempfile::tempdir().expect("a directory");
    let (sound, torn) = (folder.path().join("sound"), folder.path().join("torn"));
    make(&sound);
    let (_, log) = files(&sound).into_iter().rfind(|(sort, _)| *sort == "write-ahead log").expect("a log");
    let bytes = fs::read(&log).expect("the log");
    // The last record that is whole or begins a commit.
    let begins = |at: &&usize| matches!(bytes[**at], 1 | 2);
    let start = kinds("write-ahead log", &bytes).iter().rfind(begins).expect("a commit") - 6;
    let mut outcomes = BTreeMap::new();
    for round in 0..64_u64 {
        let (mut damaged, mut state) = (bytes.clone(), round);
        let mut at = start;
        while at < bytes.len() {
            let end = (at + 1).next_multiple_of(SECTOR).min(bytes.len());
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if (state >> 60) % 4 < round % 5 {
                damaged[at..end].fill(0);
            }
            at = end;
        }
        copy(&sound, &torn);
        fs::write(torn.join(log.file_name().expect("a name")), damaged).expect("the log");
        if round % 2 == 0 {
            leave_a_start_that_was_cut_short(&torn);
        }
        *outcomes.entry(judge(&torn, &format!("round {round}"))).or_insert(0) += 1;
    }
    assert!(outcomes.keys().all(|outcome| matches!(outcome, Outcome::TailLost | Outcome::Sound)), "{outcomes:?}");
    assert!(outcomes[&Outcome::TailLost] > 20, "{outcomes:?}");
    // The commit before it was synced: sectors that are missing there are damage.
    let mut damaged = bytes;
    damaged[start - 2 * SECTOR..start - SECTOR].fill(0);
    copy(&sound, &torn);
    fs::write(torn.join(log.file_name().expect("a name")), damaged).expect("the log");
    assert_eq!(judge(&torn, "the commit before"), Outcome::Refused);
}

/// What a kill leaves some time after a flush: a manifest that says of write-ahead logs that they were closed, and then that
/// they went away. Without its end it tells of logs that are gone, over which RocksDB can end the process.
#[test]
fn a_manifest_without_its_end_is_read_anew_or_lacks_nothing() {
    let folder = TempDir::new().expect("a directory");
    let [work, sound, torn, scratch] = ["work", "sound", "torn", "scratch"].map(|name| folder.path().join(name));
    let store = RocksStore::create(&work, &settings()).expect("a new database");
    for number in 1..=COMMITS {
        store.commit(commit(number)).expect("a commit");
        if number == IN_TABLES || number == IN_OLDER_LOG {
            store.compact().expect("tables");
        }
    }
    copy(&work, &sound);
    let (_, manifest) = files(&sound).into_iter().find(|(sort, _)| *sort == "manifest").expect("a manifest");
    let bytes = fs::read(&manifest).expect("the manifest");
    let name = manifest.file_name().expect("a name");
    let starts: Vec<_> = lengths("manifest", &bytes).iter().step_by(2).map(|at| at - 4).collect();
    let mut outcomes = BTreeMap::new();
    let from = starts[starts.len().saturating_sub(12)];
    let is_tried =
        |at: &usize| at.is_multiple_of(37) || at + 1 == bytes.len() || (0..3).any(|more| starts.contains(&(at + more)));
    for length in (from..bytes.len()).filter(is_tried) {
        copy(&sound, &torn);
        fs::write(torn.join(name), &bytes[..length]).expect("the manifest");
        let what = format!("{length} bytes of {}", bytes.len());
        let remains =
            RocksStore::open_remains(&torn, &settings(), &scratch).unwrap_or_else(|error| panic!("{what}: {error}"));
        let problem = remains.problem.as_deref().unwrap_or_default();
        let is_anew = problem.contains("listed anew");
        // Between two records nothing shows the cut: then tables may be told of that were merged since.
        assert!(is_anew || problem.is_empty() || starts.contains(&length), "{what}: {problem}");
        if is_anew {
            for (key, value) in (1..=COMMITS).flat_map(rows) {
                assert!(remains.store.get(&key).expect("a row") == Some(value), "{what}: {key:?}");
            }
            // Where the manifest shows no cut, it could be a log that is missing.
            assert_eq!(remains.lost, starts.contains(&length), "{what}: {problem}");
        }
        let outcome = judge(&torn, &what);
        assert_eq!(outcome == Outcome::Refused, !problem.is_empty(), "{what}: a start gives {outcome:?}");
        *outcomes.entry((is_anew, outcome)).or_insert(0) += 1;
    }
    println!("{outcomes:?}");
    assert!(outcomes.keys().any(|(is_anew, _)| *is_anew), "no cut was noticed: {outcomes:?}");
}

/// The other way round: the manifest is whole, and a log that it tells of is not there.
#[test]
fn a_closed_log_that_is_gone_is_told_of() {
    let folder = TempDir::new().expect("a directory");
    let (sound, scratch) = (folder.path().join("sound"), folder.path().join("scratch"));
    make(&sound);
    let (_, log) = files(&sound).into_iter().find(|(sort, _)| *sort == "write-ahead log").expect("a log");
    fs::remove_file(log).expect("the older log");
    let remains = RocksStore::open_remains(&sound, &settings(), &scratch).expect("what is left");
    assert!(remains.lost && remains.problem.is_some_and(|problem| problem.contains("WAL")), "it is not told of");
    for (key, value) in (1..=IN_TABLES).flat_map(rows) {
        assert!(remains.store.get(&key).expect("a row") == Some(value), "{key:?}");
    }
}

#[test]
fn a_cut_file_is_noticed_or_loses_the_newest_commits_whole() {
    cuts(409);
}

#[test]
#[ignore = "takes ten minutes: every byte of every file; tells with --nocapture how far it is"]
fn every_flipped_byte() {
    flips(every(1), 0x10);
}

#[test]
#[ignore = "takes ten minutes: every byte of every file; tells with --nocapture how far it is"]
fn every_cut() {
    cuts(1);
}
