//! `cairnd restore`: a database from a backup, verified whole before anything in it may sign.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use cairn_rocks::DatabaseLock;
use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::note::VerifierKey;
use cairn_tree::size::TreeSize;
use cairn_tree::store::LogId;
use cairnd::backup::{self, Generation, OUTSIDE, Restoring};
use cairnd::config::{self, Config};
use cairnd::engine::{
    Clock as _, EngineOptions, Frozen, FrozenLog, Readmission, Readmitted, SystemClock, Verdict, examine, readmit,
    say_which_policy,
};
use cairnd::incidents::{Incident, Incidents};
use serde::Serialize;

use super::backup::{described, show, split};
use super::folder::engine_options;
use super::{print, print_json};

#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// The folder of backups, and the generation; without it, the newest that is whole.
    #[arg(long, value_name = "DEST[@GENERATION]")]
    from: String,
    /// The folder to make.
    #[arg(long, value_name = "NEW", env = "CAIRND_DATA")]
    data: PathBuf,
    /// The high-water file that outlived the database: with it, logs of which nothing is missing go on.
    #[arg(long, value_name = "FILE")]
    high_water: Option<PathBuf>,
    /// Print one JSON object per log.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    log: &'a str,
    size: u64,
    verdict: &'static str,
    /// Whether it waits until the operator says which policy holds.
    held: bool,
    /// Whether it was halted for damage before, and signs nothing before a repair.
    damaged: bool,
    reason: Option<String>,
}

/// A log that the high-water file knows by its number only.
#[derive(Serialize)]
struct GoneLine {
    number: u32,
    size: u64,
    verdict: &'static str,
}

/// What becomes of it.
const GONE: &str = "IS GONE: it was made after the backup, which has nothing of it, and the high-water file does not keep its \
                    name. Whatever is made in its place needs another origin and keys of its own (cairnd log create)";

impl Restore {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (dest, number) = split(&self.from)?;
        let generation = Generation::open(&dest, number)?;
        if let Some(high_water) = &self.high_water {
            // Before everything is copied for nothing.
            backup::is_no_copy(&dest, high_water)?;
        }
        let _beside = self.high_water.as_deref().map(lock_beside).transpose()?;
        let restoring = Restoring::begin(&self.data)?;
        let restored = self.fill(&generation, &restoring);
        let restored = match restored {
            Ok(restored) => restored,
            Err(error) => {
                // The reason comes first; what can't be removed is removed by the next restore.
                let _ = restoring.abandon();
                return Err(error);
            }
        };
        restoring.finish()?;
        self.tell(&generation, &restored)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Every file has its SHA-256, then every entry hashes to the roots, then heads are signed as the keys of the logs
    /// sign; only then is decided what may sign.
    fn fill(&self, generation: &Generation, restoring: &Restoring) -> anyhow::Result<Readmission> {
        restoring.copy(generation, &mut show("copied"))?;
        let folder = restoring.folder();
        let config = own_high_water(folder)?;
        let config = config.filter(|path| path.is_file());
        if let (Some(config), None) = (&config, &self.high_water) {
            backup::is_not_spent(config)?;
        }
        let evidence = self.high_water.clone().or_else(|| config.clone());
        if let Some(evidence) = &evidence {
            backup::is_no_copy(&generation.dest, evidence)?;
        }
        let options = engine_options(folder, &Config::default());
        let found = examine(&options, &mut |log, done, size| show_entries(log, done, size))?;
        compare(&generation.manifest.frozen, &found)?;
        let evidence = evidence.map(|path| copy_evidence(&path, folder)).transpose()?;
        let readmitted = readmit(&options, evidence.as_deref());
        if let Some(evidence) = &evidence {
            fs::remove_file(evidence).with_context(|| evidence.display().to_string())?;
        }
        sync_all(&options)?;
        let readmitted = readmitted?;
        // A repair that finds the row damaged that says so must know of it.
        let incidents = Incidents::open(folder)?;
        for one in &readmitted.logs {
            if let Some(reason) = one.verdict.reason() {
                incidents.add(Incident::halted(&one.log, &reason, SystemClock.now_ms()))?;
            }
        }
        // From here on the copy may sign what the file that other backups name does not tell.
        let signs = readmitted.logs.iter().any(|one| one.verdict == Verdict::Signs);
        if let Some(config) = config.filter(|_| signs) {
            let noted = backup::spend(&config, &self.data);
            if self.high_water.is_none() {
                noted.context(
                    "that the high-water file was used can't be noted beside it; name the file (--high-water)",
                )?;
            }
        }
        Ok(readmitted)
    }

    fn tell(&self, generation: &Generation, restored: &Readmission) -> anyhow::Result<()> {
        if self.json {
            let line = |one: &Readmitted| {
                let (verdict, reason) = (name(&one.verdict), one.verdict.reason());
                let (held, damaged) = (one.held, one.damaged);
                print_json(&Line { log: &one.log, size: one.size.get(), verdict, held, damaged, reason })
            };
            restored.logs.iter().try_for_each(line)?;
            let gone = |(number, size): &(LogId, TreeSize)| {
                print_json(&GoneLine { number: number.get(), size: size.get(), verdict: "gone" })
            };
            return restored.gone.iter().try_for_each(gone);
        }
        print(&format!("restored {} from {}", self.data.display(), described(generation)))?;
        for one in &restored.logs {
            print(&format!("log {}, size {}: {}", one.log, one.size, words(one)))?;
        }
        for (number, size) in &restored.gone {
            print(&format!("log number {number}, size {size}: {GONE}"))?;
        }
        if !generation.manifest.with_keys {
            let keys = self.data.join("keys");
            print(&format!("the backup holds no keys: put the logs' key files into {} (mode 0600)", keys.display()))?;
        }
        if self.data.join(OUTSIDE).is_dir() {
            let outside = self.data.join(OUTSIDE);
            print(&format!(
                "of the persister's files, those in {} stood elsewhere: see digit.persister",
                outside.display()
            ))?;
        }
        print(&format!("serve with: cairnd serve --data {}", self.data.display()))
    }
}

/// Keeps the database that a high-water file stands beside, if there is one, from being opened as long as this lives: of what it
/// signs from now on the restored copy would know nothing.
fn lock_beside(high_water: &Path) -> anyhow::Result<Option<DatabaseLock>> {
    let real = fs::canonicalize(high_water).with_context(|| high_water.display().to_string())?;
    let folder = real.parent().unwrap_or(Path::new("/"));
    match DatabaseLock::take(&engine_options(folder, &Config::default()).database_path()) {
        Ok(lock) => Ok(Some(lock)),
        Err(cairn_rocks::OpenError::Locked(_)) => bail!(
            "{} is being served, or another command has it open: what it signs from now on its high-water file does not say. \
             Stop it first",
            folder.display()
        ),
        // There is none, or what is left of it can't be written to.
        Err(_) => Ok(None),
    }
}

fn name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Signs => "signs",
        Verdict::AsksWitnesses => "asks-witnesses",
        Verdict::LostTail { .. } => "lost-tail",
        Verdict::OtherHistory { .. } => "other-history",
        Verdict::HaltedSince => "halted-since",
        Verdict::Unknown => "unknown",
        Verdict::Ended => "ended",
    }
}

/// Why nobody knows which policy a log has to meet.
const IN_DOUBT: &str = "its witness policy may be another than this: it was changed after the backup, or lost before, or the \
                        high-water file is of a version that did not keep what was decided";

/// What becomes of a log, and, of one that was halted for damage and may sign, what comes first.
fn words(one: &Readmitted) -> String {
    let may_sign = matches!(one.verdict, Verdict::Signs | Verdict::AsksWitnesses);
    if one.damaged && may_sign {
        return format!("is HALTED FOR DAMAGE until cairnd repair lifts that; then it {}", judged(one));
    }
    judged(one)
}

fn judged(one: &Readmitted) -> String {
    let log = &one.log;
    let go_on = format!("continue it under another origin: cairnd log seal {log} --successor NAME");
    let until = format!("until you say which one holds: {}", say_which_policy(log));
    match &one.verdict {
        Verdict::Signs if one.held => format!(
            "goes on, the high-water file has no entries that are missing here; but {IN_DOUBT}. HELD, without appends and new \
             checkpoints, {until}"
        ),
        Verdict::Signs => "goes on; the high-water file has nothing that is missing here".to_owned(),
        Verdict::AsksWitnesses => {
            "asks its witnesses at the start, and goes on if none has seen more. What it signed after the backup and no \
             witness saw can't be known: nobody who goes by its policy believes that"
                .to_owned()
        }
        Verdict::LostTail { size, .. } => {
            format!("LOST ITS TAIL: it signed a head of size {size}. It is halted for good; {go_on}")
        }
        Verdict::OtherHistory { size } => {
            format!("CONTRADICTS the high-water file at size {size}. It is halted for good; {go_on}")
        }
        Verdict::HaltedSince => {
            format!("HALTED for good after the backup, as the high-water file says; {go_on}")
        }
        Verdict::Unknown => format!(
            "HALTED: whether it signed more after the backup can't be known without its newest high-water file \
             (--high-water) or witnesses; {go_on}"
        ),
        Verdict::Ended if one.held => format!(
            "had ended before; but {IN_DOUBT}. HELD, without new checkpoints, {until}"
        ),
        Verdict::Ended => "had ended before".to_owned(),
    }
}

/// Lets the copy keep its high-water in its own folder, and says where the database had it: that file may have outlived
/// the database, and is evidence; it is never written over.
fn own_high_water(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    let path = folder.join(config::FILE_NAME);
    if !path.is_file() {
        bail!("the backup holds no configuration");
    }
    let elsewhere = Config::load(&path)?.storage.high_water;
    if elsewhere.is_some() {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let is_it = |line: &str| {
            line.trim_start().strip_prefix("high_water").is_some_and(|rest| rest.trim_start().starts_with('='))
        };
        let lines = text
            .lines()
            .map(|line| if is_it(line) { format!("# before a restore: {line}\n") } else { format!("{line}\n") });
        fs::write(&path, lines.collect::<String>()).with_context(|| path.display().to_string())?;
        if Config::load(&path)?.storage.high_water.is_some() {
            bail!("the place of the high-water file can't be taken out of the configuration");
        }
    }
    Ok(elsewhere)
}

/// Opening a high-water file may write to it; what is evidence stays as it is.
fn copy_evidence(path: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let copy = folder.join("high-water.evidence");
    fs::copy(path, &copy).with_context(|| path.display().to_string())?;
    Ok(copy)
}

/// What was restored is what the manifest says, and its heads are signed by its logs' keys.
fn compare(manifest: &Frozen, found: &Frozen) -> anyhow::Result<()> {
    if (&manifest.database, manifest.commit) != (&found.database, found.commit) {
        bail!(
            "the backup's manifest is of database {} at commit {}, but its files are of {} at {}",
            manifest.database,
            manifest.commit,
            found.database,
            found.commit
        );
    }
    let said =
        |log: &FrozenLog| (log.id, log.name.clone(), log.origin.clone(), log.size, log.root.clone(), log.vkeys.clone());
    for (one, other) in manifest.logs.iter().zip(&found.logs) {
        if said(one) != said(other) {
            bail!("the backup's manifest says other things of log {} than its database does", one.name);
        }
        check_head(one)?;
    }
    if manifest.logs.len() != found.logs.len() {
        bail!("the backup's manifest has {} logs, but its database has {}", manifest.logs.len(), found.logs.len());
    }
    Ok(())
}

fn check_head(log: &FrozenLog) -> anyhow::Result<()> {
    let Some(head) = &log.head else { return Ok(()) };
    let keys: Vec<VerifierKey> = log.vkeys.iter().map(|key| key.parse()).collect::<Result<_, _>>()?;
    let verified = SignedCheckpoint::parse(head.as_bytes())?.verify(&keys);
    let verified = verified.with_context(|| format!("the head of log {} in the backup", log.name))?;
    if (verified.size().get(), verified.root().to_base64()) != (log.size, log.root.clone()) {
        bail!("the head of log {} in the backup is another one than its database has", log.name);
    }
    Ok(())
}

/// What was changed after it was copied is durable before the folder gets its name.
fn sync_all(options: &EngineOptions) -> anyhow::Result<()> {
    let folder = &options.data;
    let sync =
        |path: &Path| fs::File::open(path).and_then(|file| file.sync_all()).with_context(|| path.display().to_string());
    [options.high_water_path(), folder.join(config::FILE_NAME)].iter().try_for_each(|path| sync(path))
}

fn show_entries(log: &str, done: TreeSize, size: TreeSize) {
    let mut out = io::stderr();
    if out.is_terminal() {
        // Progress that can't be shown is not worth an error.
        let _ = write!(out, "\r{log}: hashed {done} of {size} entries ");
        let _ = if done == size { writeln!(out) } else { out.flush() };
    }
}
