//! An outbox on the disk: a row of segments, and the file that says how far the row goes.
//!
//! | file | holds |
//! |---|---|
//! | `outbox.json` | the version of the format, the outbox's id, and the number of its newest segment, with a checksum |
//! | `N.segment` | a segment of the journal (16 digits); commits in sectors, as a witness's journal has them |
//! | `N.new` | a segment that is being made |
//! | `outbox.lock` | nothing; whoever holds its lock has the outbox open |
//! | `outbox.sock` | the socket of the process that has it open |
//!
//! An own journal rather than redb, which the witness's base stands in: what was delivered must leave the disk, and a
//! segment is deleted where a page of redb would become free and keep its bytes; and a commit is one write and one sync.
//! Its format is the one that the witness's journal has, with what tells a cut from damage.
//!
//! The order of writes. A commit is durable when its sync returns, and nobody is told of it before: that is the point of
//! no return. A new segment is made under another name, durably; then `outbox.json` says that it is there, which is when
//! it begins to count; then it gets its name. A segment is removed only when a commit (a cut, or the beginning of a later
//! segment) says that it is not needed. So a start finds all segments from the first one needed to the newest, or
//! something is missing, and it refuses.
//!
//! What can't be told from what was: an older copy of the whole folder, or of the newest segment. Deliveries are exact all
//! the same; events that are not in the copy are gone.

mod binding;
mod error;
mod folder;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use self::binding::Binding;
pub use self::error::StoreError;
use self::folder::{close_to_others, finish_making, make_segment, refuse_others, segments, sync_folder, sync_way_to};
use super::bounds;
use super::entry::{Begin, Entry, FORMAT};
use super::segment::{Place, Read, Segment, new_path_of, path_of};
use crate::files::Hold;
use crate::sector::{self, StoreId};

/// An open outbox on the disk. One process has it at a time.
pub(in crate::outbox) struct Store {
    folder: PathBuf,
    binding: Binding,
    segment_bytes: usize,
    newest: Segment,
    /// The segments before the newest.
    older: BTreeSet<u64>,
    /// The first segment that is needed.
    first: u64,
    failed: bool,
    _hold: Hold,
}

impl Store {
    /// Opens the outbox of a folder and returns what its journal says, or makes one with this id if there is none and it is
    /// wished.
    pub(in crate::outbox) fn open(
        folder: &Path,
        segment_bytes: usize,
        make: Option<StoreId>,
    ) -> Result<(Self, Vec<(Entry, Place)>), StoreError> {
        if make.is_some() && !folder.exists() {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(StoreError::io(folder))?;
        }
        if !folder.is_dir() {
            return Err(StoreError::Absent(folder.to_owned()));
        }
        // A path of its own: the lock stands beside it.
        let hold = Hold::take(&folder.join("outbox"))?;
        let lock = folder.join("outbox.lock");
        fs::set_permissions(&lock, fs::Permissions::from_mode(0o600)).map_err(StoreError::io(&lock))?;
        let segment_bytes = segment_bytes.max(bounds::LEAST_SEGMENT_BYTES).next_multiple_of(sector::PAGE);
        let binding = match (Binding::read(folder)?, make) {
            (Some(binding), _) => {
                close_to_others(folder)?;
                binding
            }
            (None, None) => return Err(StoreError::Absent(folder.to_owned())),
            (None, Some(id)) => {
                refuse_others(folder)?;
                // Not before: a folder that is somebody else's stays as it is.
                close_to_others(folder)?;
                // Before it is an outbox at all: also where a crash left a folder that was just made.
                sync_way_to(folder)?;
                let binding = Binding { format: FORMAT, id, newest: 0 };
                binding.write(folder)?;
                binding
            }
        };
        if binding.newest > 0 {
            return Self::read(folder, segment_bytes, binding, hold);
        }
        for (number, is_new) in segments(folder)? {
            let path = if is_new { new_path_of(folder, number) } else { path_of(folder, number) };
            fs::remove_file(&path).map_err(StoreError::io(&path))?;
        }
        let begin = Begin { format: FORMAT, first: 1, before: 0, next: 1, length: segment_bytes as u64 };
        let mut binding = binding;
        let newest = make_segment(folder, &mut binding, begin)?;
        let (folder, older) = (folder.to_owned(), BTreeSet::new());
        Ok((Self { folder, binding, segment_bytes, newest, older, first: 1, failed: false, _hold: hold }, Vec::new()))
    }

    fn read(
        folder: &Path,
        segment_bytes: usize,
        binding: Binding,
        hold: Hold,
    ) -> Result<(Self, Vec<(Entry, Place)>), StoreError> {
        let (last, id) = (binding.newest, binding.id);
        finish_making(folder, last)?;
        let path = path_of(folder, last);
        if !path.exists() {
            return Err(StoreError::damaged(&path, "it is missing"));
        }
        let newest = Segment::open(&path, id, last)?;
        let cuts = newest.entries.iter().filter_map(|(entry, _)| match entry {
            Entry::Cut(first) => Some(*first),
            _ => None,
        });
        let first = cuts.chain([newest.begin.first]).max().unwrap_or_default();
        let mut older = BTreeSet::new();
        for (number, _) in segments(folder)?.into_iter().filter(|(number, _)| *number < last) {
            if number >= first {
                older.insert(number);
                continue;
            }
            // Its removal was cut short.
            let path = path_of(folder, number);
            fs::remove_file(&path).map_err(StoreError::io(&path))?;
        }
        let (mut entries, mut before) = (Vec::new(), None);
        for number in first..last {
            let path = path_of(folder, number);
            if !older.contains(&number) {
                return Err(StoreError::damaged(&path, "it is missing"));
            }
            let Read { segment, begin, entries: some, .. } = Segment::open(&path, id, number)?;
            check_before(&path, before, begin)?;
            before = Some(segment.commits);
            entries.extend(some);
        }
        check_before(&path_of(folder, last), before, newest.begin)?;
        let Read { segment, entries: some, torn, begin } = newest;
        entries.extend(some);
        let folder = folder.to_owned();
        let mut store =
            Self { folder, binding, segment_bytes, newest: segment, older, first, failed: false, _hold: hold };
        if torn {
            // What was cut short is never written over: a later commit would stand among its remains.
            let next = entries.iter().filter_map(|(entry, _)| match entry {
                Entry::Put(put) => Some(put.number.0.saturating_add(1)),
                _ => None,
            });
            store.begin(0, next.chain([begin.next]).max().unwrap_or_default())?;
        }
        Ok((store, entries))
    }

    /// The number of the newest segment.
    pub(in crate::outbox) const fn newest(&self) -> u64 {
        self.newest.number
    }

    /// The first segment that is needed.
    pub(in crate::outbox) const fn first(&self) -> u64 {
        self.first
    }

    pub(in crate::outbox) fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many segments there are.
    pub(in crate::outbox) fn count(&self) -> usize {
        self.older.len() + 1
    }

    pub(in crate::outbox) const fn segment_bytes(&self) -> usize {
        self.segment_bytes
    }

    /// Makes entries durable, all or none, and returns the place of each; `next` is the number of the next batch before
    /// them. Appends leave room that is for notes.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] if nothing was written; after any other one the store is of no more use.
    pub(in crate::outbox) fn commit(&mut self, entries: &[Entry], next: u64) -> Result<Vec<Place>, StoreError> {
        if self.failed {
            return Err(StoreError::Failed);
        }
        let mut payload = Vec::new();
        let mut places = Vec::with_capacity(entries.len());
        for entry in entries {
            let start = payload.len();
            entry.push(&mut payload);
            places.push((start, payload.len() - start));
        }
        let is_notes = entries.iter().all(|entry| !matches!(entry, Entry::Put(_)));
        let spare = if is_notes { 0 } else { self.newest.length() / bounds::NOTES_PART };
        if !self.newest.has_room(payload.len(), spare) {
            self.begin(payload.len(), next)?;
        }
        // The point of no return: once the write is begun, what is handed in here may be on the disk even after an error.
        let appended = self.newest.append(&payload);
        let at = appended.map_err(|error| {
            self.failed = true;
            StoreError::Io { path: path_of(&self.folder, self.newest.number), error }
        })?;
        Ok(places.into_iter().map(|place| self.newest.place(at, place)).collect())
    }

    /// Begins a new segment, with room for a commit of so many bytes.
    pub(in crate::outbox) fn begin(&mut self, payload: usize, next: u64) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Failed);
        }
        let needed = Segment::length_for(payload);
        let length =
            self.segment_bytes.max((needed + needed / (bounds::NOTES_PART - 1)).next_multiple_of(sector::PAGE));
        let (first, before) = (self.first, self.newest.commits);
        let begin = Begin { format: FORMAT, first, before, next, length: length as u64 };
        let made = make_segment(&self.folder, &mut self.binding, begin);
        self.failed = !matches!(made, Ok(_) | Err(StoreError::NoRoom { .. }));
        let old = core::mem::replace(&mut self.newest, made?);
        self.older.insert(old.number);
        Ok(())
    }

    /// Says durably that segments before this one are not needed any more, and removes them.
    pub(in crate::outbox) fn cut(&mut self, first: u64, next: u64) -> Result<(), StoreError> {
        let first = first.min(self.newest.number);
        if first > self.first {
            self.commit(&[Entry::Cut(first)], next)?;
            self.first = first;
        }
        let kept = self.older.split_off(&self.first);
        for number in core::mem::replace(&mut self.older, kept) {
            let path = path_of(&self.folder, number);
            // One that can't be removed now is removed by the next start.
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "a segment that is not needed any more can't be removed");
            }
        }
        sync_folder(&self.folder)
    }
}

fn check_before(path: &Path, before: Option<u64>, begin: Begin) -> Result<(), StoreError> {
    match before {
        Some(before) if before != begin.before => {
            let why = format!("the segment before it has {before} commits, and had {}", begin.before);
            Err(StoreError::damaged(path, why))
        }
        _ => Ok(()),
    }
}
