//! The kinds of faults. Each has a function that makes a world, breaks it many times, and counts what it did.

mod backup;
pub mod bitflip;
mod bundle;
mod clock;
mod copies;
mod files;
mod kill;
mod points;
mod power;
mod recovery;
mod syscall;
mod witnessed;

use std::path::Path;
use std::time::Instant;

use cairn_tests::random::Random;

use crate::tally::{Finding, Tally};
use crate::world::World;

/// A sort of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// kill -9 at any moment under load, and while it starts.
    Kill,
    /// kill -9 before, within and after each call that changes a file, one after the other.
    Points,
    /// Calls of the operating system that fail or are cut short.
    Syscall,
    /// The power fails: what was not synced is gone, or torn.
    Power,
    /// Several faults of all these sorts in a row, each while the server recovers from the one before.
    Recovery,
    /// One flipped bit in a file, byte after byte.
    Bitflip,
    /// A file that is gone, empty, cut, or an older one.
    Files,
    /// Copies of a folder at work, parts of older copies, and a second server on one folder.
    Copies,
    /// A clock that goes back and forward.
    Clock,
    /// One flipped bit in a file of the database, and a repair from a backup.
    Repair,
    /// Backups under load, restores and repairs, each broken half-way and tried again.
    Backup,
    /// kill -9 of a server, of the signer that has its keys, and of the witness that cosigns its heads.
    Witnessed,
    /// As [`Kind::Bitflip`], in the write-ahead log alone and before the real server alone.
    Wal,
    /// A bit that flips on the way to the store: takes a server that does so (`make canaries`).
    Bundle,
}

/// What a kind needs to know of its run.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// Where worlds are made.
    pub folder: &'a Path,
    /// The number of the world within its kind: what is tried one after the other goes on from there.
    pub number: u64,
    /// No new cycle but the first is begun after this.
    pub deadline: Instant,
    /// Cycles per world, at most.
    pub cycles: u64,
}

impl Setting<'_> {
    /// Whether another cycle may begin. The first one always may: on a busy machine a world may take all of its time to
    /// be made.
    fn goes_on(&self, done: u64) -> bool {
        done < self.cycles && (done == 0 || Instant::now() < self.deadline)
    }
}

impl Kind {
    /// All that any server survives, in the order in which they run.
    pub const ALL: [Self; 12] = [
        Self::Kill,
        Self::Points,
        Self::Syscall,
        Self::Power,
        Self::Recovery,
        Self::Bitflip,
        Self::Files,
        Self::Copies,
        Self::Clock,
        Self::Repair,
        Self::Backup,
        Self::Witnessed,
    ];

    /// Its name on the command line and in the results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Points => "points",
            Self::Syscall => "syscall",
            Self::Power => "power",
            Self::Recovery => "recovery",
            Self::Bitflip => "bitflip",
            Self::Files => "files",
            Self::Copies => "copies",
            Self::Clock => "clock",
            Self::Repair => "repair",
            Self::Backup => "backup",
            Self::Witnessed => "witnessed",
            Self::Wal => "wal",
            Self::Bundle => "bundle",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain([Self::Wal, Self::Bundle]).find(|kind| kind.name() == name)
    }

    /// Runs one world of this kind. What was done until a finding is in the tally.
    pub(crate) fn run(self, setting: &Setting<'_>, random: Random, tally: &mut Tally) -> Result<(), Finding> {
        match self {
            Self::Bitflip => return bitflip::run(setting, random, tally),
            Self::Wal => return bitflip::run_wal(setting, random, tally),
            Self::Repair => return bitflip::run_repair(setting, random, tally),
            _ => {}
        }
        let mut world = World::new(setting.folder, random)?;
        let done = match self {
            Self::Kill => kill::run(setting, &mut world, tally),
            Self::Points => points::run(setting, &mut world, tally),
            Self::Syscall => syscall::run(setting, &mut world, tally),
            Self::Power => power::run(setting, &mut world, tally),
            Self::Recovery => recovery::run(setting, &mut world, tally),
            Self::Files => files::run(setting, &mut world, tally),
            Self::Copies => copies::run(setting, &mut world, tally),
            Self::Clock => clock::run(setting, &mut world, tally),
            Self::Backup => backup::run(setting, &mut world, tally),
            Self::Witnessed => witnessed::run(setting, &mut world, tally),
            Self::Bundle => bundle::run(setting, &mut world, tally),
            Self::Bitflip | Self::Wal | Self::Repair => Ok(()),
        };
        done.map_err(|finding| match world.keep() {
            Some(kept) => finding.within(format_args!("in {}", kept.display())),
            None => finding,
        })
    }
}
