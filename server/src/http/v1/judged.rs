//! Records of modules that ask something of them: judged against the states of their streams, and submitted for just those
//! states. Whoever brings some has their streams to itself meanwhile, among those who are judged; if others wrote to one,
//! all of it is judged anew, a bounded number of times. Nobody keeps a tenant from getting another log while he waits or
//! judges: his log is looked for again before it gets the records.
//!
//! Not here: the judgement (`crate::records::Judge`), and the turns (`crate::records::Turns`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cairn_tree::hash::Hash;
use cairn_tree::record::replay::Pointers;
use cairn_tree::wire::problem::Problem as Document;
use tokio::time::Instant;

use super::super::problem::{Kind, Problem};
use super::again::{Done, sequenced, stored, taken};
use super::prepare::{Brought, Prepared, Request};
use super::{conflict, refused};
use crate::engine::Log;
use crate::engine::postings::Print;
use crate::engine::records::{BoundBody, Expectation, RecordError, Recorded, Sequenced, Submission};
use crate::limits::{JUDGE_ROUNDS, STATE_STREAM_BYTES};
use crate::records::{Judge, Refusal, Turn, Unfit, Unknowable, Unverified, is_same};

/// Paths that are told in words as well.
const PATHS_IN_WORDS: usize = 8;

/// A request, judged.
#[derive(Default)]
struct Judged {
    /// What is there already, by its position in the request.
    there: BTreeMap<usize, Sequenced>,
    new: Vec<New>,
}

impl Judged {
    /// The record at a position is what the one at another says, which came before.
    fn repeat(&mut self, position: usize, first: usize) {
        if let Some(sequenced) = self.there.get(&first).copied() {
            self.there.insert(position, sequenced);
        } else if let Ok(place) = self.new.binary_search_by_key(&first, |new| new.position) {
            let again = self.new.get(place).map(|new| New { position, ..new.clone() });
            self.new.extend(again);
        }
    }
}

/// A record that fits.
#[derive(Clone)]
struct New {
    position: usize,
    submission: Submission,
    /// Whether it is expected where the judgement found its stream, and not where its maker says.
    pinned: bool,
}

/// Appends what was prepared of a request.
pub(super) async fn append(request: &Arc<Request>, prepared: Prepared) -> Result<Done, Problem> {
    let Prepared { log, submissions, places, watched, tenants, bound, admission } = prepared;
    drop(admission);
    let watched = Arc::new(watched);
    let wait = request.app.limits.judged_wait();
    let until = Instant::now() + wait;
    let turn = request.app.records.states.turns().take(log.info().id, &watched, wait).await;
    let retried = Retried { log: &log, submissions: &submissions, bound };
    let mut turn = match turn {
        Ok(turn) => turn,
        Err(error) => return retried.answer().await.unwrap_or_else(|| Err(Problem::busy(error.to_string()))),
    };
    let mut rounds = 0;
    while rounds < JUDGE_ROUNDS {
        let (again, of, watched) = (Arc::clone(request), log.clone(), Arc::clone(&watched));
        // The turn goes with the work, which ends no earlier when its asker is gone.
        let work = move || Ok::<(Turn, _), Problem>((turn, again.judge(&of, &watched)));
        let (same, judged) = request.app.read_for(request.is_of_crowd, work).await?;
        turn = same;
        let judged = match judged {
            Ok(judged) => judged,
            // It goes on from where it came to.
            Err(Unjudged::Behind(_)) if Instant::now() < until => continue,
            // What was brought before with this key was judged then.
            Err(Unjudged::Behind(problem) | Unjudged::Refused(problem)) => {
                return retried.answer().await.unwrap_or(Err(problem));
            }
        };
        rounds += 1;
        let Judged { mut there, new } = judged;
        if !there.is_empty()
            && let Some(answer) = retried.answer().await
        {
            return answer;
        }
        if new.is_empty() {
            let records = there.into_values().collect();
            return Ok(Done { head: log.head(), log, records, replayed: false });
        }
        // A key is bound to all records of its request or to none.
        if let (Some(_), Some((position, record))) = (bound, there.first_key_value()) {
            return Err(taken(&places.of(*position), record.id));
        }
        let (marks, submissions): (Vec<(usize, bool)>, Vec<Submission>) =
            new.into_iter().map(|new| ((new.position, new.pinned), new.submission)).unzip();
        let mark = |position: usize| marks.get(position).copied().unwrap_or_default();
        let _admission = request.admit_again(&log, &tenants).await?;
        match log.append_records(submissions, bound).await {
            Ok(Recorded { records, head, replayed }) => {
                there.extend(marks.into_iter().map(|(position, _)| position).zip(records));
                return Ok(Done { log, records: there.into_values().collect(), head, replayed });
            }
            // Somebody else was faster.
            Err(RecordError::Expectation { position, .. }) if mark(position).1 => {}
            Err(RecordError::Id { index: Some(_), .. }) => {}
            Err(error) => return Err(refused(error, |position| places.of(mark(position).0))),
        }
    }
    drop(turn);
    Err(Problem::busy("too many others write to the same stream; whether the record fits is not known"))
}

/// Why a request was not judged, or does not fit.
enum Unjudged {
    /// There is more to read of a stream than at once.
    Behind(Problem),
    /// Anything else.
    Refused(Problem),
}

/// A request that may have been brought before with the same idempotency key.
struct Retried<'r> {
    log: &'r Log,
    submissions: &'r [Submission],
    bound: Option<BoundBody>,
}

impl Retried<'_> {
    /// The answer of then; `None` if there was none. Nothing is written, since what is asked for here no stream meets.
    async fn answer(&self) -> Option<Result<Done, Problem>> {
        let bound = self.bound?;
        let never = Expectation { seq: Some(None), prev: Some(Some(Hash::new([0; Hash::LEN]))) };
        let submissions =
            self.submissions.iter().map(|submission| Submission { expected: never, ..submission.clone() });
        match self.log.append_records(submissions.collect(), Some(bound)).await {
            Ok(Recorded { records, head, replayed }) => {
                Some(Ok(Done { log: self.log.clone(), records, head, replayed }))
            }
            Err(RecordError::Expectation { .. } | RecordError::Id { .. }) => None,
            Err(error) => Some(Err(refused(error, |_| String::new()))),
        }
    }
}

impl Request {
    fn judge(&self, log: &Log, watched: &BTreeSet<Print>) -> Result<Judged, Unjudged> {
        let head = log.head();
        let records = &self.app.records;
        let prints = self.prints.iter().find(|(id, _)| *id == log.info().id).map(|(_, secret)| secret);
        let no_prints = || Problem::internal("a log without a secret for its prints");
        let prints = prints.ok_or_else(no_prints).map_err(Unjudged::Refused)?;
        let (of, asked) = ((log, &*head, prints), (&*records.settings, &records.states));
        let mut judge = Judge::new(&self.app.engine, of, asked, watched);
        let (mut judged, mut is_behind) = (Judged::default(), false);
        let all = self.prepare_each(log, |position, place, brought, submit| {
            let made = match brought {
                Brought::Made(made) => made,
                Brought::Again(first) => {
                    judged.repeat(position, first);
                    return Ok(());
                }
            };
            match stored(log, &head, &made, submit.prints, place)? {
                None => {}
                Some(record) if is_same(&made, &record) => {
                    judged.there.insert(position, sequenced(&record));
                    return Ok(());
                }
                Some(_) => return Err(taken(place, made.id)),
            }
            let print = crate::engine::records::name_print(submit.prints, &made.stream);
            let expected = judge.judge(&made, print).map_err(|unfit| {
                is_behind = matches!(unfit, Unfit::Unknowable(Unknowable::Behind(_)));
                self.unfit(log, unfit, place)
            })?;
            let submission = submit.submission(*made);
            judged.new.push(New {
                position,
                pinned: expected.is_some(),
                submission: Submission { expected: expected.unwrap_or(submission.expected), ..submission },
            });
            Ok(())
        });
        match all {
            Ok(()) => Ok(judged),
            Err(problem) if is_behind => Err(Unjudged::Behind(problem)),
            Err(problem) => Err(Unjudged::Refused(problem)),
        }
    }

    /// The problem of a record, at this place of the body, that does not fit.
    fn unfit(&self, log: &Log, unfit: Unfit, place: &str) -> Problem {
        let at = |kind, detail: &str| Refusal::at(kind, place.to_owned(), detail).into();
        match unfit {
            Unfit::Moved(tip) => conflict(place, tip),
            Unfit::Lives => at(Kind::StateConflict, "the object is there already, and the module is strict"),
            Unfit::Absent => at(Kind::StateConflict, "the object is not there, and the module is strict"),
            Unfit::Corrects(id) => {
                let detail = "replaces names no earlier record of the stream about the same object and row with the same operation";
                let refusal = Refusal::at(Kind::StateConflict, place.to_owned(), detail);
                refusal.bounded(&id.to_string(), "the id of a record that this one may correct").into()
            }
            Unfit::Old(pointers) => {
                with_paths(place, Kind::OldDiffers, "the old values are not those that are recorded", pointers)
            }
            Unfit::NoPlace(pointers) => {
                let detail = "the object's data has no place for these fields, and the module is strict";
                with_paths(place, Kind::StateConflict, detail, pointers)
            }
            Unfit::Unknowable(Unknowable::Behind(read)) => {
                Problem::busy(format!("the state of the stream is being read: {read} records so far"))
            }
            Unfit::Unknowable(Unknowable::TooLarge) => {
                let detail = "the states of the stream's objects are larger than those that records are judged against";
                let refusal = Refusal::at(Kind::StateConflict, place.to_owned(), detail);
                refusal.bounded("", format!("at most {STATE_STREAM_BYTES} bytes")).into()
            }
            Unfit::Unknowable(Unknowable::Postings(error)) => error.into(),
            Unfit::Unknowable(Unknowable::Unverified(error)) => match error {
                Unverified::Read(error) => error.into(),
                Unverified::Proof(error) => error.into(),
                Unverified::Postings(error) => error.into(),
                Unverified::Broken(broken) => {
                    self.app.records.reporter.report(log, &broken);
                    let detail = format!("the record at {} can't be verified: {}", broken.index, broken.words);
                    Problem::new(Kind::Integrity, detail).value(broken.index.to_string())
                }
            },
        }
    }
}

/// A record does not fit at these pointers.
fn with_paths(place: &str, kind: Kind, detail: &str, pointers: Pointers) -> Problem {
    let Pointers { first, more, .. } = pointers;
    let words = first.iter().take(PATHS_IN_WORDS).map(|pointer| format!("{pointer:?}")).collect::<Vec<_>>().join(", ");
    let others = if more || first.len() > PATHS_IN_WORDS { ", and at others" } else { "" };
    let document: Document =
        Refusal::at(kind, place.to_owned(), format!("{detail}: at {words}{others}")).into_problem();
    document.with_paths(first, more).into()
}
