//! Audit records for programs, an object per line, and what was verified in all.

use core::fmt;
use std::collections::BTreeMap;

use cairn_tree::policy::CountedWitness;
use cairn_tree::size::counted;
use cairn_tree::wire::v1::{FlagBody, IntegrityProblem};
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::failure::Failure;
use super::super::verify::Witness;
use super::told::{Facts, Told};
use crate::auditor::trail::{Ground, Seen};
use crate::fetch::shown;

/// A record, for programs.
#[derive(Serialize)]
pub(in crate::cmd) struct RecordLine {
    kind: &'static str,
    verified: bool,
    #[serde(flatten)]
    facts: Facts,
    /// Whether the log wrote it about itself.
    own: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<FlagLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved: Option<String>,
    view: Box<RawValue>,
    /// The same for people.
    #[serde(skip)]
    words: String,
}

/// What the server says is wrong with a record that it does not show.
#[derive(Serialize)]
pub(in crate::cmd) struct ProblemLine {
    kind: &'static str,
    verified: bool,
    index: u64,
    part: &'static str,
    detail: String,
}

impl ProblemLine {
    pub(in crate::cmd) fn of(problem: &IntegrityProblem) -> Self {
        let detail = shown(&problem.detail);
        Self { kind: "problem", verified: false, index: problem.index.get(), part: problem.part.name(), detail }
    }
}

impl fmt::Display for ProblemLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6}  NOT VERIFIED by the server, and not shown ({}): {}", self.index, self.part, self.detail)
    }
}

/// Something that does not fit together.
#[derive(Serialize)]
pub(in crate::cmd) struct FlagLine {
    kind: &'static str,
    seq: u64,
    index: u64,
    flag: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pointers: Vec<String>,
    more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<String>,
    #[serde(skip)]
    words: String,
}

/// What was verified in all, and under which tree.
#[derive(Serialize)]
pub(in crate::cmd) struct Summary<T: Serialize> {
    pub(in crate::cmd) kind: &'static str,
    verified: bool,
    origin: String,
    size: u64,
    root: String,
    witnesses: Vec<Witness>,
    #[serde(flatten)]
    pub(in crate::cmd) more: T,
    /// The same for people, after what was verified under which tree.
    #[serde(skip)]
    pub(in crate::cmd) words: (String, String),
}

impl<T: Serialize> Summary<T> {
    pub(in crate::cmd) fn of(kind: &'static str, ground: &Ground, more: T, words: (String, String)) -> Self {
        let head = ground.head();
        let counted: &[CountedWitness] = ground.witnesses();
        Self {
            kind,
            verified: true,
            origin: head.origin().to_string(),
            size: head.size().get(),
            root: head.root().to_base64(),
            witnesses: Witness::of(counted),
            more,
            words,
        }
    }
}

impl<T: Serialize> fmt::Display for Summary<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, more) = &self.words;
        let entries = counted(self.size, "entry", "entries");
        write!(f, "verified: {what} of {}, in its signed tree of {entries}", shown(&self.origin))?;
        match self.witnesses.len() {
            0 => {}
            count => write!(f, ", cosigned by {}", counted(count as u64, "witness", "witnesses"))?,
        }
        write!(f, "; {more}")
    }
}

impl RecordLine {
    /// A verified record, with the words for people.
    pub(in crate::cmd) fn of(
        seen: &Seen,
        flags: &[FlagBody],
        saved: Option<String>,
        words: String,
    ) -> Result<Self, Failure> {
        let told = Told::from(seen);
        Ok(Self {
            kind: "record",
            verified: true,
            facts: told.facts(),
            own: told.is_own(),
            flags: flags.iter().map(FlagLine::of).collect(),
            saved,
            view: raw(&seen.view()).map_err(Failure::Refused)?,
            words,
        })
    }
}

impl fmt::Display for RecordLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl FlagLine {
    pub(in crate::cmd) fn of(flag: &FlagBody) -> Self {
        Self {
            kind: "flag",
            seq: flag.seq.get(),
            index: flag.index.get(),
            flag: flag.flag.clone(),
            pointers: flag.pointers.clone(),
            more: flag.more,
            replaces: flag.replaces.map(|id| id.to_string()),
            words: flag_words(flag),
        }
    }
}

impl fmt::Display for FlagLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "! record {}: {}", self.seq, self.words)
    }
}

fn at(f: &mut impl fmt::Write, pointers: &[String], more: bool) -> fmt::Result {
    if !pointers.is_empty() {
        write!(f, ": {}", shown(&pointers.join(", ")))?;
    }
    if more { f.write_str(" and more") } else { Ok(()) }
}

/// What a flag says, for the record that it is at.
pub(super) fn flag_words(flag: &FlagBody) -> String {
    let mut words = match flag.flag.as_str() {
        "create-on-live" => "created though it was there already",
        "update-on-absent" => "updated though it was not there",
        "delete-on-absent" => "deleted though it was not there",
        "old-differs" => "its old values are not those of the state",
        "no-place" => "the state has no such place",
        "within-unknown" => "within what is not shown",
        "replaces-unknown" => "it corrects a record that is not before it in the stream",
        "replaces-other" => "it corrects a record of another object, or of the log's own",
        "later-version" => "a record of a later version, which says nothing here",
        "object-unknown" => "what it was done to is not shown",
        other => other,
    }
    .to_owned();
    // Writing to a string does not fail.
    let _ = at(&mut words, &flag.pointers, flag.more);
    words
}

/// JSON as it was written, on one line: outside of texts, ends of lines are white space.
pub(in crate::cmd) fn raw(json: &str) -> Result<Box<RawValue>, String> {
    let line = json.replace(['\n', '\r'], " ");
    RawValue::from_string(line).map_err(|error| error.to_string())
}

/// The flags of each record, by its number.
pub(in crate::cmd) fn by_seq(flags: Vec<FlagBody>) -> BTreeMap<u64, Vec<FlagBody>> {
    let mut by_seq: BTreeMap<u64, Vec<FlagBody>> = BTreeMap::new();
    for flag in flags {
        by_seq.entry(flag.seq.get()).or_default().push(flag);
    }
    by_seq
}
