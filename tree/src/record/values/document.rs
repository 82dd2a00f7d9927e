//! Whole documents, and how they are cut into fields.

use std::borrow::Cow;

use super::{Field, ValuesError};
use crate::record::bounds::MAX_FIELDS;
use crate::record::class::{Classed, Classification};
use crate::record::json::canonical::push_string;
use crate::record::json::{Json, Kind, Pointer, Read, Reader};

/// A document, its outermost object's members apart.
#[derive(Clone, PartialEq, Eq)]
pub enum Document<'a> {
    /// An object.
    Members(Vec<(Cow<'a, str>, Json<'a>)>),
    /// Anything else.
    Other(Json<'a>),
}

/// How much there is and no content, nor names.
impl core::fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Members(members) => write!(f, "Members({})", members.len()),
            Self::Other(json) => write!(f, "Other({json:?})"),
        }
    }
}

impl<'a> Document<'a> {
    /// The document of a value.
    #[must_use]
    pub fn of(json: &Json<'a>) -> Self {
        let owned = |reader: &mut Reader<'_>| {
            let mut members = Vec::new();
            reader.object(usize::MAX, |reader, name, _| {
                members.push((Cow::Owned(name.into_owned()), reader.json()?.into_owned()));
                Ok(())
            })?;
            Ok(members)
        };
        match Reader::read(json.as_str().as_bytes(), json.as_str().len(), owned) {
            Ok(members) => Self::Members(members),
            Err(_) => Self::Other(json.clone()),
        }
    }

    /// Reads a value.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Read<Self> {
        if reader.kind()? != Kind::Object {
            return reader.json().map(Self::Other);
        }
        let mut members = Vec::with_capacity(MEMBERS);
        reader.object(MAX_FIELDS, |reader, name, _| {
            members.push((name, reader.json()?));
            Ok(())
        })?;
        Ok(Self::Members(members))
    }

    /// The value again.
    #[must_use]
    pub fn into_json(self) -> Json<'a> {
        match self {
            Self::Other(json) => json,
            Self::Members(members) => {
                let mut text = vec![b'{'];
                for (name, json) in members {
                    if text.len() > 1 {
                        text.push(b',');
                    }
                    push_string(&mut text, &name);
                    text.push(b':');
                    text.extend_from_slice(json.as_str().as_bytes());
                }
                text.push(b'}');
                Json::checked(Cow::Owned(String::from_utf8(text).unwrap_or_default()))
            }
        }
    }
}

/// Room for the members of most documents.
const MEMBERS: usize = 32;

type Members<'a> = Vec<(Cow<'a, str>, Json<'a>)>;
type Fields<'a> = Vec<(Pointer<'a>, Classed<Field<'a>>)>;

/// Cuts the members of one or two objects at the same place into fields.
pub(super) fn cut<'a>(
    place: &Pointer<'_>,
    old: Option<Members<'a>>,
    new: Option<Members<'a>>,
    classes: &Classification<'_>,
) -> Result<Fields<'a>, ValuesError> {
    let too_long = |_| ValuesError::Pointer(place.as_str().to_owned());
    let mut members: Vec<(Cow<'a, str>, Option<Json<'a>>, Option<Json<'a>>)> =
        new.into_iter().flatten().map(|(name, json)| (name, None, Some(json))).collect();
    if let Some(old) = old {
        members.sort_by(|one, other| one.0.cmp(&other.0));
        let known = members.len();
        for (name, json) in old {
            let there = members.get_mut(..known).unwrap_or_default();
            match there.binary_search_by(|member| member.0.cmp(&name)) {
                Ok(at) => there.get_mut(at).into_iter().for_each(|member| member.1 = Some(json.clone())),
                Err(_) => members.push((name, Some(json), None)),
            }
        }
    }
    let mut fields = Vec::with_capacity(members.len());
    for (name, old, new) in members {
        let pointer = place.child(&name).map_err(too_long)?;
        if classes.reaches_into(&pointer)
            && let Some((old, new)) = both_members(old.as_ref(), new.as_ref())
        {
            fields.extend(cut(&pointer, old, new, classes)?);
        } else {
            let class = classes.of(&pointer);
            fields.push((pointer, Classed { class, content: Field { old, new } }));
        }
        if fields.len() > MAX_FIELDS {
            return Err(ValuesError::TooManyFields);
        }
    }
    Ok(fields)
}

/// The members of both values, if each that is there is an object with members: an empty one would leave no trace.
fn both_members<'a>(
    old: Option<&Json<'a>>,
    new: Option<&Json<'a>>,
) -> Option<(Option<Members<'a>>, Option<Members<'a>>)> {
    let members = |json: &Json<'a>| match Document::of(json) {
        Document::Members(members) if !members.is_empty() => Some(members),
        _ => None,
    };
    let old = old.map(|json| members(json).ok_or(())).transpose().ok()?;
    let new = new.map(|json| members(json).ok_or(())).transpose().ok()?;
    Some((old, new))
}
