//! The answer to a replay: the states of a stream's objects at a point.
//!
//! It is the server's word: whoever wants proof replays the verified history ([`super::Page`]) himself.

use super::document::{self, Document, Members};
use super::earlier::{EarlierPart, MAX_EARLIER};
use super::flag::FlagBody;
use super::json::{self, MEMBERS, Object};
use super::point::Point;
use super::{MAX_ANSWER_BYTES, MAX_ANSWER_DEPTH, MAX_STATES};
use crate::checkpoint::{Origin, SignedCheckpoint};
use crate::record::json::{Fault, FaultKind, Read, Reader, Trouble};
use crate::record::replay::{Life, ObjectKey, Replayed, State, Unknown};
use crate::record::server_part::Seq;
use crate::record::stream::StreamId;
use crate::size::TreeSize;

/// The state of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateBody {
    /// The object.
    pub object: ObjectKey,
    /// Whether it lives.
    pub life: Life,
    /// Its data, if there is any.
    pub document: Option<Document>,
    /// How many lives have begun.
    pub lives: u64,
    /// The number of the last record that acted on it.
    pub last: Seq,
    /// The log of that record, if it is one that the stream was in before.
    pub last_log: Option<Origin>,
}

/// What is answered of a replay, but for the stream and the tree that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct States {
    /// The states, in the order of the objects.
    pub states: Vec<StateBody>,
    /// Why nobody knows whether there are other objects.
    pub others: Option<Unknown>,
    /// What does not fit together.
    pub flags: Vec<FlagBody>,
}

/// The answer to a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatesAnswer {
    /// The stream.
    pub stream: StreamId,
    /// Up to where.
    pub at: Point,
    /// What was replayed.
    pub replayed: States,
    /// The checkpoint of the tree that was read.
    pub checkpoint: SignedCheckpoint,
    /// The server says that among the leaves of a tree of this size no record of the stream was left out.
    pub complete_to: TreeSize,
    /// The parts of the stream in other logs before this one, the nearest first. Those with a checkpoint acted before it.
    pub earlier: Vec<EarlierPart>,
}

impl From<(&ObjectKey, &State)> for StateBody {
    fn from((object, state): (&ObjectKey, &State)) -> Self {
        Self {
            object: object.clone(),
            life: state.life,
            document: state.data.as_ref().map(Document::of),
            lives: state.lives,
            last: state.last,
            last_log: None,
        }
    }
}

impl States {
    /// Says of which objects the last record is in another log, where `of` knows one.
    #[must_use]
    pub fn with_logs(mut self, of: impl Fn(&ObjectKey) -> Option<Origin>) -> Self {
        self.states.iter_mut().for_each(|state| state.last_log = of(&state.object));
        self
    }
}

impl From<&Replayed> for States {
    fn from(replayed: &Replayed) -> Self {
        Self {
            states: replayed.states.iter().map(StateBody::from).collect(),
            others: replayed.others,
            flags: replayed.flags.iter().map(FlagBody::from).collect(),
        }
    }
}

impl StateBody {
    fn push(&self, json: &mut Vec<u8>) {
        Object::write(json, |state| {
            state.member("object", |json| document::push_key(json, &self.object));
            match self.life {
                Life::Live => state.string("life", "live"),
                Life::Ended => state.string("life", "ended"),
                Life::Unknown(why) => state.member("life", |json| document::push_unknown(json, why)),
            }
            if let Some(document) = &self.document {
                document.push_members(state, "document", "unknown");
            }
            state.integer("lives", self.lives);
            state.integer("last", self.last.get());
            if let Some(log) = &self.last_log {
                state.text("last_log", log);
            }
        });
    }

    fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let start = reader.offset();
        let (mut object, mut life, mut lives, mut last, mut last_log) = (None, None, None, None, None);
        let mut document = Members::default();
        reader.object(MEMBERS, |reader, name, _| {
            match &*name {
                "object" => object = Some(document::read_key(reader)?),
                "life" => life = Some(read_life(reader)?),
                "document" => document.read_json(reader)?,
                "unknown" => document.read_unknown(reader)?,
                "lives" => lives = Some(reader.integer()?),
                "last" => last = Some(json::seq(reader)?),
                "last_log" => last_log = Some(json::origin(reader)?),
                _ => drop(reader.json()?),
            }
            Ok(())
        })?;
        let missing = |name| move || Trouble::missing(start, name);
        Ok(Self {
            object: object.ok_or_else(missing("object"))?,
            life: life.ok_or_else(missing("life"))?,
            document: document.finish(),
            lives: lives.ok_or_else(missing("lives"))?,
            last: last.ok_or_else(missing("last"))?,
            last_log,
        })
    }
}

fn read_life(reader: &mut Reader<'_>) -> Read<Life> {
    let at = reader.offset();
    match reader.kind()? {
        crate::record::json::Kind::Object => document::read_unknown(reader).map(Life::Unknown),
        _ => match &*reader.string()? {
            "live" => Ok(Life::Live),
            "ended" => Ok(Life::Ended),
            _ => Err(Trouble::new(at, FaultKind::Rule("must be live, ended, or why that is unknown"))),
        },
    }
}

impl StatesAnswer {
    /// The body.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(4 * 1024);
        Object::write(&mut json, |answer| {
            answer.text("stream", self.stream);
            answer.member("at", |json| self.at.push(json));
            answer.array("states", &self.replayed.states, |json, state| state.push(json));
            if let Some(why) = self.replayed.others {
                answer.member("others", |json| document::push_unknown(json, why));
            }
            answer.array("flags", &self.replayed.flags, |json, flag| flag.push(json));
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
            let (mut stream, mut at, mut states, mut others, mut flags) = (None, None, None, None, None);
            let (mut checkpoint, mut complete_to, mut earlier) = (None, None, Vec::new());
            reader.object(MEMBERS, |reader, name, _| {
                match &*name {
                    "stream" => stream = Some(json::from_text(reader, "must be a stream's id")?),
                    "at" => at = Some(Point::read(reader)?),
                    "states" => states = Some(reader.list(MAX_STATES, StateBody::read)?),
                    "others" => others = json::or_null(reader, document::read_unknown)?,
                    "flags" => flags = Some(reader.list(MAX_STATES, FlagBody::read)?),
                    "checkpoint" => checkpoint = Some(json::checkpoint(reader)?),
                    "complete_to" => complete_to = Some(json::size(reader)?),
                    "earlier" => earlier = reader.list(MAX_EARLIER, EarlierPart::read)?,
                    _ => drop(reader.json()?),
                }
                Ok(())
            })?;
            let missing = |name| move || Trouble::missing(start, name);
            let states = states.ok_or_else(missing("states"))?;
            Ok(Self {
                stream: stream.ok_or_else(missing("stream"))?,
                at: at.ok_or_else(missing("at"))?,
                replayed: States { states, others, flags: flags.ok_or_else(missing("flags"))? },
                checkpoint: checkpoint.ok_or_else(missing("checkpoint"))?,
                complete_to: complete_to.ok_or_else(missing("complete_to"))?,
                earlier,
            })
        })
    }
}
