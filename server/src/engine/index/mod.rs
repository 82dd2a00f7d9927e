//! From leaf hash to index, off the commit path.
//!
//! The newest leaves stand in a bounded map; a thread turns them into sorted immutable runs and merges runs. A run's
//! records are a hash's first eight bytes and an offset, so a candidate is only that: it counts when the full 32-byte
//! hash in the log's own level 0 tile is the same. Nothing here needs to survive: what lags is rebuilt from the tiles.
//!
//! A leaf that stands in the log more than once is found at its lowest index.

mod anew;
mod build;
mod check;
mod manifest;
mod run;

use core::ops::Range;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cairn_tree::hash::Hash;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::store::{LogId, Store};

pub(super) use anew::Anew;
pub(super) use build::Builder;
pub(super) use check::{Way, check};
pub(super) use manifest::Manifest;
use run::Run;

use super::bounds::{INDEX_LAG_ENTRIES, INDEX_RUN_ENTRIES};
use super::stored::{ReadError, Stored, WIDTH};
use super::tables::table_bytes;

/// Leaves for which there is room only because runs were built more slowly than leaves came.
const LARGE_RECENT: usize = 4 * INDEX_RUN_ENTRIES as usize;

/// The index of one log.
pub(super) struct HashIndex {
    log: LogId,
    inner: RwLock<Inner>,
    /// Held by whoever loads, so that many who look up at once read the log once.
    loading: Mutex<()>,
}

/// Before its first use a log's index is not loaded: an idle log costs nothing.
enum Inner {
    Absent {
        /// Leaves that were released since the log was opened: too many are made runs of without waiting for a look-up.
        unread: u64,
    },
    Loaded(Loaded),
}

struct Loaded {
    manifest: Manifest,
    /// Leaves from the manifest's end on.
    recent: HashMap<Hash, LeafIndex>,
    /// One past the newest leaf in `recent`.
    end: u64,
}

impl Loaded {
    /// What the next run is made of: whole tiles. `None` without one, as when the leaves that were due have become a run
    /// since.
    fn next_run(&self) -> Option<Range<u64>> {
        let (start, end) = (self.manifest.end(), self.end - self.end % WIDTH);
        (start < end).then_some(start..end)
    }
}

impl HashIndex {
    /// The index of a new log.
    pub(super) fn empty(log: LogId) -> Self {
        let loaded = Loaded { manifest: Manifest::default(), recent: HashMap::new(), end: 0 };
        Self { log, inner: RwLock::new(Inner::Loaded(loaded)), loading: Mutex::default() }
    }

    /// The index of a log that was there before; read when it is first needed.
    pub(super) fn absent(log: LogId) -> Self {
        Self { log, inner: RwLock::new(Inner::Absent { unread: 0 }), loading: Mutex::default() }
    }

    /// Adds the leaves of a commit that is about to be released. An index that is not loaded finds them in the log later.
    pub(super) fn insert(&self, leaves: impl Iterator<Item = (LeafIndex, Hash)>) {
        match &mut *self.write() {
            Inner::Absent { unread } => *unread += leaves.count() as u64,
            Inner::Loaded(loaded) => {
                // A leaf that a run has came again: it would stay here for as long as nothing new comes.
                let start = loaded.manifest.end();
                for (index, leaf) in leaves.filter(|(index, _)| index.get() >= start) {
                    loaded.recent.entry(leaf).or_insert(index);
                    loaded.end = loaded.end.max(index.get() + 1);
                }
            }
        }
    }

    /// Whether there is enough for a run.
    pub(super) fn is_due(&self) -> bool {
        self.lag() >= INDEX_RUN_ENTRIES
    }

    /// Whether runs are built so much slower than leaves come that appends must wait.
    pub(super) fn is_overdue(&self) -> bool {
        self.lag() >= INDEX_LAG_ENTRIES
    }

    /// The bytes in memory of the leaves that no run has, and those that they ever take; nothing while it is not loaded.
    pub(super) fn bytes(&self) -> (usize, usize) {
        let bytes = table_bytes::<(Hash, LeafIndex)>;
        match &*self.read() {
            Inner::Absent { .. } => (0, 0),
            Inner::Loaded(loaded) => (bytes(loaded.recent.capacity()), bytes(INDEX_LAG_ENTRIES as usize)),
        }
    }

    /// How many leaves wait to become a run.
    fn lag(&self) -> u64 {
        match &*self.read() {
            Inner::Loaded(loaded) => loaded.end.saturating_sub(loaded.manifest.end()),
            Inner::Absent { unread } => *unread,
        }
    }

    /// Reads the manifest, and the leaves that no run has, up to a released head's size.
    ///
    /// Comes before every look-up. Leaves released meanwhile are not missed: [`HashIndex::insert`] waits for the same
    /// lock, and `size` is asked under it once more. Nor is a run that is made meanwhile: its manifest is durable before
    /// the lock is taken to install it.
    fn load(&self, store: &dyn Store, size: &impl Fn() -> TreeSize) -> Result<(), ReadError> {
        if self.is_loaded() {
            return Ok(());
        }
        let _loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_loaded() {
            return Ok(());
        }
        let stored = Stored::new(store, self.log);
        let mut recent = HashMap::new();
        // Nearly all is read before the lock is taken: the writer waits for it.
        let mut end = Manifest::read(store, self.log)?.end();
        let now = size().get();
        extend(&mut recent, leaves_between(&stored, end, now)?);
        end = end.max(now);
        let mut inner = self.write();
        let manifest = Manifest::read(store, self.log)?;
        recent.retain(|_, index: &mut LeafIndex| index.get() >= manifest.end());
        end = end.max(manifest.end());
        let now = size().get();
        extend(&mut recent, leaves_between(&stored, end, now)?);
        *inner = Inner::Loaded(Loaded { manifest, recent, end: end.max(now) });
        Ok(())
    }

    fn is_loaded(&self) -> bool {
        matches!(&*self.read(), Inner::Loaded(_))
    }

    /// Lets go of the leaves in memory, of a log that is not in use; the next look-up reads them again.
    pub(super) fn unload(&self) {
        let mut inner = self.write();
        if let Inner::Loaded(loaded) = &*inner {
            *inner = Inner::Absent { unread: loaded.end.saturating_sub(loaded.manifest.end()) };
        }
    }

    /// The lowest index of each leaf, where the log has it; reads the log up to a released head's size first, if nobody
    /// has yet.
    pub(super) fn find_many(
        &self,
        store: &dyn Store,
        size: impl Fn() -> TreeSize,
        leaves: &[Hash],
    ) -> Result<Vec<Option<LeafIndex>>, ReadError> {
        let stored = Stored::new(store, self.log);
        loop {
            self.load(store, &size)?;
            let (runs, mut found) = match &*self.read() {
                // Unloaded since the line above.
                Inner::Absent { .. } => continue,
                Inner::Loaded(loaded) => {
                    let recent: Vec<_> = leaves.iter().map(|leaf| loaded.recent.get(leaf).copied()).collect();
                    (loaded.manifest.runs().to_vec(), recent)
                }
            };
            // Newest first, so that the lowest index has the last word.
            for run in runs.iter().rev() {
                run.find_many(store, &stored, leaves, &mut found)?;
            }
            // The rows of a run that was merged meanwhile may have been deleted before they were read. Merges are rare,
            // so this goes round again once at most but for a reader that is slower than they.
            if self.has_all(&runs) {
                return Ok(found);
            }
        }
    }

    fn has_all(&self, runs: &[Run]) -> bool {
        match &*self.read() {
            Inner::Absent { .. } => true,
            Inner::Loaded(loaded) => runs.iter().all(|run| loaded.manifest.runs().contains(run)),
        }
    }

    /// The manifest as it is now.
    fn manifest(&self, store: &dyn Store) -> Result<Manifest, ReadError> {
        match &*self.read() {
            Inner::Loaded(loaded) => Ok(loaded.manifest.clone()),
            Inner::Absent { .. } => Manifest::read(store, self.log),
        }
    }

    /// Takes a manifest that is durable; the leaves of its runs need not be at hand any more.
    fn install(&self, manifest: Manifest) {
        if let Inner::Loaded(loaded) = &mut *self.write() {
            if manifest.end() != loaded.manifest.end() {
                loaded.recent.retain(|_, index| index.get() >= manifest.end());
                // Room for as many as usual stays, so that it is not made again and again.
                if loaded.recent.capacity() > LARGE_RECENT {
                    loaded.recent.shrink_to(INDEX_RUN_ENTRIES as usize);
                }
            }
            loaded.end = loaded.end.max(manifest.end());
            loaded.manifest = manifest;
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds leaves in the order of their indexes; the lowest index of a leaf stays.
fn extend(recent: &mut HashMap<Hash, LeafIndex>, leaves: Vec<(LeafIndex, Hash)>) {
    for (index, leaf) in leaves {
        recent.entry(leaf).or_insert(index);
    }
}

/// The leaf hashes with these indexes, from full tiles and, past them, from entries.
fn leaves_between(stored: &Stored<'_>, start: u64, end: u64) -> Result<Vec<(LeafIndex, Hash)>, ReadError> {
    let mut leaves = Vec::new();
    let mut first = start - start % WIDTH;
    while first < end {
        let number = first / WIDTH;
        let width = (end - first).min(WIDTH);
        let hashes = if width == WIDTH { stored.tile(0, number)? } else { stored.leaves(number, width as usize)? };
        for (index, hash) in (first..).zip(hashes) {
            if let (true, Ok(index)) = (index >= start, LeafIndex::new(index)) {
                leaves.push((index, hash));
            }
        }
        first += WIDTH;
    }
    Ok(leaves)
}

#[cfg(test)]
mod tests {
    use cairn_tree::store::memory::MemoryStore;
    use cairn_tree::store::{Batch, CommitError, Key, KeyRange, Kind, StoreError, TileLevel};

    use super::run::Record;
    use super::*;

    const LOG: LogId = LogId::new(1);

    fn leaf(number: u64) -> Hash {
        Hash::leaf(&number.to_be_bytes())
    }

    fn leaves(numbers: core::ops::Range<u64>) -> impl Iterator<Item = (LeafIndex, Hash)> {
        numbers.map(|number| (LeafIndex::new(number).unwrap(), leaf(number)))
    }

    /// A log of whole tiles, with runs of one tile each that are all in the manifest.
    fn store_with_runs(tiles: u64) -> (MemoryStore, Manifest) {
        let store = MemoryStore::new();
        let mut batch = Batch::new();
        let mut manifest = Manifest::default();
        for number in 0..tiles {
            let run = Run::new(manifest.next_id(), number * WIDTH, (number + 1) * WIDTH);
            let bytes = leaves(run.start..run.end).flat_map(|(_, leaf)| *leaf.as_bytes()).collect();
            batch.put(Key::numbered(LOG, Kind::Tile(TileLevel::LEAVES), number), bytes);
            put_run(&mut batch, &run);
            manifest = manifest.with_run(run);
        }
        batch.put(Manifest::key(LOG), manifest.encode());
        store.commit(batch).unwrap();
        (store, manifest)
    }

    fn put_run(batch: &mut Batch, run: &Run) {
        let mut records: Vec<Record> =
            leaves(run.start..run.end).map(|(index, leaf)| Record::new(&leaf, index)).collect();
        records.sort_unstable();
        run.rows(LOG, &records).into_iter().for_each(|(key, row)| batch.put(key, row));
    }

    /// A store that does something else before the first read of a run.
    struct Between<'a> {
        store: &'a MemoryStore,
        first: Mutex<Option<Box<dyn FnOnce() + Send + 'a>>>,
    }

    impl Store for Between<'_> {
        fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
            if keys.iter().any(|key| key.kind() == Kind::IndexRun)
                && let Some(first) = self.first.lock().unwrap().take()
            {
                first();
            }
            self.store.get_many(keys)
        }

        fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
            self.store.scan(range, limit)
        }

        fn commit(&self, batch: Batch) -> Result<(), CommitError> {
            self.store.commit(batch)
        }
    }

    /// Two runs are merged and their rows deleted between the moment that a reader learns of them and its reads.
    #[test]
    fn a_look_up_during_a_merge_finds_what_is_there() {
        let (store, manifest) = store_with_runs(2);
        let index = HashIndex::absent(LOG);
        index.load(&store, &|| TreeSize::new(2 * WIDTH).unwrap()).unwrap();
        let merge = || {
            let merged = Run::new(manifest.next_id(), 0, 2 * WIDTH);
            let mut batch = Batch::new();
            put_run(&mut batch, &merged);
            for run in manifest.runs() {
                (0..run.buckets()).for_each(|bucket| batch.delete(run.key(LOG, bucket)));
            }
            store.commit(batch).unwrap();
            index.install(manifest.with_merged(merged));
        };
        let between = Between { store: &store, first: Mutex::new(Some(Box::new(merge))) };
        let wanted = [leaf(0), leaf(300), leaf(511), leaf(9_999)];
        let found = index.find_many(&between, || TreeSize::new(2 * WIDTH).unwrap(), &wanted).unwrap();
        assert!(between.first.lock().unwrap().is_none());
        assert_eq!(
            found.iter().map(|index| index.map(LeafIndex::get)).collect::<Vec<_>>(),
            [Some(0), Some(300), Some(511), None]
        );
    }

    /// A run of nothing would make a manifest that nobody can read.
    #[test]
    fn no_run_is_made_of_less_than_a_tile() {
        let manifest = Manifest::default().with_run(Run::new(0, 0, 2 * WIDTH));
        let next_run = |end| Loaded { manifest: manifest.clone(), recent: HashMap::new(), end }.next_run();
        for end in [0, 2 * WIDTH - 1, 2 * WIDTH, 3 * WIDTH - 1] {
            assert_eq!(next_run(end), None, "{end}");
        }
        assert_eq!(next_run(4 * WIDTH + 7), Some(2 * WIDTH..4 * WIDTH));
    }

    /// `fsck` holds one tile of four at a time, and misses nothing in any of them.
    #[test]
    fn a_run_is_checked_in_parts() {
        let (store, _) = store_with_runs(4);
        let stored = Stored::new(&store, LOG);
        let run = Run::new(99, 0, 4 * WIDTH);
        let mut records: Vec<Record> = leaves(0..4 * WIDTH).map(|(index, leaf)| Record::new(&leaf, index)).collect();
        records.sort_unstable();
        let put = |records: &[Record]| {
            let mut batch = Batch::new();
            (0..run.buckets()).for_each(|bucket| batch.put(run.key(LOG, bucket), Vec::new()));
            store.commit(batch).unwrap();
            let mut batch = Batch::new();
            run.rows(LOG, records).into_iter().for_each(|(key, row)| batch.put(key, row));
            store.commit(batch).unwrap();
        };
        let check = |dedup| {
            let mut way = Way { dedup, most: WIDTH, goes_on: &mut |_| true };
            check::check_run(&store, &stored, &run, &mut way).map_err(|error| error.to_string())
        };
        put(&records);
        assert_eq!(check(true), Ok(true));
        for place in [0, 300, records.len() - 1] {
            let mut damaged = records.clone();
            damaged[place].index = (damaged[place].index + WIDTH) % (4 * WIDTH);
            put(&damaged);
            let problem = format!("it is wrong about entry {}", damaged[place].index);
            assert!(check(false).unwrap_err().contains(&problem), "record {place}");
            damaged[place].index = 4 * WIDTH;
            put(&damaged);
            assert!(check(false).unwrap_err().contains("it names entry 1024"), "record {place}");
            damaged.remove(place);
            put(&damaged);
            assert!(check(true).unwrap_err().contains("it has 1023 of 1024 leaves"), "record {place}");
            assert_eq!(check(false), Ok(true));
        }
    }

    /// Whoever reads slowly is asked between any two portions, is told of all bytes, and may end it at each of them.
    #[test]
    fn a_check_goes_on_only_as_long_as_it_is_let() {
        let (store, manifest) = store_with_runs(70);
        let stored = Stored::new(&store, LOG);
        let check = |goes_on: &mut dyn FnMut(u64) -> bool| {
            super::check(&store, &stored, &mut Way { dedup: true, most: 4 * WIDTH, goes_on }).unwrap()
        };
        let mut told = Vec::new();
        let whole = check(&mut |bytes| {
            told.push(bytes);
            true
        });
        let records = manifest.runs().len() * WIDTH as usize * Run::RECORD_BYTES;
        assert_eq!((whole, told.len()), (true, 2 * 70));
        assert_eq!(told.iter().sum::<u64>(), 70 * WIDTH * Hash::LEN as u64 + records as u64);
        for most in [1, 2, 139] {
            let mut asked = 0;
            let whole = check(&mut |_| {
                asked += 1;
                asked < most
            });
            assert_eq!((whole, asked), (false, most));
        }
    }

    /// The rows of a run go when another has taken its place, as others read it: that is no damage. Without another it is.
    #[test]
    fn a_run_that_is_merged_away_while_it_is_read_is_not_damaged() {
        for is_merged in [true, false] {
            let (store, manifest) = store_with_runs(2);
            let merged = Run::new(manifest.next_id(), 0, 2 * WIDTH);
            let change = || {
                let mut batch = Batch::new();
                for run in manifest.runs() {
                    (0..run.buckets()).for_each(|bucket| batch.delete(run.key(LOG, bucket)));
                }
                if is_merged {
                    put_run(&mut batch, &merged);
                    batch.put(Manifest::key(LOG), manifest.with_merged(merged).encode());
                }
                store.commit(batch).unwrap();
            };
            let mut change = Some(change);
            let goes_on = &mut |_| {
                change.take().into_iter().for_each(|change| change());
                true
            };
            let found = super::check(&store, &Stored::new(&store, LOG), &mut Way { dedup: true, most: WIDTH, goes_on });
            assert_eq!(found.is_ok(), is_merged, "{found:?}");
        }
    }

    /// A log without duplicates that is sent all of its entries again keeps none of them in memory.
    #[test]
    fn leaves_that_a_run_has_are_not_kept_again() {
        let (store, _) = store_with_runs(2);
        let index = HashIndex::absent(LOG);
        index.load(&store, &|| TreeSize::new(2 * WIDTH).unwrap()).unwrap();
        index.insert(leaves(0..2 * WIDTH + 3));
        index.insert(leaves(0..2 * WIDTH));
        let Inner::Loaded(loaded) = &*index.read() else { panic!("it was loaded") };
        assert_eq!((loaded.recent.len(), loaded.end), (3, 2 * WIDTH + 3));
    }

    /// What leaves took that waited long for their run is given back with the run.
    #[test]
    fn room_for_many_leaves_does_not_stay() {
        let index = HashIndex::empty(LOG);
        index.insert(leaves(0..10 * INDEX_RUN_ENTRIES));
        let (many, most) = index.bytes();
        assert!(many > 10 * 40 * INDEX_RUN_ENTRIES as usize && many <= most, "{many} of {most}");
        index.install(Manifest::default().with_run(Run::new(0, 0, 10 * INDEX_RUN_ENTRIES - WIDTH)));
        let (few, _) = index.bytes();
        assert!(few <= 2 * 41 * INDEX_RUN_ENTRIES as usize, "{few}");
        let Inner::Loaded(loaded) = &*index.read() else { panic!("it was loaded") };
        assert_eq!(loaded.recent.len() as u64, WIDTH);
    }

    /// A run that becomes durable while an index is loaded is not missed, and its leaves are not kept twice.
    #[test]
    fn a_run_made_during_a_load_is_seen() {
        let (store, manifest) = store_with_runs(2);
        let run = manifest.runs()[1];
        let mut older = Batch::new();
        older.put(Manifest::key(LOG), Manifest::default().with_run(manifest.runs()[0]).encode());
        store.commit(older).unwrap();
        let index = HashIndex::absent(LOG);
        let asked = std::sync::atomic::AtomicU64::new(0);
        let size = || {
            if asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 {
                let mut batch = Batch::new();
                batch.put(Manifest::key(LOG), manifest.encode());
                store.commit(batch).unwrap();
            }
            TreeSize::new(2 * WIDTH).unwrap()
        };
        index.load(&store, &size).unwrap();
        let Inner::Loaded(loaded) = &*index.read() else { panic!("it was loaded") };
        assert_eq!((loaded.recent.len(), loaded.end), (0, run.end));
        assert_eq!(loaded.manifest, manifest);
    }
}
