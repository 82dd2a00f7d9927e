//! All that a verified record says, for people: a line for each thing, and for each that is not shown why.
//!
//! What a record says of other records and logs is said as its word: whoever reads one record has not looked them up.

use core::fmt::{Display, Write as _};

use cairn_tree::record::class::Class;
use cairn_tree::record::json::Json;
use cairn_tree::record::open::{OpenAttributes, OpenedStream, Record};
use cairn_tree::record::parts::{Context, Object};
use cairn_tree::record::shown::Shown;
use cairn_tree::record::text::Name;

use super::told::Told;
use super::words::{actors, classed, done, hidden, push_values};
use crate::fetch::shown;

/// Lines that are being written.
struct Sheet(String);

impl Sheet {
    fn line(&mut self, what: &str, says: impl Display) {
        // Writing to a string does not fail.
        let _ = write!(self.0, "\n  {what:<12} {says}");
    }

    /// A part of the record, or why it is not shown; nothing if the record does not have it.
    fn part<T>(&mut self, what: &str, part: &Shown<Option<T>>, words: impl FnOnce(&mut Self, &T)) {
        match part {
            Shown::Disclosed(None) => {}
            Shown::Disclosed(Some(part)) => words(self, part),
            other => self.line(what, hidden(&other.as_ref().map(|_| ()))),
        }
    }
}

/// What a record says, a line for each thing.
pub(in crate::cmd) fn sheet(told: &Told<'_>) -> String {
    let mut sheet = Sheet(String::new());
    let Some(record) = told.record else { return sheet.0 };
    let (event, server, says) = (record.leaf().event().head(), record.leaf().server(), record.content());
    sheet.line("time", format_args!("{} by the producer's clock, {} by the log's", event.time, server.time));
    match &says.object {
        Shown::Disclosed(object) => push_object(&mut sheet, object),
        other => sheet.line("object", hidden(&other.as_ref().map(|_| ()))),
    }
    if told.is_own() {
        sheet.line("producer", "the log itself");
    }
    sheet.part("actor", &says.actor, |sheet, actor| sheet.line("actor", actors(actor)));
    sheet.part("subjects", &says.subjects, |sheet, subjects| sheet.line("subjects", names(subjects.names())));
    sheet.part("context", &says.context, push_context);
    push_values(&mut sheet.0, record);
    sheet.part("attributes", &says.attributes, push_attributes);
    push_stream(&mut sheet, record);
    if let Some(id) = event.replaces {
        sheet.line("corrects", format_args!("{id}, by its own word: that record was not looked at"));
    }
    sheet.0
}

fn names(names: &[Name<'_>]) -> String {
    shown(&names.iter().map(Name::as_str).collect::<Vec<_>>().join(", "))
}

fn push_object(sheet: &mut Sheet, object: &Object<'_>) {
    let Object { tenant, module, entity, id, .. } = object;
    for (what, name) in [("tenant", tenant), ("module", module), ("entity", entity), ("object", id)] {
        sheet.line(what, shown(name.as_str()));
    }
    sheet.line("operation", done(object));
    if let Some(category) = &object.category {
        sheet.line("category", shown(category.as_str()));
    }
}

fn push_context(sheet: &mut Sheet, context: &Context<'static>) {
    let texts = [
        ("reason", context.reason.as_ref().map(|text| text.as_str())),
        ("purpose", context.purpose.as_ref().map(|text| text.as_str())),
        ("transaction", context.transaction.as_ref().map(Name::as_str)),
        ("correlation", context.correlation.as_ref().map(Name::as_str)),
        ("traceparent", context.traceparent.as_ref().map(|text| text.as_str())),
        ("tracestate", context.tracestate.as_ref().map(|text| text.as_str())),
    ];
    for (what, text) in texts {
        if let Some(text) = text {
            sheet.line(what, shown(text));
        }
    }
}

fn push_attributes(sheet: &mut Sheet, attributes: &OpenAttributes) {
    for (name, attribute) in attributes.named() {
        let says = attribute.content.disclosed().map(|json: &Json<'_>| shown(json.as_str()));
        let says = says.unwrap_or_else(|| hidden(&attribute.content.as_ref().map(|_| ())));
        sheet.line("attribute", format_args!("{}: {says}{}", shown(name.as_str()), classed(attribute.class)));
    }
    for external in attributes.external() {
        let of_class: Class = external.class;
        let says = external.content.disclosed().map(|external| {
            let media_type = external.media_type().map(|name| format!(", {}", shown(name.as_str())));
            let (name, size, sha256) = (shown(external.name().as_str()), external.size(), external.sha256_text());
            format!("{name}, {size} bytes{}, SHA-256 {sha256}", media_type.unwrap_or_default())
        });
        let says = says.unwrap_or_else(|| hidden(&external.content.as_ref().map(|_| ())));
        sheet.line("data", format_args!("{says}{}", classed(of_class)));
    }
}

fn push_stream(sheet: &mut Sheet, record: &Record) {
    match record.stream() {
        Some(Shown::Disclosed(name)) => sheet.line("stream", shown(&name.to_string())),
        Some(other) => sheet.line("stream", hidden(&other.as_ref().map(|_| ()))),
        None => {}
    }
    let Some(OpenedStream { topics, continues }) = record.opening() else { return };
    sheet.part("topics", topics, |sheet, topics| sheet.line("topics", names(topics.names())));
    sheet.part("continues", continues, |sheet, head| {
        let (log, stream, seq, leaf) = (shown(head.log.as_str()), head.stream, head.seq, head.leaf.to_base64());
        let words = format!("record {seq} of the stream {stream} in {log}, with the leaf hash {leaf}");
        sheet.line("continues", format_args!("{words}, by its own word: that log was not looked at"));
    });
}
