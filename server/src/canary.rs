//! What is broken on purpose in the server (`cairn_rocks::canary`), and a bit that flips on the way to the store: the fault
//! that only the check before a signature finds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_tree::store::{Batch, CommitError, Key, KeyRange, Kind, Store, StoreError};

pub use cairn_rocks::canary::Canary;

#[cfg(not(debug_assertions))]
compile_error!("the feature `canaries` breaks the log on purpose; build it with `make canaries` only");

/// The environment variable that says in which commit of entries a bit flips, counted from 1.
const FLIP: &str = "CAIRND_FLIP";

/// Whether the database alone says what was released.
pub(crate) fn has_no_high_water() -> bool {
    Canary::NoHighWater.sings() || Canary::WalByDefault.sings()
}

/// The store, with a bit that flips if the environment says so.
pub(crate) fn flipping(store: Arc<dyn Store>) -> Arc<dyn Store> {
    match std::env::var(FLIP).ok().and_then(|at| at.parse().ok()) {
        Some(at) => Arc::new(Flipping { store, left: AtomicU64::new(at) }),
        None => store,
    }
}

struct Flipping {
    store: Arc<dyn Store>,
    /// Commits of entries until it flips, that one included.
    left: AtomicU64,
}

impl Store for Flipping {
    fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.store.get_many(keys)
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        self.store.scan(range, limit)
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let (mut puts, deletes) = batch.into_parts();
        let row = puts.iter_mut().find(|(key, _)| matches!(key.kind(), Kind::Bundle | Kind::Piece));
        if let Some((key, value)) = row
            && self.left.fetch_sub(1, Ordering::SeqCst) == 1
            && let Some(last) = value.last_mut()
        {
            *last ^= 1;
            tracing::warn!(?key, "a bit flipped on the way to the store");
        }
        let mut batch = Batch::new();
        puts.into_iter().for_each(|(key, value)| batch.put(key, value));
        deletes.into_iter().for_each(|key| batch.delete(key));
        self.store.commit(batch)
    }
}

/// The store, which writes disclosures late if that is what is broken.
pub(crate) fn late(store: Arc<dyn Store>) -> Arc<dyn Store> {
    match Canary::LateDisclosures.sings() {
        true => Arc::new(Late { store, kept: Mutex::default() }),
        false => store,
    }
}

/// Keeps disclosures in memory until the commit after, and reads as if they were written.
struct Late {
    store: Arc<dyn Store>,
    kept: Mutex<BTreeMap<Key, Vec<u8>>>,
}

impl Late {
    fn kept(&self) -> MutexGuard<'_, BTreeMap<Key, Vec<u8>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Late {
    fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let kept = self.kept();
        let mut rows = self.store.get_many(keys)?;
        for (row, key) in rows.iter_mut().zip(keys) {
            *row = kept.get(key).cloned().or_else(|| row.take());
        }
        Ok(rows)
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        let kept = self.kept();
        let mut rows: BTreeMap<Key, Vec<u8>> = self.store.scan(range, limit)?.into_iter().collect();
        rows.extend(kept.iter().filter(|(key, _)| range.contains(key)).map(|(key, row)| (key.clone(), row.clone())));
        Ok(rows.into_iter().take(limit).collect())
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let mut kept = self.kept();
        let (puts, deletes) = batch.into_parts();
        let mut batch = Batch::new();
        core::mem::take(&mut *kept).into_iter().for_each(|(key, row)| batch.put(key, row));
        for (key, row) in puts {
            match key.kind() {
                Kind::Disclosures => drop(kept.insert(key, row)),
                _ => batch.put(key, row),
            }
        }
        deletes.into_iter().for_each(|key| batch.delete(key));
        self.store.commit(batch)
    }
}
