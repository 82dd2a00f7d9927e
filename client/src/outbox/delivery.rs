//! The way from an outbox to the log: several batches at a time, those of one stream one after another, each sent until
//! there is a verified answer.
//!
//! One loop starts what may go, hears what became of it, and waits. A failure that would befall every batch (no
//! connection, 401, 429, 503) closes a gate for all, and when it opens, one batch tries alone; other failures let their
//! batch rest while others go on. Delivering again what was delivered does no harm: the log has each record once.

use std::collections::{BTreeSet, HashMap};
use std::future::pending;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use cairn_tree::policy::Trust;
use cairn_tree::wire::append::Wait;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::entry::{BatchNumber, Refusal};
use super::judge::{Verdict, judge};
use super::state::Batch;
use super::surroundings::draw;
use super::writer::Job;
use super::{Outbox, bounds, pace, receipts};
use crate::fetch::{FetchError, IdempotencyKey, LogUrl, Records, Settings, shown};

/// Where records are delivered, and whom to believe.
pub struct Target {
    records: Records,
    /// The log that is asked, then those before it.
    trusted: Vec<Trust>,
    wait: Wait,
}

/// How records are delivered. `Policy::default()` is right for most.
#[derive(Debug, Clone)]
pub struct Policy {
    /// How many batches are on their way at a time.
    pub parallel: usize,
    /// The wait after the first failure; it doubles.
    pub first_backoff: Duration,
    /// The longest wait, unless the server asks for more.
    pub longest_backoff: Duration,
    /// The folder where receipts are kept.
    pub receipts: Option<PathBuf>,
}

/// Delivers what is in an outbox.
pub struct Delivery {
    outbox: Outbox,
    target: Target,
    policy: Policy,
}

/// What was left when nothing more could be delivered at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Batches that were delivered.
    pub delivered: u64,
    /// Batches that are still there.
    pub left: usize,
}

/// Why nothing is delivered any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// The outbox can't be written.
    #[error("the outbox can't be written any more and must be opened again: {0}")]
    Outbox(String),
    /// What is to be delivered can't be read.
    #[error("{0}: nothing more is delivered, since what comes after it could overtake it")]
    Damaged(String),
    /// No thread or no runtime.
    #[error("{0}")]
    SetUp(String),
}

/// What became of one attempt.
enum Came {
    Delivered,
    Not(Verdict),
    Damaged(String),
}

type Flight<'d> = FuturesUnordered<BoxFuture<'d, (BatchNumber, Came)>>;

/// What one run of the loop remembers.
struct Round<'d> {
    delivery: &'d Delivery,
    /// Failed attempts of batches that rest or have rested.
    failures: HashMap<BatchNumber, u32>,
    resting: BTreeSet<(Instant, BatchNumber)>,
    /// Nothing starts before this.
    gate: Option<Instant>,
    /// Failures in a row that concerned all.
    gate_failures: u32,
    delivered: u64,
    /// How many batches had been given up when that was last looked at.
    dropped: u64,
}

impl Target {
    /// The records of the server that has this log, and who vouches for the log. Waits for witnesses if the policy has any.
    ///
    /// # Errors
    /// [`FetchError::SetUp`].
    pub fn new(url: &LogUrl, settings: Settings, trust: Trust) -> Result<Self, FetchError> {
        let wait = if trust.needs_witnesses() { Wait::Witnessed } else { Wait::Integrated };
        Ok(Self { records: Records::new(url, settings)?, trusted: vec![trust], wait })
    }

    /// Believes these logs as well, which the one that is asked goes on from: what one of them has already is delivered.
    #[must_use]
    pub fn with_earlier(mut self, earlier: impl IntoIterator<Item = Trust>) -> Self {
        self.trusted.extend(earlier);
        self
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            parallel: bounds::PARALLEL,
            first_backoff: bounds::FIRST_BACKOFF,
            longest_backoff: bounds::LONGEST_BACKOFF,
            receipts: None,
        }
    }
}

impl Delivery {
    /// Delivers from this outbox to this target.
    #[must_use]
    pub fn new(outbox: Outbox, target: Target, policy: Policy) -> Self {
        Self { outbox, target, policy }
    }

    /// Delivers until `stop`, on a Tokio runtime. What is on its way then is not waited for: it is sent again next time.
    ///
    /// # Errors
    /// [`DeliveryError`].
    pub async fn run(&self, stop: impl Future<Output = ()>) -> Result<(), DeliveryError> {
        self.deliver(false, stop).await.map(drop)
    }

    /// Delivers what can be delivered now; each batch is tried once.
    ///
    /// # Errors
    /// [`DeliveryError`].
    pub async fn run_once(&self) -> Result<Ended, DeliveryError> {
        self.deliver(true, pending()).await
    }

    /// Delivers on a thread with a runtime of its own, for programs that have none. It ends when `stop` says so, or is
    /// dropped.
    ///
    /// # Errors
    /// [`DeliveryError::SetUp`].
    pub fn spawn(
        self,
        mut stop: watch::Receiver<bool>,
    ) -> Result<std::thread::JoinHandle<Result<(), DeliveryError>>, DeliveryError> {
        let failed = |error: std::io::Error| DeliveryError::SetUp(error.to_string());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let work = move || {
            let stopped = async move {
                // An error says that nobody can stop it any more otherwise.
                let _ = stop.wait_for(|stop| *stop).await;
            };
            let ended = runtime.block_on(self.run(stopped));
            runtime.shutdown_background();
            ended
        };
        std::thread::Builder::new().name("delivery".into()).spawn(work).map_err(failed)
    }

    async fn deliver(&self, once: bool, stop: impl Future<Output = ()>) -> Result<Ended, DeliveryError> {
        let mut round = Round {
            delivery: self,
            failures: HashMap::new(),
            resting: BTreeSet::new(),
            gate: None,
            gate_failures: 0,
            delivered: 0,
            dropped: 0,
        };
        let ended = round.work(once, stop).await;
        self.outbox.0.shared.state().wake_all();
        ended?;
        Ok(Ended { delivered: round.delivered, left: self.outbox.0.shared.state().batches().len() })
    }

    /// One attempt at one batch.
    async fn attempt(&self, number: BatchNumber, batch: Batch) -> (BatchNumber, Came) {
        let place = batch.place.clone();
        let read = cairn_listen::spawn_blocking(move || place.read(number)).await;
        let put = match read.map_err(std::io::Error::other).and_then(|read| read) {
            Ok(put) => put,
            Err(error) => return (number, Came::Damaged(format!("batch {}: {error}", number.0))),
        };
        let came = match self.send(Bytes::from(put.body), IdempotencyKey::from_random(batch.key)).await {
            Ok(()) => Came::Delivered,
            Err(verdict) => Came::Not(verdict),
        };
        (number, came)
    }

    async fn send(&self, body: Bytes, key: IdempotencyKey) -> Result<(), Verdict> {
        let again = |words: String| Verdict::Again { concerns_all: false, after: None, words };
        let Target { records, trusted, wait } = &self.target;
        let taken = records.append_once(body.clone(), &key, *wait).await;
        let taken = taken.map_err(|(error, after)| judge(&error, after))?;
        if taken.is_late && *wait == Wait::Witnessed {
            return Err(again("the records are in the log, but its witnesses are late".to_owned()));
        }
        // Nothing counts as delivered that is not proven to be: what was sent leaves the disk after this.
        receipts::check(&taken.answer, &body, trusted)
            .map_err(|error| again(format!("the answer is not verified: {}", shown(&error))))?;
        let Some(folder) = self.policy.receipts.clone() else { return Ok(()) };
        let kept = cairn_listen::spawn_blocking(move || receipts::keep(&folder, &taken.answer)).await;
        match kept {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(again(format!("the receipts can't be kept: {error}"))),
            Err(error) => Err(again(error.to_string())),
        }
    }
}

impl<'d> Round<'d> {
    async fn work(&mut self, once: bool, stop: impl Future<Output = ()>) -> Result<(), DeliveryError> {
        let outbox = &self.delivery.outbox;
        let mut change = outbox.0.shared.change.subscribe();
        let mut flight = Flight::new();
        let mut stop = pin!(stop);
        loop {
            change.mark_unchanged();
            if let Some(failure) = outbox.0.shared.has_failed() {
                return Err(DeliveryError::Outbox(failure));
            }
            self.forget_gone();
            self.wake_due();
            self.start(&mut flight);
            let shut = self.gate.is_some();
            if once && flight.is_empty() && (shut || outbox.0.shared.state().is_at_rest()) {
                return Ok(());
            }
            let due = self.gate.into_iter().chain(self.resting.first().map(|(due, _)| *due)).min();
            let alarm = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = &mut stop => return Ok(()),
                Some((number, came)) = flight.next(), if !flight.is_empty() => self.heard(number, came).await?,
                changed = change.changed() => if changed.is_err() { return Ok(()) },
                () = alarm => {}
            }
        }
    }

    /// What was given up meanwhile is in trouble no more.
    fn forget_gone(&mut self) {
        let shared = &self.delivery.outbox.0.shared;
        let state = shared.state();
        if self.dropped == state.dropped() {
            return;
        }
        self.dropped = state.dropped();
        let were_any = !self.failures.is_empty();
        self.failures.retain(|number, _| state.batches().contains_key(number));
        self.resting.retain(|(_, number)| state.batches().contains_key(number));
        drop(state);
        if were_any && self.failures.is_empty() {
            shared.set_trouble(None);
        }
    }

    fn wake_due(&mut self) {
        let now = Instant::now();
        self.gate = self.gate.filter(|opens| *opens > now);
        while let Some((due, number)) = self.resting.first().copied() {
            if due > now {
                break;
            }
            self.resting.pop_first();
            self.delivery.outbox.0.shared.state().wake(number);
        }
    }

    fn start(&self, flight: &mut Flight<'d>) {
        let delivery = self.delivery;
        // After a failure that concerned all, one tries for the others.
        let most = match self.gate_failures {
            0 => delivery.policy.parallel.clamp(1, bounds::MOST_PARALLEL),
            _ => 1,
        };
        while self.gate.is_none() && flight.len() < most {
            let Some((number, batch)) = delivery.outbox.take() else { break };
            flight.push(Box::pin(delivery.attempt(number, batch)));
        }
    }

    async fn heard(&mut self, number: BatchNumber, came: Came) -> Result<(), DeliveryError> {
        let shared = &self.delivery.outbox.0.shared;
        let job = match came {
            Came::Damaged(why) => return Err(DeliveryError::Damaged(why)),
            Came::Delivered => {
                self.gate_failures = 0;
                self.delivered += 1;
                Job::Delivered(number)
            }
            Came::Not(Verdict::Refused { status, words }) => {
                self.gate_failures = 0;
                tracing::warn!(status, words, "the log refuses records for good; see `cairn outbox status`");
                Job::Refused(number, Refusal { at: self.delivery.outbox.0.surroundings.now(), status, words })
            }
            Came::Not(Verdict::Again { concerns_all, after, words }) => {
                self.disappointed(number, concerns_all, after, &words);
                return Ok(());
            }
        };
        self.failures.remove(&number);
        if self.failures.is_empty() {
            shared.set_trouble(None);
        }
        self.delivery.outbox.note(job).await.map_err(DeliveryError::Outbox)
    }

    fn disappointed(&mut self, number: BatchNumber, concerns_all: bool, after: Option<Duration>, words: &str) {
        let Delivery { outbox, policy, .. } = self.delivery;
        // Without randomness it only comes back at the same moment as others.
        let random = draw(&*outbox.0.surroundings).map_or(u32::MAX, u32::from_be_bytes);
        let bounds = (policy.first_backoff, policy.longest_backoff);
        let failures = self.failures.entry(number).or_default();
        *failures = failures.saturating_add(1);
        let rests = pace::wait(*failures, bounds, after, random);
        if concerns_all {
            self.gate_failures = self.gate_failures.saturating_add(1);
            let shut = pace::wait(self.gate_failures, bounds, after, random);
            self.gate = self.gate.max(Some(Instant::now() + shut));
        } else {
            self.gate_failures = 0;
        }
        tracing::info!(batch = number.0, failures, words, "records are not delivered yet");
        let shared = &outbox.0.shared;
        shared.set_trouble(Some(words.to_owned()));
        self.resting.insert((Instant::now() + rests, number));
        shared.state().rest(number);
    }
}
