//! From leaf hash to index, off the commit path.
//!
//! The newest leaves stand in a bounded map; a thread turns them into sorted immutable runs and merges runs. A run's
//! records are a hash's first eight bytes and an offset, so a candidate is only that: it counts when the full 32-byte
//! hash in the log's own level 0 tile is the same. Nothing here needs to survive: what lags is rebuilt from the tiles.
//!
//! A leaf that stands in the log more than once is found at its lowest index.

mod build;
mod check;
mod manifest;
mod run;

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cairn_tree::hash::Hash;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::store::{LogId, Store};

pub(super) use build::{Builder, Due};
pub(super) use check::check;
use manifest::Manifest;

use super::bounds::{INDEX_LAG_ENTRIES, INDEX_RUN_ENTRIES};
use super::stored::{ReadError, Stored, WIDTH};

/// The index of one log.
pub(super) struct HashIndex {
    log: LogId,
    inner: RwLock<Inner>,
}

/// Before its first use a log's index is not loaded: an idle log costs nothing.
enum Inner {
    Absent,
    Loaded(Loaded),
}

struct Loaded {
    manifest: Manifest,
    /// Leaves from the manifest's end on.
    recent: HashMap<Hash, LeafIndex>,
    /// One past the newest leaf in `recent`.
    end: u64,
}

impl HashIndex {
    /// The index of a new log.
    pub(super) fn empty(log: LogId) -> Self {
        let loaded = Loaded { manifest: Manifest::default(), recent: HashMap::new(), end: 0 };
        Self { log, inner: RwLock::new(Inner::Loaded(loaded)) }
    }

    /// The index of a log that was there before; read when it is first needed.
    pub(super) fn absent(log: LogId) -> Self {
        Self { log, inner: RwLock::new(Inner::Absent) }
    }

    /// Adds the leaves of a commit that is about to be released. An index that is not loaded finds them in the log later.
    pub(super) fn insert(&self, leaves: impl Iterator<Item = (LeafIndex, Hash)>) {
        if let Inner::Loaded(loaded) = &mut *self.write() {
            for (index, leaf) in leaves {
                loaded.recent.entry(leaf).or_insert(index);
                loaded.end = loaded.end.max(index.get() + 1);
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

    /// How many leaves wait to become a run.
    fn lag(&self) -> u64 {
        match &*self.read() {
            Inner::Loaded(loaded) => loaded.end.saturating_sub(loaded.manifest.end()),
            Inner::Absent => 0,
        }
    }

    /// Reads the manifest, and the leaves that no run has, up to a released head's size.
    ///
    /// Comes before every look-up; leaves released meanwhile are not missed, because [`HashIndex::insert`] waits for the
    /// same lock and `size` is asked under it.
    pub(super) fn load(&self, store: &dyn Store, size: impl Fn() -> TreeSize) -> Result<(), ReadError> {
        if matches!(&*self.read(), Inner::Loaded(_)) {
            return Ok(());
        }
        let mut inner = self.write();
        if matches!(*inner, Inner::Loaded(_)) {
            return Ok(());
        }
        let stored = Stored::new(store, self.log);
        let manifest = Manifest::read(store, self.log)?;
        let (start, end) = (manifest.end(), size().get());
        let mut recent = HashMap::new();
        for (index, leaf) in leaves_between(&stored, start, end)? {
            recent.entry(leaf).or_insert(index);
        }
        *inner = Inner::Loaded(Loaded { manifest, recent, end: end.max(start) });
        Ok(())
    }

    /// The lowest index of each leaf, where the log has it. [`HashIndex::load`] comes first.
    pub(super) fn find_many(&self, store: &dyn Store, leaves: &[Hash]) -> Result<Vec<Option<LeafIndex>>, ReadError> {
        let (runs, mut found) = match &*self.read() {
            Inner::Absent => return Ok(vec![None; leaves.len()]),
            Inner::Loaded(loaded) => {
                let recent: Vec<_> = leaves.iter().map(|leaf| loaded.recent.get(leaf).copied()).collect();
                (loaded.manifest.runs().to_vec(), recent)
            }
        };
        // Newest first, so that the lowest index has the last word.
        let stored = Stored::new(store, self.log);
        for run in runs.iter().rev() {
            run.find_many(store, &stored, leaves, &mut found)?;
        }
        Ok(found)
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
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
