//! Faults in a program's calls of the operating system, and its clock, by `calls.c`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::Library;

/// The length of the control file, and where its numbers stand (`struct control` in `calls.c`).
const LENGTH: usize = 512;
const CALLS: u64 = 0;
const AT: u64 = 8;
const EVERY: u64 = 16;
const FIRED: u64 = 24;
const CLOCK_MS: u64 = 32;
const CLOCK_READS: u64 = 40;
const WHERE: u64 = 48;

/// Which calls count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Every call below that may change something: all but the last four.
    Change,
    /// Writes to a file's position.
    Write,
    /// Writes to a place in a file.
    WriteAt,
    /// `fsync`.
    Sync,
    /// `fdatasync`.
    SyncData,
    /// `sync_file_range`, which promises nothing.
    SyncRange,
    /// `rename`.
    Rename,
    /// Opening to write, or making.
    Open,
    /// `ftruncate`.
    Truncate,
    /// `fallocate`.
    Allocate,
    /// `link`.
    Link,
    /// `mkdir`.
    Folder,
    /// `unlink` and `rmdir`.
    Remove,
    /// Reads.
    Read,
    /// Opening to read alone.
    OpenRead,
    /// Questions whether something is there and what it is: `stat` and its kin, and `access`.
    Look,
    /// What is in a folder: `opendir` and `readdir`.
    List,
}

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deed {
    /// It fails with this errno, given by name, and does nothing.
    Fail(&'static str),
    /// Only a part of the bytes is written or read.
    Short,
    /// The process is killed before the call.
    KillBefore,
    /// The process is killed when a part of the bytes is written.
    KillHalf,
    /// The process is killed after the call.
    KillAfter,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Change,
        Self::Write,
        Self::WriteAt,
        Self::Sync,
        Self::SyncData,
        Self::SyncRange,
        Self::Rename,
        Self::Open,
        Self::Truncate,
        Self::Allocate,
        Self::Link,
        Self::Folder,
        Self::Remove,
        Self::Read,
        Self::OpenRead,
        Self::Look,
        Self::List,
    ];

    /// Its name in `calls.c`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Write => "write",
            Self::WriteAt => "pwrite",
            Self::Sync => "sync",
            Self::SyncData => "datasync",
            Self::SyncRange => "range",
            Self::Rename => "rename",
            Self::Open => "open",
            Self::Truncate => "truncate",
            Self::Allocate => "allocate",
            Self::Link => "link",
            Self::Folder => "folder",
            Self::Remove => "remove",
            Self::Read => "read",
            Self::OpenRead => "openread",
            Self::Look => "look",
            Self::List => "list",
        }
    }

    /// Whether its calls may say that a signal came before they did anything (POSIX), so that they are made again.
    #[must_use]
    pub const fn may_be_interrupted(self) -> bool {
        matches!(self, Self::Write | Self::WriteAt | Self::Read | Self::Open | Self::Sync | Self::SyncData)
    }

    /// Whether its calls change nothing, and fail for other reasons than a disk that is full.
    #[must_use]
    pub const fn changes_nothing(self) -> bool {
        matches!(self, Self::Read | Self::OpenRead | Self::Look | Self::List)
    }

    /// Whether its calls carry bytes, which can be cut short.
    #[must_use]
    pub const fn has_bytes(self) -> bool {
        matches!(self, Self::Write | Self::WriteAt | Self::Read)
    }
}

impl Deed {
    /// Its name in `calls.c`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fail(errno) => errno,
            Self::Short => "short",
            Self::KillBefore => "kill-before",
            Self::KillHalf => "kill-half",
            Self::KillAfter => "kill-after",
        }
    }

    /// Whether the process does not outlive it.
    #[must_use]
    pub const fn kills(self) -> bool {
        matches!(self, Self::KillBefore | Self::KillHalf | Self::KillAfter)
    }
}

/// The calls of one process, and what happens at them. Nothing does until [`Calls::arm`].
#[derive(Debug)]
pub struct Calls {
    folder: PathBuf,
    path: PathBuf,
    control: File,
    class: Class,
    deed: Deed,
}

impl Calls {
    /// Watches what changes below `folder`; `control` is a file beside it, made here.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(folder: &Path, control: &Path, (class, deed): (Class, Deed)) -> io::Result<Self> {
        fs::write(control, [0; LENGTH])?;
        let file = File::options().read(true).write(true).open(control)?;
        let folder = folder.canonicalize()?;
        Ok(Self { folder, path: control.to_owned(), control: file, class, deed })
    }

    /// The environment of the process; `others` are preloaded behind this library.
    #[must_use]
    pub fn environment(&self, others: &[PathBuf]) -> Vec<(&'static str, PathBuf)> {
        let mut preload = Library::Calls.path().into_os_string();
        for other in others {
            preload.push(":");
            preload.push(other);
        }
        vec![
            ("LD_PRELOAD", preload.into()),
            ("CALLS_FOLDER", self.folder.clone()),
            ("CALLS_CONTROL", self.path.clone()),
            ("CALLS_CLASS", self.class.name().into()),
            ("CALLS_DO", self.deed.name().into()),
        ]
    }

    /// Lets it happen at the call of this number, counted from 1 over the life of the process, and then at each `every`
    /// calls; 0 for once.
    ///
    /// # Errors
    /// What the system says.
    pub fn arm(&self, at: u64, every: u64) -> io::Result<()> {
        self.set(EVERY, every)?;
        self.set(AT, at)
    }

    /// Lets it happen at a call that is so many calls ahead.
    ///
    /// # Errors
    /// What the system says.
    pub fn arm_ahead(&self, ahead: u64, every: u64) -> io::Result<()> {
        self.arm(self.calls()? + ahead.max(1), every)
    }

    /// The calls so far.
    ///
    /// # Errors
    /// What the system says.
    pub fn calls(&self) -> io::Result<u64> {
        self.number(CALLS)
    }

    /// How often it happened. A call that was to be cut short counts if it was: one that asked for no more than there is
    /// does not.
    ///
    /// # Errors
    /// What the system says.
    pub fn fired(&self) -> io::Result<u64> {
        self.number(FIRED)
    }

    /// The call and the file where it happened last.
    ///
    /// # Errors
    /// What the system says.
    pub fn place(&self) -> io::Result<String> {
        let mut bytes = [0; 256];
        self.control.read_exact_at(&mut bytes, WHERE)?;
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// Moves the process's clock away from the machine's.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_clock(&self, ahead_ms: i64) -> io::Result<()> {
        self.control.write_all_at(&ahead_ms.to_ne_bytes(), CLOCK_MS)
    }

    /// How often a moved time was told.
    ///
    /// # Errors
    /// What the system says.
    pub fn clock_reads(&self) -> io::Result<u64> {
        self.number(CLOCK_READS)
    }

    fn number(&self, at: u64) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, at)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn set(&self, at: u64, value: u64) -> io::Result<()> {
        self.control.write_all_at(&value.to_ne_bytes(), at)
    }
}
