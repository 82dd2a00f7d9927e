//! Making a record: what it says becomes disclosures, and their digests the event. For producers that sign, and for servers
//! whose producers do not. What is made here is opened again: the rules of readers ([`super::open`]) hold for it.

use super::attributes::Attributes;
use super::bounds::MAX_EVENT_DISCLOSED_BYTES;
use super::class::{Class, Classed, push_groups};
use super::digest::Digest;
use super::disclosure::{Disclosures, DisclosuresError, Making, Salt, begin, push_element, push_place};
use super::event::{Event, EventHead, EventText, Part};
use super::json::canonical::push_string;
use super::parts::{Actor, Context, Object, Subjects};
use super::reserved::{Reserved, is_own_operation};
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

/// Why a record can't be made of what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The new document is absent, though it is no delete.
    #[error("the new document may be absent only from a delete")]
    OnlyOld,
    /// A producer's key with something of the log's own.
    #[error(transparent)]
    Reserved(#[from] Reserved),
    /// What the log alone puts on record corrects nothing.
    #[error("an operation of the log's own that corrects another record")]
    OwnReplaces,
    /// A part of it is too much for one record.
    #[error("{} is too much for one record: {error}", part.name())]
    Part {
        /// The part.
        part: Part,
        /// What is past a bound.
        error: DisclosuresError,
    },
    /// All of it together is too much for one record.
    #[error("its parts are together too much for one record")]
    All,
}

impl SealError {
    /// Where it is in the native form, as a JSON Pointer; empty for the whole record.
    #[must_use]
    pub const fn pointer(&self) -> &'static str {
        match self {
            Self::OnlyOld => "/values/whole",
            Self::Reserved(reserved) => reserved.pointer(),
            Self::OwnReplaces => "/replaces",
            Self::Part { part: Part::Actor, .. } => "/actor",
            Self::Part { part: Part::Attributes, .. } => "/attributes",
            Self::Part { part: Part::Context, .. } => "/context",
            Self::Part { part: Part::Object, .. } => "/object",
            Self::Part { part: Part::Subjects, .. } => "/subjects",
            Self::Part { part: Part::Values, .. } => "/values",
            Self::All => "",
        }
    }
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
    /// [`SealError`]; nothing that no reader would take is made.
    pub fn seal(&self, head: EventHead, mut salt: impl FnMut() -> Salt) -> Result<Sealed, SealError> {
        if self.values.as_ref().is_some_and(|values| !values.form().may_come_with(&self.object.operation)) {
            return Err(SealError::OnlyOld);
        }
        if head.key.is_some()
            && let Some(reserved) = Reserved::of_brought(&self.object).or_else(|| self.reserved())
        {
            return Err(reserved.into());
        }
        if head.replaces.is_some() && is_own_operation(&self.object.operation) {
            return Err(SealError::OwnReplaces);
        }
        let mut press = Press {
            disclosures: Making::with_capacity(self.estimate(), self.salts()),
            json: Vec::with_capacity(512),
            // Most fields are of the class that is not said.
            places: Class::ALL.map(|class| match class {
                Class::Internal => Vec::with_capacity(80 * self.salts()),
                _ => Vec::new(),
            }),
            salt: &mut salt,
        };
        let of = |part| move |error| SealError::Part { part, error };
        let actor = press.part(self.actor.as_ref(), |actor, json| actor.push(json)).map_err(of(Part::Actor))?;
        let attributes = press.attributes(self.attributes.as_ref()).map_err(of(Part::Attributes))?;
        let context = self.context.as_ref().filter(|context| !context.is_empty());
        let context = press.part(context, |context, json| context.push(json)).map_err(of(Part::Context))?;
        let object = press.part(Some(&self.object), |object, json| object.push(json)).map_err(of(Part::Object))?;
        let subjects = press.part(self.subjects.as_ref(), |subjects, json| subjects.push(json));
        let subjects = subjects.map_err(of(Part::Subjects))?;
        let values = press.values(self.values.as_ref()).map_err(of(Part::Values))?;
        let event = Event::new(head, [actor, attributes, context, object, subjects, values]);
        let disclosures = press.disclosures.done();
        if disclosures.as_str().len() > MAX_EVENT_DISCLOSED_BYTES {
            return Err(SealError::All);
        }
        Ok(Sealed { text: event.to_text(), event, disclosures })
    }

    /// What of it is the log's own, and no producer's.
    #[must_use]
    pub fn reserved(&self) -> Option<Reserved> {
        let object = Reserved::of_object(&self.object);
        let context = || Reserved::of_context(self.context.as_ref()?);
        object.or_else(context).or_else(|| Reserved::of_attributes(self.attributes.as_ref()?))
    }

    /// About how long the disclosures' texts are together.
    fn estimate(&self) -> usize {
        let fields = self.values.iter().flat_map(Values::fields);
        let length = |json: &Option<super::json::Json<'_>>| json.as_ref().map_or(0, |json| json.as_str().len());
        let values: usize = fields
            .map(|(pointer, Classed { content, .. })| {
                128 + pointer.as_str().len() + length(&content.old) + length(&content.new)
            })
            .sum();
        let attributes = self.attributes.iter().flat_map(Attributes::named);
        let attributes: usize = attributes.map(|(_, attribute)| 256 + attribute.content.as_str().len()).sum();
        1024 + (values + attributes) * 3 / 2
    }
}

/// Makes disclosures one after another, in the same two buffers.
struct Press<'s, S> {
    disclosures: Making,
    json: Vec<u8>,
    /// The places of the fields of the part that is made, of each class.
    places: [Vec<u8>; Class::ALL.len()],
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

    /// Discloses a field, and notes its place under its class and its name, if it has one.
    fn field(
        &mut self,
        class: Class,
        name: Option<&str>,
        push: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), DisclosuresError> {
        let digest = self.disclose(push)?;
        let Some(places) = self.places.get_mut(class as usize) else { return Ok(()) };
        if !places.is_empty() {
            places.push(b',');
        }
        match name {
            Some(name) => {
                push_string(places, name);
                places.push(b':');
                push_place(places, digest);
            }
            None => push_element(places, digest),
        }
        Ok(())
    }

    /// Writes a member with the places that were noted, in the brackets of an object or an array, and forgets them.
    fn places(&mut self, name: &str, brackets: [u8; 2]) -> Vec<u8> {
        let mut json = Vec::new();
        let [open, close] = brackets;
        json.push(b'"');
        json.extend_from_slice(name.as_bytes());
        json.extend_from_slice(b"\":");
        push_groups(&mut json, |json, class| {
            let Some(places) = self.places.get_mut(class as usize).filter(|places| !places.is_empty()) else {
                return false;
            };
            json.push(open);
            json.extend_from_slice(places);
            json.push(close);
            places.clear();
            true
        });
        json
    }

    fn values(&mut self, values: Option<&Values<'_>>) -> Result<Digest, DisclosuresError> {
        let Some(values) = values else { return self.part::<()>(None, |(), _| ()) };
        for (pointer, Classed { class, content }) in values.fields() {
            self.field(*class, Some(pointer.as_str()), |json| content.push(json))?;
        }
        let (form, sides) = match values.form() {
            Form::Fields => ("fields", None),
            Form::Whole(sides) => ("whole", Some(sides)),
        };
        let places = self.places(form, *b"{}");
        self.disclose(|json| {
            json.push(b'{');
            if sides.is_none() {
                json.extend_from_slice(&places);
            }
            if let Some(schema) = values.schema() {
                schema.push_member(json);
            }
            if let Some(sides) = sides {
                push_name(json, "sides");
                push_string(json, sides.name());
                json.push(b',');
                json.extend_from_slice(&places);
            }
            json.push(b'}');
        })
    }

    fn attributes(&mut self, attributes: Option<&Attributes<'_>>) -> Result<Digest, DisclosuresError> {
        let Some(attributes) = attributes else { return self.part::<()>(None, |(), _| ()) };
        for Classed { class, content } in attributes.external() {
            self.field(*class, None, |json| content.push(json))?;
        }
        let external = (!attributes.external().is_empty()).then(|| self.places("external", *b"[]"));
        for (name, Classed { class, content }) in attributes.named() {
            self.field(*class, Some(name.as_str()), |json| json.extend_from_slice(content.as_str().as_bytes()))?;
        }
        let named = (!attributes.named().is_empty()).then(|| self.places("named", *b"{}"));
        self.disclose(|json| {
            json.push(b'{');
            let members: Vec<Vec<u8>> = [external, named].into_iter().flatten().collect();
            json.extend_from_slice(&members.join(&b','));
            json.push(b'}');
        })
    }
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
