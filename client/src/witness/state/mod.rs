//! What the witness must never forget: the newest head that it cosigned for each log, and whom it trusts for it.
//!
//! Records live in memory, in the journal since its last epoch began, and in the base for all time before. A commit is
//! one write and one sync of the journal. When the journal is full, and at every start and clean stop, the base takes
//! over what the journal has, and says up to which commit; only then is the journal written from its beginning again.
//! So starting after a crash is what happens anyway.
//!
//! Damage is told from what a crash leaves, and refused: a witness that lost a head could cosign a fork. So is an older
//! copy of one of the files, since the base also takes note, about once a second, of how far the journal goes. Not noticed
//! here, nor by anybody without outside help: both files restored from one backup, and after a crash a copy of the journal
//! that lacks only what came after the last mark.

mod base;
mod journal;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_tree::checkpoint::OriginHash;

use self::base::{Base, Binding};
use self::journal::{Found, Journal, Known};
use super::keys::Cosigners;
use super::log::{Log, RecordError};
use crate::sector;
pub use crate::sector::{Damage, StoreId};

/// The journal's length: a commit takes at least a page.
const JOURNAL_BYTES: usize = 16 << 20;

/// All logs, by the hashes of their origins.
pub type Logs = HashMap<OriginHash, Arc<Log>>;

/// The open state. One process has it at a time.
pub struct Store {
    base: Base,
    journal: Journal,
    logs: Logs,
    /// Records that are newer in the journal than in the base.
    fresh: HashSet<OriginHash>,
    /// A write failed: what is on the disk is unknown.
    failed: bool,
    folder: PathBuf,
}

/// Why the state can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// redb refused.
    #[error("{}: {error}", path.display())]
    Base {
        /// The file.
        path: PathBuf,
        /// What it said.
        error: Box<redb::Error>,
    },
    /// The base is not as it was written.
    #[error("{}: damaged: {why}; {RESTORE}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The journal is not as it was written.
    #[error("{}: damaged: {error}; {RESTORE}", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Damage,
    },
    /// The journal lacks what the base has seen of it.
    #[error("{}: older than the database beside it; {RESTORE}", path.display())]
    OldJournal {
        /// The file.
        path: PathBuf,
    },
    /// A record is none.
    #[error("the record of {hash}: {error}; {RESTORE}")]
    Record {
        /// Whose.
        hash: OriginHash,
        /// What is wrong with it.
        error: RecordError,
    },
    /// The state is of a witness with other keys.
    #[error("{}: the state of the witness {bound}, but the keys are of {given}", path.display())]
    OtherKeys {
        /// The file.
        path: PathBuf,
        /// The keys that it is bound to.
        bound: String,
        /// The keys that there are.
        given: String,
    },
    /// A write failed before.
    #[error(
        "the state can't be written any more: a write failed, and what is on the disk is known after a restart only"
    )]
    Failed,
}

/// What to do about damage. Making the witness anew under the same key is the one thing that is never right.
const RESTORE: &str = "a witness that forgot what it cosigned must not go on under its key: put the newest copy of the \
                       whole folder back only if nothing was cosigned since, else make a new witness";

impl Store {
    /// Makes the files of a new witness in a folder that has none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn create(folder: &Path, id: StoreId, keys: &Cosigners) -> Result<(), StoreError> {
        Journal::create(folder, id, 1, JOURNAL_BYTES)?;
        Base::create(folder, Binding::new(id, texts(keys)))?;
        sync_folder(folder)
    }

    /// Whether any of the files is there.
    #[must_use]
    pub fn is_in(folder: &Path) -> bool {
        [base::FILE_NAME, journal::FILE_NAME].iter().any(|name| folder.join(name).symlink_metadata().is_ok())
    }

    /// Removes the files, if they are there.
    pub fn remove(folder: &Path) {
        for name in [base::FILE_NAME, journal::FILE_NAME] {
            // What was not made can't be removed, and that is as it should be.
            let _ = std::fs::remove_file(folder.join(name));
        }
    }

    /// Opens the state of the witness that has these keys, and checks all of it.
    ///
    /// # Errors
    /// [`StoreError`] if anything is missing, damaged, or another witness's.
    pub fn open(folder: &Path, keys: &Cosigners) -> Result<Self, StoreError> {
        let base = Base::open(folder)?;
        let given = texts(keys);
        if base.binding.keys != given {
            let path = folder.join(base::FILE_NAME);
            return Err(StoreError::OtherKeys { path, bound: base.binding.keys.join(" "), given: given.join(" ") });
        }
        let known = Known { epoch: base.binding.epoch, folded: base.binding.commit, mark: base.mark() };
        let Found { journal, payloads } = Journal::open(folder, base.binding.id(), known)?;
        let mut records: HashMap<OriginHash, Vec<u8>> = base.records()?.into_iter().collect();
        let mut fresh = HashSet::new();
        for payload in &payloads {
            for (hash, record) in read_payload(payload) {
                records.insert(hash, record);
                fresh.insert(hash);
            }
        }
        let mut logs = Logs::with_capacity(records.len());
        for (hash, record) in &records {
            let log = Log::decode(record).map_err(|error| StoreError::Record { hash: *hash, error })?;
            logs.insert(*hash, Arc::new(log));
        }
        let mut store = Self { base, journal, logs, fresh, failed: false, folder: folder.to_owned() };
        store.fold()?;
        Ok(store)
    }

    /// All logs.
    #[must_use]
    pub const fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Makes new versions of logs durable, all or none. This is the point of no return: what was handed in here may be on
    /// the disk even after an error, and nothing more is written then.
    ///
    /// # Errors
    /// [`StoreError`]; the state is of no more use after it.
    pub fn commit(&mut self, logs: &[Arc<Log>]) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Failed);
        }
        let result = self.write(logs);
        self.failed = result.is_err();
        result
    }

    /// Whether the base knows of the newest commit, itself or by its mark.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        // The commit that begins an epoch is empty: it is nothing that could be missed.
        self.journal.commit() <= self.base.mark().max(self.base.binding.commit + 1)
    }

    /// Lets the base take note of the newest commit: from then on an older copy of the journal is told from this one.
    ///
    /// # Errors
    /// [`StoreError`]; the state is of no more use after it.
    pub fn mark(&mut self) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Failed);
        }
        let result = if self.is_marked() { Ok(()) } else { self.base.set_mark(self.journal.commit()) };
        self.failed = result.is_err();
        result
    }

    /// Brings the base up to date, so that the next start finds nothing to do.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn close(mut self) -> Result<(), StoreError> {
        if self.failed { Err(StoreError::Failed) } else { self.fold() }
    }

    fn write(&mut self, logs: &[Arc<Log>]) -> Result<(), StoreError> {
        let mut payload = Vec::new();
        for log in logs {
            let hash = OriginHash::of(&log.origin);
            let record = log.encode().map_err(|error| StoreError::Record { hash, error })?;
            write_payload(&mut payload, hash, &record);
        }
        if !self.journal.has_room(payload.len()) {
            self.fold()?;
        }
        self.journal.append(&payload).map_err(|error| self.journal_error(error))?;
        for log in logs {
            let hash = OriginHash::of(&log.origin);
            self.logs.insert(hash, Arc::clone(log));
            self.fresh.insert(hash);
        }
        Ok(())
    }

    /// The base takes over what the journal has; then the journal begins anew. A crash in between leaves a journal that
    /// the base says is done with.
    fn fold(&mut self) -> Result<(), StoreError> {
        let mut records = Vec::with_capacity(self.fresh.len());
        for hash in &self.fresh {
            let Some(log) = self.logs.get(hash) else { continue };
            records.push((*hash, log.encode().map_err(|error| StoreError::Record { hash: *hash, error })?));
        }
        self.base.fold(&records, self.journal.commit())?;
        self.fresh.clear();
        self.journal.begin_epoch().map_err(|error| self.journal_error(error))
    }

    fn journal_error(&self, error: io::Error) -> StoreError {
        StoreError::Io { path: self.folder.join(journal::FILE_NAME), error }
    }
}

/// The commits in the bytes of a journal, after those that the base holds. What a crash can have left of the last one is
/// passed over.
///
/// # Errors
/// [`Damage`] if the bytes are neither what was written nor what a crash leaves of it.
pub fn read_journal(id: StoreId, epoch: u64, folded: u64, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Damage> {
    sector::decode(id, epoch, folded, bytes)
}

/// The bytes of a journal with these commits.
#[must_use]
pub fn write_journal(id: StoreId, epoch: u64, folded: u64, commits: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (commit, payload) in (folded + 1..).zip(commits) {
        let written = sector::encode(id, sector::Label { epoch, commit }, payload);
        bytes.extend_from_slice(&written);
        bytes.resize(bytes.len().next_multiple_of(sector::PAGE), 0);
    }
    bytes
}

/// Sectors with these contents, each cut or filled up to its length and under the checksum that is right for it: what
/// nobody but a witness writes, and a test of what reads it can't find by chance.
#[must_use]
pub fn seal_sectors(id: StoreId, contents: &[u8]) -> Vec<u8> {
    contents.chunks(sector::CONTENT).flat_map(|content| sector::seal(id, content)).collect()
}

/// The records of logs in a commit, by the hashes of their origins.
#[must_use]
pub fn read_commit(payload: &[u8]) -> Vec<(OriginHash, Vec<u8>)> {
    read_payload(payload)
}

fn texts(keys: &Cosigners) -> Vec<String> {
    keys.verifier_keys().into_iter().map(ToString::to_string).collect()
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let sync = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    sync.map_err(|error| StoreError::Io { path: folder.to_owned(), error })
}

/// A record in a commit: the hash, the length, the bytes.
fn write_payload(payload: &mut Vec<u8>, hash: OriginHash, record: &[u8]) {
    payload.extend_from_slice(hash.as_bytes());
    payload.extend_from_slice(&(record.len() as u64).to_be_bytes());
    payload.extend_from_slice(record);
}

/// The records of a commit. Its checksums were right, so whatever is written above can be read here.
fn read_payload(payload: &[u8]) -> Vec<(OriginHash, Vec<u8>)> {
    let mut records = Vec::new();
    let mut rest = payload;
    while let Some((hash, after)) = rest.split_first_chunk() {
        let Some((length, after)) = after.split_first_chunk() else { break };
        let length = usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((record, after)) = after.split_at_checked(length) else { break };
        records.push((OriginHash::new(*hash), record.to_vec()));
        rest = after;
    }
    records
}
