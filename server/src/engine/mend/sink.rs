//! The database that is being made: rows are written in batches of some size, and no further than the disk's reserve.

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
    bytes: usize,
}

impl Sink {
    pub(super) fn create(path: &Path, settings: &Settings, disk: Disk) -> Result<Self, MendError> {
        let store = RocksStore::create(path, settings).map_err(crate::engine::OpenError::from)?;
        Ok(Self { store, disk, batch: Batch::new(), bytes: 0 })
    }

    pub(super) fn put(&mut self, key: Key, row: Vec<u8>) -> Result<(), MendError> {
        self.bytes += row.len();
        self.batch.put(key, row);
        let full = self.bytes >= MAINTENANCE_BYTES || self.batch.puts().len() >= MAINTENANCE_ROWS;
        if full { self.flush() } else { Ok(()) }
    }

    /// What was put so far is durable, and is read.
    pub(super) fn flush(&mut self) -> Result<(), MendError> {
        self.disk.check().map_err(|low| MendError::DiskReserve { free: low.free, reserve: low.reserve })?;
        self.bytes = 0;
        let batch = core::mem::take(&mut self.batch);
        self.store.commit(batch).map_err(|error| MendError::Write(error.to_string()))
    }
}
