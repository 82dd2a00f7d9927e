//! Records that come a second time: what is there already gets its first receipt, what is new is appended, and what has the
//! id of something else refuses all.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_tree::record::id::RecordId;
use cairn_tree::record::kind::IncidentFault;
use cairn_tree::record::open::Record;
use cairn_tree::size::LeafIndex;

use super::super::problem::{Kind, Problem};
use super::prepare::{Brought, Prepared, Ready, Request};
use super::{judged, refused};
use crate::engine::postings::PrintSecret;
use crate::engine::records::{RecordError, Recorded, Sequenced, Submission, id_print};
use crate::engine::{Head, Log};
use crate::records::{Broken, BrokenPart, Made, Refusal, Unverified, is_same, verified};

/// How often somebody else may bring one of the records at the same moment.
const ROUNDS: usize = 4;

/// What became of a request.
pub(in crate::http) struct Done {
    /// The log that has its records.
    pub(in crate::http) log: Log,
    pub(in crate::http) records: Vec<Sequenced>,
    pub(in crate::http) head: Arc<Head>,
    /// Whether an earlier request with the same idempotency key had brought them.
    pub(super) replayed: bool,
}

/// A request, compared with what is there.
#[derive(Default)]
struct Compared {
    /// What is there already, by its position in the request.
    there: BTreeMap<usize, Sequenced>,
    /// What is not, with its position.
    new: Vec<(usize, Submission)>,
}

/// Appends what was prepared of a request, unless a log before has it.
pub(in crate::http) async fn append(request: &Arc<Request>, ready: Ready) -> Result<Done, Problem> {
    let prepared = match ready {
        Ready::New(prepared) => *prepared,
        Ready::There(done) => return Ok(done),
    };
    if !prepared.watched.is_empty() {
        return judged::append(request, prepared).await;
    }
    let Prepared { log, submissions, places, tenants, bound, mut admission, .. } = prepared;
    let refused = |error| refused(error, |position| places.of(position));
    let mut error = match log.append_records(submissions, bound).await {
        Ok(Recorded { records, head, replayed }) => return Ok(Done { log, records, head, replayed }),
        Err(error) => error,
    };
    for _ in 0..ROUNDS {
        let RecordError::Id { index: Some(_), .. } = &error else { break };
        let (again, of) = (Arc::clone(request), log.clone());
        let head = log.head();
        let under = Arc::clone(&head);
        drop(admission.take());
        let compared = request.app.read_for(request.is_of_crowd, move || again.compare(&of, &under)).await?;
        let Compared { mut there, new } = compared;
        if new.is_empty() {
            return Ok(Done { log, records: there.into_values().collect(), head, replayed: false });
        }
        // A key is bound to all records of its request or to none.
        if bound.is_some() && !there.is_empty() {
            break;
        }
        let (positions, submissions): (Vec<usize>, Vec<Submission>) = new.into_iter().unzip();
        admission = Some(request.admit_again(&log, &tenants).await?);
        match log.append_records(submissions, bound).await {
            Ok(Recorded { records, head, replayed }) => {
                there.extend(positions.into_iter().zip(records));
                return Ok(Done { log, records: there.into_values().collect(), head, replayed });
            }
            Err(other) => error = other,
        }
    }
    Err(refused(error))
}

impl Compared {
    /// The record at a position is what the one at another says, which came before.
    fn repeat(&mut self, position: usize, first: usize) {
        if let Some(sequenced) = self.there.get(&first).copied() {
            self.there.insert(position, sequenced);
        } else if let Ok(place) = self.new.binary_search_by_key(&first, |(position, _)| *position) {
            let again = self.new.get(place).map(|(_, submission)| (position, submission.clone()));
            self.new.extend(again);
        }
    }
}

impl Request {
    fn compare(&self, log: &Log, head: &Head) -> Result<Compared, Problem> {
        let mut compared = Compared::default();
        self.prepare_each(log, |position, place, brought, submit| {
            let made = match brought {
                Brought::Made(made) => made,
                Brought::Again(first) => {
                    compared.repeat(position, first);
                    return Ok(());
                }
            };
            match stored(log, head, &made, submit.prints, place)? {
                None => compared.new.push((position, submit.submission(*made))),
                Some(record) if is_same(&made, &record) => {
                    compared.there.insert(position, sequenced(&record));
                }
                Some(_) => return Err(taken(place, made.id)),
            }
            Ok(())
        })?;
        Ok(compared)
    }
}

/// The record that has the id already of one that stands at this place of the body.
pub(super) fn stored(
    log: &Log,
    head: &Head,
    made: &Made<'_>,
    prints: &PrintSecret,
    place: &str,
) -> Result<Option<Record>, Problem> {
    if made.fresh_id {
        return Ok(None);
    }
    let print = id_print(prints, made.id);
    let Some(index) = log.find_records(&[print], head.size, 1, u64::MAX)?.hits.pop() else { return Ok(None) };
    match record_at(log, head, index) {
        Ok(record) => Ok(record),
        Err(Unverified::Read(error)) => Err(error.into()),
        Err(Unverified::Proof(error)) => Err(error.into()),
        Err(Unverified::Postings(error)) => Err(error.into()),
        Err(Unverified::Broken(broken)) => Err(incomparable(place, broken, taken(place, made.id))),
    }
}

/// The record at an index.
pub(super) fn record_at(log: &Log, head: &Head, index: LeafIndex) -> Result<Option<Record>, Unverified> {
    let Some(stored) = log.stored_record(head, index)? else { return Ok(None) };
    Ok(Some(verified(log, head, stored)?.into_record()))
}

pub(super) fn sequenced(record: &Record) -> Sequenced {
    let server = record.leaf().server();
    Sequenced {
        id: record.leaf().event().head().id,
        index: record.index(),
        leaf: record.hash(),
        stream: server.stream,
        seq: server.place.seq(),
        prev: server.place.prev(),
        time: server.time,
        replayed: true,
    }
}

/// A record that can't be verified can't be compared. What one lost that it disclosed may never come back, so whoever brings it is
/// told that its id is `taken`; where something else stands in its place, nobody knows before that is mended.
pub(super) fn incomparable(place: &str, broken: Broken, taken: Problem) -> Problem {
    match broken.what {
        BrokenPart::Disclosure(_, IncidentFault::Changed | IncidentFault::Malformed) => {
            let Broken { index, words, .. } = broken;
            let detail =
                format!("the record at {index} has this id and can't be verified, before that is mended: {words}");
            Refusal::at(Kind::Integrity, format!("{place}/id"), detail).into()
        }
        _ => taken,
    }
}

/// The id is another record's.
pub(super) fn taken(place: &str, id: RecordId) -> Problem {
    let detail = "another record has this id; an id is one record's for ever";
    let refusal = Refusal::at(Kind::RecordExists, format!("{place}/id"), detail);
    refusal.bounded(&id.to_string(), "an id that no record has").into()
}
