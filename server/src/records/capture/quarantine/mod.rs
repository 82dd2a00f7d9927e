//! The quarantine: messages that became no records, each a file of the folder `quarantine` in the data directory that only
//! the server's user may read.
//!
//! A file is a line of JSON that says why, and the message behind it. It is on disk before anybody is told that the message
//! was kept. The quarantine is bounded, as a whole and for each credential; what it has no room for is refused. What is
//! here can be erased, so that only the lines, which have nothing of a message but its topic, are held in memory.

mod error;
mod id;
mod line;
mod note;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

pub use self::error::QuarantineError;
pub use self::id::Id;
use self::id::hex;
pub use self::line::{Coming, Line, Listed};
use self::line::{FORMAT, read_line};
pub use self::note::Note;
use super::unmapped::Unmapped;
use crate::auth::TokenId;
use crate::names::{sync_folder, sync_name};
use crate::replace::replace_file;
use crate::summed;

/// The folder's name.
pub const FOLDER_NAME: &str = "quarantine";
const EXTENSION: &str = "message";
/// Of the whole, what one credential may take up.
const SHARE: u64 = 2;

/// Messages that are kept.
pub struct Quarantine {
    folder: PathBuf,
    room: Room,
    kept: Mutex<BTreeMap<Id, Kept>>,
}

/// How much there may be.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Most messages.
    pub messages: u64,
    /// Most bytes of files.
    pub bytes: u64,
}

/// A message as it is held in memory.
#[derive(Debug, Clone)]
struct Kept {
    /// `None` if its file is damaged.
    line: Option<Line>,
    bytes: u64,
    /// What the log is still to be told.
    notes: BTreeSet<Note>,
}

impl Quarantine {
    /// Reads what there is in a data directory.
    ///
    /// # Errors
    /// [`QuarantineError::Io`].
    pub fn open(data: &Path, room: Room) -> Result<Self, QuarantineError> {
        let folder = data.join(FOLDER_NAME);
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| QuarantineError::Io { path, source }
        };
        let (mut kept, mut notes) = (BTreeMap::new(), Vec::new());
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            entries => Some(entries.map_err(io(&folder))?),
        };
        for entry in entries.into_iter().flatten() {
            let path = entry.map_err(io(&folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // What a crash left before it had its name was never told to anybody.
            if name.ends_with(".new") {
                fs::remove_file(&path).map_err(io(&path))?;
                continue;
            }
            if let Some(note) = Note::parse(&name) {
                notes.push((path, note));
                continue;
            }
            let Some(id) = name.strip_suffix(EXTENSION).and_then(|name| name.strip_suffix('.')).and_then(Id::parse)
            else {
                continue;
            };
            let bytes = fs::metadata(&path).map_err(io(&path))?.len();
            let line = read_line(&path).map_err(io(&path))?.filter(|line| line.id == id);
            kept.insert(id, Kept { line, bytes, notes: BTreeSet::new() });
        }
        for (path, (id, note)) in notes {
            match kept.get_mut(&id) {
                Some(kept) => {
                    kept.notes.insert(note);
                }
                // The message was never kept, or is gone, which the log knew before.
                None => fs::remove_file(&path).map_err(io(&path))?,
            }
        }
        Ok(Self { folder, room, kept: Mutex::new(kept) })
    }

    /// Keeps a message, durably, and notes that the log is to know of it ([`Self::told`]). One that is there already stays as
    /// it is; while it is leaving, it can't be kept again.
    ///
    /// # Errors
    /// [`QuarantineError`].
    pub fn keep(&self, coming: Coming) -> Result<Line, QuarantineError> {
        // Held across the writing: what two keep at once must have room together.
        let mut kept = self.kept();
        let Coming { id, topic, why, received_ms, token, tenants, key, body } = coming;
        if let Some(there) = kept.get(&id) {
            // Whoever were told that it is kept would send it no more, and nobody would have it.
            if there.notes.iter().any(|note| note.is_of_leaving()) {
                return Err(QuarantineError::Leaving);
            }
            if let Some(line) = &there.line {
                return Ok(line.clone());
            }
        }
        let Unmapped { reason, place } = why;
        let digest = hex(&Sha256::digest(&body));
        let reason = reason.name().to_owned();
        let line = Line { format: FORMAT, id, topic, reason, place, received_ms, token, tenants, key, digest };
        let bytes = self.bytes(&line, &body)?;
        let size = bytes.len() as u64;
        self.room_for(&kept, token, size)?;
        self.make_folder()?;
        // Durable with the message, which syncs the folder.
        self.write_note(id, Note::Quarantined)?;
        if let Err(error) = self.write(&line, &bytes) {
            self.forget(id);
            return Err(error);
        }
        kept.insert(id, Kept { line: Some(line.clone()), bytes: size, notes: BTreeSet::from([Note::Quarantined]) });
        Ok(line)
    }

    /// Says anew why a message stays here.
    ///
    /// # Errors
    /// [`QuarantineError`].
    pub fn keep_again(&self, id: Id, why: &Unmapped) -> Result<Line, QuarantineError> {
        // Held from before the reading: what is removed meanwhile must not come back.
        let mut kept = self.kept();
        let there = kept.get_mut(&id).ok_or_else(|| QuarantineError::Absent(id.to_string()))?;
        let (line, body) = self.read_kept(id, there.clone())?;
        let line = Line { reason: why.reason.name().to_owned(), place: why.place.clone(), ..line };
        let bytes = self.bytes(&line, &body)?;
        self.write(&line, &bytes)?;
        (there.line, there.bytes) = (Some(line.clone()), bytes.len() as u64);
        Ok(line)
    }

    /// What the log is still to be told, of a message that was kept before one that leaves.
    #[must_use]
    pub fn owed(&self) -> Vec<(Id, Note)> {
        let kept = self.kept();
        kept.iter().flat_map(|(id, kept)| kept.notes.iter().map(|note| (*id, *note))).collect()
    }

    /// The log knows that a message was kept.
    pub fn told(&self, id: Id) {
        let mut kept = self.kept();
        if let Some(there) = kept.get_mut(&id)
            && there.notes.remove(&Note::Quarantined)
        {
            // One that stays is only told once more.
            let _ = fs::remove_file(self.folder.join(Note::Quarantined.name(id)));
        }
    }

    /// Notes, durably, that a message is to leave and why; returns why it does, which may have been decided before.
    ///
    /// # Errors
    /// [`QuarantineError::Io`].
    pub fn leave(&self, id: Id, why: Note) -> Result<Note, QuarantineError> {
        let mut kept = self.kept();
        let Some(there) = kept.get_mut(&id) else { return Ok(why) };
        if let Some(before) = there.notes.iter().find(|note| note.is_of_leaving()) {
            return Ok(*before);
        }
        self.write_note(id, why)?;
        self.sync()?;
        there.notes.insert(why);
        Ok(why)
    }

    /// All messages, the oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let listed = |(id, kept): (&Id, &Kept)| Listed { id: *id, line: kept.line.clone(), bytes: kept.bytes };
        let mut all: Vec<Listed> = self.kept().iter().map(listed).collect();
        all.sort_by_key(|listed| (listed.line.as_ref().map(|line| line.received_ms), listed.id));
        all
    }

    /// How many there are, and how many bytes they take.
    #[must_use]
    pub fn size(&self) -> (u64, u64) {
        let kept = self.kept();
        (kept.len() as u64, kept.values().map(|kept| kept.bytes).sum())
    }

    /// A message, as it was kept.
    ///
    /// # Errors
    /// [`QuarantineError`].
    pub fn read(&self, id: Id) -> Result<(Line, Vec<u8>), QuarantineError> {
        let absent = || QuarantineError::Absent(id.to_string());
        let kept = self.kept().get(&id).cloned().ok_or_else(absent)?;
        self.read_kept(id, kept)
    }

    fn read_kept(&self, id: Id, kept: Kept) -> Result<(Line, Vec<u8>), QuarantineError> {
        let path = self.path(id);
        let damaged = || QuarantineError::Damaged { path: path.clone() };
        let io = |source| QuarantineError::Io { path: path.clone(), source };
        let line = kept.line.ok_or_else(damaged)?;
        let mut bytes = Vec::new();
        File::open(&path).map_err(io)?.take(kept.bytes + 1).read_to_end(&mut bytes).map_err(io)?;
        let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
        let body = parts.nth(1).ok_or_else(damaged)?.to_vec();
        if hex(&Sha256::digest(&body)) == line.digest { Ok((line, body)) } else { Err(damaged()) }
    }

    /// Whether a message is here.
    #[must_use]
    pub fn has(&self, id: Id) -> bool {
        self.kept().contains_key(&id)
    }

    /// What is said of a message.
    #[must_use]
    pub fn line(&self, id: Id) -> Option<Line> {
        self.kept().get(&id).and_then(|kept| kept.line.clone())
    }

    /// Removes a message. One that is not there is removed already.
    ///
    /// # Errors
    /// [`QuarantineError::Io`].
    pub fn remove(&self, id: Id) -> Result<(), QuarantineError> {
        let mut kept = self.kept();
        let path = self.path(id);
        let io = |source| QuarantineError::Io { path: path.clone(), source };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        if let Some(Kept { notes, .. }) = kept.remove(&id) {
            // What was erased must not come back with a crash.
            self.sync()?;
            for note in notes {
                // Without a message it means nothing, and the next start removes it.
                let _ = fs::remove_file(self.folder.join(note.name(id)));
            }
        }
        Ok(())
    }

    /// Removes what a write that failed left, on a full disk say, unless the message has its name already.
    fn forget(&self, id: Id) {
        let path = self.path(id);
        if !path.exists() {
            let _ = fs::remove_file(path.with_extension(format!("{EXTENSION}.new")));
            let _ = fs::remove_file(self.folder.join(Note::Quarantined.name(id)));
        }
    }

    fn sync(&self) -> Result<(), QuarantineError> {
        sync_folder(&self.folder).map_err(|source| QuarantineError::Io { path: self.folder.clone(), source })
    }

    fn write_note(&self, id: Id, note: Note) -> Result<(), QuarantineError> {
        let path = self.folder.join(note.name(id));
        let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        written.map(drop).map_err(|source| QuarantineError::Io { path, source })
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<Id, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, id: Id) -> PathBuf {
        self.folder.join(format!("{id}.{EXTENSION}"))
    }

    fn room_for(&self, kept: &BTreeMap<Id, Kept>, token: TokenId, size: u64) -> Result<(), QuarantineError> {
        let Room { messages, bytes } = self.room;
        let used: u64 = kept.values().map(|kept| kept.bytes).sum();
        if kept.len() as u64 >= messages || used + size > bytes {
            return Err(QuarantineError::Full("with messages of all credentials"));
        }
        let own = || kept.values().filter(|kept| kept.line.as_ref().is_some_and(|line| line.token == token));
        let used: u64 = own().map(|kept| kept.bytes).sum();
        if own().count() as u64 >= messages.div_ceil(SHARE) || used + size > bytes.div_ceil(SHARE) {
            return Err(QuarantineError::Full("as far as this credential may fill it"));
        }
        Ok(())
    }

    fn bytes(&self, line: &Line, body: &[u8]) -> Result<Vec<u8>, QuarantineError> {
        let written = summed::to_line(line);
        let mut bytes =
            written.map_err(|error| QuarantineError::Io { path: self.path(line.id), source: error.into() })?;
        bytes.push(b'\n');
        bytes.extend_from_slice(body);
        Ok(bytes)
    }

    fn make_folder(&self) -> Result<(), QuarantineError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| QuarantineError::Io { path, source }
        };
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => {
                made.map_err(io(&self.folder))?;
                // The folder is there only once its parent says so.
                sync_name(&self.folder).map_err(io(&self.folder))?;
            }
        }
        Ok(())
    }

    fn write(&self, line: &Line, bytes: &[u8]) -> Result<(), QuarantineError> {
        let path = self.path(line.id);
        replace_file(&path, bytes).map_err(|source| QuarantineError::Io { path, source })
    }
}
