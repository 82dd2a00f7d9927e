//! One file of the journal: a fixed length of zeros that commits are written into, each by one write and one sync.
//!
//! Zeros are written when the file is made, so that a commit changes nothing but its own blocks, one sync of data is all
//! that it needs, and a full disk is noticed before anything is written.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::{BatchNumber, Begin, Entry, Put};
use super::store::StoreError;
use crate::sector::medium::{self, Medium as _};
use crate::sector::{self, Label, StoreId};

/// Where an entry is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Also readable when the file's name is gone.
    file: Arc<File>,
    id: StoreId,
    label: Label,
    /// Where its commit begins in the file.
    commit: usize,
    /// Where it begins in the commit's payload, and its length.
    start: usize,
    length: usize,
}

/// A segment that commits are written to.
#[derive(Debug)]
pub(super) struct Segment {
    file: Arc<File>,
    id: StoreId,
    pub(super) number: u64,
    pub(super) commits: u64,
    /// Where the next commit goes.
    end: usize,
    length: usize,
}

/// A segment as it was read.
pub(super) struct Read {
    pub(super) segment: Segment,
    pub(super) begin: Begin,
    pub(super) entries: Vec<(Entry, Place)>,
    /// Whether there is something behind the last commit: what a crash left of one that was never acknowledged.
    pub(super) torn: bool,
}

impl Place {
    /// The number of the segment.
    pub(super) const fn segment(&self) -> u64 {
        self.label.epoch
    }

    /// Reads the batch that stands here, and checks that it is the one with this number.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::InvalidData`] if it is not as it was written.
    pub(super) fn read(&self, number: BatchNumber) -> io::Result<Put> {
        let first = self.start / sector::PAYLOAD;
        let last = (self.start + self.length.max(1) - 1) / sector::PAYLOAD;
        let mut bytes = vec![0; (last - first + 1) * sector::SECTOR];
        self.file.read_exact_at(&mut bytes, (self.commit + first * sector::SECTOR) as u64)?;
        let payload = sector::parts(self.id, self.label, first, &bytes);
        let start = self.start - first * sector::PAYLOAD;
        let entry = payload.as_deref().and_then(|payload| payload.get(start..start + self.length));
        let entries = entry.and_then(|entry| Entry::read_all(entry).ok()).unwrap_or_default();
        match entries.into_iter().next() {
            Some((Entry::Put(put), ..)) if put.number == number => Ok(put),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a batch in the journal is not as it was written")),
        }
    }
}

impl Segment {
    /// Makes the file under `path`, with its first commit, durably. Its name is not durable yet.
    pub(super) fn create(path: &Path, id: StoreId, number: u64, begin: Begin) -> io::Result<Self> {
        let length = usize::try_from(begin.length).unwrap_or(usize::MAX);
        let file = Arc::new(medium::create(path, length)?);
        let mut segment = Self { file, id, number, commits: 0, end: 0, length };
        let mut payload = Vec::new();
        Entry::Begin(begin).push(&mut payload);
        segment.append(&payload)?;
        Ok(segment)
    }

    /// How long a segment must be for a commit of so many bytes to fit.
    pub(super) fn length_for(payload: usize) -> usize {
        sector::footprint(sector::PAYLOAD) + sector::footprint(payload)
    }

    /// Whether a payload of so many bytes fits, with so many bytes left over.
    pub(super) fn has_room(&self, payload: usize, spare: usize) -> bool {
        sector::footprint(payload).saturating_add(self.end).saturating_add(spare) <= self.length
    }

    pub(super) const fn length(&self) -> usize {
        self.length
    }

    /// Writes one commit, durably: it is there once this returns. After an error nothing is known about what is on the
    /// disk, and nothing more may be written.
    pub(super) fn append(&mut self, payload: &[u8]) -> io::Result<usize> {
        let (label, at) = (Label { epoch: self.number, commit: self.commits + 1 }, self.end);
        self.file.write_all_at(&sector::encode(self.id, label, payload), at as u64)?;
        self.file.sync_data()?;
        self.commits += 1;
        self.end += sector::footprint(payload.len());
        Ok(at)
    }

    /// The place of an entry in the commit that was written last, at `commit`.
    pub(super) fn place(&self, commit: usize, (start, length): (usize, usize)) -> Place {
        let label = Label { epoch: self.number, commit: self.commits };
        Place { file: Arc::clone(&self.file), id: self.id, label, commit, start, length }
    }

    /// Reads a file, and checks all of it.
    pub(super) fn open(path: &Path, id: StoreId, number: u64) -> Result<Read, StoreError> {
        let failed = |error| StoreError::Io { path: path.to_owned(), error };
        let damaged = |why: &dyn core::fmt::Display| StoreError::damaged(path, why);
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
        let bytes = medium_read(&mut file).map_err(failed)?;
        let payloads = sector::decode(id, number, 0, &bytes).map_err(|error| damaged(&error))?;
        let mut segment = Self { file: Arc::new(file), id, number, commits: 0, end: 0, length: bytes.len() };
        let (mut all, mut begin) = (Vec::new(), None);
        for payload in &payloads {
            let commit = segment.end;
            segment.commits += 1;
            segment.end += sector::footprint(payload.len());
            for (entry, start, length) in Entry::read_all(payload).map_err(|error| damaged(&error))? {
                match (&entry, begin) {
                    (Entry::Begin(found), None) => begin = Some(*found),
                    (_, None) => return Err(damaged(&"it does not begin as a segment does")),
                    (_, Some(_)) => {}
                }
                all.push((entry, segment.place(commit, (start, length))));
            }
        }
        let Some(begin) = begin else { return Err(damaged(&"it has no beginning")) };
        if begin.length != bytes.len() as u64 {
            let why = format!("it has {} bytes, and was made with {}", bytes.len(), begin.length);
            return Err(damaged(&why));
        }
        let torn = bytes.get(segment.end..).unwrap_or_default().iter().any(|byte| *byte != 0);
        Ok(Read { segment, begin, entries: all, torn })
    }
}

fn medium_read(file: &mut File) -> io::Result<Vec<u8>> {
    file.read(usize::MAX)
}

/// The file of a segment.
pub(super) fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016}.{SUFFIX}"))
}

/// The same while it is made.
pub(super) fn new_path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016}.{NEW_SUFFIX}"))
}

/// What the name of a segment ends with.
const SUFFIX: &str = "segment";
/// What it ends with while it is made.
const NEW_SUFFIX: &str = "new";

/// The number of a segment and whether it is being made, from the name of its file.
pub(super) fn number_of(name: &str) -> Option<(u64, bool)> {
    let (number, suffix) = name.split_once('.')?;
    let number = number.parse().ok().filter(|parsed| format!("{parsed:016}") == number)?;
    match suffix {
        SUFFIX => Some((number, false)),
        NEW_SUFFIX => Some((number, true)),
        _ => None,
    }
}
