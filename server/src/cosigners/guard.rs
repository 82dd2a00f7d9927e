//! The rollback guard: before a log signs anything larger after a start, its witnesses are asked whether they saw more.
//!
//! The high-water file refuses a database that is older than it. Where both were restored from a backup, only those who
//! cosigned more can tell. Each witness is sent the released head with `old 0`; the size that it answers with is
//! followed with a proof. It agrees if it cosigns, or does not know the log. If it refuses the proof, or shows a larger
//! head that this log's own key has signed, the log is halted for good. All else is no answer: it is asked again.
//!
//! The log goes on as soon as the witnesses that have not agreed can't form a quorum; with the quorum `none`, as soon as
//! each was asked once or the time for one exchange is over. Whether the policy fails open makes no difference here, nor
//! does another policy: see [`crate::engine::Log::set_policy`].

use std::sync::Arc;

use cairn_tree::size::TreeSize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::cosigned::Cosigned;
use super::endpoint::Endpoint;
use super::exchange::{Exchange, Failure, Line, Outcome, made_lately};
use super::task::Task;
use crate::engine::{Head, LogPolicy};

/// How the guard ended.
pub(super) enum Verdict {
    /// The log may go on. What the witnesses of its own policy have cosigned comes along.
    GoOn(Vec<Agreement>),
    /// The log is halted, and why.
    Halt(String),
}

/// A witness that has agreed.
pub(super) struct Agreement {
    /// Its place among the endpoints of the policy in force.
    pub(super) number: usize,
    /// The size that it cosigned, if it knows the log.
    pub(super) confirmed: Option<TreeSize>,
    pub(super) lines: Vec<Line>,
}

/// One witness under one of the policies that must be satisfied.
struct Asked {
    policy: Arc<LogPolicy>,
    endpoint: Arc<Endpoint>,
    /// Its place in the report, for the policy in force.
    number: Option<usize>,
    agreed: bool,
    busy: bool,
    backoff: Backoff,
}

/// The state of one guard.
pub(super) struct Guard {
    policies: Vec<Arc<LogPolicy>>,
    asked: Vec<Asked>,
    begun: Instant,
    agreements: Vec<Agreement>,
}

impl Guard {
    /// A guard of `task`'s log, for its policy and for an earlier one whose witnesses were not asked.
    pub(super) fn new(task: &Task, now: Instant) -> Self {
        let current = task.log.policy();
        let outstanding = task.log.outstanding_policy();
        let same = |outstanding: &Arc<LogPolicy>| current.as_ref().is_some_and(|own| own.file() == outstanding.file());
        let outstanding = outstanding.filter(|outstanding| !same(outstanding));
        let mut asked = Vec::new();
        for (policy, is_current) in [(&current, true), (&outstanding, false)] {
            let Some(policy) = policy else { continue };
            for (number, endpoint) in Endpoint::of(policy).into_iter().enumerate() {
                let backoff = Backoff::new(now, task.random(asked.len()));
                let number = is_current.then_some(number);
                let policy = Arc::clone(policy);
                asked.push(Asked { policy, endpoint, number, agreed: false, busy: false, backoff });
            }
        }
        let policies = [current, outstanding].into_iter().flatten().collect();
        Self { policies, asked, begun: now, agreements: Vec::new() }
    }

    /// Asks until it is clear what becomes of the log.
    pub(super) async fn run(mut self, task: &Task) -> Verdict {
        let mut flights: JoinSet<(usize, Outcome)> = JoinSet::new();
        let head = task.log.head();
        let checkpoint = task.log.checkpoint().unwrap_or_else(|| Arc::new(Head::unpublished()));
        let once = self.begun + task.limits.witness_request_time();
        loop {
            let now = Instant::now();
            if self.may_go_on(now >= once) {
                return Verdict::GoOn(self.agreements);
            }
            self.send(task, &head, &mut flights, now);
            self.tell(task);
            let waiting = self.asked.iter().filter(|one| !one.busy && !one.agreed);
            let due = waiting.map(|one| one.backoff.over()).chain([once].into_iter().filter(|once| *once > now)).min();
            tokio::select! {
                Some(Ok((number, outcome))) = flights.join_next() => {
                    if let Some(reason) = self.learn(task, &checkpoint, number, outcome) {
                        return Verdict::Halt(reason);
                    }
                }
                () = tokio::time::sleep_until(due.unwrap_or(now)), if due.is_some() => {}
                else => return Verdict::GoOn(self.agreements),
            }
        }
    }

    /// Whether no quorum is left among the witnesses that have not agreed. `once`: the time of one exchange is over.
    fn may_go_on(&self, once: bool) -> bool {
        self.policies.iter().all(|policy| {
            let of = || self.asked.iter().filter(|one| Arc::ptr_eq(&one.policy, policy));
            if policy.policy().needs_no_witness() {
                return once || of().all(|one| one.agreed);
            }
            let mut numbers = 0..;
            !policy.policy().is_met_by(|_| {
                let number: usize = numbers.next().unwrap_or(usize::MAX);
                // A witness that can't be asked never was: nothing was published because of it.
                of().any(|one| !one.agreed && one.endpoint.witnesses.contains(&number))
            })
        })
    }

    fn send(&mut self, task: &Task, head: &Arc<Head>, flights: &mut JoinSet<(usize, Outcome)>, now: Instant) {
        for (number, one) in self.asked.iter_mut().enumerate() {
            if one.agreed || one.busy || !one.backoff.is_over(now) {
                continue;
            }
            one.busy = true;
            // A cosignature from before the restart, played back by whoever stands in between, would be no answer.
            let times = made_lately(task.clock.now_ms());
            let exchange = Exchange { times, ..task.exchange(&one.policy, &one.endpoint, head) };
            // `old 0`: what the witness knows of the log is what is asked.
            flights.spawn(async move { (number, exchange.run(None).await) });
        }
    }

    /// Takes an answer; it is a reason to halt the log, or none.
    fn learn(&mut self, task: &Task, checkpoint: &Arc<Head>, number: usize, outcome: Outcome) -> Option<String> {
        let one = self.asked.get_mut(number)?;
        one.busy = false;
        let (confirmed, lines) = match outcome {
            Outcome::Contradicted(reason) => return Some(reason),
            Outcome::Failed(Failure::OtherHistory) => {
                let (name, size) = (&one.endpoint, task.log.head().size);
                return Some(format!(
                    "witness {name} says that it has cosigned a history of this log that its head of size {size} does not \
                     extend, and shows no head of it. Ask whoever runs it for the head that it cosigned last: if this log's key \
                     has signed that head, this database is an old copy or a fork"
                ));
            }
            Outcome::Cosigned { lines, wrong } => {
                one.number.into_iter().for_each(|at| task.report.confirmed(at, Some(task.log.head().size), wrong));
                (Some(task.log.head().size), lines)
            }
            Outcome::Failed(failure) => {
                one.number.into_iter().for_each(|at| task.report.failed(at, &failure));
                if let Failure::LostState(_) = failure {
                    // It agrees, as one that never knew the log does: it can't tell the difference. Whoever runs it can.
                    tracing::error!(log = %task.log.info().name, witness = %one.endpoint, %failure, "a witness has lost its state");
                }
                if !is_unknown(one, checkpoint, &failure) {
                    tracing::warn!(log = %task.log.info().name, witness = %one.endpoint, %failure, "no answer to whether the log may go on");
                    one.backoff.fail(Instant::now(), task.limits.witness_backoff());
                    return None;
                }
                (None, Vec::new())
            }
        };
        one.agreed = true;
        if let Some(number) = one.number {
            self.agreements.push(Agreement { number, confirmed, lines });
        }
        None
    }

    fn tell(&self, task: &Task) {
        let names = self.asked.iter().filter(|one| !one.agreed).map(|one| one.endpoint.to_string()).collect();
        task.report.tell(|report| report.held = Some(names));
    }
}

/// Whether the witness does not know the log, and never did as far as we know. torchwood before 0.9.1 answers 403 then;
/// by a witness that has cosigned, that is no such answer.
fn is_unknown(one: &Asked, checkpoint: &Arc<Head>, failure: &Failure) -> bool {
    match failure {
        Failure::UnknownLog | Failure::LostState(_) => true,
        Failure::Refused => {
            let published = Cosigned::published(Arc::clone(checkpoint), &one.policy, Instant::now());
            !one.endpoint.witnesses.iter().any(|witness| published.has(*witness))
        }
        _ => false,
    }
}
