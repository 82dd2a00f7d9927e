//! The engine tested from outside: after every step its heads, proofs, entries and tiles are verified as a client would.

mod faults;
mod journey;
mod large;
mod life;
mod model;
mod pipeline;
mod proven;
mod publishing;
mod reading;
mod records;
mod refusals;
mod scrub;
mod signing;
mod standing;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use cairn_rocks::{RocksStore, Settings};
use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::hash::Hash;
use cairn_tree::merkle::{Extension, Growth, Root};
use cairn_tree::note::{KeyName, SignatureType};
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::tile::{BundleCoord, Entries, TileCoord, Width};

use super::*;
use crate::high_water::gate::Gate;
use crate::log_name::LogName;

/// A clock that tests move.
#[derive(Default)]
struct Hand(AtomicU64);

impl Hand {
    fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

fn options(data: &Path) -> EngineOptions {
    EngineOptions {
        data: data.to_owned(),
        high_water: None,
        pool: PoolBounds { requests: 10_000, bytes: 64 << 20 },
        idempotency_ms: 1_000,
        disk_reserve: 0,
        signer: None,
        settings: Settings::default(),
    }
}

fn terms(name: &str) -> Terms {
    Terms {
        name: LogName::new(name).unwrap(),
        origin: format!("example.com/logs/{name}"),
        private: false,
        open_append: false,
        dedup: false,
        hash_index: true,
    }
}

/// The files of a log's first key.
fn first_key(log: &str) -> KeyFile {
    KeyFile::of(&LogName::new(log).unwrap(), 0, signer(log, 0).verifier_key())
}

fn signer(name: &str, seed: u8) -> SignerKey {
    let name = KeyName::new(format!("example.com/logs/{name}")).unwrap();
    SignerKey::from_seed(name, SignatureType::ED25519, &[seed; 32]).unwrap()
}

/// A database in a folder that vanishes, its engine, and everything that it ever told.
struct World {
    folder: tempfile::TempDir,
    clock: Arc<Hand>,
    engine: Engine,
    runtime: tokio::runtime::Runtime,
    oracle: BTreeMap<String, Oracle>,
}

/// An append on its way.
type Sent = tokio::task::JoinHandle<Result<Appended, AppendError>>;

/// What one log has promised.
#[derive(Default)]
struct Oracle {
    acked: BTreeMap<u64, Vec<u8>>,
    heads: Vec<Root>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand(AtomicU64::new(1_000_000)));
        Engine::create(&options(folder.path()), DatabaseId::new([7; 16])).unwrap();
        let engine = Engine::open(&options(folder.path()), Arc::clone(&clock) as _, Arc::new(Unobserved)).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        Self { folder, clock, engine, runtime, oracle: BTreeMap::new() }
    }

    fn with_log(name: &str) -> Self {
        let mut world = Self::new();
        world.create(terms(name), 1).unwrap();
        world
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn create(&mut self, terms: Terms, seed: u8) -> Result<LogInfo, CreateLogError> {
        let signer = signer(&terms.name, seed);
        let created = self.runtime.block_on(self.engine.create_log(terms, vec![signer]));
        if let Ok(info) = &created {
            self.check(&info.name.clone());
        }
        created
    }

    fn try_append(&mut self, log: &str, entries: &[Vec<u8>], key: Option<&str>) -> Result<Appended, AppendError> {
        let handle = self.engine.log(log).unwrap();
        let batch = EntryBatch::from_entries(entries.iter().map(Vec::as_slice)).unwrap();
        let key = key.map(|key| IdempotencyKey::new(handle.info().id, "token", key));
        let appended = self.runtime.block_on(handle.append(batch, key))?;
        let oracle = self.oracle.entry(log.to_owned()).or_default();
        for (index, entry) in appended.placement.indexes().zip(entries) {
            let before = oracle.acked.insert(index.get(), entry.clone());
            assert!(before.is_none_or(|before| before == *entry), "index {index} was given to two entries");
        }
        Ok(appended)
    }

    fn append(&mut self, log: &str, entries: &[Vec<u8>]) -> Appended {
        let appended = self.try_append(log, entries, None).unwrap();
        self.check(log);
        appended
    }

    /// How many idempotency keys of a log have a time at which they expire.
    fn left_to_sweep(&self, name: &str) -> usize {
        let log = self.engine.log(name).unwrap().info().id;
        let all = cairn_tree::store::KeyRange::all(log, cairn_tree::store::Kind::Expiry);
        self.engine.inner.rocks.scan(&all, 10_000).unwrap().len()
    }

    /// Waits until no idempotency key of a log is left.
    fn wait_for_sweep(&self, name: &str) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while self.left_to_sweep(name) > 0 {
            assert!(std::time::Instant::now() < deadline && self.engine.poisoned().is_none());
            std::thread::yield_now();
        }
    }

    /// Ends the engine and opens the database anew.
    fn reopen(&mut self) -> Result<(), OpenError> {
        self.stop();
        self.engine = Engine::open(&options(self.path()), Arc::clone(&self.clock) as _, Arc::new(Unobserved))?;
        for log in self.engine.logs() {
            self.check(&log.info().name.clone());
        }
        Ok(())
    }

    /// Ends the engine; an empty other one takes its place, so that the database is closed.
    fn stop(&mut self) {
        self.engine.close();
        let other = tempfile::tempdir().unwrap();
        Engine::create(&options(other.path()), DatabaseId::new([9; 16])).unwrap();
        self.engine = Engine::open(&options(other.path()), Arc::new(SystemClock), Arc::new(Unobserved)).unwrap();
    }

    /// Sends an append and does not wait for its answer.
    fn send(&self, log: &str, entries: &[Vec<u8>], key: Option<&str>) -> Sent {
        let log = self.engine.log(log).unwrap();
        let batch = EntryBatch::from_entries(entries.iter().map(Vec::as_slice)).unwrap();
        let key = key.map(|key| IdempotencyKey::new(log.info().id, "token", key));
        self.runtime.spawn(async move { log.append(batch, key).await })
    }

    /// Verifies a log from outside: the head's signature, its consistency with every head before, and every entry that
    /// was ever acknowledged, by its bytes, its inclusion proof, its bundle and its tile.
    fn check(&mut self, name: &str) {
        let log = self.engine.log(name).unwrap();
        let head = log.head();
        let keys: Vec<_> = log.vkeys().iter().map(|key| key.parse().unwrap()).collect();
        let signed = SignedCheckpoint::parse(&head.note).unwrap().verify(&keys).unwrap();
        assert_eq!(signed.keys().len(), keys.len(), "the head of {name} lacks a line");
        let root = Root { size: signed.size(), hash: signed.root() };
        assert_eq!((root.size, root.hash), (head.size, head.root));
        let oracle = self.oracle.entry(name.to_owned()).or_default();
        for old in oracle.heads.iter().filter(|old| old.size > TreeSize::ZERO) {
            let proof = log.consistency(&head, Growth { from: old.size, to: root.size }).unwrap();
            proof.verify(&Extension { old: *old, new: root }).unwrap();
        }
        if oracle.heads.last() != Some(&root) {
            oracle.heads.push(root);
        }
        for (index, entry) in &oracle.acked {
            let index = LeafIndex::new(*index).unwrap();
            assert_eq!(log.entry(&head, index).unwrap().as_deref(), Some(entry.as_slice()), "entry {index}");
            let leaf = Hash::leaf(entry);
            assert_eq!(log.leaf_hash(&head, index).unwrap(), Some(leaf));
            log.inclusion(&head, index, head.size).unwrap().verify(index, &leaf, &root).unwrap();
        }
        check_tiles(&log, &head);
    }
}

/// Every tile and bundle of the head's tree, in its full width and one narrower, fits the entries.
fn check_tiles(log: &Log, head: &Head) {
    for number in 0.. {
        let Some(coord) = BundleCoord::in_tree(number, head.size) else { break };
        let bundle = log.bundle(head, coord).unwrap().unwrap();
        let leaves = Entries::parse_bundle(&bundle, coord.width()).unwrap().leaf_hashes();
        let tile = log.tile(head, coord.tile()).unwrap().unwrap();
        let expected: Vec<u8> = leaves.iter().flat_map(|leaf| *leaf.as_bytes()).collect();
        assert_eq!(tile, expected, "tile {number}");
        if let Ok(width) = Width::new(coord.width().get() as u64 - 1) {
            let narrow = coord.with_width(width).unwrap();
            let cut = log.bundle(head, narrow).unwrap().unwrap();
            assert!(bundle.starts_with(&cut) && cut.len() < bundle.len());
            assert_eq!(log.tile(head, narrow.tile()).unwrap().unwrap(), expected[..width.get() * Hash::LEN]);
        }
    }
}

fn numbered(range: core::ops::Range<usize>) -> Vec<Vec<u8>> {
    range.map(|number| format!("entry {number}").into_bytes()).collect()
}

/// A store that stands before another and fails on purpose.
struct Faulty {
    inner: Arc<RocksStore>,
    fault: std::sync::Mutex<Option<Fault>>,
    /// Commits that go well before the fault.
    skip: AtomicU64,
    fired: AtomicU64,
    /// Rows of this log and kind can't be read, as if their block were damaged.
    damaged: std::sync::Mutex<Option<(LogId, cairn_tree::store::Kind)>>,
    /// The next read of rows of this log and kind fails like that, and no other.
    damaged_once: std::sync::Mutex<Option<(LogId, cairn_tree::store::Kind)>>,
    /// So many reads of rows of this log and kind give a row with a bit that is wrong.
    flips: std::sync::Mutex<Option<(LogId, cairn_tree::store::Kind, u64)>>,
    /// Commits that have begun.
    begun: AtomicU64,
    /// Kinds of rows that were read, each time.
    read: std::sync::Mutex<Vec<cairn_tree::store::Kind>>,
}

/// What happens to the next commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fault {
    /// One bit of the first row like this is flipped, as a bad memory would.
    flip: Option<Row>,
    /// The outcome is not known, as after a failed fsync; the rows may be there or not.
    unknown: Option<Written>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Bundle,
    Piece,
    Tile,
    Head,
    Disclosures,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Yes,
    No,
}

const ROWS: [Row; 4] = [Row::Bundle, Row::Piece, Row::Tile, Row::Head];

impl Faulty {
    fn arm(&self, fault: Fault) {
        self.arm_after(0, fault);
    }

    fn arm_after(&self, commits: u64, fault: Fault) {
        self.skip.store(commits, Ordering::SeqCst);
        *self.fault.lock().unwrap() = Some(fault);
    }

    fn readable(
        &self,
        asked: impl Fn(LogId, cairn_tree::store::Kind) -> bool,
    ) -> Result<(), cairn_tree::store::StoreError> {
        let mut once = self.damaged_once.lock().unwrap();
        if once.is_some_and(|(log, kind)| asked(log, kind)) {
            *once = None;
            return Err(cairn_tree::store::StoreError::Corrupt("a bit on the way, on purpose".to_owned()));
        }
        match *self.damaged.lock().unwrap() {
            Some((log, kind)) if asked(log, kind) => {
                Err(cairn_tree::store::StoreError::Corrupt("a block checksum, on purpose".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn damage_once(&self, log: LogId, kind: cairn_tree::store::Kind) {
        *self.damaged_once.lock().unwrap() = Some((log, kind));
    }

    fn flip_reads(&self, log: LogId, kind: cairn_tree::store::Kind, times: u64) {
        *self.flips.lock().unwrap() = Some((log, kind, times));
    }

    /// Changes what was read, if it is to.
    fn flip<'r>(&self, mut rows: impl Iterator<Item = (&'r cairn_tree::store::Key, &'r mut Vec<u8>)>) {
        let mut flips = self.flips.lock().unwrap();
        let Some((log, kind, left)) = &mut *flips else { return };
        let hit = rows.find(|(key, _)| *left > 0 && (key.log(), key.kind()) == (*log, *kind));
        if let Some((_, row)) = hit {
            // Of the last entry in it.
            row.last_mut().into_iter().for_each(|byte| *byte ^= 1);
            *left -= 1;
            self.fired.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// How often rows like these were read since this was last asked of any.
    fn reads_of(&self, kind: impl Fn(cairn_tree::store::Kind) -> bool) -> usize {
        core::mem::take(&mut *self.read.lock().unwrap()).into_iter().filter(|read| kind(*read)).count()
    }

    fn fired(&self) -> u64 {
        self.fired.load(Ordering::SeqCst)
    }
}

impl Store for Faulty {
    fn get_many(&self, keys: &[cairn_tree::store::Key]) -> Result<Vec<Option<Vec<u8>>>, cairn_tree::store::StoreError> {
        self.read.lock().unwrap().extend(keys.iter().map(cairn_tree::store::Key::kind));
        self.readable(|log, kind| keys.iter().any(|key| (key.log(), key.kind()) == (log, kind)))?;
        let mut rows = self.inner.get_many(keys)?;
        self.flip(keys.iter().zip(&mut rows).filter_map(|(key, row)| Some((key, row.as_mut()?))));
        Ok(rows)
    }

    fn scan(
        &self,
        range: &cairn_tree::store::KeyRange,
        limit: usize,
    ) -> Result<Vec<(cairn_tree::store::Key, Vec<u8>)>, cairn_tree::store::StoreError> {
        self.read.lock().unwrap().extend(range.kind());
        self.readable(|log, kind| *range == cairn_tree::store::KeyRange::all(log, kind))?;
        let mut rows = self.inner.scan(range, limit)?;
        self.flip(rows.iter_mut().map(|(key, row)| (&*key, row)));
        Ok(rows)
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        use cairn_tree::store::Kind;
        self.begun.fetch_add(1, Ordering::SeqCst);
        let mut armed = self.fault.lock().unwrap();
        let Some(fault) = *armed else { return self.inner.commit(batch) };
        if self.skip.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return self.inner.commit(batch);
        }
        let (mut puts, deletes) = batch.into_parts();
        let hit = |kind: Kind| match fault.flip {
            Some(Row::Bundle) => matches!(kind, Kind::Bundle | Kind::BundlePart),
            Some(Row::Piece) => kind == Kind::Piece,
            Some(Row::Tile) => matches!(kind, Kind::Tile(_)),
            Some(Row::Head) => kind == Kind::Head,
            Some(Row::Disclosures) => kind == Kind::Disclosures,
            None => false,
        };
        let row = puts.iter_mut().find(|(key, _)| key.log() != LogId::DATABASE && hit(key.kind()));
        // Of a head the root: what stands behind it may be of no use by the next start.
        let middle = |value: &mut Vec<u8>| if fault.flip == Some(Row::Head) { 40 } else { value.len() / 2 };
        let flipped = row
            .map(|(_, value)| {
                let at = middle(value);
                value[at] ^= 1
            })
            .is_some();
        if flipped || fault.flip.is_none() {
            *armed = None;
            self.fired.fetch_add(1, Ordering::SeqCst);
        }
        let mut batch = Batch::new();
        puts.into_iter().for_each(|(key, value)| batch.put(key, value));
        deletes.into_iter().for_each(|key| batch.delete(key));
        if fault.unknown != Some(Written::No) {
            self.inner.commit(batch)?;
        }
        match fault.unknown {
            Some(_) => Err(CommitError::Unknown("a failed fsync, on purpose".to_owned())),
            None => Ok(()),
        }
    }
}

impl World {
    /// Opens the database anew behind a store that can fail.
    fn reopen_faulty(&mut self) -> Arc<Faulty> {
        self.reopen_behind(&Gate::default())
    }

    /// The same, and the writes of the high-water go through a gate.
    fn reopen_behind(&mut self, gate: &Gate) -> Arc<Faulty> {
        self.reopen_behind_with(gate, &options(self.path()))
    }

    fn reopen_behind_with(&mut self, gate: &Gate, options: &EngineOptions) -> Arc<Faulty> {
        self.stop();
        let rocks = Arc::new(RocksStore::open(&options.database_path(), &options.settings).unwrap());
        let faulty = Faulty {
            inner: Arc::clone(&rocks),
            fault: std::sync::Mutex::default(),
            skip: AtomicU64::new(0),
            fired: AtomicU64::new(0),
            damaged: std::sync::Mutex::default(),
            damaged_once: std::sync::Mutex::default(),
            flips: std::sync::Mutex::default(),
            begun: AtomicU64::new(0),
            read: std::sync::Mutex::default(),
        };
        let faulty = Arc::new(faulty);
        let store = Arc::clone(&faulty) as Arc<dyn Store>;
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let high_water = |path: &Path, database| gate.high_water(path, database);
        self.engine = Engine::start(options, store, rocks, high_water, clock, Arc::new(Unobserved)).unwrap();
        faulty
    }
}
