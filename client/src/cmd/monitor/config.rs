//! What a monitor is to do: from a TOML file, or for one log from the command line.
//!
//! Paths in the file are relative to its folder. A name that is not known is an error, like everywhere.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cairn_tree::checkpoint::LogKeys;
use cairn_tree::note::VerifierKey;
use serde::Deserialize;

use super::super::duration::Span;
use super::super::failure::Failure;
use super::super::options::{parse_keys, read_policy};
use crate::bounds;
use crate::fetch::{LogUrl, Token};
use crate::files::read_bounded;
use crate::monitor::{Depth, Freshly, Rules};

/// A file with everything that can stand in one.
pub(super) const EXAMPLE: &str = include_str!("example.toml");

/// The configuration file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    state: Option<PathBuf>,
    evidence: Option<PathBuf>,
    listen: Option<SocketAddr>,
    on_alarm: Option<OnAlarm>,
    at_once: Option<usize>,
    parallel: Option<usize>,
    gossip_interval: Option<Span>,
    #[serde(default)]
    alarm: Notify,
    #[serde(default, rename = "peer")]
    peers: Vec<PeerEntry>,
    #[serde(default, rename = "log")]
    logs: Vec<LogEntry>,
    #[serde(flatten)]
    patience: Patience,
}

/// Another monitor or witness to gossip with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerEntry {
    url: String,
}

/// One log.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogEntry {
    pub(super) name: String,
    pub(super) url: String,
    #[serde(default)]
    pub(super) keys: Vec<String>,
    pub(super) policy: Option<PathBuf>,
    pub(super) token_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) heads_only: bool,
    #[serde(flatten)]
    pub(super) patience: Patience,
}

/// How patient to be; what a log does not say, the file says for all.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub(super) struct Patience {
    pub(super) interval: Option<Span>,
    pub(super) stale_after: Option<Span>,
    pub(super) withheld_after: Option<Span>,
    pub(super) unreachable_after: Option<Span>,
    pub(super) max_head_age: Option<Span>,
    pub(super) future_tolerance: Option<Span>,
    pub(super) timeout: Option<Span>,
}

/// Who is told of alarms.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Notify {
    /// A program with its arguments; no shell.
    pub(super) command: Vec<String>,
    /// Where JSON is posted.
    pub(super) url: Option<String>,
    /// How long the command, or one attempt at the URL, may take.
    pub(super) timeout: Option<Span>,
}

/// What an alarm does to the monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnAlarm {
    /// It ends, with exit code 3.
    Exit,
    /// It goes on.
    Continue,
}

/// All that is settled before the first look.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) state: PathBuf,
    pub(super) evidence: PathBuf,
    pub(super) listen: Option<SocketAddr>,
    pub(super) on_alarm: OnAlarm,
    pub(super) at_once: usize,
    pub(super) parallel: usize,
    /// How many requests a look may make at a time for what is small.
    pub(super) most_parallel: usize,
    pub(super) gossip_interval: Duration,
    pub(super) notify: Notify,
    pub(super) peers: Vec<LogUrl>,
    pub(super) logs: Vec<LogPlan>,
}

/// One log of a plan.
#[derive(Debug)]
pub(super) struct LogPlan {
    pub(super) name: String,
    pub(super) url: LogUrl,
    pub(super) keys: LogKeys,
    pub(super) token: Option<Token>,
    pub(super) depth: Depth,
    pub(super) timeout: Duration,
    pub(super) rules: Rules,
}

impl File {
    /// Reads a file; its paths become relative to where the command runs.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let refused = |error: &dyn core::fmt::Display| Failure::Usage(format!("{}: {error}", path.display()));
        let bytes = read_bounded(path, bounds::CONFIG_BYTES)?;
        let text = String::from_utf8(bytes).map_err(|_| refused(&"not text"))?;
        let mut file: Self = toml::from_str(&text).map_err(|error| refused(&error))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let from_here = |path: &mut PathBuf| *path = folder.join(&*path);
        file.state.iter_mut().chain(file.evidence.iter_mut()).for_each(from_here);
        for log in &mut file.logs {
            log.policy.iter_mut().chain(log.token_file.iter_mut()).for_each(from_here);
            for key in &mut log.keys {
                let beside = folder.join(&*key);
                if beside.is_file() {
                    *key = beside.display().to_string();
                }
            }
        }
        Ok(file)
    }

    /// A file with one log and nothing else.
    pub(super) fn of_one_log(log: LogEntry) -> Self {
        Self {
            state: None,
            evidence: None,
            listen: None,
            on_alarm: None,
            at_once: None,
            parallel: None,
            gossip_interval: None,
            alarm: Notify::default(),
            peers: Vec::new(),
            patience: Patience::default(),
            logs: vec![log],
        }
    }

    /// Where the memory is kept, the interface, and what an alarm does: the command line goes before the file.
    pub(super) fn overridden(mut self, options: &super::Monitor) -> Self {
        self.state = options.state.clone().or(self.state);
        self.listen = options.listen.or(self.listen);
        self.on_alarm = options.on_alarm.or(self.on_alarm);
        self.peers.extend(options.peers.iter().map(|url| PeerEntry { url: url.clone() }));
        for log in &mut self.logs {
            log.patience = options.patience().or(log.patience);
        }
        self
    }

    /// Checks everything that can be checked before the first look.
    pub(super) fn plan(self) -> Result<Plan, Failure> {
        let usage = |words: String| Failure::Usage(words);
        let state = self.state.ok_or_else(|| usage("where to keep what was verified: give --state DIR".to_owned()))?;
        if self.logs.is_empty() || self.logs.len() > bounds::MONITORED_LOGS {
            return Err(usage(format!("1 to {} logs are needed, not {}", bounds::MONITORED_LOGS, self.logs.len())));
        }
        let logs = self.logs.into_iter().map(|log| log.plan(self.patience)).collect::<Result<Vec<_>, _>>()?;
        let (names, origins): (BTreeSet<_>, BTreeSet<_>) =
            logs.iter().map(|log| (&log.name, log.keys.origin())).unzip();
        if names.len() < logs.len() || origins.len() < logs.len() {
            return Err(usage("two logs have one name or one origin".to_owned()));
        }
        if self.peers.len() > bounds::GOSSIP_PEERS {
            return Err(usage(format!("at most {} peers", bounds::GOSSIP_PEERS)));
        }
        let peers = self.peers.iter().map(|peer| {
            LogUrl::parse(&peer.url).map_err(|error| Failure::Usage(format!("the peer {}: {error}", peer.url)))
        });
        let most = bounds::MOST_PARALLEL_FETCHES;
        let bounded = |name: &str, value: Option<usize>, default: usize| match value.unwrap_or(default) {
            value if (1..=most).contains(&value) => Ok(value),
            value => Err(Failure::Usage(format!("{name} must be 1 to {most}, not {value}"))),
        };
        Ok(Plan {
            evidence: self.evidence.unwrap_or_else(|| state.join("evidence")),
            listen: self.listen,
            on_alarm: self.on_alarm.unwrap_or(OnAlarm::Exit),
            at_once: bounded("at_once", self.at_once, bounds::LOGS_AT_ONCE)?,
            parallel: bounded("parallel", self.parallel, bounds::PARALLEL_FETCHES)?,
            most_parallel: self.parallel.unwrap_or(bounds::MOST_PARALLEL_FETCHES),
            gossip_interval: self.gossip_interval.map_or(bounds::GOSSIP_INTERVAL, |span| span.0),
            notify: self.alarm,
            peers: peers.collect::<Result<_, _>>()?,
            logs,
            state,
        })
    }
}

impl LogEntry {
    fn plan(self, general: Patience) -> Result<LogPlan, Failure> {
        let usage = |error: &dyn core::fmt::Display| Failure::Usage(format!("the log {}: {error}", self.name));
        if !is_name(&self.name) {
            return Err(usage(&"a name has 1 to 63 of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit"));
        }
        let url = LogUrl::parse(&self.url).map_err(|error| usage(&error))?;
        let policy = self.policy.as_deref().map(read_policy).transpose()?;
        let keys = match (parse_keys(&self.keys)?, &policy) {
            (Some(keys), _) => keys,
            (None, Some(policy)) => {
                let keys = policy.logs().iter().map(|log| log.key().clone()).collect();
                LogKeys::new(keys)
                    .map_err(|error| usage(&format_args!("{error}; say which log is meant by its keys")))?
            }
            (None, None) => return Err(usage(&"no key: give one, or a policy that names the log")),
        };
        let token = self.token_file.as_deref().map(token).transpose()?;
        let patience = self.patience.or(general);
        let span = |span: Option<Span>, default: Duration| span.map_or(default, |span| span.0);
        Ok(LogPlan {
            url,
            keys,
            token,
            depth: if self.heads_only { Depth::Heads } else { Depth::Entries },
            timeout: span(patience.timeout, bounds::REQUEST_TIMEOUT),
            rules: Rules {
                interval: span(patience.interval, bounds::WATCH_INTERVAL),
                stale_after: span(patience.stale_after, bounds::STALE_AFTER),
                withheld_after: patience.withheld_after.map(|span| span.0),
                unreachable_after: span(patience.unreachable_after, bounds::UNREACHABLE_AFTER),
                freshly: Freshly {
                    policy,
                    max_age: patience.max_head_age.map(|span| span.0),
                    tolerance: span(patience.future_tolerance, bounds::FUTURE_TOLERANCE),
                },
            },
            name: self.name,
        })
    }
}

impl Patience {
    /// What is said here, else what is said there.
    const fn or(self, other: Self) -> Self {
        macro_rules! either {
            ($($field:ident),+) => { Self { $($field: match self.$field { Some(span) => Some(span), None => other.$field }),+ } };
        }
        either!(interval, stale_after, withheld_after, unreachable_after, max_head_age, future_tolerance, timeout)
    }
}

/// A name that can stand in file names and paths.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    (1..=63).contains(&name.len())
        && name.bytes().all(fits)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}

fn token(path: &Path) -> Result<Token, Failure> {
    let bytes = read_bounded(path, VerifierKey::MAX_TEXT_BYTES)?;
    let text = String::from_utf8_lossy(&bytes);
    Token::new(text.trim()).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_file_that_says_everything() {
        let file: File = toml::from_str(EXAMPLE).unwrap();
        let Some(log) = file.logs.first() else { panic!("no log") };
        assert!(file.state.is_some() && file.evidence.is_some() && file.listen.is_some() && file.on_alarm.is_some());
        assert!(file.at_once.is_some() && file.parallel.is_some() && file.gossip_interval.is_some());
        assert!(!file.alarm.command.is_empty() && file.alarm.url.is_some() && file.alarm.timeout.is_some());
        assert!(!log.keys.is_empty() && log.policy.is_some() && log.token_file.is_some());
        assert_eq!((file.peers.len(), log.patience.interval.map(|span| span.0)), (1, Some(Duration::from_secs(1))));
        let Patience {
            interval,
            stale_after,
            withheld_after,
            unreachable_after,
            max_head_age,
            future_tolerance,
            timeout,
        } = file.patience;
        let said = [interval, stale_after, withheld_after, unreachable_after, max_head_age, future_tolerance, timeout];
        assert!(said.iter().all(Option::is_some), "{said:?}");
        // What it calls a default is one.
        for (said, default) in [
            (interval, bounds::WATCH_INTERVAL),
            (stale_after, bounds::STALE_AFTER),
            (unreachable_after, bounds::UNREACHABLE_AFTER),
            (future_tolerance, bounds::FUTURE_TOLERANCE),
            (timeout, bounds::REQUEST_TIMEOUT),
            (file.gossip_interval, bounds::GOSSIP_INTERVAL),
            (file.alarm.timeout, bounds::NOTIFY_TIME),
        ] {
            assert_eq!(said.map(|span| span.0), Some(default));
        }
    }
}
