//! Opening a record: disclosures are matched to the digests of an event or a leaf, and every digest comes out as disclosed,
//! withheld or erased (RFC 9901, section 7.1). Whatever is none of these is an [`IntegrityError`], never a record.
//!
//! Only [`Record`] and [`Opened`] hold what was verified; they can't be made in another way. That the leaf is in a log is
//! proven elsewhere ([`crate::receipt`], [`crate::merkle`]). Whose event it is [`Record::producer`] says, and nothing else
//! does: until then a signature is bytes that anybody can have written.

mod error;
mod matching;
mod read;

pub use error::IntegrityError;

use core::fmt;

use super::attributes::{Attributes, External};
use super::bounds::MAX_EVENT_DISCLOSED_BYTES;
use super::class::Class;
use super::digest::Digest;
use super::disclosure::Disclosures;
use super::event::{Event, Part};
use super::json::Json;
use super::kind::{Concerned, RecordKind, Redactions, is_of_redactions};
use super::leaf::{HashedLeaf, Leaf};
use super::parts::{Actor, Context, Object, Subjects};
use super::reserved::{Reserved, is_own_operation};
use super::server_part::Place;
use super::shown::Shown;
use super::signature::{Producer, ProducerKeyId, ProducerKeys};
use super::stream::{StreamHead, StreamName, Topics};
use super::values::{Field, Values};
use crate::checkpoint::Origin;
use crate::hash::Hash;
use crate::size::LeafIndex;
use matching::Matching;

/// What comes with a leaf: its disclosures, and what is said of those that are not there.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'e> {
    /// The disclosures.
    pub disclosures: &'e Disclosures,
    /// The digests whose content the reader may not see, as whoever answers says. Each must be one of the record's.
    pub withheld: &'e [Digest],
    /// What verified redaction records of the same log name, or of its successor.
    pub redactions: &'e Redactions,
}

/// What a digest stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// A part of the event.
    Part(Part),
    /// A field of the values, of this class.
    Field(Class),
    /// An attribute, of this class.
    Attribute(Class),
    /// An external digest, of this class.
    External(Class),
    /// The name of the stream.
    Stream,
    /// The topics of the stream.
    Topics,
    /// The head of another log's stream that the stream continues.
    Continues,
}

impl Piece {
    /// Its class, if it has one. The parts, the lists of fields and attributes, and what the first record says of its stream
    /// have none: they are for all who may read the record.
    #[must_use]
    pub const fn class(self) -> Option<Class> {
        match self {
            Self::Field(class) | Self::Attribute(class) | Self::External(class) => Some(class),
            Self::Part(_) | Self::Stream | Self::Topics | Self::Continues => None,
        }
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part(part) => write!(f, "the part `{}`", part.name()),
            Self::Field(class) => write!(f, "a field of class {}", class.name()),
            Self::Attribute(class) => write!(f, "an attribute of class {}", class.name()),
            Self::External(class) => write!(f, "an external digest of class {}", class.name()),
            Self::Stream => f.write_str("the name of its stream"),
            Self::Topics => f.write_str("the topics of its stream"),
            Self::Continues => f.write_str("what its stream continues"),
        }
    }
}

/// What became of one of a record's digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traced {
    /// The digest.
    pub digest: Digest,
    /// What it stands for.
    pub piece: Piece,
    /// Whether its content was disclosed, withheld or erased.
    pub became: Shown<()>,
}

/// Values whose fields are shown or not.
pub type OpenValues = Values<'static, Shown<Field<'static>>>;
/// Attributes that are shown or not.
pub type OpenAttributes = Attributes<'static, Shown<Json<'static>>, Shown<External<'static>>>;

/// What an event says, as far as it is shown. A part that the event does not have is disclosed as `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What was done to which object.
    pub object: Shown<Object<'static>>,
    /// Who did it.
    pub actor: Shown<Option<Actor<'static>>>,
    /// The persons that the data is about.
    pub subjects: Shown<Option<Subjects<'static>>>,
    /// Why it was done, and what it belongs to.
    pub context: Shown<Option<Context<'static>>>,
    /// The object's data.
    pub values: Shown<Option<OpenValues>>,
    /// What else is said.
    pub attributes: Shown<Option<OpenAttributes>>,
}

/// What the first record of a stream says about it, as far as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedStream {
    /// What it can be searched by.
    pub topics: Shown<Option<Topics<'static>>>,
    /// The head of another log's stream that it continues.
    pub continues: Shown<Option<StreamHead>>,
}

/// A record whose disclosures are verified against the leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    index: LeafIndex,
    hash: Hash,
    leaf: Leaf,
    content: Opened,
    stream: Option<Shown<StreamName<'static>>>,
    opening: Option<OpenedStream>,
    traced: Vec<Traced>,
    still_disclosed: Vec<Digest>,
}

impl Opened {
    /// Opens an event that is not in a log yet, such as a producer's: all of it must be there, and nothing of it the log's
    /// own, its words included.
    ///
    /// # Errors
    /// [`IntegrityError`].
    pub fn of_event(event: &Event, disclosures: &Disclosures) -> Result<Self, IntegrityError> {
        if disclosures.as_str().len() > MAX_EVENT_DISCLOSED_BYTES {
            return Err(IntegrityError::TooMuchDisclosed);
        }
        let redactions = Redactions::new(event.head().log.clone());
        let evidence = Evidence { disclosures, withheld: &[], redactions: &redactions };
        let mut matching = Matching::new(evidence, Concerned { id: event.head().id, index: LeafIndex::ZERO })?;
        let opened = Self::read(event, &mut matching)?;
        matching.finish()?;
        let brought = opened.object.disclosed().and_then(Reserved::of_brought);
        brought.or_else(|| opened.reserved()).map_or(Ok(opened), |reserved| Err(reserved.into()))
    }

    /// What of it is the log's own, as far as it is shown.
    fn reserved(&self) -> Option<Reserved> {
        let context = self.context.disclosed().and_then(Option::as_ref);
        let attributes = self.attributes.disclosed().and_then(Option::as_ref);
        let object = self.object.disclosed().and_then(Reserved::of_object);
        object.or_else(|| Reserved::of_context(context?)).or_else(|| Reserved::of_attributes(attributes?))
    }

    fn read(event: &Event, matching: &mut Matching<'_>) -> Result<Self, IntegrityError> {
        let opened = Self {
            actor: matching.optional(Piece::Part(Part::Actor), event.digest(Part::Actor), read::actor)?,
            attributes: read::attributes(matching, event.digest(Part::Attributes))?,
            context: matching.optional(Piece::Part(Part::Context), event.digest(Part::Context), read::context)?,
            object: matching.one(Piece::Part(Part::Object), event.digest(Part::Object), read::object)?,
            subjects: matching.optional(Piece::Part(Part::Subjects), event.digest(Part::Subjects), read::subjects)?,
            values: read::values(matching, event.digest(Part::Values))?,
        };
        if let (Some(object), Some(Some(values))) = (opened.object.disclosed(), opened.values.disclosed())
            && !values.form().may_come_with(&object.operation)
        {
            return Err(IntegrityError::Fields("the new document may be absent only from a delete".to_owned()));
        }
        Ok(opened)
    }
}

/// Whether a record is one that erases, by what is shown of it.
fn is_redaction(content: &Opened, name: Option<&StreamName<'static>>) -> bool {
    let object = content.object.disclosed();
    object.is_some_and(|object| RecordKind::of(object) == RecordKind::Redaction) || name.is_some_and(is_of_redactions)
}

impl Record {
    /// Opens the entry at `index` of the log with this origin; the caller has proven, or proves, that it has these bytes.
    ///
    /// The name of the stream is looked for with the first record of a stream, which carries it. With others it may be
    /// there as well.
    ///
    /// # Errors
    /// [`IntegrityError`].
    pub fn open(log: &Origin, index: LeafIndex, entry: &[u8], evidence: Evidence<'_>) -> Result<Self, IntegrityError> {
        Self::open_leaf(log, index, HashedLeaf::decode(entry)?, evidence)
    }

    /// The same with the leaf read and hashed already.
    ///
    /// # Errors
    /// As [`Record::open`].
    pub fn open_leaf(
        log: &Origin,
        index: LeafIndex,
        leaf: HashedLeaf,
        evidence: Evidence<'_>,
    ) -> Result<Self, IntegrityError> {
        let (leaf, hash) = leaf.into_parts();
        let head = leaf.event().head();
        if head.log != *log {
            return Err(IntegrityError::Log { expected: log.clone(), found: head.log.clone() });
        }
        if evidence.redactions.log() != log {
            return Err(IntegrityError::Redactions(evidence.redactions.log().clone()));
        }
        let mut matching = Matching::new(evidence, Concerned { id: head.id, index })?;
        let content = Opened::read(leaf.event(), &mut matching)?;
        if head.key.is_some()
            && let Some(reserved) = content.reserved()
        {
            return Err(reserved.into());
        }
        if head.replaces.is_some()
            && content.object.disclosed().is_some_and(|object| is_own_operation(&object.operation))
        {
            return Err(IntegrityError::OwnReplaces);
        }
        let id = leaf.server().stream.digest();
        let (stream, opening) = match leaf.server().place {
            Place::First { topics, continues } => {
                let stream = matching.one(Piece::Stream, id, read::stream)?;
                let topics = matching.optional(Piece::Topics, topics, read::topics)?;
                let continues = matching.optional(Piece::Continues, continues, read::continues)?;
                if matches!(&continues, Shown::Disclosed(Some(before)) if before.log == *log) {
                    return Err(IntegrityError::Continues);
                }
                (Some(stream), Some(OpenedStream { topics, continues }))
            }
            Place::After { .. } if matching.knows(&id) => (Some(matching.one(Piece::Stream, id, read::stream)?), None),
            Place::After { .. } => (None, None),
        };
        let (traced, mut still_disclosed) = matching.finish()?;
        let name = stream.as_ref().and_then(Shown::disclosed);
        if is_redaction(&content, name) {
            // What erases is not erased itself: no redaction record counts for it.
            still_disclosed.clear();
            if let Some(Traced { piece, digest, .. }) =
                traced.iter().find(|traced| matches!(traced.became, Shown::Erased(_))).copied()
            {
                return Err(IntegrityError::Missing { piece, digest });
            }
        }
        if let Some(Shown::Disclosed(name)) = &stream
            && !name.may_hold(&content.object, &content.context)
        {
            return Err(IntegrityError::Stream);
        }
        if let Some(Shown::Disclosed(name)) = &stream
            && head.key.is_some()
            && let Some(reserved) = Reserved::of_stream(name)
        {
            return Err(reserved.into());
        }
        Ok(Self { index, hash, leaf, content, stream, opening, traced, still_disclosed })
    }

    /// Verifies the producer's signature, if the event names a key and it is one of these.
    ///
    /// # Errors
    /// [`IntegrityError::Signature`]: the record is to be refused.
    pub fn producer(&self, keys: &ProducerKeys) -> Result<Producer, IntegrityError> {
        let Some(id) = self.claimed_key() else { return Ok(Producer::None) };
        let Some(key) = keys.get(id) else { return Ok(Producer::Unknown(id)) };
        // A leaf has a signature exactly if its event names a key.
        let is_good =
            self.leaf.signature().is_some_and(|signature| key.verifies(&self.leaf.event().to_text(), signature));
        if is_good { Ok(Producer::Verified(id)) } else { Err(IntegrityError::Signature(id)) }
    }

    /// The key that the event names, which may not have signed it; see [`Record::producer`].
    #[must_use]
    pub const fn claimed_key(&self) -> Option<ProducerKeyId> {
        self.leaf.event().head().key
    }

    /// Checks that nothing is withheld but what is of a class above this one, up to which the reader may see all; `None` if
    /// it may see nothing that has a class.
    ///
    /// # Errors
    /// [`IntegrityError::WithheldWithin`].
    pub fn withheld_only_above(&self, class: Option<Class>) -> Result<(), IntegrityError> {
        let withheld = self.traced.iter().filter(|traced| traced.became == Shown::Withheld);
        // What has no class is not above any.
        let within = withheld.map(|traced| (traced.piece, traced.digest)).find(|(piece, _)| piece.class() <= class);
        within.map_or(Ok(()), |(piece, digest)| Err(IntegrityError::WithheldWithin { piece, digest }))
    }

    /// What became of each of the record's digests that are in the leaf or in what was disclosed, in the order of digests.
    #[must_use]
    pub fn traced(&self) -> &[Traced] {
        &self.traced
    }

    /// Where the record is in its log.
    #[must_use]
    pub const fn index(&self) -> LeafIndex {
        self.index
    }

    /// The leaf hash of the bytes that were opened.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// The leaf.
    #[must_use]
    pub const fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// What the record says.
    #[must_use]
    pub const fn content(&self) -> &Opened {
        &self.content
    }

    /// The digests that a redaction record says are erased, though their disclosures came along: somebody kept them.
    #[must_use]
    pub fn still_disclosed(&self) -> &[Digest] {
        &self.still_disclosed
    }

    /// Whether it is a redaction record, of which nothing is erased.
    #[must_use]
    pub fn is_redaction(&self) -> bool {
        is_redaction(&self.content, self.stream.as_ref().and_then(Shown::disclosed))
    }

    /// The name of its stream; `None` if it is not the first record and the name did not come with it.
    #[must_use]
    pub const fn stream(&self) -> Option<&Shown<StreamName<'static>>> {
        self.stream.as_ref()
    }

    /// What it says about its stream, if it is the first.
    #[must_use]
    pub const fn opening(&self) -> Option<&OpenedStream> {
        self.opening.as_ref()
    }
}
