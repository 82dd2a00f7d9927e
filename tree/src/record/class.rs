//! How confidential a field is, and what says so for the fields of a record.
//!
//! Where fields, attributes and external digests are listed, they stand under their classes, so that whoever may read the
//! list sees the class of each, shown or not: what is withheld for its class can be told from what is withheld without a
//! reason.

use core::fmt;

use super::json::{FaultKind, Pointer, Read, Reader, Trouble};
use super::text::push_name;

/// How confidential a field is; each class covers those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Anybody may see it.
    Public,
    /// Everybody in the organisation may see it. What is not classified is internal.
    Internal,
    /// Only those who need it may see it.
    Restricted,
    /// Nobody may see it without a special right.
    Secret,
}

const RULE: &str = "must be public, internal, restricted or secret";

impl Class {
    /// All classes, the least confidential first.
    pub const ALL: [Self; 4] = [Self::Public, Self::Internal, Self::Restricted, Self::Secret];

    /// The name, as it stands in disclosures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Restricted => "restricted",
            Self::Secret => "secret",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let at = reader.offset();
        let class = Self::from_name(&reader.string()?);
        class.ok_or(Trouble::new(at, FaultKind::Rule(RULE)))
    }
}

/// A field, an attribute or an external digest under its class, which is known even where the content is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classed<T> {
    /// How confidential it is.
    pub class: Class,
    /// What it holds.
    pub content: T,
}

/// In the order of their names, in which they are written.
const BY_NAME: [Class; 4] = [Class::Internal, Class::Public, Class::Restricted, Class::Secret];

/// Writes an object with a member for each class that has something; `push` writes what it has, and tells whether that is
/// anything.
pub(super) fn push_groups(json: &mut Vec<u8>, mut push: impl FnMut(&mut Vec<u8>, Class) -> bool) {
    json.push(b'{');
    for class in BY_NAME {
        let start = json.len();
        push_name(json, class.name());
        if !push(json, class) {
            json.truncate(start);
        }
    }
    json.push(b'}');
}

/// Reads an object whose members are classes; `each` reads what is of one, which must be something, and appends it.
pub(super) fn read_groups<'a, T>(
    reader: &mut Reader<'a>,
    mut each: impl FnMut(&mut Reader<'a>, Class, &mut Vec<T>) -> Read<()>,
) -> Read<Vec<T>> {
    let mut all = Vec::new();
    reader.object(Class::ALL.len(), |reader, name, at| {
        let class = Class::from_name(&name).ok_or(Trouble::new(at, FaultKind::Rule(RULE)))?;
        let (start, before) = (reader.offset(), all.len());
        each(reader, class, &mut all)?;
        if all.len() > before { Ok(()) } else { Err(Trouble::new(start, FaultKind::Rule("must not be empty"))) }
    })?;
    Ok(all)
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which class the fields of a record have: rules by pointer, and what holds where none applies.
///
/// Rules may name fields that the record does not have, so that one set serves all records of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classification<'a> {
    otherwise: Class,
    rules: Vec<(Pointer<'a>, Class)>,
}

impl Default for Classification<'_> {
    fn default() -> Self {
        Self::all(Class::Internal)
    }
}

impl<'a> Classification<'a> {
    /// One class for all.
    #[must_use]
    pub const fn all(class: Class) -> Self {
        Self { otherwise: class, rules: Vec::new() }
    }

    /// The same with a rule more.
    #[must_use]
    pub fn with(mut self, pointer: Pointer<'a>, class: Class) -> Self {
        self.rules.push((pointer, class));
        self
    }

    /// The class of the field at a pointer, all that is in it included: the one of the nearest rule at or above it, or of a
    /// rule within it that is more confidential.
    #[must_use]
    pub fn of(&self, field: &Pointer<'_>) -> Class {
        if self.rules.is_empty() {
            return self.otherwise;
        }
        let above = self.rules.iter().filter(|(rule, _)| field.is_within(rule));
        let nearest = above.max_by_key(|(rule, class)| (rule.as_str().len(), *class));
        let own = nearest.map_or(self.otherwise, |(_, class)| *class);
        let within = self.rules.iter().filter(|(rule, _)| rule.is_within(field)).map(|(_, class)| *class);
        within.fold(own, Class::max)
    }

    /// Whether a rule names something within this field, so that the field had better be disclosed in parts.
    pub(super) fn reaches_into(&self, field: &Pointer<'_>) -> bool {
        self.rules.iter().any(|(rule, _)| rule.as_str().len() > field.as_str().len() && rule.is_within(field))
    }
}
