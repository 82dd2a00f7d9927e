//! What the disclosures of each piece must say.

use super::matching::Matching;
use super::{IntegrityError, OpenAttributes, OpenValues, Piece};
use crate::record::attributes::{Attribute, Attributes, External};
use crate::record::bounds::{MAX_ATTRIBUTES, MAX_EXTERNAL, MAX_FIELDS};
use crate::record::digest::Digest;
use crate::record::disclosure::{read_element, read_place};
use crate::record::event::Part;
use crate::record::json::{FaultKind, Pointer, Read, Reader, Trouble};
use crate::record::parts::{Actor, Context, Object, Subjects};
use crate::record::shown::Shown;
use crate::record::stream::{StreamHead, StreamName, Topics};
use crate::record::text::Name;
use crate::record::values::{Field, Form, Schema, Sides, Values};

pub(super) fn actor(reader: &mut Reader<'_>) -> Read<Actor<'static>> {
    Actor::read(reader).map(Actor::into_owned)
}

pub(super) fn context(reader: &mut Reader<'_>) -> Read<Context<'static>> {
    Context::read(reader).map(Context::into_owned)
}

pub(super) fn object(reader: &mut Reader<'_>) -> Read<Object<'static>> {
    Object::read(reader).map(Object::into_owned)
}

pub(super) fn subjects(reader: &mut Reader<'_>) -> Read<Subjects<'static>> {
    Subjects::read(reader).map(Subjects::into_owned)
}

pub(super) fn stream(reader: &mut Reader<'_>) -> Read<StreamName<'static>> {
    StreamName::read(reader).map(StreamName::into_owned)
}

pub(super) fn topics(reader: &mut Reader<'_>) -> Read<Topics<'static>> {
    Topics::read(reader).map(Topics::into_owned)
}

pub(super) fn continues(reader: &mut Reader<'_>) -> Read<StreamHead> {
    StreamHead::read(reader)
}

/// The values, with the places of the fields.
struct Places {
    schema: Option<Schema<'static>>,
    form: Form,
    fields: Vec<(Pointer<'static>, Digest)>,
}

fn places(reader: &mut Reader<'_>) -> Read<Places> {
    let start = reader.offset();
    let (mut schema, mut sides, mut fields, mut whole) = (None, None, None, None);
    reader.object(3, |reader, name, at| {
        match &*name {
            "schema" => schema = Some(Schema::read(reader)?.into_owned()),
            "sides" => {
                let at = reader.offset();
                let found = Sides::from_name(&reader.string()?);
                sides = Some(found.ok_or(Trouble::new(at, FaultKind::Rule("must be new, old or both")))?);
            }
            "fields" => fields = Some(pointers(reader)?),
            "whole" => whole = Some(pointers(reader)?),
            _ => return Err(Trouble::new(at, FaultKind::Unknown)),
        }
        Ok(())
    })?;
    match (fields, whole, sides) {
        (Some(fields), None, None) => Ok(Places { schema, form: Form::Fields, fields }),
        (None, Some(fields), Some(sides)) => Ok(Places { schema, form: Form::Whole(sides), fields }),
        _ => Err(Trouble::new(start, FaultKind::Rule("must have either fields, or whole and sides"))),
    }
}

fn pointers(reader: &mut Reader<'_>) -> Read<Vec<(Pointer<'static>, Digest)>> {
    let mut fields = Vec::new();
    reader.object(MAX_FIELDS, |reader, name, at| {
        let pointer = Pointer::new(name.into_owned());
        let pointer = pointer.map_err(|_| Trouble::new(at, FaultKind::Rule("must be a JSON Pointer")))?;
        fields.push((pointer, read_place(reader)?));
        Ok(())
    })?;
    Ok(fields)
}

pub(super) fn values(matching: &mut Matching<'_>, digest: Digest) -> Result<Shown<Option<OpenValues>>, IntegrityError> {
    let places = match matching.optional(Piece::Part(Part::Values), digest, places)? {
        Shown::Disclosed(Some(places)) => places,
        other => return Ok(other.map(|_| None)),
    };
    let mut fields = Vec::with_capacity(places.fields.len());
    for (pointer, digest) in places.fields {
        let field = matching.one(Piece::Field, digest, |reader| Field::read(reader).map(Field::into_owned))?;
        if let (Form::Whole(sides), Shown::Disclosed(field)) = (places.form, &field)
            && !sides.fit(field)
        {
            return Err(IntegrityError::Fields(format!("{pointer} has a value of a document that is not there")));
        }
        // The whole of both documents in one field: neither may be missing.
        if let (Form::Whole(Sides::Both), Shown::Disclosed(field)) = (places.form, &field)
            && pointer.as_str().is_empty()
            && (field.old.is_none() || field.new.is_none())
        {
            return Err(IntegrityError::Fields("one of both documents is missing".to_owned()));
        }
        fields.push((pointer, field));
    }
    let values = Values::check(places.schema, places.form, fields);
    values.map(|values| Shown::Disclosed(Some(values))).map_err(|error| IntegrityError::Fields(error.to_string()))
}

type Named = Vec<(Name<'static>, Digest)>;

fn attribute_places(reader: &mut Reader<'_>) -> Read<(Named, Vec<Digest>)> {
    let (mut named, mut external) = (Vec::new(), Vec::new());
    reader.object(2, |reader, member, at| match &*member {
        "named" => reader.object(MAX_ATTRIBUTES, |reader, name, at| {
            let name = Name::new(name.into_owned()).map_err(|error| Trouble::new(at, error.into()))?;
            named.push((name, read_place(reader)?));
            Ok(())
        }),
        "external" => {
            external = reader.list(MAX_EXTERNAL, read_element)?;
            Ok(())
        }
        _ => Err(Trouble::new(at, FaultKind::Unknown)),
    })?;
    Ok((named, external))
}

pub(super) fn attributes(
    matching: &mut Matching<'_>,
    digest: Digest,
) -> Result<Shown<Option<OpenAttributes>>, IntegrityError> {
    let (named, external) = match matching.optional(Piece::Part(Part::Attributes), digest, attribute_places)? {
        Shown::Disclosed(Some(places)) => places,
        other => return Ok(other.map(|_| None)),
    };
    let mut attributes = Vec::with_capacity(named.len());
    for (name, digest) in named {
        let attribute = |reader: &mut Reader<'_>| Attribute::read(reader).map(Attribute::into_owned);
        attributes.push((name, matching.one(Piece::Attribute, digest, attribute)?));
    }
    let mut externals = Vec::with_capacity(external.len());
    for digest in external {
        let external = |reader: &mut Reader<'_>| External::read(reader, None).map(External::into_owned);
        externals.push(matching.one(Piece::External, digest, external)?);
    }
    let attributes = Attributes::check(attributes, externals);
    attributes.map(|all| Shown::Disclosed(Some(all))).map_err(|error| IntegrityError::Fields(error.to_string()))
}
