//! The part of a record that is fixed before it is sent: `event`, as one canonical JSON text.
//!
//! Its six parts stand behind digests; in clear are the log, the record's id, the producer's time, which record this one
//! replaces and which it comes after, and the key that signed it.

use super::bounds::MAX_INTEGER;
use super::cursor::Cursor;
use super::digest::Digest;
use super::disclosure::push_place;
use super::id::RecordId;
use super::json::canonical::{push_integer, push_string};
use super::leaf::LeafError;
use super::server_part::{Place, Seq, StandardHash};
use super::signature::ProducerKeyId;
use super::time::Time;
use crate::checkpoint::Origin;
use crate::hash::Hash;

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
    /// The key that its producer signs it with. The event names it, so that no log can take the signature away, nor put
    /// another's in its place. Of an event that was read, it is a claim until the signature is verified.
    pub key: Option<ProducerKeyId>,
    /// The place in its stream that its producer wants it in; `None` if any will do.
    pub after: Option<After>,
}

/// What a record must come directly after in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// After nothing: it is the first.
    Nothing,
    /// After this record.
    Record {
        /// The number of that record in the stream.
        seq: Seq,
        /// Its leaf hash.
        leaf: Hash,
    },
}

impl After {
    /// Whether a place in a stream is the one that is wanted.
    #[must_use]
    pub fn fits(self, place: &Place) -> bool {
        match (self, place) {
            (Self::Nothing, Place::First { .. }) => true,
            (Self::Record { seq: before, leaf }, Place::After { seq, prev }) => {
                before.next() == Ok(seq.seq()) && leaf == *prev
            }
            _ => false,
        }
    }
}

/// An event: its head, and the digests of its six parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    head: EventHead,
    /// In the order of [`Part::ALL`].
    digests: [Digest; 6],
}

/// The canonical JSON of an event, which the sequencer puts into the leaf as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventText {
    json: Vec<u8>,
    key: Option<ProducerKeyId>,
    after: Option<After>,
}

impl EventText {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.json
    }

    /// The key that the event names.
    #[must_use]
    pub const fn key(&self) -> Option<ProducerKeyId> {
        self.key
    }

    /// What the event must come after.
    #[must_use]
    pub const fn after(&self) -> Option<After> {
        self.after
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
                // "after" stands before "attributes"; "id", "key" and "log" before "object"; "replaces" before "subjects".
                Part::Object => self.push_id_key_and_log(&mut json),
                Part::Subjects => self.push_replaces(&mut json),
                Part::Values => {
                    json.extend_from_slice(b",\"time\":\"");
                    json.extend_from_slice(&self.head.time.to_text());
                    json.extend_from_slice(b"\",");
                }
                Part::Attributes => self.push_after(&mut json),
                Part::Context => json.push(b','),
            }
            json.push(b'"');
            json.extend_from_slice(part.name().as_bytes());
            json.extend_from_slice(b"\":");
            push_place(&mut json, digest);
        }
        json.push(b'}');
        EventText { json, key: self.head.key, after: self.head.after }
    }

    fn push_after(&self, json: &mut Vec<u8>) {
        match self.head.after {
            None => {}
            Some(After::Nothing) => json.extend_from_slice(b",\"after\":null"),
            Some(After::Record { seq, leaf }) => {
                json.extend_from_slice(b",\"after\":{\"leaf\":\"");
                json.extend_from_slice(leaf.to_base64().as_bytes());
                json.extend_from_slice(b"\",\"seq\":");
                push_integer(json, seq.get());
                json.push(b'}');
            }
        }
        json.push(b',');
    }

    fn push_id_key_and_log(&self, json: &mut Vec<u8>) {
        json.extend_from_slice(b",\"id\":\"");
        json.extend_from_slice(&self.head.id.to_text());
        if let Some(key) = self.head.key {
            json.extend_from_slice(b"\",\"key\":\"");
            json.extend_from_slice(&key.to_text());
        }
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
        let after = Self::read_after(cursor)?;
        cursor.literal(",\"attributes\":")?;
        let attributes = cursor.place()?;
        cursor.literal(",\"context\":")?;
        let context = cursor.place()?;
        cursor.literal(",\"id\":\"")?;
        let id = cursor.parse("a record's id", RecordId::TEXT_LEN)?;
        let key = match cursor.literal("\",\"key\":\"") {
            Ok(()) => Some(cursor.parse("the id of a producer's key", ProducerKeyId::TEXT_LEN)?),
            Err(_) => None,
        };
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
        let head = EventHead { log, id, replaces, time, key, after };
        Ok(Self::new(head, [actor, attributes, context, object, subjects, values]))
    }

    fn read_after(cursor: &mut Cursor<'_>) -> Result<Option<After>, LeafError> {
        if cursor.literal(",\"after\":null").is_ok() {
            return Ok(Some(After::Nothing));
        }
        if cursor.literal(",\"after\":{\"leaf\":\"").is_err() {
            return Ok(None);
        }
        let leaf = cursor.parse::<StandardHash>("a leaf hash", StandardHash::TEXT_LEN)?.0;
        cursor.literal("\",\"seq\":")?;
        let seq = Seq::new(cursor.integer(MAX_INTEGER)?).map_err(|_| LeafError::Place)?;
        cursor.literal("}")?;
        Ok(Some(After::Record { seq, leaf }))
    }
}
