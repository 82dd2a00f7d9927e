//! A state: JSON of which some may be unknown.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::record::json::canonical::push_string;
use crate::record::json::{Json, Value, push_token, same_number};
use crate::record::shown::Shown;
use crate::size::LeafIndex;

/// A state, or a part of one.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 8259")]
pub enum Node {
    Null,
    Boolean(bool),
    /// A number as it was written.
    Number(Box<str>),
    String(Box<str>),
    Array(Vec<Node>),
    Object(BTreeMap<Box<str>, Node>),
    /// Something that is not shown.
    Unknown(Unknown),
}

/// Its kind and no content, which may tell of a person.
impl core::fmt::Debug for Node {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Boolean(_) => f.write_str("Boolean"),
            Self::Number(_) => f.write_str("Number"),
            Self::String(_) => f.write_str("String"),
            Self::Array(_) => f.write_str("Array"),
            Self::Object(_) => f.write_str("Object"),
            Self::Unknown(why) => write!(f, "Unknown({why:?})"),
        }
    }
}

/// Why something is not known. Where there are several reasons, the least of them is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unknown {
    /// It is gone; the redaction record is at this index.
    Erased(LeafIndex),
    /// The reader may not see it.
    Withheld,
}

impl Unknown {
    /// Why something that should be shown is not, or what is shown.
    ///
    /// # Errors
    /// Why it is not.
    pub const fn or_shown<T>(shown: &Shown<T>) -> Result<&T, Self> {
        match shown {
            Shown::Disclosed(value) => Ok(value),
            Shown::Withheld => Err(Self::Withheld),
            Shown::Erased(index) => Err(Self::Erased(*index)),
        }
    }
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(boolean) => Self::Boolean(boolean),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::String(text),
            Value::Array(elements) => Self::Array(elements.into_iter().map(Self::from).collect()),
            Value::Object(members) => {
                Self::Object(members.into_iter().map(|(name, value)| (name, Self::from(value))).collect())
            }
        }
    }
}

impl Node {
    /// An object without members.
    #[must_use]
    pub const fn empty() -> Self {
        Self::Object(BTreeMap::new())
    }

    /// Whether both are the same value; `None` if what is unknown decides.
    #[must_use]
    pub fn same(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::Unknown(_), _) | (_, Self::Unknown(_)) => None,
            (Self::Null, Self::Null) => Some(true),
            (Self::Boolean(one), Self::Boolean(two)) => Some(one == two),
            (Self::Number(one), Self::Number(two)) => Some(same_number(one, two)),
            (Self::String(one), Self::String(two)) => Some(one == two),
            (Self::Array(one), Self::Array(two)) if one.len() == two.len() => {
                all_same(one.iter().zip(two).map(|(one, two)| one.same(two)))
            }
            (Self::Object(one), Self::Object(two)) => {
                let of_one = one.iter().map(|(name, one)| Self::same_or_none(Some(one), two.get(name)));
                let only_two = two.iter().filter(|(name, _)| !one.contains_key(*name));
                all_same(of_one.chain(only_two.map(|(_, two)| Self::same_or_none(None, Some(two)))))
            }
            _ => Some(false),
        }
    }

    /// The same for members that may be absent. Of one that is unknown, nobody knows whether it is there.
    pub(super) fn same_or_none(one: Option<&Self>, other: Option<&Self>) -> Option<bool> {
        match (one, other) {
            (None, None) => Some(true),
            (Some(one), Some(other)) => one.same(other),
            (Some(Self::Unknown(_)), None) | (None, Some(Self::Unknown(_))) => None,
            (Some(_), None) | (None, Some(_)) => Some(false),
        }
    }

    /// What an index or a name leads to.
    pub(super) fn child(&self, token: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.get(token),
            Self::Array(elements) => array_index(token).and_then(|index| elements.get(index)),
            _ => None,
        }
    }

    /// The text as JSON; what is unknown as `{"erased": index}` or `{"withheld": true}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = Vec::new();
        self.push(&mut json);
        String::from_utf8(json).unwrap_or_default()
    }

    /// The same, to be written into other JSON.
    #[must_use]
    pub fn to_json_value(&self) -> Json<'static> {
        Json::checked(Cow::Owned(self.to_json()))
    }

    fn push(&self, json: &mut Vec<u8>) {
        match self {
            Self::Null => json.extend_from_slice(b"null"),
            Self::Boolean(true) => json.extend_from_slice(b"true"),
            Self::Boolean(false) => json.extend_from_slice(b"false"),
            Self::Number(number) => json.extend_from_slice(number.as_bytes()),
            Self::String(text) => push_string(json, text),
            Self::Array(elements) => {
                json.push(b'[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        json.push(b',');
                    }
                    element.push(json);
                }
                json.push(b']');
            }
            Self::Object(members) => {
                json.push(b'{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        json.push(b',');
                    }
                    push_string(json, name);
                    json.push(b':');
                    value.push(json);
                }
                json.push(b'}');
            }
            Self::Unknown(Unknown::Erased(index)) => {
                json.extend_from_slice(format!("{{\"erased\":{index}}}").as_bytes());
            }
            Self::Unknown(Unknown::Withheld) => json.extend_from_slice(b"{\"withheld\":true}"),
        }
    }

    /// What of it is unknown, by JSON Pointer: only there does an `erased` or `withheld` in its JSON mean that.
    #[must_use]
    pub fn unknowns(&self) -> Vec<(String, Unknown)> {
        let mut found = Vec::new();
        self.note_unknowns(&mut String::new(), &mut found);
        found
    }

    fn note_unknowns(&self, pointer: &mut String, found: &mut Vec<(String, Unknown)>) {
        let length = pointer.len();
        match self {
            Self::Unknown(why) => found.push((pointer.clone(), *why)),
            Self::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    push_token(pointer, &index.to_string());
                    element.note_unknowns(pointer, found);
                    pointer.truncate(length);
                }
            }
            Self::Object(members) => {
                for (name, member) in members {
                    push_token(pointer, name);
                    member.note_unknowns(pointer, found);
                    pointer.truncate(length);
                }
            }
            _ => {}
        }
    }

    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let below = match self {
            Self::Number(text) | Self::String(text) => text.len(),
            Self::Array(elements) => elements.iter().map(Self::bytes).sum(),
            Self::Object(members) => members.iter().map(|(name, member)| 32 + name.len() + member.bytes()).sum(),
            _ => 0,
        };
        core::mem::size_of::<Self>() + below
    }

    /// Whether any of it is unknown.
    #[must_use]
    pub fn has_unknowns(&self) -> bool {
        match self {
            Self::Unknown(_) => true,
            Self::Array(elements) => elements.iter().any(Self::has_unknowns),
            Self::Object(members) => members.values().any(Self::has_unknowns),
            _ => false,
        }
    }
}

/// One difference decides; then one unknown does.
fn all_same(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut all = Some(true);
    for part in parts {
        match part {
            Some(false) => return Some(false),
            Some(true) => {}
            None => all = None,
        }
    }
    all
}

/// An index of an array (RFC 6901, section 4): digits without leading zeros.
pub(super) fn array_index(token: &str) -> Option<usize> {
    let canonical = token == "0" || !token.starts_with('0');
    let digits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit());
    (canonical && digits).then(|| token.parse().ok()).flatten()
}
