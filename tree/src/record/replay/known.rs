//! What stays in memory of records that pass and are not kept: their chain, their ids, and by what a correction must fit each.

use std::collections::BTreeMap;

use super::places::{Fit, fit_of, may_correct};
use super::{Flag, Oddity};
use crate::record::chain::{Chain, ChainError};
use crate::record::history::Entered;
use crate::record::id::RecordId;
use crate::record::server_part::Seq;
use crate::record::stream::StreamId;

/// About what is kept of a record.
const KNOWN_BYTES: usize = 128;
/// About what a flag takes beside its pointers.
const FLAG_BYTES: usize = 128;

/// The records of a stream that have passed.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownRecords {
    passed: Passed,
    known: BTreeMap<RecordId, Known>,
}

/// The chain of the records that have passed.
#[derive(Debug, Clone, Default)]
pub(super) struct Passed(Option<(Chain, StreamId)>);

/// What is kept of a record.
#[derive(Debug, Clone)]
struct Known {
    own: Fit,
    /// The number of the record in whose place it acts in the corrected view: its own, unless it corrects another.
    place: Seq,
    /// What a correction in that place must fit besides, if it is another's.
    first: Option<Box<Fit>>,
}

/// Flags, and about what they take.
#[derive(Debug, Clone, Default)]
pub(super) struct Flags {
    pub(super) list: Vec<Flag>,
    pub(super) bytes: usize,
}

impl Passed {
    /// Takes the next record of the stream.
    pub(super) fn follow(&mut self, entered: Entered<'_>) -> Result<(), ChainError> {
        let begin = || match entered {
            Entered::Record(record) => {
                let stream = record.leaf().server().stream;
                (Chain::new(record.leaf().event().head().log.clone(), stream), stream)
            }
            Entered::Later(later) => (Chain::new(later.log().clone(), later.stream()), later.stream()),
        };
        let (chain, _) = self.0.get_or_insert_with(begin);
        match entered {
            Entered::Record(record) => chain.push_record(record),
            Entered::Later(later) => chain.push_later(later),
        }
    }

    pub(super) fn stream(&self) -> Option<StreamId> {
        self.0.as_ref().map(|(_, stream)| *stream)
    }
}

impl KnownRecords {
    /// Takes the next record. Says in whose place it acts in the corrected view, if that is another's, and what is odd if it
    /// was to be.
    pub(super) fn enter(&mut self, entered: Entered<'_>) -> Result<(Option<Seq>, Option<Oddity>), ChainError> {
        self.passed.follow(entered)?;
        let (seq, id, own) = (entered.seq(), entered.id(), fit_of(entered));
        let replaces = match entered {
            Entered::Record(record) => record.leaf().event().head().replaces,
            Entered::Later(_) => None,
        };
        let (mut corrects, mut oddity) = (None, None);
        if let Some(target) = replaces {
            match self.known.get(&target) {
                None => oddity = Some(Oddity::ReplacesUnknown(target)),
                Some(replaced) => {
                    let first = replaced.first.as_deref().unwrap_or(&replaced.own);
                    if may_correct(&own, &replaced.own) && may_correct(&own, first) {
                        corrects = Some((replaced.place, Box::new(first.clone())));
                    } else {
                        oddity = Some(Oddity::ReplacesOther(target));
                    }
                }
            }
        }
        let place = corrects.as_ref().map(|(place, _)| *place);
        let first = corrects.map(|(_, first)| first);
        if self.known.insert(id, Known { own, place: place.unwrap_or(seq), first }).is_some() {
            return Err(ChainError::Id { seq, id });
        }
        Ok((place, oddity))
    }

    pub(super) fn stream(&self) -> Option<StreamId> {
        self.passed.stream()
    }

    pub(super) fn bytes(&self) -> usize {
        self.known.len().saturating_mul(KNOWN_BYTES)
    }
}

impl Flag {
    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let pointers: usize = match &self.oddity {
            Oddity::OldDiffers(pointers) => pointers.first.iter().map(String::len).sum(),
            Oddity::Misfit(pointer, _) => pointer.as_str().len(),
            _ => 0,
        };
        FLAG_BYTES.saturating_add(pointers)
    }
}

impl Flags {
    pub(super) fn push(&mut self, entered: Entered<'_>, oddity: Oddity) {
        let flag = Flag { seq: entered.seq(), index: entered.index(), oddity };
        self.bytes = self.bytes.saturating_add(flag.bytes());
        self.list.push(flag);
    }
}
