//! The journal: commits since the base was last brought up to date, each written by one write and one sync.
//!
//! A file of a fixed length that is written from its beginning in every epoch. redb's own commit needs one sync as well,
//! but writes several pages of its tree for a single record; a journal page is the least that can be made durable.

use std::io;
use std::path::Path;

use super::{StoreError, StoreId};
use crate::sector::medium::{self, Medium};
use crate::sector::{self, Label};

/// The file in the witness's folder.
pub(super) const FILE_NAME: &str = "heads.journal";

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    file: Box<dyn Medium>,
    id: StoreId,
    epoch: u64,
    /// The number of the newest commit.
    commit: u64,
    /// Where the next commit goes.
    end: usize,
    length: usize,
}

/// What the base knows of the journal beside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// The epoch that the journal is in.
    pub(super) epoch: u64,
    /// The newest commit that the base holds itself.
    pub(super) folded: u64,
    /// The newest commit that the journal is known to have had.
    pub(super) mark: u64,
}

/// What a journal held when it was opened.
pub(super) struct Found {
    pub(super) journal: Journal,
    /// The commits that the base lacks, in order.
    pub(super) payloads: Vec<Vec<u8>>,
}

impl Journal {
    /// Makes the file, for a base in `epoch` that holds everything through `folded`.
    pub(super) fn create(folder: &Path, id: StoreId, epoch: u64, length: usize) -> Result<(), StoreError> {
        let path = folder.join(FILE_NAME);
        let io = |error| StoreError::Io { path: path.clone(), error };
        let file = medium::create(&path, length).map_err(io)?;
        let mut journal = Self { file: Box::new(file), id, epoch, commit: 0, end: 0, length };
        journal.append(&[]).map_err(io)
    }

    /// Reads the file of a base that knows this of it.
    pub(super) fn open(folder: &Path, id: StoreId, from: Known) -> Result<Found, StoreError> {
        let Known { epoch, folded, mark } = from;
        let path = folder.join(FILE_NAME);
        let io = |error| StoreError::Io { path: path.clone(), error };
        let damaged = |error| StoreError::Journal { path: path.clone(), error };
        let mut file = medium::open(&path).map_err(io)?;
        let bytes = file.read(usize::MAX).map_err(io)?;
        let payloads = sector::decode(id, epoch, folded, &bytes).map_err(damaged)?;
        // An epoch begins with a commit of its own. Without it the process ended between the base's commit and that one,
        // and the journal still has the commit that the base was brought up to; an older copy of the file has not.
        if payloads.is_empty() && sector::newest(id, &bytes).unwrap_or(0) != folded {
            return Err(StoreError::OldJournal { path });
        }
        // Older copies of the same epoch read like a journal that was just so long. Only the base can tell.
        if folded + (payloads.len() as u64) < mark {
            return Err(StoreError::OldJournal { path });
        }
        let end = payloads.iter().map(|payload| sector::footprint(payload.len())).sum();
        let commit = folded + payloads.len() as u64;
        let journal = Self { file: Box::new(file), id, epoch, commit, end, length: bytes.len() };
        Ok(Found { journal, payloads })
    }

    /// Whether a payload of so many bytes fits before the journal is begun anew.
    pub(super) fn has_room(&self, payload: usize) -> bool {
        sector::footprint(payload).saturating_add(self.end) <= self.length
    }

    /// The number of the newest commit.
    pub(super) const fn commit(&self) -> u64 {
        self.commit
    }

    /// The epoch.
    #[cfg(test)]
    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Writes one commit, durably. After an error nothing is known about what is on the disk, and nothing more may be
    /// written.
    pub(super) fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        if !self.has_room(payload.len()) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let label = Label { epoch: self.epoch, commit: self.commit + 1 };
        self.file.write_all_at(&sector::encode(self.id, label, payload), self.end as u64)?;
        self.file.sync_data()?;
        self.commit += 1;
        self.end += sector::footprint(payload.len());
        Ok(())
    }

    /// Begins anew, once the base holds everything and says so.
    pub(super) fn begin_epoch(&mut self) -> io::Result<()> {
        self.epoch += 1;
        self.end = 0;
        self.append(&[])
    }

    #[cfg(test)]
    pub(super) fn replace_medium(&mut self, replace: impl FnOnce(Box<dyn Medium>) -> Box<dyn Medium>) {
        let absent: Box<dyn Medium> = Box::new(tests::Absent);
        self.file = replace(std::mem::replace(&mut self.file, absent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No file at all, for the moment in which one is replaced.
    #[derive(Debug)]
    pub(super) struct Absent;

    impl Medium for Absent {
        fn read(&mut self, _: usize) -> io::Result<Vec<u8>> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn write_all_at(&mut self, _: &[u8], _: u64) -> io::Result<()> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn sync_data(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::NotFound.into())
        }
    }
}
