//! CloudEvents 1.0 in the JSON format, structured (one event) and batch (an array of events).
//!
//! What becomes what:
//!
//! | of the event | of the record |
//! |---|---|
//! | `source`, `id` | the key by which a second delivery is known; attributes `ce-source`, `ce-id` |
//! | `type` | action; the entity, unless the extension `entity` names one; attribute `ce-type` |
//! | `subject` | the object's id; without one, `id` |
//! | `time` | the producer's time |
//! | `dataschema` | the schema of the values |
//! | `data`, `data_base64` | the whole new values; base64 stays text, and the attribute `ce-encoding` says so |
//! | `datacontenttype` | attribute `ce-datacontenttype` |
//! | extensions `tenant`, `module`, `entity`, `operation` | the same of the object |
//! | extension `authid`, `authtype` | the actor and its type |
//! | extensions `traceparent`, `tracestate` | the same of the context |
//! | every extension, those included | an attribute of its name |
//!
//! Without `operation` it is `event`, which replay passes over: what an event does to an object is not guessed from its
//! type. Without `tenant` the caller's is taken, without `module` the event's source.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{RecordInput, StreamInput, one_or_many, refuse};
use crate::record::attributes::Attributes;
use crate::record::bounds::MAX_ATTRIBUTES;
use crate::record::class::{Class, Classed, Classification};
use crate::record::draft::Content;
use crate::record::json::{Fault, FaultKind, Json, Kind, Read, Reader, Trouble};
use crate::record::parts::{Actor, Context, Object};
use crate::record::reserved::Reserved;
use crate::record::text::{Name, Operation, TextError, TraceParent, TraceState, Uri};
use crate::record::time::Time;
use crate::record::values::{Document, Schema, Values};

/// What a CloudEvent is known by: whoever sends two with the same says that they are one event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DedupeKey<'a> {
    /// Where it comes from.
    pub source: Uri<'a>,
    /// Its id there.
    pub id: Name<'a>,
}

/// A CloudEvent as a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudEventInput<'a> {
    /// What it is known by.
    pub key: DedupeKey<'a>,
    /// The record.
    pub record: RecordInput<'a>,
}

/// Reads `application/cloudevents+json` or `application/cloudevents-batch+json`; `tenant` is the caller's, if it has one.
///
/// # Errors
/// [`Fault`]; one bad event is a fault of all.
pub fn parse<'a>(body: &'a [u8], tenant: Option<&Name<'a>>) -> Result<Vec<CloudEventInput<'a>>, Fault> {
    one_or_many(body, |reader| {
        let start = reader.offset();
        let mut event = Event::default();
        reader.object(MAX_ATTRIBUTES, |reader, name, at| event.read(reader, name, at))?;
        event.finish(start, tenant)
    })
}

/// An attribute's text, and where it stands.
type Text<'a> = (usize, Cow<'a, str>);

#[derive(Default)]
struct Event<'a> {
    version: Option<Text<'a>>,
    id: Option<Text<'a>>,
    source: Option<Text<'a>>,
    kind: Option<Text<'a>>,
    subject: Option<Text<'a>>,
    time: Option<Text<'a>>,
    schema: Option<Text<'a>>,
    content_type: Option<Text<'a>>,
    data: Option<(usize, Json<'a>)>,
    base64: Option<Text<'a>>,
    extensions: Vec<(usize, Cow<'a, str>, Json<'a>)>,
}

impl<'a> Event<'a> {
    fn read(&mut self, reader: &mut Reader<'a>, name: Cow<'a, str>, at: usize) -> Read<()> {
        let place = match &*name {
            "specversion" => &mut self.version,
            "id" => &mut self.id,
            "source" => &mut self.source,
            "type" => &mut self.kind,
            "subject" => &mut self.subject,
            "time" => &mut self.time,
            "dataschema" => &mut self.schema,
            "datacontenttype" => &mut self.content_type,
            "data_base64" => &mut self.base64,
            "data" => {
                self.data = Some((reader.offset(), reader.json()?));
                return Ok(());
            }
            _ => return self.read_extension(reader, name, at),
        };
        // JSON format, section 2.2: null is as if it were absent.
        if !reader.null()? {
            *place = Some((reader.offset(), reader.string()?));
        }
        Ok(())
    }

    fn read_extension(&mut self, reader: &mut Reader<'a>, name: Cow<'a, str>, at: usize) -> Read<()> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            let rule = FaultKind::Rule("an attribute's name is lower-case letters and digits");
            return Err(Trouble::new(at, rule));
        }
        let value = reader.offset();
        match reader.kind()? {
            Kind::Null => reader.null().map(drop),
            Kind::Boolean | Kind::Number | Kind::String => {
                self.extensions.push((value, name, reader.json()?));
                Ok(())
            }
            found => {
                let expected = "a string, a number or a boolean";
                Err(Trouble::new(value, FaultKind::Kind { expected, found }))
            }
        }
    }

    /// The text of an extension.
    fn extension(&self, name: &str) -> Read<Option<Text<'a>>> {
        let Some((at, _, json)) = self.extensions.iter().find(|(_, other, _)| other == name) else { return Ok(None) };
        match json.value() {
            crate::record::json::Value::String(text) => Ok(Some((*at, Cow::Owned(text.into())))),
            _ => Err(Trouble::new(*at, FaultKind::Rule("must be a string"))),
        }
    }

    fn finish(self, start: usize, tenant: Option<&Name<'a>>) -> Read<CloudEventInput<'a>> {
        let missing = |name| move || Trouble::missing(start, name);
        let (at, version) = self.version.as_ref().ok_or_else(missing("specversion"))?;
        if version != "1.0" {
            return Err(Trouble::new(*at, FaultKind::Rule("must be 1.0")));
        }
        let id = checked(self.id.clone(), Name::new)?.ok_or_else(missing("id"))?;
        let source = checked(self.source.clone(), Uri::new)?.ok_or_else(missing("source"))?;
        let kind = checked(self.kind.clone(), Name::new)?.ok_or_else(missing("type"))?;
        let module = match self.extension("module")? {
            Some(module) => checked(Some(module), Name::new)?,
            None => checked(self.source.clone(), Name::new)?,
        };
        let object = Object {
            tenant: match checked(self.extension("tenant")?, Name::new)? {
                Some(own) => own,
                None => tenant.cloned().ok_or_else(missing("tenant"))?,
            },
            module: module.ok_or_else(missing("source"))?,
            entity: checked(self.extension("entity")?, Name::new)?.unwrap_or_else(|| kind.clone()),
            id: checked(self.subject.clone(), Name::new)?.unwrap_or_else(|| id.clone()),
            operation: match checked(self.extension("operation")?, Operation::new)? {
                Some(operation) => operation,
                None => Operation::new("event").map_err(|error| Trouble::new(start, error.into()))?,
            },
            row: None,
            category: None,
            action: Some(kind),
        };
        refuse(Reserved::of_brought(&object), start, |_| "")?;
        let actor = checked(self.extension("authid")?, Name::new)?;
        let context = Context {
            traceparent: checked(self.extension("traceparent")?, TraceParent::new)?,
            tracestate: checked(self.extension("tracestate")?, TraceState::new)?,
            ..Context::default()
        };
        let content = Content {
            object,
            actor: match actor {
                Some(actor) => Some(Actor::new(actor, checked(self.extension("authtype")?, Name::new)?)),
                None => None,
            },
            subjects: None,
            context: Some(context).filter(|context| !context.is_empty()),
            values: self.values(start)?,
            attributes: Some(self.attributes(start)?),
        };
        let time = match &self.time {
            None => None,
            Some((at, text)) => {
                let time = Time::parse(text);
                Some(time.map_err(|error| Trouble::new(*at, FaultKind::Words(error.to_string())))?)
            }
        };
        let record = RecordInput { id: None, time, replaces: None, content, stream: StreamInput::default() };
        Ok(CloudEventInput { key: DedupeKey { source, id }, record })
    }

    fn values(&self, start: usize) -> Read<Option<Values<'a>>> {
        let (at, data) = match (&self.data, &self.base64) {
            (Some(_), Some((at, _))) => {
                return Err(Trouble::new(*at, FaultKind::Rule("data and data_base64 exclude each other")));
            }
            (Some((at, data)), None) => (*at, data.clone()),
            (None, Some((at, base64))) => {
                let rule = FaultKind::Rule("must be base64 with its padding (RFC 4648, section 4)");
                STANDARD.decode(&**base64).map_err(|_| Trouble::new(*at, rule))?;
                (*at, Json::string(base64))
            }
            (None, None) => return Ok(None),
        };
        let schema = checked(self.schema.clone(), Uri::new)?.map(|uri| Schema { uri, version: None });
        let values = Values::whole(schema, (None, Some(Document::of(&data))), &Classification::default());
        values.map(Some).map_err(|error| Trouble::new(at.max(start), FaultKind::Words(error.to_string())))
    }

    /// All extensions, and what else the record has no place for.
    fn attributes(&self, start: usize) -> Read<Attributes<'a>> {
        let text = |text: &Option<Text<'a>>| text.as_ref().map(|(_, text)| Json::string(text));
        let own = [
            ("ce-source", text(&self.source)),
            ("ce-id", text(&self.id)),
            ("ce-type", text(&self.kind)),
            ("ce-datacontenttype", text(&self.content_type)),
            ("ce-encoding", self.base64.as_ref().map(|_| Json::string("base64"))),
        ];
        let own = own.into_iter().filter_map(|(name, value)| value.map(|value| (Cow::Borrowed(name), value)));
        let extensions = self.extensions.iter().map(|(_, name, value)| (name.clone(), value.clone()));
        let mut named = Vec::new();
        for (name, value) in own.chain(extensions) {
            let name = Name::new(name).map_err(|error| Trouble::new(start, error.into()))?;
            named.push((name, Classed { class: Class::Internal, content: value }));
        }
        let attributes = Attributes::new(named, Vec::new());
        attributes.map_err(|error| Trouble::new(start, FaultKind::Words(error.to_string())))
    }
}

/// A text of a kind, or what is wrong with it.
fn checked<'a, T>(text: Option<Text<'a>>, new: impl FnOnce(Cow<'a, str>) -> Result<T, TextError>) -> Read<Option<T>> {
    text.map(|(at, text)| new(text).map_err(|error| Trouble::new(at, error.into()))).transpose()
}
