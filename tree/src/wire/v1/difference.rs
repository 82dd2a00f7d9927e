//! The answer to a comparison of two points of a stream. It is the server's word, as a replay is.

use std::collections::BTreeSet;

use super::document::{self, Document, Members};
use super::earlier::{EarlierPart, MAX_EARLIER};
use super::json::{self, MEMBERS, Object};
use super::point::Point;
use super::{MAX_ANSWER_BYTES, MAX_ANSWER_DEPTH, MAX_STATES};
use crate::checkpoint::SignedCheckpoint;
use crate::record::json::{Fault, Read, Reader, Trouble};
use crate::record::replay::{Difference, ObjectKey, Replayed, diff};
use crate::record::stream::StreamId;
use crate::size::TreeSize;

/// The differences of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectDifferences {
    /// The object.
    pub object: ObjectKey,
    /// Where it differs, or may.
    pub differences: Vec<DifferenceBody>,
    /// Whether it does in more places.
    pub more: bool,
}

/// A place where two states differ, or may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferenceBody {
    /// The JSON Pointer to it.
    pub pointer: String,
    /// What is there at the first point.
    pub old: Option<Document>,
    /// What is there at the second.
    pub new: Option<Document>,
    /// Whether they do differ; otherwise something unknown decides.
    pub certain: bool,
}

/// The answer to a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferencesAnswer {
    /// The stream.
    pub stream: StreamId,
    /// The first point.
    pub from: Point,
    /// The second.
    pub to: Point,
    /// The objects that differ, or may.
    pub objects: Vec<ObjectDifferences>,
    /// The checkpoint of the tree that was read.
    pub checkpoint: SignedCheckpoint,
    /// The server says that among the leaves of a tree of this size no record of the stream was left out.
    pub complete_to: TreeSize,
    /// The parts of the stream in other logs before this one, the nearest first. Those with a checkpoint acted before it.
    pub earlier: Vec<EarlierPart>,
}

impl From<&Difference> for DifferenceBody {
    fn from(difference: &Difference) -> Self {
        Self {
            pointer: difference.pointer.clone(),
            old: difference.old.as_ref().map(Document::of),
            new: difference.new.as_ref().map(Document::of),
            certain: difference.certain,
        }
    }
}

impl ObjectDifferences {
    /// The differences between two replays of one stream, of each object that differs.
    #[must_use]
    pub fn between(from: &Replayed, to: &Replayed) -> Vec<Self> {
        let objects: BTreeSet<&ObjectKey> = from.states.keys().chain(to.states.keys()).collect();
        let data = |replayed: &Replayed, object: &ObjectKey| replayed.data_of(object);
        let of = |object: &ObjectKey| {
            let found = diff(data(from, object).as_ref(), data(to, object).as_ref());
            let differences = found.first.iter().map(DifferenceBody::from).collect();
            Self { object: object.clone(), differences, more: found.more }
        };
        objects.into_iter().map(of).filter(|object| !object.differences.is_empty()).collect()
    }

    fn push(&self, json: &mut Vec<u8>) {
        Object::write(json, |object| {
            object.member("object", |json| document::push_key(json, &self.object));
            object.array("differences", &self.differences, |json, difference| difference.push(json));
            if self.more {
                object.boolean("more", true);
            }
        });
    }

    fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let start = reader.offset();
        let (mut object, mut differences, mut more) = (None, None, false);
        reader.object(MEMBERS, |reader, name, _| {
            match &*name {
                "object" => object = Some(document::read_key(reader)?),
                "differences" => differences = Some(reader.list(MAX_STATES, DifferenceBody::read)?),
                "more" => more = reader.boolean()?,
                _ => drop(reader.json()?),
            }
            Ok(())
        })?;
        let missing = |name| move || Trouble::missing(start, name);
        let (object, differences) =
            (object.ok_or_else(missing("object"))?, differences.ok_or_else(missing("differences"))?);
        Ok(Self { object, differences, more })
    }
}

impl DifferenceBody {
    fn push(&self, json: &mut Vec<u8>) {
        Object::write(json, |difference| {
            difference.string("pointer", &self.pointer);
            for (side, name, unknown) in [(&self.old, "old", "old_unknown"), (&self.new, "new", "new_unknown")] {
                if let Some(document) = side {
                    document.push_members(difference, name, unknown);
                }
            }
            difference.boolean("certain", self.certain);
        });
    }

    fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let start = reader.offset();
        let (mut pointer, mut certain) = (None, None);
        let (mut old, mut new) = (Members::default(), Members::default());
        reader.object(MEMBERS, |reader, name, _| {
            match &*name {
                "pointer" => pointer = Some(reader.string()?.into_owned()),
                "old" => old.read_json(reader)?,
                "old_unknown" => old.read_unknown(reader)?,
                "new" => new.read_json(reader)?,
                "new_unknown" => new.read_unknown(reader)?,
                "certain" => certain = Some(reader.boolean()?),
                _ => drop(reader.json()?),
            }
            Ok(())
        })?;
        let missing = |name| move || Trouble::missing(start, name);
        let (pointer, certain) = (pointer.ok_or_else(missing("pointer"))?, certain.ok_or_else(missing("certain"))?);
        Ok(Self { pointer, old: old.finish(), new: new.finish(), certain })
    }
}

impl DifferencesAnswer {
    /// The body.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(4 * 1024);
        Object::write(&mut json, |answer| {
            answer.text("stream", self.stream);
            answer.member("from", |json| self.from.push(json));
            answer.member("to", |json| self.to.push(json));
            answer.array("objects", &self.objects, |json, object| object.push(json));
            if !self.earlier.is_empty() {
                answer.array("earlier", &self.earlier, |json, part| part.push(json));
            }
            answer.text("checkpoint", &self.checkpoint);
            answer.integer("complete_to", self.complete_to.get());
        });
        json
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`Fault`]; nothing is verified.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        Reader::read_within(body, (MAX_ANSWER_BYTES, MAX_ANSWER_DEPTH), |reader| {
            let start = reader.offset();
            let (mut stream, mut from, mut to, mut objects) = (None, None, None, None);
            let (mut checkpoint, mut complete_to, mut earlier) = (None, None, Vec::new());
            reader.object(MEMBERS, |reader, name, _| {
                match &*name {
                    "stream" => stream = Some(json::from_text(reader, "must be a stream's id")?),
                    "from" => from = Some(Point::read(reader)?),
                    "to" => to = Some(Point::read(reader)?),
                    "objects" => objects = Some(reader.list(MAX_STATES, ObjectDifferences::read)?),
                    "checkpoint" => checkpoint = Some(json::checkpoint(reader)?),
                    "complete_to" => complete_to = Some(json::size(reader)?),
                    "earlier" => earlier = reader.list(MAX_EARLIER, EarlierPart::read)?,
                    _ => drop(reader.json()?),
                }
                Ok(())
            })?;
            let missing = |name| move || Trouble::missing(start, name);
            Ok(Self {
                stream: stream.ok_or_else(missing("stream"))?,
                from: from.ok_or_else(missing("from"))?,
                to: to.ok_or_else(missing("to"))?,
                objects: objects.ok_or_else(missing("objects"))?,
                checkpoint: checkpoint.ok_or_else(missing("checkpoint"))?,
                complete_to: complete_to.ok_or_else(missing("complete_to"))?,
                earlier,
            })
        })
    }
}
