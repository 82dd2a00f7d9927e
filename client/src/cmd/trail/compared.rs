//! What is computed here from a history, beside the server's own: the same, another, or not to be had.

use cairn_tree::record::stream::StreamName;

use super::super::failure::Failure;
use super::super::terminal::{Form, Output};
use super::{Ended, Parts, Session, TrailOptions, advised};
use crate::auditor::trail::{Trail, TrailError, Whole};

/// How often a history is read again at most because the server may have got further records meanwhile.
const TRIES: u32 = 3;

/// What was computed from a history, and what came of comparing it.
pub(in crate::cmd) struct Compared<T> {
    /// The history.
    pub(in crate::cmd) whole: Whole,
    /// The parts before it, if they act.
    pub(in crate::cmd) parts: Parts,
    /// What was computed from it.
    pub(in crate::cmd) computed: T,
    /// Why the server's own is not known to be the same.
    fault: Option<TrailError>,
}

impl<T> Compared<T> {
    /// Reads a history, computes something from it, and compares it with the server's own, until both agree: a server that
    /// has got records since we read them may rightly differ, until they are read too.
    pub(in crate::cmd) async fn of(
        (session, form, output): (&mut Session, Form, &mut Output<'_>),
        (name, earlier): (&StreamName<'_>, (&TrailOptions, bool)),
        compute: impl Fn(&Whole, &Parts) -> Result<T, Failure>,
        compare: impl AsyncFn(&Trail, (&Whole, &Parts), &T) -> Result<(), TrailError>,
    ) -> Result<Self, Ended> {
        let (mut tries, mut records, mut parts) = (0, 0, None);
        loop {
            let progress = output.counter("records");
            let whole = session.trail.history(name, &mut |records| progress.set_position(records)).await;
            progress.finish_and_clear();
            let whole = whole?;
            whole.check()?;
            // Those before are at their end: they are read once.
            let before = match parts.take() {
                Some(parts) => parts,
                None => Parts::before(earlier, (&whole, name), form, output).await?,
            };
            let computed = compute(&whole, &before)?;
            let fault = compare(&session.trail, (&whole, &before), &computed).await.err();
            let grown = whole.seen.len() > records;
            (tries, records) = (tries + 1, whole.seen.len());
            let again = matches!(fault, Some(TrailError::Differs(_))) && grown && tries < TRIES;
            if !again {
                return Ok(Self { whole, parts: before, computed, fault });
            }
            parts = Some(before);
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
            Some(error) => format!("; the server's own answer was not to be had ({})", advised(error)),
        }
    }

    /// A server that says other things than its records is an error; one that says nothing is not.
    pub(in crate::cmd) fn end(self) -> Result<(), Ended> {
        match self.fault {
            Some(error @ TrailError::Differs(_)) => {
                let words = format!("{}; what is printed is what its records give", advised(&error));
                Err(Failure::Refused(words).into())
            }
            _ => Ok(()),
        }
    }
}
