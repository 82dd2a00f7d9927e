//! What was done and what came of it, per kind of fault.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use cairn_tests::oracle::{Contradiction, Wrong};
use serde::Serialize;

use crate::kinds::Kind;

/// Findings whose words are kept; the rest are counted.
const WORDS_KEPT: usize = 20;
/// Choices that are kept, of the first world that is added.
const CHOICES_KEPT: usize = 200;

/// Something that must never happen.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
pub struct Finding {
    /// What sort of wrong it is.
    pub sort: Sort,
    /// What happened.
    pub words: String,
}

/// What sort of wrong a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sort {
    /// What was acknowledged is gone.
    Lost,
    /// Two things that were shown exclude each other.
    Contradiction,
    /// Bytes were served or signed as good that are not.
    BadBytes,
    /// Anything else that should not be: no start where there should be one, no end, a panic.
    Failed,
}

impl Finding {
    /// A finding of no other sort.
    pub fn failed(words: impl Into<String>) -> Self {
        Self { sort: Sort::Failed, words: words.into() }
    }

    /// The same with more words before it.
    #[must_use]
    pub fn within(self, place: impl core::fmt::Display) -> Self {
        Self { words: format!("{place}: {}", self.words), ..self }
    }
}

impl From<Contradiction> for Finding {
    fn from(contradiction: Contradiction) -> Self {
        let sort = match contradiction.wrong() {
            Wrong::Lost => Sort::Lost,
            Wrong::Contradicted => Sort::Contradiction,
            Wrong::Bytes => Sort::BadBytes,
            Wrong::Unreadable => Sort::Failed,
        };
        Self { sort, words: contradiction.to_string() }
    }
}

/// The harness itself could not go on.
impl From<io::Error> for Finding {
    fn from(error: io::Error) -> Self {
        Self::failed(format!("the harness: {error}"))
    }
}

/// The sums of one kind.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Runs of the server, or of the engine, that ended in a fault or were to.
    pub cycles: u64,
    /// Faults that were seen to happen.
    pub fired: u64,
    /// Entries that were acknowledged, records among them.
    pub acked: u64,
    /// Records that were acknowledged.
    pub records: u64,
    /// What came of it, by name: for people.
    pub notes: BTreeMap<String, u64>,
    /// What was to happen, in its order, in the first of its worlds.
    pub chosen: Vec<String>,
    findings: BTreeMap<Sort, u64>,
    words: Vec<String>,
}

/// The last lines of a run, one per kind, for programs. Whether anything failed is the exit code's to say.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    kind: &'static str,
    cycles: u64,
    faults_fired: u64,
    acked: u64,
    lost: u64,
    contradictions: u64,
    bad_bytes: u64,
    seed: u64,
}

impl Tally {
    /// Counts something that a person may want to know.
    pub fn note(&mut self, what: impl Into<String>) {
        self.note_many(what, 1);
    }

    /// The same, several at once.
    pub fn note_many(&mut self, what: impl Into<String>, count: u64) {
        *self.notes.entry(what.into()).or_default() += count;
    }

    /// Keeps what was chosen to happen next, whether it does or not.
    pub fn chose(&mut self, what: impl Into<String>) {
        if self.chosen.len() < CHOICES_KEPT {
            self.chosen.push(what.into());
        }
    }

    /// Counts a finding.
    pub fn found(&mut self, finding: &Finding) {
        *self.findings.entry(finding.sort).or_default() += 1;
        if self.words.len() < WORDS_KEPT {
            self.words.push(format!("{:?}: {}", finding.sort, finding.words));
        }
    }

    /// Adds another tally of the same kind.
    pub fn add(&mut self, other: Self) {
        self.cycles += other.cycles;
        self.fired += other.fired;
        self.acked += other.acked;
        self.records += other.records;
        other.notes.into_iter().for_each(|(what, count)| self.note_many(what, count));
        other.findings.into_iter().for_each(|(sort, count)| *self.findings.entry(sort).or_default() += count);
        if self.chosen.is_empty() {
            self.chosen = other.chosen;
        }
        self.words.extend(other.words);
        self.words.truncate(WORDS_KEPT);
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// How many findings there are.
    #[must_use]
    pub fn findings(&self) -> u64 {
        self.findings.values().sum()
    }

    /// How many findings of a sort there are.
    #[must_use]
    pub fn count(&self, sort: Sort) -> u64 {
        self.findings.get(&sort).copied().unwrap_or(0)
    }

    /// What was found, in words.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// What programs read.
    #[must_use]
    pub fn line(&self, kind: Kind, seed: u64) -> Line {
        Line {
            kind: kind.name(),
            cycles: self.cycles,
            faults_fired: self.fired,
            acked: self.acked,
            lost: self.count(Sort::Lost),
            contradictions: self.count(Sort::Contradiction),
            bad_bytes: self.count(Sort::BadBytes),
            seed,
        }
    }
}

/// What was to happen in the first world of each kind, in its order, to compare with a replay.
#[must_use]
pub fn chosen(tallies: &[(Kind, Tally)]) -> String {
    let mut text = String::new();
    for (kind, tally) in tallies {
        for (number, what) in (1..).zip(&tally.chosen) {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{} {number}: {what}", kind.name());
        }
    }
    text
}

/// What people read.
#[must_use]
pub fn table(tallies: &[(Kind, Tally)]) -> String {
    const HEADS: [&str; 9] =
        ["kind", "cycles", "faults fired", "acked", "records", "lost", "contradictions", "bad bytes", "failed"];
    let mut text = String::new();
    for (kind, tally) in tallies {
        if !tally.notes.is_empty() {
            let notes: Vec<_> = tally.notes.iter().map(|(what, count)| format!("  {count:>9}  {what}\n")).collect();
            // Writing to a string does not fail.
            let _ = write!(text, "{}:\n{}", kind.name(), notes.concat());
        }
        for words in tally.words() {
            let _ = writeln!(text, "FOUND in {}: {words}", kind.name());
        }
    }
    let row = |cells: [String; 9]| {
        let [kind, rest @ ..] = cells;
        let rest: Vec<_> = rest.iter().map(|cell| format!("{cell:>14}")).collect();
        format!("{kind:<10}{}\n", rest.concat())
    };
    text.push('\n');
    text.push_str(&row(HEADS.map(str::to_owned)));
    for (kind, tally) in tallies {
        let counts = [tally.cycles, tally.fired, tally.acked, tally.records].map(|count| count.to_string());
        let sorts =
            [Sort::Lost, Sort::Contradiction, Sort::BadBytes, Sort::Failed].map(|sort| tally.count(sort).to_string());
        let [cycles, fired, acked, records] = counts;
        let [lost, contradictions, bad, failed] = sorts;
        text.push_str(&row([kind.name().to_owned(), cycles, fired, acked, records, lost, contradictions, bad, failed]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_these_keys_and_no_others() {
        let mut tally = Tally { cycles: 4, fired: 3, acked: 20, records: 5, ..Tally::default() };
        for (sort, times) in [(Sort::Lost, 1), (Sort::Contradiction, 2), (Sort::BadBytes, 3), (Sort::Failed, 1)] {
            (0..times).for_each(|_| tally.found(&Finding { sort, words: "so".to_owned() }));
        }
        assert_eq!(
            serde_json::to_string(&tally.line(Kind::Power, 7)).unwrap(),
            r#"{"kind":"power","cycles":4,"faults_fired":3,"acked":20,"lost":1,"contradictions":2,"bad_bytes":3,"seed":7}"#
        );
        let table = table(&[(Kind::Power, tally)]);
        let row: Vec<&str> = table.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(row, ["power", "4", "3", "20", "5", "1", "2", "3", "1"], "{table}");
    }
}
