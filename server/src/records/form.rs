//! The media types that records come in, and reading a body of each.

use std::sync::Arc;

use cairn_tree::record::text::Name;
use cairn_tree::wire::media;
use cairn_tree::wire::record::RecordInput;
use cairn_tree::wire::record::cloudevents::{self, DedupeKey};
use cairn_tree::wire::record::digit;
use cairn_tree::wire::record::native::{self, NativeInput, SignedInput};

use super::capture::Captured;
use super::refusal::Refusal;

/// How records stand in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// One in our own form, or an array of them.
    Json,
    /// One in our own form per line.
    Lines,
    /// A CloudEvent, or an array of them.
    CloudEvents,
    /// The rows of DIGIT's audit service, which come to a route of their own.
    DigitRows,
    /// The rows that were made of a message of DIGIT's persister, whatever its body.
    Captured(Arc<Captured>),
}

/// What is known as one thing, however often it is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery<'a> {
    /// A CloudEvent.
    Event(DedupeKey<'a>),
    /// A row of a captured message.
    Row {
        /// What the message is known by.
        message: [u8; 32],
        /// Which of its rows.
        number: u64,
    },
}

/// One record of a body.
pub enum Input<'a> {
    /// What it says; what may be delivered again has a key of its own.
    Plain(Box<RecordInput<'a>>, Option<Delivery<'a>>),
    /// What a producer has sealed and signed.
    Signed(Box<SignedInput<'a>>),
}

/// The records of a body.
pub struct Inputs<'a> {
    /// The records.
    pub records: Vec<Input<'a>>,
    /// What stands before the number of a record in pointers into the body; `None` if the body is the record.
    list: Option<&'static str>,
}

/// Each media type with its form. The first is taken where a request names none.
const TYPES: [(&str, Form); 6] = [
    (media::JSON, Form::Json),
    (media::NDJSON, Form::Lines),
    ("application/ndjson", Form::Lines),
    ("application/jsonl", Form::Lines),
    (media::CLOUD_EVENT, Form::CloudEvents),
    (media::CLOUD_EVENTS, Form::CloudEvents),
];

impl Form {
    /// The form of a content type.
    #[must_use]
    pub fn of(content_type: Option<&str>) -> Option<Self> {
        let essence = content_type.map_or(media::JSON, |value| value.split(';').next().unwrap_or_default().trim());
        TYPES.into_iter().find(|(name, _)| essence.eq_ignore_ascii_case(name)).map(|(_, form)| form)
    }

    /// The media types that are read.
    #[must_use]
    pub fn names() -> String {
        TYPES.map(|(name, _)| name).join(", ")
    }

    /// Reads a body; `tenant` is the caller's, if it has only one.
    ///
    /// # Errors
    /// [`Refusal`]; one bad record is one of all.
    pub fn read<'a>(&self, body: &'a [u8], tenant: Option<&Name<'a>>) -> Result<Inputs<'a>, Refusal> {
        let is_array = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        let native = |input| match input {
            NativeInput::Plain(record) => Input::Plain(record, None),
            NativeInput::Signed(signed) => Input::Signed(signed),
        };
        let records: Vec<Input<'a>> = match self {
            Self::Json => native::parse(body)?.into_iter().map(native).collect(),
            Self::Lines => native::parse_lines(body)?.into_iter().map(native).collect(),
            Self::CloudEvents => cloudevents::parse(body, tenant)?
                .into_iter()
                .map(|event| Input::Plain(Box::new(event.record), Some(Delivery::Event(event.key))))
                .collect(),
            Self::DigitRows => {
                let rows = digit::parse_create(body)?.records.into_iter();
                rows.map(|row| Input::Plain(Box::new(row), None)).collect()
            }
            Self::Captured(captured) => captured.inputs().collect(),
        };
        if records.is_empty() {
            return Err(Refusal::invalid(String::new(), "there must be a record").bounded("0", "at least 1 record"));
        }
        let list = match self {
            Self::DigitRows | Self::Captured(_) => Some("/AuditLogs"),
            Self::Lines => Some(""),
            Self::Json | Self::CloudEvents => is_array.then_some(""),
        };
        Ok(Inputs { records, list })
    }
}

impl Inputs<'_> {
    /// Where a record stands in the body, as a JSON Pointer.
    #[must_use]
    pub fn place(&self, number: usize) -> String {
        self.list.map(|list| format!("{list}/{number}")).unwrap_or_default()
    }

    /// What stands before the number of a record in a pointer; `None` if the body is a single record.
    #[must_use]
    pub const fn list(&self) -> Option<&'static str> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_have_their_forms() {
        assert_eq!(Form::of(None), Some(Form::Json));
        assert_eq!(Form::of(Some("application/JSON; charset=utf-8")), Some(Form::Json));
        assert_eq!(Form::of(Some("application/x-ndjson")), Some(Form::Lines));
        assert_eq!(Form::of(Some("application/cloudevents-batch+json")), Some(Form::CloudEvents));
        for bad in ["text/plain", "", "application/cloudevents", "application/json5", "json"] {
            assert_eq!(Form::of(Some(bad)), None, "{bad}");
        }
    }

    #[test]
    fn an_empty_list_is_refused() {
        for (form, body) in [(Form::Json, "[]"), (Form::Lines, " \n\n"), (Form::CloudEvents, " []")] {
            let refusal = form.read(body.as_bytes(), None).map(|_| ()).unwrap_err();
            assert_eq!(refusal.into_problem().bound.as_deref(), Some("at least 1 record"), "{form:?}");
        }
    }
}
