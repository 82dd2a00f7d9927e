//! The quarantine: messages that became no records, each a file of the folder `quarantine` in the data directory that only
//! the server's user may read.
//!
//! A file is a line of JSON that says why, and the message behind it. It is on disk before anybody is told that the message
//! was kept. The quarantine is bounded, as a whole and for each credential; what it has no room for is refused. What is
//! here can be erased, so that only the lines, which have nothing of a message but its topic, are held in memory.

mod error;
mod id;
mod line;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

pub use self::error::QuarantineError;
pub use self::id::Id;
use self::id::hex;
pub use self::line::{Coming, Line, Listed};
use self::line::{FORMAT, read_line};
use super::unmapped::Unmapped;
use crate::auth::TokenId;
use crate::replace::replace_file;

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
        let mut kept = BTreeMap::new();
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
            let Some(id) = name.strip_suffix(EXTENSION).and_then(|name| name.strip_suffix('.')).and_then(Id::parse)
            else {
                continue;
            };
            let bytes = fs::metadata(&path).map_err(io(&path))?.len();
            let line = read_line(&path).map_err(io(&path))?.filter(|line| line.id == id);
            kept.insert(id, Kept { line, bytes });
        }
        Ok(Self { folder, room, kept: Mutex::new(kept) })
    }

    /// Keeps a message, durably. One that is there already stays as it is.
    ///
    /// # Errors
    /// [`QuarantineError`].
    pub fn keep(&self, coming: Coming) -> Result<Line, QuarantineError> {
        // Held across the writing: what two keep at once must have room together.
        let mut kept = self.kept();
        let Coming { id, topic, why, received_ms, token, tenants, key, body } = coming;
        if let Some(line) = kept.get(&id).and_then(|kept| kept.line.clone()) {
            return Ok(line);
        }
        let Unmapped { reason, place } = why;
        let digest = hex(&Sha256::digest(&body));
        let reason = reason.name().to_owned();
        let line = Line { format: FORMAT, id, topic, reason, place, received_ms, token, tenants, key, digest };
        let bytes = self.bytes(&line, &body)?;
        let size = bytes.len() as u64;
        self.room_for(&kept, token, size)?;
        self.write(&line, &bytes)?;
        kept.insert(id, Kept { line: Some(line.clone()), bytes: size });
        Ok(line)
    }

    /// Says anew why a message stays here.
    ///
    /// # Errors
    /// [`QuarantineError`].
    pub fn keep_again(&self, id: Id, why: &Unmapped) -> Result<Line, QuarantineError> {
        let (line, body) = self.read(id)?;
        let mut kept = self.kept();
        let line = Line { reason: why.reason.name().to_owned(), place: why.place.clone(), ..line };
        let bytes = self.bytes(&line, &body)?;
        self.write(&line, &bytes)?;
        kept.insert(id, Kept { line: Some(line.clone()), bytes: bytes.len() as u64 });
        Ok(line)
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
        if kept.remove(&id).is_some() {
            // What was erased must not come back with a crash.
            File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        }
        Ok(())
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
        let written = serde_json::to_vec(line);
        let mut bytes =
            written.map_err(|error| QuarantineError::Io { path: self.path(line.id), source: error.into() })?;
        bytes.push(b'\n');
        bytes.extend_from_slice(body);
        Ok(bytes)
    }

    fn write(&self, line: &Line, bytes: &[u8]) -> Result<(), QuarantineError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| QuarantineError::Io { path, source }
        };
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => {
                made.map_err(io(&self.folder))?;
                let parent = self.folder.parent().unwrap_or(Path::new("."));
                // The folder is there only once its parent says so.
                File::open(parent).and_then(|parent| parent.sync_all()).map_err(io(parent))?;
            }
        }
        let path = self.path(line.id);
        replace_file(&path, bytes).map_err(io(&path))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::unmapped::Reason;
    use super::*;

    fn id(number: u8) -> Id {
        Id::of(&[number; 32])
    }

    fn coming(number: u8, token: &str, body: &[u8]) -> Coming {
        Coming {
            id: id(number),
            topic: Some("save-it".into()),
            why: Unmapped::of(Reason::NoMapping).at("here"),
            received_ms: u64::from(number),
            token: token.parse().unwrap(),
            tenants: "pb,pb.*".parse().unwrap(),
            key: None,
            body: body.to_vec(),
        }
    }

    const ONE: &str = "000000000001";
    const TWO: &str = "000000000002";

    #[test]
    fn what_is_kept_is_there_after_a_restart_for_its_owner_alone() {
        let data = tempfile::tempdir().unwrap();
        let open = || Quarantine::open(data.path(), Room { messages: 10, bytes: 10_000 }).unwrap();
        let quarantine = open();
        let line = quarantine.keep(coming(2, ONE, b"{\n}")).unwrap();
        quarantine.keep(coming(1, ONE, b"")).unwrap();
        let again = quarantine.keep(Coming { received_ms: 9, ..coming(2, TWO, b"{\n}") }).unwrap();
        assert_eq!(again, line, "a second delivery changes nothing");
        let folder = data.path().join(FOLDER_NAME);
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        for entry in fs::read_dir(&folder).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(folder.join("0123.message.new"), b"torn").unwrap();
        fs::write(folder.join("notes.txt"), b"not ours").unwrap();
        let quarantine = open();
        let order: Vec<Id> = quarantine.list().into_iter().map(|listed| listed.id).collect();
        assert_eq!(order, [id(1), id(2)]);
        assert_eq!(quarantine.read(id(2)).unwrap(), (line.clone(), b"{\n}".to_vec()));
        assert!(!folder.join("0123.message.new").exists() && folder.join("notes.txt").exists());
        let other = quarantine.keep_again(line.id, &Unmapped::of(Reason::Refused)).unwrap();
        assert_eq!((other.reason.as_str(), other.received_ms), ("refused", 2));
        quarantine.remove(line.id).unwrap();
        quarantine.remove(line.id).unwrap();
        assert!(matches!(quarantine.read(line.id), Err(QuarantineError::Absent(_))));
        assert_eq!(open().list().len(), 1);
    }

    #[test]
    fn a_full_quarantine_refuses_and_no_credential_fills_it_alone() {
        let data = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::open(data.path(), Room { messages: 4, bytes: 4_000 }).unwrap();
        quarantine.keep(coming(1, ONE, b"1")).unwrap();
        quarantine.keep(coming(2, ONE, b"2")).unwrap();
        let full = |coming| matches!(quarantine.keep(coming), Err(QuarantineError::Full(_)));
        assert!(full(coming(3, ONE, b"3")));
        assert!(full(coming(3, TWO, &[b'x'; 2_000])));
        quarantine.keep(coming(3, TWO, b"3")).unwrap();
        quarantine.keep(coming(4, TWO, b"4")).unwrap();
        assert!(full(coming(5, "000000000003", b"5")));
        quarantine.remove(id(1)).unwrap();
        quarantine.keep(coming(5, ONE, b"5")).unwrap();
    }

    #[test]
    fn damage_is_told_and_can_be_dropped() {
        let data = tempfile::tempdir().unwrap();
        let room = Room { messages: 4, bytes: 4_000 };
        let line = Quarantine::open(data.path(), room).unwrap().keep(coming(1, ONE, b"body")).unwrap();
        let path = data.path().join(FOLDER_NAME).join(format!("{}.message", line.id));
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            fs::write(&path, bytes).unwrap();
            let quarantine = Quarantine::open(data.path(), room).unwrap();
            match quarantine.read(line.id) {
                Ok((read, body)) => assert!(read != line && body == b"body", "byte {place}"),
                Err(error) => assert!(matches!(error, QuarantineError::Damaged { .. }), "byte {place}"),
            }
            assert_eq!(quarantine.list().len(), 1);
        }
        let quarantine = Quarantine::open(data.path(), room).unwrap();
        quarantine.remove(line.id).unwrap();
        assert_eq!(quarantine.size(), (0, 0));
    }
}
