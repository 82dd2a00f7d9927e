//! What a record's disclosures say, as JSON for people and for programs that verify nothing.
//!
//! What is not there is `{"erased":INDEX}` or `{"withheld":true}`, a part that the record does not have is absent; values
//! are as they were written.

use super::document::push_unknown;
use super::json::{Object, push_array};
use crate::record::class::Classed;
use crate::record::json::canonical::push_string;
use crate::record::later::Later;
use crate::record::open::{OpenAttributes, OpenValues, Record};
use crate::record::replay::Unknown;
use crate::record::shown::Shown;
use crate::record::values::{Form, Schema};

/// What a record says.
#[must_use]
pub fn view(record: &Record) -> String {
    let mut json = Vec::with_capacity(2 * 1024);
    Object::write(&mut json, |view| {
        push_clear(view, record);
        let content = record.content();
        shown(view, "object", &content.object, |json, object| object.push(json));
        optional(view, "actor", &content.actor, |json, actor| actor.push(json));
        optional(view, "subjects", &content.subjects, |json, subjects| subjects.push(json));
        optional(view, "context", &content.context, |json, context| context.push(json));
        optional(view, "values", &content.values, push_values);
        optional(view, "attributes", &content.attributes, push_attributes);
        if let Some(name) = record.stream() {
            shown(view, "stream_name", name, |json, name| json.extend_from_slice(name.to_string().as_bytes()));
        }
        if let Some(opening) = record.opening() {
            optional(view, "topics", &opening.topics, |json, topics| topics.push(json));
            optional(view, "continues", &opening.continues, |json, head| head.push(json));
        }
    });
    // Only what is UTF-8 was written.
    String::from_utf8(json).unwrap_or_default()
}

/// What is known of a record of a later version.
#[must_use]
pub fn view_later(later: &Later) -> String {
    let mut json = Vec::with_capacity(512);
    Object::write(&mut json, |view| {
        view.boolean("later_version", true);
        view.text("id", later.id());
        view.string("log", later.log().as_str());
        view.text("stream", later.stream());
        view.integer("seq", later.seq().get());
        if let Some(prev) = later.prev() {
            view.hash("prev", &prev);
        }
        view.time("server_time", later.time());
    });
    // Only what is UTF-8 was written.
    String::from_utf8(json).unwrap_or_default()
}

/// What stands in the leaf in clear.
fn push_clear(view: &mut Object<'_>, record: &Record) {
    let (head, server) = (record.leaf().event().head(), record.leaf().server());
    view.text("id", head.id);
    view.string("log", head.log.as_str());
    view.time("time", head.time);
    if let Some(key) = record.claimed_key() {
        view.text("claimed_key", key);
    }
    if let Some(id) = head.replaces {
        view.text("replaces", id);
    }
    view.text("stream", server.stream);
    view.integer("seq", server.place.seq().get());
    if let Some(prev) = server.place.prev() {
        view.hash("prev", &prev);
    }
    view.time("server_time", server.time);
    // How late it came: nobody is refused for that, and everybody sees it.
    let late = server.time.micros().saturating_sub(head.time.micros());
    view.integer("late_seconds", late / 1_000_000);
    view.text("by", server.by);
}

/// Writes what is shown, or why it is not.
fn push_shown<T>(json: &mut Vec<u8>, part: &Shown<T>, push: impl FnOnce(&mut Vec<u8>, &T)) {
    match Unknown::or_shown(part) {
        Ok(part) => push(json, part),
        Err(why) => push_unknown(json, why),
    }
}

fn shown<T>(view: &mut Object<'_>, name: &str, part: &Shown<T>, push: impl FnOnce(&mut Vec<u8>, &T)) {
    view.member(name, |json| push_shown(json, part, push));
}

/// The same for a part that the record may not have.
fn optional<T>(view: &mut Object<'_>, name: &str, part: &Shown<Option<T>>, push: impl FnOnce(&mut Vec<u8>, &T)) {
    match part.as_ref() {
        Shown::Disclosed(None) => {}
        Shown::Disclosed(Some(part)) => view.member(name, |json| push(json, part)),
        Shown::Withheld => view.member(name, |json| push_unknown(json, Unknown::Withheld)),
        Shown::Erased(index) => view.member(name, |json| push_unknown(json, Unknown::Erased(index))),
    }
}

/// A piece under its class: what it holds as further members, or why it is not shown.
fn push_classed<T>(json: &mut Vec<u8>, piece: &Classed<Shown<T>>, push: impl FnOnce(&mut Object<'_>, &T)) {
    Object::write(json, |object| {
        object.string("class", piece.class.name());
        match Unknown::or_shown(&piece.content) {
            Ok(content) => push(object, content),
            Err(Unknown::Erased(index)) => object.integer("erased", index.get()),
            Err(Unknown::Withheld) => object.boolean("withheld", true),
        }
    });
}

fn push_schema(object: &mut Object<'_>, schema: &Schema<'_>) {
    object.member("schema", |json| {
        Object::write(json, |object| {
            object.string("uri", schema.uri.as_str());
            if let Some(version) = &schema.version {
                object.string("version", version.as_str());
            }
        });
    });
}

fn push_values(json: &mut Vec<u8>, values: &OpenValues) {
    Object::write(json, |object| {
        if let Some(schema) = values.schema() {
            push_schema(object, schema);
        }
        let name = match values.form() {
            Form::Fields => "fields",
            Form::Whole(sides) => {
                object.string("sides", sides.name());
                "whole"
            }
        };
        object.member(name, |json| {
            Object::write(json, |fields| {
                for (pointer, piece) in values.fields() {
                    fields.member_of_any_name(pointer.as_str(), |json| {
                        push_classed(json, piece, |object, field| {
                            for (side, value) in [("old", &field.old), ("new", &field.new)] {
                                if let Some(value) = value {
                                    object.json(side, value);
                                }
                            }
                        });
                    });
                }
            });
        });
    });
}

fn push_attributes(json: &mut Vec<u8>, attributes: &OpenAttributes) {
    Object::write(json, |object| {
        if !attributes.named().is_empty() {
            object.member("named", |json| {
                Object::write(json, |named| {
                    for (name, piece) in attributes.named() {
                        named.member_of_any_name(name.as_str(), |json| {
                            push_classed(json, piece, |object, value| object.json("value", value));
                        });
                    }
                });
            });
        }
        if !attributes.external().is_empty() {
            object.member("external", |json| {
                push_array(json, attributes.external(), |json, piece| {
                    push_classed(json, piece, |object, external| {
                        object.string("name", external.name().as_str());
                        object.integer("size", external.size());
                        if let Some(media_type) = external.media_type() {
                            object.string("media_type", media_type.as_str());
                        }
                        object.member("sha256", |json| push_string(json, &external.sha256_text()));
                    });
                });
            });
        }
    });
}
