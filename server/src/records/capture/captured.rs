//! The rows of a message as records, each known by the message and its number, so that a message that is delivered again
//! makes no others.

use core::fmt;

use cairn_tree::record::json::Value;
use cairn_tree::wire::record::RecordInput;
use cairn_tree::wire::record::capture::{CapturedRow, RowError};
use sha2::{Digest as _, Sha256};

use super::super::form::{Delivery, Input};
use super::credential::{scrubbed, scrubbed_text, take_credentials_out};

/// What is hashed before all else, so that no other digest is one of these.
const LABEL: &[u8] = b"cairn captured message\n";

/// The rows of a message, as records.
#[derive(Clone, PartialEq, Eq)]
pub struct Captured {
    message: [u8; 32],
    rows: Vec<RecordInput<'static>>,
}

/// How many rows and no content, which may tell of a person.
impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Captured({} rows)", self.rows.len())
    }
}

impl Captured {
    /// Records of rows; `message` is what the message is known by.
    ///
    /// # Errors
    /// [`RowError`], with the row's number.
    pub fn new(message: [u8; 32], rows: Vec<CapturedRow>) -> Result<Self, (usize, RowError)> {
        let record = |(number, row): (usize, CapturedRow)| row.into_record().map_err(|error| (number, error));
        Ok(Self { message, rows: rows.into_iter().enumerate().map(record).collect::<Result<_, _>>()? })
    }

    /// The records.
    #[must_use]
    pub fn rows(&self) -> &[RecordInput<'static>] {
        &self.rows
    }

    /// The records with what each is known by.
    pub fn inputs<'a>(&self) -> impl Iterator<Item = Input<'a>> + '_ {
        (0..).zip(&self.rows).map(|(number, row)| {
            Input::Plain(Box::new(row.clone()), Some(Delivery::Row { message: self.message, number }))
        })
    }
}

/// A message that was read, without credentials: they are none of the log's, and others when the message is sent again.
pub struct ReadMessage {
    /// Its topic.
    pub topic: String,
    /// What it says.
    pub value: Value,
    /// The form that it is kept and known by: members in order.
    pub text: String,
}

impl ReadMessage {
    /// A message on a topic.
    #[must_use]
    pub fn new(topic: &str, mut value: Value) -> Self {
        take_credentials_out(&mut value);
        let topic = scrubbed_text(topic).unwrap_or_else(|| topic.to_owned());
        let members = [("topic", Value::String(topic.as_str().into())), ("value", value.clone())];
        let message = Value::Object(members.into_iter().map(|(name, value)| (name.into(), value)).collect());
        Self { topic, value, text: message.to_json().as_str().to_owned() }
    }
}

/// Its length and no content, which may tell of a person.
impl fmt::Debug for ReadMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadMessage({} bytes)", self.text.len())
    }
}

/// A message that can't be read, as it is kept: as it came, without credentials.
#[must_use]
pub fn unread_text(body: &[u8]) -> Vec<u8> {
    scrubbed(body).into_owned()
}

/// What a message is known by: its content, or the key that its sender gave it, which is that sender's alone.
#[must_use]
pub fn message_digest(body: &[u8], key: Option<(&[u8], &str)>) -> [u8; 32] {
    let mut hasher = Sha256::new_with_prefix(LABEL);
    match key {
        None => hasher.update([&b"body\n"[..], body].concat()),
        Some((sender, key)) => hasher.update([b"key\n", sender, b"\n", key.as_bytes()].concat()),
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use cairn_tree::record::json::Json;

    use super::*;

    fn text(json: &str) -> String {
        ReadMessage::new("t", Json::parse(json.as_bytes()).unwrap().value()).text
    }

    #[test]
    fn a_message_is_known_by_what_it_says() {
        let one = text(r#"{"b":1.0,"RequestInfo":{"authToken":"secret","ver":"1"},"a":"x"}"#);
        assert_eq!(one, r#"{"topic":"t","value":{"RequestInfo":{"ver":"1"},"a":"x","b":1.0}}"#);
        assert_eq!(text(r#"{ "a": "x", "RequestInfo": {"ver":"1","authToken":"other"}, "b": 1.0 }"#), one);
        assert_ne!(text(r#"{"a":"x","RequestInfo":{"ver":"1"},"b":1}"#), one);
        let digest = |key| message_digest(one.as_bytes(), key);
        assert_ne!(digest(None), digest(Some((b"1", "k"))));
        assert_ne!(digest(Some((b"2", "k"))), digest(Some((b"1", "k"))));
    }
}
