//! What is in an outbox, for people and programs.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::bounds;
use super::listed::Listed;
use super::state::{Batch, State};

/// What is in an outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Batches that are to be delivered, those that were refused included.
    pub batches: usize,
    /// Their records.
    pub records: usize,
    /// The bytes of these.
    pub bytes: u64,
    /// Batches that wait behind others of their streams.
    pub behind: usize,
    /// When the oldest of them was appended.
    pub oldest: Option<String>,
    /// What keeps them from being delivered, as far as the process that has the outbox open knows.
    pub trouble: Option<String>,
    /// How many batches were refused for good.
    pub refused: usize,
    /// The first thousand of these.
    pub refusals: Vec<Refused>,
}

/// A batch that the log refused for good, with its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Its records.
    pub ids: Vec<String>,
    /// When it was appended.
    pub appended: String,
    /// When it was refused.
    pub refused: String,
    /// The HTTP status.
    pub status: u16,
    /// What the log said.
    pub answer: String,
    /// Whether it is the record of a drop.
    pub is_drop: bool,
}

impl Status {
    pub(super) fn of(state: &State, trouble: Option<String>) -> Self {
        let batches = state.batches();
        let refusals = batches.values().filter_map(Refused::of).take(bounds::LISTED).collect();
        Self {
            batches: batches.len(),
            records: state.records(),
            bytes: state.bytes(),
            behind: state.behind(),
            oldest: batches.values().next().map(|batch| batch.at.to_string()),
            trouble,
            refused: state.refused(),
            refusals,
        }
    }
}

impl Refused {
    fn of(batch: &Batch) -> Option<Self> {
        let refusal = batch.refused.as_ref()?;
        Some(Self {
            ids: batch.ids.iter().map(ToString::to_string).collect(),
            appended: batch.at.to_string(),
            refused: refusal.at.to_string(),
            status: refusal.status,
            answer: refusal.words.clone(),
            is_drop: batch.is_drop,
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batches, records, bytes, behind, refused, .. } = self;
        if *batches == 0 {
            return f.write_str("the outbox is empty: everything was delivered");
        }
        write!(f, "{records} records in {batches} batches wait, {bytes} bytes")?;
        if let Some(oldest) = &self.oldest {
            write!(f, "; the oldest since {oldest}")?;
        }
        write!(f, "; {behind} of the batches behind others; {refused} refused")?;
        if let Some(trouble) = &self.trouble {
            write!(f, "\nnot delivered: {trouble}")?;
        }
        for one in self.refusals.iter().take(bounds::SHOWN_REFUSALS) {
            let Refused { ids, refused, status, answer, .. } = one;
            write!(f, "\nrefused {refused} with {status}: {answer}: {}", Listed(ids))?;
        }
        match self.refused.saturating_sub(bounds::SHOWN_REFUSALS) {
            0 => Ok(()),
            more => write!(f, "\nrefused likewise: {more} more batches (--json lists up to {} in all)", bounds::LISTED),
        }
    }
}
