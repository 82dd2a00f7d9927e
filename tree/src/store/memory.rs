//! The store in memory: the reference that says what the contract means, for tests. Nothing of it outlives the process.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use super::{Batch, CommitError, Key, KeyRange, Store, StoreError};

/// A sorted map behind a lock.
#[derive(Debug, Default)]
pub struct MemoryStore {
    /// By the key's bytes, as every store orders its rows.
    rows: RwLock<BTreeMap<Vec<u8>, Row>>,
}

#[derive(Debug)]
struct Row {
    key: Key,
    value: Vec<u8>,
}

impl MemoryStore {
    /// A store without rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Locks for reading. A commit cannot panic half-way, so even a poisoned lock guards whole batches.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Vec<u8>, Row>> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let rows = self.read();
        Ok(keys.iter().map(|key| rows.get(key.as_bytes()).map(|row| row.value.clone())).collect())
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let bounds = (Bound::Included(range.start()), Bound::Excluded(range.end()));
        let rows = self.read();
        Ok(rows.range::<[u8], _>(bounds).take(limit).map(|(_, row)| (row.key.clone(), row.value.clone())).collect())
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        batch.check()?;
        let (puts, deletes) = batch.into_parts();
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        for key in deletes {
            rows.remove(key.as_bytes());
        }
        for (key, value) in puts {
            rows.insert(key.as_bytes().to_vec(), Row { key, value });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::suite;

    #[test]
    fn passes_the_suite_of_every_store() {
        suite::run(&mut MemoryStore::new);
    }

    /// A store that breaks one promise, to show that the suite notices.
    #[derive(Clone, Copy)]
    enum Broken {
        ScanTakesOneMore,
        ScanIsReversed,
        ScanSkipsItsFirstKey,
        MultiGetIsSorted,
        EmptyValueIsMissing,
        LastPutIsLost,
        LastDeleteIsLost,
        TwiceIsTaken,
        LongValueIsCut,
    }

    struct BrokenStore(MemoryStore, Broken);

    impl Store for BrokenStore {
        fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
            let mut keys = keys.to_vec();
            if matches!(self.1, Broken::MultiGetIsSorted) {
                keys.sort_unstable();
            }
            let mut values = self.0.get_many(&keys)?;
            if matches!(self.1, Broken::EmptyValueIsMissing) {
                values.iter_mut().for_each(|value| *value = value.take().filter(|bytes| !bytes.is_empty()));
            }
            if matches!(self.1, Broken::LongValueIsCut) {
                values.iter_mut().flatten().for_each(|value| value.truncate(1 << 20));
            }
            Ok(values)
        }

        fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
            let more = matches!(self.1, Broken::ScanTakesOneMore | Broken::ScanSkipsItsFirstKey);
            let mut rows = self.0.scan(range, limit.saturating_add(usize::from(more)))?;
            match self.1 {
                Broken::ScanIsReversed => rows.reverse(),
                Broken::ScanSkipsItsFirstKey => drop(rows.drain(..rows.len().min(1))),
                _ => {}
            }
            Ok(rows)
        }

        fn commit(&self, batch: Batch) -> Result<(), CommitError> {
            let (mut puts, mut deletes) = batch.into_parts();
            match self.1 {
                Broken::LastPutIsLost => drop(puts.pop()),
                Broken::LastDeleteIsLost => drop(deletes.pop()),
                _ => {}
            }
            let mut whole = Batch::new();
            for (key, value) in puts {
                let twice = whole.puts().iter().any(|(other, _)| *other == key);
                if !(twice && matches!(self.1, Broken::TwiceIsTaken)) {
                    whole.put(key, value);
                }
            }
            deletes.into_iter().for_each(|key| whole.delete(key));
            self.0.commit(whole)
        }
    }

    #[test]
    fn the_suite_finds_every_broken_promise() {
        let promises = [
            Broken::ScanTakesOneMore,
            Broken::ScanIsReversed,
            Broken::ScanSkipsItsFirstKey,
            Broken::MultiGetIsSorted,
            Broken::EmptyValueIsMissing,
            Broken::LastPutIsLost,
            Broken::LastDeleteIsLost,
            Broken::TwiceIsTaken,
            Broken::LongValueIsCut,
        ];
        for (number, broken) in promises.into_iter().enumerate() {
            let verdict = std::panic::catch_unwind(|| suite::run(&mut || BrokenStore(MemoryStore::new(), broken)));
            assert!(verdict.is_err(), "the suite passed broken store {number}");
        }
    }
}
