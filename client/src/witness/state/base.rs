//! The base: the records of all logs in redb, as of the journal's last epoch.
//!
//! redb is a plain ordered map in one file, in safe Rust, kept up and released regularly, with a stable file format and
//! crash-safe commits. It is brought up to date in bulk and rarely; what must be durable at once goes to the journal.
//! Every value carries a checksum of its own, since redb checks its pages only when it repairs them.

use std::path::{Path, PathBuf};

use cairn_tree::checkpoint::OriginHash;
use redb::{
    Database, Durability, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, TableDefinition,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{StoreError, StoreId};

/// The file in the witness's folder.
pub(super) const FILE_NAME: &str = "witness.redb";

const LOGS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("logs");
const BINDING: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("binding");
const BINDING_KEY: &str = "binding";
/// The number of a commit that is in the journal; whoever does not know this row passes over it.
const MARK_KEY: &str = "mark";
const FORMAT: u32 = 1;
const CHECKSUM: usize = 32;
/// Memory for redb's pages: they are read once and written in bulk.
const CACHE_BYTES: usize = 4 << 20;

/// What the base belongs to, and up to where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Binding {
    format: u32,
    id: StoreId,
    /// The witness's own keys.
    pub(super) keys: Vec<String>,
    /// The epoch of the journal that goes on from here.
    pub(super) epoch: u64,
    /// The newest commit that is in here.
    pub(super) commit: u64,
    /// How many logs there are.
    logs: u64,
}

impl Binding {
    pub(super) const fn new(id: StoreId, keys: Vec<String>) -> Self {
        Self { format: FORMAT, id, keys, epoch: 1, commit: 0, logs: 0 }
    }

    pub(super) const fn id(&self) -> StoreId {
        self.id
    }
}

/// An open base.
pub(super) struct Base {
    database: Database,
    pub(super) binding: Binding,
    /// The newest commit that the journal is known to have had.
    mark: u64,
    path: PathBuf,
}

impl Base {
    /// Makes a new file.
    pub(super) fn create(folder: &Path, binding: Binding) -> Result<(), StoreError> {
        let path = folder.join(FILE_NAME);
        let database = Database::create(&path).map_err(|error| failed(&path, error))?;
        Self { database, binding, mark: 0, path }.write(&[])
    }

    /// Opens the file, and checks all of it.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE_NAME);
        let fail = |error: redb::Error| failed(&path, error);
        let mut database =
            Database::builder().set_cache_size(CACHE_BYTES).open(&path).map_err(|error| fail(error.into()))?;
        if !database.check_integrity().map_err(|error| fail(error.into()))? {
            return Err(damaged(&path, "its pages do not fit their checksums"));
        }
        let read = database.begin_read().map_err(|error| fail(error.into()))?;
        let table = read.open_table(BINDING).map_err(|error| fail(error.into()))?;
        let value = table.get(BINDING_KEY).map_err(|error| fail(error.into()))?;
        let value = value.ok_or_else(|| damaged(&path, "it is bound to no keys"))?;
        let content = checked(BINDING_KEY.as_bytes(), value.value());
        let content = content.ok_or_else(|| damaged(&path, "its binding does not fit its checksum"))?;
        let binding: Binding = serde_json::from_slice(content).map_err(|error| damaged(&path, error))?;
        if binding.format != FORMAT {
            return Err(damaged(
                &path,
                format_args!("it has format {}, and this program reads {FORMAT}", binding.format),
            ));
        }
        let mark = match table.get(MARK_KEY).map_err(|error| fail(error.into()))? {
            Some(value) => checked(MARK_KEY.as_bytes(), value.value())
                .and_then(|content| content.try_into().ok().map(u64::from_be_bytes))
                .ok_or_else(|| damaged(&path, "its mark of the journal does not fit its checksum"))?,
            None => 0,
        };
        drop((value, table, read));
        Ok(Self { database, binding, mark, path })
    }

    /// The newest commit that the journal is known to have had.
    pub(super) fn mark(&self) -> u64 {
        self.mark.max(self.binding.commit)
    }

    /// Takes note, durably, that the journal has this commit.
    pub(super) fn set_mark(&mut self, commit: u64) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let mut write = self.database.begin_write()?;
            write.set_durability(Durability::Immediate)?;
            write.set_two_phase_commit(true);
            {
                let mut table = write.open_table(BINDING)?;
                table.insert(MARK_KEY, sealed(MARK_KEY.as_bytes(), &commit.to_be_bytes()).as_slice())?;
            }
            write.commit()?;
            Ok(())
        };
        write().map_err(|error| failed(&self.path, error))?;
        self.mark = commit;
        Ok(())
    }

    /// All records.
    pub(super) fn records(&self) -> Result<Vec<(OriginHash, Vec<u8>)>, StoreError> {
        let fail = |error: redb::Error| failed(&self.path, error);
        let read = self.database.begin_read().map_err(|error| fail(error.into()))?;
        let table = read.open_table(LOGS).map_err(|error| fail(error.into()))?;
        let mut records = Vec::new();
        for row in table.iter().map_err(|error| fail(error.into()))? {
            let (key, value) = row.map_err(|error| fail(error.into()))?;
            let hash: Result<[u8; OriginHash::LEN], _> = key.value().try_into();
            let hash = OriginHash::new(hash.map_err(|_| damaged(&self.path, "a key is no hash"))?);
            let content = checked(key.value(), value.value())
                .ok_or_else(|| damaged(&self.path, format_args!("the record of {hash} does not fit its checksum")))?;
            records.push((hash, content.to_vec()));
        }
        if records.len() as u64 != self.binding.logs {
            return Err(damaged(&self.path, "records are missing"));
        }
        Ok(records)
    }

    /// Brings the base up to `commit`, after which the journal begins its next epoch.
    pub(super) fn fold(&mut self, records: &[(OriginHash, Vec<u8>)], commit: u64) -> Result<(), StoreError> {
        self.binding.epoch += 1;
        self.binding.commit = commit;
        self.write(records)
    }

    fn write(&mut self, records: &[(OriginHash, Vec<u8>)]) -> Result<(), StoreError> {
        let binding = &mut self.binding;
        let database = &self.database;
        let mut write = || -> Result<(), redb::Error> {
            let mut write = database.begin_write()?;
            write.set_durability(Durability::Immediate)?;
            // Rare enough to pay for two syncs, so that a torn write of redb's header needs no checksum to be noticed.
            write.set_two_phase_commit(true);
            {
                let mut table = write.open_table(LOGS)?;
                for (hash, record) in records {
                    let key = hash.as_bytes().as_slice();
                    table.insert(key, sealed(key, record).as_slice())?;
                }
                binding.logs = table.len()?;
                let content = serde_json::to_vec(binding).map_err(|error| redb::Error::Corrupted(error.to_string()))?;
                let mut table = write.open_table(BINDING)?;
                table.insert(BINDING_KEY, sealed(BINDING_KEY.as_bytes(), &content).as_slice())?;
            }
            write.commit()?;
            Ok(())
        };
        write().map_err(|error| failed(&self.path, error))
    }
}

fn sealed(key: &[u8], content: &[u8]) -> Vec<u8> {
    [checksum(key, content).as_slice(), content].concat()
}

fn checked<'a>(key: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    let (sum, content) = value.split_first_chunk::<CHECKSUM>()?;
    (checksum(key, content) == *sum).then_some(content)
}

fn checksum(key: &[u8], content: &[u8]) -> [u8; CHECKSUM] {
    Sha256::new()
        .chain_update((key.len() as u64).to_be_bytes())
        .chain_update(key)
        .chain_update(content)
        .finalize()
        .into()
}

fn failed(path: &Path, error: impl Into<redb::Error>) -> StoreError {
    StoreError::Base { path: path.to_owned(), error: Box::new(error.into()) }
}

fn damaged(path: &Path, why: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), why: why.to_string() }
}
