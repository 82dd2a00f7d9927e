//! What an event says of the object's data: the whole of it, or the fields that changed, with the values before and after.
//!
//! Both forms are kept as fields by JSON Pointer, each with its class and its own disclosure. A whole document is cut into the members of
//! its outermost object, and where a classification names something deeper, into the members of that object too; arrays are
//! never cut. So no field is within another, and putting them together again gives the document.

mod document;

pub use document::Document;

use document::cut;

use super::bounds::{MAX_FIELDS, MAX_TOKENS};
use super::class::{Classed, Classification};
use super::json::{FaultKind, Json, Pointer, Read, Reader, Trouble};
use super::text::{Effect, Name, Operation, Uri, push_name};
use super::value::{self, ValueError};

/// What an event says of the object's data; `F` is a [`Field`], or what was shown of one.
///
/// Invariants: the fields are in the order of their pointers, and none is within another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values<'a, F = Field<'a>> {
    schema: Option<Schema<'a>>,
    form: Form,
    fields: Vec<(Pointer<'a>, Classed<F>)>,
}

/// What the fields are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Those that changed.
    Fields,
    /// Together the whole document.
    Whole(Sides),
}

/// Which documents are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sides {
    /// The one after the event.
    New,
    /// The one before it, which has ended.
    Old,
    /// Both.
    Both,
}

/// One field's values. What is absent is not there; a null is a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'a> {
    /// The value before.
    pub old: Option<Json<'a>>,
    /// The value after.
    pub new: Option<Json<'a>>,
}

/// What describes the form of the values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema<'a> {
    /// Where it is.
    pub uri: Uri<'a>,
    /// Its version.
    pub version: Option<Name<'a>>,
}

/// Why values can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValuesError {
    /// No field and no document.
    #[error("there must be a field, or a document")]
    Empty,
    /// More fields than there may be.
    #[error("more than {MAX_FIELDS} fields")]
    TooManyFields,
    /// A value is too long or too deep.
    #[error("the value at {pointer:?} is {error}")]
    Value {
        /// The pointer to the field.
        pointer: String,
        /// What is wrong.
        error: ValueError,
    },
    /// A field with neither value, or with one on a side that is not there.
    #[error("the field {0:?} has neither an old nor a new value, or one that does not belong there")]
    Sides(String),
    /// A field is within another, or stands twice.
    #[error("the field {0:?} is within another one, or stands twice")]
    Overlap(String),
    /// A pointer, or the one to a member, is too long or has too many tokens.
    #[error("{0:?}, or the pointer to a member of it, is too long or has more than {MAX_TOKENS} tokens")]
    Pointer(String),
}

impl Sides {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Old => "old",
            Self::Both => "both",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::New, Self::Old, Self::Both].into_iter().find(|sides| sides.name() == name)
    }

    const fn fit(self, field: &Field<'_>) -> bool {
        match self {
            Self::New => field.old.is_none(),
            Self::Old => field.new.is_none(),
            Self::Both => true,
        }
    }
}

impl Form {
    /// Whether a field may have these values: one at least, and none of a document that is not there. If the only pointer
    /// is empty, they are the documents themselves, and neither may be missing.
    pub(super) fn fits(self, pointer: &Pointer<'_>, field: &Field<'_>) -> bool {
        let both = field.old.is_some() && field.new.is_some();
        match self {
            _ if field.old.is_none() && field.new.is_none() => false,
            Self::Fields => true,
            Self::Whole(Sides::Both) if pointer.as_str().is_empty() => both,
            Self::Whole(sides) => sides.fit(field),
        }
    }

    /// Whether a record of this operation may have such values: only a delete has nothing but what was.
    pub(crate) fn may_come_with(self, operation: &Operation<'_>) -> bool {
        self != Self::Whole(Sides::Old) || operation.effect() == Effect::Delete
    }
}

impl<'a, F> Values<'a, F> {
    /// Checks what holds whether or not the fields are shown.
    pub(super) fn check(
        schema: Option<Schema<'a>>,
        form: Form,
        mut fields: Vec<(Pointer<'a>, Classed<F>)>,
    ) -> Result<Self, ValuesError> {
        if fields.len() > MAX_FIELDS {
            return Err(ValuesError::TooManyFields);
        }
        if form == Form::Fields && fields.is_empty() {
            return Err(ValuesError::Empty);
        }
        if !fields.is_sorted_by(|(one, _), (other, _)| one <= other) {
            fields.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        let tokens = |pointer: &Pointer<'_>| pointer.as_str().bytes().filter(|byte| *byte == b'/').count();
        if let Some((pointer, _)) = fields.iter().find(|(pointer, _)| tokens(pointer) > MAX_TOKENS) {
            return Err(ValuesError::Pointer(pointer.as_str().to_owned()));
        }
        // Members of one object, in order and each once: the usual case has nothing to look for.
        let flat = fields.iter().all(|(pointer, _)| pointer.as_str().rfind('/') == Some(0));
        if flat && fields.is_sorted_by(|(one, _), (other, _)| one < other) {
            return Ok(Self { schema, form, fields });
        }
        // In the order of tokens, in which nothing is less than a slash, what is within a field follows it directly.
        let mut ordered: Vec<&Pointer<'_>> = fields.iter().map(|(pointer, _)| pointer).collect();
        let rank = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
        ordered.sort_by(|one, other| one.as_str().bytes().map(rank).cmp(other.as_str().bytes().map(rank)));
        let mut pairs = ordered.iter().zip(ordered.iter().skip(1));
        match pairs.find(|(one, other)| other.is_within(one)) {
            Some((_, pointer)) => Err(ValuesError::Overlap(pointer.as_str().to_owned())),
            None => Ok(Self { schema, form, fields }),
        }
    }

    /// What describes their form.
    #[must_use]
    pub const fn schema(&self) -> Option<&Schema<'a>> {
        self.schema.as_ref()
    }

    /// What the fields are.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// The fields, in the order of their pointers.
    #[must_use]
    pub fn fields(&self) -> &[(Pointer<'a>, Classed<F>)] {
        &self.fields
    }
}

impl<'a> Values<'a> {
    /// The fields that changed, with their values before and after, and their classes.
    ///
    /// # Errors
    /// [`ValuesError`].
    pub fn fields_of(
        schema: Option<Schema<'a>>,
        changes: impl IntoIterator<Item = (Pointer<'a>, Option<Json<'a>>, Option<Json<'a>>)>,
        classes: &Classification<'_>,
    ) -> Result<Self, ValuesError> {
        let field = |(pointer, old, new): (Pointer<'a>, _, _)| {
            let class = classes.of(&pointer);
            (pointer, Classed { class, content: Field { old, new } })
        };
        Self::check(schema, Form::Fields, changes.into_iter().map(field).collect())?.checked()
    }

    /// Whole documents: the one after, the one before, or both.
    ///
    /// # Errors
    /// [`ValuesError`].
    pub fn whole(
        schema: Option<Schema<'a>>,
        (old, new): (Option<Document<'a>>, Option<Document<'a>>),
        classes: &Classification<'_>,
    ) -> Result<Self, ValuesError> {
        let sides = match (&old, &new) {
            (Some(_), Some(_)) => Sides::Both,
            (Some(_), None) => Sides::Old,
            (None, Some(_)) => Sides::New,
            (None, None) => return Err(ValuesError::Empty),
        };
        let root = Pointer::ROOT;
        let fields = match (old, new) {
            // An object is cut, if no other document says otherwise.
            (Some(Document::Members(old)), Some(Document::Members(new))) => cut(&root, Some(old), Some(new), classes)?,
            (Some(Document::Members(old)), None) => cut(&root, Some(old), None, classes)?,
            (None, Some(Document::Members(new))) => cut(&root, None, Some(new), classes)?,
            (old, new) => {
                let (old, new) = (old.map(Document::into_json), new.map(Document::into_json));
                vec![(root.clone(), Classed { class: classes.of(&root), content: Field { old, new } })]
            }
        };
        Self::check(schema, Form::Whole(sides), fields)?.checked()
    }

    /// Checks the values themselves.
    fn checked(self) -> Result<Self, ValuesError> {
        for (pointer, Classed { content: field, .. }) in &self.fields {
            if !self.form.fits(pointer, field) {
                return Err(ValuesError::Sides(pointer.as_str().to_owned()));
            }
            let wrong = |error| ValuesError::Value { pointer: pointer.as_str().to_owned(), error };
            for json in [&field.old, &field.new].into_iter().flatten() {
                value::check(json).map_err(wrong)?;
            }
            if !field.nests_within(pointer) {
                return Err(wrong(ValueError::TooDeep));
            }
        }
        Ok(self)
    }
}

impl<'a> Schema<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Read<Self> {
        let start = reader.offset();
        let (mut uri, mut version) = (None, None);
        reader.object(4, |reader, name, at| {
            match &*name {
                "uri" => uri = Some(Uri::read(reader)?),
                "version" => version = Some(Name::read(reader)?),
                _ => return Err(Trouble::new(at, FaultKind::Unknown)),
            }
            Ok(())
        })?;
        Ok(Self { uri: uri.ok_or_else(|| Trouble::missing(start, "uri"))?, version })
    }

    pub(super) fn push_member(&self, json: &mut Vec<u8>) {
        push_name(json, "schema");
        json.push(b'{');
        self.uri.push_member(json, "uri");
        if let Some(version) = &self.version {
            version.push_member(json, "version");
        }
        json.push(b'}');
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Schema<'static> {
        Schema { uri: self.uri.into_owned(), version: self.version.map(Name::into_owned) }
    }
}

impl<'a> Field<'a> {
    /// Whether its values nest no deeper at this pointer than a state may.
    pub(super) fn nests_within(&self, pointer: &Pointer<'_>) -> bool {
        let tokens = pointer.token_count();
        [&self.old, &self.new].into_iter().flatten().all(|json| value::fits(json, tokens))
    }

    pub(super) fn push(&self, json: &mut Vec<u8>) {
        json.push(b'{');
        for (name, value) in [("new", &self.new), ("old", &self.old)] {
            if let Some(value) = value {
                push_name(json, name);
                json.extend_from_slice(value.as_str().as_bytes());
            }
        }
        json.push(b'}');
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Read<Self> {
        let start = reader.offset();
        let (mut old, mut new) = (None, None);
        reader.object(2, |reader, name, at| {
            match &*name {
                "old" => old = Some(value::read(reader)?),
                "new" => new = Some(value::read(reader)?),
                _ => return Err(Trouble::new(at, FaultKind::Unknown)),
            }
            Ok(())
        })?;
        if old.is_none() && new.is_none() {
            return Err(Trouble::missing(start, "new"));
        }
        Ok(Self { old, new })
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Field<'static> {
        Field { old: self.old.map(Json::into_owned), new: self.new.map(Json::into_owned) }
    }
}
