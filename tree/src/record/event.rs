//! The part of a record that is fixed before it is sent: `event`, as one canonical JSON text.
//!
//! Its six parts stand behind digests; in clear are the log, the record's id, the producer's time, and which record this one
//! replaces.

use super::cursor::Cursor;
use super::digest::Digest;
use super::disclosure::push_place;
use super::id::RecordId;
use super::json::canonical::push_string;
use super::leaf::LeafError;
use super::time::Time;
use crate::checkpoint::Origin;

/// The six parts of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "their types say what they are")]
pub enum Part {
    Actor,
    Attributes,
    Context,
    Object,
    Subjects,
    Values,
}

impl Part {
    /// All six, in the order of their names.
    pub const ALL: [Self; 6] =
        [Self::Actor, Self::Attributes, Self::Context, Self::Object, Self::Subjects, Self::Values];

    /// The name of the member.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::Attributes => "attributes",
            Self::Context => "context",
            Self::Object => "object",
            Self::Subjects => "subjects",
            Self::Values => "values",
        }
    }
}

/// What an event says in clear about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventHead {
    /// The log that it is meant for.
    pub log: Origin,
    /// The record's id, unique in its log for ever.
    pub id: RecordId,
    /// The record of the same stream that this one corrects.
    pub replaces: Option<RecordId>,
    /// When it happened, by the producer's clock.
    pub time: Time,
}

/// An event: its head, and the digests of its six parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    head: EventHead,
    /// In the order of [`Part::ALL`].
    digests: [Digest; 6],
}

/// The canonical JSON of an event: what a producer signs, and what the sequencer puts into the leaf without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventText(Vec<u8>);

impl EventText {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Event {
    pub(super) const fn new(head: EventHead, digests: [Digest; 6]) -> Self {
        Self { head, digests }
    }

    /// What it says in clear.
    #[must_use]
    pub const fn head(&self) -> &EventHead {
        &self.head
    }

    /// The digest of a part.
    #[must_use]
    pub const fn digest(&self, part: Part) -> Digest {
        let [actor, attributes, context, object, subjects, values] = self.digests;
        match part {
            Part::Actor => actor,
            Part::Attributes => attributes,
            Part::Context => context,
            Part::Object => object,
            Part::Subjects => subjects,
            Part::Values => values,
        }
    }

    /// The canonical text.
    #[must_use]
    pub fn to_text(&self) -> EventText {
        let mut json = Vec::with_capacity(640);
        for (part, digest) in Part::ALL.into_iter().zip(self.digests) {
            match part {
                Part::Actor => json.push(b'{'),
                // "id" and "log" stand before "object", and "replaces" before "subjects".
                Part::Object => self.push_id_and_log(&mut json),
                Part::Subjects => self.push_replaces(&mut json),
                Part::Values => {
                    json.extend_from_slice(b",\"time\":\"");
                    json.extend_from_slice(&self.head.time.to_text());
                    json.extend_from_slice(b"\",");
                }
                Part::Attributes | Part::Context => json.push(b','),
            }
            json.push(b'"');
            json.extend_from_slice(part.name().as_bytes());
            json.extend_from_slice(b"\":");
            push_place(&mut json, digest);
        }
        json.push(b'}');
        EventText(json)
    }

    fn push_id_and_log(&self, json: &mut Vec<u8>) {
        json.extend_from_slice(b",\"id\":\"");
        json.extend_from_slice(&self.head.id.to_text());
        json.extend_from_slice(b"\",\"log\":");
        push_string(json, self.head.log.as_str());
        json.push(b',');
    }

    fn push_replaces(&self, json: &mut Vec<u8>) {
        if let Some(id) = self.head.replaces {
            json.extend_from_slice(b",\"replaces\":\"");
            json.extend_from_slice(&id.to_text());
            json.push(b'"');
        }
        json.push(b',');
    }

    /// Reads the canonical text.
    ///
    /// # Errors
    /// [`LeafError`] for anything that [`Event::to_text`] would not have written.
    pub fn parse(bytes: &[u8]) -> Result<Self, LeafError> {
        let mut cursor = Cursor::new(bytes)?;
        let event = Self::read(&mut cursor)?;
        cursor.end()?;
        Ok(event)
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, LeafError> {
        cursor.literal("{\"actor\":")?;
        let actor = cursor.place()?;
        cursor.literal(",\"attributes\":")?;
        let attributes = cursor.place()?;
        cursor.literal(",\"context\":")?;
        let context = cursor.place()?;
        cursor.literal(",\"id\":\"")?;
        let id = cursor.parse("a record's id", RecordId::TEXT_LEN)?;
        cursor.literal("\",\"log\":")?;
        let log = cursor.string("the origin of a log", |text| Origin::new(text).ok())?;
        cursor.literal(",\"object\":")?;
        let object = cursor.place()?;
        let replaces = match cursor.literal(",\"replaces\":\"") {
            Ok(()) => {
                let id = cursor.parse("a record's id", RecordId::TEXT_LEN)?;
                cursor.literal("\"")?;
                Some(id)
            }
            Err(_) => None,
        };
        cursor.literal(",\"subjects\":")?;
        let subjects = cursor.place()?;
        cursor.literal(",\"time\":")?;
        let time = cursor.time()?;
        cursor.literal(",\"values\":")?;
        let values = cursor.place()?;
        cursor.literal("}")?;
        let head = EventHead { log, id, replaces, time };
        Ok(Self::new(head, [actor, attributes, context, object, subjects, values]))
    }
}
