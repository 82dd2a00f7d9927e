//! Making a record: what it says becomes disclosures, and their digests the event. For producers that sign, and for servers
//! whose producers do not.

use super::attributes::Attributes;
use super::bounds::MAX_EVENT_DISCLOSED_BYTES;
use super::digest::Digest;
use super::disclosure::{Disclosures, DisclosuresError, Making, Salt, begin, push_place};
use super::event::{Event, EventHead, EventText};
use super::json::canonical::push_string;
use super::parts::{Actor, Context, Object, Subjects};
use super::text::push_name;
use super::values::{Form, Values};

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content<'a> {
    /// What was done to which object.
    pub object: Object<'a>,
    /// Who did it.
    pub actor: Option<Actor<'a>>,
    /// The persons that the data is about.
    pub subjects: Option<Subjects<'a>>,
    /// Why it was done, and what it belongs to.
    pub context: Option<Context<'a>>,
    /// The object's data.
    pub values: Option<Values<'a>>,
    /// What else is said.
    pub attributes: Option<Attributes<'a>>,
}

/// An event with all its disclosures, ready to be sequenced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    event: Event,
    text: EventText,
    disclosures: Disclosures,
}

impl Content<'_> {
    /// How many salts [`Content::seal`] takes.
    #[must_use]
    pub fn salts(&self) -> usize {
        let fields = self.values.as_ref().map_or(0, |values| values.fields().len());
        let attributes = self.attributes.as_ref();
        6 + fields + attributes.map_or(0, |attributes| attributes.named().len() + attributes.external().len())
    }

    /// Makes the disclosures and the event; `salt` is called [`Content::salts`] times and must give other bits each time.
    ///
    /// # Errors
    /// [`DisclosuresError`] if what the record says is too much for one.
    pub fn seal(&self, head: EventHead, mut salt: impl FnMut() -> Salt) -> Result<Sealed, DisclosuresError> {
        let mut press = Press {
            disclosures: Making::with_capacity(self.estimate(), self.salts()),
            json: Vec::with_capacity(512),
            places: Vec::with_capacity(64 * self.salts()),
            salt: &mut salt,
        };
        let actor = press.part(self.actor.as_ref(), |actor, json| actor.push(json))?;
        let attributes = press.attributes(self.attributes.as_ref())?;
        let context = press.part(self.context.as_ref().filter(|context| !context.is_empty()), |context, json| {
            context.push(json);
        })?;
        let object = press.part(Some(&self.object), |object, json| object.push(json))?;
        let subjects = press.part(self.subjects.as_ref(), |subjects, json| subjects.push(json))?;
        let values = press.values(self.values.as_ref())?;
        let event = Event::new(head, [actor, attributes, context, object, subjects, values]);
        let disclosures = press.disclosures.done();
        if disclosures.as_str().len() > MAX_EVENT_DISCLOSED_BYTES {
            return Err(DisclosuresError::TooLong);
        }
        Ok(Sealed { text: event.to_text(), event, disclosures })
    }

    /// About how long the disclosures' texts are together.
    fn estimate(&self) -> usize {
        let fields = self.values.iter().flat_map(Values::fields);
        let length = |json: &Option<super::json::Json<'_>>| json.as_ref().map_or(0, |json| json.as_str().len());
        let values: usize =
            fields.map(|(pointer, field)| 160 + pointer.as_str().len() + length(&field.old) + length(&field.new)).sum();
        let attributes = self.attributes.iter().flat_map(Attributes::named);
        let attributes: usize = attributes.map(|(_, attribute)| 256 + attribute.value.as_str().len()).sum();
        1024 + (values + attributes) * 3 / 2
    }
}

/// Makes disclosures one after another, in the same two buffers.
struct Press<'s, S> {
    disclosures: Making,
    json: Vec<u8>,
    /// The places of the fields of the part that is made.
    places: Vec<u8>,
    salt: &'s mut S,
}

impl<S: FnMut() -> Salt> Press<'_, S> {
    fn disclose(&mut self, value: impl FnOnce(&mut Vec<u8>)) -> Result<Digest, DisclosuresError> {
        begin(&mut self.json, (self.salt)());
        value(&mut self.json);
        self.json.push(b']');
        self.disclosures.push(&self.json)
    }

    /// A part that is disclosed in one; a null where there is none, so that nobody sees which parts a record has.
    fn part<T>(&mut self, part: Option<&T>, push: impl FnOnce(&T, &mut Vec<u8>)) -> Result<Digest, DisclosuresError> {
        self.disclose(|json| match part {
            Some(part) => push(part, json),
            None => json.extend_from_slice(b"null"),
        })
    }

    /// Discloses a field, and notes its place under its name.
    fn field(&mut self, name: &str, push: impl FnOnce(&mut Vec<u8>)) -> Result<(), DisclosuresError> {
        let digest = self.disclose(push)?;
        if !self.places.is_empty() {
            self.places.push(b',');
        }
        push_string(&mut self.places, name);
        self.places.push(b':');
        push_place(&mut self.places, digest);
        Ok(())
    }

    fn values(&mut self, values: Option<&Values<'_>>) -> Result<Digest, DisclosuresError> {
        let Some(values) = values else { return self.part::<()>(None, |(), _| ()) };
        self.places.clear();
        for (pointer, field) in values.fields() {
            self.field(pointer.as_str(), |json| field.push(json))?;
        }
        let places = core::mem::take(&mut self.places);
        let digest = self.disclose(|json| {
            json.push(b'{');
            if values.form() == Form::Fields {
                push_places(json, "fields", &places);
            }
            if let Some(schema) = values.schema() {
                schema.push_member(json);
            }
            if let Form::Whole(sides) = values.form() {
                push_name(json, "sides");
                push_string(json, sides.name());
                push_places(json, "whole", &places);
            }
            json.push(b'}');
        });
        self.places = places;
        digest
    }

    fn attributes(&mut self, attributes: Option<&Attributes<'_>>) -> Result<Digest, DisclosuresError> {
        let Some(attributes) = attributes else { return self.part::<()>(None, |(), _| ()) };
        let mut external = Vec::new();
        for one in attributes.external() {
            external.push(self.disclose(|json| one.push(json))?);
        }
        self.places.clear();
        for (name, attribute) in attributes.named() {
            self.field(name.as_str(), |json| attribute.push(json))?;
        }
        let places = core::mem::take(&mut self.places);
        let digest = self.disclose(|json| {
            json.push(b'{');
            if !external.is_empty() {
                push_name(json, "external");
                json.push(b'[');
                for (index, digest) in external.iter().enumerate() {
                    json.extend_from_slice(if index > 0 { b",{\"...\":\"" } else { b"{\"...\":\"" });
                    json.extend_from_slice(&digest.to_text());
                    json.extend_from_slice(b"\"}");
                }
                json.push(b']');
            }
            if !places.is_empty() {
                push_places(json, "named", &places);
            }
            json.push(b'}');
        });
        self.places = places;
        digest
    }
}

fn push_places(json: &mut Vec<u8>, name: &str, places: &[u8]) {
    push_name(json, name);
    json.push(b'{');
    json.extend_from_slice(places);
    json.push(b'}');
}

impl Sealed {
    /// The event.
    #[must_use]
    pub const fn event(&self) -> &Event {
        &self.event
    }

    /// Its canonical text.
    #[must_use]
    pub const fn text(&self) -> &EventText {
        &self.text
    }

    /// Its disclosures.
    #[must_use]
    pub const fn disclosures(&self) -> &Disclosures {
        &self.disclosures
    }

    /// Apart, to be moved on.
    #[must_use]
    pub fn into_parts(self) -> (Event, EventText, Disclosures) {
        (self.event, self.text, self.disclosures)
    }
}
