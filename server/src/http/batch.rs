//! The forms of a batch of entries: one entry's bytes, C2SP length-prefixed entries, or JSON with base64.
//!
//! All end as length-prefixed entries; what came so is not copied. Bounds are checked before anything is kept.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cairn_tree::statement::reserved_prefix;
use cairn_tree::tile::{Entries, EntriesError};
use cairn_tree::wire::media;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::problem::{Kind, Problem};
use crate::engine::EntryBatch;

/// The one member of a JSON batch.
const MEMBER: &str = "entries";

/// How the entries stand in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Single,
    Encoded,
    Json,
}

/// What a batch may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) entries: usize,
    pub(crate) entry_bytes: usize,
}

impl Form {
    /// The form of a body of this content type; without one, it is an entry's bytes.
    pub(crate) fn of(content_type: Option<&str>) -> Result<Self, Problem> {
        let Some(value) = content_type else { return Ok(Self::Single) };
        let essence = value.split(';').next().unwrap_or_default().trim();
        let forms = [(media::OCTETS, Self::Single), (media::ENTRIES, Self::Encoded), (media::JSON, Self::Json)];
        let found = forms.iter().find(|(name, _)| essence.eq_ignore_ascii_case(name));
        found.map(|(_, form)| *form).ok_or_else(|| {
            let problem = Problem::new(Kind::UnsupportedType, "content-type: entries don't come in this type");
            problem.field("content-type").value(value).bound(forms.map(|(name, _)| name).join(", "))
        })
    }
}

/// Takes a body apart and hashes its entries.
pub(crate) fn parse(form: Form, body: Bytes, bounds: Bounds) -> Result<EntryBatch, Problem> {
    let encoded = match form {
        Form::Json => Bytes::from(encode_json(&body, bounds)?),
        Form::Encoded | Form::Single => body,
    };
    let entries = Entries::parse_batch(&encoded, bounds.entries).map_err(|error| unreadable(&error, bounds))?;
    if entries.is_empty() {
        return Err(Problem::malformed(MEMBER, "0", "a batch has at least one entry").bound("at least 1 entry"));
    }
    for (position, entry) in entries.iter().enumerate() {
        refuse_long(entry.len(), position, bounds)?;
        refuse_reserved(entry, Some(position))?;
    }
    EntryBatch::from_encoded(encoded, bounds.entries).map_err(Problem::internal)
}

/// Refuses a leaf that would read as a record, or as what the log says about itself.
pub(crate) fn refuse_reserved(entry: &[u8], position: Option<usize>) -> Result<(), Problem> {
    let Some(prefix) = reserved_prefix(entry) else { return Ok(()) };
    let which = position.map_or_else(|| "entry".to_owned(), |position| format!("entry {position}"));
    let problem =
        Problem::new(Kind::ReservedPrefix, format!("{which}: leaves that begin so are written by the server only"));
    Err(problem.field("entry").value(prefix).bound(format!("not beginning with {prefix}")))
}

fn refuse_long(length: usize, position: usize, bounds: Bounds) -> Result<(), Problem> {
    if length <= bounds.entry_bytes {
        return Ok(());
    }
    let most = bounds.entry_bytes;
    let detail = format!("entry {position}: {length} bytes, but at most {most} are taken");
    let problem = Problem::new(Kind::TooLarge, detail).field("entry").value(length.to_string());
    Err(problem.bound(format!("at most {most} bytes")))
}

fn unreadable(error: &EntriesError, bounds: Bounds) -> Problem {
    match error {
        EntriesError::TooMany(most) => too_many(*most),
        EntriesError::EntryTooLong(length) => Problem::too_large("entry", length, bounds.entry_bytes, "bytes"),
        EntriesError::CutOff(_) | EntriesError::Count { .. } => {
            Problem::malformed("body", "", error).bound("entries, each after its length in two bytes, big-endian")
        }
    }
}

fn too_many(most: usize) -> Problem {
    let problem = Problem::new(Kind::TooLarge, format!("entries: more than the {most} that one batch may have"));
    problem.field(MEMBER).value(format!("more than {most}")).bound(format!("at most {most} entries"))
}

/// Reads `{"entries":["base64", ...]}` into length-prefixed entries.
fn encode_json(body: &[u8], bounds: Bounds) -> Result<Vec<u8>, Problem> {
    let over = Cell::new(false);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let texts = Document { most: bounds.entries, over: &over }
        .deserialize(&mut deserializer)
        .and_then(|texts| deserializer.end().map(|()| texts))
        .map_err(|error| if over.get() { too_many(bounds.entries) } else { not_json(&error) })?;
    let mut encoded = Vec::with_capacity(body.len());
    for (position, Text(text)) in texts.iter().enumerate() {
        refuse_long(decoded_length(text), position, bounds)?;
        let entry = STANDARD.decode(&**text).map_err(|error| {
            let detail = format!("entry {position} is not padded standard base64: {error}");
            Problem::malformed(MEMBER, text, detail).bound("padded standard base64")
        })?;
        Entries::encode(&entry, &mut encoded).map_err(|error| unreadable(&error, bounds))?;
    }
    Ok(encoded)
}

/// The bytes that padded base64 stands for, before anything is decoded.
fn decoded_length(text: &str) -> usize {
    let padding = text.bytes().rev().take(2).filter(|byte| *byte == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::malformed("body", "", error).bound("{\"entries\":[\"base64\", ...]}")
}

/// A JSON string, borrowed from the body where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The whole document; `over` tells a bound that was passed from a document that can't be read.
struct Document<'s> {
    most: usize,
    over: &'s Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = Vec<Text<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = Vec<Text<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the one member \"entries\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some(Text(name)) = map.next_key()? else { return Err(A::Error::missing_field(MEMBER)) };
        if name != MEMBER {
            return Err(A::Error::unknown_field(&name, &[MEMBER]));
        }
        let texts = map.next_value_seed(Array(self))?;
        match map.next_key::<Text<'de>>()? {
            None => Ok(texts),
            Some(Text(name)) if name == MEMBER => Err(A::Error::duplicate_field(MEMBER)),
            Some(Text(name)) => Err(A::Error::unknown_field(&name, &[MEMBER])),
        }
    }
}

struct Array<'s>(Document<'s>);

impl<'de> DeserializeSeed<'de> for Array<'_> {
    type Value = Vec<Text<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Array<'_> {
    type Value = Vec<Text<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = seq.next_element()? {
            if texts.len() == self.0.most {
                self.0.over.set(true);
                return Err(A::Error::custom("too many entries"));
            }
            texts.push(text);
        }
        Ok(texts)
    }
}

#[cfg(test)]
mod tests {
    use cairn_tree::hash::Hash;

    use super::*;

    const BOUNDS: Bounds = Bounds { entries: 3, entry_bytes: 5 };

    fn json(text: &str) -> Result<Vec<Hash>, Kind> {
        parse(Form::Json, Bytes::copy_from_slice(text.as_bytes()), BOUNDS)
            .map(|batch| batch.leaves().to_vec())
            .map_err(|problem| problem.kind())
    }

    #[test]
    fn json_and_encoded_batches_are_the_same_entries() {
        let expected = [b"a".as_slice(), b"", b"12345"].map(Hash::leaf).to_vec();
        assert_eq!(json(r#" {"entries": ["YQ==", "", "MTIzN\u0044U="]} "#), Ok(expected.clone()));
        let encoded = Bytes::from_static(b"\0\x01a\0\0\0\x0512345");
        assert_eq!(parse(Form::Encoded, encoded, BOUNDS).unwrap().leaves(), expected);
    }

    #[test]
    fn what_is_too_large_is_told_from_what_is_malformed() {
        assert_eq!(json(r#"{"entries":["MTIzNDU2"]}"#), Err(Kind::TooLarge));
        assert_eq!(json(&format!(r#"{{"entries":["{}"]}}"#, "A".repeat(400))), Err(Kind::TooLarge));
        assert_eq!(json(r#"{"entries":["","","",""]}"#), Err(Kind::TooLarge));
        let nested = "[".repeat(100_000);
        for bad in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"entries":[]}"#,
            r#"{"entries":"YQ=="}"#,
            r#"{"entries":["YQ"]}"#,
            r#"{"entries":["YR=="]}"#,
            r#"{"entries":["Y-=="]}"#,
            r#"{"entries":[1]}"#,
            r#"{"entries":["YQ=="],"x":1}"#,
            r#"{"x":1,"entries":["YQ=="]}"#,
            r#"{"entries":["YQ=="],"entries":["YQ=="]}"#,
            r#"{"entries":["YQ=="]} x"#,
            &nested,
        ] {
            assert_eq!(json(bad), Err(Kind::Malformed), "{bad:.40}");
        }
        let encoded = |bytes: &'static [u8]| {
            parse(Form::Encoded, Bytes::from_static(bytes), BOUNDS).map(|_| ()).map_err(|problem| problem.kind())
        };
        assert_eq!(encoded(b""), Err(Kind::Malformed));
        assert_eq!(encoded(b"\0"), Err(Kind::Malformed));
        assert_eq!(encoded(b"\0\x02a"), Err(Kind::Malformed));
        assert_eq!(encoded(b"\0\x06123456"), Err(Kind::TooLarge));
        assert_eq!(encoded(b"\0\0\0\0\0\0\0\0"), Err(Kind::TooLarge));
    }

    #[test]
    fn records_are_not_appended_as_entries() {
        assert_eq!(refuse_reserved(b"cairn.record/1\n{}", None).unwrap_err().kind(), Kind::ReservedPrefix);
        for own in [b"cairn.key/1\n".as_slice(), b"cairn.seal/9", b"cairn.link/"] {
            assert_eq!(refuse_reserved(own, None).unwrap_err().kind(), Kind::ReservedPrefix);
        }
        assert!(refuse_reserved(b"cairn.record", None).is_ok());
        let long = Bounds { entries: 3, entry_bytes: 50 };
        let batch = Bytes::from_static(b"\0\x01a\0\x0dcairn.record/");
        assert_eq!(parse(Form::Encoded, batch, long).unwrap_err().kind(), Kind::ReservedPrefix);
    }

    #[test]
    fn content_types_are_matched_without_parameters() {
        assert_eq!(Form::of(None).unwrap(), Form::Single);
        assert_eq!(Form::of(Some("Application/JSON; charset=utf-8")).unwrap(), Form::Json);
        assert_eq!(Form::of(Some("text/csv")).unwrap_err().kind(), Kind::UnsupportedType);
    }
}
