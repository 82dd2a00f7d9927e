//! `cairnd repair`: a damaged database that no server has open is mended from what of it is sound, from backups and from
//! mirrors, and replaced as a whole. What was damaged is kept.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use cairn_rocks::Settings;
use cairn_tree::size::counted;
use cairnd::admin::{Progress, Session};
use cairnd::backup::{self, Generation};
use cairnd::engine::{
    Clock as _, Copy, MendError, Mending, Remedy, RepairLock, Report, Sources, SystemClock, Wrong, say_which_policy,
    sources_folder,
};
use cairnd::mirror::{HttpMirror, MirrorTokens};
use cairnd::records::{NoRandomness, Random as _, SystemRandom};
use cairnd::regular::read_bounded;
use serde::Serialize;

use super::backup::split;
use super::folder::Folder;
use super::fsck::show;
use super::{Data, print, print_json};

/// The exit code where `--check` found something that can be mended.
const MENDABLE: u8 = 3;
/// And where something is missing that nobody who was asked has; nothing was changed then.
const MISSING: u8 = 4;
/// What comes before the reason why a repair failed, as long as that is so.
const UNCHANGED: &str = "this repair has changed nothing";
/// Generations that are asked, the newest first.
const GENERATIONS: usize = 8;
/// The most bytes of a file with tokens, and of a token.
const TOKENS_BYTES: u64 = 1 << 20;
const TOKEN_BYTES: usize = 8 << 10;

#[derive(Debug, clap::Args)]
pub(super) struct Repair {
    #[command(flatten)]
    data: Data,
    /// A folder of backups, perhaps one generation of it; without a number, the newest eight are asked in turn.
    #[arg(long, value_name = "DEST[@GENERATION]")]
    from: Vec<String>,
    /// Where somebody serves a log that is damaged, as C2SP tlog-tiles: trusted for nothing.
    #[arg(long, value_name = "URL")]
    mirror: Vec<String>,
    /// The token that the mirrors of private logs ask for: it needs the right to read each of them, and all mirrors must
    /// be at one scheme, host and port. Other users of this machine can read it in the process list: prefer the environment
    /// or --mirror-token-file.
    #[arg(long, env = "CAIRND_MIRROR_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    mirror_token: Option<String>,
    /// A file that holds that token alone, or a line for each mirror with its URL and its token: logs of different tenants
    /// or at different hosts are mended in one go so. Each token is shown to the mirrors at its URL and below it, and to
    /// nobody else.
    #[arg(long, value_name = "FILE")]
    mirror_token_file: Option<PathBuf>,
    /// Say what is damaged and what would become of it, and change nothing.
    #[arg(long)]
    check: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    sound: bool,
    missing: bool,
    /// Whether the database was replaced.
    mended: bool,
    /// Where the damaged one is then.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<&'a Path>,
    wrong: Vec<WrongLine<'a>>,
    /// Places that are not listed.
    unlisted: u64,
    logs: Vec<LogLine<'a>>,
}

#[derive(Serialize)]
struct WrongLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<&'a str>,
    place: String,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<u64>,
    found: &'a str,
    remedy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    /// What becomes of whoever relied on what is gone, or may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    means: Option<&'a str>,
}

#[derive(Serialize)]
struct LogLine<'a> {
    log: &'a str,
    size: u64,
    lifted: bool,
    /// Whether it waits until the operator says which policy holds.
    held: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<&'a str>,
}

impl Repair {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let folder = Folder::open(&self.data)?;
        if Session::open(&folder.path)?.is_some() {
            bail!(
                "{} is being served: stop the server first, so that nothing comes to what is replaced",
                folder.path.display()
            );
        }
        // Before anything is touched that another repair may be at.
        let lock = Arc::new(RepairLock::take(&folder.path).context(UNCHANGED)?);
        let scratch = sources_folder(&folder.path);
        clear(&scratch).context(UNCHANGED)?;
        let ended = self.within(&folder, &scratch, Arc::clone(&lock));
        // The links of a repair that is over; what can't be removed is removed by the next one.
        let cleared = clear(&scratch);
        drop(lock);
        let code = ended?;
        cleared?;
        Ok(code)
    }

    fn within(&self, folder: &Folder, scratch: &Path, lock: Arc<RepairLock>) -> anyhow::Result<ExitCode> {
        let sources = self.sources(scratch)?;
        let mending = Mending::open(folder.engine_options(), sources, draw, lock).map_err(told)?;
        let mut step = |log: &str, done: cairn_tree::size::TreeSize, size: cairn_tree::size::TreeSize| {
            show(&Progress { log: log.to_owned(), done: done.get(), size: size.get() });
        };
        let report = mending.survey(&mut step).map_err(told)?;
        let mends = !self.check && !report.is_missing && !report.is_sound();
        let mend = |step| mending.mend(&report, SystemClock.now_ms(), step).map_err(told);
        let kept = mends.then(|| mend(&mut step)).transpose()?;
        self.tell(folder, &report, kept.as_deref())?;
        Ok(match (&kept, report.is_missing, report.is_sound()) {
            (_, true, _) => ExitCode::from(MISSING),
            (Some(_), ..) | (None, _, true) => ExitCode::SUCCESS,
            (None, _, false) => ExitCode::from(MENDABLE),
        })
    }

    fn sources(&self, scratch: &Path) -> anyhow::Result<Sources> {
        let mut sources = Sources::default();
        for from in &self.from {
            let (dest, number) = split(from)?;
            let generations = match number {
                Some(_) => vec![Generation::open(&dest, number)?],
                None => newest(&dest)?,
            };
            for generation in generations {
                let folder = scratch.join(sources.copies.len().to_string());
                let name = format!("generation {} of {}", generation.number, dest.display());
                match generation.open_to_read(&folder, &small()) {
                    Ok(store) => sources.copies.push(Copy { name, store }),
                    // Of several, another one may do.
                    Err(error) if number.is_none() => print_problem(&format!("{name} is not asked: {error}")),
                    Err(error) => return Err(anyhow::Error::from(error).context(UNCHANGED)),
                }
            }
        }
        let tokens = self.mirror_tokens()?;
        for (line, url) in tokens.for_none_of(&self.mirror)? {
            print_problem(&format!(
                "line {line} of the mirrors' tokens is for {url}, and no --mirror is there or below it"
            ));
        }
        for mirror in HttpMirror::open_all(&self.mirror, &tokens)? {
            sources.mirrors.push(Box::new(mirror));
        }
        Ok(sources)
    }

    fn mirror_tokens(&self) -> anyhow::Result<MirrorTokens> {
        if let Some(path) = &self.mirror_token_file {
            let text = read_tokens(path).with_context(|| path.display().to_string())?;
            return Ok(MirrorTokens::parse(&text)?);
        }
        // An empty variable in the environment is as good as none.
        let token = self.mirror_token.as_deref().filter(|token| !token.is_empty());
        Ok(token.map(|token| MirrorTokens::one(token.trim())).transpose()?.unwrap_or_default())
    }

    fn tell(&self, folder: &Folder, report: &Report, kept: Option<&Path>) -> anyhow::Result<()> {
        if self.json {
            return print_json(&line(report, kept));
        }
        for wrong in &report.wrong {
            let whose = wrong.log.as_ref().map_or_else(|| "database".to_owned(), |log| format!("log {log}"));
            print(&format!("{whose}: {wrong}"))?;
        }
        if report.unlisted > 0 {
            print(&format!("and {} that are not listed", counted(report.unlisted, "place", "places")))?;
        }
        for log in &report.logs {
            let becomes = match (&log.ended, log.lifted) {
                (Some(reason), _) => format!("stays as it is: {reason}"),
                (None, _) if log.held => format!(
                    "HELD, without appends and new checkpoints, until you say which witness policy holds: {}",
                    say_which_policy(&log.log)
                ),
                (None, true) => "was halted because of damage, and goes on".to_owned(),
                (None, false) => "goes on".to_owned(),
            };
            if !report.is_missing {
                print(&format!("log {}, size {}: {becomes}", log.log, log.size))?;
            }
        }
        print(&self.end(folder, report, kept))
    }

    fn end(&self, folder: &Folder, report: &Report, kept: Option<&Path>) -> String {
        let data = folder.path.display();
        if report.is_missing {
            return format!(
                "nothing was changed: what is MISSING above has to come from somewhere. Name further backups (--from DEST) \
                 and whoever serves the same log (--mirror URL); if nobody has it, restore a backup beside this database: \
                 cairnd restore --from DEST --data NEW --high-water {data}/high-water"
            );
        }
        match kept {
            Some(kept) => format!(
                "mended, and verified whole. The damaged database is kept as {}: remove it when you need it no more. Serve \
                 with: cairnd serve --data {data}",
                kept.display()
            ),
            None if report.is_sound() => "sound: there is nothing to mend".to_owned(),
            None => {
                "all of it can be mended. Nothing was changed; mend it with the same command without --check".to_owned()
            }
        }
    }
}

fn told(error: MendError) -> anyhow::Error {
    let is_unchanged = error.has_changed_nothing();
    let error = anyhow::Error::from(error);
    if is_unchanged { error.context(UNCHANGED) } else { error }
}

fn draw(bytes: &mut [u8]) -> Result<(), String> {
    SystemRandom.fill(bytes).map_err(|NoRandomness(problem)| problem)
}

/// The text of a file, or of a pipe, in which nothing is longer than a token may be.
fn read_tokens(path: &Path) -> anyhow::Result<String> {
    let bytes = read_bounded(File::open(path)?, TOKENS_BYTES)?;
    let words = bytes.split(u8::is_ascii_whitespace);
    if words.map(<[u8]>::len).max().unwrap_or_default() > TOKEN_BYTES {
        bail!("longer than any token");
    }
    Ok(String::from_utf8(bytes)?)
}

fn newest(dest: &Path) -> anyhow::Result<Vec<Generation>> {
    let whole = backup::list(dest)?.into_iter().rev().filter_map(|listed| listed.generation.ok());
    let whole: Vec<_> = whole.take(GENERATIONS).collect();
    if whole.is_empty() {
        bail!("{} holds no generation that is whole; see: cairnd backup list --to {0}", dest.display());
    }
    Ok(whole)
}

/// Several are open at once, and few of their rows are read.
fn small() -> Settings {
    Settings { block_cache: 8 << 20, open_files: 64, ..Settings::default() }
}

fn print_problem(problem: &str) {
    // Standard error may be gone; what is missing for it is told at the end.
    let _ = io::Write::write_all(&mut io::stderr(), format!("cairnd: {problem}\n").as_bytes());
}

fn clear(scratch: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(scratch) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).context(PathBuf::from(scratch).display().to_string())
        }
        _ => Ok(()),
    }
}

fn line<'a>(report: &'a Report, kept: Option<&'a Path>) -> Line<'a> {
    let log = |log: &'a cairnd::engine::MendedLog| LogLine {
        log: &log.log,
        size: log.size.get(),
        lifted: log.lifted,
        held: log.held,
        ended: log.ended.as_deref(),
    };
    Line {
        sound: report.is_sound(),
        missing: report.is_missing,
        mended: kept.is_some(),
        kept,
        wrong: report.wrong.iter().map(wrong_line).collect(),
        unlisted: report.unlisted,
        logs: report.logs.iter().map(log).collect(),
    }
}

fn wrong_line(wrong: &Wrong) -> WrongLine<'_> {
    let entries = wrong.entries();
    let (remedy, from, means) = match &wrong.remedy {
        Remedy::Made => ("made", None, None),
        Remedy::From(whom) => ("from", Some(whom.as_str()), None),
        Remedy::Dropped(means) => ("dropped", None, Some(*means)),
        Remedy::Unsure(means) => ("unsure", None, Some(*means)),
        Remedy::Missing => ("missing", None, None),
    };
    WrongLine {
        log: wrong.log.as_deref(),
        place: wrong.place.to_string(),
        count: wrong.count,
        first: entries.map(|(first, _)| first),
        end: entries.map(|(_, end)| end),
        found: &wrong.found,
        remedy,
        from,
        means,
    }
}
