//! The records of one stream, each verified together with the one before it, so that none is missing between two.

use std::sync::Arc;

use cairn_tree::record::chain::History;
use cairn_tree::record::leaf::Leaf;
use cairn_tree::record::stream::{StreamId, StreamName};
use cairn_tree::record::text::Name;
use cairn_tree::size::{LeafIndex, TreeSize};

use super::super::Ask;
use super::super::problem::{Kind, Problem};
use super::super::query::{Query, decode};
use super::Credential;
use super::reading::Reading;
use crate::auth::Right;
use crate::engine::Head;
use crate::engine::postings::Print;
use crate::engine::records::name_print;
use crate::limits::{LIST_BYTES, REPLAY_BYTES, REPLAY_RECORDS};
use crate::records::{Said, Seen, Verified};

/// A stream that somebody asks about.
#[derive(Clone)]
pub(in crate::http) struct Asked {
    pub(super) reading: Reading,
    pub(super) name: StreamName<'static>,
    print: Print,
}

/// Some of its records in a row.
pub(super) struct Row {
    pub(super) records: Vec<Seen>,
    /// The number of the record after them, if there is one.
    pub(super) next: Option<u64>,
    /// The head that their proofs are for.
    pub(super) under: Arc<Head>,
}

/// All of its records, as the reader may see them.
pub(in crate::http) struct Whole {
    pub(super) id: StreamId,
    pub(in crate::http) history: History,
    /// A head whose tree has all of them.
    pub(super) under: Arc<Head>,
}

impl Asked {
    /// The stream of a path; one that the token is not good for is not there.
    pub(super) fn of(ask: &Ask<'_>, credential: &Credential<'_>) -> Result<Self, Problem> {
        let name = stream_name(ask.target.item)?;
        let tenant = name.tenant().as_str();
        credential.admit(tenant)?;
        let said = Said::of(&ask.parts.headers)?;
        if said.tenant().is_some_and(|said| said.as_str() != tenant) {
            let detail = "x-tenant-id: the stream is another tenant's";
            return Err(Problem::new(Kind::Contradiction, detail).field("x-tenant-id"));
        }
        let log = ask.app.records.homes.of(&ask.app.engine, tenant).ok_or_else(Problem::not_found)?;
        Ok(Self::of_name(Reading::of(ask, credential, log, Some(tenant))?, name))
    }

    /// The stream of this name.
    pub(in crate::http) fn of_name(reading: Reading, name: StreamName<'static>) -> Self {
        let print = name_print(&reading.prints, &name);
        Self { reading, name, print }
    }

    /// At most `most` records from a number on. A stream without records is not there.
    pub(super) fn row(&self, from: u64, most: usize) -> Result<Row, Problem> {
        let row = self.row_at(self.index_of(from)?, from, (most, LIST_BYTES))?;
        if row.records.is_empty() && row.next.is_none() {
            self.ending()?.ok_or_else(Problem::not_found)?;
        }
        Ok(row)
    }

    /// At most so many records and bytes of them, but at least one if there is one, from an index on; the first must
    /// have the number `from`.
    pub(super) fn row_at(&self, begin: LeafIndex, from: u64, (most, bytes): (usize, usize)) -> Result<Row, Problem> {
        // One more, to know whether there is one.
        let found = self.found(begin, most.saturating_add(1))?;
        let wanted = found.get(..most.min(found.len())).unwrap_or_default();
        let (verified, under) = self.verified(wanted, bytes)?;
        if let Some(first) = verified.first().filter(|first| first.record().leaf().server().place.seq().get() != from) {
            let detail = format!("the record at {} is not number {from} of its stream", first.record().index());
            return Err(Problem::new(Kind::Integrity, detail));
        }
        let next = (verified.len() < found.len()).then(|| from.saturating_add(verified.len() as u64));
        let records = verified.into_iter().map(|verified| self.reading.seen(verified)).collect::<Result<_, _>>()?;
        Ok(Row { records, next, under })
    }

    /// Where its last record is, and the number of that.
    pub(super) fn ending(&self) -> Result<Option<(LeafIndex, u64)>, Problem> {
        let last = self.reading.newest(self.print, self.reading.head.size)?;
        last.map(|index| Ok((index, self.number_at(index)?))).transpose()
    }

    /// The print of its name.
    pub(super) const fn print(&self) -> Print {
        self.print
    }

    /// The whole of it, as the reader may see it.
    pub(in crate::http) fn whole(&self) -> Result<Whole, Problem> {
        let found = self.found(LeafIndex::ZERO, REPLAY_RECORDS + 1)?;
        if found.is_empty() {
            return Err(Problem::not_found());
        }
        let too_long = || {
            let detail = "the stream is too long to be replayed in one answer; read its records";
            let bound = format!("at most {REPLAY_RECORDS} records and {REPLAY_BYTES} bytes");
            Problem::new(Kind::OutOfRange, detail).field("stream").bound(bound)
        };
        if found.len() > REPLAY_RECORDS {
            return Err(too_long());
        }
        let (verified, under) = self.verified(&found, REPLAY_BYTES)?;
        if verified.len() < found.len() {
            return Err(too_long());
        }
        let seen = verified.into_iter().map(|verified| Ok(self.reading.seen(verified)?.record));
        let records = seen.collect::<Result<Vec<_>, Problem>>()?;
        let history = History::new(records).map_err(|error| Problem::new(Kind::Integrity, error.to_string()))?;
        let id = history.records().first().ok_or_else(Problem::not_found)?.leaf().server().stream;
        Ok(Whole { id, history, under })
    }

    fn found(&self, from: LeafIndex, most: usize) -> Result<Vec<LeafIndex>, Problem> {
        let mut found = self.reading.log.oldest_records(self.print, from, most)?;
        // What has come since belongs to no head that is at hand.
        found.retain(|index| self.reading.head.size.contains(*index));
        Ok(found)
    }

    /// The records at these places, which follow one another; fewer if they have more bytes than `most`.
    fn verified(&self, found: &[LeafIndex], most: usize) -> Result<(Vec<Verified>, Arc<Head>), Problem> {
        let reading = &self.reading;
        let under = found.last().map_or_else(|| reading.log.checkpoint(), |last| reading.under(*last));
        let stored = reading.log.stored_records(&reading.head, found, most)?;
        let mut all: Vec<Verified> = Vec::with_capacity(stored.len());
        for stored in stored {
            let before = all.last().map(|before| (before.record().index(), before.leaf().clone()));
            all.push(reading.next_of(stored, under.size, before, &self.name)?);
        }
        Ok((all, under))
    }

    /// Where the record with this number is, or would be if there were one: by halves, since numbers rise with indexes.
    pub(super) fn index_of(&self, number: u64) -> Result<LeafIndex, Problem> {
        let (mut low, mut high) = (0, self.reading.head.size.get());
        if number == 0 {
            return Ok(LeafIndex::ZERO);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            let below = TreeSize::new(middle + 1).map_err(Problem::internal)?;
            match self.reading.newest(self.print, below)? {
                Some(index) if self.number_at(index)? >= number => high = index.get(),
                _ => low = middle + 1,
            }
        }
        LeafIndex::new(low).map_err(Problem::internal)
    }

    fn number_at(&self, index: LeafIndex) -> Result<u64, Problem> {
        let entry = self.reading.log.entry(&self.reading.head, index)?;
        let leaf = entry.and_then(|entry| Leaf::decode(&entry).ok());
        let leaf = leaf.ok_or_else(|| Problem::new(Kind::Integrity, format!("the record at {index} is none")))?;
        Ok(leaf.server().place.seq().get())
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

/// The stream that is asked about, for whoever may read.
pub(super) fn asked<'a>(ask: &'a Ask<'_>, known: &[&'static str]) -> Result<(Asked, Query<'a>), Problem> {
    let credential = ask.credential(Right::Read)?;
    let query = Query::parse(ask.parts.uri.query(), known)?;
    Ok((Asked::of(ask, &credential)?, query))
}
