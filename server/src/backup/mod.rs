//! Backups: several generations of a database in one folder, and bringing one back.
//!
//! Not here: freezing a database between two commits, and deciding what a copy may sign (`crate::engine`).
//!
//! # Format, version 1
//!
//! ```text
//! DEST/tables/SHA256.sst             a table, under the SHA-256 of its bytes; shared by all generations that have it
//! DEST/generations/NUMBER/           one backup, numbered from 1 with six digits or more
//!     manifest                       what it is; written last
//!     db/                            the database's other files: CURRENT, MANIFEST-*, OPTIONS-*, *.log
//!     high-water  cairnd.toml  tokens.json  records.secret  tenants.json  settings.json  incidents.jsonl
//!     quarantine/                    messages that became no records
//!     ...                            the persister's configuration, where it stands beside cairnd.toml
//!     persister-outside/NUMBER/      what of it stands elsewhere, by its place in digit.persister
//!     keys/                          only when asked for
//! DEST/generations/NUMBER.partial/   one that was never finished; removed by the next backup
//! ```
//!
//! A manifest is two lines of JSON. The first is the [`Manifest`]: format, time, database id, commit number, each log with
//! origin, size, root, keys, signed head and witness policy, what was known to be damaged, and each file with its length and
//! SHA-256. The second is
//! `{"sha256":"..."}`, over the first line without its newline. That tells damage, not forgery: against whoever can write
//! to the backup there are the logs' signatures, their high-water elsewhere, and witnesses.
//!
//! # What a crash leaves
//!
//! Every file is written beside its name, synced and renamed; a generation gets its name when everything in it is
//! durable. So it is there whole or not at all, and no earlier one is touched. Tables are copied, never linked, from the
//! database: a link would share its damage.
//!
//! A restore is made in a folder beside its place, which says from its first moment to its last that it is none yet
//! ([`refuse_unfinished`]): before it is decided what the copy may sign, no command opens it, whatever it is called.
//!
//! # Incremental
//!
//! A table never changes once it is written. One that the last generation has, by its name, length and last 64 KiB, which
//! hold an id that no other table has, is not copied again. The backup's own copy of it is read instead, and compared with
//! its SHA-256: a disk that keeps backups rots like any other, and all generations share that one copy. If it is damaged,
//! it is copied from the database over the damaged one, and whoever shares it is whole again.

mod apart;
mod copy;
mod digest;
mod hold;
mod make;
mod manifest;
mod open;
mod prune;
mod quarantine;
mod restore;
mod spent;

use std::io;
use std::path::{Path, PathBuf};

pub use apart::{is_no_copy, stands_apart};
pub use digest::Digest;
pub use hold::hold;
pub use make::{Extra, Made, Making, Rotten, Source, make};
pub use manifest::{FileLine, Generation, Listed, Manifest, list};
pub use prune::{Pruned, Unsound, prune};
pub use quarantine::{LinkedQuarantine, OUTSIDE, persister_files, remove_links};
pub use restore::{Restoring, refuse_unfinished, verify};
pub use spent::{is_not_spent, spend};

/// Why a backup was not made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Somebody else writes to the same folder.
    #[error("another backup is under way; it holds {}", .0.display())]
    Busy(PathBuf),
    /// There is no such backup.
    #[error("{} holds no generation {number}; see: cairnd backup list --to {0}", path.display())]
    NoGeneration {
        /// The folder of backups.
        path: PathBuf,
        /// Which one was asked for.
        number: String,
    },
    /// What an earlier generation has of the data folder is not there.
    #[error(
        "{name} is gone, and generation {number} has it; put that file back (cairnd restore), or make this backup in a \
         folder of its own if it is meant to be without"
    )]
    Gone {
        /// The file.
        name: String,
        /// The generation that has it.
        number: u64,
    },
    /// Its manifest can't be believed.
    #[error("the manifest {} is damaged: {problem}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// How.
        problem: String,
    },
    /// A file of the backup is not what was written.
    #[error("the backup is damaged: {} {problem}; take another generation", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How it differs.
        problem: String,
    },
    /// A restore never writes over anything.
    #[error("{} is there already; a backup is restored into a folder that is not there yet", .0.display())]
    Exists(PathBuf),
    /// Somebody else restores into the same place.
    #[error("another restore into the same place is under way; it fills {}", .0.display())]
    Restoring(PathBuf),
    /// A folder that a restore has not finished.
    #[error(
        "{} holds a restore that was never finished, and nothing has decided what it may sign; remove it, and restore the \
         backup again (cairnd restore)", .0.display()
    )]
    Unfinished(PathBuf),
    /// The last part of a path is no name.
    #[error("{} does not end in the name of a folder; give the folder itself", .0.display())]
    Nameless(PathBuf),
    /// A backup inside of what it is a backup of, or the other way round.
    #[error(
        "{} stands inside of {}; a folder of backups and a data folder stand apart, best on two disks", inner.display(),
        outer.display()
    )]
    Within {
        /// What stands inside.
        inner: PathBuf,
        /// Of what.
        outer: PathBuf,
    },
    /// A copy of a high-water file that would speak for itself.
    #[error(
        "the high-water file {} {how}: it says what was signed before that backup, and nothing of what came after. Give \
         the file that the database itself wrote last, or none; one that the configuration names is left out when it is \
         moved away", path.display()
    )]
    OwnHighWater {
        /// The file.
        path: PathBuf,
        /// How it is known for a copy.
        how: String,
    },
    /// One that a restore has gone by already, which nobody has named.
    #[error(
        "the high-water file {} has not changed since a copy was restored by it into {into}, and does not say what that copy \
         has signed since. Name the file that tells (--high-water): the high-water file of that copy if it was ever served, and \
         this one if it never was", path.display()
    )]
    Spent {
        /// The file.
        path: PathBuf,
        /// Where the copy was.
        into: String,
    },
}

impl BackupError {
    fn io(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        move |error| Self::Io { path: path.into(), error }
    }
}

/// Tells how far it is: bytes done, and bytes that there are.
pub type Progress<'a> = dyn FnMut(u64, u64) + 'a;
