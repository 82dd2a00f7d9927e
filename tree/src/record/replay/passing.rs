//! A replay of records that come one after another and are not kept, for histories that are too long to be held: each acts
//! where it stands, in the order of the stream.
//!
//! It gives what [`super::replay`] gives of the same records in [`super::View::AsRecorded`]. What stays in memory of a
//! record is its id, and by what a correction must fit it. Not here: the corrected view and the producers' times, which
//! need to know of later records first.

use std::collections::BTreeMap;

use super::places::{Fit, fit_of, may_correct};
use super::{Flag, Oddity, Ongoing, Replayed, Until};
use crate::record::chain::{Chain, ChainError};
use crate::record::history::Entered;
use crate::record::id::RecordId;
use crate::record::stream::StreamId;

/// About what a flag takes beside its pointers.
const FLAG_BYTES: usize = 128;
/// About what is kept of a record.
const KNOWN_BYTES: usize = 96;

/// A replay that records pass through.
#[derive(Debug, Clone)]
pub struct Passing {
    until: Until,
    chain: Option<(Chain, StreamId)>,
    known: BTreeMap<RecordId, Known>,
    ongoing: Ongoing,
    flags: Vec<Flag>,
    flag_bytes: usize,
    is_over: bool,
}

/// What is kept of a record.
#[derive(Debug, Clone)]
struct Known {
    own: Fit,
    /// That of the record in whose place it acts in the corrected view, if it corrects one.
    first: Option<Box<Fit>>,
}

impl Passing {
    /// Begins with no record; `None` for the producers' times.
    #[must_use]
    pub fn new(until: Until) -> Option<Self> {
        let begins = !matches!(until, Until::ProducerTime(_));
        let (known, ongoing, flags) = (BTreeMap::new(), Ongoing::default(), Vec::new());
        begins.then_some(Self { until, chain: None, known, ongoing, flags, flag_bytes: 0, is_over: false })
    }

    /// Takes the next record of the stream, from its first on.
    ///
    /// # Errors
    /// [`ChainError`] if it is not the next one, or an id comes again.
    pub fn enter(&mut self, entered: Entered<'_>) -> Result<(), ChainError> {
        self.follow(entered)?;
        let (seq, id) = (entered.seq(), entered.id());
        let own = fit_of(entered);
        let replaces = match entered {
            Entered::Record(record) => record.leaf().event().head().replaces,
            Entered::Later(_) => None,
        };
        let (mut first, mut oddity) = (None, None);
        if let Some(target) = replaces {
            match self.known.get(&target) {
                None => oddity = Some(Oddity::ReplacesUnknown(target)),
                Some(replaced) => {
                    let head = replaced.first.as_deref().unwrap_or(&replaced.own);
                    if may_correct(&own, &replaced.own) && may_correct(&own, head) {
                        first = Some(Box::new(head.clone()));
                    } else {
                        oddity = Some(Oddity::ReplacesOther(target));
                    }
                }
            }
        }
        if self.known.insert(id, Known { own, first }).is_some() {
            return Err(ChainError::Id { seq, id });
        }
        if self.acts(entered) {
            let odd = self.ongoing.enter(entered);
            oddity.into_iter().chain(odd).for_each(|oddity| self.flag(entered, oddity));
        } else {
            self.is_over = true;
        }
        Ok(())
    }

    /// Whether no further record acts: numbers rise, and the server's times never fall.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// The stream, once there was a record.
    #[must_use]
    pub fn stream(&self) -> Option<StreamId> {
        self.chain.as_ref().map(|(_, stream)| *stream)
    }

    /// About how many bytes are kept: of the states, of what was odd, and of each record.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let known = self.known.len().saturating_mul(KNOWN_BYTES);
        self.ongoing.bytes().saturating_add(self.flag_bytes).saturating_add(known)
    }

    /// How many things were odd.
    #[must_use]
    pub const fn flags(&self) -> usize {
        self.flags.len()
    }

    /// The states.
    #[must_use]
    pub fn finish(self) -> Replayed {
        let (states, others) = self.ongoing.finish();
        Replayed { states, flags: self.flags, others }
    }

    fn follow(&mut self, entered: Entered<'_>) -> Result<(), ChainError> {
        let begin = || match entered {
            Entered::Record(record) => {
                let stream = record.leaf().server().stream;
                (Chain::new(record.leaf().event().head().log.clone(), stream), stream)
            }
            Entered::Later(later) => (Chain::new(later.log().clone(), later.stream()), later.stream()),
        };
        let (chain, _) = self.chain.get_or_insert_with(begin);
        match entered {
            Entered::Record(record) => chain.push_record(record),
            Entered::Later(later) => chain.push_later(later),
        }
    }

    fn acts(&self, entered: Entered<'_>) -> bool {
        match self.until {
            Until::End => true,
            Until::Seq(seq) => entered.seq() <= seq,
            Until::ServerTime(time) | Until::ProducerTime(time) => super::places::server_time(entered) <= time,
        }
    }

    fn flag(&mut self, entered: Entered<'_>, oddity: Oddity) {
        let pointers = match &oddity {
            Oddity::OldDiffers(pointers) => pointers.first.iter().map(String::len).sum(),
            Oddity::Misfit(pointer, _) => pointer.as_str().len(),
            _ => 0,
        };
        self.flag_bytes = self.flag_bytes.saturating_add(FLAG_BYTES).saturating_add(pointers);
        self.flags.push(Flag { seq: entered.seq(), index: entered.index(), oddity });
    }
}
