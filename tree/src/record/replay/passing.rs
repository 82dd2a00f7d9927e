//! A replay of records that come one after another and are not kept, for histories that are too long to be held: each acts
//! where it stands, in the order of the stream.
//!
//! It gives what [`super::replay`] gives of the same records in [`super::View::AsRecorded`]. What stays in memory of a
//! record is its id, and by what a correction must fit it. Not here: the corrected view, which needs to know of later records
//! first (`correcting`), and the producers' times, which need another order.

use std::sync::Arc;

use super::course::Course;
use super::known::KnownRecords;
use super::{Ongoing, Until};
use crate::record::chain::ChainError;
use crate::record::history::Entered;
use crate::record::stream::StreamId;

/// A replay that records pass through.
#[derive(Debug, Clone)]
pub struct Passing {
    known: KnownRecords,
    course: Course,
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
        Some(Self { known: KnownRecords::default(), course: Course::over(base, until)? })
    }

    /// Takes the next record of the stream, from its first on.
    ///
    /// # Errors
    /// [`ChainError`] if it is not the next one, or an id comes again.
    pub fn enter(&mut self, entered: Entered<'_>) -> Result<(), ChainError> {
        let (_, oddity) = self.known.enter(entered)?;
        if self.course.reaches(entered) {
            self.course.act(entered, oddity, entered);
        }
        Ok(())
    }

    /// How far it has come.
    #[must_use]
    pub const fn course(&self) -> &Course {
        &self.course
    }

    /// The same, to be ended.
    #[must_use]
    pub fn into_course(self) -> Course {
        self.course
    }

    /// The stream, once there was a record.
    #[must_use]
    pub fn stream(&self) -> Option<StreamId> {
        self.known.stream()
    }

    /// About how many bytes are kept: those of its course, and of each record.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.course.bytes().saturating_add(self.known.bytes())
    }

    /// The same without the states that it stands on.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        self.course.own_bytes().saturating_add(self.known.bytes())
    }
}
