//! What the disclosures of each piece must say.

use super::matching::Matching;
use super::{IntegrityError, OpenAttributes, OpenValues, Piece};
use crate::record::attributes::{Attributes, External};
use crate::record::bounds::{MAX_ATTRIBUTES, MAX_EXTERNAL, MAX_FIELDS};
use crate::record::class::{Class, Classed, read_groups};
use crate::record::digest::Digest;
use crate::record::disclosure::{read_element, read_place};
use crate::record::event::Part;
use crate::record::json::{FaultKind, Json, Pointer, Read, Reader, Trouble};
use crate::record::parts::{Actor, Context, Object, Subjects};
use crate::record::shown::Shown;
use crate::record::stream::{StreamHead, StreamName, Topics};
use crate::record::text::Name;
use crate::record::value;
use crate::record::values::{Field, Form, Schema, Sides, Values};

pub(super) fn actor(reader: &mut Reader<'_>) -> Read<Actor<'static>> {
    Actor::read(reader).map(Actor::into_owned)
}

pub(super) fn context(reader: &mut Reader<'_>) -> Read<Context<'static>> {
    let at = reader.offset();
    let context = Context::read(reader)?;
    // What says nothing is null.
    if context.is_empty() {
        return Err(Trouble::new(at, FaultKind::Rule("must not be empty")));
    }
    Ok(context.into_owned())
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
    fields: Vec<(Pointer<'static>, Classed<Digest>)>,
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

fn pointers(reader: &mut Reader<'_>) -> Read<Vec<(Pointer<'static>, Classed<Digest>)>> {
    read_groups(reader, |reader, class, fields| {
        reader.object(MAX_FIELDS, |reader, name, at| {
            let pointer = Pointer::new(name.into_owned());
            let pointer = pointer.map_err(|_| Trouble::new(at, FaultKind::Rule("must be a JSON Pointer")))?;
            fields.push((pointer, Classed { class, content: read_place(reader)? }));
            Ok(())
        })
    })
}

pub(super) fn values(matching: &mut Matching<'_>, digest: Digest) -> Result<Shown<Option<OpenValues>>, IntegrityError> {
    let places = match matching.optional(Piece::Part(Part::Values), digest, places)? {
        Shown::Disclosed(Some(places)) => places,
        other => return Ok(other.map(|_| None)),
    };
    let mut fields = Vec::with_capacity(places.fields.len());
    for (pointer, Classed { class, content: digest }) in places.fields {
        let read = |reader: &mut Reader<'_>| Field::read(reader).map(Field::into_owned);
        let content = matching.one(Piece::Field(class), digest, read)?;
        if content.disclosed().is_some_and(|field| !places.form.fits(&pointer, field)) {
            let words = format!("{pointer:?} has a value of a document that is not there, or lacks one of one that is");
            return Err(IntegrityError::Fields(words));
        }
        if content.disclosed().is_some_and(|field| !field.nests_within(&pointer)) {
            return Err(IntegrityError::Fields(format!("{pointer:?} and its value together are too deep")));
        }
        fields.push((pointer, Classed { class, content }));
    }
    let values = Values::check(places.schema, places.form, fields);
    values.map(|values| Shown::Disclosed(Some(values))).map_err(|error| IntegrityError::Fields(error.to_string()))
}

type Named = Vec<(Name<'static>, Classed<Digest>)>;

fn attribute_places(reader: &mut Reader<'_>) -> Read<(Named, Vec<Classed<Digest>>)> {
    let (mut named, mut external) = (Vec::new(), Vec::new());
    reader.object(2, |reader, member, at| {
        let is_empty = match &*member {
            "named" => {
                named = read_groups(reader, named_places)?;
                named.is_empty()
            }
            "external" => {
                external = read_groups(reader, external_places)?;
                external.is_empty()
            }
            _ => return Err(Trouble::new(at, FaultKind::Unknown)),
        };
        if is_empty { Err(Trouble::new(at, FaultKind::Rule("must not be empty"))) } else { Ok(()) }
    })?;
    Ok((named, external))
}

fn named_places(reader: &mut Reader<'_>, class: Class, named: &mut Named) -> Read<()> {
    reader.object(MAX_ATTRIBUTES, |reader, name, at| {
        let name = Name::new(name.into_owned()).map_err(|error| Trouble::new(at, error.into()))?;
        named.push((name, Classed { class, content: read_place(reader)? }));
        Ok(())
    })
}

fn external_places(reader: &mut Reader<'_>, class: Class, external: &mut Vec<Classed<Digest>>) -> Read<()> {
    let digests = reader.list(MAX_EXTERNAL, read_element)?;
    external.extend(digests.into_iter().map(|content| Classed { class, content }));
    Ok(())
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
    for (name, Classed { class, content: digest }) in named {
        let read = |reader: &mut Reader<'_>| value::read(reader).map(Json::into_owned);
        attributes.push((name, Classed { class, content: matching.one(Piece::Attribute(class), digest, read)? }));
    }
    let mut externals = Vec::with_capacity(external.len());
    for Classed { class, content: digest } in external {
        let read = |reader: &mut Reader<'_>| External::read(reader).map(External::into_owned);
        externals.push(Classed { class, content: matching.one(Piece::External(class), digest, read)? });
    }
    let attributes = Attributes::check(attributes, externals).and_then(|all| all.distinct(Shown::disclosed));
    attributes.map(|all| Shown::Disclosed(Some(all))).map_err(|error| IntegrityError::Fields(error.to_string()))
}
