//! The history of a stream: its records from the first on, with their chain checked, each belonging in the stream as far as
//! it is shown, no id twice, and none after the one that says that the stream goes on in another log.

use std::collections::BTreeSet;

use super::chain::{Chain, ChainError};
use super::id::RecordId;
use super::kind::goes_on;
use super::later::Later;
use super::open::Record;
use super::parts::Object;
use super::server_part::Seq;
use super::shown::Shown;
use super::stream::StreamName;
use super::text::Name;
use crate::size::LeafIndex;

/// All records of a stream from its beginning up to one of them, opened, with their chain checked, each belonging in the
/// stream as far as it is shown, no id twice, and none after its last word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    records: Vec<Record>,
    /// Those of later versions among them.
    later: Vec<Later>,
}

/// A record of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered<'h> {
    /// One that was opened.
    Record(&'h Record),
    /// One of a later version, which says nothing here.
    Later(&'h Later),
}

impl Entered<'_> {
    /// Its number in the stream.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        match self {
            Self::Record(record) => record.leaf().server().place.seq(),
            Self::Later(later) => later.seq(),
        }
    }

    /// Where it is in the log.
    #[must_use]
    pub const fn index(&self) -> LeafIndex {
        match self {
            Self::Record(record) => record.index(),
            Self::Later(later) => later.index(),
        }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> RecordId {
        match self {
            Self::Record(record) => record.leaf().event().head().id,
            Self::Later(later) => later.id(),
        }
    }
}

impl History {
    /// Checks the chain of records that are in the order of their numbers, and that each belongs in it.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn new(records: Vec<Record>) -> Result<Self, ChainError> {
        Self::with_later(records, Vec::new())
    }

    /// The same with records of later versions among them, in the order of their numbers as well.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn with_later(records: Vec<Record>, later: Vec<Later>) -> Result<Self, ChainError> {
        let history = Self { records, later };
        let mut chain: Option<Chain> = None;
        let mut ids = BTreeSet::new();
        for entered in history.entered() {
            let new = || match entered {
                Entered::Record(record) => {
                    Chain::new(record.leaf().event().head().log.clone(), record.leaf().server().stream)
                }
                Entered::Later(later) => Chain::new(later.log().clone(), later.stream()),
            };
            let chain = chain.get_or_insert_with(new);
            match entered {
                Entered::Record(record) => chain.push_record(record)?,
                Entered::Later(later) => chain.push_later(later)?,
            }
        }
        let mut is_continued = false;
        for entered in history.entered() {
            let (seq, id) = (entered.seq(), entered.id());
            if !ids.insert(id) {
                return Err(ChainError::Id { seq, id });
            }
            if is_continued {
                return Err(ChainError::Continued { seq });
            }
            is_continued = matches!(entered, Entered::Record(record) if goes_on(record).is_some());
        }
        history.check_names()?;
        Ok(history)
    }

    /// Checks that each record belongs in the stream, as far as it is shown.
    fn check_names(&self) -> Result<(), ChainError> {
        // The stream's id is the digest of its name, so that one record with the name speaks for all.
        let name = self.records.iter().find_map(|record| record.stream().and_then(Shown::disclosed));
        let mut agreed = Agreed::default();
        for record in &self.records {
            let content = record.content();
            let belongs = match name {
                Some(name) => name.may_hold(&content.object, &content.context),
                None => {
                    let meant = content.context.disclosed().map(|context| context.as_ref()?.stream.as_ref());
                    agreed.with(content.object.disclosed(), meant)
                }
            };
            if !belongs {
                return Err(ChainError::Name { seq: record.leaf().server().place.seq() });
            }
        }
        Ok(())
    }

    /// The records that were opened.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The records of later versions.
    #[must_use]
    pub fn later(&self) -> &[Later] {
        &self.later
    }

    /// All of them, in the order of their numbers.
    pub fn entered(&self) -> impl Iterator<Item = Entered<'_>> {
        let mut later = self.later.iter().peekable();
        let mut records = self.records.iter().peekable();
        core::iter::from_fn(move || {
            let first = match (records.peek(), later.peek()) {
                (Some(record), Some(later)) => later.seq() < record.leaf().server().place.seq(),
                (None, Some(_)) => true,
                _ => false,
            };
            if first { later.next().map(Entered::Later) } else { records.next().map(Entered::Record) }
        })
    }
}

/// What the records of a stream have in common whose name is not shown.
#[derive(Default)]
struct Agreed<'h> {
    /// An object that was shown.
    object: Option<&'h Object<'static>>,
    /// The stream that a context named that was shown, or that it named none.
    meant: Option<Option<&'h Name<'static>>>,
    /// Whether an object was shown that is another one.
    several: bool,
}

impl<'h> Agreed<'h> {
    /// Whether there is a name of a stream in which all belong, this one included.
    fn with(&mut self, object: Option<&'h Object<'static>>, meant: Option<Option<&'h Name<'static>>>) -> bool {
        if let (Some(one), Some(other)) = (self.object, object) {
            if one.tenant != other.tenant {
                return false;
            }
            self.several |= StreamName::of(one) != StreamName::of(other);
        }
        if let (Some(one), Some(other)) = (self.meant, meant)
            && one != other
        {
            return false;
        }
        self.object = self.object.or(object);
        self.meant = self.meant.or(meant);
        // Where no stream is named, it is the one of the object.
        !(self.several && self.meant == Some(None))
    }
}
