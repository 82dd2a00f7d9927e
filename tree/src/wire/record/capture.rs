//! What eGov DIGIT's persister hands on to be audited: the message `{topic, value}`, and a row of a table that was made of
//! one, as a record.
//!
//! As in [`super::digit`], members that are not known are ignored. The envelope may have a `RequestInfo` of its own, for the
//! credential; that of the message, within `value`, belongs to the message. Not here: which rows a message has, which its
//! persister's configuration says.

use std::borrow::Cow;

use super::digit::{RequestInfo, values_of_row};
use super::{RecordInput, StreamInput};
use crate::record::bounds::MAX_BODY_BYTES;
use crate::record::draft::Content;
use crate::record::json::{Fault, Json, Reader, Trouble, Value};
use crate::record::parts::{Actor, Context, Object};
use crate::record::reserved::Reserved;
use crate::record::text::{Name, Operation, TextError};
use crate::record::time::Time;
use crate::record::values::ValuesError;

/// Members that are ignored are bounded too.
const MEMBERS: usize = 1024;

/// The body of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureInput<'a> {
    /// Who asks.
    pub request_info: RequestInfo<'a>,
    /// The topic that the message was on.
    pub topic: Name<'a>,
    /// The message.
    pub value: Value,
}

/// Reads the body of a capture.
///
/// # Errors
/// [`Fault`].
pub fn parse_capture(body: &[u8]) -> Result<CaptureInput<'_>, Fault> {
    Reader::read(body, MAX_BODY_BYTES, |reader| {
        let start = reader.offset();
        let (mut request_info, mut topic, mut value) = (RequestInfo::default(), None, None);
        reader.object(MEMBERS, |reader, name, _| {
            match &*name {
                "RequestInfo" => request_info = RequestInfo::read(reader)?,
                "topic" => topic = Some(Name::read(reader)?),
                "value" => value = Some(reader.value()?),
                _ => drop(reader.json()?),
            }
            Ok(())
        })?;
        Ok(CaptureInput {
            request_info,
            topic: topic.ok_or(Trouble::missing(start, "topic"))?,
            value: value.ok_or(Trouble::missing(start, "value"))?,
        })
    })
}

/// A row of a table, as a statement of a persister leaves it.
#[derive(Clone, PartialEq, Eq)]
pub struct CapturedRow {
    /// Whose it is.
    pub tenant: String,
    /// The part of the tenant's system.
    pub module: String,
    /// The table.
    pub table: String,
    /// The object that the row belongs to.
    pub object: String,
    /// Which of the object's rows in this table.
    pub key: Option<String>,
    /// `create`, `update` or `delete`.
    pub operation: Operation<'static>,
    /// Who did it.
    pub user: Option<String>,
    /// When.
    pub time: Option<Time>,
    /// The business transaction.
    pub transaction: Option<String>,
    /// What all rows of an object in one message have in common.
    pub correlation: Option<String>,
    /// The columns.
    pub columns: Vec<(String, Json<'static>)>,
}

/// How many columns and no content, which may tell of a person.
impl core::fmt::Debug for CapturedRow {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CapturedRow").field("columns", &self.columns.len()).finish_non_exhaustive()
    }
}

/// Why a row is no record. Names the part and never its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// A text is not one that a record can have.
    #[error("{0}: {1}")]
    Text(&'static str, TextError),
    /// Something is the log's own.
    #[error(transparent)]
    Reserved(#[from] Reserved),
    /// The columns are too many or too large.
    #[error("the columns: {}", words(.0))]
    Values(ValuesError),
}

/// A fault of values, without the pointer, whose tokens may be content.
fn words(error: &ValuesError) -> &'static str {
    match error {
        ValuesError::TooManyFields => "there are too many",
        ValuesError::Value { .. } => "a value is too long or nested too deeply",
        ValuesError::Pointer(_) => "a name is too long, or its value is nested too deeply",
        ValuesError::Overlap(_) => "two have one name",
        _ => "they can't be kept as they are",
    }
}

impl CapturedRow {
    /// The record that says so. A row with an id of its own is kept apart from the other rows of its object.
    ///
    /// # Errors
    /// [`RowError`].
    pub fn into_record(self) -> Result<RecordInput<'static>, RowError> {
        let name = |part: &'static str, text: String| Name::new(text).map_err(|error| RowError::Text(part, error));
        let optional = |part, text: Option<String>| text.map(|text| name(part, text)).transpose();
        let object = Object {
            row: optional("the row's key", self.key.filter(|key| *key != self.object))?,
            tenant: name("the tenant", self.tenant)?,
            module: name("the module", self.module)?,
            entity: name("the table", self.table)?,
            id: name("the object's id", self.object)?,
            category: None,
            action: None,
            operation: self.operation,
        };
        if let Some(reserved) = Reserved::of_brought(&object) {
            return Err(reserved.into());
        }
        let columns = self.columns.into_iter().map(|(name, json)| (Cow::Owned(name), json)).collect::<Vec<_>>();
        let values = match columns.is_empty() {
            true => None,
            false => Some(values_of_row(&object.operation, columns).map_err(RowError::Values)?),
        };
        let context = Context {
            transaction: optional("the transaction code", self.transaction)?,
            correlation: optional("the correlation id", self.correlation)?,
            ..Context::default()
        };
        let kind = name("the user", "user".to_owned())?;
        let actor = optional("the user", self.user)?.map(|user| Actor::new(user, Some(kind)));
        let content = Content {
            object,
            actor,
            subjects: None,
            context: Some(context).filter(|context| !context.is_empty()),
            values,
            attributes: None,
        };
        Ok(RecordInput { id: None, time: self.time, replaces: None, content, stream: StreamInput::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> CapturedRow {
        CapturedRow {
            tenant: "pb.amritsar".into(),
            module: "TL".into(),
            table: "eg_tl_owner".into(),
            object: "L-1".into(),
            key: Some("o-1".into()),
            operation: Operation::CREATE,
            user: Some("u-1".into()),
            time: Time::from_millis(1_700_000_000_000).ok(),
            transaction: None,
            correlation: Some("c-1".into()),
            columns: vec![("uuid".into(), Json::string("o-1"))],
        }
    }

    #[test]
    fn a_message_is_read_whatever_else_its_envelope_has() {
        let body = br#"{"x":[1],"topic":"save-it","value":{"a":{"b":1.50}},"RequestInfo":{"authToken":"t"}}"#;
        let input = parse_capture(body).unwrap();
        assert_eq!((input.topic.as_str(), input.request_info.auth_token.as_deref()), ("save-it", Some("t")));
        assert_eq!(input.value.to_json().as_str(), r#"{"a":{"b":1.50}}"#);
        for (bad, pointer) in [
            (&br#"{"topic":"t"}"#[..], "/value"),
            (br#"{"value":{}}"#, "/topic"),
            (br#"{"topic":"","value":{}}"#, "/topic"),
            (br#"{"topic":"t","value":{"a":1,"a":2}}"#, "/value/a"),
            (b"[]", ""),
        ] {
            assert_eq!(parse_capture(bad).unwrap_err().pointer(), pointer);
        }
    }

    #[test]
    fn a_row_is_its_objects_own_where_it_has_its_id() {
        let record = row().into_record().unwrap();
        assert_eq!(record.content.object.row.unwrap().as_str(), "o-1");
        let own = CapturedRow { key: Some("L-1".into()), ..row() }.into_record().unwrap();
        assert_eq!(own.content.object.row, None);
        let bare = CapturedRow { columns: vec![], user: None, correlation: None, ..row() }.into_record().unwrap();
        assert!(bare.content.values.is_none() && bare.content.actor.is_none() && bare.content.context.is_none());
    }

    #[test]
    fn what_is_no_record_is_named_without_its_content() {
        let long = "x".repeat(300);
        for (bad, words) in [
            (
                CapturedRow { tenant: String::new(), ..row() },
                "the tenant: must not be empty, nor have control characters",
            ),
            (CapturedRow { object: long, ..row() }, "the object's id: longer than 256 bytes"),
            (CapturedRow { module: "cairn".into(), ..row() }, "the module cairn is the log's own, and no producer's"),
        ] {
            assert_eq!(bad.into_record().unwrap_err().to_string(), words);
        }
    }
}
