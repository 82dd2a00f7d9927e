//! How fast postings are inserted and made runs of, and what look-ups cost then, on the store on disk.
//!
//! Each record has sixteen postings, as the reference record of an audit trail has: its id and parts of transactions are
//! new, its stream is one of many, and the rest are values that many records have. `CAIRN_BENCH_RECORDS` says how many
//! records; one million unless it is set. What was measured stands in `README.md`.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a benchmark fails by panicking")]

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cairn_rocks::{RocksStore, Settings};
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::store::{LogId, Store};
use cairnd::engine::ReadError;
use cairnd::engine::postings::{
    DirectSink, Facet, Postings, Print, PrintRow, PrintSecret, Source, Upkeep, build, check,
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const LOG: LogId = LogId::new(1);
/// Records per commit.
const COMMIT: u64 = 1_000;
/// Streams among which records are spread.
const STREAMS: u64 = 1_000_000;
/// What a search may read at most before it hands back a cursor.
const WORK: u64 = 2_048;

/// A log of records that are made up when they are asked for.
struct Made {
    store: RocksStore,
    secret: PrintSecret,
    size: AtomicU64,
}

impl Made {
    fn print(&self, facet: Facet, value: u64) -> Print {
        Print::new(&self.secret, facet, &[&value.to_string()])
    }

    fn prints(&self, number: u64) -> [Print; 16] {
        // Spread, so that one record's values do not follow from another's.
        let mix = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let stream = mix % STREAMS;
        [
            self.print(Facet::StreamName, stream),
            self.print(Facet::RecordId, number),
            self.print(Facet::StreamId, stream),
            self.print(Facet::Tenant, mix % 4),
            self.print(Facet::Module, mix % 8),
            self.print(Facet::Entity, mix % 20),
            self.print(Facet::Object, stream),
            self.print(Facet::Operation, number % 3),
            self.print(Facet::Action, mix % 12),
            self.print(Facet::Category, mix % 5),
            self.print(Facet::Actor, mix % 10_000),
            self.print(Facet::Subject, mix % 300_000),
            self.print(Facet::Subject, STREAMS + mix % 10_000),
            self.print(Facet::Correlation, number / 3),
            self.print(Facet::Transaction, number / 2),
            self.print(Facet::Topic, mix % 50),
        ]
    }
}

impl Source for Made {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn size(&self) -> TreeSize {
        TreeSize::new(self.size.load(Ordering::SeqCst)).unwrap()
    }

    fn postings(&self, range: Range<u64>, to: &mut Vec<(Print, LeafIndex)>) -> Result<Option<LeafIndex>, ReadError> {
        for number in range {
            let index = LeafIndex::new(number).unwrap();
            to.extend(self.prints(number).map(|print| (print, index)));
        }
        Ok(None)
    }
}

/// Inserts all records while another thread makes runs, and tells what that took.
fn fill(made: &Made, postings: &Postings, records: u64) {
    postings.complete_to(made).unwrap();
    let done = AtomicBool::new(false);
    let (mut inserting, mut waiting, mut longest) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                build(postings, made, &DirectSink(&made.store)).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let mut commit = Vec::new();
        for first in (0..records).step_by(COMMIT as usize) {
            commit.clear();
            made.postings(first..first + COMMIT, &mut commit).unwrap();
            made.size.store(first + COMMIT, Ordering::SeqCst);
            let started = Instant::now();
            postings.insert(made.size(), &commit);
            let took = started.elapsed();
            inserting += took;
            longest = longest.max(took);
            let started = Instant::now();
            while postings.is_overdue() {
                std::thread::yield_now();
            }
            waiting += started.elapsed();
        }
        done.store(true, Ordering::SeqCst);
    });
    let whole = begun.elapsed();
    build(postings, made, &DirectSink(&made.store)).unwrap();
    let per_record = inserting.as_nanos() as u64 / records;
    println!(
        "{records} records of 16 postings: {per_record} ns per record to insert, longest commit {longest:?}; {whole:?} with \
         the making of prints, {waiting:?} of it waiting for runs; {:?} until all runs were merged",
        begun.elapsed()
    );
    println!("{:?}", postings.figures());
}

fn look_ups(c: &mut Criterion) {
    let records: u64 = std::env::var("CAIRN_BENCH_RECORDS").map_or(1_000_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let store = RocksStore::create(&folder.path().join("db"), &Settings::default()).unwrap();
    let made = Made { store, secret: PrintSecret::new([7; 16]), size: AtomicU64::new(0) };
    let postings = Postings::absent(LOG, LeafIndex::ZERO, Arc::new(Upkeep::default()));
    fill(&made, &postings, records);
    if std::env::var_os("CAIRN_BENCH_CHECK").is_some() {
        let begun = Instant::now();
        check(&made, LOG, &PrintRow { secret: made.secret.clone(), first: 0 }).unwrap();
        println!("all runs checked against the log in {:?}", begun.elapsed());
    }
    by_id(c, &made, &postings, records);
    pages(c, &made, &postings);
    intersections(c, &made, &postings);
}

/// What appends ask for.
fn by_id(c: &mut Criterion, made: &Made, postings: &Postings, records: u64) {
    const IDS: u64 = 100;
    let mut group = c.benchmark_group("postings");
    group.sample_size(20).throughput(Throughput::Elements(IDS));
    let mut number = 0_u64;
    let mut next = |below: u64| {
        number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        ((u128::from(number) * u128::from(below)) >> 64) as u64
    };
    let absent = 1_u64 << 40;
    let sets = [
        ("100 ids that are absent", Facet::RecordId, absent, absent),
        ("100 ids that are present", Facet::RecordId, 0, records),
        ("heads of 100 streams", Facet::StreamName, 0, STREAMS),
        ("100 objects that are absent", Facet::Object, absent, absent),
    ];
    for (name, facet, from, count) in sets {
        group.bench_function(name, |b| {
            b.iter_batched(
                || (0..IDS).map(|_| made.print(facet, from + next(count))).collect::<Vec<_>>(),
                |ids| postings.newest_of(made, &ids).unwrap(),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// Pages of one filter, from either end.
fn pages(c: &mut Criterion, made: &Made, postings: &Postings) {
    let mut group = c.benchmark_group("postings");
    group.sample_size(20);
    let pages = [
        ("a tenant", Facet::Tenant, 2),
        ("an operation", Facet::Operation, 1),
        ("an actor", Facet::Actor, 77),
        ("a subject", Facet::Subject, 123),
        ("a transaction", Facet::Transaction, 5),
        ("an object that is absent", Facet::Object, 1 << 40),
    ];
    for (name, facet, value) in pages {
        let print = made.print(facet, value);
        group.bench_function(format!("first page of {name}"), |b| {
            b.iter(|| postings.newest(made, print, made.size(), 100).unwrap());
        });
        group.bench_function(format!("oldest page of {name}"), |b| {
            b.iter(|| postings.oldest(made, print, LeafIndex::ZERO, 100).unwrap());
        });
    }
    let print = made.print(Facet::Subject, STREAMS + 77);
    let found = postings.oldest(made, print, LeafIndex::ZERO, 1_000).unwrap().len();
    group.bench_function(format!("{found} dispersed records, oldest first"), |b| {
        b.iter(|| postings.oldest(made, print, LeafIndex::ZERO, 1_000).unwrap());
    });
    group.finish();
}

/// First pages of several filters together.
fn intersections(c: &mut Criterion, made: &Made, postings: &Postings) {
    let mut group = c.benchmark_group("postings");
    group.sample_size(20);
    let actor = (Facet::Actor, 77);
    let sets: [(&str, &[(Facet, u64)]); 5] = [
        ("tenant and operation", &[(Facet::Tenant, 1), (Facet::Operation, 1)]),
        (
            "tenant, module, operation and actor",
            &[(Facet::Tenant, 1), (Facet::Module, 5), (Facet::Operation, 1), actor],
        ),
        ("actor and topic", &[actor, (Facet::Topic, 27)]),
        ("operations that share no record", &[(Facet::Operation, 0), (Facet::Operation, 1)]),
        ("entities that share no record", &[(Facet::Entity, 3), (Facet::Entity, 4)]),
    ];
    for (name, parts) in sets {
        let prints: Vec<Print> = parts.iter().map(|(facet, value)| made.print(*facet, *value)).collect();
        let page = postings.intersect(made, &prints, made.size(), 100, WORK).unwrap();
        let state = format!("{} hits, {}", page.hits.len(), if page.next.is_some() { "more" } else { "all" });
        group.bench_function(format!("{name} ({state})"), |b| {
            b.iter(|| postings.intersect(made, &prints, made.size(), 100, WORK).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, look_ups);
criterion_main!(benches);
