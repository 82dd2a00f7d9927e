//! A replay of records that come one after another and are not kept, for histories that are too long to be held: each acts
//! where it stands, in the order of the stream.
//!
//! It gives what [`super::replay`] gives of the same records in [`super::View::AsRecorded`]. What stays in memory of a
//! record is its id, and by what a correction must fit it. Not here: the corrected view, which needs to know of later records
//! first (`correcting`), and the producers' times, which need another order.

use std::sync::Arc;

use super::known::{Flags, KnownRecords};
use super::places::server_time;
use super::{Flag, Ongoing, Replayed, Until};
use crate::record::chain::ChainError;
use crate::record::history::Entered;
use crate::record::stream::StreamId;

/// A replay that records pass through.
#[derive(Debug, Clone)]
pub struct Passing {
    until: Until,
    known: KnownRecords,
    ongoing: Ongoing,
    flags: Flags,
    is_over: bool,
}

impl Passing {
    /// Begins with no record; `None` for the producers' times.
    #[must_use]
    pub fn new(until: Until) -> Option<Self> {
        Self::over(None, until)
    }

    /// The same with the states of another stream, which it goes on from.
    #[must_use]
    pub fn over(base: Option<Arc<Ongoing>>, until: Until) -> Option<Self> {
        let begins = !matches!(until, Until::ProducerTime(_));
        let ongoing = base.map_or_else(Ongoing::default, Ongoing::over);
        let (known, flags) = (KnownRecords::default(), Flags::default());
        begins.then_some(Self { until, known, ongoing, flags, is_over: false })
    }

    /// Takes the next record of the stream, from its first on.
    ///
    /// # Errors
    /// [`ChainError`] if it is not the next one, or an id comes again.
    pub fn enter(&mut self, entered: Entered<'_>) -> Result<(), ChainError> {
        let (_, oddity) = self.known.enter(entered)?;
        if self.until.has(entered) {
            let odd = self.ongoing.enter(entered);
            oddity.into_iter().chain(odd).for_each(|oddity| self.flags.push(entered, oddity));
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
        self.known.stream()
    }

    /// About how many bytes are kept: of the states, of what was odd, and of each record.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.ongoing.bytes().saturating_add(self.flags.bytes).saturating_add(self.known.bytes())
    }

    /// How many things were odd.
    #[must_use]
    pub const fn flags(&self) -> usize {
        self.flags.list.len()
    }

    /// The states, on which others may go on, and what was odd.
    #[must_use]
    pub fn end(self) -> (Ongoing, Vec<Flag>) {
        (self.ongoing, self.flags.list)
    }

    /// The states.
    #[must_use]
    pub fn finish(self) -> Replayed {
        let (ongoing, flags) = self.end();
        ongoing.replayed(flags)
    }
}

impl Until {
    /// Whether a record acts, by its number or the server's time.
    pub(super) fn has(self, entered: Entered<'_>) -> bool {
        match self {
            Self::End => true,
            Self::Seq(seq) => entered.seq() <= seq,
            Self::ServerTime(time) | Self::ProducerTime(time) => server_time(entered) <= time,
        }
    }
}
