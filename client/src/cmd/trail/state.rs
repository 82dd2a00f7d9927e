//! States, and the differences between two, for people and for programs.

use core::fmt::{self, Write as _};
use std::collections::BTreeMap;

use cairn_tree::record::json::Value;
use cairn_tree::record::replay::{Life, ObjectKey, Unknown};
use cairn_tree::wire::v1::{DifferenceBody, Document, StateBody};
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::failure::Failure;
use super::show::raw;
use crate::fetch::shown;

/// Whose state it is.
#[derive(Serialize, Clone)]
struct ObjectLine {
    tenant: String,
    module: String,
    entity: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<String>,
}

/// Why something is not known.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Why {
    Erased(u64),
    Withheld(bool),
}

/// What is not known of a document, by JSON Pointer.
type WhyNot = BTreeMap<String, Why>;

/// The state of an object.
#[derive(Serialize)]
pub(in crate::cmd) struct StateLine {
    kind: &'static str,
    object: ObjectLine,
    life: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    unknown: WhyNot,
    lives: u64,
    last: u64,
    /// The log of that record, if it is one that the stream was in before.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_log: Option<String>,
    #[serde(skip)]
    words: String,
}

/// A place where two states differ, or may.
#[derive(Serialize)]
pub(in crate::cmd) struct DifferenceLine {
    kind: &'static str,
    object: ObjectLine,
    pointer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    old_unknown: WhyNot,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    new_unknown: WhyNot,
    certain: bool,
    #[serde(skip)]
    words: String,
}

impl ObjectLine {
    fn of(key: &ObjectKey) -> Self {
        let [tenant, module, entity, id] =
            [&key.tenant, &key.module, &key.entity, &key.id].map(|name| name.as_str().to_owned());
        Self { tenant, module, entity, id, row: key.row.as_ref().map(|row| row.as_str().to_owned()) }
    }
}

impl fmt::Display for ObjectLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [tenant, module, entity, id] = [&self.tenant, &self.module, &self.entity, &self.id].map(|name| shown(name));
        write!(f, "{tenant}/{module}/{entity}/{id}")?;
        self.row.as_ref().map_or(Ok(()), |row| write!(f, " row {}", shown(row)))
    }
}

fn json_of(document: Option<&Document>) -> Result<(Option<Box<RawValue>>, WhyNot), Failure> {
    let json = document.map(|document| raw(document.json.as_str())).transpose().map_err(Failure::Refused)?;
    let why = |why: &Unknown| match why {
        Unknown::Erased(index) => Why::Erased(index.get()),
        Unknown::Withheld => Why::Withheld(true),
    };
    let unknown = document.iter().flat_map(|document| &document.unknown);
    Ok((json, unknown.map(|(pointer, unknown)| (pointer.clone(), why(unknown))).collect()))
}

impl StateLine {
    pub(in crate::cmd) fn of(state: &StateBody) -> Result<Self, Failure> {
        let object = ObjectLine::of(&state.object);
        let life = match state.life {
            Life::Live => "live",
            Life::Ended => "ended",
            Life::Unknown(_) => "unknown",
        };
        let mut words = format!("{object}: {life}, since record {}", state.last);
        let last_log = state.last_log.as_ref().map(ToString::to_string);
        if let Some(log) = &last_log {
            // Writing to a string does not fail.
            let _ = write!(words, " in {}", shown(log));
        }
        match &state.document {
            Some(document) => push_document(&mut words, document),
            None if state.life == Life::Live => words.push_str("\n  no data"),
            None => {}
        }
        let (document, unknown) = json_of(state.document.as_ref())?;
        let (lives, last) = (state.lives, state.last.get());
        Ok(Self { kind: "state", object, life, document, unknown, lives, last, last_log, words })
    }
}

impl DifferenceLine {
    pub(in crate::cmd) fn of(object: &ObjectKey, difference: &DifferenceBody) -> Result<Self, Failure> {
        let object = ObjectLine::of(object);
        let side = |side: &Option<Document>| side.as_ref().map_or_else(|| "nothing".to_owned(), one_line);
        let pointer = if difference.pointer.is_empty() { "(document)" } else { &difference.pointer };
        let mut words = format!("{object} {}: {} → {}", shown(pointer), side(&difference.old), side(&difference.new));
        if !difference.certain {
            words.push_str("   (perhaps: what is not shown decides)");
        }
        let (old, old_unknown) = json_of(difference.old.as_ref())?;
        let (new, new_unknown) = json_of(difference.new.as_ref())?;
        let (pointer, certain) = (difference.pointer.clone(), difference.certain);
        Ok(Self { kind: "difference", object, pointer, old, old_unknown, new, new_unknown, certain, words })
    }
}

impl fmt::Display for StateLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl fmt::Display for DifferenceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// A whole document on one line, or why it is not known.
fn one_line(document: &Document) -> String {
    match document.unknown.first() {
        Some((pointer, why)) if pointer.is_empty() => why_words(*why),
        _ => shown(document.json.as_str()),
    }
}

fn why_words(why: Unknown) -> String {
    match why {
        Unknown::Erased(index) => format!("erased, by entry {index}"),
        Unknown::Withheld => "withheld".to_owned(),
    }
}

/// A document with a line for each value in it.
fn push_document(words: &mut String, document: &Document) {
    let unknown: BTreeMap<&str, Unknown> =
        document.unknown.iter().map(|(pointer, why)| (pointer.as_str(), *why)).collect();
    push_value(words, &mut String::new(), document.json.value(), &unknown);
}

fn push_value(words: &mut String, pointer: &mut String, value: Value, unknown: &BTreeMap<&str, Unknown>) {
    let (length, why) = (pointer.len(), unknown.get(pointer.as_str()));
    let mut below = |words: &mut String, token: &str, value| {
        // RFC 6901, section 3.
        pointer.push('/');
        pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
        push_value(words, pointer, value, unknown);
        pointer.truncate(length);
    };
    match value {
        Value::Object(members) if !members.is_empty() && why.is_none() => {
            members.into_iter().for_each(|(name, member)| below(words, &name, member));
        }
        Value::Array(elements) if !elements.is_empty() => {
            let numbered = elements.into_iter().enumerate();
            numbered.for_each(|(index, element)| below(words, &index.to_string(), element));
        }
        value => {
            let text = match (why, value) {
                (Some(why), _) => why_words(*why),
                (None, Value::Null) => "null".to_owned(),
                (None, Value::Boolean(boolean)) => boolean.to_string(),
                (None, Value::Number(number)) => number.into_string(),
                (None, Value::String(text)) => serde_json::to_string(&*text).unwrap_or_default(),
                (None, Value::Array(_)) => "[]".to_owned(),
                (None, Value::Object(_)) => "{}".to_owned(),
            };
            let place = if pointer.is_empty() { "(document)" } else { pointer.as_str() };
            // Writing to a string does not fail.
            let _ = write!(words, "\n  {}: {}", shown(place), shown(&text));
        }
    }
}
