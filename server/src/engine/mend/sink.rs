//! The database that is being made: rows are written in batches of some size, and no further than the disk's reserve.

use std::collections::BTreeSet;
use std::path::Path;

use cairn_rocks::{RocksStore, Settings};
use cairn_tree::store::{Batch, Key, Store as _};

use super::MendError;
use crate::engine::bounds::{MAINTENANCE_BYTES, MAINTENANCE_ROWS};
use crate::engine::disk::Disk;

pub(super) struct Sink {
    pub(super) store: RocksStore,
    disk: Disk,
    batch: Batch,
    keys: BTreeSet<Key>,
    bytes: usize,
}

impl Sink {
    pub(super) fn create(path: &Path, settings: &Settings, disk: Disk) -> Result<Self, MendError> {
        let store = RocksStore::create(path, settings).map_err(crate::engine::OpenError::from)?;
        Ok(Self { store, disk, batch: Batch::new(), keys: BTreeSet::new(), bytes: 0 })
    }

    /// What is put later stands: a row may be found beside a bad block, and again where that is searched in other ways.
    pub(super) fn put(&mut self, key: Key, row: Vec<u8>) -> Result<(), MendError> {
        if !self.keys.insert(key.clone()) {
            // No batch has a key twice.
            self.flush()?;
            self.keys.insert(key.clone());
        }
        self.bytes += row.len();
        self.batch.put(key, row);
        let full = self.bytes >= MAINTENANCE_BYTES || self.batch.puts().len() >= MAINTENANCE_ROWS;
        if full { self.flush() } else { Ok(()) }
    }

    /// What was put so far is durable, and is read.
    /// Puts a row of a copy where none is yet, and says whether: what the damaged database itself has is newer, and may be
    /// readable once and not again.
    pub(super) fn fill(&mut self, key: Key, row: Vec<u8>) -> Result<bool, MendError> {
        let is_new =
            !self.keys.contains(&key) && self.store.get(&key).map_err(crate::engine::OpenError::from)?.is_none();
        if is_new {
            self.put(key, row)?;
        }
        Ok(is_new)
    }

    pub(super) fn flush(&mut self) -> Result<(), MendError> {
        self.disk.check().map_err(|low| MendError::DiskReserve { free: low.free, reserve: low.reserve })?;
        self.bytes = 0;
        self.keys.clear();
        let batch = core::mem::take(&mut self.batch);
        self.store.commit(batch).map_err(|error| MendError::Write(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use cairn_tree::store::{Kind, LogId};

    use super::*;

    #[test]
    fn what_is_put_later_stands() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new(vec![folder.path().to_owned()], 0);
        let mut sink = Sink::create(&folder.path().join("db"), &Settings::default(), disk).unwrap();
        let key = Key::numbered(LogId::new(1), Kind::Disclosures, 7);
        for row in [b"first", b"other"] {
            sink.put(key.clone(), row.to_vec()).unwrap();
        }
        sink.flush().unwrap();
        assert_eq!(sink.store.get(&key).unwrap().as_deref(), Some(&b"other"[..]));
    }

    #[test]
    fn what_a_copy_has_never_replaces_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new(vec![folder.path().to_owned()], 0);
        let mut sink = Sink::create(&folder.path().join("db"), &Settings::default(), disk).unwrap();
        let key = |number| Key::numbered(LogId::new(1), Kind::Disclosures, number);
        // Once in the batch that is gathered, and once in one that was written.
        for number in [1, 2] {
            sink.put(key(number), b"own".to_vec()).unwrap();
            assert!(!sink.fill(key(number), b"older".to_vec()).unwrap());
            sink.flush().unwrap();
            assert!(!sink.fill(key(number), b"older".to_vec()).unwrap());
        }
        assert!(sink.fill(key(3), b"older".to_vec()).unwrap());
        sink.flush().unwrap();
        let rows = sink.store.get_many(&[key(1), key(2), key(3)]).unwrap();
        assert_eq!(rows, [b"own", b"own", &b"older"[..]].map(|row| Some(row.to_vec())));
    }
}
