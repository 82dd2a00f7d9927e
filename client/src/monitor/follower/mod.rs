//! Following one log step by step: each step is one look at it, judged against all that is known and at a given time.
//!
//! A step fetches and judges, and does nothing else: it writes no file, waits for no timer and tells nobody. Its caller
//! keeps the state, files the evidence, raises the alarm and waits, and brings the time.

mod event;
mod explain;
mod hear;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use cairn_tree::checkpoint::AvowedCheckpoint;
use cairn_tree::size::TreeSize;
use jiff::Timestamp;

pub use event::{Event, Step};
pub use hear::{Heard, Rumour};

use super::age::Freshly;
use super::alarm::{Alarm, Ledger};
use super::evidence::{Case, Evidence, Observation};
use super::kept::Kept;
use super::round::{Effort, Monitor, Round, RoundError};
use super::stale::StaleTimer;
use super::state::{Shown, StateError};
use super::unplaced::Unplaced;
use crate::auditor::AuditError;
use crate::bounds;
use crate::fetch::{FetchError, Freshness, shown};

/// A moment, on a clock that never jumps and on the wall's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For measuring how long something lasts.
    pub instant: Instant,
    /// For judging the times in signatures, and for files.
    pub wall: Timestamp,
}

/// How patient to be, and what to ask of checkpoints.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The wait between two looks.
    pub interval: Duration,
    /// For how long an old head may be a cache's fault.
    pub stale_after: Duration,
    /// For how long the log may keep from us what it signed for somebody else; without it, `stale_after`, or
    /// [`bounds::WITHHELD_AFTER`] for a log whose heads wait for witnesses.
    pub withheld_after: Option<Duration>,
    /// For how long the log may not answer before that is an alarm.
    pub unreachable_after: Duration,
    /// What is asked of a checkpoint's witnesses and times.
    pub freshly: Freshly,
}

/// Follows one log.
pub struct Follower {
    monitor: Monitor,
    rules: Rules,
    ledger: Ledger,
    stale: StaleTimer,
    silent: StaleTimer,
    /// For how long the log has not said who signs its heads.
    unexplained: StaleTimer,
    /// The log also shows heads that wait for their witnesses.
    has_head: bool,
    rumours: Vec<Rumour>,
    transcript: VecDeque<String>,
    /// Rounds in a row that ended without a verdict or with an alarm.
    failures: u32,
    /// How many entries the next round may read, and when the last one began if it left some.
    budget: u64,
    reading_since: Option<Instant>,
    /// Who signs the heads of this step is not known, and may yet be.
    is_explaining: bool,
}

impl Follower {
    /// Follows from where an earlier run stopped. `monitor` was made from what is known.
    #[must_use]
    pub fn new(monitor: Monitor, ledger: Ledger, rules: Rules) -> Self {
        Self {
            monitor,
            ledger,
            stale: StaleTimer::new(rules.stale_after),
            silent: StaleTimer::new(rules.unreachable_after),
            unexplained: StaleTimer::new(rules.stale_after),
            rules,
            has_head: false,
            rumours: Vec::new(),
            transcript: VecDeque::new(),
            failures: 0,
            budget: bounds::FIRST_ROUND_ENTRIES,
            reading_since: None,
            is_explaining: false,
        }
    }

    /// What is known of the log.
    #[must_use]
    pub const fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// The alarms that go on.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Takes note of the file that was kept for an alarm.
    pub fn filed(&mut self, alarm: Alarm, path: String) {
        self.ledger.filed(alarm, path);
    }

    /// The bytes that [`Kept::decode`] reads back.
    ///
    /// # Errors
    /// As [`Kept::encode`].
    pub fn encode(&self) -> Result<Vec<u8>, StateError> {
        let Self { monitor, ledger, .. } = self;
        Kept::encode(monitor.keyring(), monitor.state(), (monitor.reading(), monitor.unplaced()), ledger)
    }

    /// What is new if it changes, and is to be kept then.
    fn news(&self) -> (Shown, Option<TreeSize>, Unplaced) {
        let read = self.monitor.reading().map(|reading| reading.frontier().size());
        (self.monitor.shown(), read, self.monitor.unplaced().clone())
    }

    /// Whether the log is shown, or is perhaps shown, as it should not be: then caches are of no interest.
    fn is_suspicious(&self) -> bool {
        self.failures > 0 || self.stale.is_running() || self.is_waiting() || self.ledger.worst().is_some()
    }

    /// Looks at the log once.
    pub async fn step(&mut self, now: Now) -> Step {
        let before = self.news();
        let mut events = Vec::new();
        self.is_explaining = false;
        self.weigh(now);
        let freshness = if self.is_suspicious() { Freshness::PastCaches } else { Freshness::AnyCache };
        let mut ended = self.round(freshness, now).await;
        if freshness == Freshness::AnyCache && self.wants_second_look(&ended, now) {
            ended = self.round(Freshness::PastCaches, now).await;
        }
        if let Err(RoundError::Unverified(AuditError::Head { fault, .. })) = &ended
            && fault.is_unknown_key()
        {
            // Seldom, and large: it is not to make every step's future larger.
            ended = Box::pin(self.explain(ended, now, &mut events)).await;
        }
        if let Some(case) = self.monitor.standing_case() {
            // It stands, whatever this round has shown.
            self.raise(case, now, &mut events);
        }
        let mut step = match ended {
            Ok(round) => self.judged(&round, now, &mut events),
            Err(RoundError::Contradiction(case)) => {
                self.silent.fresh();
                self.raise(*case, now, &mut events);
                self.failed(None)
            }
            Err(RoundError::Unverified(error)) => self.unverified(error, now, &mut events),
        };
        self.compare(now, &mut events).await;
        let told = |event: &Event| matches!(event, Event::Raised { .. } | Event::Cleared { .. } | Event::Keys { .. });
        step.has_news = before != self.news() || events.iter().any(told);
        step.events = events;
        step
    }

    /// More entries for the next round if the last one was quick, fewer if it was slow.
    fn weigh(&mut self, now: Now) {
        let Some(since) = self.reading_since.take() else { return };
        let took = now.instant.saturating_duration_since(since);
        let (fewest, most) = bounds::ROUND_ENTRIES;
        if took < bounds::ROUND_TIME {
            self.budget = (self.budget * 2).min(most);
        } else if took > 4 * bounds::ROUND_TIME {
            self.budget = (self.budget / 2).max(fewest);
        }
    }

    async fn round(&mut self, freshness: Freshness, now: Now) -> Result<Round, RoundError> {
        let effort = Effort { freshness, entries: self.budget };
        let ended = self.monitor.round(effort, &mut |_, _| {}).await;
        let asked = if freshness == Freshness::PastCaches { "past caches" } else { "as caches like" };
        let said = match &ended {
            Ok(Round { checkpoint, head, .. }) => [("checkpoint", checkpoint), ("head", head)]
                .into_iter()
                .filter_map(|(name, head)| head.as_ref().map(|head| format!("{name} {}", words(head))))
                .collect::<Vec<_>>()
                .join("; "),
            Err(RoundError::Contradiction(case)) => case.to_string(),
            Err(RoundError::Unverified(error)) => shown(&error.to_string()),
        };
        self.note(format!("{} {asked}: {said}", now.wall));
        ended
    }

    pub(super) fn note(&mut self, line: String) {
        self.transcript.push_back(line);
        while self.transcript.len() > bounds::TRANSCRIPT_LINES {
            self.transcript.pop_front();
        }
    }

    /// Whether a cache may be to blame for what is wrong with a round.
    fn wants_second_look(&self, ended: &Result<Round, RoundError>, now: Now) -> bool {
        match ended {
            Ok(round) => round.stale.is_some() || self.unfit(round, now).is_some(),
            Err(RoundError::Contradiction(_)) => false,
            Err(RoundError::Unverified(error)) => match error {
                AuditError::Fetch(FetchError::Status { .. }) => false,
                AuditError::Fetch(error) => !error.is_transient(),
                _ => true,
            },
        }
    }

    /// What is to be said against the checkpoint's witnesses and times.
    fn unfit(&self, round: &Round, now: Now) -> Option<Case> {
        self.rules.freshly.judge(round.checkpoint.as_ref()?, self.monitor.keys(), now.wall)
    }

    /// A round that showed nothing against the tree. What it showed against the heads is an alarm; what it did not show
    /// any more is over.
    fn judged(&mut self, round: &Round, now: Now, events: &mut Vec<Event>) -> Step {
        self.failures = 0;
        self.unexplained.fresh();
        self.has_head = round.head.is_some();
        let is_accusing = self.monitor.unplaced().is_accusing();
        // While the log stands accused of a head, nobody need be told that nothing is known of another.
        let uncompared = round.uncompared.as_ref().filter(|_| !is_accusing).map(|head| shown(&head.to_string()));
        let mut going_on = vec![Alarm::Fork];
        if is_accusing {
            going_on.push(Alarm::Misfit);
        }
        match &uncompared {
            None => self.silent.fresh(),
            Some(reason) => {
                self.unheard(reason, now, events);
                going_on.push(Alarm::Unreachable);
            }
        }
        if let Some((from, to)) = round.grown {
            events.push(Event::Grown { from, to });
        } else if round.unfinished
            && let Some(reading) = self.monitor.reading()
        {
            events.push(Event::Reading { done: reading.frontier().size(), of: reading.head().size() });
            self.reading_since = Some(now.instant);
        }
        match &round.stale {
            None => self.stale.fresh(),
            Some(stale) => {
                let is_new = !self.stale.is_running();
                // An old head is neither a new alarm nor the end of one before patience has run out.
                going_on.extend([Alarm::Rollback, Alarm::Withheld]);
                if let Some(passed) = self.stale.stale(now.instant)
                    && let Some(case) = self.monitor.rollback(stale, passed)
                {
                    self.raise(case, now, events);
                } else if is_new {
                    let largest = self.monitor.shown().largest(stale.kind);
                    events.push(Event::Stale { resource: stale.kind, size: stale.head.size(), largest });
                }
            }
        }
        if let Some(case) = self.unfit(round, now) {
            going_on.push(Alarm::of(&case));
            self.raise(case, now, events);
        }
        if let Some(case) = self.withheld(now) {
            going_on.push(Alarm::Withheld);
            self.raise(case, now, events);
        }
        self.clear_but(&going_on, events);
        let is_settled = !round.unfinished && !self.is_patient();
        let wait = match round {
            Round { unfinished: true, .. } => Duration::ZERO,
            _ if self.stale.is_running() || self.is_waiting() => {
                bounds::STALE_INTERVAL.min(self.rules.stale_after).min(self.rules.interval)
            }
            _ => self.rules.interval,
        };
        Step { events: Vec::new(), wait, has_news: false, is_settled, unverified: uncompared }
    }

    /// Whether an alarm may yet come of what is seen already.
    fn is_patient(&self) -> bool {
        (self.stale.is_running() && !self.ledger.has(Alarm::Rollback))
            || (self.is_waiting() && !self.ledger.has(Alarm::Withheld))
    }

    /// A round without a verdict. A head that the log did not sign is held against it; silence is not.
    fn unverified(&mut self, error: AuditError, now: Now, events: &mut Vec<Event>) -> Step {
        let reason = shown(&error.to_string());
        if let AuditError::Head { kind, fault, served } = error {
            self.silent.fresh();
            let case = Case::Signature { resource: kind, served: served.encode(), fault: fault.to_string() };
            self.raise(case, now, events);
            return self.failed(None);
        }
        self.unheard(&reason, now, events);
        self.failed(Some(reason))
    }

    /// Something could not be had, which is told at first, and is an alarm if it stays.
    fn unheard(&mut self, reason: &str, now: Now, events: &mut Vec<Event>) {
        if !self.silent.is_running() {
            events.push(Event::Unverified { reason: reason.to_owned() });
        }
        if self.silent.stale(now.instant).is_some() && self.ledger.raise(Alarm::Unreachable, now.wall) {
            events.push(Event::Raised { alarm: Alarm::Unreachable, summary: reason.to_owned(), evidence: None });
        }
    }

    fn failed(&mut self, unverified: Option<String>) -> Step {
        self.failures = self.failures.saturating_add(1);
        // Longer from failure to failure, so that a log in trouble is not asked all the time.
        let doubled = self.rules.interval.saturating_mul(1 << self.failures.min(16));
        let wait = doubled.min(bounds::LONGEST_WATCH_BACKOFF.max(self.rules.interval));
        Step { events: Vec::new(), wait, has_news: false, is_settled: !self.is_explaining, unverified }
    }

    pub(super) fn raise(&mut self, case: Case, now: Now, events: &mut Vec<Event>) {
        let (alarm, summary) = (Alarm::of(&case), shown(&case.to_string()));
        let is_new = self.ledger.raise(alarm, now.wall);
        if !is_new && self.ledger.get(alarm).is_some_and(|active| active.evidence.is_some()) {
            return;
        }
        let observation = Observation {
            keys: &self.monitor.keys_ever(),
            url: self.monitor.remote().url().to_string(),
            at: now.wall.to_string(),
            transcript: self.transcript.iter().cloned().collect(),
        };
        let statements = self.monitor.keyring().statements();
        let evidence = Box::new(Evidence::new(case, observation).with_statements(statements));
        events.push(match is_new {
            true => Event::Raised { alarm, summary, evidence: Some(evidence) },
            false => Event::Unfiled { alarm, evidence },
        });
    }

    fn clear_but(&mut self, going_on: &[Alarm], events: &mut Vec<Event>) {
        for alarm in Alarm::ALL.into_iter().filter(|alarm| !going_on.contains(alarm)) {
            events.extend(self.ledger.clear(alarm).map(|active| Event::Cleared { active }));
        }
    }
}

/// A head in a few words.
fn words(head: &impl AsRef<AvowedCheckpoint>) -> String {
    let head = head.as_ref();
    format!("{} {}", head.size(), head.root().to_base64())
}
