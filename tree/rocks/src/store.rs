//! The store itself: creating, opening, reading, committing.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use cairn_tree::store::{Batch, CommitError, EachRow, Key, KeyRange, Store, StoreError};
use rocksdb::properties::PropName;
use rocksdb::{Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBRawIterator, ReadOptions, WriteBatch, WriteOptions};

use crate::OpenError;
use crate::cut;
use crate::error::{on_commit, on_read};
use crate::family::Family;
use crate::named::Unnamed;
use crate::salvage::DatabaseLock;
use crate::settings::{Settings, synced, verified};

/// The file that every RocksDB database has, and that is written last when one is created.
pub(crate) const CURRENT: &str = "CURRENT";
/// What a record in a `WriteBatch` takes beyond its key and value, at most: tag, family, two lengths.
const RECORD_OVERHEAD: usize = 16;

/// A database on this machine's disk, held by this process alone until it is dropped.
pub struct RocksStore {
    pub(crate) db: DB,
    /// Table blocks in memory, and how many bytes of them there may be.
    pub(crate) cache: (Cache, usize),
    read: ReadOptions,
    write: WriteOptions,
    /// Families that the database does not have yet, and so no rows of; only where it is open to read.
    pub(crate) absent: Vec<Family>,
    /// Set by the first commit that failed, never cleared: whether its bytes are on disk is unknown, and RocksDB would
    /// try again with pages that the kernel may have dropped.
    failed: AtomicBool,
}

impl RocksStore {
    /// Makes a new database in `path`, which must be absent or an empty directory.
    ///
    /// # Errors
    /// [`OpenError::NotEmpty`] if anything stands there; else why it failed, and then the directory is to be removed.
    pub fn create(path: &Path, settings: &Settings) -> Result<Self, OpenError> {
        let is_empty = match fs::read_dir(path) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = DirBuilder::new().mode(0o700).create(path);
                made.map_err(|error| OpenError::from_io(path, &error))?;
                true
            }
            Err(error) => return Err(OpenError::from_io(path, &error)),
        };
        if !is_empty {
            return Err(OpenError::NotEmpty(path.into()));
        }
        let mut options = settings.database();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_error_if_exists(true);
        let store = Self::start(path, settings, &options)?;
        // RocksDB syncs what stands in its directory, not the name of the directory itself.
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let synced = File::open(parent).and_then(|directory| directory.sync_all());
        synced.map_err(|error| OpenError::from_io(path, &error))?;
        Ok(store)
    }

    /// Opens the database in `path`, and recovers what its write-ahead log holds.
    ///
    /// # Errors
    /// [`OpenError::Missing`] if none was ever created there; never a new, empty one instead.
    pub fn open(path: &Path, settings: &Settings) -> Result<Self, OpenError> {
        match fs::metadata(path.join(CURRENT)) {
            #[cfg(feature = "canaries")]
            Ok(_) if crate::canary::Canary::WalByDefault.sings() => Self::start(path, settings, &settings.database()),
            Ok(_) => {
                // Before RocksDB, which would take damage for the end of a file, and remove the tables after it.
                cut::check(path)?;
                if let Some(refusal) = Unnamed::of(path)?.refusal(path) {
                    // Whoever else has it open changes files while they are looked at.
                    return Err(DatabaseLock::take(path).err().unwrap_or(refusal));
                }
                match Self::start(path, settings, &settings.database()) {
                    // Nobody else has it open, or it would be locked.
                    Err(OpenError::Corrupt { .. }) if cut::drop_torn_commit(path)? => {
                        Self::start(path, settings, &settings.database())
                    }
                    Err(OpenError::Foreign { .. }) if is_older(path, settings) => {
                        let mut options = settings.database();
                        options.create_missing_column_families(true);
                        Self::start(path, settings, &options)
                    }
                    opened => opened,
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OpenError::Missing(path.into())),
            Err(error) => Err(OpenError::from_io(path, &error)),
        }
    }

    fn start(path: &Path, settings: &Settings, options: &rocksdb::Options) -> Result<Self, OpenError> {
        // One that can be emptied (`forget_blocks`), which the hyper clock cache can't.
        let cache = Cache::new_lru_cache(settings.block_cache);
        let families =
            Family::ALL.map(|family| ColumnFamilyDescriptor::new(family.name(), settings.family(family, &cache)));
        let db = DB::open_cf_descriptors(options, path, families);
        let db = db.map_err(|error| OpenError::from_rocksdb(path, error))?;
        Ok(Self::of(db, (cache, settings.block_cache)))
    }

    pub(crate) fn of(db: DB, cache: (Cache, usize)) -> Self {
        let (absent, failed) = (Vec::new(), AtomicBool::new(false));
        Self { db, cache, read: verified(), write: synced(), absent, failed }
    }

    /// Writes all rows to tables and merges these until each key stands in one. For measuring and for offline care:
    /// it may take as long as rewriting the database.
    ///
    /// # Errors
    /// [`StoreError`] if a table could not be read or written.
    pub fn compact(&self) -> Result<(), StoreError> {
        let families = Family::ALL.map(|family| self.family(family));
        let families: Vec<_> = families.into_iter().collect::<Result<_, _>>()?;
        let all: Vec<_> = families.iter().collect();
        self.db.flush_cfs_opt(&all, &rocksdb::FlushOptions::default()).map_err(on_read)?;
        for family in families {
            self.db.compact_range_cf(family, None::<&[u8]>, None::<&[u8]>);
        }
        Ok(())
    }

    /// Reads every block of every table, those included whose rows have all been written over since: they too are read
    /// one day, by a compaction, and damage in them ends the process then. Takes as long as reading the database.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names the first table and block whose checksum does not fit.
    pub fn read_all(&self) -> Result<(), StoreError> {
        for family in Family::ALL.into_iter().filter(|family| !self.absent.contains(family)) {
            let mut options = verified();
            options.fill_cache(false);
            let mut iterator = self.db.raw_iterator_cf_opt(self.family(family)?, options);
            iterator.seek_to_first();
            while iterator.valid() {
                iterator.next();
            }
            iterator.status().map_err(on_read)?;
        }
        Ok(())
    }

    pub(crate) fn family(&self, family: Family) -> Result<&ColumnFamily, StoreError> {
        let missing = || StoreError::Io(format!("column family {} is not open", family.name()));
        self.db.cf_handle(family.name()).ok_or_else(missing)
    }

    /// A number that RocksDB keeps about a family, or 0 if it does not know.
    pub(crate) fn property(&self, family: Family, name: &PropName) -> u64 {
        let handle = self.family(family).ok();
        handle.and_then(|handle| self.db.property_int_value_cf(handle, name).ok().flatten()).unwrap_or(0)
    }

    /// The rows of `range` in one family, from the first on.
    fn iterate(&self, family: Family, range: &KeyRange) -> Result<DBRawIterator<'_>, StoreError> {
        let mut iterator = self.iterator(family, range.end())?;
        iterator.seek(range.start());
        Ok(iterator)
    }

    /// The rows of one family before a key's bytes, without a place yet.
    fn iterator(&self, family: Family, end: &[u8]) -> Result<DBRawIterator<'_>, StoreError> {
        let mut options = verified();
        options.set_iterate_upper_bound(end);
        Ok(self.db.raw_iterator_cf_opt(self.family(family)?, options))
    }
}

/// The row that the iterator stands at.
fn row_at(iterator: &DBRawIterator<'_>) -> Result<Option<(Key, Vec<u8>)>, StoreError> {
    let Some((key, value)) = iterator.item() else { return Ok(None) };
    Ok(Some((parsed(key)?, value.to_vec())))
}

fn parsed(key: &[u8]) -> Result<Key, StoreError> {
    Key::parse(key).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// Looks for one range's first row after another.
struct Walk<'i, 'r> {
    iterator: DBRawIterator<'i>,
    /// From where on the row that the iterator stands at is the first.
    from: Option<&'r [u8]>,
}

impl<'i, 'r> Walk<'i, 'r> {
    const fn new(iterator: DBRawIterator<'i>) -> Self {
        Self { iterator, from: None }
    }

    /// The first row of a range of the iterator's family. Neighbours that begin with the same row cost one seek.
    fn first(
        &mut self,
        range: &'r KeyRange,
        found: &mut dyn FnMut(&Key, &[u8]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StoreError> {
        if range.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let is_there = self.from.is_some_and(|from| from <= range.start())
            && self.iterator.key().is_some_and(|key| range.start() <= key);
        if !is_there {
            self.iterator.seek(range.start());
            // One that ends may have ended at a block that it could not read.
            self.iterator.status().map_err(on_read)?;
            self.from = Some(range.start());
        }
        match self.iterator.item() {
            Some((key, row)) if key < range.end() => Ok(found(&parsed(key)?, row)),
            _ => Ok(ControlFlow::Continue(())),
        }
    }
}

/// Whether the database has the families that all versions of this program have made, and no others.
fn is_older(path: &Path, settings: &Settings) -> bool {
    let Ok(mut names) = DB::list_cf(&settings.database(), path) else { return false };
    names.sort_unstable();
    let mut first: Vec<_> = Family::FIRST.iter().map(|family| family.name()).collect();
    first.sort_unstable();
    names == first
}

impl Store for RocksStore {
    fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut values = vec![None; keys.len()];
        for family in Family::ALL {
            let wanted: Vec<_> =
                keys.iter().zip(&mut values).filter(|(key, _)| Family::of(key.kind()) == family).collect();
            if wanted.is_empty() || self.absent.contains(&family) {
                continue;
            }
            let bytes = wanted.iter().map(|(key, _)| key.as_bytes());
            let found = self.db.batched_multi_get_cf_opt(self.family(family)?, bytes, false, &self.read);
            if found.len() != wanted.len() {
                return Err(StoreError::Io(format!("{} answers to {} keys", found.len(), wanted.len())));
            }
            for ((_, value), answer) in wanted.into_iter().zip(found) {
                *value = answer.map_err(on_read)?.map(|bytes| bytes.to_vec());
            }
        }
        Ok(values)
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        let mut rows = Vec::new();
        if range.is_empty() || limit == 0 {
            return Ok(rows);
        }
        let families = Family::within(range).into_iter().filter(|family| !self.absent.contains(family));
        let mut iterators: Vec<_> = families.map(|family| self.iterate(family, range)).collect::<Result<_, _>>()?;
        while rows.len() < limit {
            // An iterator that ends may have ended at a block that it could not read.
            for iterator in &iterators {
                iterator.status().map_err(on_read)?;
            }
            let least = iterators.iter_mut().filter(|iterator| iterator.valid()).min_by(|a, b| a.key().cmp(&b.key()));
            let Some(iterator) = least else { break };
            rows.extend(row_at(iterator)?);
            // To step on would read the block of a row that nobody asked for.
            if rows.len() < limit {
                iterator.next();
            }
        }
        Ok(rows)
    }

    /// With one iterator for all ranges of a kind in a row: to make one costs more than to seek with it.
    fn firsts(&self, ranges: &[KeyRange], each: &mut EachRow<'_>) -> Result<(), StoreError> {
        let mut place = 0;
        for ranges in ranges.chunk_by(|one, next| one.kind().is_some() && one.kind() == next.kind()) {
            let end = ranges.iter().map(KeyRange::end).max().unwrap_or_default();
            let kind = ranges.first().and_then(KeyRange::kind).filter(|_| ranges.len() > 1);
            let family = kind.map(Family::of).filter(|family| !self.absent.contains(family));
            let mut walk = family.map(|family| self.iterator(family, end).map(Walk::new)).transpose()?;
            for range in ranges {
                let goes_on = match &mut walk {
                    Some(walk) => walk.first(range, &mut |key, row| each(place, key, row))?,
                    None => match self.scan(range, 1)?.pop() {
                        Some((key, row)) => each(place, &key, &row),
                        None => ControlFlow::Continue(()),
                    },
                };
                if goes_on.is_break() {
                    return Ok(());
                }
                place += 1;
            }
        }
        Ok(())
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        if self.failed.load(Ordering::Acquire) {
            return Err(CommitError::Unknown("an earlier commit failed; the process must end".into()));
        }
        batch.check()?;
        if batch.is_empty() {
            return Ok(());
        }
        let written = self.prepare(&batch).and_then(|rows| self.db.write_opt(rows, &self.write).map_err(on_commit));
        if written.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        written
    }
}

impl RocksStore {
    fn prepare(&self, batch: &Batch) -> Result<WriteBatch, CommitError> {
        let unopened = |error: StoreError| CommitError::Unknown(error.to_string());
        let puts = batch.puts().iter().map(|(key, value)| key.as_bytes().len() + value.len());
        let deletes = batch.deletes().iter().map(|key| key.as_bytes().len());
        let size = puts.chain(deletes).map(|bytes| bytes + RECORD_OVERHEAD).sum();
        let mut rows = WriteBatch::with_capacity_bytes(size);
        for (key, value) in batch.puts() {
            let family = self.family(Family::of(key.kind())).map_err(unopened)?;
            rows.put_cf(family, key.as_bytes(), value);
        }
        for key in batch.deletes() {
            let family = self.family(Family::of(key.kind())).map_err(unopened)?;
            rows.delete_cf(family, key.as_bytes());
        }
        Ok(rows)
    }
}
