//! The high-water file: the newest head of every log that may have left this process, kept outside the database.
//!
//! A database that lost its newest commits opens without an error (its engine cannot tell a damaged log from one that a
//! crash cut short), and one that was restored from a backup is sound in itself. Signing from there would fork the log.
//! So each head is recorded here, durably, after the database has it and before anybody sees it; at the start the
//! database must have all that is recorded. Design: "Durability contract" 2.
//!
//! Not here: the comparison with the database, and the signatures. The file cannot tell that it was itself put back
//! or cut at the end of a commit; the database can, but for its last few commits: those it is ahead by anyway.
//!
//! # Format, version 2
//!
//! Numbers are big-endian. `checksum` is the first 16 bytes of SHA-256 over the database's id and all bytes of the
//! header or frame before it. Bytes that are not named are zero.
//!
//! | header, 512 bytes | | frame, 128 bytes | |
//! |---|---|---|---|
//! | 0 | magic `cairn.high-water` | 0 | commit number of the database |
//! | 16 | version, 4 bytes | 8 | the frame's place within its commit, 4 bytes |
//! | 20 | database id, 16 bytes | 12 | the number of the commit's frames, 4 bytes |
//! | 496 | checksum | 16 | log id, 4 bytes |
//! | | | 20 | tree size, 8 bytes |
//! | | | 28 | time of the head in milliseconds since 1970, 8 bytes |
//! | | | 36 | root, 32 bytes |
//! | | | 68 | what was decided about the log ([`Decided`]), 25 bytes |
//! | | | 112 | checksum |
//!
//! Frames follow each other without gaps, and the frames of a commit are one write and one fdatasync into space that was
//! filled with zeros and synced before: the file's length and its blocks do not change, so nothing but the frames is
//! written. An all-zero rest is the normal end.
//!
//! Version 1 has zeros for what was decided: nothing is known of it. Such a file is written anew as version 2 when it is opened,
//! so that older programs say that they do not know its version, and not that it is damaged.
//!
//! # What a crash leaves
//!
//! A disk writes a sector of 512 bytes whole or not at all, in any order, and no frame straddles two. So a commit whose
//! sync did not return lacks all of its frames in some sectors, or, where the file was cut, those at the end. It was
//! never released, and is dropped and erased. Anything else that is not a whole commit is damage, and the file is
//! refused: guessing here would mean signing on a guess.

pub mod again;
mod decided;
#[cfg(test)]
mod faults;
mod file;
mod frame;
#[cfg(test)]
pub(crate) mod gate;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use cairn_tree::hash::Hash;
use cairn_tree::size::TreeSize;
use cairn_tree::store::{DatabaseId, LogId};

pub use decided::{Decided, PolicyMark};
use file::{Disk, DiskFile, RealDisk, write_all_at};
pub use frame::Damage;

/// No file is read or written past this; it holds eight million frames.
const LENGTH_MAX: u64 = 1 << 30;

/// What is known of a log's newest head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Its tree size.
    pub size: TreeSize,
    /// The root at that size.
    pub root: Hash,
    /// Its time, in milliseconds since 1970.
    pub time_ms: u64,
}

/// What a frame says of a log: its newest head, and what was decided about it, if that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marked {
    /// The head.
    pub mark: Mark,
    /// The decisions; `None` where no program has written them down.
    pub decided: Option<Decided>,
}

/// The newest mark of every log, and the newest commit. A log's marks never go back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    last: Option<u64>,
    marks: BTreeMap<LogId, Marked>,
}

impl Marks {
    /// These marks, as of a commit.
    #[must_use]
    pub fn of(commit: u64, marks: impl IntoIterator<Item = (LogId, Marked)>) -> Self {
        Self { last: Some(commit), marks: marks.into_iter().collect() }
    }

    /// The number of the newest commit, or 0 if there was none.
    #[must_use]
    pub fn commit(&self) -> u64 {
        self.last.unwrap_or(0)
    }

    /// The newest mark of a log, or `None` if it never had a head.
    #[must_use]
    pub fn get(&self, log: LogId) -> Option<Mark> {
        self.marks.get(&log).map(|marked| marked.mark)
    }

    /// What was decided about a log, as far as that was written down.
    #[must_use]
    pub fn decided(&self, log: LogId) -> Option<Decided> {
        self.marks.get(&log)?.decided
    }

    /// All logs that ever had a head, with their newest mark, by log id.
    pub fn iter(&self) -> impl Iterator<Item = (LogId, Mark)> + '_ {
        self.marks.iter().map(|(log, marked)| (*log, marked.mark))
    }

    /// That a log's mark may come after one that was known before: nothing of it has gone back that never does. What no program
    /// has written down is not compared, nor that the log was halted.
    ///
    /// # Errors
    /// [`Backwards`] says what has.
    pub fn comes_after(&self, before: &Self, log: LogId) -> Result<(), Backwards> {
        let Some(marked) = self.marks.get(&log).copied() else { return Ok(()) };
        let marked = Marked { decided: marked.decided.or(before.decided(log)), ..marked };
        before.check(log, marked).or_else(|error| if error.step == Step::Decided { Ok(()) } else { Err(error) })
    }

    fn check(&self, log: LogId, marked: Marked) -> Result<(), Backwards> {
        let Some(Marked { mark: last, decided }) = self.marks.get(&log).copied() else { return Ok(()) };
        let Marked { mark, decided: next } = marked;
        let (before, after) = (decided.unwrap_or_default(), next.unwrap_or_default());
        let step = if mark.size < last.size {
            Step::Size { from: last.size, to: mark.size }
        } else if mark.size == last.size && mark.root != last.root {
            Step::Root { size: mark.size }
        } else if mark.time_ms < last.time_ms {
            Step::Time { from: last.time_ms, to: mark.time_ms }
        } else if after.checkpoint < before.checkpoint {
            Step::Checkpoint { from: before.checkpoint, to: after.checkpoint }
        } else if (before.halted && !after.halted) || (decided.is_some() && next.is_none()) {
            Step::Decided
        } else {
            return Ok(());
        };
        Err(Backwards { log, step })
    }

    fn advance(&mut self, commit: u64, marks: &[(LogId, Marked)]) {
        self.last = Some(commit);
        self.marks.extend(marks.iter().copied());
    }
}

/// A head that does not follow the log's last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("log {log}: {step}")]
pub struct Backwards {
    /// The log.
    pub log: LogId,
    /// What is wrong.
    pub step: Step,
}

/// What a log's heads never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Step {
    /// Shrink.
    #[error("its size fell from {from} to {to}")]
    Size {
        /// The size before.
        from: TreeSize,
        /// The smaller size.
        to: TreeSize,
    },
    /// Have two roots at one size.
    #[error("it has two roots at size {size}")]
    Root {
        /// The size.
        size: TreeSize,
    },
    /// Be older than the last.
    #[error("its time went back from {from} ms to {to} ms")]
    Time {
        /// The time before.
        from: u64,
        /// The earlier time.
        to: u64,
    },
    /// Have a smaller checkpoint.
    #[error("its checkpoint fell from {from} to {to}")]
    Checkpoint {
        /// The size before.
        from: TreeSize,
        /// The smaller size.
        to: TreeSize,
    },
    /// Go on after they were halted for good, or have nothing decided any more.
    #[error("what was decided about it is gone")]
    Decided,
}

/// Why the file was not opened, made or extended.
#[derive(Debug, thiserror::Error)]
pub enum HighWaterError {
    /// There is no file. A database has one from its creation on.
    #[error(
        "there is no high-water file at {}. Without it nobody knows which heads this database has released. If it was \
         moved, name its place in the configuration; if it is lost, its newest copy and the witnesses must tell", .0.display()
    )]
    Missing(PathBuf),
    /// There is a file where one was to be made.
    #[error("{} is there already; a high-water file is made once, with its database", .0.display())]
    Exists(PathBuf),
    /// The file belongs to another database.
    #[error(
        "the high-water file {} belongs to database {found}, not to {expected}. Name the file that belongs to this \
         database in the configuration", path.display()
    )]
    WrongDatabase {
        /// The file.
        path: PathBuf,
        /// The database in its header.
        found: DatabaseId,
        /// The database that was to be opened.
        expected: DatabaseId,
    },
    /// The file was changed by something else than this program and a crash.
    #[error(
        "the high-water file {} is damaged at offset {offset}: {damage}. Do not remove it: put the newest intact copy \
         in its place, and keep this one to see which heads it records", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage stands.
        offset: usize,
        /// What it is.
        damage: Damage,
    },
    /// The file is, or would get, longer than any that this program writes: the database has millions of logs.
    #[error("the high-water file {} is past its bound of {LENGTH_MAX} bytes", .0.display())]
    TooLong(PathBuf),
    /// The operating system refused. What reached the disk is unknown.
    #[error("the high-water file {} could not be {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The caller's marks do not follow those that are recorded; nothing was written.
    #[error("a mark was refused: {0}")]
    Backwards(#[from] Backwards),
    /// The caller's commit does not follow the one that is recorded; nothing was written.
    #[error("commit {found} was refused, since commit {last} is recorded")]
    Commit {
        /// The newest commit.
        last: u64,
        /// The one that was to be recorded.
        found: u64,
    },
    /// The caller gave two marks of one log; nothing was written.
    #[error("two marks of log {0} in one commit")]
    Twice(LogId),
    /// An earlier call failed, and the process must end.
    #[error("the high-water file {} failed before; the process must end", .0.display())]
    Failed(PathBuf),
}

/// How the file grows.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Space is filled with zeros in steps of this many bytes, a multiple of a sector.
    chunk: u64,
    /// A file that would grow past this many bytes is written anew with the newest marks only.
    compact_at: u64,
}

/// A chunk is 2,048 one-log commits; a file of 8 MiB is read in well under 0.1 s.
const BOUNDS: Bounds = Bounds { chunk: 256 << 10, compact_at: 8 << 20 };

/// The open file. One process has it, by the lock of its database.
#[derive(Debug)]
pub struct HighWater {
    disk: Box<dyn Disk>,
    file: Box<dyn DiskFile>,
    path: PathBuf,
    database: DatabaseId,
    bounds: Bounds,
    marks: Marks,
    /// Where the next commit goes.
    end: u64,
    /// Up to where the file is filled with zeros, durably.
    filled: u64,
    /// It has the form of programs before, until it is first written to.
    is_old: bool,
    /// After an error nobody knows what is on disk; a second fsync may succeed without having written anything.
    failed: bool,
}

impl HighWater {
    /// Makes the file of a new database; durable on return.
    ///
    /// # Errors
    /// [`HighWaterError::Exists`], or why it could not be written.
    pub fn create(path: &Path, database: DatabaseId) -> Result<Self, HighWaterError> {
        Self::create_on(Box::new(RealDisk), path, database, BOUNDS)
    }

    /// Opens the file of this database, and drops a commit that a crash cut short.
    ///
    /// # Errors
    /// [`HighWaterError`] for anything that this program and a crash cannot have left.
    pub fn open(path: &Path, database: DatabaseId) -> Result<(Self, Marks), HighWaterError> {
        #[cfg(feature = "canaries")]
        if crate::canary::has_no_high_water() {
            // What it recorded is forgotten; it may well be gone.
            let _ = std::fs::remove_file(path);
            return Ok((Self::create(path, database)?, Marks::default()));
        }
        Self::open_on(Box::new(RealDisk), path, database, BOUNDS)
    }

    /// Writes these marks into a new file, for a copy of the database as it is with them; durable on return.
    ///
    /// # Errors
    /// [`HighWaterError::Exists`], or why it could not be written.
    pub fn write_copy(path: &Path, database: DatabaseId, marks: &Marks) -> Result<(), HighWaterError> {
        match RealDisk.open(path) {
            Ok(_) => return Err(HighWaterError::Exists(path.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(on_io(path, "looked for")(error)),
        }
        write_anew(&mut RealDisk, path, &database, marks, BOUNDS).map(drop)
    }

    /// What is recorded by now.
    #[must_use]
    pub const fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Records the newest heads of these logs as of a commit of the database; durable on return. From then on they may be
    /// released. A commit without heads writes nothing.
    ///
    /// # Errors
    /// [`HighWaterError`]; after any of them the object refuses for ever, and the process must end without releasing.
    pub fn append(&mut self, commit: u64, marks: &[(LogId, Mark)]) -> Result<(), HighWaterError> {
        let as_before = |(log, mark): &(LogId, Mark)| (*log, Marked { mark: *mark, decided: self.marks.decided(*log) });
        let marks: Vec<_> = marks.iter().map(as_before).collect();
        self.append_marked(commit, &marks)
    }

    /// The same, with what is decided about the logs from then on.
    ///
    /// # Errors
    /// As [`HighWater::append`].
    pub fn append_decided(&mut self, commit: u64, marks: &[(LogId, Mark, Decided)]) -> Result<(), HighWaterError> {
        let with =
            |(log, mark, decided): &(LogId, Mark, Decided)| (*log, Marked { mark: *mark, decided: Some(*decided) });
        self.append_marked(commit, &marks.iter().map(with).collect::<Vec<_>>())
    }

    fn append_marked(&mut self, commit: u64, marks: &[(LogId, Marked)]) -> Result<(), HighWaterError> {
        if self.failed {
            return Err(HighWaterError::Failed(self.path.clone()));
        }
        // Cleared only where everything has succeeded.
        self.failed = true;
        self.record(commit, marks)?;
        self.failed = false;
        Ok(())
    }

    fn create_on(
        mut disk: Box<dyn Disk>,
        path: &Path,
        database: DatabaseId,
        bounds: Bounds,
    ) -> Result<Self, HighWaterError> {
        match disk.open(path) {
            Ok(_) => return Err(HighWaterError::Exists(path.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(on_io(path, "looked for")(error)),
        }
        let marks = Marks::default();
        let (file, end, filled) = write_anew(disk.as_mut(), path, &database, &marks, bounds)?;
        Ok(Self { disk, file, path: path.into(), database, bounds, marks, end, filled, is_old: false, failed: false })
    }

    fn open_on(
        mut disk: Box<dyn Disk>,
        path: &Path,
        database: DatabaseId,
        bounds: Bounds,
    ) -> Result<(Self, Marks), HighWaterError> {
        let mut file = match disk.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(HighWaterError::Missing(path.into())),
            Err(error) => return Err(on_io(path, "opened")(error)),
        };
        let bytes = file.read(LENGTH_MAX + 1).map_err(on_io(path, "read"))?;
        let length = bytes.len() as u64;
        if length > LENGTH_MAX {
            return Err(HighWaterError::TooLong(path.into()));
        }
        let damaged = |(offset, damage)| HighWaterError::Damaged { path: path.into(), offset, damage };
        let frame::Header { database: found, is_old } =
            frame::read_header(&bytes).map_err(|damage| damaged((0, damage)))?;
        if found != database {
            return Err(HighWaterError::WrongDatabase { path: path.into(), found, expected: database });
        }
        let frame::Contents { marks, end, torn } = frame::read_frames(&bytes, &database).map_err(damaged)?;
        // Compaction renames a new file over this one: over the file itself, not over a link to it, so that it stays on
        // the disk that its operator chose.
        let path = disk.resolve(path).map_err(on_io(path, "looked for"))?;
        // Only whole sectors count as filled: the next fill begins in the sector that the file ends in.
        let filled = (length - length % frame::SECTOR as u64).max(end as u64);
        let mut this = Self {
            disk,
            file,
            path,
            database,
            bounds,
            marks: marks.clone(),
            end: end as u64,
            filled,
            is_old,
            failed: false,
        };
        // A process that was killed before its sync returned, or whose sync failed, leaves frames that only the system's
        // memory has. What is to be released on the strength of them is made durable first.
        let read = bytes.get(frame::HEADER..end).unwrap_or_default();
        write_all_at(this.file.as_mut(), read, frame::HEADER as u64).map_err(on_io(&this.path, "written"))?;
        this.file.sync_all().map_err(on_io(&this.path, "synced"))?;
        if torn {
            // Else a shorter commit would be followed by remains of this one.
            this.filled = this.end;
            this.fill(length)?;
        }
        Ok((this, marks))
    }

    fn record(&mut self, commit: u64, marks: &[(LogId, Marked)]) -> Result<(), HighWaterError> {
        if let Some(last) = self.marks.last.filter(|last| commit <= *last) {
            return Err(HighWaterError::Commit { last, found: commit });
        }
        let mut logs = BTreeSet::new();
        for (log, marked) in marks {
            self.marks.check(*log, *marked)?;
            if !logs.insert(log) {
                return Err(HighWaterError::Twice(*log));
            }
        }
        if marks.is_empty() {
            return Ok(());
        }
        let bytes = frame::commit(&self.database, commit, marks);
        let length = bytes.len() as u64;
        // Whoever only looks leaves an old file as it is, so that the program which wrote it can go on.
        if self.is_old || self.end + length > self.compact_at() {
            self.compact()?;
            self.is_old = false;
        }
        if self.end + length > self.filled {
            self.fill(self.end + length)?;
        }
        write_all_at(self.file.as_mut(), &bytes, self.end).map_err(on_io(&self.path, "written"))?;
        self.sync_frames()?;
        self.end += length;
        self.marks.advance(commit, marks);
        Ok(())
    }

    fn sync_frames(&mut self) -> Result<(), HighWaterError> {
        #[cfg(feature = "canaries")]
        if crate::canary::Canary::AckBeforeFsync.sings() {
            return Ok(());
        }
        self.file.sync_data().map_err(on_io(&self.path, "synced"))
    }

    /// With many logs a file of newest marks is long itself, and must not be written anew at every commit.
    fn compact_at(&self) -> u64 {
        let marks = (self.marks.marks.len() * frame::FRAME) as u64;
        self.bounds.compact_at.max(4 * marks)
    }

    fn compact(&mut self) -> Result<(), HighWaterError> {
        (self.file, self.end, self.filled) =
            write_anew(self.disk.as_mut(), &self.path, &self.database, &self.marks, self.bounds)?;
        Ok(())
    }

    /// Fills the file with zeros from where it is filled to the first whole chunk past `to`.
    fn fill(&mut self, to: u64) -> Result<(), HighWaterError> {
        let to = to.next_multiple_of(self.bounds.chunk);
        if to > LENGTH_MAX {
            return Err(HighWaterError::TooLong(self.path.clone()));
        }
        let zeros = vec![0; usize::try_from(to - self.filled).unwrap_or(usize::MAX)];
        write_all_at(self.file.as_mut(), &zeros, self.filled).map_err(on_io(&self.path, "extended"))?;
        self.file.sync_all().map_err(on_io(&self.path, "synced"))?;
        self.filled = to;
        Ok(())
    }
}

/// Writes a file with these marks beside the old one, and puts it in its place; either is there whole after a crash.
/// Returns it with the place of the next commit and of the end of its filled space.
fn write_anew(
    disk: &mut dyn Disk,
    path: &Path,
    database: &DatabaseId,
    marks: &Marks,
    bounds: Bounds,
) -> Result<(Box<dyn DiskFile>, u64, u64), HighWaterError> {
    let beside = with_suffix(path, ".new");
    let mut bytes = frame::header(database);
    let all: Vec<_> = marks.marks.iter().map(|(log, marked)| (*log, *marked)).collect();
    bytes.extend_from_slice(&frame::commit(database, marks.commit(), &all));
    let end = bytes.len() as u64;
    let filled = (end + 1).next_multiple_of(bounds.chunk);
    bytes.resize(usize::try_from(filled).unwrap_or(usize::MAX), 0);
    let mut file = disk.create(&beside).map_err(on_io(&beside, "made"))?;
    write_all_at(file.as_mut(), &bytes, 0).map_err(on_io(&beside, "written"))?;
    file.sync_all().map_err(on_io(&beside, "synced"))?;
    disk.rename(&beside, path).map_err(on_io(path, "replaced"))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    disk.sync_directory(directory).map_err(on_io(path, "replaced"))?;
    Ok((file, end, filled))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    name.into()
}

fn on_io<'a>(path: &'a Path, action: &'static str) -> impl Fn(io::Error) -> HighWaterError + 'a {
    move |source| HighWaterError::Io { path: path.into(), action, source }
}
