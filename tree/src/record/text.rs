//! The texts of a record that are not free JSON: each bounded, with its own rule.

use core::fmt;
use std::borrow::Cow;

use super::bounds::{MAX_NAME_BYTES, MAX_OPERATION_BYTES, MAX_PROSE_BYTES, MAX_TRACESTATE_BYTES, MAX_URI_BYTES};
use super::json::canonical::push_string;
use super::json::{FaultKind, Read, Reader, Trouble};

/// Why a text is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It is longer than it may be.
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// It breaks its rule.
    #[error("{0}")]
    Rule(&'static str),
}

impl From<TextError> for FaultKind {
    fn from(error: TextError) -> Self {
        match error {
            TextError::TooLong(max) => Self::TooLong(max),
            TextError::Rule(rule) => Self::Rule(rule),
        }
    }
}

macro_rules! texts {
    ($($(#[doc = $doc:literal])+ $name:ident, $max:ident, $holds:expr, $rule:literal;)+) => { $(
        $(#[doc = $doc])+
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name<'a>(Cow<'a, str>);

        impl<'a> $name<'a> {
            /// Checks the text.
            ///
            /// # Errors
            /// [`TextError`].
            pub fn new(text: impl Into<Cow<'a, str>>) -> Result<Self, TextError> {
                let (text, holds): (Cow<'a, str>, fn(&str) -> bool) = (text.into(), $holds);
                match text.len() {
                    length if length > $max => Err(TextError::TooLong($max)),
                    _ if !holds(&text) => Err(TextError::Rule($rule)),
                    _ => Ok(Self(text)),
                }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// A copy that borrows nothing.
            #[must_use]
            pub fn into_owned(self) -> $name<'static> {
                $name(Cow::Owned(self.0.into_owned()))
            }

            /// Reads a string of JSON.
            pub(crate) fn read(reader: &mut Reader<'a>) -> Read<Self> {
                let at = reader.offset();
                Self::new(reader.string()?).map_err(|error| Trouble::new(at, error.into()))
            }

            /// Writes it as a member of an object: its name with quotation marks and a colon, then the text.
            #[allow(dead_code, reason = "not each of these texts is a member")]
            pub(crate) fn push_member(&self, json: &mut Vec<u8>, name: &str) {
                push_name(json, name);
                push_string(json, &self.0);
            }
        }

        impl fmt::Display for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        /// Its length and no content, which may tell of a person: `Debug` ends in the logs of programs.
        impl fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({} bytes)"), self.0.len())
            }
        }
    )+ };
}

/// Writes the name of a member, after a comma unless it is the first of its object.
pub(crate) fn push_name(json: &mut Vec<u8>, name: &str) {
    if json.last() != Some(&b'{') {
        json.push(b',');
    }
    json.push(b'"');
    json.extend_from_slice(name.as_bytes());
    json.extend_from_slice(b"\":");
}

texts! {
    /// A name or an id that people gave: of a tenant, a module, an object, an actor, and so on.
    Name, MAX_NAME_BYTES, |text| !text.is_empty() && !text.chars().any(char::is_control),
        "must not be empty, nor have control characters";
    /// Words of people, perhaps in several lines.
    Prose, MAX_PROSE_BYTES, |text| {
        !text.is_empty() && !text.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\r' | '\t'))
    }, "must not be empty, nor have control characters other than tabs and line ends";
    /// A URI or a reference to one (RFC 3986), as far as its characters go.
    Uri, MAX_URI_BYTES, |text| !text.is_empty() && !text.chars().any(|character| {
        character.is_control() || character.is_whitespace() || matches!(character, '<' | '>' | '"' | '\\' | '^' | '`' | '{' | '|' | '}')
    }), "must be a URI reference";
    /// What was done: `create`, `update`, `delete`, `read`, or a word of one's own, which replay passes over.
    Operation, MAX_OPERATION_BYTES, is_operation,
        "must be lower-case letters, digits, dots, hyphens and underscores, and begin with a letter";
    /// The `traceparent` of a request (W3C trace context, section 3.2).
    TraceParent, MAX_NAME_BYTES, is_traceparent, "must be a traceparent of W3C trace context";
    /// The `tracestate` of a request (W3C trace context, section 3.3), not looked into.
    TraceState, MAX_TRACESTATE_BYTES, |text| !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        "must be printable ASCII";
}

fn is_operation(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'))
}

/// Section 3.2.2: version 00 is exactly four fields; of a later one the first four are the same, and more may follow.
fn is_traceparent(text: &str) -> bool {
    let lower_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let mut parts = text.splitn(5, '-');
    let (version, trace, parent, flags, rest) = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
    let (Some(version), Some(trace), Some(parent), Some(flags)) = (version, trace, parent, flags) else { return false };
    let fields = lower_hex(version, 2) && lower_hex(trace, 32) && lower_hex(parent, 16) && lower_hex(flags, 2);
    fields && version != "ff" && !zero(trace) && !zero(parent) && (version != "00" || rest.is_none())
}

/// The operations that replay knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A new life of the object begins.
    Create,
    /// The object changes.
    Update,
    /// The object's life ends.
    Delete,
    /// Nothing changes: it was read, or something else was done.
    None,
}

impl Operation<'_> {
    /// `create`.
    pub const CREATE: Operation<'static> = Operation(Cow::Borrowed("create"));
    /// `update`.
    pub const UPDATE: Operation<'static> = Operation(Cow::Borrowed("update"));
    /// `delete`.
    pub const DELETE: Operation<'static> = Operation(Cow::Borrowed("delete"));
    /// `read`.
    pub const READ: Operation<'static> = Operation(Cow::Borrowed("read"));

    /// What it does to the object's state.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self.as_str() {
            "create" => Effect::Create,
            "update" => Effect::Update,
            "delete" => Effect::Delete,
            _ => Effect::None,
        }
    }
}

impl TraceParent<'_> {
    /// The trace's id, 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.0.get(3..35).unwrap_or_default()
    }
}
