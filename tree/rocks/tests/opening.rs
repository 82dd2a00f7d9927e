//! Who may open or create a database, how RocksDB was built, and what a failed commit leaves.

#![allow(clippy::expect_used, clippy::panic, reason = "This is test code: it reports by panicking.")]

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cairn_rocks::{OpenError, RocksStore, Settings};
use cairn_tree::store::{Batch, CommitError, Key, Kind, LogId, Store as _};
use tempfile::TempDir;

/// Where the tests that run in a process of their own find their database.
const DATABASE: &str = "CAIRN_TEST_DATABASE";

fn create(path: &Path) -> Result<RocksStore, OpenError> {
    RocksStore::create(path, &Settings::default())
}

fn open(path: &Path) -> Result<RocksStore, OpenError> {
    RocksStore::open(path, &Settings::default())
}

fn put(store: &RocksStore, number: u64, value: &[u8]) -> Result<(), CommitError> {
    let mut batch = Batch::new();
    batch.put(Key::numbered(LogId::new(1), Kind::Bundle, number), value.to_vec());
    store.commit(batch)
}

fn get(store: &RocksStore, number: u64) -> Option<Vec<u8>> {
    store.get(&Key::numbered(LogId::new(1), Kind::Bundle, number)).expect("a get")
}

/// Runs one ignored test of this file in a new process, through a shell that may set limits first.
fn in_another_process(test: &str, database: &Path, shell: &str) -> Output {
    let binary = env::current_exe().expect("this test's own path");
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{shell} exec \"$0\" \"$@\"")).arg(binary);
    command.args(["--ignored", "--exact", "--nocapture", test]).env(DATABASE, database);
    command.output().expect("a process")
}

fn database_of_this_process() -> PathBuf {
    env::var_os(DATABASE).expect("run by another test only").into()
}

#[test]
fn opening_never_makes_a_database() {
    let directory = TempDir::new().expect("a directory");
    for path in [directory.path().join("absent"), directory.path().to_path_buf()] {
        assert!(matches!(open(&path), Err(OpenError::Missing(named)) if named == path));
    }
    assert!(!directory.path().join("absent").exists(), "a refused open leaves no directory behind");
    assert_eq!(fs::read_dir(directory.path()).expect("the directory").count(), 0);
}

#[test]
fn creating_refuses_whatever_stands_there() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("db");
    put(&create(&path).expect("a new database"), 0, b"kept").expect("a commit");
    let mode = fs::metadata(&path).expect("the database").permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "entries may be private, so others may not look");
    assert!(matches!(create(&path), Err(OpenError::NotEmpty(named)) if named == path));
    let store = open(&path).expect("the first database, untouched");
    assert_eq!(get(&store, 0).as_deref(), Some(&b"kept"[..]));

    let other = directory.path().join("other");
    fs::create_dir(&other).expect("a directory");
    fs::write(other.join("notes.txt"), "somebody's").expect("a file");
    assert!(matches!(create(&other), Err(OpenError::NotEmpty(_))));
    fs::remove_file(other.join("notes.txt")).expect("the file");
    create(&other).expect("an empty directory will do");
    let nowhere = directory.path().join("no/such/parent");
    assert!(matches!(create(&nowhere), Err(OpenError::Io { .. })));
}

#[test]
fn a_database_is_opened_once_at_a_time() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("db");
    let store = create(&path).expect("a new database");
    assert!(matches!(open(&path), Err(OpenError::Locked(named)) if named == path), "twice in one process");
    let output = in_another_process("finds_the_database_locked", &path, "");
    assert!(output.status.success(), "{output:?}");
    drop(store);
    open(&path).expect("the lock goes with the store");
    let output = in_another_process("finds_the_database_locked", &path, "");
    assert!(!output.status.success(), "the other process can tell a free database: {output:?}");
}

#[test]
#[ignore = "run by another test, in a process of its own"]
fn finds_the_database_locked() {
    match open(&database_of_this_process()) {
        Err(OpenError::Locked(_)) => {}
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("opened"),
    }
}

#[test]
fn a_foreign_rocksdb_database_is_refused() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("db");
    drop(rocksdb::DB::open_default(&path).expect("a database of another program"));
    assert!(matches!(open(&path), Err(OpenError::Foreign { .. })));
}

/// A database that was made before there were records gets their family when it is opened, and keeps what it has.
#[test]
fn a_database_without_the_family_of_disclosures_gets_it() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("db");
    drop(create(&path).expect("a new database"));
    let families = ["default", "tail", "bundles", "tiles", "index", "disclosures"];
    let mut db = rocksdb::DB::open_cf(&rocksdb::Options::default(), &path, families).expect("the database");
    db.drop_cf("disclosures").expect("one family less");
    drop(db);
    let [old, new] = [Kind::Head, Kind::Disclosures].map(|kind| Key::numbered(LogId::new(1), kind, 7));
    for key in [old, new] {
        let store = open(&path).expect("the database");
        let mut batch = Batch::new();
        batch.put(key.clone(), b"row".to_vec());
        store.commit(batch).expect("a commit");
        drop(store);
        assert_eq!(open(&path).expect("the database again").get(&key), Ok(Some(b"row".to_vec())));
    }
    let mut db = rocksdb::DB::open_cf(&rocksdb::Options::default(), &path, families).expect("the database");
    db.drop_cf("tiles").expect("one family less");
    drop(db);
    assert!(matches!(open(&path), Err(OpenError::Foreign { .. })), "a family is never made anew that was there");
}

/// Without these instructions every commit pays for its checksums several times over.
#[test]
#[cfg(target_arch = "x86_64")]
fn rocksdb_was_built_with_hardware_checksums() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("db");
    drop(create(&path).expect("a new database"));
    let log = fs::read_to_string(path.join("LOG")).expect("RocksDB's LOG");
    let line = log.lines().find(|line| line.contains("Fast CRC32 supported")).expect("a line on CRC32");
    assert!(line.ends_with("Fast CRC32 supported: Supported on x86"), "{line}");
}

/// The shell limits the size of files, so that the write-ahead log cannot grow: a full disk, but for this process only.
#[test]
fn a_failed_commit_ends_the_store_and_keeps_what_was_acknowledged() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("db");
    drop(create(&path).expect("a new database"));
    let output = in_another_process("commits_until_it_fails", &path, "trap '' XFSZ; ulimit -f 2048;");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    let acknowledged = text.lines().find_map(|line| line.strip_prefix("acknowledged "));
    let acknowledged: u64 = acknowledged.and_then(|count| count.parse().ok()).expect("a count");
    assert!(acknowledged > 0, "the fault came too early");
    let store = open(&path).expect("the database, with space again");
    for number in 0..acknowledged {
        assert_eq!(get(&store, number), Some(vec![number as u8; 10_000]), "acknowledged row {number}");
    }
    assert_eq!(get(&store, u64::MAX), None, "a commit after the failed one was refused");
}

#[test]
#[ignore = "run by another test, in a process of its own"]
fn commits_until_it_fails() {
    let store = open(&database_of_this_process()).expect("the database");
    let mut acknowledged = 0;
    let error = loop {
        assert!(acknowledged < 1_000, "the fault never came");
        match put(&store, acknowledged, &vec![acknowledged as u8; 10_000]) {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, CommitError::Unknown(message) if message.contains("File too large")), "{error}");
    for _ in 0..2 {
        let refused = put(&store, u64::MAX, b"small");
        assert!(matches!(&refused, Err(CommitError::Unknown(message)) if message.contains("earlier")), "{refused:?}");
    }
    println!("acknowledged {acknowledged}");
}
