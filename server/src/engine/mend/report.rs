//! What a repair found, and what became of it.

use cairn_tree::size::TreeSize;

use crate::engine::bounds::MEND_PLACES;
use crate::engine::scrub::{Damage, Place};
use crate::incidents::Incident;

/// What becomes of something that is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// It follows from other parts, and is made of them anew.
    Made,
    /// It is taken from here: a copy or a mirror.
    From(String),
    /// It is let go of, and this is what that means.
    Dropped(&'static str),
    /// What can be read of it is kept; whether that is all nobody knows, and this is what it means if it is not.
    Unsure(&'static str),
    /// Nobody who was asked has it.
    Missing,
}

/// Something that is damaged, or several such things in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The log's name; `None` for what belongs to no log.
    pub log: Option<String>,
    /// The first place.
    pub place: Place,
    /// How many places of the sort follow one another from there on.
    pub count: u64,
    /// What is wrong with the first.
    pub found: String,
    /// What becomes of all of them.
    pub remedy: Remedy,
}

/// What becomes of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MendedLog {
    /// Its name.
    pub log: String,
    /// The size that it has: of its last released head, or of one that came to be durable behind it.
    pub size: TreeSize,
    /// Why it takes no appends after the repair, if it does not.
    pub ended: Option<String>,
    /// Whether it took none because of damage, and does again.
    pub lifted: bool,
    /// Whether nobody knows its witness policy: it takes no appends, and publishes nothing, before its operator has said
    /// which one holds.
    pub held: bool,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Everything that is damaged.
    pub wrong: Vec<Wrong>,
    /// Places that are not listed, since there are too many of them.
    pub unlisted: u64,
    /// Whether anything is missing.
    pub is_missing: bool,
    /// The logs, in order of their ids. Of one of which something is missing the size only.
    pub logs: Vec<MendedLog>,
}

impl Report {
    /// Whether there is anything to mend.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.wrong.is_empty() && self.logs.iter().all(|log| !log.lifted)
    }

    pub(super) fn add(&mut self, log: Option<&str>, (place, found): (Place, String), remedy: Remedy) {
        self.is_missing |= remedy == Remedy::Missing;
        if let Some(last) = self.wrong.last_mut()
            && last.log.as_deref() == log
            && last.remedy == remedy
            && follows(last.place, last.count, place)
        {
            last.count += 1;
        } else if self.wrong.len() < MEND_PLACES {
            self.wrong.push(Wrong { log: log.map(str::to_owned), place, count: 1, found, remedy });
        } else {
            self.unlisted += 1;
        }
    }

    /// What is to be written down once it is mended: for each log and for the database what was wrong, and where its
    /// mending came from.
    #[must_use]
    pub fn incidents(&self, time_ms: u64) -> Vec<Incident> {
        let of = |wrong: &Wrong| {
            let damage = Damage { place: wrong.place, expected: None, found: format!("{wrong}") };
            let mut incident = damage.incident(wrong.log.as_deref(), time_ms);
            incident.event = "repaired".to_owned();
            incident.end = wrong.entries().map(|(_, end)| end);
            incident
        };
        let mut incidents: Vec<Incident> = self.wrong.iter().map(of).collect();
        // Earlier findings may be of what is whole again: whatever was open is closed for each log, and for the database.
        let logs = self.logs.iter().map(|log| Some(log.log.as_str())).chain([None]);
        let silent = logs.filter(|log| incidents.iter().all(|incident| incident.log.as_deref() != *log));
        let whole = silent.map(|log| {
            let found = "everything was read and verified".to_owned();
            let damage = Damage { place: Place::Tables, expected: None, found };
            Incident { event: "repaired".to_owned(), ..damage.incident(log, time_ms) }
        });
        let whole: Vec<Incident> = whole.collect();
        incidents.extend(whole);
        incidents
    }
}

/// Whether a place is the next one of the same sort.
fn follows(first: Place, count: u64, place: Place) -> bool {
    match (first, place) {
        (Place::Bundle { number }, Place::Bundle { number: next }) => number + count == next,
        (Place::Tile { level, number }, Place::Tile { level: same, number: next }) => {
            (level, number + count) == (same, next)
        }
        _ => false,
    }
}

impl Wrong {
    /// The first of the entries that it is about, and one past the last.
    #[must_use]
    pub fn entries(&self) -> Option<(u64, u64)> {
        let (first, end) = self.place.entries()?;
        Some((first, first.saturating_add((end - first).saturating_mul(self.count))))
    }
}

impl core::fmt::Display for Wrong {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.place)?;
        if let (true, Some((_, end))) = (self.count > 1, self.entries()) {
            write!(f, " and {} more, up to entry {}", self.count - 1, end.saturating_sub(1))?;
        }
        write!(f, ": {}; ", self.found)?;
        match &self.remedy {
            Remedy::Made => f.write_str("made anew from what is sound"),
            Remedy::From(whom) => write!(f, "taken from {whom}"),
            Remedy::Dropped(meaning) | Remedy::Unsure(meaning) => f.write_str(meaning),
            Remedy::Missing => f.write_str("MISSING: nobody who was asked has it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_a_row_are_one_and_too_many_are_counted() {
        let mut report = Report::default();
        for number in [1, 2, 3, 9] {
            report.add(Some("a"), (Place::Bundle { number }, "gone".to_owned()), Remedy::Missing);
        }
        report.add(Some("b"), (Place::Bundle { number: 10 }, "gone".to_owned()), Remedy::Missing);
        let told: Vec<String> = report.wrong.iter().map(ToString::to_string).collect();
        assert_eq!(
            told[0],
            "bundle 1 (entries 256 to 511) and 2 more, up to entry 1023: gone; MISSING: nobody who was asked has it"
        );
        assert_eq!((told.len(), report.wrong[0].entries()), (3, Some((256, 1024))));
        for number in 0..2 * MEND_PLACES as u64 {
            report.add(None, (Place::Bundle { number: 2 * number }, "gone".to_owned()), Remedy::Made);
        }
        assert_eq!((report.wrong.len(), report.unlisted), (MEND_PLACES, MEND_PLACES as u64 + 3));
    }
}
