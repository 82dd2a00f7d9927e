//! The log's side of the witness protocol (C2SP tlog-witness): each head worth it is sent to the witnesses of the log's
//! policy, and what they cosigned becomes its checkpoint.
//!
//! One task per log with a policy (`task`). After a start it first asks the witnesses whether the log may go on
//! (`guard`); appends wait meanwhile. Then it sends heads around:
//!
//! ```text
//!   released head --> course --> exchange with every witness --> cosigned --> engine: durable, then served
//!                     (whom,     (transport; 409s followed,      (which quorum
//!                      when)      lines verified)                 is met?)
//! ```
//!
//! Nothing here holds up an append but `wait=witnessed` and a held log, and nothing is signed here. A log of which nobody
//! knows the policy is left alone until its operator has said it. Not here: what a
//! checkpoint is and when it is served (`crate::engine`), and what witnesses themselves do.

mod backoff;
mod cosigned;
mod course;
mod endpoint;
mod exchange;
mod guard;
mod report;
mod suited;
mod task;
mod transport;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_tree::store::LogId;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use endpoint::{Prefix, PrefixError};
pub use report::{FAILURE_KINDS, LogReport, WitnessReport, failure_kinds};
pub use suited::{Unsuited, suited};

use report::Report;
use task::Task;
use transport::Transport;

use crate::engine::{Clock, Engine, Log, LogState};
use crate::limits::Limits;
use crate::metrics::{Histogram, TIMES};

/// The tasks that ask witnesses, and what is told of them.
pub struct Cosigners {
    reports: Mutex<BTreeMap<LogId, Arc<Report>>>,
    rounds: Arc<Histogram<{ TIMES.len() }>>,
}

/// What the tasks are made of.
pub struct CosignersParts {
    /// The logs.
    pub engine: Engine,
    /// The bounds.
    pub limits: Limits,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bits, to spread attempts.
    pub random: u64,
    /// Says when to stop.
    pub stop: watch::Receiver<bool>,
}

impl Cosigners {
    /// Starts a task for each log with a policy, now and whenever one gets a policy.
    ///
    /// # Errors
    /// If there can be no HTTP client, such as for want of the platform's TLS roots.
    pub fn start(parts: CosignersParts) -> Result<Arc<Self>, reqwest::Error> {
        let transport = Arc::new(Transport::new(&parts.limits)?);
        let cosigners = Arc::new(Self { reports: Mutex::default(), rounds: Arc::new(Histogram::new(TIMES)) });
        tokio::spawn(Arc::clone(&cosigners).supervise(parts, transport));
        Ok(cosigners)
    }

    async fn supervise(self: Arc<Self>, parts: CosignersParts, transport: Arc<Transport>) {
        let CosignersParts { engine, limits, clock, random, mut stop } = parts;
        let mut changes = engine.policy_changes();
        // Dropped at the end, and with it the tasks.
        let mut tasks = JoinSet::new();
        loop {
            changes.mark_unchanged();
            for log in engine.logs().into_iter().filter(|log| log.policy().is_some() || log.is_held()) {
                let Some(report) = self.enter(&log) else { continue };
                let (seed, rounds) =
                    (random ^ u64::from(log.info().id.get()).rotate_left(32), Arc::clone(&self.rounds));
                let (transport, limits, clock) = (Arc::clone(&transport), limits.clone(), Arc::clone(&clock));
                let share = transport.share();
                tasks.spawn(Task { log, report, transport, share, limits, clock, rounds, seed }.run());
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }

    /// The report of a log that has none yet.
    fn enter(&self, log: &Log) -> Option<Arc<Report>> {
        let mut reports = self.lock();
        if reports.contains_key(&log.info().id) {
            return None;
        }
        let report = Arc::new(Report::new(log.clone()));
        reports.insert(log.info().id, Arc::clone(&report));
        Some(report)
    }

    /// The logs that have a policy, with what their witnesses do.
    #[must_use]
    pub fn reports(&self) -> Vec<(Log, LogReport)> {
        let reports = self.lock();
        let with_policy = reports.values().filter(|report| report.log.policy().is_some() || report.log.is_held());
        with_policy.map(|report| (report.log.clone(), report.get())).collect()
    }

    /// Waits until no log is held any more that its witnesses may still let go on.
    pub async fn let_go(&self, engine: &Engine) {
        let mut changes = engine.policy_changes();
        loop {
            changes.mark_unchanged();
            // The engine goes with the process.
            let waits = |log: &Log| log.is_held() && !log.lacks_policy() && !matches!(log.state(), LogState::Halted(_));
            if !engine.logs().iter().any(waits) || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// How long rounds took, from their beginning to the quorum.
    #[must_use]
    pub fn rounds(&self) -> &Histogram<{ TIMES.len() }> {
        &self.rounds
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<LogId, Arc<Report>>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
