//! The parts of a stream that goes on from one of another log: which they are, and that each ends where the next one says.
//!
//! Whoever asks is good for the tenant, and so for its records in each log that may have some.

use cairn_tree::record::open::Record;
use cairn_tree::record::stream::StreamHead;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::v1::{MAX_EARLIER, Point};

use super::super::App;
use super::super::problem::{Kind, Problem};
use super::history::Asked;

/// The parts of a stream.
pub(super) struct Parts {
    /// Those before, the nearest first, each with the head by which the next one names it.
    pub(super) earlier: Vec<(Asked, StreamHead)>,
    /// The one that was asked about.
    pub(super) this: Asked,
    /// What the first of them continues, if that is not read: it was not asked for, or is in no log of this database.
    pub(super) unread: Option<StreamHead>,
}

impl Parts {
    /// Those of a stream: with those before it, or just what it continues.
    pub(super) fn of(app: &App, this: Asked, with_earlier: bool) -> Result<Self, Problem> {
        let mut next = this.continues()?;
        let mut earlier: Vec<(Asked, StreamHead)> = Vec::new();
        if with_earlier {
            let logs = app.records.homes.each_of(&app.engine, this.name.tenant().as_str());
            while let Some(head) = &next {
                let log = logs.iter().find(|log| log.info().origin == head.log.as_str());
                let Some(log) = log.filter(|_| earlier.len() < MAX_EARLIER - 1) else { break };
                let part = Asked::of_name(this.reading.in_log(log.clone())?, this.name.clone());
                part.ends_with(head)?;
                let before = part.continues()?;
                earlier.extend(core::mem::replace(&mut next, before).map(|head| (part, head)));
            }
        }
        Ok(Self { earlier, this, unread: next })
    }
}

/// The point in an earlier part that one of the stream means: a number counts in the log that was asked about only.
pub(super) fn before(point: Point) -> Point {
    Point { until: point.until.in_earlier_part(), ..point }
}

impl Asked {
    /// The stream of another log that this one says it continues. What can't be verified says nothing, and is told of where
    /// it is read.
    pub(super) fn continues(&self) -> Result<Option<StreamHead>, Problem> {
        let first = self.record_at(self.first()?)?;
        let opening = first.as_ref().and_then(Record::opening);
        Ok(opening.and_then(|opening| opening.continues.disclosed()?.clone()))
    }

    /// That the last record here is the one that another stream names. Its leaf says so, whatever of its content is damaged
    /// or withheld, or of a later version.
    fn ends_with(&self, head: &StreamHead) -> Result<(), Problem> {
        let reading = &self.reading;
        let last =
            self.ending()?.map(|(index, _)| reading.log.stored_record(&reading.head, index)).transpose()?.flatten();
        if let Some(stored) = last {
            let located = reading.located(Ok(stored), &reading.head)?;
            let last = located.header();
            if (last.stream, last.seq, last.hash) == (head.stream, head.seq, head.leaf) {
                return Ok(());
            }
        }
        let detail =
            format!("the stream continues one in {}, which does not end with the record that is named", head.log);
        Err(Problem::new(Kind::Integrity, detail).value(head.leaf.to_base64()))
    }

    /// A record, verified, of which nothing is shown.
    fn record_at(&self, index: Option<LeafIndex>) -> Result<Option<Record>, Problem> {
        let reading = &self.reading;
        let Some(index) = index else { return Ok(None) };
        let Some(stored) = reading.log.stored_record(&reading.head, index)? else { return Ok(None) };
        match reading.verified(Ok(stored), &reading.head) {
            Ok(verified) => Ok(verified.map(crate::records::Verified::into_record)),
            Err(error) => error.in_place().map(|_told| None),
        }
    }
}
