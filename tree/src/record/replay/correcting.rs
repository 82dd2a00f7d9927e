//! The corrected view of records that come one after another and are not kept, for histories that are too long to be held.
//! It takes two passes: the first learns which record acts in whose place, up to the end of the stream, since a correction
//! acts in an earlier place than its own; in the second, each place is filled with the record that acts there.
//!
//! It gives what [`super::replay`] gives of the same records in [`super::View::Corrected`]. Of a record stays in memory what
//! stays of it in `passing`, and of a correction both places. Not here: the producers' times, which need another order.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::course::Course;
use super::known::{KnownRecords, Passed};
use super::{Oddity, Ongoing, Until};
use crate::record::chain::ChainError;
use crate::record::history::Entered;
use crate::record::server_part::Seq;
use crate::record::stream::StreamId;
use crate::size::LeafIndex;

/// About what is kept of a record that acts elsewhere, of one that is corrected, and of one that is odd.
const PLACE_BYTES: usize = 96;

/// Which records act in the places of others: what the first pass learns.
#[derive(Debug, Clone, Default)]
pub struct Corrections {
    known: KnownRecords,
    /// Of places in which another record acts, or none.
    places: BTreeMap<Seq, Acting>,
    odd: BTreeMap<Seq, Oddity>,
}

/// Which record acts in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acting {
    /// The one whose place it is.
    Itself,
    /// Its last correction.
    Correction {
        /// Its number.
        seq: Seq,
        /// Where it is.
        index: LeafIndex,
    },
    /// None: the record acts in another place.
    Nothing,
}

/// A replay that records pass through a second time.
#[derive(Debug, Clone)]
pub struct Correcting {
    corrections: Arc<Corrections>,
    passed: Passed,
    course: Course,
}

impl Corrections {
    /// Takes the next record of the stream, from its first on, to its last.
    ///
    /// # Errors
    /// [`ChainError`] if it is not the next one, or an id comes again.
    pub fn enter(&mut self, entered: Entered<'_>) -> Result<(), ChainError> {
        let (seq, index) = (entered.seq(), entered.index());
        let (place, oddity) = self.known.enter(entered)?;
        if let Some(place) = place {
            self.places.insert(place, Acting::Correction { seq, index });
            self.places.insert(seq, Acting::Nothing);
        }
        if let Some(oddity) = oddity {
            self.odd.insert(seq, oddity);
        }
        Ok(())
    }

    /// The stream, once there was a record.
    #[must_use]
    pub fn stream(&self) -> Option<StreamId> {
        self.known.stream()
    }

    /// About how many bytes are kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let places = self.places.len().saturating_add(self.odd.len()).saturating_mul(PLACE_BYTES);
        self.known.bytes().saturating_add(places)
    }

    /// Which record acts in the place of this number.
    #[must_use]
    pub fn acting(&self, place: Seq) -> Acting {
        self.places.get(&place).copied().unwrap_or(Acting::Itself)
    }
}

impl Correcting {
    /// Begins with no record; `None` for the producers' times.
    #[must_use]
    pub fn new(corrections: Arc<Corrections>, until: Until) -> Option<Self> {
        Self::over(None, corrections, until)
    }

    /// The same with the states of another stream, which it goes on from.
    #[must_use]
    pub fn over(base: Option<Arc<Ongoing>>, corrections: Arc<Corrections>, until: Until) -> Option<Self> {
        Some(Self { corrections, passed: Passed::default(), course: Course::over(base, until)? })
    }

    /// Takes the next record of the stream, from its first on, and the one that acts in its place, if that is another one.
    ///
    /// # Errors
    /// [`ChainError`] if it is not the next one, or not that one acts.
    pub fn enter(&mut self, at: Entered<'_>, correction: Option<Entered<'_>>) -> Result<(), ChainError> {
        self.passed.follow(at)?;
        if !self.course.reaches(at) {
            return Ok(());
        }
        let acting = match self.corrections.acting(at.seq()) {
            Acting::Nothing => return Ok(()),
            Acting::Itself => at,
            Acting::Correction { seq, index } => {
                let found = correction.unwrap_or(at);
                if (found.seq(), found.index()) != (seq, index) {
                    return Err(ChainError::Seq { expected: seq.get(), found: found.seq() });
                }
                found
            }
        };
        self.course.act(at, self.corrections.odd.get(&at.seq()).cloned(), acting);
        Ok(())
    }

    /// How far it has come; the corrections are not in that.
    #[must_use]
    pub const fn course(&self) -> &Course {
        &self.course
    }

    /// The same, to be ended.
    #[must_use]
    pub fn into_course(self) -> Course {
        self.course
    }
}
