//! Streams: ordered records within a log, of one object or under a name, and what the first record of each carries.
//!
//! A stream's name may tell of a person, so that only a digest stands in the leaves: the id is the digest of a salted
//! disclosure of the name, made with the first record.

use core::fmt;
use core::str::FromStr;

use super::digest::{Digest, DigestError};
use super::disclosure::{Disclosures, DisclosuresError, Making, Salt, begin};
use super::json::canonical::{push_integer, push_string};
use super::json::{Fault, FaultKind, Read, Reader, Trouble};
pub use super::name_list::Topics;
use super::parts::{Context, Object};
use super::server_part::{Place, Seq};
use super::shown::Shown;
use super::text::{Name, push_name};
use crate::checkpoint::Origin;
use crate::hash::Hash;

/// The id of a stream: the digest of the disclosure of its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(Digest);

impl StreamId {
    /// Wraps the digest of a name's disclosure.
    #[must_use]
    pub const fn new(digest: Digest) -> Self {
        Self(digest)
    }

    /// The digest.
    #[must_use]
    pub const fn digest(self) -> Digest {
        self.0
    }

    /// The text, in ASCII.
    #[must_use]
    pub fn to_text(self) -> [u8; Digest::TEXT_LEN] {
        self.0.to_text()
    }
}

impl FromStr for StreamId {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({self})")
    }
}

/// The name of a stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamName<'a> {
    /// One object's history: `["entity",tenant,module,entity,object]`.
    Entity {
        /// The tenant whose object it is.
        tenant: Name<'a>,
        /// The part of the tenant's system.
        module: Name<'a>,
        /// The kind of object.
        entity: Name<'a>,
        /// The object's id.
        object: Name<'a>,
    },
    /// A channel: `["named",tenant,name]`.
    Named {
        /// The tenant.
        tenant: Name<'a>,
        /// The name.
        name: Name<'a>,
    },
}

impl<'a> StreamName<'a> {
    /// The stream of an object.
    #[must_use]
    pub fn of(object: &Object<'a>) -> Self {
        Self::Entity {
            tenant: object.tenant.clone(),
            module: object.module.clone(),
            entity: object.entity.clone(),
            object: object.id.clone(),
        }
    }

    /// The tenant.
    #[must_use]
    pub const fn tenant(&self) -> &Name<'a> {
        match self {
            Self::Entity { tenant, .. } | Self::Named { tenant, .. } => tenant,
        }
    }

    /// Whether a record belongs in the stream, as far as its object and its context are shown: in the one that its context
    /// names, or else in its object's own.
    #[must_use]
    pub fn may_hold(&self, object: &Shown<Object<'_>>, context: &Shown<Option<Context<'_>>>) -> bool {
        let object = object.disclosed();
        // Nothing if it is not shown; nothing within if it names no stream.
        let meant = context.disclosed().map(|context| context.as_ref().and_then(|context| context.stream.as_ref()));
        match self {
            Self::Entity { .. } => {
                meant.is_none_or(|meant| meant.is_none()) && object.is_none_or(|object| StreamName::of(object) == *self)
            }
            Self::Named { tenant, name } => {
                meant.is_none_or(|meant| meant == Some(name)) && object.is_none_or(|object| object.tenant == *tenant)
            }
        }
    }

    fn parts(&self) -> Vec<&str> {
        match self {
            Self::Entity { tenant, module, entity, object } => {
                vec!["entity", tenant.as_str(), module.as_str(), entity.as_str(), object.as_str()]
            }
            Self::Named { tenant, name } => vec!["named", tenant.as_str(), name.as_str()],
        }
    }

    fn push(&self, json: &mut Vec<u8>) {
        json.push(b'[');
        for (index, part) in self.parts().into_iter().enumerate() {
            if index > 0 {
                json.push(b',');
            }
            push_string(json, part);
        }
        json.push(b']');
    }

    /// Reads the canonical JSON of a name.
    ///
    /// # Errors
    /// [`Fault`] for anything that `Display` would not have written.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let name = Reader::read(text.as_bytes(), super::bounds::MAX_LEAF_BYTES, Self::read)?;
        if name.to_string() == text {
            Ok(name)
        } else {
            Err(Fault::new(&super::json::Pointer::ROOT, FaultKind::Rule("must be canonical JSON")))
        }
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Read<Self> {
        let at = reader.offset();
        let mut first = None;
        let mut names = Vec::new();
        reader.array(5, |reader| {
            match first {
                None => first = Some(reader.string()?),
                Some(_) => names.push(Name::read(reader)?),
            }
            Ok(())
        })?;
        let wrong = FaultKind::Rule("must be [\"entity\",tenant,module,entity,object] or [\"named\",tenant,name]");
        match (first.as_deref(), <[Name<'a>; 4]>::try_from(names)) {
            (Some("entity"), Ok([tenant, module, entity, object])) => {
                Ok(Self::Entity { tenant, module, entity, object })
            }
            (Some("named"), Err(names)) => match <[Name<'a>; 2]>::try_from(names) {
                Ok([tenant, name]) => Ok(Self::Named { tenant, name }),
                Err(_) => Err(Trouble::new(at, wrong)),
            },
            _ => Err(Trouble::new(at, wrong)),
        }
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> StreamName<'static> {
        match self {
            Self::Entity { tenant, module, entity, object } => StreamName::Entity {
                tenant: tenant.into_owned(),
                module: module.into_owned(),
                entity: entity.into_owned(),
                object: object.into_owned(),
            },
            Self::Named { tenant, name } => StreamName::Named { tenant: tenant.into_owned(), name: name.into_owned() },
        }
    }
}

/// The canonical JSON.
impl fmt::Display for StreamName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut json = Vec::new();
        self.push(&mut json);
        f.write_str(core::str::from_utf8(&json).unwrap_or_default())
    }
}

/// The head of a stream: its last record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamHead {
    /// The log.
    pub log: Origin,
    /// The stream.
    pub stream: StreamId,
    /// The number of its last record.
    pub seq: Seq,
    /// The leaf hash of its last record.
    pub leaf: Hash,
}

impl StreamHead {
    pub(crate) fn push(&self, json: &mut Vec<u8>) {
        json.push(b'{');
        push_name(json, "leaf");
        push_string(json, &self.leaf.to_base64());
        push_name(json, "log");
        push_string(json, self.log.as_str());
        push_name(json, "seq");
        push_integer(json, self.seq.get());
        push_name(json, "stream");
        push_string(json, &self.stream.to_string());
        json.push(b'}');
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let start = reader.offset();
        let (mut log, mut stream, mut seq, mut leaf) = (None, None, None, None);
        reader.object(4, |reader, name, at| {
            let value = reader.offset();
            let rule = |rule| move || Trouble::new(value, FaultKind::Rule(rule));
            match &*name {
                "log" => {
                    let origin = Origin::new(reader.string()?).ok();
                    log = Some(origin.ok_or_else(rule("must be the origin of a log"))?);
                }
                "stream" => stream = Some(reader.string()?.parse().ok().ok_or_else(rule("must be a stream's id"))?),
                "seq" => seq = Some(Seq::new(reader.integer()?).ok().ok_or_else(rule("must be below 2^53"))?),
                "leaf" => {
                    let hash = Hash::from_base64(&reader.string()?).ok();
                    leaf = Some(hash.ok_or_else(rule("must be a leaf hash in base64"))?);
                }
                _ => return Err(Trouble::new(at, FaultKind::Unknown)),
            }
            Ok(())
        })?;
        let missing = |name| move || Trouble::missing(start, name);
        Ok(Self {
            log: log.ok_or_else(missing("log"))?,
            stream: stream.ok_or_else(missing("stream"))?,
            seq: seq.ok_or_else(missing("seq"))?,
            leaf: leaf.ok_or_else(missing("leaf"))?,
        })
    }
}

/// What the first record of a stream carries beside its own disclosures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    id: StreamId,
    place: Place,
    disclosures: Disclosures,
}

impl Opening {
    /// Begins a stream: its name, its topics, and the head of another log's stream that it continues.
    ///
    /// # Errors
    /// [`DisclosuresError::TooLong`] does not happen within the bounds of names and topics.
    pub fn new(
        name: &StreamName<'_>,
        topics: Option<&Topics<'_>>,
        continues: Option<&StreamHead>,
        mut salt: impl FnMut() -> Salt,
    ) -> Result<Self, DisclosuresError> {
        let mut disclosures = Making::with_capacity(512, 3);
        let mut json = Vec::new();
        let mut push = |value: &dyn Fn(&mut Vec<u8>)| {
            begin(&mut json, salt());
            value(&mut json);
            json.push(b']');
            disclosures.push(&json)
        };
        let id = StreamId::new(push(&|json| name.push(json))?);
        let topics = push(&|json| match topics {
            None => json.extend_from_slice(b"null"),
            Some(topics) => topics.push(json),
        })?;
        let continues = push(&|json| match continues {
            None => json.extend_from_slice(b"null"),
            Some(head) => head.push(json),
        })?;
        Ok(Self { id, place: Place::First { topics, continues }, disclosures: disclosures.done() })
    }

    /// The id of the stream.
    #[must_use]
    pub const fn id(&self) -> StreamId {
        self.id
    }

    /// The place of its first record.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.place
    }

    /// The disclosures of the name, the topics and the continued head, to be kept with those of the first record.
    #[must_use]
    pub const fn disclosures(&self) -> &Disclosures {
        &self.disclosures
    }
}
