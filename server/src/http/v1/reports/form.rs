//! A report in one of its forms, piece by piece: CSV, or JSON as `wire::v1` writes it. Both end with a word that says that
//! all of it is there; what lacks that word is not whole. A record that can't be verified stands as a problem in its place.

use cairn_tree::record::time::Time;
use cairn_tree::size::counted;
use cairn_tree::wire::v1::{
    Dimension, IntegrityProblem, ReportCell, ReportEnd, ReportGroup, ReportRecord, ReportWriter,
};

use super::csv::Row;
use crate::http::problem::Problem;

/// The form that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Csv,
    Json,
}

/// A report on its way.
pub(super) enum Writer {
    /// CSV, of groups by these or of records.
    Csv(Option<Vec<Dimension>>),
    /// JSON.
    Json(ReportWriter),
}

/// What is said in the last column.
const CLAIM: &str = "the server's word: see docs/auditing.md";
/// The columns of a record besides what it says.
const BEFORE: [&str; 5] = ["index", "id", "seq", "server_time", "time"];

impl Writer {
    /// Writes the beginning.
    pub(super) fn begin(form: Form, out: &mut Vec<u8>, tenant: &str, by: Option<&[Dimension]>) -> Self {
        if form == Form::Json {
            return Self::Json(ReportWriter::begin(out, tenant, by));
        }
        Row::write(out, |row| {
            row.plain("row");
            match by {
                Some(by) => {
                    by.iter().for_each(|dimension| heading(row, dimension.name()));
                    ["records", "oldest", "newest"].iter().for_each(|name| row.plain(name));
                }
                None => {
                    BEFORE.iter().for_each(|name| row.plain(name));
                    ReportRecord::NAMES.iter().for_each(|name| heading(row, name));
                    row.plain("leaf_hash");
                }
            }
            ["total", "complete_to", "as_of", "note"].iter().for_each(|name| row.plain(name));
        });
        Self::Csv(by.map(<[Dimension]>::to_vec))
    }

    /// Writes a group.
    pub(super) fn group(&mut self, out: &mut Vec<u8>, common: &[ReportCell], group: &ReportGroup, by: &[Dimension]) {
        match self {
            Self::Json(json) => {
                let common: Vec<_> = by.iter().copied().zip(common.iter().cloned()).collect();
                json.add(out, |out| group.push(out, &common));
            }
            Self::Csv(_) => Row::write(out, |row| {
                row.plain("group");
                by.iter().zip(common).for_each(|(dimension, said)| cell(row, dimension.name(), said));
                row.plain(&group.records.to_string());
                time(row, group.oldest);
                time(row, group.newest);
                nothing(row, 4);
            }),
        }
    }

    /// Writes a record.
    pub(super) fn record(&mut self, out: &mut Vec<u8>, record: &ReportRecord) {
        match self {
            Self::Json(json) => json.add(out, |out| record.push(out)),
            Self::Csv(_) => Row::write(out, |row| {
                row.plain("record");
                row.plain(&record.index.to_string());
                row.plain(&record.id.to_string());
                row.plain(&record.seq.to_string());
                time(row, record.server_time);
                time(row, record.time);
                ReportRecord::NAMES.iter().zip(&record.says).for_each(|(name, said)| cell(row, name, said));
                row.text(&record.leaf_hash.to_base64());
                nothing(row, 4);
            }),
        }
    }

    /// Writes what stands in the place of a record that can't be verified.
    pub(super) fn problem(&mut self, out: &mut Vec<u8>, problem: &IntegrityProblem) {
        let middle = self.middle();
        match self {
            Self::Json(json) => json.problem(out, problem),
            Self::Csv(_) => Row::write(out, |row| {
                row.plain("problem");
                nothing(row, middle + 3);
                row.text(&problem.to_string());
            }),
        }
    }

    /// Writes the end of a report that went through all that it should.
    pub(super) fn end(self, out: &mut Vec<u8>, end: &ReportEnd) {
        match &self {
            Self::Json(json) => json.end(out, end),
            Self::Csv(_) => Row::write(out, |row| {
                row.plain(if end.is_complete() { "complete" } else { "incomplete" });
                nothing(row, self.middle());
                row.plain(&end.records.to_string());
                row.plain(&end.complete_to.to_string());
                time(row, end.as_of);
                row.text(&note(end));
            }),
        }
    }

    /// Writes why a report breaks off.
    pub(super) fn break_off(self, out: &mut Vec<u8>, problem: &Problem) {
        match &self {
            Self::Json(json) => json.break_off(out, &problem.document()),
            Self::Csv(_) => Row::write(out, |row| {
                row.plain("incomplete");
                nothing(row, self.middle() + 3);
                row.text(&format!("{}: {}", problem.title(), problem.detail()));
            }),
        }
    }

    /// How many columns stand between the first and the last four.
    fn middle(&self) -> usize {
        match self {
            Self::Json(_) => 0,
            Self::Csv(Some(by)) => by.iter().map(|dimension| width(dimension.name())).sum::<usize>() + 3,
            Self::Csv(None) => BEFORE.len() + ReportRecord::NAMES.iter().map(|name| width(name)).sum::<usize>() + 1,
        }
    }
}

/// What is said of the numbers in the last row.
fn note(end: &ReportEnd) -> String {
    let mut note = String::new();
    if end.unverified > 0 {
        let records = counted(end.unverified, "record", "records");
        note = format!("not whole: {records} can't be verified (see the rows above) and in no number; ");
    }
    if !end.except.is_empty() {
        let indexes: Vec<String> = end.except.iter().map(ToString::to_string).collect();
        note = format!("{note}not whole: may lack the records {}; ", indexes.join(" "));
    }
    format!("{note}{CLAIM}")
}

/// The actor alone can be hidden where the rest of what is counted by is shown, and is told apart in a column of its own.
fn width(name: &str) -> usize {
    if name == Dimension::Actor.name() { 2 } else { 1 }
}

fn heading(row: &mut Row<'_>, name: &str) {
    row.plain(name);
    if width(name) > 1 {
        row.plain(&format!("{name}_is"));
    }
}

fn cell(row: &mut Row<'_>, name: &str, said: &ReportCell) {
    match said {
        ReportCell::Text(text) => row.text(text),
        _ => row.plain(""),
    }
    if width(name) > 1 {
        row.plain(said.state());
    }
}

fn time(row: &mut Row<'_>, time: Time) {
    row.plain(core::str::from_utf8(&time.to_text()).unwrap_or_default());
}

fn nothing(row: &mut Row<'_>, columns: usize) {
    (0..columns).for_each(|_| row.plain(""));
}
