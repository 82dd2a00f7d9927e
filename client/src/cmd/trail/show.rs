//! Audit records for people, on lines, and for programs, an object per line.
//!
//! What records say is others' words: it is shown without what steers a terminal.

use core::fmt::{self, Write as _};
use std::collections::BTreeMap;

use cairn_tree::policy::CountedWitness;
use cairn_tree::record::class::{Class, Classed};
use cairn_tree::record::json::Json;
use cairn_tree::record::kind::RecordKind;
use cairn_tree::record::open::{OpenValues, Record};
use cairn_tree::record::parts::{Actor, Object};
use cairn_tree::record::shown::Shown;
use cairn_tree::record::signature::Producer;
use cairn_tree::record::values::{Field, Form, Sides};
use cairn_tree::size::counted;
use cairn_tree::wire::v1::{FlagBody, IntegrityProblem};
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::failure::Failure;
use super::super::verify::Witness;
use crate::auditor::trail::{Ground, Seen};
use crate::fetch::shown;

/// A record, for programs.
#[derive(Serialize)]
pub(in crate::cmd) struct RecordLine {
    kind: &'static str,
    verified: bool,
    id: String,
    index: u64,
    leaf_hash: String,
    stream: String,
    seq: u64,
    /// It is of a version that this program does not know: nothing but its place is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    later_version: bool,
    disclosed: usize,
    withheld: usize,
    erased: usize,
    /// How many are disclosed though a redaction record names them.
    kept: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claims_key: Option<String>,
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
        let (record, header) = (seen.record(), seen.header());
        let traced = record.map(Record::traced).unwrap_or_default();
        let count = |wanted: fn(&Shown<()>) -> bool| traced.iter().filter(|one| wanted(&one.became)).count();
        Ok(Self {
            kind: "record",
            verified: true,
            id: header.id.to_string(),
            index: seen.index().get(),
            leaf_hash: header.hash.to_base64(),
            stream: header.stream.to_string(),
            seq: header.seq.get(),
            later_version: record.is_none(),
            disclosed: count(|became| matches!(became, Shown::Disclosed(()))),
            withheld: count(|became| matches!(became, Shown::Withheld)),
            erased: count(|became| matches!(became, Shown::Erased(_))),
            kept: record.map_or(0, |record| record.still_disclosed().len()),
            signed_by: if let Producer::Verified(key) = seen.producer() { Some(key.to_string()) } else { None },
            claims_key: if let Producer::Unknown(key) = seen.producer() { Some(key.to_string()) } else { None },
            own: record.is_some_and(is_own),
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
fn flag_words(flag: &FlagBody) -> String {
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

fn is_own(record: &Record) -> bool {
    record.content().object.disclosed().is_some_and(|object| RecordKind::of(object) != RecordKind::Ordinary)
}

/// A record in a list: where, when, what, of what, by whom.
pub(in crate::cmd) fn one_line(seen: &Seen, values: bool) -> String {
    let (header, mut line) = (seen.header(), String::new());
    // Writing to a string does not fail.
    let _ = write!(line, "{:>6}  {}  ", seen.index(), header.time);
    let Some(record) = seen.record() else {
        line.push_str(LATER);
        return line;
    };
    match &record.content().object {
        Shown::Disclosed(object) => {
            let _ = write!(line, "{:<8} {}", shown(object.operation.as_str()), object_words(object));
        }
        other => line.push_str(&hidden(&other.as_ref().map(|_| ()))),
    }
    let _ = write!(line, "  {}", by(record));
    push_notes(&mut line, seen, record);
    if values {
        push_values(&mut line, record);
    }
    line
}

/// What is said of a record of a later version.
const LATER: &str = "a record of a later version, of which nothing but its place is known here";

/// A record in the history of its stream: its number, what was done, its values, what does not fit.
pub(in crate::cmd) fn timeline(seen: &Seen, flags: &[FlagBody]) -> String {
    let (header, mut text) = (seen.header(), String::new());
    let _ = write!(text, "#{}  {}  ", header.seq, header.time);
    match seen.record() {
        None => _ = write!(text, "{LATER}\n    entry {}", seen.index()),
        Some(record) => {
            let done = match &record.content().object {
                Shown::Disclosed(object) => done(object),
                other => hidden(&other.as_ref().map(|_| ())),
            };
            let _ = write!(text, "{done}  {}\n    entry {}", by(record), seen.index());
            push_notes(&mut text, seen, record);
            push_values(&mut text, record);
        }
    }
    for flag in flags {
        let _ = write!(text, "\n    ! {}", flag_words(flag));
    }
    text
}

fn done(object: &Object<'_>) -> String {
    let action = object.action.as_ref().map(|action| format!(" ({})", shown(action.as_str()))).unwrap_or_default();
    let row = object.row.as_ref().map(|row| format!(" row {}", shown(row.as_str()))).unwrap_or_default();
    format!("{}{action}{row}", shown(object.operation.as_str()))
}

/// Who did it.
fn by(record: &Record) -> String {
    let own = if is_own(record) { ", told by the log itself" } else { "" };
    match &record.content().actor {
        Shown::Disclosed(None) if !own.is_empty() => "by the log itself".to_owned(),
        Shown::Disclosed(None) => "by nobody named".to_owned(),
        Shown::Disclosed(Some(actor)) => {
            let mut words = format!("by {}", actor_words(actor));
            let mut principal = actor.principal();
            while let Some(actor) = principal {
                let _ = write!(words, " for {}", actor_words(actor));
                principal = actor.principal();
            }
            words + own
        }
        other => format!("by somebody {}", hidden(&other.as_ref().map(|_| ()))),
    }
}

fn actor_words(actor: &Actor<'_>) -> String {
    let roles: Vec<&str> = actor.roles().iter().map(|role| role.as_str()).collect();
    let roles = if roles.is_empty() { String::new() } else { format!(" ({})", shown(&roles.join(", "))) };
    format!("{}{roles}", shown(actor.id().as_str()))
}

fn object_words(object: &Object<'_>) -> String {
    let row = object.row.as_ref().map(|row| format!(" row {}", shown(row.as_str()))).unwrap_or_default();
    let [tenant, module, entity, id] =
        [&object.tenant, &object.module, &object.entity, &object.id].map(|name| shown(name.as_str()));
    format!("{tenant}/{module}/{entity}/{id}{row}")
}

/// What is odd or telling of a record, besides what it says.
fn push_notes(line: &mut String, seen: &Seen, record: &Record) {
    let (event, server) = (record.leaf().event().head(), record.leaf().server());
    let mut notes = Vec::new();
    match server.time.micros().saturating_sub(event.time.micros()) / 1_000_000 {
        0 => {}
        seconds => notes.push(format!("{seconds} s late")),
    }
    if let Shown::Disclosed(Some(context)) = &record.content().context {
        for (name, prose) in [("reason", &context.reason), ("purpose", &context.purpose)] {
            notes.extend(prose.as_ref().map(|prose| format!("{name}: {}", shown(prose.as_str()))));
        }
    }
    notes.extend(event.replaces.map(|id| format!("corrects {id}")));
    match seen.producer() {
        Producer::None => {}
        Producer::Verified(key) => notes.push(format!("signed by {key}")),
        Producer::Unknown(key) => notes.push(format!("claims to be signed by {key}, not verified")),
    }
    let count = |wanted: fn(&Shown<()>) -> bool| record.traced().iter().filter(|one| wanted(&one.became)).count();
    for (count, what) in [
        (count(|became| matches!(became, Shown::Withheld)), "withheld"),
        (count(|became| matches!(became, Shown::Erased(_))), "erased"),
        (record.still_disclosed().len(), "disclosed though erased"),
    ] {
        if count > 0 {
            notes.push(format!("{count} {what}"));
        }
    }
    for note in notes {
        let _ = write!(line, ", {note}");
    }
}

fn push_values(text: &mut String, record: &Record) {
    match &record.content().values {
        Shown::Disclosed(None) => {}
        Shown::Disclosed(Some(values)) => values.fields().iter().for_each(|(pointer, field)| {
            let pointer = if pointer.as_str().is_empty() { "(document)" } else { pointer.as_str() };
            let _ = write!(text, "\n      {}: {}", shown(pointer), change(values, field));
        }),
        other => _ = write!(text, "\n      values {}", hidden(&other.as_ref().map(|_| ()))),
    }
}

/// What became of a field: old → new.
fn change(values: &OpenValues, field: &Classed<Shown<Field<'static>>>) -> String {
    let is_whole = matches!(values.form(), Form::Whole(Sides::New));
    let class = if field.class == Class::Internal { String::new() } else { format!("   ({})", field.class.name()) };
    let json = |json: &Json<'_>| shown(json.as_str());
    let words = match &field.content {
        Shown::Disclosed(Field { old: None, new: Some(new) }) if is_whole => json(new),
        Shown::Disclosed(Field { old: None, new: Some(new) }) => format!("→ {}", json(new)),
        Shown::Disclosed(Field { old: Some(old), new: Some(new) }) => format!("{} → {}", json(old), json(new)),
        Shown::Disclosed(Field { old: Some(old), new: None }) => format!("{} → nothing", json(old)),
        Shown::Disclosed(Field { old: None, new: None }) => "nothing".to_owned(),
        other => hidden(&other.as_ref().map(|_| ())),
    };
    format!("{words}{class}")
}

/// Why something is not shown.
fn hidden(shown: &Shown<()>) -> String {
    match shown {
        Shown::Disclosed(()) => String::new(),
        Shown::Withheld => "withheld".to_owned(),
        Shown::Erased(index) => format!("erased, by entry {index}"),
    }
}

/// The flags of each record, by its number.
pub(in crate::cmd) fn by_seq(flags: Vec<FlagBody>) -> BTreeMap<u64, Vec<FlagBody>> {
    let mut by_seq: BTreeMap<u64, Vec<FlagBody>> = BTreeMap::new();
    for flag in flags {
        by_seq.entry(flag.seq.get()).or_default().push(flag);
    }
    by_seq
}
