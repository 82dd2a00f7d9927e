//! The records that tell of a batch that was given up: ordinary records in the streams of what was dropped, which replay
//! passes over.
//!
//! Of a batch of ordinary size each record gets one. Of a larger one each stream does, up to a bound, so that what tells
//! of a batch is never longer than a batch may be.

use std::collections::BTreeMap;

use cairn_tree::hash::Hash;
use cairn_tree::record::draft::Content;
use cairn_tree::record::id::RecordId;
use cairn_tree::record::json::Json;
use cairn_tree::record::json::canonical::push_string;
use cairn_tree::record::open::Opened;
use cairn_tree::record::parts::Object;
use cairn_tree::record::text::Name;
use cairn_tree::wire::record::native::{NativeInput, parse, texts};
use sha2::{Digest as _, Sha256};

use super::bounds;
use super::entry::Refusal;
use super::event::{Event, EventError, Stream};

/// What a producer does to an object whose record it drops.
const DROPPED: &str = "outbox.dropped";

/// A record that is given up.
struct Gone<'b> {
    id: Option<RecordId>,
    object: Object<'static>,
    /// The name of its stream, if that is not its object's own.
    stream: Option<Name<'static>>,
    which: Stream,
    json: Json<'b>,
}

/// What tells that the records of a body were dropped, for this reason.
pub(super) fn of_drop(body: &[u8], reason: &str, refusal: Option<&Refusal>) -> Result<Vec<Event>, EventError> {
    let gone = all(body)?;
    let answer = refusal.map(|Refusal { status, words, .. }| ("outbox-answer", format!("{status}: {words}")));
    if gone.len() <= bounds::DROP_RECORDS {
        let told = |gone: &Gone<'_>| {
            let digest = ("outbox-sha256", digest([gone.json.as_str()]));
            let id = gone.id.map(|id| ("outbox-record", id.to_string()));
            told(gone, reason, id.into_iter().chain([digest]).chain(answer.clone()))
        };
        return gone.iter().map(told).collect();
    }
    let mut streams: BTreeMap<Stream, Vec<&Gone<'_>>> = BTreeMap::new();
    gone.iter().for_each(|one| streams.entry(one.which).or_default().push(one));
    let batch = [
        ("outbox-batch-count", gone.len().to_string()),
        ("outbox-batch-sha256", Hash::new(Sha256::digest(body).into()).to_string()),
    ];
    let told = |of_stream: &Vec<&Gone<'_>>| {
        let ids = of_stream.iter().filter_map(|gone| gone.id).take(bounds::DROP_IDS);
        let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
        let own = [
            ("outbox-count", of_stream.len().to_string()),
            ("outbox-records", ids.join(" ")),
            ("outbox-sha256", digest(of_stream.iter().map(|gone| gone.json.as_str()))),
        ];
        let first = of_stream.first().ok_or(EventError::Empty)?;
        told(first, reason, own.into_iter().chain(batch.clone()).chain(answer.clone()))
    };
    streams.values().take(bounds::DROP_STREAMS).map(told).collect()
}

fn all(body: &[u8]) -> Result<Vec<Gone<'_>>, EventError> {
    let mut gone = Vec::new();
    for (number, (input, json)) in parse(body)?.into_iter().zip(texts(body)?).enumerate() {
        let (id, object, context) = match input {
            NativeInput::Plain(input) => {
                let Content { object, context, .. } = input.content;
                (input.id, object.into_owned(), context.map(|context| context.into_owned()))
            }
            NativeInput::Signed(input) => {
                let wrong = |error| EventError::Signed { number, error };
                let opened = Opened::of_event(&input.event, &input.disclosures).map_err(wrong)?;
                let object = opened.object.disclosed().ok_or(EventError::Empty)?.clone();
                (Some(input.event.head().id), object, opened.context.disclosed().cloned().flatten())
            }
        };
        let which = Stream::of(&object, context.as_ref());
        gone.push(Gone { id, object, stream: context.and_then(|context| context.stream), which, json });
    }
    Ok(gone)
}

/// A record of the same object and stream, with these attributes.
fn told(
    gone: &Gone<'_>,
    reason: &str,
    attributes: impl Iterator<Item = (&'static str, String)>,
) -> Result<Event, EventError> {
    let mut text = b"{\"object\":{".to_vec();
    let Object { tenant, module, entity, id: object, row, .. } = &gone.object;
    let named = [("tenant", tenant), ("module", module), ("entity", entity), ("id", object)];
    for (name, value) in named.into_iter().chain(row.as_ref().map(|row| ("row", row))) {
        push_member(&mut text, name, value.as_str());
    }
    push_member(&mut text, "operation", DROPPED);
    text.extend_from_slice(b"},\"context\":{");
    push_member(&mut text, "reason", reason);
    if let Some(stream) = &gone.stream {
        push_member(&mut text, "stream", stream.as_str());
    }
    text.extend_from_slice(b"},\"attributes\":{");
    attributes.for_each(|(name, value)| push_member(&mut text, name, &value));
    text.extend_from_slice(b"}}");
    Ok(Event::parse(&text)?)
}

/// Over the JSON of records, with a line feed between two.
fn digest<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let mut hasher = Sha256::new();
    for (number, text) in texts.into_iter().enumerate() {
        hasher.update(if number > 0 { &b"\n"[..] } else { b"" });
        hasher.update(text.as_bytes());
    }
    Hash::new(hasher.finalize().into()).to_string()
}

/// Appends a member, behind a comma if there is one before it.
fn push_member(json: &mut Vec<u8>, name: &str, value: &str) {
    if json.last() != Some(&b'{') {
        json.push(b',');
    }
    push_string(json, name);
    json.push(b':');
    push_string(json, value);
}
