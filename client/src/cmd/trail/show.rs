//! Audit records for programs, an object per line, and what was verified in all.

use core::fmt;
use std::collections::BTreeMap;

use cairn_tree::checkpoint::Origin;
use cairn_tree::policy::CountedWitness;
use cairn_tree::size::counted;
use cairn_tree::wire::v1::IntegrityProblem;
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::failure::Failure;
use super::super::verify::Witness;
use super::parts::{Flagged, Sight};
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
    /// `this_part` if it was found with this log's part of the stream alone, though there is one before it; `earlier_parts`
    /// if it comes of what is in those.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<&'static str>,
    /// The log of the record, if it is an earlier one of the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
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
        flags: &[Flagged],
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
    pub(in crate::cmd) fn of(flagged: &Flagged) -> Self {
        let flag = &flagged.body;
        Self {
            kind: "flag",
            seq: flag.seq.get(),
            index: flag.index.get(),
            flag: flag.flag.clone(),
            pointers: flag.pointers.clone(),
            more: flag.more,
            replaces: flag.replaces.map(|id| id.to_string()),
            of: match flagged.sight {
                Sight::All => None,
                Sight::Alone => Some("this_part"),
                Sight::Earlier => Some("earlier_parts"),
            },
            log: None,
            words: flag_words(flagged),
        }
    }

    /// The same, where it is one of another log than the last.
    pub(in crate::cmd) fn in_log(self, log: &Origin) -> Self {
        Self { log: Some(log.to_string()), ..self }
    }
}

impl fmt::Display for FlagLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "! record {}", self.seq)?;
        self.log.as_ref().map_or(Ok(()), |log| write!(f, " in {}", shown(log)))?;
        write!(f, ": {}", self.words)
    }
}

fn at(f: &mut impl fmt::Write, pointers: &[String], more: bool) -> fmt::Result {
    if !pointers.is_empty() {
        write!(f, ": {}", shown(&pointers.join(", ")))?;
    }
    if more { f.write_str(" and more") } else { Ok(()) }
}

/// What a flag says, for the record that it is at.
pub(super) fn flag_words(flagged: &Flagged) -> String {
    let flag = &flagged.body;
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
    // These hang on what was before; the others would be there whatever that was.
    let hangs = matches!(flag.flag.as_str(), "update-on-absent" | "delete-on-absent" | "old-differs" | "no-place");
    match flagged.sight {
        Sight::Alone if hangs => words.push_str(", as far as this part of the stream alone tells"),
        Sight::Earlier => words.push_str(", by what is in an earlier part of the stream"),
        Sight::All | Sight::Alone => {}
    }
    words
}

/// JSON as it was written, on one line: outside of texts, ends of lines are white space.
pub(in crate::cmd) fn raw(json: &str) -> Result<Box<RawValue>, String> {
    let line = json.replace(['\n', '\r'], " ");
    RawValue::from_string(line).map_err(|error| error.to_string())
}

/// The flags of each record, by its number.
pub(in crate::cmd) fn by_seq(flags: Vec<Flagged>) -> BTreeMap<u64, Vec<Flagged>> {
    let mut by_seq: BTreeMap<u64, Vec<Flagged>> = BTreeMap::new();
    for flag in flags {
        by_seq.entry(flag.body.seq.get()).or_default().push(flag);
    }
    by_seq
}
