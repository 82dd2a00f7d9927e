//! Audit records for people: a line in a list, a few in a history.
//!
//! What records say is others' words: it is shown without what steers a terminal.

use core::fmt::Write as _;

use cairn_tree::record::class::{Class, Classed};
use cairn_tree::record::json::Json;
use cairn_tree::record::open::{OpenValues, Record};
use cairn_tree::record::parts::{Actor, Object};
use cairn_tree::record::shown::Shown;
use cairn_tree::record::signature::Producer;
use cairn_tree::record::values::{Field, Form, Sides};

use super::parts::Flagged;
use super::show::flag_words;
use super::told::Told;
use crate::fetch::shown;

/// A record in a list: where, when, what, of what, by whom.
pub(in crate::cmd) fn one_line(told: &Told<'_>, values: bool) -> String {
    let mut line = String::new();
    // Writing to a string does not fail.
    let _ = write!(line, "{:>6}  {}  ", told.index, told.header.time);
    let Some(record) = told.record else {
        line.push_str(LATER);
        return line;
    };
    match &record.content().object {
        Shown::Disclosed(object) => {
            let _ = write!(line, "{:<8} {}", shown(object.operation.as_str()), object_words(object));
        }
        other => line.push_str(&hidden(&other.as_ref().map(|_| ()))),
    }
    let _ = write!(line, "  {}", by(told, record));
    push_notes(&mut line, told, record);
    if values {
        push_values(&mut line, record);
    }
    line
}

/// What is said of a record of a later version.
const LATER: &str = "a record of a later version, of which nothing but its place is known here";

/// A record in the history of its stream: its number, what was done, its values, what does not fit.
pub(in crate::cmd) fn timeline(told: &Told<'_>, flags: &[Flagged]) -> String {
    let mut text = String::new();
    let _ = write!(text, "#{}  {}  ", told.header.seq, told.header.time);
    match told.record {
        None => _ = write!(text, "{LATER}\n    entry {}", told.index),
        Some(record) => {
            let done = match &record.content().object {
                Shown::Disclosed(object) => done(object),
                other => hidden(&other.as_ref().map(|_| ())),
            };
            let _ = write!(text, "{done}  {}\n    entry {}", by(told, record), told.index);
            push_notes(&mut text, told, record);
            push_values(&mut text, record);
        }
    }
    for flag in flags {
        let _ = write!(text, "\n    ! {}", flag_words(flag));
    }
    text
}

pub(super) fn done(object: &Object<'_>) -> String {
    let action = object.action.as_ref().map(|action| format!(" ({})", shown(action.as_str()))).unwrap_or_default();
    let row = object.row.as_ref().map(|row| format!(" row {}", shown(row.as_str()))).unwrap_or_default();
    format!("{}{action}{row}", shown(object.operation.as_str()))
}

/// Who did it.
fn by(told: &Told<'_>, record: &Record) -> String {
    let own = if told.is_own() { ", told by the log itself" } else { "" };
    match &record.content().actor {
        Shown::Disclosed(None) if !own.is_empty() => "by the log itself".to_owned(),
        Shown::Disclosed(None) => "by nobody named".to_owned(),
        Shown::Disclosed(Some(actor)) => format!("by {}{own}", actors(actor)),
        other => format!("by somebody {}", hidden(&other.as_ref().map(|_| ()))),
    }
}

/// An actor, and those for whom he acted.
pub(super) fn actors(actor: &Actor<'_>) -> String {
    let mut words = actor_words(actor);
    let mut principal = actor.principal();
    while let Some(actor) = principal {
        // Writing to a string does not fail.
        let _ = write!(words, " for {}", actor_words(actor));
        principal = actor.principal();
    }
    words
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
fn push_notes(line: &mut String, told: &Told<'_>, record: &Record) {
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
    match told.producer {
        Producer::None => {}
        Producer::Verified(key) => notes.push(format!("signed by {key}")),
        Producer::Unknown(key) => notes.push(format!("claims to be signed by {key}, not verified")),
    }
    let counts = told.counts();
    for (count, what) in
        [(counts.withheld, "withheld"), (counts.erased, "erased"), (counts.kept, "disclosed though erased")]
    {
        if count > 0 {
            notes.push(format!("{count} {what}"));
        }
    }
    for note in notes {
        let _ = write!(line, ", {note}");
    }
}

pub(super) fn push_values(text: &mut String, record: &Record) {
    match &record.content().values {
        Shown::Disclosed(None) => {}
        // Fields that changed are never none, so that this is a whole document.
        Shown::Disclosed(Some(values)) if values.fields().is_empty() => text.push_str("\n      (document): {}"),
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
    let json = |json: &Json<'_>| shown(json.as_str());
    let words = match &field.content {
        Shown::Disclosed(Field { old: None, new: Some(new) }) if is_whole => json(new),
        Shown::Disclosed(Field { old: None, new: Some(new) }) => format!("→ {}", json(new)),
        Shown::Disclosed(Field { old: Some(old), new: Some(new) }) => format!("{} → {}", json(old), json(new)),
        Shown::Disclosed(Field { old: Some(old), new: None }) => format!("{} → nothing", json(old)),
        Shown::Disclosed(Field { old: None, new: None }) => "nothing".to_owned(),
        other => hidden(&other.as_ref().map(|_| ())),
    };
    format!("{words}{}", classed(field.class))
}

/// A class, unless it is the usual one.
pub(super) fn classed(class: Class) -> String {
    if class == Class::Internal { String::new() } else { format!("   ({})", class.name()) }
}

/// Why something is not shown.
pub(super) fn hidden(shown: &Shown<()>) -> String {
    match shown {
        Shown::Disclosed(()) => String::new(),
        Shown::Withheld => "withheld".to_owned(),
        Shown::Erased(index) => format!("erased, by entry {index}"),
    }
}
