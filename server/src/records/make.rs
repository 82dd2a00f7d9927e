//! Making records of what came in: the server adds what a producer left out (id, time, salts, what the headers say), and
//! seals it. Signed events are opened and checked instead, since nothing can be added to them.
//!
//! Everything random comes from a source that is handed in. Not here: who may bring what, and the log.

use std::borrow::Cow;

use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::record::disclosure::{Disclosures, Salt};
use cairn_tree::record::draft::Content;
use cairn_tree::record::event::{After, EventHead, EventText};
use cairn_tree::record::id::RecordId;
use cairn_tree::record::open::Opened;
use cairn_tree::record::parts::{Context, Object};
use cairn_tree::record::server_part::Seq;
use cairn_tree::record::signature::{ProducerKey, ProducerKeyId, ProducerSignature};
use cairn_tree::record::stream::{Opening, StreamHead, StreamName, Topics};
use cairn_tree::record::time::Time;
use cairn_tree::wire::record::native::SignedInput;
use cairn_tree::wire::record::{RecordInput, StreamInput};

use super::derived::delivered;
use super::draw::{NoRandomness, Random, Salts};
use super::form::{Delivery, Input};
use super::refusal::Refusal;
use super::said::Said;
use super::secret::Secret;
use crate::engine::postings::PostingsError;
use crate::limits::RECORD_FUTURE;

/// The salts of a stream's name, topics and continuation.
const OPENING_SALTS: usize = 3;

/// What records of one request are made with.
pub struct Maker<'m> {
    /// The origin of the log that they go to.
    pub log: &'m Origin,
    /// The log's secret.
    pub secret: &'m Secret,
    /// Where ids and salts come from.
    pub random: &'m dyn Random,
    /// The server's time.
    pub now: Time,
    /// What the request's headers say.
    pub said: &'m Said,
    /// The producers' keys that are known.
    pub keys: &'m dyn Fn(ProducerKeyId) -> Option<ProducerKey>,
    /// The stream of an earlier log that one of this name goes on from, should it begin.
    pub earlier: &'m dyn Fn(&StreamName<'_>) -> Result<Option<StreamHead>, PostingsError>,
}

/// A record, ready for the sequencer.
pub struct Made<'a> {
    /// Its id.
    pub id: RecordId,
    /// Whether the id was drawn here, so that no other record has it.
    pub fresh_id: bool,
    /// When it happened, if its producer said so.
    pub given_time: Option<Time>,
    /// The record that it corrects.
    pub replaces: Option<RecordId>,
    /// What it says.
    pub says: Says<'a>,
    /// The stream that it goes to.
    pub stream: StreamName<'a>,
    /// The stream's topics, should this be its first record.
    pub topics: Option<Topics<'a>>,
    /// The event.
    pub event: EventText,
    /// Its producer's signature, verified.
    pub signature: Option<ProducerSignature>,
    /// Its disclosures.
    pub disclosures: Disclosures,
    /// What it carries if it turns out to be the first of its stream.
    pub opening: Opening,
    /// The stream of another log that it goes on from then.
    pub continues: Option<StreamHead>,
    /// What it must come after.
    pub expected: Expected,
}

/// What a record says, as it came in.
pub enum Says<'a> {
    /// In a request.
    Plain(Box<Content<'a>>),
    /// In the disclosures of a signed event.
    Signed(Box<Opened>),
}

/// What the head of a stream must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// The number of its last record; `Some(None)` if there must be none.
    pub seq: Option<Option<Seq>>,
    /// The leaf hash of its last record; `Some(None)` if there must be none.
    pub prev: Option<Option<Hash>>,
}

/// What goes with a record should it be the first of its stream.
#[derive(Clone, Default)]
pub(super) struct Begins {
    /// The stream of another log that it goes on from, if that is not looked for.
    pub(super) continues: Option<StreamHead>,
    /// The salt of the stream's name, if it is not drawn.
    pub(super) name_salt: Option<Salt>,
}

/// Why a record was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotMade {
    /// It is the caller's mistake.
    Refused(Refusal),
    /// Nothing can be drawn.
    NoRandomness(NoRandomness),
    /// It can't be told whether its stream goes on from another log's.
    Postings(PostingsError),
}

impl From<PostingsError> for NotMade {
    fn from(error: PostingsError) -> Self {
        Self::Postings(error)
    }
}

impl From<Refusal> for NotMade {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<NoRandomness> for NotMade {
    fn from(error: NoRandomness) -> Self {
        Self::NoRandomness(error)
    }
}

impl Input<'_> {
    /// The tenant of its object; of a signed event that can't be opened, what is wrong with it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn tenant(&self, place: &str) -> Result<Cow<'_, str>, Refusal> {
        match self {
            Self::Plain(record, _) => Ok(Cow::Borrowed(record.content.object.tenant.as_str())),
            Self::Signed(signed) => {
                let opened = opened(signed, place)?;
                let tenant = opened.object.disclosed().map(|object| object.tenant.as_str().to_owned());
                Ok(Cow::Owned(tenant.unwrap_or_default()))
            }
        }
    }

    /// Whether it has an id, or something that its id follows from.
    #[must_use]
    pub fn is_known(&self) -> bool {
        match self {
            Self::Plain(record, key) => record.id.is_some() || key.is_some(),
            Self::Signed(_) => true,
        }
    }

    /// The id that it has in the log with this secret, unless one is drawn for it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn id(&self, secret: &Secret, place: &str) -> Result<Option<RecordId>, Refusal> {
        match self {
            Self::Plain(record, key) => match (record.id, key) {
                (Some(id), _) => Ok(Some(id)),
                (None, Some(key)) => delivered(secret, record.content.object.tenant.as_str(), key, place).map(Some),
                (None, None) => Ok(None),
            },
            Self::Signed(signed) => Ok(Some(signed.event.head().id)),
        }
    }
}

fn opened(signed: &SignedInput<'_>, place: &str) -> Result<Opened, Refusal> {
    let wrong = |error: cairn_tree::record::open::IntegrityError| {
        Refusal::invalid(format!("{place}/disclosures"), error.to_string())
    };
    Opened::of_event(&signed.event, &signed.disclosures).map_err(wrong)
}

impl<'m> Maker<'m> {
    /// Makes a record of what stands at `place` in the body.
    ///
    /// # Errors
    /// [`NotMade`].
    pub fn make<'a>(&self, input: Input<'a>, place: &str) -> Result<Made<'a>, NotMade> {
        match input {
            Input::Plain(record, key) => self.plain(*record, key.as_ref(), Begins::default(), place),
            Input::Signed(signed) => self.signed(*signed, place),
        }
    }

    /// Makes a record of the server's own, which may go on from another log's stream.
    ///
    /// # Errors
    /// [`NotMade`].
    pub(super) fn own<'a>(&self, record: RecordInput<'a>, begins: Begins, place: &str) -> Result<Made<'a>, NotMade> {
        self.plain(record, None, begins, place)
    }

    fn plain<'a>(
        &self,
        record: RecordInput<'a>,
        key: Option<&Delivery<'_>>,
        begins: Begins,
        place: &str,
    ) -> Result<Made<'a>, NotMade> {
        let RecordInput { id, time, replaces, mut content, stream } = record;
        self.said.complete(&mut content, place)?;
        let (given_time, time) = (time, time.unwrap_or(self.now));
        self.check_time(time, &format!("{place}/time"))?;
        let (id, fresh_id) = match (id, key) {
            (Some(id), _) => (id, false),
            (None, Some(key)) => (delivered(self.secret, content.object.tenant.as_str(), key, place)?, false),
            (None, None) => (self.new_id()?, true),
        };
        let mut salts = Salts::draw(self.random, content.salts() + OPENING_SALTS)?;
        let head = EventHead { log: self.log.clone(), id, replaces, time, key: None, after: None };
        let sealed = content.seal(head, || salts.next());
        let sealed =
            sealed.map_err(|error| Refusal::invalid(format!("{place}{}", error.pointer()), error.to_string()))?;
        let name = name_of(&content.object, content.context.as_ref());
        let expected = Expected { seq: stream.expected_seq, prev: stream.expected_prev };
        let (opening, continues) = self.opening(&name, &stream, begins, &mut salts, place)?;
        let (_, event, disclosures) = sealed.into_parts();
        let says = Says::Plain(Box::new(content));
        let expected = expected.consistent(place)?;
        let (topics, signature) = (stream.topics, None);
        Ok(Made {
            id,
            fresh_id,
            given_time,
            replaces,
            says,
            stream: name,
            topics,
            event,
            signature,
            disclosures,
            opening,
            continues,
            expected,
        })
    }

    fn signed<'a>(&self, signed: SignedInput<'a>, place: &str) -> Result<Made<'a>, NotMade> {
        let opened = opened(&signed, place)?;
        self.said.check(&opened, place)?;
        let SignedInput { event, signature, disclosures, stream } = signed;
        let head = event.head();
        if head.log != *self.log {
            let detail = "the event is meant for another log";
            let refusal = Refusal::invalid(format!("{place}/event/log"), detail);
            return Err(refusal.bounded(head.log.as_str(), self.log.as_str()).into());
        }
        self.check_time(head.time, &format!("{place}/event/time"))?;
        let text = event.to_text();
        let key = head.key.and_then(|id| (self.keys)(id));
        let key = key.ok_or_else(|| {
            Refusal::invalid(format!("{place}/event/key"), "no producer's key with this id is known here")
        })?;
        if !key.verifies(&text, &signature) {
            return Err(Refusal::invalid(format!("{place}/signature"), "not the key's over this event").into());
        }
        let (Some(object), Some(context)) = (opened.object.disclosed(), opened.context.disclosed()) else {
            return Err(Refusal::invalid(format!("{place}/disclosures"), "object and context must be there").into());
        };
        let name = name_of(object, context.as_ref()).into_owned();
        let mut salts = Salts::draw(self.random, OPENING_SALTS)?;
        let (opening, continues) = self.opening(&name, &stream, Begins::default(), &mut salts, place)?;
        let said = Expected { seq: stream.expected_seq, prev: stream.expected_prev };
        let expected = said.with(Expected::of(head.after), place)?.consistent(place)?;
        let id = head.id;
        Ok(Made {
            id,
            fresh_id: false,
            given_time: Some(head.time),
            replaces: head.replaces,
            says: Says::Signed(Box::new(opened)),
            stream: name,
            topics: stream.topics,
            event: text,
            signature: Some(signature),
            disclosures,
            opening,
            continues,
            expected,
        })
    }

    /// Only the future is bounded: late records are taken, and their lateness is shown.
    fn check_time(&self, time: Time, place: &str) -> Result<(), Refusal> {
        let most = Time::from_micros(self.now.micros().saturating_add(micros(RECORD_FUTURE))).unwrap_or(Time::MAX);
        if time <= most {
            return Ok(());
        }
        let minutes = RECORD_FUTURE.as_secs() / 60;
        let detail = format!("the producer's time is more than {minutes} minutes after the server's");
        let bound = format!("at most {} ({minutes} minutes after the server's time)", text(most));
        Err(Refusal::invalid(place.to_owned(), detail).bounded(&text(time), bound))
    }

    fn new_id(&self) -> Result<RecordId, NoRandomness> {
        let mut random = [0; 10];
        self.random.fill(&mut random)?;
        Ok(RecordId::v7(self.now, random))
    }

    fn opening(
        &self,
        name: &StreamName<'_>,
        stream: &StreamInput<'_>,
        begins: Begins,
        salts: &mut Salts,
        place: &str,
    ) -> Result<(Opening, Option<StreamHead>), NotMade> {
        let Begins { continues, mut name_salt } = begins;
        let continues = match continues {
            Some(head) => Some(head),
            None => (self.earlier)(name)?,
        };
        // The first salt is the name's.
        let salt = || name_salt.take().unwrap_or_else(|| salts.next());
        let opening = Opening::new(name, stream.topics.as_ref(), continues.as_ref(), salt);
        salts.enough()?;
        let opening = opening.map_err(|error| Refusal::invalid(format!("{place}/topics"), error.to_string()))?;
        Ok((opening, continues))
    }
}

/// The stream that a record belongs in: the one that its context names, or its object's own.
fn name_of<'a>(object: &Object<'a>, context: Option<&Context<'a>>) -> StreamName<'a> {
    match context.and_then(|context| context.stream.as_ref()) {
        Some(name) => StreamName::Named { tenant: object.tenant.clone(), name: name.clone() },
        None => StreamName::of(object),
    }
}

impl Expected {
    /// What an event that its producer signed says itself.
    fn of(after: Option<After>) -> Self {
        match after {
            None => Self::default(),
            Some(After::Nothing) => Self { seq: Some(None), prev: Some(None) },
            Some(After::Record { seq, leaf }) => Self { seq: Some(Some(seq)), prev: Some(Some(leaf)) },
        }
    }

    fn with(self, other: Self, place: &str) -> Result<Self, Refusal> {
        let differ = |one: bool, name: &str| {
            let detail = "the signed event says that it comes after another record";
            if one { Err(Refusal::invalid(format!("{place}/{name}"), detail)) } else { Ok(()) }
        };
        differ(self.seq.zip(other.seq).is_some_and(|(one, other)| one != other), "expected_seq")?;
        differ(self.prev.zip(other.prev).is_some_and(|(one, other)| one != other), "expected_prev")?;
        Ok(Self { seq: self.seq.or(other.seq), prev: self.prev.or(other.prev) })
    }

    /// Whether there must be a record before is said once, or twice alike.
    fn consistent(self, place: &str) -> Result<Self, Refusal> {
        match (self.seq, self.prev) {
            (Some(seq), Some(prev)) if seq.is_none() != prev.is_none() => {
                let detail = "expected_seq and expected_prev contradict each other";
                Err(Refusal::invalid(format!("{place}/expected_prev"), detail))
            }
            _ => Ok(self),
        }
    }
}

fn text(time: Time) -> String {
    String::from_utf8_lossy(&time.to_text()).into_owned()
}

fn micros(duration: core::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
