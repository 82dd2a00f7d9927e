//! The records of one stream, each verified together with the one before it, so that none is missing between two. They are
//! found by the stream's id, which each of them has, whatever of it was erased; the id is found by the stream's name.

use std::sync::Arc;

use cairn_tree::record::history::Entered;
use cairn_tree::record::stream::{StreamId, StreamName};
use cairn_tree::record::text::Name;
use cairn_tree::record::time::Time;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::v1::{IntegrityProblem, RecordBody, WrongPart};

use super::super::Ask;
use super::super::problem::{Kind, Problem};
use super::super::query::{Query, decode};
use super::bodies::Redacting;
use super::not_good::{NotGood, ReadBack};
use super::reading::{Preceding, Reading};
use super::{Credential, LOG};
use crate::auth::Right;
use crate::engine::Head;
use crate::engine::postings::Print;
use crate::engine::records::{name_print, stream_print};
use crate::limits::LIST_BYTES;
use crate::records::{READS_TOPIC, Said, Seen, VerifiedLater};

/// A stream that somebody asks about.
#[derive(Clone)]
pub(in crate::http) struct Asked {
    pub(super) reading: Reading,
    pub(super) name: StreamName<'static>,
    print: Print,
}

/// Where a page of a history begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Beginning {
    /// With the record of a number.
    Number(u64),
    /// With the first record from an index on.
    Index(LeafIndex),
}

/// Some of its records in a row, with what was made of each.
pub(super) struct Row<T> {
    /// What was made of each of them, or what is wrong with it.
    pub(super) records: Vec<Result<T, IntegrityProblem>>,
    /// Where they are.
    pub(super) indexes: Vec<LeafIndex>,
    /// The stream, as the first that could be verified names it.
    pub(super) stream: Option<StreamId>,
    /// From which of them on nobody knows that none is missing.
    pub(super) broken_from: Option<LeafIndex>,
    /// What says that something of them is erased.
    pub(super) redacting: Redacting,
    /// Where the record after them is, if there is one. Not its number: of those that nothing finds any more nobody knows how
    /// many there are in between.
    pub(super) next: Option<LeafIndex>,
    /// The head that their proofs are for.
    pub(super) under: Arc<Head>,
}

/// A record as its reader may see it.
pub(super) enum SeenEntry {
    /// One that was opened.
    Record(Box<Seen>),
    /// One of a later version.
    Later(Box<VerifiedLater>),
}

impl SeenEntry {
    /// Its stream.
    pub(super) fn stream(&self) -> StreamId {
        match self {
            Self::Record(seen) => seen.record.leaf().server().stream,
            Self::Later(later) => later.later.stream(),
        }
    }

    /// Its number in the stream.
    pub(super) fn seq(&self) -> u64 {
        match self {
            Self::Record(seen) => seen.record.leaf().server().place.seq().get(),
            Self::Later(later) => later.later.seq().get(),
        }
    }

    /// Where it is.
    pub(super) fn index(&self) -> LeafIndex {
        match self {
            Self::Record(seen) => seen.record.index(),
            Self::Later(later) => later.later.index(),
        }
    }

    /// The same for a replay.
    pub(super) fn entered(&self) -> Entered<'_> {
        match self {
            Self::Record(seen) => Entered::Record(&seen.record),
            Self::Later(later) => Entered::Later(&later.later),
        }
    }

    /// What says that something of it is erased.
    pub(super) fn redacting(&self) -> Redacting {
        let mut redacting = Redacting::default();
        if let Self::Record(seen) = self {
            redacting.add(seen);
        }
        redacting
    }

    /// With all that its reader needs to verify it.
    pub(super) fn into_body(self, reading: &Reading, under: &Head, proof: bool) -> Result<RecordBody, Problem> {
        match self {
            Self::Record(seen) => reading.body_of(*seen, under, proof),
            Self::Later(later) => reading.later_body(&later, under, proof),
        }
    }
}

/// Where a record stands.
#[derive(Clone, Copy)]
struct Standing {
    /// Among those that were asked for.
    place: usize,
    index: LeafIndex,
    seq: u64,
    stream: StreamId,
}

/// Records that were verified as they came, and what the last of them leaves to the next.
struct Verifying<T> {
    records: Vec<Result<T, IntegrityProblem>>,
    /// The first that could be verified.
    first: Option<Standing>,
    broken_from: Option<LeafIndex>,
    redacting: Redacting,
    last: Preceding,
    /// Whether all that were asked for are here.
    is_whole: bool,
}

impl<T> Default for Verifying<T> {
    fn default() -> Self {
        let (records, redacting) = (Vec::new(), Redacting::default());
        Self { records, first: None, broken_from: None, redacting, last: Preceding::Unknown, is_whole: false }
    }
}

impl Asked {
    /// The stream of a path; one that the token is not good for is not there.
    pub(super) fn of(ask: &Ask<'_>, credential: &Credential<'_>, query: &Query<'_>) -> Result<Self, Problem> {
        let name = stream_name(ask.target.item)?;
        let tenant = name.tenant().as_str();
        credential.admit(tenant)?;
        let said = Said::of(&ask.parts.headers)?;
        if said.tenant().is_some_and(|said| said.as_str() != tenant) {
            let detail = "x-tenant-id: the stream is another tenant's";
            return Err(Problem::new(Kind::Contradiction, detail).field("x-tenant-id"));
        }
        let log = ask.app.records.homes.named_or_of(&ask.app.engine, tenant, query.get(LOG));
        let log = log.ok_or_else(Problem::not_found)?;
        let reading = Reading::of(ask, credential, log, Some(tenant))?;
        if is_of_reads(&name) {
            ask.trail(credential.id)?.asks_for_reads();
        }
        Ok(Self::of_name(reading, name))
    }

    /// The stream of this name.
    pub(in crate::http) fn of_name(reading: Reading, name: StreamName<'static>) -> Self {
        let print = name_print(&reading.prints, &name);
        Self { reading, name, print }
    }

    /// At most `most` records from a place on, with what `make` makes of each, on several cores and while it is at hand. A
    /// stream without records is not there.
    pub(super) fn row<T: Send>(
        &self,
        from: Beginning,
        most: usize,
        make: impl Fn(SeenEntry, &Head) -> Result<T, Problem> + Sync,
    ) -> Result<Row<T>, Problem> {
        let (begin, number) = match from {
            Beginning::Number(number) => (self.index_of(number)?, Some(number)),
            Beginning::Index(index) => (index, None),
        };
        let row = self.row_at(begin, number, (most, LIST_BYTES), make)?;
        if row.records.is_empty() && row.next.is_none() {
            self.ending()?.ok_or_else(Problem::not_found)?;
        }
        Ok(row)
    }

    /// At most so many records and bytes of them, but at least one if there is one, from an index on; the first must
    /// have the number `from`, if that is known.
    pub(super) fn row_at<T: Send>(
        &self,
        begin: LeafIndex,
        from: Option<u64>,
        (most, bytes): (usize, usize),
        make: impl Fn(SeenEntry, &Head) -> Result<T, Problem> + Sync,
    ) -> Result<Row<T>, Problem> {
        // One more, to know whether there is one.
        let stream = self.stream()?;
        let found = self.found(stream, begin, most.saturating_add(1))?;
        let wanted = found.get(..most.min(found.len())).unwrap_or_default();
        let (verifying, under) = self.verifying(stream, wanted, bytes, make)?;
        let Verifying { records, first, broken_from, redacting, .. } = verifying;
        if let (Some(Standing { place: 0, index, seq, .. }), Some(from)) = (first, from)
            && seq != from
        {
            return Err(Problem::new(
                Kind::Integrity,
                format!("the record at {index} is not number {from} of its stream"),
            ));
        }
        let next = found.get(records.len()).copied();
        let stream = first.map(|first| first.stream);
        let mut indexes = found;
        indexes.truncate(records.len());
        Ok(Row { records, indexes, stream, broken_from, redacting, next, under })
    }

    /// Whether there is one.
    pub(in crate::http) fn is_there(&self) -> Result<bool, Problem> {
        Ok(self.reading.log.stream_of(&self.print)?.is_some())
    }

    /// Where its first record is.
    pub(super) fn first(&self) -> Result<Option<LeafIndex>, Problem> {
        Ok(self.found(self.stream()?, LeafIndex::ZERO, 1)?.pop())
    }

    /// Where its last record is, and the number of that.
    pub(super) fn ending(&self) -> Result<Option<(LeafIndex, u64)>, Problem> {
        let Some(index) = self.reading.newest(self.stream()?, self.reading.head.size)? else { return Ok(None) };
        let damaged = || Problem::new(Kind::Integrity, format!("the record at {index} is none"));
        Ok(Some((index, self.number_before(index)?.ok_or_else(damaged)?)))
    }

    /// The print of its name.
    pub(super) const fn print(&self) -> Print {
        self.print
    }

    /// The print of its id. A stream that there is not is not found.
    pub(super) fn stream(&self) -> Result<Print, Problem> {
        let id = self.reading.log.stream_of(&self.print)?.ok_or_else(Problem::not_found)?;
        Ok(stream_print(&self.reading.prints, id))
    }

    /// Where its records are from an index on, at most so many.
    pub(super) fn found(&self, stream: Print, from: LeafIndex, most: usize) -> Result<Vec<LeafIndex>, Problem> {
        let mut found = self.reading.log.oldest_records(stream, from, most)?;
        // What has come since belongs to no head that is at hand.
        found.retain(|index| self.reading.head.size.contains(*index));
        Ok(found)
    }

    /// The records at these places, which follow one another; fewer if they have more bytes than `most`. Some at a time on
    /// each core; the first of those looks up the one before it.
    fn verifying<T: Send>(
        &self,
        stream: Print,
        found: &[LeafIndex],
        most: usize,
        make: impl Fn(SeenEntry, &Head) -> Result<T, Problem> + Sync,
    ) -> Result<(Verifying<T>, Arc<Head>), Problem> {
        let (reading, ended) = (&self.reading, self.reading.ended(stream)?);
        let under = match found.last() {
            Some(last) => reading.under(*last)?,
            None => Arc::clone(&reading.checkpoint),
        };
        let verify = |indexes: &[LeafIndex], stored| {
            let before = found.partition_point(|index| Some(index) < indexes.first()).checked_sub(1);
            let last = before.and_then(|place| found.get(place)).map_or(Preceding::Unknown, |at| Preceding::Near(*at));
            self.verify((indexes, stored), last, (&under, ended), &make)
        };
        let parts = reading.in_parts(found, most, verify)?;
        let mut all = Verifying::default();
        for part in parts {
            let part_is_whole = part.is_whole;
            if !all.redacting.merge(part.redacting) {
                break;
            }
            all.broken_from = all.broken_from.or(part.broken_from);
            let before = all.records.len();
            let first = part.first.map(|first| Standing { place: before + first.place, ..first });
            all.first = all.first.or(first);
            all.records.extend(part.records);
            if !part_is_whole {
                break;
            }
        }
        Ok((all, under))
    }

    /// Some records that were read, which follow one another.
    fn verify<T>(
        &self,
        (indexes, stored): (&[LeafIndex], Vec<ReadBack>),
        last: Preceding,
        (under, ended): (&Head, Option<LeafIndex>),
        make: impl Fn(SeenEntry, &Head) -> Result<T, Problem>,
    ) -> Result<Verifying<T>, Problem> {
        let mut verifying = Verifying { is_whole: stored.len() == indexes.len(), last, ..Verifying::default() };
        for (index, stored) in indexes.iter().zip(stored) {
            match self.next(stored, (under, ended), &mut verifying.last) {
                Ok(entry) => {
                    if let SeenEntry::Record(seen) = &entry
                        && !verifying.redacting.add(seen)
                    {
                        verifying.is_whole = false;
                        break;
                    }
                    let place = verifying.records.len();
                    let (index, seq, stream) = (entry.index(), entry.seq(), entry.stream());
                    verifying.first.get_or_insert(Standing { place, index, seq, stream });
                    verifying.records.push(Ok(make(entry, under)?));
                }
                Err(error) => {
                    let problem = error.in_place()?;
                    // A disclosure is no matter of the chain.
                    if !matches!(problem.part, WrongPart::Disclosure(..)) {
                        verifying.broken_from.get_or_insert(*index);
                    }
                    verifying.records.push(Err(problem));
                }
            }
        }
        Ok(verifying)
    }

    /// The server's time of a record of which a disclosure is bad: its leaf is what was signed.
    pub(super) fn time_of(&self, problem: &IntegrityProblem, under: &Head) -> Result<Option<Time>, Problem> {
        if !matches!(problem.part, WrongPart::Disclosure(..)) {
            return Ok(None);
        }
        let stored = self.reading.log.stored_records(&self.reading.head, &[problem.index], LIST_BYTES)?.pop();
        match stored.map(|stored| self.reading.located(stored, under)).transpose() {
            Ok(located) => Ok(located.map(|located| located.header().time)),
            // A leaf that is not what was signed says nothing.
            Err(NotGood::Broken(_) | NotGood::Unreadable(..)) => Ok(None),
            Err(NotGood::Other(problem)) => Err(problem),
        }
    }

    /// The next record.
    fn next(
        &self,
        stored: ReadBack,
        (under, ended): (&Head, Option<LeafIndex>),
        last: &mut Preceding,
    ) -> Result<SeenEntry, NotGood> {
        let reading = &self.reading;
        // What comes after one whose leaf can't be read looks for it in the tree.
        let before = core::mem::take(last);
        let mut located = reading.located(stored, under)?;
        *last = Preceding::Known(located.as_predecessor());
        reading.chained(&mut located, under, before)?;
        if ended.is_some_and(|ended| located.index() > ended) {
            return Err(reading.past_the_end(located.index()));
        }
        if located.is_later() {
            return Ok(SeenEntry::Later(Box::new(reading.later(located)?)));
        }
        let verified = reading.open_in(located, under, &self.name)?;
        Ok(SeenEntry::Record(Box::new(reading.seen(verified)?)))
    }
}

/// The stream that a path names, each part of the name percent-encoded: `entity/TENANT/MODULE/ENTITY/OBJECT`, or
/// `named/TENANT/NAME`.
fn stream_name(path: &str) -> Result<StreamName<'static>, Problem> {
    let part = |text: &str| -> Result<Name<'static>, Problem> {
        let malformed = |detail: String| Problem::malformed("stream", text, detail);
        let decoded = decode(text).ok_or_else(|| malformed("broken percent-encoding".to_owned()))?;
        Name::new(decoded.into_owned()).map_err(|error| malformed(error.to_string()))
    };
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["entity", tenant, module, entity, object] => Ok(StreamName::Entity {
            tenant: part(tenant)?,
            module: part(module)?,
            entity: part(entity)?,
            object: part(object)?,
        }),
        ["named", tenant, name] => Ok(StreamName::Named { tenant: part(tenant)?, name: part(name)? }),
        _ => Err(Problem::not_found()),
    }
}

/// Whether it is a day of the trail of reads.
fn is_of_reads(name: &StreamName<'_>) -> bool {
    let StreamName::Named { name, .. } = name else { return false };
    name.as_str().strip_prefix(READS_TOPIC).is_some_and(|day| day.starts_with('.'))
}

/// The stream that is asked about, for whoever may read.
pub(super) fn asked<'a>(ask: &'a Ask<'_>, known: &[&'static str]) -> Result<(Asked, Query<'a>), Problem> {
    let credential = ask.credential(Right::Read)?;
    let query = Query::parse(ask.parts.uri.query(), &[known, &[LOG]].concat())?;
    Ok((Asked::of(ask, &credential, &query)?, query))
}
