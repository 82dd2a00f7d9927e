//! Events on their way into an outbox: records in the native form, with all that must not change between two attempts.
//!
//! A record that says no id and no time gets both here. With a producer's key it is sealed here too, salts included, and
//! signed. What comes out is the body of the request, byte for byte, however often and whenever it is sent. Without a key
//! the server makes the salts; it compares what the record says then, so that a second delivery is still the first record.

use std::cell::RefCell;
use std::collections::HashSet;

use cairn_tree::checkpoint::Origin;
use cairn_tree::record::disclosure::Salt;
use cairn_tree::record::draft::SealError;
use cairn_tree::record::event::EventHead;
use cairn_tree::record::id::RecordId;
use cairn_tree::record::json::canonical::push_string;
use cairn_tree::record::json::{Fault, Json};
use cairn_tree::record::open::{IntegrityError, Opened};
use cairn_tree::record::parts::{Context, Object};
use cairn_tree::record::signature::ProducerSigner;
use cairn_tree::record::stream::StreamName;
use cairn_tree::record::time::Time;
use cairn_tree::wire::record::RecordInput;
use cairn_tree::wire::record::native::{NativeInput, SignedInput, members, parse, texts};
use sha2::{Digest as _, Sha256};

use super::surroundings::{NoRandomness, Surroundings, draw};

/// The members of a record that are not part of what its producer signs.
const BESIDE: [&str; 3] = ["topics", "expected_seq", "expected_prev"];

/// A record that is to be appended, in the native form: well-formed, and not yet complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event(Json<'static>);

/// The key that events are signed with, and the log that they are meant for: it stands in what is signed.
#[derive(Debug)]
pub struct Signing {
    /// The key.
    pub signer: ProducerSigner,
    /// The log's origin.
    pub log: Origin,
}

/// Why events can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// There are none.
    #[error("a batch has at least one record")]
    Empty,
    /// One is not what a server would take.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// Two have one id.
    #[error("two records of the batch have the id {0}")]
    Twice(RecordId),
    /// A record that is signed already says something that its disclosures don't.
    #[error("record {number}: {error}")]
    Signed {
        /// Which.
        number: usize,
        /// What is wrong.
        error: IntegrityError,
    },
    /// A record can't be sealed.
    #[error("record {number}: {error}")]
    Seal {
        /// Which.
        number: usize,
        /// What is wrong.
        error: SealError,
    },
    /// A signed event that is meant for another log than this outbox's.
    #[error("record {number}: the event is meant for another log than this outbox signs for")]
    OtherLog {
        /// Which.
        number: usize,
    },
    /// No ids and salts can be drawn.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// What tells a stream from others, without its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Stream(pub(super) [u8; Stream::LEN]);

/// A batch that nothing is missing of: what is kept, and sent as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prepared {
    pub(super) ids: Vec<RecordId>,
    /// Each once, in order.
    pub(super) streams: Vec<Stream>,
    pub(super) body: Vec<u8>,
}

impl Event {
    /// Reads one record.
    ///
    /// # Errors
    /// [`Fault`] with the place of what a server would refuse.
    pub fn parse(record: &[u8]) -> Result<Self, Fault> {
        let json = Json::parse(record)?;
        // An array of one would be taken as well, and make a record of a batch.
        members(json.as_str().as_bytes())?;
        parse(json.as_str().as_bytes())?;
        Ok(Self(json.into_owned()))
    }

    /// Reads one record, or an array of them.
    ///
    /// # Errors
    /// [`Fault`] with the place of what a server would refuse.
    pub fn parse_all(body: &[u8]) -> Result<Vec<Self>, Fault> {
        parse(body)?;
        Ok(texts(body)?.into_iter().map(|json| Self(json.into_owned())).collect())
    }
}

impl Stream {
    pub(super) const LEN: usize = 16;

    pub(super) fn of(object: &Object<'_>, context: Option<&Context<'_>>) -> Self {
        let name = match context.and_then(|context| context.stream.as_ref()) {
            Some(name) => StreamName::Named { tenant: object.tenant.clone(), name: name.clone() },
            None => StreamName::of(object),
        };
        let digest: [u8; 32] = Sha256::digest(name.to_string()).into();
        let mut first = [0; Self::LEN];
        first.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self(first)
    }
}

/// Completes a batch.
pub(super) fn prepare(
    events: &[Event],
    signing: Option<&Signing>,
    surroundings: &dyn Surroundings,
) -> Result<Prepared, EventError> {
    let now = surroundings.now();
    let (mut ids, mut streams, mut records) = (Vec::new(), Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for (number, Event(json)) in events.iter().enumerate() {
        let inputs = parse(json.as_str().as_bytes())?;
        let input = inputs.into_iter().next().ok_or(EventError::Empty)?;
        let (id, stream, text) = match input {
            NativeInput::Plain(input) => {
                let stream = Stream::of(&input.content.object, input.content.context.as_ref());
                let id = match input.id {
                    Some(id) => id,
                    None => RecordId::v7(now, draw(surroundings)?),
                };
                let time = input.time.unwrap_or(now);
                let text = match signing {
                    None => completed(json.as_str(), &input, id, time),
                    Some(signing) => signed(json, *input, (id, time), signing, (surroundings, number))?,
                };
                (id, stream, text)
            }
            NativeInput::Signed(input) => {
                let SignedInput { event, disclosures, .. } = &*input;
                let wrong = |error| EventError::Signed { number, error };
                let opened = Opened::of_event(event, disclosures).map_err(wrong)?;
                if signing.is_some_and(|signing| signing.log != event.head().log) {
                    return Err(EventError::OtherLog { number });
                }
                let context = opened.context.disclosed().and_then(Option::as_ref);
                // A part that an event has no disclosure for was refused just now.
                let object = opened.object.disclosed().ok_or(EventError::Empty)?;
                (event.head().id, Stream::of(object, context), json.as_str().to_owned())
            }
        };
        if !seen.insert(id) {
            return Err(EventError::Twice(id));
        }
        ids.push(id);
        streams.push(stream);
        records.push(text);
    }
    streams.sort_unstable();
    streams.dedup();
    let body = body(records)?;
    Ok(Prepared { ids, streams, body })
}

/// The body of the request: one record as it is, several as an array.
fn body(mut records: Vec<String>) -> Result<Vec<u8>, EventError> {
    let body = match records.len() {
        0 => return Err(EventError::Empty),
        1 => records.swap_remove(0),
        _ => format!("[{}]", records.join(",")),
    };
    // With id and time, or all together, it may be longer than a server takes.
    parse(body.as_bytes())?;
    Ok(body.into_bytes())
}

/// A record with its id and its time.
fn completed(text: &str, input: &RecordInput<'_>, id: RecordId, time: Time) -> String {
    let mut head = String::from("{");
    if input.id.is_none() {
        head.push_str(&format!("\"id\":\"{id}\","));
    }
    if input.time.is_none() {
        head.push_str(&format!("\"time\":\"{}\",", String::from_utf8_lossy(&time.to_text())));
    }
    // It has an object at least, so that a member follows.
    head.push_str(text.strip_prefix('{').unwrap_or(text));
    head
}

/// A record that is sealed and signed here. What concerns its stream stays beside the event.
fn signed(
    json: &Json<'_>,
    input: RecordInput<'_>,
    (id, time): (RecordId, Time),
    Signing { signer, log }: &Signing,
    (surroundings, number): (&dyn Surroundings, usize),
) -> Result<String, EventError> {
    let head =
        EventHead { log: log.clone(), id, replaces: input.replaces, time, key: Some(signer.key().id()), after: None };
    let failed = RefCell::new(None);
    let salt = || {
        let drawn = draw(surroundings).map_err(|error| *failed.borrow_mut() = Some(error));
        Salt::new(drawn.unwrap_or_default())
    };
    let sealed = input.content.seal(head, salt).map_err(|error| EventError::Seal { number, error })?;
    if let Some(error) = failed.take() {
        return Err(error.into());
    }
    // The event that was made names this key.
    let signature = signer.sign(sealed.text()).map_err(|error| NoRandomness(error.to_string()))?;
    let mut text = b"{\"event\":".to_vec();
    text.extend_from_slice(sealed.text().as_bytes());
    text.extend_from_slice(b",\"signature\":");
    push_string(&mut text, &String::from_utf8_lossy(&signature.to_text()));
    text.extend_from_slice(b",\"disclosures\":[");
    for (index, (_, disclosure)) in sealed.disclosures().iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        push_string(&mut text, disclosure);
    }
    text.push(b']');
    for (name, value) in members(json.as_str().as_bytes())?.iter().filter(|(name, _)| BESIDE.contains(&&**name)) {
        text.push(b',');
        push_string(&mut text, name);
        text.push(b':');
        text.extend_from_slice(value.as_str().as_bytes());
    }
    text.push(b'}');
    Ok(String::from_utf8_lossy(&text).into_owned())
}
