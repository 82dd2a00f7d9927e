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

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use cairn_tree::hash::Hash;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::bounds;
use super::entry::{Begin, Entry, FORMAT};
use super::segment::{Place, Read, Segment, new_path_of, number_of, path_of};
use crate::files::{Durability, FileError, Hold, read_bounded, write_atomic};
use crate::sector::{self, StoreId};

const BINDING: &str = "outbox.json";
/// What the names of its versions begin with that did not take its place.
const TEMPORARY: &str = "outbox.json.tmp-";

/// Why an outbox can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or the folder.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// Others may enter the folder, and that can't be changed.
    #[error("{}: others may enter it (mode {mode:o}), and this can't be changed: {error}; make it 0700", path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// What the system said.
        error: io::Error,
    },
    /// There is no room for another segment. Nothing was written.
    #[error("{}: no room for more: {error}", path.display())]
    NoRoom {
        /// The file that was to be made.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file is not as it was written.
    #[error("{}: damaged: {why}; {RESTORE}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// There is no outbox in the folder, but something else.
    #[error("{}: not an outbox, and not empty", .0.display())]
    NotOne(PathBuf),
    /// There is no outbox.
    #[error("{}: there is no outbox; `cairn outbox add` makes one", .0.display())]
    Absent(PathBuf),
    /// Another process has it open, or a file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A write failed before: what is on the disk is known only when the outbox is opened again.
    #[error("a write failed before; the outbox must be opened again")]
    Failed,
}

/// What to do about damage.
const RESTORE: &str = "nothing is dropped by guessing: put a good copy of the folder back (whatever of it was delivered \
                       since is not delivered twice), or move the folder away, and what was not delivered with it";

/// What an outbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Binding {
    format: u32,
    id: StoreId,
    /// The newest segment; 0 while the outbox is being made, when nothing can be in it.
    newest: u64,
}

/// An open outbox on the disk. One process has it at a time.
pub(super) struct Store {
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

impl StoreError {
    pub(super) fn damaged(path: &Path, why: impl core::fmt::Display) -> Self {
        Self::Damaged { path: path.to_owned(), why: why.to_string() }
    }

    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path, error }
    }
}

impl Store {
    /// Opens the outbox of a folder and returns what its journal says, or makes one with this id if there is none and it is
    /// wished.
    pub(super) fn open(
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
        let binding = match (read_binding(folder)?, make) {
            (Some(binding), _) => {
                close_to_others(folder)?;
                binding
            }
            (None, None) => return Err(StoreError::Absent(folder.to_owned())),
            (None, Some(id)) => {
                refuse_others(folder)?;
                // Not before: a folder that is somebody else's stays as it is.
                close_to_others(folder)?;
                let binding = Binding { format: FORMAT, id, newest: 0 };
                write_binding(folder, &binding)?;
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
    pub(super) const fn newest(&self) -> u64 {
        self.newest.number
    }

    /// The first segment that is needed.
    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many segments there are.
    pub(super) fn count(&self) -> usize {
        self.older.len() + 1
    }

    pub(super) const fn segment_bytes(&self) -> usize {
        self.segment_bytes
    }

    /// Makes entries durable, all or none, and returns the place of each; `next` is the number of the next batch before
    /// them. Appends leave room that is for notes.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] if nothing was written; after any other one the store is of no more use.
    pub(super) fn commit(&mut self, entries: &[Entry], next: u64) -> Result<Vec<Place>, StoreError> {
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
    pub(super) fn begin(&mut self, payload: usize, next: u64) -> Result<(), StoreError> {
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
    pub(super) fn cut(&mut self, first: u64, next: u64) -> Result<(), StoreError> {
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

/// Whoever may enter the folder may read names and wait for files: it is its owner's alone, whoever made it.
fn close_to_others(folder: &Path) -> Result<(), StoreError> {
    let mode = fs::metadata(folder).map_err(StoreError::io(folder))?.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let closed = fs::set_permissions(folder, fs::Permissions::from_mode(mode & 0o700));
    closed.map_err(|error| StoreError::Open { path: folder.to_owned(), mode, error })?;
    tracing::warn!(folder = %folder.display(), mode = format!("{mode:o}"), "others could enter the outbox; its mode is 0700 now");
    Ok(())
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

/// Makes a segment: under another name, then said to be there, then under its name.
fn make_segment(folder: &Path, binding: &mut Binding, begin: Begin) -> Result<Segment, StoreError> {
    let number = binding.newest + 1;
    let (fresh, path) = (new_path_of(folder, number), path_of(folder, number));
    let no_room = |error| {
        // Nothing of it counts yet; one that stays behind is removed by the next start, or here before the next try.
        let _ = fs::remove_file(&fresh);
        StoreError::NoRoom { path: fresh.clone(), error }
    };
    if let Err(error) = fs::remove_file(&fresh)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(StoreError::Io { path: fresh, error });
    }
    let segment = Segment::create(&fresh, binding.id, number, begin).map_err(no_room)?;
    sync_folder(folder)?;
    // From here on it counts, whether its name follows now or at the next start.
    let next = Binding { newest: number, ..*binding };
    write_binding(folder, &next)?;
    *binding = next;
    fs::rename(&fresh, &path).map_err(StoreError::io(&path))?;
    sync_folder(folder)?;
    Ok(segment)
}

/// Does what a crash may have left undone when the newest segment was made.
fn finish_making(folder: &Path, newest: u64) -> Result<(), StoreError> {
    let failed = StoreError::io;
    for file in fs::read_dir(folder).map_err(failed(folder))? {
        let file = file.map_err(failed(folder))?;
        if file.file_name().to_string_lossy().starts_with(TEMPORARY) {
            fs::remove_file(file.path()).map_err(failed(&file.path()))?;
        }
    }
    let there = segments(folder)?;
    for (number, is_new) in there.iter().copied() {
        let (fresh, path) = (new_path_of(folder, number), path_of(folder, number));
        match is_new {
            true if number == newest && !there.contains(&(number, false)) => {
                fs::rename(&fresh, &path).map_err(StoreError::io(&path))?;
                sync_folder(folder)?;
            }
            true => fs::remove_file(&fresh).map_err(StoreError::io(&fresh))?,
            false if number > newest => {
                let why = format!("{BINDING} beside it says that {newest} is the newest: it is an older copy");
                return Err(StoreError::damaged(&path, why));
            }
            false => {}
        }
    }
    Ok(())
}

/// The segments in a folder, and whether each is still being made.
fn segments(folder: &Path) -> Result<BTreeSet<(u64, bool)>, StoreError> {
    let failed = StoreError::io;
    let mut found = BTreeSet::new();
    for file in fs::read_dir(folder).map_err(failed(folder))? {
        let name = file.map_err(failed(folder))?.file_name();
        found.extend(name.to_str().and_then(number_of));
    }
    Ok(found)
}

/// A folder that is no outbox yet is empty, but for what this program leaves there on its way.
fn refuse_others(folder: &Path) -> Result<(), StoreError> {
    for file in fs::read_dir(folder).map_err(StoreError::io(folder))? {
        let name = file.map_err(StoreError::io(folder))?.file_name();
        let name = name.to_string_lossy();
        let is_own = name.starts_with("outbox.") || name == "lost+found";
        if !is_own || number_of(&name).is_some() {
            return Err(StoreError::NotOne(folder.to_owned()));
        }
    }
    Ok(())
}

fn read_binding(folder: &Path) -> Result<Option<Binding>, StoreError> {
    let path = folder.join(BINDING);
    let bytes = match read_bounded(&path, bounds::BINDING_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.is_absent() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if sealed(line) != bytes {
        return Err(StoreError::damaged(&path, "it does not fit its checksum"));
    }
    let binding: Binding = serde_json::from_slice(line).map_err(|error| StoreError::damaged(&path, error))?;
    if binding.format != FORMAT {
        let why = format!("it is of version {}, and this program reads {FORMAT}", binding.format);
        return Err(StoreError::damaged(&path, why));
    }
    Ok(Some(binding))
}

/// A line, and its checksum on the next one.
fn sealed(line: &[u8]) -> Vec<u8> {
    let sum = Hash::new(Sha256::digest(line).into());
    [line, b"\n", sum.to_string().as_bytes(), b"\n"].concat()
}

fn write_binding(folder: &Path, binding: &Binding) -> Result<(), StoreError> {
    let path = folder.join(BINDING);
    let line = serde_json::to_vec(binding).map_err(|error| StoreError::damaged(&path, error))?;
    write_atomic(&path, &sealed(&line), Durability::PowerLoss)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(StoreError::io(&path))
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::io(folder))
}
