//! How fast durable commits are on this machine's disk, how fast a large database opens, and what an entry takes on disk.
//!
//! `cargo run --release -p cairn-rocks --example commits -- DIRECTORY [ENTRIES [BATCH [LOGS]]]`
//!
//! The rows are those of a log that takes batches of incompressible entries of 300 bytes: bundles, tiles of two levels,
//! the piece of the last, unfinished bundle, and the head. What stands in them is random, not hashed: only the store is
//! measured. With several logs each commit holds a batch of the next one.

#![allow(clippy::expect_used, reason = "A program for a person at a terminal: it ends with the first error.")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cairn_rocks::{RocksStore, Settings};
use cairn_tree::store::{Batch, Key, Kind, LogId, Store as _, TileLevel};

const ENTRY: usize = 300;
/// An entry in a bundle: its length, then its bytes.
const BUNDLED: usize = ENTRY + 2;
const BUNDLE: u64 = 256;
const TILE: usize = 256 * 32;
/// Random bytes to cut values from; longer than any window in which LZ4 looks back.
const POOL: usize = 64 << 20;

fn main() {
    let mut arguments = env::args().skip(1);
    let path: PathBuf = arguments.next().expect("a directory").into();
    let mut number = |default| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (entries, batch, logs): (u64, u64, u64) = (number(10_000_000), number(1_000), number(1));
    let settings = Settings::default();
    let store = RocksStore::create(&path, &settings).expect("a new database");

    let commits = entries.div_ceil(batch);
    let mut writer = Writer::new(logs);
    let mut latencies = Vec::new();
    let start = Instant::now();
    for number in 0..commits {
        let rows = writer.batch(number % logs, batch);
        let before = Instant::now();
        store.commit(rows).expect("a commit");
        latencies.push(before.elapsed());
    }
    let elapsed = start.elapsed();
    let written = commits * batch;
    latencies.sort_unstable();
    println!("{written} entries of {ENTRY} bytes, {batch} per commit, {logs} logs, in {elapsed:.2?}");
    println!("{:.0} entries/s durable, {:.0} commits/s", rate(written, elapsed), rate(commits, elapsed));
    let at = |share: usize| latencies.get((latencies.len() - 1) * share / 1_000).copied().unwrap_or_default();
    println!("commit p50 {:.2?}, p99 {:.2?}, p99.9 {:.2?}, most {:.2?}", at(500), at(990), at(999), at(1_000));
    println!("{:?}", store.stats());
    println!("memory {}", memory());

    drop(store);
    let start = Instant::now();
    let store = RocksStore::open(&path, &settings).expect("the database");
    println!("opened in {:.2?}, memory {}", start.elapsed(), memory());
    reads(&store, logs, written / logs);
    let start = Instant::now();
    store.compact().expect("a compaction");
    println!("compacted in {:.2?}, memory {}", start.elapsed(), memory());
    drop(store);
    let start = Instant::now();
    drop(RocksStore::open(&path, &settings).expect("the database"));
    println!("opened in {:.2?}", start.elapsed());
    let bytes = size(&path);
    println!("on disk {bytes} bytes: {:.1} per entry beyond its own", bytes as f64 / written as f64 - ENTRY as f64);
}

fn rate(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

/// Makes the rows of one batch after another.
struct Writer {
    pool: Vec<u8>,
    at: usize,
    sizes: Vec<u64>,
    pieces: Vec<Option<Key>>,
}

impl Writer {
    fn new(logs: u64) -> Self {
        let mut state = 88_172_645_463_325_252_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let pool = (0..POOL / 8).flat_map(|_| next().to_le_bytes()).collect();
        let logs = usize::try_from(logs).expect("a number of logs");
        Self { pool, at: 0, sizes: vec![0; logs], pieces: vec![None; logs] }
    }

    fn random(&mut self, length: usize) -> Vec<u8> {
        // An odd step, so that the same bytes come back in other blocks.
        self.at = (self.at + length + 7_919) % (POOL - length);
        self.pool.get(self.at..self.at + length).expect("a part of the pool").to_vec()
    }

    fn batch(&mut self, log: u64, count: u64) -> Batch {
        let place = usize::try_from(log).expect("a log");
        let id = LogId::new(u32::try_from(log).expect("a log") + 1);
        let mut batch = Batch::new();
        let before = self.sizes.get(place).copied().expect("a log");
        let after = before + count;
        for number in before / BUNDLE..after / BUNDLE {
            batch.put(Key::numbered(id, Kind::Bundle, number), self.random(BUNDLED * 256));
            batch.put(Key::numbered(id, Kind::Tile(TileLevel::LEAVES), number), self.random(TILE));
            if number % BUNDLE == BUNDLE - 1 {
                let level = TileLevel::new(1).expect("a level");
                batch.put(Key::numbered(id, Kind::Tile(level), number / BUNDLE), self.random(TILE));
            }
        }
        let tail = usize::try_from(after % BUNDLE).expect("less than a bundle");
        let piece = (tail > 0).then(|| Key::numbered(id, Kind::Piece, after - after % BUNDLE));
        let last = self.pieces.get_mut(place).expect("a log");
        if let Some(old) = last.take().filter(|old| Some(old) != piece.as_ref()) {
            batch.delete(old);
        }
        last.clone_from(&piece);
        if let Some(piece) = piece {
            batch.put(piece, self.random(BUNDLED * tail));
        }
        batch.put(Key::only(id, Kind::Head), self.random(128));
        *self.sizes.get_mut(place).expect("a log") = after;
        batch
    }
}

/// Reads bundles and tiles here and there, one at a time and 16 at a time.
fn reads(store: &RocksStore, logs: u64, size: u64) {
    let bundles = (size / BUNDLE).max(1);
    let key = |kind, step: u64| {
        let log = LogId::new(u32::try_from(step % logs).expect("a log") + 1);
        Key::numbered(log, kind, step.wrapping_mul(2_654_435_761) % bundles)
    };
    for (name, kind) in [("bundles", Kind::Bundle), ("tiles", Kind::Tile(TileLevel::LEAVES))] {
        for together in [1, 16] {
            let count = 10_000 / together;
            let start = Instant::now();
            for step in 0..count {
                let keys: Vec<_> = (0..together).map(|one| key(kind, step * together + one)).collect();
                assert!(store.get_many(&keys).expect("a read").iter().all(Option::is_some));
            }
            println!("{name}, {together} at a time: {:.0}/s", rate(count * together, start.elapsed()));
        }
    }
}

fn size(path: &Path) -> u64 {
    let entries = fs::read_dir(path).expect("the database");
    entries.map(|entry| entry.and_then(|entry| entry.metadata()).map_or(0, |metadata| metadata.len())).sum()
}

/// What Linux says about this process's memory, now and at most, the pool included.
fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
}
