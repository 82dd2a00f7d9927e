//! From keyed prints to leaf indexes: the one index behind search, histories, stream heads and record ids.
//!
//! The newest postings stand in memory; a thread makes sorted immutable runs of them and merges runs of one level, off the
//! commit path. A run's blocks carry checksums and leave no gaps, so that damage is an error and never a wrong answer.
//! Nothing here needs to survive: what lags is read from the log's records again. Values never come here, only prints.
//!
//! Not here: which prints a record has, who may search, and whether a hit is what it seems: whoever shows a record opens
//! and verifies it.

mod block;
mod build;
mod builder;
mod check;
mod filter;
mod find;
mod list;
mod loading;
mod manifest;
mod memory;
mod print;
mod run;
mod search;
mod source;
mod walk;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::store::{LogId, Store};

pub use build::{BuildError, build, rebuild};
pub use builder::{Builder, Indexed, Logs};
pub use check::check;
pub use print::{Facet, Print, PrintRow, PrintSecret};
pub use search::Page;
pub use source::{DirectSink, Sink, SinkError, Source};

use super::bounds;
use super::due::Due;
use super::stored::ReadError;
use filter::{Filter, FilterRoom};
pub(super) use manifest::Manifest;
use memory::Segment;
use run::Run;

/// The most leaves that a [`Source`] is asked for at a time.
pub const SOURCE_LEAVES: u64 = 1 << 12;

/// When memory becomes runs, and runs become larger ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Bytes of a segment at which it is made a run of.
    run_bytes: usize,
    /// Leaves of a segment at which it is, whatever it has.
    run_leaves: u64,
    /// Leaves that are not read a second time by the next start.
    reload_leaves: u64,
    /// Full segments in memory at which appends wait.
    lag: usize,
    /// Runs of one level that are merged into one.
    fan: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            run_bytes: bounds::POSTING_RUN_BYTES,
            run_leaves: bounds::POSTING_RUN_LEAVES,
            reload_leaves: SOURCE_LEAVES,
            lag: bounds::POSTING_LAG_SEGMENTS,
            fan: bounds::INDEX_FAN,
        }
    }
}

/// Why a look-up has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostingsError {
    /// What is stored could not be read, or is damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The runs are so far behind the log that reading the rest would take long; they are being built.
    #[error("the indexes of this log are being built: {indexed} of {size} entries so far")]
    Behind {
        /// The leaves that have runs.
        indexed: u64,
        /// The leaves that there are.
        size: u64,
        /// The origin of the log, if it is an earlier one than the one that was asked about.
        earlier: Option<Arc<str>>,
    },
}

/// What the postings of all logs share: the memory for filters, and the list of logs that have work for the builder.
pub struct Upkeep {
    room: Arc<FilterRoom>,
    due: Due,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self { room: Arc::new(FilterRoom::new(bounds::POSTING_FILTER_BYTES)), due: Due::default() }
    }
}

impl Upkeep {
    /// The bytes of all filters in memory, and those that they ever take.
    pub(super) fn filter_bytes(&self) -> (usize, usize) {
        (self.room.taken(), bounds::POSTING_FILTER_BYTES)
    }
}

/// How much there is of a log's postings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Runs.
    pub runs: usize,
    /// Postings in them.
    pub postings: u64,
    /// Bytes in memory, roughly, of the postings that no run has.
    pub newest_bytes: usize,
    /// Bytes of filters in memory.
    pub filter_bytes: usize,
}

/// The postings of one log.
pub struct Postings {
    log: LogId,
    /// The index of the log's first record.
    first: u64,
    sizes: Sizes,
    upkeep: Arc<Upkeep>,
    inner: RwLock<Inner>,
    /// Held by whoever loads, so that many who look up at once read the log once.
    loading: Mutex<()>,
    /// How often it was loaded, and the leaf from which on it was read from the records the last time.
    read_from: Mutex<(u64, u64)>,
    /// Something of the runs could not be read because it is damaged, and the builder has not looked yet.
    doubted: AtomicBool,
    /// How often the builder has looked for that since the start.
    looks: AtomicU32,
    /// All runs were made anew since the start.
    anew: AtomicBool,
    /// The leaf that keeps the next run from being made, since it is not what the tree has; the largest number if there is none.
    unlike: AtomicU64,
}

/// Before their first use a log's postings are not loaded: an idle log costs nothing.
enum Inner {
    Absent {
        /// The leaves that were released since, as far as it is known where they began: too many are made runs of without
        /// waiting for a look-up.
        unread: Option<(u64, u64)>,
    },
    Loaded(Loaded),
}

struct Loaded {
    manifest: Manifest,
    /// The manifest's runs, with what is known of them.
    runs: Arc<Vec<Arc<LiveRun>>>,
    /// Segments that wait to become runs, oldest first; the first begins where the manifest ends.
    frozen: Arc<Vec<Arc<Segment>>>,
    /// Begins where the last of those ends.
    active: Segment,
}

/// A run, and its filter once there is one.
struct LiveRun {
    run: Run,
    filter: OnceLock<Filter>,
}

impl LiveRun {
    /// False only if the run does not have it.
    fn may_have(&self, print: Print) -> bool {
        !print.is_filtered() || (self.run.filtered > 0 && self.filter.get().is_none_or(|filter| filter.may_have(print)))
    }
}

impl Postings {
    /// The postings of a log whose first record has, or will have, the index `first`; read when they are first needed.
    #[must_use]
    pub fn absent(log: LogId, first: LeafIndex, upkeep: Arc<Upkeep>) -> Self {
        Self::sized(log, first.get(), upkeep, Sizes::default())
    }

    fn sized(log: LogId, first: u64, upkeep: Arc<Upkeep>, sizes: Sizes) -> Self {
        let inner = RwLock::new(Inner::Absent { unread: None });
        let (loading, read_from) = Default::default();
        let (doubted, looks, anew) = Default::default();
        let unlike = AtomicU64::new(u64::MAX);
        Self { log, first, sizes, upkeep, inner, loading, read_from, doubted, looks, anew, unlike }
    }

    /// Adds the postings of a commit that is released: those of all leaves from where the last call ended up to `size`,
    /// in any order. Comes after the commit's head is out and before its answers: so whoever has an answer finds its
    /// records, and what is loaded meanwhile reads the log up to the new head.
    pub fn insert(&self, size: TreeSize, postings: &[(Print, LeafIndex)]) {
        let end = size.get();
        match &mut *self.write() {
            Inner::Absent { unread } => {
                let first = postings.iter().map(|(_, index)| index.get()).min().unwrap_or(end);
                let (from, _) = unread.unwrap_or((first, end));
                *unread = Some((from, end));
            }
            Inner::Loaded(loaded) => {
                loaded.active.add(end, postings);
                if self.sizes.is_full(&loaded.active) {
                    loaded.freeze();
                }
            }
        }
        if self.is_due() {
            self.upkeep.due.push(self.log);
        }
    }

    /// Whether there is enough for a run.
    #[must_use]
    pub fn is_due(&self) -> bool {
        match &*self.read() {
            // What no run may be made of keeps all behind it in memory.
            Inner::Loaded(loaded) => loaded.frozen.first().is_some_and(|oldest| oldest.unlike().is_none()),
            Inner::Absent { unread } => {
                !self.is_stuck() && unread.is_some_and(|(from, to)| to - from >= self.sizes.run_leaves)
            }
        }
    }

    /// Whether runs are built so much slower than records come that appends must wait.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        match &*self.read() {
            Inner::Loaded(loaded) => loaded.frozen.len() >= self.sizes.lag,
            Inner::Absent { unread } => unread.is_some_and(|(from, to)| to - from >= self.sizes.most_unread()),
        }
    }

    /// Whether so much has no run that it is made runs of before it is loaded.
    fn is_behind(&self, source: &dyn Source) -> Result<bool, ReadError> {
        let end = self.manifest(source.store())?.end();
        Ok(source.size().get().saturating_sub(end) >= self.sizes.reload_leaves)
    }

    /// What there is of it; nothing while it is not loaded.
    #[must_use]
    pub fn figures(&self) -> Figures {
        match &*self.read() {
            Inner::Absent { .. } => Figures::default(),
            Inner::Loaded(loaded) => Figures {
                runs: loaded.runs.len(),
                postings: loaded.manifest.runs().iter().map(|run| run.postings).sum(),
                newest_bytes: loaded.frozen.iter().map(|one| one.bytes()).sum::<usize>() + loaded.active.bytes(),
                filter_bytes: loaded.runs.iter().filter_map(|live| Some(live.filter.get()?.bytes())).sum(),
            },
        }
    }

    /// The bytes in memory of the postings that no run has, with the room that is kept for more, and about those that they take
    /// before appends wait; nothing while it is not loaded.
    pub(super) fn newest_bytes(&self) -> (usize, usize) {
        let Inner::Loaded(loaded) = &*self.read() else { return (0, 0) };
        let held = loaded.frozen.iter().map(|segment| segment.held()).sum::<usize>() + loaded.active.held();
        (held, (self.sizes.lag + 1) * self.sizes.run_bytes)
    }

    /// Lets go of what is in memory, of a log that is not in use; the next look-up reads it again.
    pub fn unload(&self) {
        let mut inner = self.write();
        if let Inner::Loaded(loaded) = &*inner {
            *inner = Inner::Absent { unread: Some((loaded.manifest.end(), loaded.active.end())) };
        }
    }

    /// How often its newest part was read from the records, and from which leaf on it was the last time: before it, what is
    /// found by a print only grows at the end.
    #[must_use]
    pub fn read_from(&self) -> (u64, u64) {
        *self.read_from.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the builder look whether the runs are damaged, since something of them could not be read; not without end, where
    /// they are damaged again and again.
    fn doubt(&self, error: &ReadError) {
        if error.is_failure() || self.looks.load(Ordering::Relaxed) >= bounds::POSTING_MENDS {
            return;
        }
        if !self.doubted.swap(true, Ordering::Relaxed) {
            self.upkeep.due.push(self.log);
        }
    }

    /// Whether the builder is to look; then it does.
    fn take_doubt(&self) -> bool {
        let is_doubted = self.doubted.swap(false, Ordering::Relaxed);
        self.looks.fetch_add(u32::from(is_doubted), Ordering::Relaxed);
        is_doubted
    }

    /// Lets go of what is in memory, since all runs are made anew: of what was erased or damaged since they were made, these
    /// find less than they did.
    fn forget_runs(&self) {
        self.anew.store(true, Ordering::Relaxed);
        self.unload();
    }

    fn note_unlike(&self, index: Option<LeafIndex>) {
        self.unlike.store(index.map_or(u64::MAX, LeafIndex::get), Ordering::Relaxed);
    }

    /// Whether no run can be made before the next start.
    fn is_stuck(&self) -> bool {
        self.unlike.load(Ordering::Relaxed) != u64::MAX
    }

    /// Why there is no answer while so much has no run that it can't be loaded: runs are being made, or can't be.
    fn behind(&self, indexed: u64, size: u64) -> PostingsError {
        match LeafIndex::new(self.unlike.load(Ordering::Relaxed)) {
            Ok(index) => PostingsError::Read(ReadError::Damaged {
                log: self.log,
                place: format!("entry {index}"),
                problem: "it is not what the tree has, so that no index is made of it and what is behind it".to_owned(),
                entry: Some(index),
            }),
            Err(_) => PostingsError::Behind { indexed, size, earlier: None },
        }
    }

    /// The manifest as it is now.
    fn manifest(&self, store: &dyn Store) -> Result<Manifest, ReadError> {
        match &*self.read() {
            Inner::Loaded(loaded) => Ok(loaded.manifest.clone()),
            Inner::Absent { .. } => Manifest::read(store, self.log, self.first),
        }
    }

    /// Takes a manifest that is durable, with the filter of its new run; segments that have become runs go.
    fn install(&self, manifest: Manifest, made: Option<(Run, Filter)>) {
        // Let go of after the lock.
        let mut old = None;
        if let Inner::Loaded(loaded) = &mut *self.write() {
            let runs = Arc::new(live_runs(&manifest, &loaded.runs));
            let end = manifest.end();
            let frozen = loaded.frozen.iter().filter(|segment| segment.start() >= end).cloned().collect();
            let frozen = core::mem::replace(&mut loaded.frozen, Arc::new(frozen));
            old = Some((core::mem::replace(&mut loaded.runs, runs), frozen));
            if let Some((run, filter)) = made
                && let Some(live) = loaded.runs.iter().find(|live| live.run == run)
            {
                // Nobody else fills filters.
                let _ = live.filter.set(filter);
            }
            loaded.manifest = manifest;
        }
        drop(old);
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The manifest's runs; of those that were there before, with what is known.
fn live_runs(manifest: &Manifest, known: &[Arc<LiveRun>]) -> Vec<Arc<LiveRun>> {
    let live = |run: &Run| {
        let known = known.iter().find(|live| live.run == *run).cloned();
        known.unwrap_or_else(|| Arc::new(LiveRun { run: *run, filter: OnceLock::new() }))
    };
    manifest.runs().iter().map(live).collect()
}

impl Loaded {
    /// Ends the segment that grows; the next one goes on behind it.
    fn freeze(&mut self) {
        let next = Segment::behind(&self.active);
        let full = Arc::new(core::mem::replace(&mut self.active, next));
        // A short list of pointers: what look-ups hold of it stays as it is.
        let frozen = self.frozen.iter().cloned().chain([full]).collect();
        self.frozen = Arc::new(frozen);
    }
}

impl Sizes {
    /// Whether a segment is to become a run.
    fn is_full(&self, segment: &Segment) -> bool {
        let leaves = segment.end() - segment.start();
        segment.bytes() >= self.run_bytes || leaves >= self.run_leaves
    }

    /// Leaves that a look-up may have to read first.
    fn most_unread(&self) -> u64 {
        self.run_leaves.saturating_mul(2)
    }
}
