//! Reading JSON (RFC 8259) from front to back: the caller asks for what should come next.
//!
//! Total: every byte sequence is read or refused, recursion ends at a bound. Names within an object are compared after
//! unescaping; a second one of the same name is refused wherever it stands, also in values that are only passed over.

use core::fmt;
use std::borrow::Cow;

use super::escape::{plain_length, unescape, without_space};
use super::names::first_repeated;
use super::{Fault, FaultKind, Json, Value};
use crate::record::bounds::{MAX_DEPTH, MAX_EXPONENT_DIGITS, MAX_INTEGER, MAX_NUMBER_BYTES};

/// The kinds of JSON values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 8259")]
pub enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        })
    }
}

/// A fault at an offset of the text; [`Fault::locate`] finds the pointer.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) at: usize,
    pub(crate) kind: FaultKind,
    /// The name of a member that is missing there.
    pub(crate) below: Option<&'static str>,
    /// Where it is within what stands there, as a JSON Pointer.
    pub(crate) within: Option<Box<str>>,
}

impl Trouble {
    pub(crate) const fn new(at: usize, kind: FaultKind) -> Self {
        Self { at, kind, below: None, within: None }
    }

    /// A member that the object at `at` does not have.
    pub(crate) const fn missing(at: usize, name: &'static str) -> Self {
        Self { at, kind: FaultKind::Missing, below: Some(name), within: None }
    }

    /// The same deeper in what stands there, at this JSON Pointer into it.
    pub(crate) fn within(self, pointer: impl Into<Box<str>>) -> Self {
        Self { within: Some(pointer.into()), ..self }
    }
}

pub(crate) type Read<T> = Result<T, Trouble>;

/// Room for the names of the objects that are open at once in most texts.
const NAMES: usize = 32;

/// A place in a text.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    max_depth: usize,
    /// Whether white space was passed since this was last cleared.
    spaced: bool,
    /// The names of all objects that are open, with their offsets.
    names: Vec<(Cow<'a, str>, usize)>,
}

impl<'a> Reader<'a> {
    /// Reads all of a text with `read`, which must leave nothing but white space.
    pub(crate) fn read<T>(bytes: &'a [u8], max: usize, read: impl FnOnce(&mut Self) -> Read<T>) -> Result<T, Fault> {
        Self::read_within(bytes, (max, MAX_DEPTH), read)
    }

    /// The same with another bound on nesting than [`MAX_DEPTH`], after the one on bytes.
    pub(crate) fn read_within<T>(
        bytes: &'a [u8],
        (max, max_depth): (usize, usize),
        read: impl FnOnce(&mut Self) -> Read<T>,
    ) -> Result<T, Fault> {
        if bytes.len() > max {
            return Err(Fault::whole(FaultKind::TextTooLong(max)));
        }
        let text = core::str::from_utf8(bytes).map_err(|error| Fault::whole(FaultKind::Utf8(error.valid_up_to())))?;
        let mut reader = Self { text, at: 0, depth: 0, max_depth, spaced: false, names: Vec::new() };
        let all = |reader: &mut Self| {
            let value = read(reader)?;
            reader.space();
            match reader.peek() {
                None => Ok(value),
                Some(_) => Err(reader.expected("the end of the text")),
            }
        };
        all(&mut reader).map_err(|trouble| Fault::locate(text, trouble))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
            self.spaced = true;
        }
    }

    const fn expected(&self, expected: &'static str) -> Trouble {
        Trouble::new(self.at, FaultKind::Syntax { expected, at: self.at })
    }

    /// The offset of the next value.
    pub(crate) fn offset(&mut self) -> usize {
        self.space();
        self.at
    }

    /// The kind of the next value.
    pub(crate) fn kind(&mut self) -> Read<Kind> {
        self.space();
        match self.peek() {
            Some(b'n') => Ok(Kind::Null),
            Some(b't' | b'f') => Ok(Kind::Boolean),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b'"') => Ok(Kind::String),
            Some(b'[') => Ok(Kind::Array),
            Some(b'{') => Ok(Kind::Object),
            _ => Err(self.expected("a value")),
        }
    }

    fn must_be(&mut self, kind: Kind, expected: &'static str) -> Read<()> {
        let found = self.kind()?;
        if found == kind { Ok(()) } else { Err(Trouble::new(self.at, FaultKind::Kind { expected, found })) }
    }

    fn descend(&mut self) -> Read<()> {
        if self.depth >= self.max_depth {
            return Err(Trouble::new(self.at, FaultKind::Depth(self.max_depth)));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// Reads an object of at most `max` members: `each` gets a name and its offset, and reads the value.
    pub(crate) fn object(
        &mut self,
        max: usize,
        mut each: impl FnMut(&mut Self, Cow<'a, str>, usize) -> Read<()>,
    ) -> Read<()> {
        self.must_be(Kind::Object, "an object")?;
        let start = self.at;
        self.descend()?;
        let first_name = self.names.len();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                self.space();
                let at = self.at;
                if self.peek() != Some(b'"') {
                    return Err(self.expected("a name in quotation marks"));
                }
                let name = self.string()?;
                if self.names.len() - first_name >= max {
                    return Err(Trouble::new(start, FaultKind::TooMany(max)));
                }
                if self.names.capacity() == 0 {
                    self.names.reserve(NAMES);
                }
                self.names.push((name.clone(), at));
                self.space();
                if self.peek() != Some(b':') {
                    return Err(self.expected("a colon"));
                }
                self.at += 1;
                each(self, name, at)?;
                self.space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b'}') => break self.at += 1,
                    _ => return Err(self.expected("a comma or a closing brace")),
                }
            }
        }
        self.depth -= 1;
        self.distinct(first_name)
    }

    /// Refuses two equal names among those from `first` on, and forgets them.
    fn distinct(&mut self, first: usize) -> Read<()> {
        let twice = first_repeated(self.names.get_mut(first..).unwrap_or_default());
        self.names.truncate(first);
        twice.map_or(Ok(()), |at| Err(Trouble::new(at, FaultKind::Duplicate)))
    }

    /// Reads an array of at most `max` elements, each by `each`.
    pub(crate) fn array(&mut self, max: usize, mut each: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        self.must_be(Kind::Array, "an array")?;
        let start = self.at;
        self.descend()?;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
        } else {
            for count in 0.. {
                if count >= max {
                    return Err(Trouble::new(start, FaultKind::TooMany(max)));
                }
                each(self)?;
                self.space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b']') => {
                        self.at += 1;
                        break;
                    }
                    _ => return Err(self.expected("a comma or a closing bracket")),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads an array of at most `max` elements, each of which `each` makes a value of.
    pub(crate) fn list<T>(&mut self, max: usize, mut each: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let mut elements = Vec::new();
        self.array(max, |reader| {
            elements.push(each(reader)?);
            Ok(())
        })?;
        Ok(elements)
    }

    /// Reads a string, unescaped.
    pub(crate) fn string(&mut self) -> Read<Cow<'a, str>> {
        self.must_be(Kind::String, "a string")?;
        let (start, escaped) = self.pass_string()?;
        let inner = self.text.get(start + 1..self.at - 1).unwrap_or_default();
        if escaped { unescape(inner, start + 1).map(Cow::Owned) } else { Ok(Cow::Borrowed(inner)) }
    }

    /// Passes a string: its offset, and whether it has escapes, which are not checked yet.
    fn pass_string(&mut self) -> Read<(usize, bool)> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut escaped = false;
        self.at += 1;
        loop {
            self.at += plain_length(bytes.get(self.at..).unwrap_or_default());
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok((start, escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(_) => return Err(self.expected("no control character")),
                None => {
                    self.at = bytes.len();
                    return Err(self.expected("a closing quotation mark"));
                }
            }
        }
    }

    /// Reads a whole number of at most 2^53 - 1 that is written as one.
    pub(crate) fn integer(&mut self) -> Read<u64> {
        self.must_be(Kind::Number, "a whole number")?;
        let start = self.at;
        let text = self.number()?;
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = plain.then(|| text.parse::<u64>().ok()).flatten().filter(|number| *number <= MAX_INTEGER);
        number.ok_or(Trouble::new(start, FaultKind::Rule("must be a whole number from 0 to 2^53 - 1")))
    }

    /// Reads a boolean.
    pub(crate) fn boolean(&mut self) -> Read<bool> {
        self.must_be(Kind::Boolean, "a boolean")?;
        let is_true = self.peek() == Some(b't');
        self.literal(if is_true { "true" } else { "false" })?;
        Ok(is_true)
    }

    /// Reads a null, if one is next.
    pub(crate) fn null(&mut self) -> Read<bool> {
        let is_null = self.kind()? == Kind::Null;
        if is_null {
            self.literal("null")?;
        }
        Ok(is_null)
    }

    fn literal(&mut self, word: &'static str) -> Read<()> {
        match self.text.get(self.at..).and_then(|rest| rest.strip_prefix(word)) {
            Some(_) => {
                self.at += word.len();
                Ok(())
            }
            None => Err(self.expected(word)),
        }
    }

    fn number(&mut self) -> Read<&'a str> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            let exponent = self.at;
            self.digits()?;
            let digits = self.text.get(exponent..self.at).unwrap_or_default();
            if digits.trim_start_matches('0').len() > MAX_EXPONENT_DIGITS {
                return Err(Trouble::new(start, FaultKind::ExponentTooLong(MAX_EXPONENT_DIGITS)));
            }
        }
        if self.at - start > MAX_NUMBER_BYTES {
            return Err(Trouble::new(start, FaultKind::NumberTooLong(MAX_NUMBER_BYTES)));
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    fn digits(&mut self) -> Read<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    /// Passes over a value and checks all of it.
    fn pass(&mut self) -> Read<()> {
        match self.kind()? {
            Kind::Null => self.literal("null"),
            Kind::Boolean => self.boolean().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::String => match self.pass_string()? {
                (_, false) => Ok(()),
                (start, true) => {
                    let inner = self.text.get(start + 1..self.at - 1).unwrap_or_default();
                    unescape(inner, start + 1).map(drop)
                }
            },
            Kind::Array => self.array(usize::MAX, Self::pass),
            Kind::Object => self.object(usize::MAX, |reader, _, _| reader.pass()),
        }
    }

    /// Reads a value as text.
    pub(crate) fn json(&mut self) -> Read<Json<'a>> {
        let start = self.offset();
        let spaced_before = core::mem::take(&mut self.spaced);
        self.pass()?;
        let text = self.text.get(start..self.at).unwrap_or_default();
        let spaced = core::mem::replace(&mut self.spaced, spaced_before);
        Ok(Json::checked(if spaced { Cow::Owned(without_space(text)) } else { Cow::Borrowed(text) }))
    }

    /// Reads a value as a tree.
    pub(crate) fn value(&mut self) -> Read<Value> {
        Ok(match self.kind()? {
            Kind::Null => {
                self.literal("null")?;
                Value::Null
            }
            Kind::Boolean => Value::Boolean(self.boolean()?),
            Kind::Number => Value::Number(self.number()?.into()),
            Kind::String => Value::String(self.string()?.into()),
            Kind::Array => Value::Array(self.list(usize::MAX, Self::value)?),
            Kind::Object => {
                let mut members = std::collections::BTreeMap::new();
                self.object(usize::MAX, |reader, name, _| {
                    members.insert(name.into(), reader.value()?);
                    Ok(())
                })?;
                Value::Object(members)
            }
        })
    }
}
