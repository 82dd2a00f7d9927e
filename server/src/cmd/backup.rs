//! `cairnd backup`: a further generation of a database in a folder of backups; `list` and `check` say what is there.

use std::io::{self, IsTerminal as _, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use cairn_tree::size::counted;
use cairnd::admin::{Reply, Request, Session};
use cairnd::backup::{
    self, BackupError, Extra, Generation, LinkedQuarantine, Listed, Made, Making, Pruned, Rotten, Source, Unsound,
    persister_files,
};
use cairnd::config;
use cairnd::engine::{Clock as _, Frozen, SystemClock, freeze_stopped, frozen_folder, remove_frozen};
use cairnd::records::{SECRET_FILE_NAME, SecretFile};
use serde::Serialize;

use super::folder::{Folder, unexpected};
use super::{Data, FAILED, print, print_json};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Backup {
    #[command(subcommand)]
    command: Option<BackupCommand>,
    /// The folder of the database, its keys and its configuration.
    #[arg(long = "data", value_name = "DIR", env = "CAIRND_DATA")]
    folder: Option<PathBuf>,
    /// The configuration file; without it, cairnd.toml in the folder.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of backups; made if it is not there.
    #[arg(long, value_name = "DEST")]
    to: Option<PathBuf>,
    /// Take the logs' private keys along. Whoever reads the backup can sign in the logs' names then.
    #[arg(long)]
    with_keys: bool,
    /// Once it is made, remove all older generations but so many, this one counted. None is removed before so many newer
    /// ones were read and are good.
    #[arg(long, value_name = "N")]
    keep: Option<NonZeroUsize>,
    /// Count generations as good whose database had this known damage, in the words in which it is told; may be given several
    /// times. For a loss that nobody can mend: older generations may be removed then, though they lack it. Damage that comes
    /// after it has other words, and is not accepted; nor is any while not all of it is listed.
    #[arg(long, value_name = "WORDS", requires = "keep")]
    accept_damage: Vec<String>,
    /// Do not read again what is taken over from the last generation: faster, but damage in the backup stays unseen.
    #[arg(long)]
    no_reread: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum BackupCommand {
    /// List the generations that are whole.
    List(List),
    /// Read a generation again, and compare every file with its SHA-256.
    Check(Check),
}

/// What is to be backed up, and where to.
struct Make {
    data: Data,
    to: PathBuf,
    with_keys: bool,
    keep: Option<NonZeroUsize>,
    accept_damage: Vec<String>,
    no_reread: bool,
    json: bool,
}

#[derive(Debug, clap::Args)]
struct List {
    /// The folder of backups.
    #[arg(long, value_name = "DEST")]
    to: PathBuf,
    /// Print one JSON object per generation.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Check {
    /// The folder of backups, and the generation; without it, the newest.
    #[arg(long, value_name = "DEST[@GENERATION]")]
    from: String,
}

/// One generation, for machines.
#[derive(Serialize)]
struct Line {
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    made_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    with_keys: Option<bool>,
    /// Tables of the backup that were damaged, and were copied from the database once more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rotten: Vec<RottenLine>,
    /// Older generations that were removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    removed: Vec<u64>,
    /// Those that would have been, were the newer ones good.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_removed: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_good: Vec<UnsoundLine>,
    /// Those that count as good, with the damage that was accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accepted: Vec<UnsoundLine>,
    /// What was known to be damaged in the database.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damage: Vec<String>,
    logs: Vec<LogLine>,
}

#[derive(Serialize)]
struct UnsoundLine {
    generation: u64,
    problem: String,
}

#[derive(Serialize)]
struct RottenLine {
    table: String,
    file: String,
    generations: Vec<u64>,
    healed: bool,
}

#[derive(Serialize)]
struct LogLine {
    name: String,
    origin: String,
    size: u64,
    root: String,
    state: String,
}

impl Backup {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Self { command, folder, config, to, with_keys, keep, accept_damage, no_reread, json } = self;
        match (command, folder, to) {
            (Some(BackupCommand::List(list)), ..) => list.run(),
            (Some(BackupCommand::Check(check)), ..) => check.run(),
            (None, Some(folder), Some(to)) => {
                Make { data: Data { folder, config }, to, with_keys, keep, accept_damage, no_reread, json }.run()
            }
            _ => bail!("say what to back up and where to: cairnd backup --data DIR --to DEST"),
        }
    }
}

impl Make {
    fn run(self) -> anyhow::Result<ExitCode> {
        let folder = Folder::open(&self.data)?;
        backup::stands_apart(&self.to, &folder.path)?;
        let config = self.data.config.clone().unwrap_or_else(|| folder.path.join(config::FILE_NAME));
        // Held to the end: a second backup would take the first one's frozen copy for what a crash left.
        let _lock = backup::hold(&folder.path)?;
        // A server makes it at its first start.
        if !SecretFile::check(&folder.path)? && folder.is_served()? {
            let path = folder.path.join(SECRET_FILE_NAME);
            bail!("{} is gone, and no server starts without it; put that file back, from a backup", path.display());
        }
        let quarantine = LinkedQuarantine::begin(&folder.path)?;
        let frozen = freeze(&folder)?;
        quarantine.go_on()?;
        let mut extras = Extra::of(&folder.path, &config, self.with_keys)?;
        let (persister, absent) = persister_files(&config, &folder.config.digit.persister);
        for place in absent {
            // The database is no worse for it.
            let _ =
                writeln!(io::stderr(), "{} can't be read, and is not in the backup (digit.persister)", place.display());
        }
        extras.extend(persister.into_iter().chain(quarantine.extras()?));
        let source = Source { folder: frozen_folder(&folder.path), frozen, extras, with_keys: self.with_keys };
        let making = Making { now_ms: SystemClock.now_ms(), reads_again: !self.no_reread };
        let made = backup::make(&self.to, source, making, &mut show("copied or read"));
        // Whatever came of it: it keeps tables from being deleted.
        let removed = remove_frozen(&folder.path);
        let made = made?;
        removed
            .with_context(|| format!("{} is backed up, but its frozen copy can't be removed", folder.path.display()))?;
        let generation = Generation::open(&self.to, Some(made.number))?;
        let Made { number: _, bytes: _, new_bytes, rotten, read_again } = made;
        let prune = |keep| backup::prune(&self.to, keep, &self.accept_damage, read_again, &mut show("checked"));
        let pruned = self.keep.map(prune).unwrap_or_else(|| Ok(Pruned::default()));
        self.tell(&generation, &Done { new_bytes, rotten, pruned })
    }

    /// It is made by now, whatever became of older ones; that comes first.
    fn tell(&self, generation: &Generation, done: &Done) -> anyhow::Result<ExitCode> {
        let Done { new_bytes, rotten, pruned } = done;
        let none = Pruned::default();
        let (Pruned { generations, held, unsound, accepted, .. }, problem) = match pruned {
            Ok(pruned) => (pruned, None),
            Err(error) => (&none, Some(error.to_string())),
        };
        let code = if held.is_empty() && problem.is_none() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) };
        if self.json {
            print_json(&Line {
                new_bytes: Some(*new_bytes),
                rotten: rotten.iter().map(rotten_line).collect(),
                removed: generations.clone(),
                not_removed: held.clone(),
                not_good: unsound.iter().map(unsound_line).collect(),
                accepted: accepted.iter().map(unsound_line).collect(),
                problem,
                ..line(generation)
            })?;
            return Ok(code);
        }
        print(&format!("{}; {new_bytes} bytes of it are new", described(generation)))?;
        tell_damage(generation)?;
        tell_rotten(rotten)?;
        for number in generations {
            print(&format!("generation {number} is removed"))?;
        }
        for Unsound { number, problem } in accepted {
            print(&format!("generation {number} counts as good, DAMAGED as it is: {problem}"))?;
        }
        for Unsound { number, problem } in unsound {
            print(&format!("generation {number} is not good: {problem}"))?;
        }
        if let (Some(keep), false) = (self.keep, held.is_empty()) {
            let held: Vec<String> = held.iter().map(u64::to_string).collect();
            print(&format!(
                "generation {} is made, but NOT REMOVED: generation {}. With --keep {keep} one goes when {keep} newer are \
                 good, the newest among them",
                generation.number,
                held.join(", ")
            ))?;
        }
        if let Some(problem) = problem {
            print(&format!("generation {} is made, but older ones can't be removed: {problem}", generation.number))?;
        }
        Ok(code)
    }
}

/// What came of it, beside the generation.
struct Done {
    new_bytes: u64,
    rotten: Vec<Rotten>,
    pruned: Result<Pruned, BackupError>,
}

/// Says what was known to be damaged when a generation was made.
fn tell_damage(generation: &Generation) -> anyhow::Result<()> {
    for known in &generation.manifest.frozen.damage {
        print(&format!("the database was known to be damaged, and so is generation {}: {known}", generation.number))?;
    }
    Ok(())
}

fn unsound_line(unsound: &Unsound) -> UnsoundLine {
    let Unsound { number, problem } = unsound.clone();
    UnsoundLine { generation: number, problem }
}

/// Says which tables of the backup were damaged, and what became of them.
fn tell_rotten(rotten: &[Rotten]) -> anyhow::Result<()> {
    for Rotten { table, file, generations, is_healed } in rotten {
        let (file, shared) = (file.display(), generations.iter().map(u64::to_string).collect::<Vec<_>>().join(", "));
        print(&if *is_healed {
            format!(
                "{file} was damaged in the backup, and is made good from the database ({table}; generations {shared})"
            )
        } else {
            format!(
                "{file} is damaged in the backup (generations {shared}), and {table} of the database is not what it was \
                 copied from: look at the database with cairnd fsck"
            )
        })?;
    }
    Ok(())
}

fn rotten_line(rotten: &Rotten) -> RottenLine {
    let Rotten { table, file, generations, is_healed } = rotten.clone();
    RottenLine { table, file: file.display().to_string(), generations, healed: is_healed }
}

/// In the server that has the database open, or here.
fn freeze(folder: &Folder) -> anyhow::Result<Frozen> {
    match Session::open(&folder.path)? {
        Some(session) => match session.ask(&Request::Freeze, |_| ())? {
            Reply::Frozen(frozen) => Ok(frozen),
            reply => Err(unexpected(&reply)),
        },
        None => Ok(freeze_stopped(&folder.engine_options())?),
    }
}

impl List {
    fn run(self) -> anyhow::Result<ExitCode> {
        let listed = backup::list(&self.to)?;
        let mut sound = true;
        for Listed { number, generation } in listed {
            sound &= generation.is_ok();
            match (generation, self.json) {
                (Ok(generation), true) => print_json(&line(&generation))?,
                (Ok(generation), false) => print(&described(&generation))?,
                (Err(error), true) => print_json(&unusable(number, error.to_string()))?,
                (Err(error), false) => print(&format!("generation {number}: NOT USABLE: {error}"))?,
            }
        }
        Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }
}

impl Check {
    fn run(self) -> anyhow::Result<ExitCode> {
        let (dest, number) = split(&self.from)?;
        let generation = Generation::open(&dest, number)?;
        backup::verify(&generation, &mut show("checked"))?;
        print(&format!("{}: every file is as it was written", described(&generation)))?;
        tell_damage(&generation)?;
        let is_good = generation.manifest.frozen.damage.is_empty();
        Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }
}

/// Reads `DEST[@GENERATION]`.
pub(super) fn split(from: &str) -> anyhow::Result<(PathBuf, Option<u64>)> {
    match from.rsplit_once('@') {
        Some((dest, number)) if !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()) => {
            let number = number.parse().with_context(|| format!("{number} is no generation"))?;
            Ok((dest.into(), Some(number)))
        }
        _ => Ok((from.into(), None)),
    }
}

pub(super) fn described(generation: &Generation) -> String {
    let manifest = &generation.manifest;
    let logs: Vec<String> = manifest.frozen.logs.iter().map(|log| format!("{} at {}", log.name, log.size)).collect();
    let time = seconds(manifest.made_ms);
    let keys = if manifest.with_keys { ", with keys" } else { "" };
    let damaged = if manifest.frozen.damage.is_empty() { "" } else { ", of a DAMAGED database" };
    format!(
        "generation {} of {time}: {} ({}), {} bytes{keys}{damaged}",
        generation.number,
        counted(logs.len() as u64, "log", "logs"),
        logs.join(", "),
        manifest.bytes()
    )
}

/// A time for people, in UTC.
fn seconds(ms: u64) -> String {
    let days = i64::try_from(ms / 86_400_000).unwrap_or(0);
    let second = ms / 1000 % 86_400;
    // Days since the epoch to a date of the Gregorian calendar, counted from the 1st of March of year 0.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

fn line(generation: &Generation) -> Line {
    let manifest = &generation.manifest;
    let logs = manifest.frozen.logs.iter().map(|log| LogLine {
        name: log.name.clone(),
        origin: log.origin.clone(),
        size: log.size,
        root: log.root.clone(),
        state: log.state.clone(),
    });
    Line {
        generation: generation.number,
        problem: None,
        made_ms: Some(manifest.made_ms),
        bytes: Some(manifest.bytes()),
        new_bytes: None,
        with_keys: Some(manifest.with_keys),
        rotten: Vec::new(),
        removed: Vec::new(),
        not_removed: Vec::new(),
        not_good: Vec::new(),
        accepted: Vec::new(),
        damage: manifest.frozen.damage.clone(),
        logs: logs.collect(),
    }
}

fn unusable(generation: u64, problem: String) -> Line {
    Line {
        generation,
        problem: Some(problem),
        made_ms: None,
        bytes: None,
        new_bytes: None,
        with_keys: None,
        rotten: Vec::new(),
        removed: Vec::new(),
        not_removed: Vec::new(),
        not_good: Vec::new(),
        accepted: Vec::new(),
        damage: Vec::new(),
        logs: Vec::new(),
    }
}

/// Shows progress where somebody looks.
pub(super) fn show(what: &'static str) -> impl FnMut(u64, u64) {
    let mut told = u64::MAX;
    move |done, total| {
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
        let mut out = io::stderr();
        if percent != told && out.is_terminal() {
            told = percent;
            // Progress that can't be shown is not worth an error.
            let _ = write!(out, "\r{what} {done} of {total} bytes ({percent} %) ");
            let _ = if done == total { writeln!(out) } else { out.flush() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_of_the_calendar() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_795_330_227_999, "2026-11-22T06:50:27Z"),
        ] {
            assert_eq!(seconds(ms), text);
        }
    }

    #[test]
    fn a_generation_stands_behind_the_last_at_sign() {
        assert_eq!(split("a@b/c").unwrap(), ("a@b/c".into(), None));
        assert_eq!(split("a@b/c@000012").unwrap(), ("a@b/c".into(), Some(12)));
        assert_eq!(split("a@").unwrap(), ("a@".into(), None));
        assert!(split("a@99999999999999999999").is_err());
    }
}
