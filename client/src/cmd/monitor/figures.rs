//! Figures of a monitor, as Prometheus reads them, and whether it is ready.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::gossip::Peer;
use crate::monitor::{Alarm, Follower, Step};

/// All figures.
#[derive(Default)]
pub(super) struct Figures {
    logs: Mutex<BTreeMap<String, Log>>,
    undelivered: AtomicU64,
    unkept: AtomicU64,
    peers: Vec<Arc<Peer>>,
}

/// What is told of one log.
#[derive(Debug, Clone, Default)]
struct Log {
    verified: u64,
    shown: u64,
    steps: u64,
    failures: u64,
    is_verified: bool,
    unproven: u64,
    key_changes: u64,
    waiting: Waiting,
    /// When the last step ended that verified something, in seconds since the Epoch.
    last: i64,
    active: BTreeSet<Alarm>,
    raised: BTreeMap<Alarm, u64>,
}

/// What a log's task could not write to a file so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Waiting {
    /// How many cases.
    pub(super) evidence: u64,
    /// What was verified is not saved.
    pub(super) is_unsaved: bool,
}

impl Figures {
    pub(super) fn new<'a>(logs: impl Iterator<Item = &'a String>, peers: Vec<Arc<Peer>>) -> Self {
        let logs = logs.map(|name| (name.clone(), Log::default())).collect();
        Self { logs: Mutex::new(logs), peers, ..Self::default() }
    }

    /// A note to people was not delivered.
    pub(super) fn undelivered(&self) {
        self.undelivered.fetch_add(1, Ordering::Relaxed);
    }

    /// Evidence was not written to a file.
    pub(super) fn unkept(&self) {
        self.unkept.fetch_add(1, Ordering::Relaxed);
    }

    /// An alarm was raised.
    pub(super) fn raised(&self, log: &str, alarm: Alarm) {
        self.of(log, |log| *log.raised.entry(alarm).or_default() += 1);
    }

    /// A log led to other keys.
    pub(super) fn keys_changed(&self, log: &str) {
        self.of(log, |log| log.key_changes += 1);
    }

    /// A step was made.
    pub(super) fn stepped(&self, name: &str, (follower, step, waiting): (&Follower, &Step, Waiting), now: i64) {
        let monitor = follower.monitor();
        self.of(name, |log| {
            log.verified = monitor.reading().map(|reading| reading.frontier().size().get()).unwrap_or_default();
            log.verified = log.verified.max(monitor.state().map_or(0, |state| state.root().size.get()));
            log.shown = monitor.newest().map_or(0, |head| head.size().get());
            log.steps += 1;
            log.unproven = follower.unproven() as u64;
            log.waiting = waiting;
            log.active = follower.ledger().active().map(|active| active.alarm).collect();
            if step.unverified.is_some() {
                log.failures += 1;
            } else {
                log.last = now;
            }
            log.is_verified = monitor.state().is_some();
        });
    }

    fn of(&self, name: &str, change: impl FnOnce(&mut Log)) {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        change(logs.entry(name.to_owned()).or_default());
    }

    /// The logs of which nothing is verified yet, or which do not answer; if there are none, the monitor is ready.
    pub(super) fn unready(&self) -> Vec<String> {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let unready = |log: &Log| !log.is_verified || log.active.contains(&Alarm::Unreachable);
        logs.iter().filter(|(_, log)| unready(log)).map(|(name, _)| name.clone()).collect()
    }

    /// All figures as text.
    pub(super) fn text(&self) -> String {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut text = String::new();
        type Figure = (&'static str, &'static str, &'static str, fn(&Log) -> String);
        let figures: [Figure; 10] = [
            ("cairn_monitor_verified_entries", "gauge", "Entries that were verified.", |log| log.verified.to_string()),
            ("cairn_monitor_shown_entries", "gauge", "Entries of the largest signed head.", |log| {
                log.shown.to_string()
            }),
            ("cairn_monitor_steps_total", "counter", "Looks at the log.", |log| log.steps.to_string()),
            ("cairn_monitor_failures_total", "counter", "Looks that verified nothing.", |log| log.failures.to_string()),
            ("cairn_monitor_last_verified_seconds", "gauge", "When something was last verified.", |log| {
                log.last.to_string()
            }),
            ("cairn_monitor_unproven_heads", "gauge", "Heads of peers that no proof was to be had for.", |log| {
                log.unproven.to_string()
            }),
            ("cairn_monitor_key_changes_total", "counter", "Changes of keys that were followed.", |log| {
                log.key_changes.to_string()
            }),
            ("cairn_monitor_unwritten_evidence", "gauge", "Cases that wait to be written to a file.", |log| {
                log.waiting.evidence.to_string()
            }),
            ("cairn_monitor_unsaved", "gauge", "Whether what was verified could not be saved.", |log| {
                u8::from(log.waiting.is_unsaved).to_string()
            }),
            ("cairn_monitor_ready", "gauge", "Whether a whole tree was verified.", |log| {
                u8::from(log.is_verified).to_string()
            }),
        ];
        for (name, kind, help, value) in figures {
            head(&mut text, name, kind, help);
            for (log, figure) in &logs {
                line(&mut text, name, &[("log", log)], &value(figure));
            }
        }
        let name = "cairn_monitor_alarm";
        head(&mut text, name, "gauge", "Whether an alarm goes on.");
        for (log, figure) in &logs {
            for alarm in Alarm::ALL {
                let labels = [("log", &**log), ("alarm", alarm.name())];
                line(&mut text, name, &labels, if figure.active.contains(&alarm) { "1" } else { "0" });
            }
        }
        let name = "cairn_monitor_alarms_total";
        head(&mut text, name, "counter", "Alarms that were raised.");
        for (log, figure) in &logs {
            for alarm in Alarm::ALL {
                let labels = [("log", &**log), ("alarm", alarm.name())];
                line(&mut text, name, &labels, &figure.raised.get(&alarm).copied().unwrap_or(0).to_string());
            }
        }
        self.rest(&mut text);
        text
    }

    fn rest(&self, text: &mut String) {
        let name = "cairn_monitor_pulls_total";
        head(text, name, "counter", "Pulls from peers, by what they gave.");
        for peer in &self.peers {
            for (result, count) in peer.tally().counts() {
                let url = peer.url().to_string();
                line(text, name, &[("peer", &url), ("result", result)], &count.to_string());
            }
        }
        for (name, help, count) in [
            ("cairn_monitor_undelivered_total", "Alarms that people could not be told.", &self.undelivered),
            ("cairn_monitor_unkept_total", "Evidence that could not be written to a file at once.", &self.unkept),
        ] {
            head(text, name, "counter", help);
            line(text, name, &[], &count.load(Ordering::Relaxed).to_string());
        }
    }
}

// Writing into a string never fails.
fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &[(&str, &str)], value: &str) {
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let _ = writeln!(text, "{name}{labels} {value}");
}
