//! Our own form: one record, an array of records, or one per line (NDJSON).
//!
//! Each is either what a record says, or an event that its producer has sealed and signed. Members that are not known are
//! refused: a typing error must not lose what somebody wanted to be on record.

use std::borrow::Cow;

use super::{RecordInput, StreamInput, bounded, in_member, lines, one_or_many, refuse, time};
use crate::hash::Hash;
use crate::record::attributes::{Attributes, AttributesError, External};
use crate::record::bounds::{MAX_ATTRIBUTES, MAX_DISCLOSURES, MAX_EXTERNAL, MAX_FIELDS, MAX_INPUT_BYTES, MAX_RULES};
use crate::record::class::{Class, Classed, Classification};
use crate::record::disclosure::Disclosures;
use crate::record::draft::Content;
use crate::record::event::Event;
use crate::record::json::{Fault, FaultKind, Json, Pointer, Read, Reader, Trouble, push_token};
use crate::record::parts::{Actor, Context, Object, Subjects};
use crate::record::reserved::Reserved;
use crate::record::server_part::Seq;
use crate::record::signature::ProducerSignature;
use crate::record::stream::Topics;
use crate::record::text::Name;
use crate::record::values::{Document, Schema, Values, ValuesError};

/// A record in our own form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NativeInput<'a> {
    /// What it says.
    Plain(Box<RecordInput<'a>>),
    /// An event that its producer has sealed and signed. Nothing is verified.
    Signed(Box<SignedInput<'a>>),
}

/// An event with its disclosures and its producer's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedInput<'a> {
    /// The event.
    pub event: Event,
    /// The producer's signature over it, by the key that it names.
    pub signature: ProducerSignature,
    /// All its disclosures.
    pub disclosures: Disclosures,
    /// What concerns its stream.
    pub stream: StreamInput<'a>,
}

/// More members than a record has.
const MEMBERS: usize = 64;

/// Reads one record or an array of records.
///
/// # Errors
/// [`Fault`]; one bad record is a fault of all.
pub fn parse(body: &[u8]) -> Result<Vec<NativeInput<'_>>, Fault> {
    one_or_many(body, read)
}

/// Reads one record per line.
///
/// # Errors
/// [`Fault`]; its pointer begins with the number of the record.
pub fn parse_lines(body: &[u8]) -> Result<Vec<NativeInput<'_>>, Fault> {
    lines(body, |reader| bounded(reader, read))
}

/// The texts of one record or of an array of records, as they came but for white space. What they say is not read.
///
/// # Errors
/// [`Fault`] if one is no JSON, or longer than a record may be.
pub fn texts(body: &[u8]) -> Result<Vec<Json<'_>>, Fault> {
    one_or_many(body, Reader::json)
}

/// The members of a record, as they came.
///
/// # Errors
/// [`Fault`] if it is no JSON object.
pub fn members(record: &[u8]) -> Result<Vec<(Cow<'_, str>, Json<'_>)>, Fault> {
    let mut members = Vec::new();
    Reader::read(record, MAX_INPUT_BYTES, |reader| {
        reader.object(MEMBERS, |reader, name, _| {
            members.push((name, reader.json()?));
            Ok(())
        })
    })?;
    Ok(members)
}

/// The members of a record, as they come.
#[derive(Default)]
struct Members<'a> {
    id: Option<crate::record::id::RecordId>,
    time: Option<crate::record::time::Time>,
    replaces: Option<crate::record::id::RecordId>,
    object: Option<Object<'a>>,
    actor: Option<Actor<'a>>,
    subjects: Option<Subjects<'a>>,
    context: Option<Context<'a>>,
    values: Option<(usize, ValuesInput<'a>)>,
    classes: Classes<'a>,
    attributes: Option<Vec<(Name<'a>, Json<'a>)>>,
    external: Vec<(Option<Class>, External<'a>)>,
    stream: StreamInput<'a>,
    event: Option<Event>,
    signature: Option<ProducerSignature>,
    disclosures: Option<Disclosures>,
    /// Where the first member stands, if there is one, that only a record has which is not signed.
    plain: Option<usize>,
}

fn read<'a>(reader: &mut Reader<'a>) -> Read<NativeInput<'a>> {
    let start = reader.offset();
    let mut members = Members::default();
    reader.object(MEMBERS, |reader, name, at| members.read(reader, &name, at))?;
    members.finish(start)
}

impl<'a> Members<'a> {
    fn read(&mut self, reader: &mut Reader<'a>, name: &str, at: usize) -> Read<()> {
        let mut plain = true;
        match name {
            "id" => self.id = Some(record_id(reader)?),
            "time" => self.time = Some(time(reader)?),
            "replaces" => self.replaces = Some(record_id(reader)?),
            "object" => {
                let object = Object::read(reader)?;
                refuse(Reserved::of_brought(&object), at, in_member)?;
                self.object = Some(object);
            }
            "actor" => self.actor = Some(Actor::read(reader)?),
            "subjects" => self.subjects = Some(Subjects::read(reader)?),
            "context" => {
                let context = Context::read(reader)?;
                refuse(Reserved::of_context(&context), at, in_member)?;
                self.context = Some(context);
            }
            "values" => self.values = Some((at, values(reader)?)),
            "classification" => self.classes = classes(reader)?,
            "attributes" => self.attributes = Some(attributes(reader)?),
            "external" => {
                self.external = reader.list(MAX_EXTERNAL, External::read_brought)?;
            }
            _ => plain = false,
        }
        self.plain = self.plain.or(plain.then_some(at));
        match name {
            _ if plain => {}
            "topics" => {
                let topics = Topics::read(reader)?;
                refuse(Reserved::of_topics(&topics), at, in_member)?;
                self.stream.topics = Some(topics);
            }
            "expected_seq" => self.stream.expected_seq = Some(expected_seq(reader)?),
            "expected_prev" => self.stream.expected_prev = Some(expected_prev(reader)?),
            "event" => self.event = Some(event(reader)?),
            "signature" => self.signature = Some(signature(reader)?),
            "disclosures" => self.disclosures = Some(disclosures(reader)?),
            _ => return Err(Trouble::new(at, FaultKind::Unknown)),
        }
        Ok(())
    }

    fn finish(self, start: usize) -> Read<NativeInput<'a>> {
        let missing = |name| move || Trouble::missing(start, name);
        if self.event.is_some() || self.signature.is_some() || self.disclosures.is_some() {
            if let Some(at) = self.plain {
                let rule = FaultKind::Rule("what a signed event says stands in its disclosures only");
                return Err(Trouble::new(at, rule));
            }
            let event = self.event.ok_or_else(missing("event"))?;
            if event.head().key.is_none() {
                let rule = FaultKind::Rule("a signed event names its producer's key");
                return Err(Trouble::new(start, rule).within("/event/key"));
            }
            return Ok(NativeInput::Signed(Box::new(SignedInput {
                event,
                signature: self.signature.ok_or_else(missing("signature"))?,
                disclosures: self.disclosures.ok_or_else(missing("disclosures"))?,
                stream: self.stream,
            })));
        }
        let object = self.object.ok_or_else(missing("object"))?;
        let attributes = match (self.attributes, self.external) {
            (None, external) if external.is_empty() => None,
            (named, external) => {
                let named = named.unwrap_or_default();
                let classed = |(name, content): (Name<'a>, _)| {
                    let class = self.classes.of_attribute(&name);
                    (name, Classed { class, content })
                };
                let external = external.into_iter().map(|(class, content)| {
                    let class = class.unwrap_or_else(|| self.classes.of_external(content.name()));
                    Classed { class, content }
                });
                let attributes = Attributes::new(named.into_iter().map(classed).collect(), external.collect());
                let wrong = |error: AttributesError| {
                    Trouble::new(start, FaultKind::Words(error.to_string())).within(place_of_attribute(&error))
                };
                let attributes = attributes.map_err(wrong)?;
                refuse(Reserved::of_attributes(&attributes), start, Reserved::pointer)?;
                Some(attributes)
            }
        };
        let values = match self.values {
            None => None,
            Some((at, input)) => {
                let side = input.side();
                let values = input.build(&self.classes.values());
                let wrong = |error: ValuesError| {
                    Trouble::new(at, FaultKind::Words(error.to_string())).within(place_of_value(&error, side))
                };
                let values = values.map_err(wrong)?;
                if !values.form().may_come_with(&object.operation) {
                    let rule = FaultKind::Rule("the new values may be absent only from a delete");
                    return Err(Trouble::new(at, rule).within("/whole"));
                }
                Some(values)
            }
        };
        let content = Content {
            object,
            actor: self.actor,
            subjects: self.subjects,
            context: self.context.filter(|context| !context.is_empty()),
            values,
            attributes,
        };
        let (id, time, replaces, stream) = (self.id, self.time, self.replaces, self.stream);
        Ok(NativeInput::Plain(Box::new(RecordInput { id, time, replaces, content, stream })))
    }
}

/// Where a value is that is wrong, within the values; `side` is the document that it is in, if it is in one, and that is known.
fn place_of_value(error: &ValuesError, side: Option<&str>) -> String {
    match (error, side) {
        (ValuesError::Value { pointer, .. } | ValuesError::Sides(pointer), Some(side)) if !side.is_empty() => {
            format!("/whole/{side}{pointer}")
        }
        (_, Some(_)) => "/whole".to_owned(),
        (ValuesError::Empty | ValuesError::TooManyFields, None) => "/fields".to_owned(),
        (
            ValuesError::Value { pointer, .. }
            | ValuesError::Sides(pointer)
            | ValuesError::Overlap(pointer)
            | ValuesError::Pointer(pointer),
            None,
        ) => {
            let mut place = "/fields".to_owned();
            push_token(&mut place, pointer);
            place
        }
    }
}

/// Where an attribute or an external digest is that is wrong, within the record.
fn place_of_attribute(error: &AttributesError) -> String {
    match error {
        AttributesError::Value { name, .. } | AttributesError::Twice(name) => {
            let mut place = "/attributes".to_owned();
            push_token(&mut place, name);
            place
        }
        AttributesError::ExternalTwice(_) | AttributesError::Size => "/external".to_owned(),
        AttributesError::Empty | AttributesError::TooMany => "/attributes".to_owned(),
    }
}

/// Reads a string that `parse` understands.
pub(in crate::wire) fn parsed<T>(
    reader: &mut Reader<'_>,
    rule: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Read<T> {
    let at = reader.offset();
    parse(&reader.string()?).ok_or(Trouble::new(at, FaultKind::Rule(rule)))
}

fn record_id(reader: &mut Reader<'_>) -> Read<crate::record::id::RecordId> {
    parsed(reader, "must be a UUID of version 7 or 4 in lower case", |text| text.parse().ok())
}

fn expected_seq(reader: &mut Reader<'_>) -> Read<Option<Seq>> {
    let at = reader.offset();
    if reader.null()? {
        return Ok(None);
    }
    let seq = Seq::new(reader.integer()?);
    seq.map(Some).map_err(|_| Trouble::new(at, FaultKind::Rule("must be below 2^53")))
}

fn expected_prev(reader: &mut Reader<'_>) -> Read<Option<Hash>> {
    if reader.null()? {
        return Ok(None);
    }
    parsed(reader, "must be a leaf hash in base64", |text| Hash::from_base64(text).ok()).map(Some)
}

fn event(reader: &mut Reader<'_>) -> Read<Event> {
    let at = reader.offset();
    let json = reader.json()?;
    let event = Event::parse(json.as_str().as_bytes());
    event.map_err(|error| Trouble::new(at, FaultKind::Words(format!("must be a canonical event: {error}"))))
}

fn signature(reader: &mut Reader<'_>) -> Read<ProducerSignature> {
    parsed(reader, "must be the base64url of an Ed25519 signature", |text| text.parse().ok())
}

/// Reads disclosures as an array of their texts.
pub(in crate::wire) fn disclosures(reader: &mut Reader<'_>) -> Read<Disclosures> {
    let at = reader.offset();
    let texts = reader.list(MAX_DISCLOSURES, Reader::string)?;
    let disclosures = Disclosures::from_texts(texts.iter().map(|text| &**text));
    disclosures.map_err(|error| Trouble::new(at, FaultKind::Words(error.to_string())))
}

/// Values before their classes are known.
struct ValuesInput<'a> {
    schema: Option<Schema<'a>>,
    whole: Option<(Option<Document<'a>>, Option<Document<'a>>)>,
    fields: Vec<(Pointer<'a>, Option<Json<'a>>, Option<Json<'a>>)>,
}

impl<'a> ValuesInput<'a> {
    /// The whole document that there is; an empty name if there are both, and nothing where fields are listed.
    const fn side(&self) -> Option<&'static str> {
        match &self.whole {
            None => None,
            Some((None, _)) => Some("new"),
            Some((Some(_), None)) => Some("old"),
            Some((Some(_), Some(_))) => Some(""),
        }
    }

    fn build(self, classes: &Classification<'_>) -> Result<Values<'a>, ValuesError> {
        match self.whole {
            Some(documents) => Values::whole(self.schema, documents, classes),
            None => Values::fields_of(self.schema, self.fields, classes),
        }
    }
}

fn values<'a>(reader: &mut Reader<'a>) -> Read<ValuesInput<'a>> {
    let start = reader.offset();
    let mut input = ValuesInput { schema: None, whole: None, fields: Vec::new() };
    let mut forms = 0;
    reader.object(3, |reader, name, at| {
        match &*name {
            "schema" => input.schema = Some(Schema::read(reader)?),
            "whole" => {
                forms += 1;
                input.whole = Some(both(reader, Document::read)?);
            }
            "fields" => {
                forms += 1;
                reader.object(MAX_FIELDS, |reader, pointer, at| {
                    let words = |error: crate::record::json::PointerError| FaultKind::Words(error.to_string());
                    let pointer = Pointer::new(pointer).map_err(|error| Trouble::new(at, words(error)))?;
                    let (old, new) = both(reader, Reader::json)?;
                    input.fields.push((pointer, old, new));
                    Ok(())
                })?;
            }
            _ => return Err(Trouble::new(at, FaultKind::Unknown)),
        }
        Ok(())
    })?;
    if forms == 1 {
        return Ok(input);
    }
    Err(Trouble::new(start, FaultKind::Rule("must have either whole or fields")))
}

/// Reads the value before and the value after; absent is not null.
fn both<'a, T>(reader: &mut Reader<'a>, read: impl Fn(&mut Reader<'a>) -> Read<T>) -> Read<(Option<T>, Option<T>)> {
    let (mut old, mut new) = (None, None);
    reader.object(2, |reader, name, at| {
        match &*name {
            "old" => old = Some(read(reader)?),
            "new" => new = Some(read(reader)?),
            _ => return Err(Trouble::new(at, FaultKind::Unknown)),
        }
        Ok(())
    })?;
    Ok((old, new))
}

fn attributes<'a>(reader: &mut Reader<'a>) -> Read<Vec<(Name<'a>, Json<'a>)>> {
    let mut named = Vec::new();
    reader.object(MAX_ATTRIBUTES, |reader, name, at| {
        let name = Name::new(name).map_err(|error| Trouble::new(at, error.into()))?;
        named.push((name, reader.json()?));
        Ok(())
    })?;
    Ok(named)
}

/// The classes of fields, attributes and external digests.
#[derive(Default)]
struct Classes<'a> {
    otherwise: Option<Class>,
    values: Vec<(Pointer<'a>, Class)>,
    attributes: Vec<(Cow<'a, str>, Class)>,
    external: Vec<(Cow<'a, str>, Class)>,
}

impl<'a> Classes<'a> {
    fn otherwise(&self) -> Class {
        self.otherwise.unwrap_or(Class::Internal)
    }

    fn values(&self) -> Classification<'a> {
        let rules = self.values.iter().cloned();
        rules.fold(Classification::all(self.otherwise()), |all, (pointer, class)| all.with(pointer, class))
    }

    fn of_attribute(&self, name: &Name<'_>) -> Class {
        self.of(&self.attributes, name)
    }

    fn of_external(&self, name: &Name<'_>) -> Class {
        self.of(&self.external, name)
    }

    fn of(&self, rules: &[(Cow<'a, str>, Class)], name: &Name<'_>) -> Class {
        let rule = rules.iter().find(|(rule, _)| rule == name.as_str());
        rule.map_or(self.otherwise(), |(_, class)| *class)
    }
}

fn classes<'a>(reader: &mut Reader<'a>) -> Read<Classes<'a>> {
    let mut classes = Classes::default();
    reader.object(4, |reader, name, at| match &*name {
        "default" => {
            classes.otherwise = Some(Class::read(reader)?);
            Ok(())
        }
        "values" => reader.object(MAX_RULES, |reader, pointer, at| {
            let pointer = Pointer::new(pointer);
            let pointer = pointer.map_err(|error| Trouble::new(at, FaultKind::Words(error.to_string())))?;
            classes.values.push((pointer, Class::read(reader)?));
            Ok(())
        }),
        "attributes" => reader.object(MAX_ATTRIBUTES, |reader, name, _| {
            classes.attributes.push((name, Class::read(reader)?));
            Ok(())
        }),
        "external" => reader.object(MAX_EXTERNAL, |reader, name, _| {
            classes.external.push((name, Class::read(reader)?));
            Ok(())
        }),
        _ => Err(Trouble::new(at, FaultKind::Unknown)),
    })?;
    Ok(classes)
}
