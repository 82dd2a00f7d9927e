//! `cairn monitor`: follows any number of logs, keeps what it verified, raises alarms, and gossips.

mod config;
mod figures;
mod inbox;
mod notify;
mod report;
mod surface;
mod task;
mod unwritten;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use self::config::{File, LogEntry, LogPlan, OnAlarm, Patience, Plan};
use self::figures::Figures;
use self::inbox::{Inbox, keep_pulling, pull_all};
use self::notify::Notifier;
use self::report::Who;
use self::surface::{Serving, Surface};
use self::task::{Outcome, Said, Shared, Task};
use super::duration::Span;
use super::failure::Failure;
use super::options::random;
use super::stop::Stop;
use super::terminal::{Form, Output, Terminal};
use crate::bounds;
use crate::fetch::{Remote, Settings, shown};
use crate::files::{FileError, Hold, read_bounded};
use crate::gossip::{Board, Peer};
use crate::monitor::{self, Follower, Kept, StateError, Vault};

/// Follow logs: verify each head against the last and every entry against the head, judge witnesses and times, and
/// compare with what others were shown.
///
/// What was verified is kept in --state, also within a first reading of a large log. An alarm is one line here, a file
/// of evidence, and whatever the configuration asks for; by default it ends the monitor with exit code 3. What caches may
/// honestly show, an older head, is an alarm only when fetches past all caches have shown nothing else for
/// --stale-after. Most alarms end when the log behaves again; a fork, and a head that nothing it serves fits, stand over
/// restarts until the head is shown to be of the log's tree or --clear is given. A log that does not answer is told of and
/// not accused. When a log changes its keys, the new ones are
/// followed along its own statements, each signed by a key that was trusted before it, and told of; a head by any other
/// key is an alarm. Exit code 5 means that what this machine keeps
/// is damaged.
#[derive(Debug, Args)]
#[command(after_long_help = config::EXAMPLE)]
pub(in crate::cmd) struct Monitor {
    /// A file that says which logs are followed, and how (TOML).
    #[arg(long, value_name = "FILE", required_unless_present = "url", conflicts_with_all = ["url", "key", "policy"])]
    config: Option<PathBuf>,
    /// The one log's address.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The log's verification key (a vkey), or a file that holds it; several, while the log changes its key.
    #[arg(long = "key", value_name = "VKEY")]
    key: Vec<String>,
    /// A trust policy (C2SP tlog-policy) that its checkpoints must meet.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A file that holds the token for the log.
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
    /// Verify that heads extend each other, from tiles, without reading the entries.
    #[arg(long, requires = "url")]
    heads_only: bool,
    /// The folder for what was verified, and for evidence; it is made by the first run.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Look once and end, after --stale-after at the latest if a log shows an old head.
    #[arg(long)]
    once: bool,
    /// What an alarm does: the monitor ends, with exit code 3, or it goes on.
    #[arg(long, value_name = "WHAT")]
    on_alarm: Option<OnAlarm>,
    /// End, before the first look, the alarms of the log of this name that stand until somebody has looked into them (`fork`
    /// and `misfit`), and forget the heads that they are about; the log of --url is called `log`. A fork of what was
    /// verified is an alarm again at the next look.
    #[arg(long, value_name = "NAME")]
    clear: Vec<String>,
    /// Where to serve /metrics, /healthz, /readyz and the heads for others.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Another monitor's or a witness's address, whose heads are compared with ours.
    #[arg(long = "peer", value_name = "URL")]
    peers: Vec<String>,
    /// The wait between two looks.
    #[arg(long, value_name = "TIME")]
    interval: Option<Span>,
    /// For how long an old head may be a cache's fault.
    #[arg(long, value_name = "TIME")]
    stale_after: Option<Span>,
    /// How old a checkpoint may be, by its witnesses' times.
    #[arg(long, value_name = "TIME")]
    max_head_age: Option<Span>,
    /// How long one request may take.
    #[arg(long, value_name = "TIME")]
    timeout: Option<Span>,
}

/// A monitor that is set up.
struct Running {
    plan: Plan,
    /// Nobody else uses the folder meanwhile.
    _hold: Hold,
    shared: Shared,
    tasks: JoinSet<Outcome>,
    pulls: JoinSet<()>,
    reports: mpsc::Receiver<Said>,
    notifier: Notifier,
    complaints: mpsc::Receiver<String>,
    serving: Option<Serving>,
}

impl Monitor {
    pub(in crate::cmd) async fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let plan = self.plan()?;
        if let Some(name) = self.clear.iter().find(|name| plan.logs.iter().all(|log| log.name != **name)) {
            let names: Vec<&str> = plan.logs.iter().map(|log| log.name.as_str()).collect();
            let (name, names) = (shown(name), names.join(", "));
            return Err(Failure::Usage(format!("--clear {name}: no log of this name is followed; there is {names}")));
        }
        let mut running = Running::set_up(plan, self.once, &self.clear).await?;
        let output = &mut terminal.output;
        if let Some(serving) = &running.serving {
            output.say(format_args!("cairn monitor is ready at {}", serving.url));
        }
        let ended = running.watch(form, output).await;
        running.end(form, output).await;
        ended
    }

    fn plan(&self) -> Result<Plan, Failure> {
        let file = match (&self.config, &self.url) {
            (Some(path), _) => File::read(path)?,
            (None, Some(url)) => File::of_one_log(LogEntry {
                name: "log".to_owned(),
                url: url.clone(),
                keys: self.key.clone(),
                policy: self.policy.clone(),
                token_file: self.token_file.clone(),
                heads_only: self.heads_only,
                patience: Patience::default(),
            }),
            (None, None) => return Err(Failure::Usage("give --config FILE or --url URL".to_owned())),
        };
        file.overridden(self).plan()
    }

    /// What the command line says about patience.
    fn patience(&self) -> Patience {
        let Self { interval, stale_after, max_head_age, timeout, .. } = *self;
        Patience { interval, stale_after, max_head_age, timeout, ..Patience::default() }
    }
}

impl Running {
    async fn set_up(mut plan: Plan, once: bool, clear: &[String]) -> Result<Self, Failure> {
        std::fs::create_dir_all(&plan.state)
            .map_err(|error| Failure::Refused(format!("--state {}: {error}", plan.state.display())))?;
        let hold = Hold::take(&plan.state.join("monitor"))?;
        // Now, while there is somebody to mend it, and not when there is something to keep.
        let vault = Vault::open(&plan.evidence).map_err(|error| Failure::Refused(error.to_string()))?;
        let refused = |error: crate::fetch::FetchError| Failure::Refused(error.to_string());
        let peers = plan.peers.iter().map(|url| Peer::new(url.clone(), seed()?).map(Arc::new).map_err(refused));
        let peers = peers.collect::<Result<Vec<_>, _>>()?;
        let logs = core::mem::take(&mut plan.logs);
        let figures = Arc::new(Figures::new(logs.iter().map(|log| &log.name), peers.clone()));
        let board = Arc::new(Board::new(logs.iter().map(|log| log.keys.origin())));
        let (said, reports) = mpsc::channel(bounds::UNSAID);
        let (complain, complaints) = mpsc::channel(bounds::UNSAID);
        let turns = Arc::new(Semaphore::new(plan.at_once));
        let on_alarm = plan.on_alarm;
        let shared = Shared { vault, board, figures, turns, said, once, on_alarm };
        let names: Vec<String> = peers.iter().map(|peer| peer.url().to_string()).collect();
        let mut followed = Vec::new();
        for log in logs {
            let is_cleared = clear.contains(&log.name);
            followed.push(task((log, is_cleared), &plan, &names, &shared)?);
        }
        let serving = plan.listen.map(|address| {
            let surface = Surface { board: Arc::clone(&shared.board), figures: Arc::clone(&shared.figures) };
            Serving::start(surface, address)
        });
        let serving = serving.transpose()?;
        let notifier = Notifier::start(&plan.notify, Arc::clone(&shared.figures), &complain)
            .map_err(|error| Failure::Refused(format!("nobody can be told at the alarm URL: {error}")))?;
        let (started, inboxes): (Vec<_>, Vec<_>) = followed.into_iter().unzip();
        let pulls = gossip(&peers, &inboxes, &plan, once).await;
        let mut tasks = JoinSet::new();
        started.into_iter().for_each(|task: Task| drop(tasks.spawn(task.run())));
        Ok(Self { plan, _hold: hold, shared, tasks, pulls, reports, notifier, complaints, serving })
    }

    /// Says what the tasks say until they are done, one of them raises an alarm that ends all, or the user has enough.
    async fn watch(&mut self, form: Form, output: &mut Output<'_>) -> Result<(), Failure> {
        let mut stop = Stop::new()?;
        let mut outcomes = Vec::new();
        loop {
            let next = tokio::select! {
                biased;
                Some(said) = self.reports.recv() => Next::Said(said),
                Some(words) = self.complaints.recv() => Next::Said(Said::Words(words)),
                Some(ended) = self.tasks.join_next() => Next::Ended(ended),
                () = stop.wished() => return Ok(()),
                else => break,
            };
            match next {
                Next::Said(said) => self.say(said, form, output)?,
                Next::Ended(Err(error)) => return Err(Failure::Refused(format!("a log's task failed: {error}"))),
                Next::Ended(Ok(Outcome::Alarm)) if !self.shared.once && self.plan.on_alarm == OnAlarm::Exit => {
                    return Err(Failure::Contradiction);
                }
                Next::Ended(Ok(outcome)) => outcomes.push(outcome),
            }
            if self.tasks.is_empty() {
                break;
            }
        }
        match outcomes.iter().max_by_key(|outcome| outcome.severity()) {
            Some(Outcome::Alarm) => Err(Failure::Contradiction),
            Some(Outcome::Unverified(reason)) => Err(Failure::Refused(reason.clone())),
            _ => Ok(()),
        }
    }

    fn say(&self, said: Said, form: Form, output: &mut Output<'_>) -> Result<(), Failure> {
        match said {
            Said::Words(words) => output.say(format_args!("cairn: {words}")),
            Said::Report(report) => {
                if report.is_for_people()
                    && let Ok(note) = serde_json::to_vec(&report)
                {
                    self.notifier.tell(note);
                }
                output.print(form, &report)?;
            }
        }
        Ok(())
    }

    /// Ends the tasks, says what they have left, and waits for what is to be told to people.
    async fn end(mut self, form: Form, output: &mut Output<'_>) {
        self.tasks.shutdown().await;
        self.pulls.shutdown().await;
        while let Ok(said) = self.reports.try_recv() {
            // If nobody reads any more, there is nobody to tell.
            let _ = self.say(said, form, output);
        }
        self.notifier.finish().await;
        while let Ok(words) = self.complaints.try_recv() {
            output.say(format_args!("cairn: {words}"));
        }
        if let Some(serving) = self.serving {
            serving.finish().await;
        }
    }
}

enum Next {
    Said(Said),
    Ended(Result<Outcome, tokio::task::JoinError>),
}

impl Outcome {
    const fn severity(&self) -> u8 {
        match self {
            Self::Consistent => 0,
            Self::Unverified(_) => 1,
            Self::Alarm => 2,
        }
    }
}

/// Begins to pull from peers; with `--once`, pulls once before the first look.
async fn gossip(peers: &[Arc<Peer>], logs: &[Arc<Inbox>], plan: &Plan, once: bool) -> JoinSet<()> {
    let mut pulls = JoinSet::new();
    for (number, peer) in peers.iter().enumerate() {
        let (peer, logs, interval) = (Arc::clone(peer), logs.to_vec(), plan.gossip_interval);
        if once {
            pulls.spawn(async move { _ = pull_all(number, &peer, &logs).await });
        } else {
            pulls.spawn(keep_pulling(number, peer, logs, interval));
        }
    }
    if once {
        while pulls.join_next().await.is_some() {}
    }
    pulls
}

fn task(
    (log, is_cleared): (LogPlan, bool),
    plan: &Plan,
    peers: &[String],
    shared: &Shared,
) -> Result<(Task, Arc<Inbox>), Failure> {
    let file = plan.state.join(format!("{}.state", log.name));
    let mut kept = load(&file, &log)?;
    let cleared = if is_cleared { kept.clear() } else { Vec::new() };
    let settings = Settings { token: log.token, timeout: log.timeout, seed: seed()? };
    let remote = Arc::new(Remote::new(log.url, settings)?);
    let origin = log.keys.origin().to_string();
    let inbox = Arc::new(Inbox::new(kept.keys.all().clone()));
    let monitor = monitor::Monitor::new(remote, kept.keys, kept.known, log.depth, plan.parallel)
        .reading_ahead(plan.most_parallel);
    let follower = Follower::new(monitor, kept.ledger, log.rules);
    let who = Who { log: log.name, origin };
    let task = Task::new(who, follower, file, (Arc::clone(&inbox), peers.to_vec()), shared.clone()).after(cleared);
    Ok((task, inbox))
}

fn load(path: &Path, log: &LogPlan) -> Result<Kept, Failure> {
    let bytes = match read_bounded(path, bounds::KEPT_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.is_absent() => return Ok(Kept::nothing(log.keys.clone())),
        Err(error @ FileError::TooLong { .. }) => return Err(damaged(path, &error)),
        Err(error) => return Err(error.into()),
    };
    Kept::decode(&bytes, &log.keys).map_err(|error| match error {
        StateError::OtherKey(_) | StateError::OtherLog(_) => Failure::Usage(format!("{}: {error}", path.display())),
        StateError::Damaged(_) => damaged(path, &error),
    })
}

fn damaged(path: &Path, error: &dyn core::fmt::Display) -> Failure {
    Failure::Damaged(format!(
        "{}: {error}. Put a copy of it back; without one, move it away and begin anew: that trusts the log's present \
         head, and what was seen before is forgotten",
        path.display()
    ))
}

fn seed() -> Result<u64, Failure> {
    let [a, b, c, d, e, f, g, h, ..] = random()?;
    Ok(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}
