//! One flipped bit in a file of a stopped database, byte after byte. The start refuses, a log halts, a read answers an
//! error, or nothing that is served or signed is wrong.
//!
//! Most flips are shown to the engine alone, in a process of their own (`worker`): it opens the database as `cairnd serve`
//! does, reads everything that a client can ask for, appends, and compares. Each two-hundredth, and those in files that
//! the engine alone does not read, are shown to the real server.

mod victim;
pub mod worker;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use cairn_tests::folder::copy;
use cairn_tests::random::Random;
use cairn_tests::server::{cairnd, program, run as run_program};
use serde::{Deserialize, Serialize};

use super::{Setting, files};
use crate::tally::{Finding, Sort, Tally};
use victim::Victim;

/// Every so many flips, one is shown to the real server.
const REAL: usize = 200;
/// So many worlds see each byte of all files once.
const SLICES: usize = 32;
/// A flip takes far less than a start of the server; so many of them count as one cycle of a world.
const PER_CYCLE: u64 = 50;
/// How long the worker may take for one flip.
const PATIENCE: Duration = Duration::from_secs(60);

/// One flip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Flip {
    pub(super) file: PathBuf,
    pub(super) at: usize,
    pub(super) bit: u8,
}

/// What came of it, as the worker says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Outcome {
    /// The start refused.
    Refused,
    /// The log takes no appends.
    Halted,
    /// Some answers were errors, all others right.
    Errors,
    /// Everything was right.
    Sound,
    /// What must never be.
    BadBytes(String),
    Lost(String),
    Failed(String),
}

impl Flip {
    /// Which bit, and when, depends on the byte alone: the files of a replay may be some bytes longer or shorter.
    fn of(file: &Path, at: usize, random: &Random) -> Self {
        let bit = Self::choices(file, at, random).below(8) as u8;
        Self { file: file.to_owned(), at, bit }
    }

    fn order(&self, random: &Random) -> u64 {
        let mut choices = Self::choices(&self.file, self.at, random);
        choices.number();
        choices.number()
    }

    fn choices(file: &Path, at: usize, random: &Random) -> Random {
        random.named(&[sort(file).as_bytes(), &at.to_be_bytes()].concat())
    }

    pub(super) fn inflict(&self, folder: &Path) -> io::Result<()> {
        let path = folder.join(&self.file);
        let mut bytes = fs::read(&path)?;
        if let Some(byte) = bytes.get_mut(self.at) {
            *byte ^= 1 << self.bit;
        }
        fs::write(path, bytes)
    }
}

pub(super) fn run(setting: &Setting<'_>, mut random: Random, tally: &mut Tally) -> Result<(), Finding> {
    let mut victim = Victim::make(setting.folder, random.fork(), tally)?;
    let slice = setting.number as usize % SLICES;
    let mut flips = Vec::new();
    for (file, length) in victim.files()? {
        flips.extend((slice..length).step_by(SLICES).map(|at| Flip::of(&file, at, &random)));
    }
    // Mixed, so that an early end leaves no file out.
    flips.sort_by_cached_key(|flip| flip.order(&random));
    // One of each small file first: they have few bytes, and would rarely have their turn.
    let mut begun = BTreeSet::new();
    flips.sort_by_cached_key(|flip| engine_reads(&flip.file) || !begun.insert(flip.file.clone()));
    let mut worker = None;
    for (done, flip) in flips.into_iter().enumerate() {
        if !setting.goes_on(done as u64 / PER_CYCLE) {
            break;
        }
        tally.cycles += 1;
        tally.fired += 1;
        tally.chose(format!("bit {} of byte {} of {}", flip.bit, flip.at, sort(&flip.file)));
        let sort = sort(&flip.file);
        if !engine_reads(&flip.file) || done % REAL == 0 {
            let outcome = real(&mut victim, &flip).map_err(|finding| finding.within(format_args!("{flip:?}")))?;
            tally.note(format!("real server: {sort}: {outcome}"));
            continue;
        }
        let asked = match worker.take() {
            Some(worker) => worker,
            None => Worker::start(victim.path(), &victim.vkey())?,
        };
        let (asked, outcome) = asked.ask(&flip)?;
        worker = asked;
        let (found, words) = match outcome {
            Outcome::BadBytes(words) => (Sort::BadBytes, words),
            Outcome::Lost(words) => (Sort::Lost, words),
            Outcome::Failed(words) => (Sort::Failed, words),
            fine => {
                tally.note(format!("engine: {sort}: {}", format!("{fine:?}").to_lowercase()));
                continue;
            }
        };
        let kept = victim.keep();
        return Err(Finding { sort: found, words: format!("{flip:?} of {kept:?}: {words}") });
    }
    Ok(())
}

/// Every byte of the write-ahead log in turn, before the real server.
pub(super) fn run_wal(setting: &Setting<'_>, mut random: Random, tally: &mut Tally) -> Result<(), Finding> {
    let mut victim = Victim::make(setting.folder, random.fork(), tally)?;
    let logs = victim.files()?.into_iter().filter(|(file, _)| file.extension().is_some_and(|end| end == "log"));
    let mut flips = Vec::new();
    for (file, length) in logs {
        flips.extend((0..length).map(|at| Flip::of(&file, at, &random)));
    }
    flips.sort_by_cached_key(|flip| flip.order(&random));
    for (done, flip) in flips.into_iter().enumerate() {
        if !setting.goes_on(done as u64) {
            break;
        }
        tally.cycles += 1;
        tally.fired += 1;
        tally.chose(format!("bit {} of byte {} of {}", flip.bit, flip.at, sort(&flip.file)));
        let outcome = real(&mut victim, &flip).map_err(|finding| finding.within(format_args!("{flip:?}")))?;
        tally.note(outcome);
    }
    Ok(())
}

/// What `cairnd repair --json` says.
#[derive(Deserialize)]
pub(super) struct Repaired {
    mended: bool,
    logs: Vec<RepairedLog>,
}

#[derive(Deserialize)]
struct RepairedLog {
    log: String,
    held: bool,
}

impl Repaired {
    /// The logs that wait until it is said which policy holds.
    pub(super) fn held(&self) -> Vec<&str> {
        self.logs.iter().filter(|log| log.held).map(|log| log.log.as_str()).collect()
    }
}

/// One flipped bit in a file of the database, byte after byte, and a repair with a backup: it says that all is sound, or
/// mends it, and the real server serves everything then. A log whose policy may be gone is held until it is said that there
/// is none, which is so.
pub(super) fn run_repair(setting: &Setting<'_>, mut random: Random, tally: &mut Tally) -> Result<(), Finding> {
    let mut victim = Victim::make(setting.folder, random.fork(), tally)?;
    // Of a copy: to be backed up, a database is opened, which writes what stands in the write-ahead log to tables.
    let (twin, backups) = (victim.path().with_file_name("twin"), victim.path().with_file_name("backups"));
    copy(victim.path(), &twin)?;
    let made =
        run_program(Command::new(program("cairnd")).arg("backup").arg("--data").arg(&twin).arg("--to").arg(&backups));
    if made.code != Some(0) {
        return Err(Finding::failed(format!("no backup: {made:?}")));
    }
    let mut flips = Vec::new();
    for (file, length) in victim.files()?.into_iter().filter(|(file, _)| file.starts_with("db")) {
        flips.extend((0..length).map(|at| Flip::of(&file, at, &random)));
    }
    flips.sort_by_cached_key(|flip| flip.order(&random));
    for (done, flip) in flips.into_iter().enumerate() {
        if !setting.goes_on(done as u64) {
            break;
        }
        tally.cycles += 1;
        tally.fired += 1;
        tally.chose(format!("bit {} of byte {} of {}", flip.bit, flip.at, sort(&flip.file)));
        let outcome = repaired(&mut victim, &backups, &flip);
        let outcome = outcome.map_err(|finding| finding.within(format_args!("{flip:?}")));
        let outcome = outcome.map_err(|finding| match victim.keep() {
            Some(kept) => finding.within(format_args!("in {}", kept.display())),
            None => finding,
        })?;
        tally.note(format!("{outcome}: {}", sort(&flip.file)));
    }
    Ok(())
}

fn repaired(victim: &mut Victim, backups: &Path, flip: &Flip) -> Result<&'static str, Finding> {
    let image = damaged(victim, flip)?;
    let mut command = Command::new(program("cairnd"));
    let ended = run_program(command.args(["repair", "--json", "--data"]).arg(&image).arg("--from").arg(backups));
    if ended.code != Some(0) {
        return Err(Finding::failed(format!("a repair with a whole backup does not mend it: {ended:?}")));
    }
    let said: Repaired =
        serde_json::from_str(&ended.stdout).map_err(|error| Finding::failed(format!("{error}: {ended:?}")))?;
    let held = let_go(&image, &said, flip)?;
    match files::judge(&mut victim.world, &image)? {
        "sound" if held > 0 => Ok("mended, held and let go"),
        "sound" if said.mended => Ok("mended"),
        "sound" => Ok("nothing to mend"),
        other => Err(Finding::failed(format!("after a repair it is {other}: {ended:?}"))),
    }
}

/// Says of every log that is held that it has no policy, as an operator does. How many there were.
fn let_go(image: &Path, said: &Repaired, flip: &Flip) -> Result<usize, Finding> {
    let held = said.held();
    let may_lose = flip.file.extension().is_some_and(|extension| extension == "log" || extension == "sst");
    let may_be_held = said.mended && may_lose;
    if !held.is_empty() && !may_be_held {
        return Err(Finding::failed(format!("held, though no row can be gone: {held:?}")));
    }
    say_no_policy(image, &held)?;
    Ok(held.len())
}

/// Lets held logs go: those of these worlds have no policy.
pub(super) fn say_no_policy(image: &Path, held: &[&str]) -> Result<(), Finding> {
    for log in held {
        for (what, expected) in
            [("--show", "a repair lost the witness policy"), ("--none", "has no witness policy now")]
        {
            let ended = cairnd(image, &["log", "policy", log, what]);
            if ended.code != Some(0) || !ended.stdout.contains(expected) {
                return Err(Finding::failed(format!("log policy {log} {what}: {ended:?}")));
            }
        }
    }
    Ok(())
}

/// Whether the engine opens this file by itself. All others, such as those that say whose records are where and what tokens
/// allow, are read by the server around it, and a flip there would be passed over by a worker.
fn engine_reads(file: &Path) -> bool {
    let is_private_key = file.starts_with("keys") && file.extension().is_some_and(|end| end == "skey");
    file.starts_with("db") || file == Path::new("high-water") || is_private_key
}

/// Files of a sort are one.
fn sort(file: &Path) -> String {
    super::points::point(&file.to_string_lossy())
}

/// A start of the real server on a damaged copy.
fn real(victim: &mut Victim, flip: &Flip) -> Result<&'static str, Finding> {
    let image = damaged(victim, flip)?;
    files::judge(&mut victim.world, &image)
}

fn damaged(victim: &Victim, flip: &Flip) -> io::Result<PathBuf> {
    let image = victim.path().with_file_name("image");
    if image.exists() {
        fs::remove_dir_all(&image)?;
    }
    copy(victim.path(), &image)?;
    flip.inflict(&image)?;
    Ok(image)
}

/// The process that opens damaged copies.
struct Worker {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Worker {
    fn start(victim: &Path, vkey: &str) -> Result<Self, Finding> {
        let mut command = Command::new(program("torture"));
        command.arg("bitflip-worker").arg("--victim").arg(victim).arg("--vkey").arg(vkey);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Finding::failed("the harness: a worker without pipes"));
        };
        let (sender, lines) = mpsc::channel();
        // Ends with the worker, whose standard output it reads.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, stdin, lines })
    }

    /// What came of a flip; and the worker, if it is still there.
    fn ask(mut self, flip: &Flip) -> Result<(Option<Self>, Outcome), Finding> {
        let text = serde_json::to_string(flip).map_err(|error| Finding::failed(error.to_string()))?;
        let sent = writeln!(self.stdin, "{text}").and_then(|()| self.stdin.flush());
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => match serde_json::from_str(&line) {
                Ok(outcome) => Ok((Some(self), outcome)),
                Err(error) => Err(Finding::failed(format!("the harness: {error}: {line}"))),
            },
            Err(RecvTimeoutError::Timeout) => Ok((None, Outcome::Failed("it never ends".to_owned()))),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait();
                Ok((None, Outcome::Failed(format!("the process died: {status:?}, {sent:?}"))))
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
