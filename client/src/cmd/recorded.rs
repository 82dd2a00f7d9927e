//! Whether the record on record is the one that was sent: each part that is disclosed, and what the leaf shows in clear.
//!
//! What is withheld or erased can't be compared, and passes. Not here: that the record is in the log, and its disclosures
//! the leaf's ([`cairn_tree::record::open`]).

use cairn_tree::record::attributes::Attributes;
use cairn_tree::record::class::Classed;
use cairn_tree::record::draft::Content;
use cairn_tree::record::open::{OpenAttributes, OpenValues, Record};
use cairn_tree::record::parts::Context;
use cairn_tree::record::shown::Shown;
use cairn_tree::record::values::Values;
use cairn_tree::wire::record::RecordInput;

/// The first part of a record that is shown and is not what was sent. `purpose` is what the request said of that beside the
/// record; the server puts it into a record that has none, and likewise the trace that a request is part of.
pub(super) fn other_part(record: &Record, sent: &RecordInput<'_>, purpose: Option<&str>) -> Option<&'static str> {
    let (says, Content { object, actor, subjects, context, values, attributes }) = (record.content(), &sent.content);
    let head = record.leaf().event().head();
    let topics = record.opening().and_then(|opening| opening.topics.disclosed());
    let topics = topics.is_none_or(|topics| sent.stream.topics.is_none() || *topics == sent.stream.topics);
    let parts = [
        ("id", sent.id.is_none_or(|id| id == head.id)),
        ("time", sent.time.is_none_or(|time| time == head.time)),
        ("record that it replaces", sent.replaces == head.replaces),
        ("producer's key", head.key.is_none()),
        ("object", shown(&says.object, |there| there == object)),
        ("actor", shown(&says.actor, |there| there == actor)),
        ("list of subjects", shown(&says.subjects, |there| there == subjects)),
        ("context", shown(&says.context, |there| same_context(there.as_ref(), context.as_ref(), purpose))),
        ("document", optional(&says.values, values.as_ref(), same_values)),
        ("list of attributes or external digests", optional(&says.attributes, attributes.as_ref(), same_attributes)),
        ("list of topics", topics),
    ];
    parts.into_iter().find(|(_, same)| !same).map(|(part, _)| part)
}

fn shown<T>(there: &Shown<T>, same: impl FnOnce(&T) -> bool) -> bool {
    there.disclosed().is_none_or(same)
}

fn optional<T, U>(there: &Shown<Option<T>>, sent: Option<&U>, same: impl FnOnce(&T, &U) -> bool) -> bool {
    shown(there, |there| match (there, sent) {
        (Some(there), Some(sent)) => same(there, sent),
        (None, None) => true,
        _ => false,
    })
}

fn same_context(there: Option<&Context<'_>>, sent: Option<&Context<'_>>, purpose: Option<&str>) -> bool {
    let nothing = Context::default();
    let (there, sent) = (there.unwrap_or(&nothing), sent.unwrap_or(&nothing));
    let same_purpose = match &sent.purpose {
        None => there.purpose.as_ref().map(|there| there.as_str()) == purpose,
        sent => there.purpose == *sent,
    };
    same_purpose
        && there.reason == sent.reason
        && there.transaction == sent.transaction
        && there.stream == sent.stream
        && kept(&there.correlation, &sent.correlation)
        && kept(&there.traceparent, &sent.traceparent)
        && (sent.traceparent.is_none() && sent.tracestate.is_none() || there.tracestate == sent.tracestate)
}

/// Whether what was sent is there; where nothing was, what is on the way to the server may have added it.
fn kept<T: PartialEq>(there: &Option<T>, sent: &Option<T>) -> bool {
    sent.is_none() || there == sent
}

fn same_values(there: &OpenValues, sent: &Values<'_>) -> bool {
    let mut fields = there.fields().iter().zip(sent.fields());
    there.schema() == sent.schema()
        && there.form() == sent.form()
        && there.fields().len() == sent.fields().len()
        && fields.all(|((pointer, there), (other, sent))| pointer == other && same_content(there, sent))
}

fn same_attributes(there: &OpenAttributes, sent: &Attributes<'_>) -> bool {
    let mut named = there.named().iter().zip(sent.named());
    let mut external = there.external().iter().zip(sent.external());
    there.named().len() == sent.named().len()
        && there.external().len() == sent.external().len()
        && named.all(|((name, there), (other, sent))| name == other && same_content(there, sent))
        && external.all(|(there, sent)| same_content(there, sent))
}

fn same_content<T: PartialEq<U>, U>(there: &Classed<Shown<T>>, sent: &Classed<U>) -> bool {
    there.class == sent.class && shown(&there.content, |there| *there == sent.content)
}
