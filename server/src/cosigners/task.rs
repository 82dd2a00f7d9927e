//! The task of one log: first the guard, if the log is held, then rounds, as [`super::course`] says.
//!
//! It begins anew with each policy. Dropping it at any moment is safe: what was sent is a released head, and what was
//! published is durable.

use std::sync::Arc;

use cairn_tree::size::TreeSize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::backoff::Backoff;
use super::course::{Course, Heads, Pace, Publication};
use super::endpoint::Endpoint;
use super::exchange::{Exchange, Failure, Outcome, not_from_the_future};
use super::guard::{Agreement, Guard, Verdict};
use super::report::Report;
use super::transport::Transport;
use crate::engine::{Clock, Head, Log, LogPolicy, LogState, PublishError};
use crate::limits::Limits;
use crate::metrics::Histogram;

/// What the tasks of all logs share, and one log.
pub(super) struct Task {
    pub(super) log: Log,
    pub(super) report: Arc<Report>,
    pub(super) transport: Arc<Transport>,
    /// The log's share of the requests to witnesses.
    pub(super) share: Arc<Semaphore>,
    pub(super) limits: Limits,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rounds: Arc<Histogram<{ crate::metrics::TIMES.len() }>>,
    /// Random bits, others for each log.
    pub(super) seed: u64,
}

/// One exchange that has ended: with which witness, about which size, and how.
type Flight = (usize, TreeSize, Outcome);

impl Task {
    /// Runs for as long as the server does.
    pub(super) async fn run(self) {
        let mut policies = self.log.policies();
        loop {
            let policy = policies.borrow_and_update().clone();
            tokio::select! {
                () = self.under(policy) => {}
                changed = policies.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Does what there is to do under one policy; ends only if the policy does.
    async fn under(&self, policy: Option<Arc<LogPolicy>>) {
        let endpoints = policy.as_ref().map(|policy| Endpoint::of(policy)).unwrap_or_default();
        let fail_open = policy.as_ref().is_some_and(|policy| policy.fail_open());
        self.report.begin(fail_open, &endpoints);
        if self.log.is_held() && policy.is_none() && self.log.outstanding_policy().is_none() {
            // A repair lost the policy. The operator says what comes next.
            return std::future::pending().await;
        }
        let agreed = if self.log.is_held() && !self.is_halted() {
            match self.guard().await {
                Some(agreed) => agreed,
                None => return std::future::pending().await,
            }
        } else {
            Vec::new()
        };
        let Some(policy) = policy.filter(|_| !self.is_halted()) else {
            return std::future::pending().await;
        };
        if let Err(problem) = self.rounds(&policy, &endpoints, agreed).await {
            match problem {
                // The next policy, or the end of the server, follows at once.
                Ended::Publishing(problem) => info!(log = %self.log.info().name, %problem, "rounds end"),
                Ended::Contradicted(reason) => self.halt(reason).await,
            }
        }
        std::future::pending().await
    }

    /// Asks the witnesses whether the log may go on; `None` if it may not.
    async fn guard(&self) -> Option<Vec<Agreement>> {
        info!(log = %self.log.info().name, "the log's witnesses are asked whether it may go on from where it is");
        match Guard::new(self, Instant::now()).run(self).await {
            Verdict::Halt(reason) => {
                self.halt(reason).await;
                None
            }
            Verdict::GoOn(agreed) => {
                self.log.let_go().await.ok()?;
                self.report.tell(|report| report.held = None);
                info!(log = %self.log.info().name, size = %self.log.head().size, "the log goes on");
                Some(agreed)
            }
        }
    }

    async fn halt(&self, reason: String) {
        let reason = format!(
            "{reason}. It goes on being read. If this database was restored from a backup and there is a newer copy, stop the \
             server and put that in its place; else continue the log under another name: cairnd log seal {} --successor NAME",
            self.log.info().name
        );
        error!(log = %self.log.info().name, reason, "the log is halted for good");
        if let Err(problem) = self.log.halt(reason).await {
            warn!(log = %self.log.info().name, %problem, "the log could not be halted: the next start asks again");
        }
        self.report.tell(|report| report.held = None);
    }

    async fn rounds(
        &self,
        policy: &Arc<LogPolicy>,
        endpoints: &[Arc<Endpoint>],
        agreed: Vec<Agreement>,
    ) -> Result<(), Ended> {
        let mut heads = self.log.heads();
        let now = Instant::now();
        let backoffs = (0..endpoints.len()).map(|number| Backoff::new(now, self.random(number))).collect();
        let published = self.log.checkpoint().unwrap_or_else(|| Arc::new(Head::unpublished()));
        let begin = Heads { published, newest: Arc::clone(&heads.borrow_and_update()) };
        let mut course = Course::new(Arc::clone(policy), self.pace(), backoffs, begin, now);
        for Agreement { number, confirmed, lines } in agreed {
            if let Some(size) = confirmed {
                // They were made lately: the guard believes no others.
                let _ = course.cosigned(number, size, lines, now);
            }
        }
        let mut flights: JoinSet<Flight> = JoinSet::new();
        loop {
            course.head(Arc::clone(&heads.borrow_and_update()));
            let now = Instant::now();
            let publication = course.publish(now);
            if let Some((head, members)) = course.ask(now) {
                for number in members {
                    self.send(policy, endpoints, &course, &head, number, &mut flights);
                }
            }
            if let Some(publication) = publication {
                self.publish(policy, publication).await?;
            }
            course.take_met().into_iter().for_each(|time| self.rounds.record_time(time));
            self.report.tell(|report| report.met = course.is_met());
            let due = course.due(Instant::now());
            tokio::select! {
                Some(flight) = flights.join_next() => self.learn(&mut course, flight.ok())?,
                changed = heads.changed() => if changed.is_err() { return Ok(()) },
                () = tokio::time::sleep_until(due.unwrap_or(now)), if due.is_some() => {}
            }
            // What has come in meanwhile is published together.
            while let Some(flight) = flights.try_join_next() {
                self.learn(&mut course, flight.ok())?;
            }
        }
    }

    fn send(
        &self,
        policy: &Arc<LogPolicy>,
        endpoints: &[Arc<Endpoint>],
        course: &Course,
        head: &Arc<Head>,
        number: usize,
        flights: &mut JoinSet<Flight>,
    ) {
        let Some(endpoint) = endpoints.get(number) else { return };
        let confirmed = course.members.get(number).and_then(|member| member.confirmed);
        let (exchange, size) = (self.exchange(policy, endpoint, head), head.size);
        flights.spawn(async move { (number, size, exchange.run(confirmed).await) });
    }

    /// Takes an answer. A flight that panicked is a bug of ours and told by the runtime; the witness stays busy.
    fn learn(&self, course: &mut Course, flight: Option<Flight>) -> Result<(), Ended> {
        let Some((number, size, outcome)) = flight else { return Ok(()) };
        match outcome {
            Outcome::Cosigned { lines, wrong } => {
                self.report.confirmed(number, Some(size), wrong);
                if !course.cosigned(number, size, lines, Instant::now()) {
                    self.report.failed(number, &Failure::Replayed);
                    warn!(log = %self.log.info().name, number, %size, failure = %Failure::Replayed, "a witness did not cosign");
                }
            }
            Outcome::Contradicted(reason) => return Err(Ended::Contradicted(reason)),
            Outcome::Failed(failure) => {
                self.report.failed(number, &failure);
                course.failed(number, Instant::now());
                let log = &self.log.info().name;
                match failure {
                    // We know the proof to be right.
                    Failure::OtherHistory | Failure::LostState(_) => {
                        error!(%log, number, %size, %failure, "a witness did not cosign");
                    }
                    failure => warn!(%log, number, %size, %failure, "a witness did not cosign"),
                }
            }
        }
        Ok(())
    }

    async fn publish(&self, policy: &Arc<LogPolicy>, publication: Publication) -> Result<(), Ended> {
        let checkpoint = publication.head.cosigned(publication.note, self.clock.now_ms());
        self.log.publish(policy, checkpoint).await.map_err(Ended::Publishing)
    }

    /// What is asked of a witness about a head; any time of its cosignature is believed that does not lie far ahead.
    pub(super) fn exchange(&self, policy: &Arc<LogPolicy>, endpoint: &Arc<Endpoint>, head: &Arc<Head>) -> Exchange {
        Exchange {
            times: not_from_the_future(self.clock.now_ms()),
            transport: Arc::clone(&self.transport),
            share: Arc::clone(&self.share),
            log: self.log.clone(),
            policy: Arc::clone(policy),
            endpoint: Arc::clone(endpoint),
            head: Arc::clone(head),
        }
    }

    /// Random bits for one of the log's witnesses.
    pub(super) const fn random(&self, number: usize) -> u64 {
        self.seed ^ (number as u64).wrapping_mul(0xd134_2543_de82_ef95)
    }

    /// Of a halted log nothing is signed or shown around any more.
    fn is_halted(&self) -> bool {
        matches!(self.log.state(), LogState::Halted(_))
    }

    fn pace(&self) -> Pace {
        Pace {
            round: self.limits.witness_round(),
            recosign: self.limits.witness_recosign(),
            fail_open: self.limits.witness_fail_open(),
            backoff: self.limits.witness_backoff(),
        }
    }
}

/// Why there are no more rounds under a policy.
enum Ended {
    Publishing(PublishError),
    Contradicted(String),
}
