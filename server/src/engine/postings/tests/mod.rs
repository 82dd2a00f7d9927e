//! The postings beside a plain model of them: sets of indexes by print. After every step they must say the same.

mod bounds;
mod crash;
mod damage;
mod model;
mod threads;

use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn_tree::store::memory::MemoryStore;
use cairn_tree::store::{Batch, CommitError, Key, KeyRange, Kind, StoreError};

use super::*;

const LOG: LogId = LogId::new(7);
const SECRET: PrintSecret = PrintSecret::new([9; 16]);

/// Small enough that a few hundred records make runs of several levels.
const SMALL: Sizes = Sizes { run_bytes: 4_000, run_leaves: 64, reload_leaves: 16, lag: 4, fan: 3 };

fn print(facet: Facet, value: u64) -> Print {
    Print::new(&SECRET, facet, &[&value.to_string()])
}

fn size(size: u64) -> TreeSize {
    TreeSize::new(size).unwrap()
}

fn index(index: u64) -> LeafIndex {
    LeafIndex::new(index).unwrap()
}

fn numbers(indexes: &[LeafIndex]) -> Vec<u64> {
    indexes.iter().map(|index| index.get()).collect()
}

/// A log: what its records' prints are, and a store for the runs. It outlives whatever stands on it.
struct Ground {
    store: MemoryStore,
    /// The prints of each leaf.
    leaves: RwLock<Vec<Vec<Print>>>,
    first: u64,
    /// What leaves have of which runs may say more.
    partial: Option<Print>,
    /// A leaf that is not what the tree has.
    unlike: Option<LeafIndex>,
    reads: AtomicUsize,
    scans: AtomicUsize,
}

impl Ground {
    /// A log whose first record has the index `first`.
    fn new(first: u64) -> Self {
        let leaves = RwLock::new(vec![Vec::new(); first as usize]);
        Self {
            store: MemoryStore::new(),
            leaves,
            first,
            partial: None,
            unlike: None,
            reads: AtomicUsize::new(0),
            scans: AtomicUsize::new(0),
        }
    }

    fn postings(&self, sizes: Sizes) -> Postings {
        Postings::sized(LOG, self.first, Arc::default(), sizes)
    }

    /// Adds leaves, as the releaser does: first to the log, then to the postings.
    fn append(&self, postings: &Postings, leaves: Vec<Vec<Print>>) {
        let mut all = self.leaves.write().unwrap();
        let from = all.len() as u64;
        let flat = |(place, prints): (u64, &Vec<Print>)| -> Vec<_> {
            prints.iter().map(|print| (*print, index(place))).collect()
        };
        let found: Vec<_> = (from..).zip(&leaves).flat_map(flat).collect();
        all.extend(leaves);
        let end = all.len() as u64;
        drop(all);
        postings.insert(size(end), &found);
    }

    fn model(&self) -> Model {
        let mut model = Model { end: 0, lists: BTreeMap::new() };
        for (place, prints) in (0..).zip(&*self.leaves.read().unwrap()) {
            model.end = place + 1;
            for print in prints {
                model.lists.entry(*print).or_default().insert(place);
            }
        }
        model
    }

    /// As the function of that name does, with small sizes.
    fn rebuild(&self, sink: &dyn Sink) -> Result<(), BuildError> {
        build::Work { postings: &self.postings(SMALL), source: self, sink }.rebuild()
    }

    fn check(&self) -> Result<(), ReadError> {
        check(self, LOG, &PrintRow { secret: SECRET, first: self.first })
    }

    /// Rows of blocks in the store.
    fn rows(&self) -> Vec<(Key, Vec<u8>)> {
        self.store.scan(&KeyRange::all(LOG, Kind::PostingRun), usize::MAX).unwrap()
    }

    fn sink(&self) -> DirectSink<'_> {
        DirectSink(&self.store)
    }
}

impl Source for Ground {
    fn store(&self) -> &dyn Store {
        self
    }

    fn partial(&self) -> Option<Print> {
        self.partial
    }

    fn size(&self) -> TreeSize {
        size(self.leaves.read().unwrap().len() as u64)
    }

    fn postings(&self, range: Range<u64>, to: &mut Vec<(Print, LeafIndex)>) -> Result<Option<LeafIndex>, ReadError> {
        assert!(range.end - range.start <= SOURCE_LEAVES);
        let leaves = self.leaves.read().unwrap();
        for place in range.clone() {
            to.extend(leaves[place as usize].iter().map(|print| (*print, index(place))));
        }
        Ok(self.unlike.filter(|index| range.contains(&index.get())))
    }
}

/// Counts reads of blocks.
impl Store for Ground {
    fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let blocks = keys.iter().filter(|key| key.kind() == Kind::PostingRun).count();
        self.reads.fetch_add(blocks, Ordering::SeqCst);
        self.store.get_many(keys)
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        self.scans.fetch_add(1, Ordering::SeqCst);
        let rows = self.store.scan(range, limit)?;
        self.reads.fetch_add(rows.len(), Ordering::SeqCst);
        Ok(rows)
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        self.store.commit(batch)
    }
}

struct Model {
    end: u64,
    lists: BTreeMap<Print, BTreeSet<u64>>,
}

impl Model {
    fn newest(&self, print: Print, below: u64, most: usize) -> Vec<u64> {
        self.lists.get(&print).into_iter().flat_map(|list| list.range(..below).rev()).take(most).copied().collect()
    }

    fn oldest(&self, print: Print, from: u64, most: usize) -> Vec<u64> {
        self.lists.get(&print).into_iter().flat_map(|list| list.range(from..)).take(most).copied().collect()
    }

    fn intersect(&self, prints: &[Print], below: u64) -> Vec<u64> {
        let has = |place: &u64| prints.iter().all(|one| self.lists.get(one).is_some_and(|list| list.contains(place)));
        (0..below.min(self.end)).rev().filter(has).collect()
    }

    /// Asks for everything about some prints, at a few places.
    fn compare(&self, postings: &Postings, ground: &Ground, prints: &[Print]) {
        assert_eq!(postings.complete_to(ground).unwrap().get(), self.end);
        for below in [0, 1, self.end / 2, self.end, self.end + 5] {
            for print in prints {
                for most in [0, 1, 3, usize::MAX] {
                    let newest = postings.newest(ground, *print, size(below), most).unwrap();
                    assert_eq!(numbers(&newest), self.newest(*print, below, most), "{print:?} {below} {most}");
                    let oldest = postings.oldest(ground, *print, index(below), most).unwrap();
                    assert_eq!(numbers(&oldest), self.oldest(*print, below, most), "{print:?} {below} {most}");
                }
            }
            for pair in prints.windows(2) {
                assert_eq!(walk_pages(postings, ground, pair, below, 2, 1), self.intersect(pair, below));
            }
            for three in prints.windows(3) {
                assert_eq!(walk_pages(postings, ground, three, below, 1_000, 1_000), self.intersect(three, below));
            }
        }
        let newest = postings.newest_of(ground, prints).unwrap();
        let newest: Vec<_> = newest.iter().map(|found| found.map(LeafIndex::get)).collect();
        let expected: Vec<_> = prints.iter().map(|print| self.newest(*print, self.end, 1).first().copied()).collect();
        assert_eq!(newest, expected);
    }
}

/// All hits, page by page.
fn walk_pages(
    postings: &Postings,
    source: &dyn Source,
    prints: &[Print],
    below: u64,
    most: usize,
    work: u64,
) -> Vec<u64> {
    let (mut hits, mut next) = (Vec::new(), Some(size(below)));
    while let Some(below) = next {
        let page = postings.intersect(source, prints, below, most, work).unwrap();
        assert!(page.hits.len() <= most);
        assert!(page.next.is_none_or(|next| next < below), "no call stands still");
        hits.extend(numbers(&page.hits));
        next = page.next;
    }
    hits
}

/// A record as they come: a few values that all have, and some that few have.
fn record(number: u64) -> Vec<Print> {
    vec![
        print(Facet::Tenant, 0),
        print(Facet::Module, number % 3),
        print(Facet::Operation, number % 2),
        print(Facet::StreamName, number * number % 17),
        print(Facet::RecordId, number),
        print(Facet::Actor, number / 50),
    ]
}

/// Every print that records up to a number have, and one of each facet that none has.
fn all_prints(records: u64) -> Vec<Print> {
    let there: BTreeSet<Print> = (0..records).flat_map(record).collect();
    there.into_iter().chain(Facet::ALL.map(|facet| print(facet, 1 << 40))).collect()
}
