//! The course of a log's rounds: which head is sent to whom and when, and what is published. A pure step function of
//! heads, answers and time; `task` carries out what it says.
//!
//! ```text
//!            newest head larger, unmet, or too old             quorum met: publish
//!   AT REST ------------------------------------> ROUND(head) ---------------------> AT REST
//!                                                   |    ^
//!                     everybody has answered, unmet |    | a witness may be asked again: with the newest head
//!                                                   v    |
//!                                                  WAITING
//! ```
//!
//! A round keeps its head until its quorum is met or nobody is left who could answer: chasing each new head, slow
//! witnesses would never cosign the same one. Each witness is asked one thing at a time; one that is slow is asked about
//! the round at hand once it has answered the last. What it cosigned after the publication of the same head is added to
//! that. A head at rest is sent again at an interval, and its newer cosignatures take the place of the older; a witness
//! that answers with its old one has not answered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_tree::size::TreeSize;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::cosigned::{Cosigned, News};
use super::exchange::Line;
use crate::engine::{Head, LogPolicy};

/// The times that a course keeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// From the beginning of one round to that of the next, at least.
    pub(super) round: Duration,
    /// After which a head at rest is cosigned anew.
    pub(super) recosign: Duration,
    /// After which a log that fails open publishes without its quorum.
    pub(super) fail_open: Duration,
    /// The longest time until a witness that fails is asked again.
    pub(super) backoff: Duration,
}

/// One witness's part.
#[derive(Debug)]
pub(super) struct Member {
    /// The size that it cosigned last, as far as is known.
    pub(super) confirmed: Option<TreeSize>,
    busy: bool,
    /// It was asked about the round's head.
    asked: bool,
    backoff: Backoff,
}

#[derive(Debug)]
struct Round {
    cosigned: Cosigned,
    begun: Instant,
    /// The head is published already; only its cosignatures get newer.
    again: bool,
    /// Cosignatures that are not published yet.
    fresh: bool,
}

/// See above.
#[derive(Debug)]
pub(super) struct Course {
    policy: Arc<LogPolicy>,
    pace: Pace,
    pub(super) members: Vec<Member>,
    newest: Arc<Head>,
    published: Cosigned,
    /// The published head got cosignatures that are not stored yet.
    late: bool,
    round: Option<Round>,
    last_begun: Option<Instant>,
    /// Since when a head waits to be published.
    waiting: Option<Instant>,
    /// When the published head was last sent around.
    refreshed: Instant,
    /// How long the rounds took that met their quorum since this was last taken.
    met: Vec<Duration>,
}

/// Where a course begins.
#[derive(Debug)]
pub(super) struct Heads {
    /// The checkpoint.
    pub(super) published: Arc<Head>,
    /// The newest head.
    pub(super) newest: Arc<Head>,
}

/// Something to publish.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) head: Arc<Head>,
    pub(super) note: Bytes,
}

impl Course {
    /// Takes up a log whose checkpoint is `published`. Its witnesses are `members` in number.
    pub(super) fn new(
        policy: Arc<LogPolicy>,
        pace: Pace,
        backoffs: Vec<Backoff>,
        Heads { published, newest }: Heads,
        now: Instant,
    ) -> Self {
        let published = Cosigned::published(published, &policy, now);
        let member = |backoff| Member { confirmed: None, busy: false, asked: false, backoff };
        Self {
            policy,
            pace,
            members: backoffs.into_iter().map(member).collect(),
            newest,
            published,
            late: false,
            round: None,
            last_begun: None,
            waiting: None,
            // What was stored may be old: it is sent around at once.
            refreshed: now.checked_sub(pace.recosign).unwrap_or(now),
            met: Vec::new(),
        }
    }

    /// A newer head was released.
    pub(super) fn head(&mut self, head: Arc<Head>) {
        self.newest = head;
    }

    /// Whether the published head meets the policy.
    pub(super) fn is_met(&self) -> bool {
        self.published.meets(&self.policy)
    }

    /// The times of rounds that met their quorum.
    pub(super) fn take_met(&mut self) -> Vec<Duration> {
        core::mem::take(&mut self.met)
    }

    /// The witnesses to ask now, about the head that comes with them.
    pub(super) fn ask(&mut self, now: Instant) -> Option<(Arc<Head>, Vec<usize>)> {
        self.close_exhausted(now);
        self.drop_unasked();
        if self.round.is_none() && self.wants_round(now) {
            self.begin(now);
        }
        let round = self.round.as_ref()?;
        let mut ask = Vec::new();
        for (number, member) in self.members.iter_mut().enumerate() {
            if !member.busy && !member.asked && member.backoff.is_over(now) {
                (member.busy, member.asked) = (true, true);
                ask.push(number);
            }
        }
        (!ask.is_empty()).then(|| (Arc::clone(&round.cosigned.head), ask))
    }

    /// A witness has cosigned a head of this size; `false` if it only gives back what it gave before, which is no answer.
    #[must_use]
    pub(super) fn cosigned(&mut self, number: usize, size: TreeSize, lines: Vec<Line>, now: Instant) -> bool {
        let (mut own, mut answered) = (false, false);
        for line in lines {
            let is_own = line.own;
            let news = match &mut self.round {
                Some(round) if round.cosigned.head.size == size => {
                    let news = round.cosigned.add(line, now);
                    round.fresh |= news == News::Taken;
                    news
                }
                _ if self.published.head.size == size => {
                    let news = self.published.add(line, now);
                    self.late |= news == News::Taken;
                    news
                }
                // Neither its round nor its publication is of interest any more.
                _ => News::Same,
            };
            own |= is_own;
            answered |= is_own && news != News::Old;
        }
        let answered = answered || !own;
        if let Some(member) = self.members.get_mut(number) {
            member.busy = false;
            member.confirmed = Some(size);
            if answered {
                member.backoff.succeed();
            } else {
                member.backoff.fail(now, self.pace.backoff);
            }
        }
        answered
    }

    /// A witness has not cosigned what it was asked about.
    pub(super) fn failed(&mut self, number: usize, now: Instant) {
        if let Some(member) = self.members.get_mut(number) {
            member.busy = false;
            member.backoff.fail(now, self.pace.backoff);
        }
    }

    /// What is to be published now, if anything. It counts as published from here on.
    pub(super) fn publish(&mut self, now: Instant) -> Option<Publication> {
        let exhausted = self.is_exhausted();
        if let Some(round) = &self.round {
            let met = round.cosigned.meets(&self.policy);
            // With the quorum `none` the head is out already, and each cosignature is worth a publication.
            let worth = round.fresh || (!round.again && !self.policy.policy().needs_no_witness());
            let ready = met && worth && (!round.again || exhausted);
            if ready || self.overdue().is_some_and(|overdue| now >= overdue) {
                return self.close(now);
            }
        }
        if core::mem::take(&mut self.late) {
            return Some(self.publication());
        }
        None
    }

    /// When there is something to do next even if nothing happens.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let free = || self.members.iter().filter(|member| !member.busy);
        let round = match &self.round {
            Some(round) => {
                let retry = free().map(|member| member.backoff.over()).filter(|over| *over > now).min();
                let failed = self.members.iter().any(|member| member.backoff.has_failed());
                let renewed = (!failed).then_some(round.begun + self.pace.recosign.max(self.pace.round));
                [retry, renewed].into_iter().flatten().min()
            }
            None if self.members.is_empty() => None,
            None => {
                let spaced = self.last_begun.map(|begun| begun + self.pace.round);
                let behind = free().filter(|member| self.is_behind(member)).map(|member| member.backoff.over()).min();
                let behind = behind.map(|over| spaced.map_or(over, |spaced| over.max(spaced)));
                let renewed = self.refreshed + self.pace.recosign;
                let renewed = Some(spaced.map_or(renewed, |spaced| renewed.max(spaced)));
                [spaced.filter(|_| self.wants_publication()), behind, renewed].into_iter().flatten().min()
            }
        };
        [self.overdue(), round].into_iter().flatten().min()
    }

    /// When a head is published without its quorum, if it comes to that.
    fn overdue(&self) -> Option<Instant> {
        let round = self.round.as_ref().filter(|_| self.policy.fail_open())?;
        let news = round.fresh || round.cosigned.head.size > self.published.head.size;
        self.waiting.filter(|_| news && !round.again).map(|since| since + self.pace.fail_open)
    }

    /// Whether a witness has yet to cosign the head at rest.
    fn is_behind(&self, member: &Member) -> bool {
        member.confirmed != Some(self.published.head.size)
    }

    fn wants_publication(&self) -> bool {
        self.newest.size > self.published.head.size || !self.is_met()
    }

    fn wants_round(&self, now: Instant) -> bool {
        let spaced = self.last_begun.is_none_or(|begun| now >= begun + self.pace.round);
        let free = |member: &&Member| !member.busy && member.backoff.is_over(now);
        let behind = || self.members.iter().filter(free).any(|member| self.is_behind(member));
        !self.members.is_empty() && spaced && (self.wants_publication() || self.is_old(now) || behind())
    }

    /// Whether the head at rest is to be cosigned anew.
    fn is_old(&self, now: Instant) -> bool {
        now >= self.refreshed + self.pace.recosign
    }

    fn begin(&mut self, now: Instant) {
        let same = self.newest.size == self.published.head.size;
        let again = same && self.is_met();
        let cosigned = if same {
            self.published.with_head(Arc::clone(&self.newest))
        } else {
            Cosigned::bare(Arc::clone(&self.newest))
        };
        if !again && self.waiting.is_none() {
            self.waiting = Some(now);
        }
        // Where only some have missed a head at rest, the others are not asked again.
        let all = !same || self.is_old(now);
        let size = self.published.head.size;
        self.members.iter_mut().for_each(|member| member.asked = !all && member.confirmed == Some(size));
        self.round = Some(Round { cosigned, begun: now, again, fresh: false });
        self.last_begun = Some(now);
    }

    /// Whether nobody is left who could answer in this round without being asked anew.
    fn is_exhausted(&self) -> bool {
        self.members.iter().all(|member| !member.busy)
    }

    /// Ends a round that everybody has answered; one that is not met goes on with the newest head, or with the witnesses
    /// that are missing, as soon as one of them may be asked.
    fn close_exhausted(&mut self, now: Instant) {
        let Some(round) = &self.round else { return };
        if !self.is_exhausted() || self.members.iter().all(|member| !member.asked) {
            return;
        }
        if round.again || self.policy.policy().needs_no_witness() {
            // What is fresh was published before.
            (self.round, self.refreshed) = (None, now);
            return;
        }
        let failed = self.members.iter().any(|member| member.backoff.has_failed());
        let back = self.members.iter().any(|member| member.backoff.has_failed() && member.backoff.is_over(now));
        let newer = self.newest.size > round.cosigned.head.size;
        let old = now >= round.begun + self.pace.recosign;
        if (newer && (back || !failed)) || (old && !failed) {
            self.round = None;
        } else if back {
            for member in &mut self.members {
                member.asked &= !member.backoff.has_failed();
            }
        }
    }

    /// A round that nobody was asked in yet takes the newest head instead.
    fn drop_unasked(&mut self) {
        let older = |round: &Round| round.cosigned.head.size < self.newest.size;
        if self.round.as_ref().is_some_and(older) && self.members.iter().all(|member| !member.asked) {
            (self.round, self.last_begun) = (None, None);
        }
    }

    fn close(&mut self, now: Instant) -> Option<Publication> {
        let round = self.round.take()?;
        if !round.again && round.cosigned.meets(&self.policy) {
            self.met.push(now.saturating_duration_since(round.begun));
        }
        (self.published, self.late, self.waiting, self.refreshed) = (round.cosigned, false, None, now);
        Some(self.publication())
    }

    fn publication(&self) -> Publication {
        let head = Arc::clone(&self.published.head);
        Publication { head, note: self.published.note() }
    }
}

#[cfg(test)]
mod tests;
