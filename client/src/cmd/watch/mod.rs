//! `cairn watch`: follows a log, keeps what it verified, and raises the alarm.

mod events;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_tree::checkpoint::LogKeys;
use cairn_tree::size::TreeSize;
use clap::Args;
use indicatif::ProgressBar;

use self::events::Event;
use super::duration::Span;
use super::failure::Failure;
use super::options::{OriginOption, ParallelOption, RemoteOptions, TrustOptions};
use super::stop::Stop;
use super::terminal::{Form, Output, Terminal};
use crate::auditor::{TileReader, seal_of};
use crate::bounds;
use crate::fetch::{Freshness, Remote, shown};
use crate::files::{Durability, FileError, Hold, beside, read_bounded, write_atomic, write_new};
use crate::monitor::{
    Case, Depth, Effort, Evidence, Known, Monitor, Observation, Round, RoundError, StaleTimer, State, StateError,
    Unplaced,
};

/// Follow a log: verify each head against the last, and every entry against the head.
///
/// What was verified is kept in the state file. If the log contradicts what it signed or goes back, the evidence is
/// written beside it and the exit code is 3. A smaller head may be a cache's: it counts when fetches past all caches
/// have shown nothing else for --stale-after. A head that nothing the log serves fits is kept in the state file: later
/// runs end with 3 as well, until it is shown to be of the log's tree, or --clear is given. With a policy, nothing is
/// consistent until the checkpoint has met its quorum of witnesses.
///
/// When a log changes its keys, give the old one and the new one until the old one no longer signs. Heads that were
/// verified before stay so.
#[derive(Debug, Args)]
pub(in crate::cmd) struct Watch {
    #[command(flatten)]
    remote: RemoteOptions,
    #[command(flatten)]
    trust: TrustOptions,
    #[command(flatten)]
    origin: OriginOption,
    #[command(flatten)]
    parallel: ParallelOption,
    /// What was verified so far; the file is made by the first run.
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// Look once and end, after --stale-after at the latest if the log shows an old head.
    #[arg(long)]
    once: bool,
    /// For how long an old head may be a cache's fault.
    #[arg(long, value_name = "TIME", default_value_t = Span(bounds::STALE_AFTER))]
    stale_after: Span,
    /// The wait between two looks.
    #[arg(long, value_name = "TIME", default_value_t = Span(bounds::WATCH_INTERVAL))]
    interval: Span,
    /// Verify that heads extend each other, from tiles, without reading the entries.
    #[arg(long)]
    heads_only: bool,
    /// The folder for evidence, instead of the state file's.
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
    /// Forget the heads that the log signed and that are not known to be of its tree: somebody has looked into them.
    #[arg(long)]
    clear: bool,
}

/// What the rounds carry along.
struct Following<'a, 't> {
    options: Watch,
    monitor: Monitor,
    stale: StaleTimer,
    /// Rounds in a row that ended without a verdict.
    failures: u32,
    /// What the state file holds.
    saved: Vec<u8>,
    /// The size whose last entry was looked at.
    looked_at: Option<TreeSize>,
    remote: Arc<Remote>,
    form: Form,
    output: &'a mut Output<'t>,
}

/// What comes after a round.
enum Next {
    /// Another look after so long.
    Again(Duration),
    /// `--once` has its answer.
    Done,
}

impl Watch {
    pub(in crate::cmd) async fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let (log, trust) = self.trust.one_log(self.origin.which(&self.remote.url()?))?;
        let remote = self.remote.remote()?;
        if let Some(folder) = &self.evidence {
            // Now, while there is somebody to mend it, and not when there is something to keep.
            std::fs::create_dir_all(folder)
                .map_err(|error| Failure::Refused(format!("--evidence {}: {error}", folder.display())))?;
        }
        let _hold = Hold::take(&self.state)?;
        let (mut known, loaded) = load_state(&self.state, &log)?;
        if self.clear {
            known.unplaced = Unplaced::default();
        }
        let depth = if self.heads_only { Depth::Heads } else { Depth::Entries };
        let monitor = Monitor::new(Arc::clone(&remote), log, known, depth, self.parallel.parallel)
            .requiring(trust.policy().cloned());
        let stale = StaleTimer::new(self.stale_after.0);
        let output = &mut terminal.output;
        let (failures, looked_at, saved) = (0, None, loaded);
        let mut following =
            Following { options: self, monitor, stale, failures, saved, looked_at, remote, form, output };
        // Which keys are the log's now is kept before anything else, so that an old one can be left out next time.
        following.save()?;
        let mut stop = Stop::new()?;
        loop {
            // Dropping a round that is under way loses nothing: the state file has what was verified before it.
            let Some(next) = stop.or(Box::pin(following.round())).await else { return Ok(()) };
            match next? {
                Next::Done => return Ok(()),
                Next::Again(wait) => {
                    if stop.or(tokio::time::sleep(wait)).await.is_none() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

impl Following<'_, '_> {
    async fn round(&mut self) -> Result<Next, Failure> {
        // While an old head is about, caches are of no interest.
        let freshness = if self.stale.is_running() { Freshness::PastCaches } else { Freshness::AnyCache };
        let progress = Progress { bar: self.output.progress(0, "entries") };
        let mut ended = self.monitor.round(effort(freshness), &mut |done, total| progress.show(done, total)).await;
        if freshness == Freshness::AnyCache && matches!(&ended, Ok(Round { stale: Some(_), .. })) {
            ended =
                self.monitor.round(effort(Freshness::PastCaches), &mut |done, total| progress.show(done, total)).await;
        }
        progress.bar.finish_and_clear();
        // What was verified is kept, however the round ended.
        self.save()?;
        if let Some(case) = self.monitor.standing_case()
            && !matches!(ended, Err(RoundError::Contradiction(_)))
        {
            return Err(self.alarm(case));
        }
        match ended {
            Ok(round) => {
                if round.stale.is_none() && (round.grown.is_none() || self.options.once) {
                    self.look_for_end().await?;
                }
                self.judged(round)
            }
            Err(RoundError::Unverified(error)) => self.unverified(shown(&error.to_string())),
            Err(RoundError::Contradiction(case)) => Err(self.alarm(*case)),
        }
    }

    fn unverified(&mut self, reason: String) -> Result<Next, Failure> {
        if self.options.once {
            return Err(Failure::Refused(reason));
        }
        self.failures = self.failures.saturating_add(1);
        self.output.print(self.form, &Event::unverified(reason))?;
        Ok(Next::Again(self.backoff()))
    }

    /// Tells, once, that the log has ended, if its last entry says so. A log that grows has not.
    async fn look_for_end(&mut self) -> Result<(), Failure> {
        let Some(state) = self.monitor.state() else { return Ok(()) };
        let tree = state.root();
        if self.looked_at == Some(tree.size) {
            return Ok(());
        }
        let mut reader = TileReader::new(Arc::clone(&self.remote), self.options.parallel.parallel);
        // What can't be had now is looked for again when the log is; that is no verdict about the log.
        if let Ok(seal) = seal_of(&self.remote, &mut reader, (tree, self.monitor.keys())).await {
            self.looked_at = Some(tree.size);
            if let Some(seal) = seal {
                self.output.print(self.form, &Event::sealed(&seal, tree.size))?;
            }
        }
        Ok(())
    }

    fn judged(&mut self, round: Round) -> Result<Next, Failure> {
        if let Some(head) = &round.uncompared {
            return self.unverified(shown(&head.to_string()));
        }
        self.failures = 0;
        let Some(stale) = round.stale else {
            self.stale.fresh();
            if (round.grown.is_some() || self.options.once)
                && let Some(state) = self.monitor.state()
            {
                self.output.print(self.form, &Event::consistent(state, round.grown))?;
            }
            return Ok(if self.options.once { Next::Done } else { Next::Again(self.options.interval.0) });
        };
        let is_new = !self.stale.is_running();
        if let Some(passed) = self.stale.stale(Instant::now())
            && let Some(case) = self.monitor.rollback(&stale, passed)
        {
            return Err(self.alarm(case));
        }
        if is_new && let Some(state) = self.monitor.state() {
            self.output.print(self.form, &Event::stale(&stale, state))?;
        }
        Ok(Next::Again(bounds::STALE_INTERVAL.min(self.options.stale_after.0)))
    }

    /// Keeps the evidence and says what happened.
    fn alarm(&mut self, case: Case) -> Failure {
        let path = self.evidence_path(case.name());
        let (keys, url) = (self.monitor.keys_ever(), &self.options.remote.url);
        accuse(case, (&keys, url), Some(&path), self.form, self.output)
    }

    fn evidence_path(&self, kind: &str) -> PathBuf {
        let state = &self.options.state;
        match (&self.options.evidence, state.file_name()) {
            (Some(folder), Some(name)) => beside_state(&folder.join(name), kind),
            _ => beside_state(state, kind),
        }
    }

    /// Writes the state file, if there is something new.
    fn save(&mut self) -> Result<(), Failure> {
        save_state(&self.options.state, &self.monitor, &mut self.saved)
    }

    /// Longer from failure to failure, so that a log in trouble is not asked all the time.
    fn backoff(&self) -> Duration {
        let interval = self.options.interval.0;
        let doubled = interval.saturating_mul(1 << self.failures.min(16));
        doubled.min(bounds::LONGEST_WATCH_BACKOFF.max(interval))
    }
}

/// Writes evidence against a log, prints that there is some, and says what happened.
pub(in crate::cmd) fn accuse(
    case: Case,
    (keys, url): (&LogKeys, &str),
    path: Option<&Path>,
    form: Form,
    output: &mut Output<'_>,
) -> Failure {
    let (url, at) = (url.to_owned(), jiff::Timestamp::now().to_string());
    let evidence = Evidence::new(case, Observation { keys, url, at, transcript: Vec::new() });
    let written = match (evidence.encode(), path) {
        (Ok(bytes), Some(path)) => write_new(path, &bytes).map(Some).map_err(|error| error.to_string()),
        (Ok(_), None) => Err("no --state was given, beside which it would stand".to_owned()),
        (Err(error), _) => Err(error.to_string()),
    };
    let (path, unwritten) = match written {
        Ok(path) => (path.map(|path| path.display().to_string()), None),
        Err(error) => (None, Some(error)),
    };
    let event = Event::contradiction(&evidence, path);
    if let Err(failure) = output.print(form, &event) {
        output.say(format_args!("cairn: {failure}"));
    }
    output.say(format_args!("cairn: {}", shown(evidence.summary())));
    if let Some(error) = unwritten {
        output.say(format_args!("cairn: the evidence could not be written: {error}"));
        // It must not be lost: whoever keeps our words keeps it.
        let bytes = evidence.encode().unwrap_or_default();
        output.say(String::from_utf8_lossy(&bytes));
    }
    Failure::Contradiction
}

/// Where evidence of a kind stands: beside the state file.
pub(in crate::cmd) fn beside_state(state: &Path, kind: &str) -> PathBuf {
    beside(state, &format!(".{kind}.json"))
}

/// Each round of a watcher reads all there is.
const fn effort(freshness: Freshness) -> Effort {
    Effort { freshness, entries: u64::MAX }
}

/// Writes what a monitor knows, if it is other than what the file has.
pub(in crate::cmd) fn save_state(path: &Path, monitor: &Monitor, saved: &mut Vec<u8>) -> Result<(), Failure> {
    let Some(state) = monitor.state() else { return Ok(()) };
    let bytes =
        state.encode(monitor.unplaced(), monitor.keys()).map_err(|error| Failure::Refused(error.to_string()))?;
    if bytes != *saved {
        write_atomic(path, &bytes, Durability::PowerLoss).map_err(|error| Failure::Refused(error.to_string()))?;
        *saved = bytes;
    }
    Ok(())
}

/// What is known from earlier runs, and the bytes that say so.
pub(in crate::cmd) fn load_state(path: &Path, keys: &LogKeys) -> Result<(Known, Vec<u8>), Failure> {
    let bytes = match read_bounded(path, bounds::STATE_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.is_absent() => return Ok((Known::default(), Vec::new())),
        Err(error @ FileError::TooLong { .. }) => return Err(damaged(path, &error)),
        Err(error) => return Err(error.into()),
    };
    match State::decode(&bytes, keys) {
        Ok((state, unplaced)) => Ok((Known { state: Some(state), reading: None, unplaced }, bytes)),
        Err(error @ (StateError::OtherKey(_) | StateError::OtherLog(_))) => {
            Err(Failure::Usage(format!("{}: {error}", path.display())))
        }
        Err(error) => Err(damaged(path, &error)),
    }
}

fn damaged(path: &Path, error: &dyn core::fmt::Display) -> Failure {
    Failure::Refused(format!(
        "{}: {error}. Put a copy of it back; without one, move it away and watch anew: that trusts the log's present \
         head, and what was seen before is forgotten",
        path.display()
    ))
}

/// A bar that knows its length only once a round has found new entries.
struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn show(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
    }
}
