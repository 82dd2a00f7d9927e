//! What is wrong with a JSON text, and where: the JSON Pointer of the fault.
//!
//! The pointer is found by a second walk over the text, so that reading good text pays nothing for it.

use core::fmt;

use super::reader::Trouble;
use super::{Kind, Pointer};

/// What is wrong with a JSON text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{kind}", Place(pointer))]
pub struct Fault {
    pointer: String,
    kind: FaultKind,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultKind {
    /// The text is longer than it may be.
    #[error("the text is longer than {0} bytes")]
    TextTooLong(usize),
    /// The text is not UTF-8.
    #[error("the text is not UTF-8 from byte {0} on")]
    Utf8(usize),
    /// The text is no JSON.
    #[error("expected {expected} at byte {at}")]
    Syntax {
        /// What would be right there.
        expected: &'static str,
        /// The offset in the text.
        at: usize,
    },
    /// An escape for half of a surrogate pair.
    #[error("a lone surrogate at byte {0}")]
    Surrogate(usize),
    /// A name stands twice in one object.
    #[error("the name stands twice in its object")]
    Duplicate,
    /// Arrays and objects nest too deep.
    #[error("nested deeper than {0}")]
    Depth(usize),
    /// A number with too many characters.
    #[error("a number of more than {0} characters")]
    NumberTooLong(usize),
    /// A number whose exponent has too many digits.
    #[error("a number whose exponent has more than {0} digits")]
    ExponentTooLong(usize),
    /// A value of another kind.
    #[error("expected {expected}, found {found}")]
    Kind {
        /// The kind that is right there.
        expected: &'static str,
        /// The kind that was found.
        found: Kind,
    },
    /// A member that nothing here knows.
    #[error("there is no such member")]
    Unknown,
    /// A member that must be there.
    #[error("this member is missing")]
    Missing,
    /// More elements or members than there may be.
    #[error("more than {0}")]
    TooMany(usize),
    /// More bytes than there may be.
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// A value that breaks its rule, which is said.
    #[error("{0}")]
    Rule(&'static str),
    /// A value that breaks its rule, which is said with what was found.
    #[error("{0}")]
    Words(String),
}

impl FaultKind {
    /// Whether the text can't be read at all, rather than that it says something wrong: 400 rather than 422 over HTTP.
    #[must_use]
    pub const fn is_syntax(&self) -> bool {
        matches!(
            self,
            Self::TextTooLong(_) | Self::Utf8(_) | Self::Syntax { .. } | Self::Surrogate(_) | Self::Duplicate
        )
    }
}

impl Fault {
    /// A fault at a pointer that is known.
    #[must_use]
    pub fn new(pointer: &Pointer<'_>, kind: FaultKind) -> Self {
        Self { pointer: pointer.as_str().to_owned(), kind }
    }

    /// A fault of the whole text.
    pub(super) const fn whole(kind: FaultKind) -> Self {
        Self { pointer: String::new(), kind }
    }

    /// A fault that a reader met in `text`.
    pub(super) fn locate(text: &str, trouble: Trouble) -> Self {
        let mut pointer = path_to(text, trouble.at);
        if let Some(within) = trouble.within {
            pointer.push_str(&within);
        }
        if let Some(missing) = trouble.below {
            push_token(&mut pointer, missing);
        }
        Self { pointer, kind: trouble.kind }
    }

    /// Where it is, as a JSON Pointer; empty for the whole text.
    #[must_use]
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> &FaultKind {
        &self.kind
    }

    /// The same fault in a text whose part this one is.
    #[must_use]
    pub fn below(mut self, parent: &str) -> Self {
        self.pointer.insert_str(0, parent);
        self
    }
}

/// A pointer before the words, where there is one.
struct Place<'a>(&'a str);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "{}: ", self.0) }
    }
}

/// Appends a reference token (RFC 6901, section 3).
pub(crate) fn push_token(pointer: &mut String, token: &str) {
    pointer.push('/');
    if !token.bytes().any(|byte| matches!(byte, b'~' | b'/')) {
        return pointer.push_str(token);
    }
    for character in token.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

/// An array or an object that is open.
enum Open<'a> {
    Array { index: usize },
    Object { name: Option<&'a str>, expects_name: bool },
}

/// The way to the value or the name at an offset. The text before the offset is JSON as far as it goes.
fn path_to(text: &str, offset: usize) -> String {
    let mut open: Vec<Open<'_>> = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() && at <= offset {
        match bytes.get(at) {
            Some(b'{') => open.push(Open::Object { name: None, expects_name: true }),
            Some(b'[') => open.push(Open::Array { index: 0 }),
            // A closing bracket at the offset itself is still within.
            Some(b'}' | b']') if at < offset => drop(open.pop()),
            Some(b',') if at < offset => match open.last_mut() {
                Some(Open::Array { index }) => *index += 1,
                Some(Open::Object { name, expects_name }) => (*name, *expects_name) = (None, true),
                None => {}
            },
            Some(b'"') => {
                let end = string_end(bytes, at);
                if let Some(Open::Object { name, expects_name: expects_name @ true }) = open.last_mut() {
                    *name = text.get(at..end);
                    *expects_name = false;
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    // A value that begins at the offset is not yet inside of itself.
    if matches!(bytes.get(offset), Some(b'{' | b'[')) && at > offset {
        open.pop();
    }
    let mut pointer = String::new();
    for place in &open {
        match place {
            Open::Array { index } => push_token(&mut pointer, &index.to_string()),
            Open::Object { name: Some(name), .. } => {
                let name = super::escape::string_of(name);
                push_token(&mut pointer, &name);
            }
            Open::Object { name: None, .. } => {}
        }
    }
    pointer
}

/// The offset after the string that begins at `at`, or the end of the text.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    loop {
        match bytes.get(end) {
            Some(b'\\') => end += 2,
            Some(b'"') => return end + 1,
            Some(_) => end += 1,
            None => return bytes.len(),
        }
    }
}
