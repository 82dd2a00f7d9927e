//! The whole history of a stream: page after page from its first record, each verified, chained, and of the stream that
//! was asked for.

use cairn_tree::record::chain::History;
use cairn_tree::record::shown::Shown;
use cairn_tree::record::stream::{StreamId, StreamName};
use cairn_tree::size::TreeSize;
use cairn_tree::wire::v1::history;

use super::error::TrailError;
use super::{Met, Seen, Trail};
use crate::bounds;

/// A stream's records from the first on, verified and chained.
pub struct Whole {
    /// The stream.
    pub stream: StreamId,
    /// The records, opened, with their chain checked, up to where it breaks if it does.
    pub history: History,
    /// The same as they came, in the same order.
    pub seen: Vec<Seen>,
    /// From where the server can't verify the chain, if there is such a place: what stands there, and what comes after it,
    /// of which each record is verified alone.
    pub rest: Vec<Met>,
    /// The server says that among the leaves of a tree of this size there is no other record of the stream.
    pub complete_to: TreeSize,
}

impl Trail {
    /// Reads a stream from its first record to its last. `progress` is told how many records there are so far.
    ///
    /// # Errors
    /// [`TrailError`].
    pub async fn history(
        &mut self,
        name: &StreamName<'_>,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Whole, TrailError> {
        let (mut seen, mut rest): (Vec<Seen>, Vec<Met>) = (Vec::new(), Vec::new());
        let mut bytes = 0_usize;
        let complete_to = loop {
            let count = seen.len() + rest.len();
            let page = match self.records.history(name, count as u64, bounds::PAGE_RECORDS).await {
                Err(error) if error.is_absent() => return Err(TrailError::Absent(Box::new(name.clone().into_owned()))),
                other => other?,
            };
            let found = self.verified(&page).await?;
            if found.is_empty() && (count == 0 || page.next.is_some()) {
                return Err(TrailError::Empty("a page of a stream"));
            }
            for met in found {
                let is_broken = !rest.is_empty() || page.broken_from.is_some_and(|from| met.index() >= from);
                match met {
                    Met::Record(record) if !is_broken => {
                        bytes += record.body.leaf.len() + record.body.disclosures.as_str().len();
                        seen.push(*record);
                    }
                    Met::Record(record) => {
                        bytes += record.body.leaf.len() + record.body.disclosures.as_str().len();
                        rest.push(Met::Record(record));
                    }
                    Met::Unverified(problem) => rest.push(Met::Unverified(problem)),
                }
            }
            if seen.len() + rest.len() > bounds::HISTORY_RECORDS || bytes > bounds::HISTORY_BYTES {
                return Err(TrailError::TooLong);
            }
            progress((seen.len() + rest.len()) as u64);
            if page.next.is_none() {
                break page.complete_to;
            }
        };
        if let (true, Some(first)) = (seen.is_empty(), rest.first()) {
            return Err(first.breaks_at_once());
        }
        let history = history(seen.iter().map(|seen| seen.entry.clone()))?;
        check_name(&history, name)?;
        let stream = seen.first().map(|first| first.header().stream);
        let stream = stream.ok_or(TrailError::Empty("a stream that can be verified from its first record on"))?;
        Ok(Whole { stream, history, seen, rest, complete_to })
    }
}

impl Whole {
    /// Refuses a history that is not whole.
    ///
    /// # Errors
    /// [`TrailError::Broken`].
    pub fn check(&self) -> Result<(), TrailError> {
        match self.rest.first() {
            None => Ok(()),
            Some(first) => Err(TrailError::Broken(first.index())),
        }
    }
}

impl Met {
    /// Why nothing is known of a history that begins with this, from where on the chain is broken.
    fn breaks_at_once(&self) -> TrailError {
        match self {
            Self::Record(seen) => TrailError::Broken(seen.entry.index()),
            Self::Unverified(problem) => TrailError::BrokenFirst {
                index: problem.index,
                part: problem.part.name(),
                detail: problem.detail.clone(),
            },
        }
    }
}

/// Checks that the records are of the stream that was asked for: its name is disclosed with the first of them, and where
/// it is erased, at least one record must say it.
fn check_name(history: &History, asked: &StreamName<'_>) -> Result<(), TrailError> {
    let owned = || Box::new(asked.clone().into_owned());
    let other = |found: StreamName<'static>| TrailError::Stream { asked: owned(), found: Box::new(found) };
    let name = history.records().iter().find_map(|record| record.stream().and_then(Shown::disclosed));
    if let Some(name) = name {
        return if name == asked { Ok(()) } else { Err(other(name.clone())) };
    }
    let mut is_said = false;
    for record in history.records() {
        let content = record.content();
        let object = content.object.disclosed();
        if !asked.may_hold(&content.object, &content.context) {
            return Err(object.map_or_else(|| TrailError::Unnamed(owned()), |object| other(StreamName::of(object))));
        }
        is_said |= match asked {
            StreamName::Entity { .. } => object.is_some(),
            StreamName::Named { .. } => content.context.disclosed().is_some(),
        };
    }
    if is_said { Ok(()) } else { Err(TrailError::Unnamed(owned())) }
}
