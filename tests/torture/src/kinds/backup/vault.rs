//! A folder of backups, and what each of its generations owes to those who had something acknowledged before it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cairn_tests::random::Random;
use cairn_tests::server::{program, run as run_program};
use serde::Deserialize;

use super::broken::{Place, Ran, run_broken};
use super::{either, is_well};
use crate::tally::{Finding, Sort, Tally};
use crate::world::Seen;

/// Most generations that a backup may be told to keep.
const KEPT: usize = 3;
/// The calls of a backup in the data folder, about.
const BESIDE: u64 = 30;

pub(super) struct Vault {
    /// The world's folder.
    beside: PathBuf,
    /// What loses its power: the folder of backups is made in it.
    room: PathBuf,
    pub(super) dest: PathBuf,
    pub(super) owed: BTreeMap<u64, Owed>,
}

/// What a generation has to have.
pub(super) struct Owed {
    pub(super) seen: Seen,
    pub(super) with_keys: bool,
}

/// A backup that is to be made.
#[derive(Debug)]
pub(super) struct Backup {
    data: PathBuf,
    keep: Option<usize>,
    with_keys: bool,
    pub(super) more: Vec<String>,
    /// Whether its faults are among the files of the data folder; else among those of the backup.
    in_data: bool,
}

/// What `cairnd backup --json` and `cairnd backup list --json` say of a generation.
#[derive(Debug, Deserialize)]
struct Line {
    generation: u64,
    problem: Option<String>,
    with_keys: Option<bool>,
}

impl Vault {
    pub(super) fn new(beside: &Path) -> Result<Self, Finding> {
        let room = beside.join("vault");
        fs::create_dir(&room)?;
        Ok(Self { beside: beside.to_owned(), dest: room.join("backups"), room, owed: BTreeMap::new() })
    }

    pub(super) fn choose(&self, data: &Path, random: &mut Random) -> Backup {
        let keep = (!random.one_in(4)).then(|| 1 + random.below(KEPT));
        let with_keys = either(random);
        let mut more = Vec::new();
        if let Some(keep) = keep {
            more.extend(["--keep".to_owned(), keep.to_string()]);
        }
        if with_keys {
            more.push("--with-keys".to_owned());
        }
        if random.one_in(4) {
            more.push("--no-reread".to_owned());
        }
        Backup { data: data.to_owned(), keep, with_keys, more, in_data: random.one_in(4) }
    }

    fn command(&self, backup: &Backup) -> Command {
        let mut command = Command::new(program("cairnd"));
        command.args(["backup", "--json", "--data"]).arg(&backup.data).arg("--to").arg(&self.dest).args(&backup.more);
        command
    }

    pub(super) fn run_broken(&self, backup: &Backup, span: &mut u64, random: &mut Random) -> Result<Ran, Finding> {
        let (folder, has_power) = if backup.in_data { (&backup.data, false) } else { (&self.room, true) };
        // Beside the database it makes few calls.
        let mut few = BESIDE;
        let span = if backup.in_data { &mut few } else { span };
        run_broken(self.command(backup), &Place { folder, beside: &self.beside, has_power }, span, random)
    }

    /// A run whose server dies.
    pub(super) fn run_alone(&self, backup: &Backup) -> Ran {
        let ended = run_program(&mut self.command(backup));
        let what = "kill of the server".to_owned();
        Ran { ended, chosen: what.clone(), fired: 1, what }
    }

    /// No generation is gone that was not to go, each that is there is whole, and one that was reported is there.
    pub(super) fn judge(&mut self, backup: &Backup, ran: &Ran, seen: &Seen, tally: &mut Tally) -> Result<(), Finding> {
        if !self.dest.exists() {
            let lost = ran.succeeded() || !self.owed.is_empty();
            return if lost { Err(gone("the folder of backups is gone")) } else { Ok(()) };
        }
        let listed = self.list()?;
        let gone_now: Vec<u64> = self.owed.keys().copied().filter(|number| !listed.contains_key(number)).collect();
        for number in gone_now {
            let newer = listed.range(number..).count();
            if backup.keep.is_none_or(|keep| newer < keep) {
                return Err(gone(format!("generation {number} is gone, and {newer} are newer: {listed:?}")));
            }
            self.owed.remove(&number);
        }
        if let Some(line) = ran.ended.stdout.lines().next() {
            let line: Line = serde_json::from_str(line).map_err(|error| Finding::failed(format!("{error}: {line}")))?;
            if !listed.contains_key(&line.generation) {
                return Err(gone(format!("generation {} was reported, and is gone", line.generation)));
            }
            tally.note("a generation that was reported");
        } else if ran.succeeded() {
            return Err(Finding::failed(format!("it says nothing: {:?}", ran.ended)));
        }
        for (number, with_keys) in listed {
            if with_keys != backup.with_keys && !self.owed.contains_key(&number) {
                return Err(Finding::failed(format!("generation {number} has keys or has not: {with_keys}")));
            }
            self.owed.entry(number).or_insert_with(|| Owed { seen: seen.clone(), with_keys });
        }
        self.check_all()
    }

    /// Every file of every generation is as it was written.
    pub(super) fn check_all(&self) -> Result<(), Finding> {
        for number in self.owed.keys() {
            let mut command = Command::new(program("cairnd"));
            command.args(["backup", "check", "--from"]).arg(self.from(*number));
            is_well(command)?;
        }
        Ok(())
    }

    /// How a command names a generation.
    pub(super) fn from(&self, number: u64) -> String {
        format!("{}@{number}", self.dest.display())
    }

    /// The generations, which are all whole, and whether they have keys.
    fn list(&self) -> Result<BTreeMap<u64, bool>, Finding> {
        let mut command = Command::new(program("cairnd"));
        command.args(["backup", "list", "--json", "--to"]).arg(&self.dest);
        let ended = is_well(command)?;
        let mut listed = BTreeMap::new();
        for line in ended.stdout.lines() {
            let line: Line = serde_json::from_str(line).map_err(|error| Finding::failed(format!("{error}: {line}")))?;
            match (line.problem, line.with_keys) {
                (None, Some(with_keys)) => drop(listed.insert(line.generation, with_keys)),
                (problem, _) => return Err(gone(format!("generation {}: {problem:?}", line.generation))),
            }
        }
        Ok(listed)
    }
}

fn gone(words: impl Into<String>) -> Finding {
    Finding { sort: Sort::Lost, words: words.into() }
}
