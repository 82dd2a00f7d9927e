//! The server's own replay beside ours: the same, another, or not to be had.

use super::super::failure::Failure;
use super::{Ended, words};
use crate::auditor::trail::{TrailError, Whole};

/// How often a history is read again at most because the server may have got further records meanwhile.
const TRIES: u32 = 3;

/// What came of comparing.
pub(in crate::cmd) struct Compared {
    tries: u32,
    /// How many records there were the last time.
    records: usize,
    /// Why the two are not known to be the same.
    fault: Option<TrailError>,
}

impl Compared {
    pub(in crate::cmd) const fn new() -> Self {
        Self { tries: 0, records: 0, fault: None }
    }

    /// Takes what came of one comparison, and says whether that is the end: a server that has got records since we read
    /// them may rightly differ, until they are read too.
    pub(in crate::cmd) fn take(&mut self, compared: Result<(), TrailError>, whole: &Whole) -> Result<bool, Ended> {
        let grown = whole.seen.len() > self.records;
        (self.tries, self.records) = (self.tries + 1, whole.seen.len());
        self.fault = compared.err();
        match &self.fault {
            Some(TrailError::Differs(_)) => Ok(!grown || self.tries >= TRIES),
            _ => Ok(true),
        }
    }

    /// Whether both are the same.
    pub(in crate::cmd) const fn is_same(&self) -> bool {
        self.fault.is_none()
    }

    /// What is said of it after the result.
    pub(in crate::cmd) fn words(&self) -> String {
        match &self.fault {
            None => "; the server's own answer is the same".to_owned(),
            Some(TrailError::Differs(_)) => "; the server's own answer differs".to_owned(),
            Some(error) => format!("; the server's own answer was not to be had ({})", words(error)),
        }
    }

    /// A server that says other things than its records is an error; one that says nothing is not.
    pub(in crate::cmd) fn end(self) -> Result<(), Ended> {
        match self.fault {
            Some(error @ TrailError::Differs(_)) => {
                let words = format!("{}; what is printed is what its records give", words(&error));
                Err(Failure::Refused(words).into())
            }
            _ => Ok(()),
        }
    }
}
