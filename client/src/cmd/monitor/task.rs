//! One log's task: step after step, and after each what a step leaves to its caller: files, words, figures and waiting.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc};

use super::config::OnAlarm;
use super::figures::{Figures, Waiting};
use super::inbox::Inbox;
use super::report::{Report, Who};
use super::unwritten::Unwritten;
use crate::files::{Durability, write_atomic};
use crate::gossip::Board;
use crate::monitor::{Active, Alarm, Event, Evidence, Follower, Heard, Now, Step, Vault};

/// What all tasks share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) vault: Vault,
    pub(super) board: Arc<Board>,
    pub(super) figures: Arc<Figures>,
    /// As many permits as logs may be looked at at a time.
    pub(super) turns: Arc<Semaphore>,
    pub(super) said: mpsc::Sender<Said>,
    pub(super) once: bool,
    pub(super) on_alarm: OnAlarm,
}

/// What a task has to say.
pub(super) enum Said {
    /// A result.
    Report(Report),
    /// Something about this machine.
    Words(String),
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All that the log shows extends what was known.
    Consistent,
    /// Nothing could be verified.
    Unverified(String),
    /// An alarm goes on.
    Alarm,
}

/// One log.
pub(super) struct Task {
    who: Who,
    follower: Follower,
    file: PathBuf,
    inbox: Arc<Inbox>,
    peers: Vec<String>,
    shared: Shared,
    unwritten: Unwritten,
    /// Alarms that somebody has ended, to be told at first.
    cleared: Vec<Active>,
    /// What is known was not written to the file.
    is_unsaved: bool,
}

impl Task {
    /// A task that keeps what it verifies in `file` and hears what these peers put into the inbox.
    pub(super) fn new(
        who: Who,
        follower: Follower,
        file: PathBuf,
        (inbox, peers): (Arc<Inbox>, Vec<String>),
        shared: Shared,
    ) -> Self {
        let (unwritten, cleared) = (Unwritten::default(), Vec::new());
        Self { who, follower, file, inbox, peers, shared, unwritten, cleared, is_unsaved: false }
    }

    /// The same, which tells at first that somebody has ended these alarms.
    pub(super) fn after(self, cleared: Vec<Active>) -> Self {
        Self { cleared, ..self }
    }

    /// Follows the log until an alarm ends it, or with `--once` until all is said.
    pub(super) async fn run(mut self) -> Outcome {
        let mut grew = false;
        if self.follower.monitor().newest().is_some() || !self.cleared.is_empty() {
            // Which keys are the log's now is kept before anything else, so that an old one can be left out next time.
            self.save().await;
        }
        for active in core::mem::take(&mut self.cleared) {
            self.say(Said::Report(Report::clear(&self.who, active, Timestamp::now()))).await;
        }
        let turns = Arc::clone(&self.shared.turns);
        loop {
            let begun = Instant::now();
            let mut step = {
                // Nobody closes it; if it were closed, looking without a turn would be better than not looking.
                let _turn = Arc::clone(&turns).acquire_owned().await;
                self.hear();
                self.follower.step(now()).await
            };
            let events = core::mem::take(&mut step.events);
            grew |= events.iter().any(|event| matches!(event, Event::Grown { .. }));
            let is_filed = self.write_again().await;
            let raised = self.tell(events).await;
            if step.has_news || is_filed || self.is_unsaved {
                self.save().await;
            }
            self.publish(&step);
            if let Some(outcome) = self.outcome(&step) {
                self.say_the_rest(&outcome, &raised, grew).await;
                return outcome;
            }
            tokio::select! {
                // From one look to the next, and not between them: a log that grows fast is looked at again at once.
                () = tokio::time::sleep(step.wait.saturating_sub(begun.elapsed())) => {}
                () = self.inbox.filled() => {}
            }
        }
    }

    fn hear(&mut self) {
        for (peer, head) in self.inbox.take() {
            let name = self.peers.get(peer).map_or("a peer", String::as_str);
            if self.follower.hear(name, head.clone()) == Heard::Busy {
                self.inbox.put_back(peer, head);
            }
        }
    }

    /// Files evidence and says what happened; the alarms that were raised.
    async fn tell(&mut self, events: Vec<Event>) -> Vec<Alarm> {
        let mut raised = Vec::new();
        for event in events {
            let report = match event {
                Event::Unfiled { alarm, evidence } => {
                    let is_filed = self.follower.ledger().get(alarm).is_some_and(|active| active.evidence.is_some());
                    if !is_filed && !self.unwritten.has(alarm) {
                        self.keep(alarm, *evidence).await;
                    }
                    None
                }
                Event::Raised { alarm, summary, evidence } => {
                    if let Some(evidence) = evidence {
                        self.keep(alarm, *evidence).await;
                    }
                    self.shared.figures.raised(&self.who.log, alarm);
                    raised.push(alarm);
                    self.follower.ledger().get(alarm).map(|active| Report::alarm(&self.who, active, &summary))
                }
                Event::Keys { active } => {
                    // Peers' heads are signed with them too.
                    self.inbox.adopt(self.follower.monitor().keys().clone());
                    self.shared.figures.keys_changed(&self.who.log);
                    Some(Report::keys(&self.who, &active))
                }
                Event::Cleared { active } => Some(Report::clear(&self.who, active, Timestamp::now())),
                Event::Grown { from, to } => self.consistent(to.get() - from.get()),
                other => Report::of(&self.who, &other),
            };
            if let Some(report) = report {
                self.say(Said::Report(report)).await;
            }
        }
        raised
    }

    /// Writes evidence to a file. If that fails, all of it is said, for it must not be lost, and it is tried again after
    /// each step.
    async fn keep(&mut self, alarm: Alarm, evidence: Evidence) {
        let Err(error) = self.write(alarm, &evidence).await else { return };
        self.shared.figures.unkept();
        let bytes = evidence.encode().unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        self.unwritten.add(alarm, evidence);
        self.say(Said::Words(format!("the evidence could not be written: {error}\n{text}"))).await;
    }

    /// Tries once more to write what could not be written; whether any was.
    async fn write_again(&mut self) -> bool {
        let mut is_written = false;
        for (alarm, evidence) in self.unwritten.take() {
            match self.write(alarm, &evidence).await {
                Ok(path) => {
                    is_written = true;
                    self.say(Said::Words(format!("the evidence of {alarm} is written now: {path}"))).await;
                }
                Err(_) => self.unwritten.add(alarm, evidence),
            }
        }
        is_written
    }

    async fn write(&mut self, alarm: Alarm, evidence: &Evidence) -> Result<String, String> {
        let (vault, log, owned) = (self.shared.vault.clone(), self.who.log.clone(), evidence.clone());
        let kept = cairn_listen::spawn_blocking(move || vault.keep(&log, &owned)).await;
        let path = kept.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?.display().to_string();
        self.follower.filed(alarm, path.clone());
        Ok(path)
    }

    /// Writes what is known to its file; if that fails, it is tried again after each step.
    async fn save(&mut self) {
        let encoded = self.follower.encode().map_err(|error| error.to_string());
        let file = self.file.clone();
        let saved = match encoded {
            Ok(bytes) => cairn_listen::spawn_blocking(move || write_atomic(&file, &bytes, Durability::PowerLoss))
                .await
                .map_err(|error| error.to_string())
                .and_then(|written| written.map_err(|error| error.to_string())),
            Err(error) => Err(error),
        };
        let was_unsaved = core::mem::replace(&mut self.is_unsaved, saved.is_err());
        if let Err(error) = saved
            && !was_unsaved
        {
            self.say(Said::Words(format!("what was verified could not be saved: {error}"))).await;
        }
    }

    fn publish(&self, step: &Step) {
        if let Some(head) = self.follower.monitor().newest() {
            self.shared.board.show(head);
        }
        let unwritten = Waiting { evidence: self.unwritten.count(), is_unsaved: self.is_unsaved };
        self.shared.figures.stepped(&self.who.log, (&self.follower, step, unwritten), Timestamp::now().as_second());
    }

    /// Whether this task is at its end.
    fn outcome(&self, step: &Step) -> Option<Outcome> {
        let has_alarm = self.follower.ledger().worst().is_some();
        if has_alarm && step.unverified.is_none() && !self.shared.once && self.shared.on_alarm == OnAlarm::Exit {
            return Some(Outcome::Alarm);
        }
        if !self.shared.once || !step.is_settled {
            return None;
        }
        Some(match &step.unverified {
            _ if has_alarm => Outcome::Alarm,
            Some(reason) => Outcome::Unverified(reason.clone()),
            None => Outcome::Consistent,
        })
    }

    /// With `--once` each log has a word, and an alarm of an earlier run that goes on is told again.
    async fn say_the_rest(&self, outcome: &Outcome, raised: &[Alarm], grew: bool) {
        if *outcome == Outcome::Consistent
            && !grew
            && let Some(report) = self.consistent(0)
        {
            self.say(Said::Report(report)).await;
        }
        for report in self.going_on(raised) {
            self.say(Said::Report(report)).await;
        }
    }

    /// Alarms that went on before this step.
    fn going_on(&self, raised: &[Alarm]) -> Vec<Report> {
        let goes_on = |active: &&Active| active.alarm.is_misbehaviour() && !raised.contains(&active.alarm);
        let words = "it goes on since an earlier look";
        self.follower.ledger().active().filter(goes_on).map(|active| Report::alarm(&self.who, active, words)).collect()
    }

    fn consistent(&self, new: u64) -> Option<Report> {
        let root = self.follower.monitor().state()?.root();
        Some(Report::consistent(&self.who, root.size.get(), root.hash.to_base64(), new))
    }

    async fn say(&self, said: Said) {
        // Nobody listens only if the monitor ends.
        let _ = self.shared.said.send(said).await;
    }
}

fn now() -> Now {
    Now { instant: Instant::now(), wall: Timestamp::now() }
}
