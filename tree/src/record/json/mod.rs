//! JSON as audit records need it (RFC 8259): every number and string is kept as it was written, and whatever two readers
//! could understand differently is refused.
//!
//! Refused are duplicate names, invalid UTF-8, lone surrogates, and what is past a bound; each fault has its JSON Pointer
//! (RFC 6901). `serde_json` was considered: it takes the last of two members with one name, its numbers pass through
//! 64-bit types unless a feature is set for the whole build, and its errors have a line instead of a pointer.
//!
//! Not here: what members mean. Canonical JSON stands in [`canonical`].

pub mod canonical;
mod escape;
mod fault;
mod names;
mod pointer;
mod reader;
mod value;

pub(crate) use fault::push_token;
pub use fault::{Fault, FaultKind};
pub use pointer::{Pointer, PointerError};
pub use reader::Kind;
pub(crate) use reader::{Read, Reader, Trouble};
pub use value::{Value, same_number};

use std::borrow::Cow;

/// A JSON value as text: valid, within the bounds, without white space between its tokens; numbers, escapes and the order
/// of members are the sender's.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json<'a>(Cow<'a, str>);

impl Value {
    /// The value as text: numbers as they were written, members in the order of their names' bytes.
    #[must_use]
    pub fn to_json(&self) -> Json<'static> {
        let mut json = Vec::new();
        self.push(&mut json);
        Json(Cow::Owned(String::from_utf8(json).unwrap_or_default()))
    }

    // As deep as values are that were read, which is bounded.
    fn push(&self, json: &mut Vec<u8>) {
        let comma = |json: &mut Vec<u8>, index: usize| {
            if index > 0 {
                json.push(b',');
            }
        };
        match self {
            Self::Null => json.extend_from_slice(b"null"),
            Self::Boolean(true) => json.extend_from_slice(b"true"),
            Self::Boolean(false) => json.extend_from_slice(b"false"),
            Self::Number(number) => json.extend_from_slice(number.as_bytes()),
            Self::String(text) => canonical::push_string(json, text),
            Self::Array(elements) => {
                json.push(b'[');
                for (index, element) in elements.iter().enumerate() {
                    comma(json, index);
                    element.push(json);
                }
                json.push(b']');
            }
            Self::Object(members) => {
                json.push(b'{');
                for (index, (name, value)) in members.iter().enumerate() {
                    comma(json, index);
                    canonical::push_string(json, name);
                    json.push(b':');
                    value.push(json);
                }
                json.push(b'}');
            }
        }
    }
}

/// Its length and no content, which may tell of a person: `Debug` ends in the logs of programs.
impl core::fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Json({} bytes)", self.0.len())
    }
}

impl<'a> Json<'a> {
    /// Wraps what a reader has checked.
    pub(crate) const fn checked(text: Cow<'a, str>) -> Self {
        Self(text)
    }

    /// Reads one value.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn parse(text: &'a [u8]) -> Result<Self, Fault> {
        Reader::read(text, super::bounds::MAX_INPUT_BYTES, |reader| reader.json())
    }

    /// A string.
    #[must_use]
    pub fn string(text: &str) -> Json<'static> {
        let mut json = Vec::with_capacity(text.len() + 2);
        canonical::push_string(&mut json, text);
        Json(Cow::Owned(String::from_utf8(json).unwrap_or_default()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Json<'static> {
        Json(Cow::Owned(self.0.into_owned()))
    }

    /// The value as a tree.
    #[must_use]
    pub fn value(&self) -> Value {
        // What was checked once reads again.
        Reader::read(self.0.as_bytes(), self.0.len(), |reader| reader.value()).unwrap_or(Value::Null)
    }

    /// Whether both mean the same value: white space, escapes, the order of members and the form of numbers aside.
    #[must_use]
    pub fn means(&self, other: &Json<'_>) -> bool {
        self.0 == other.0 || self.value() == other.value()
    }
}
