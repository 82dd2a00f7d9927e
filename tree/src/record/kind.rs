//! Records that the log writes about itself, as far as reading others depends on them: redactions and incidents, and the
//! last record of a stream that goes on in another log. What is the log's own in other respects stands in
//! [`super::reserved`].
//!
//! A redaction record names the digests of what was erased of one record; nothing else makes an absence good. No producer
//! can write one, and none erases anything of another: of a redaction record nothing may be missing.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::bounds::MAX_REDACTED;
use super::class::{Class, Classification};
use super::digest::Digest;
use super::id::RecordId;
use super::json::canonical::{push_integer, push_string};
use super::json::{FaultKind, Json, Read, Reader, Trouble};
use super::open::{OpenValues, Record};
use super::parts::{Context, Object};
pub use super::reserved::{INCIDENT, REDACTION};
use super::reserved::{OWN_MODULE, is_own_operation};
use super::shown::Shown;
use super::stream::{StreamId, StreamName};
use super::text::{Name, Operation};
use super::values::{Document, Form, Sides, Values};
use crate::checkpoint::Origin;
use crate::size::LeafIndex;

/// The operation of the last record of a stream that goes on in another log.
pub const CONTINUED: &str = "cairn.continued";
/// The entity of what a named stream is, where its last record is about itself.
const STREAM_ENTITY: &str = "stream";
/// The field of the values that names a log.
const LOG: &str = "/log";
/// The field of the values that has the id of a stream.
const STREAM: &str = "/stream";
/// The entity of a redaction record.
const REDACTION_ENTITY: &str = "redaction";
/// The field of the values that lists the digests.
const DIGESTS: &str = "/digests";
/// The field of the values that says where the record is that they are of.
const INDEX: &str = "/index";

/// What kind of record it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// A producer's.
    Ordinary,
    /// It says what was erased.
    Redaction,
    /// It says what failed a check of integrity.
    Incident,
    /// The log's own in another matter: a stream that goes on elsewhere, a grant, a hold, a change of policy or of keys.
    Administrative,
}

impl RecordKind {
    /// The kind of a record by its object.
    #[must_use]
    pub fn of(object: &Object<'_>) -> Self {
        match object.operation.as_str() {
            _ if object.module.as_str() != OWN_MODULE && !is_own_operation(&object.operation) => Self::Ordinary,
            _ if object.module.as_str() != OWN_MODULE => Self::Administrative,
            REDACTION if object.entity.as_str() == REDACTION_ENTITY => Self::Redaction,
            INCIDENT => Self::Incident,
            _ => Self::Administrative,
        }
    }
}

/// Why a record about a record can't be made or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KindError {
    /// It is another kind of record.
    #[error("the record is no redaction")]
    NotARedaction,
    /// It is another log's.
    #[error("the redaction record is another log's")]
    OtherLog,
    /// It does not say of which record, by index and id, or of one that comes after it.
    #[error("the redaction record does not say which record before it is meant")]
    NoRecord,
    /// It is about a redaction record, of which nothing is erased.
    #[error("the redaction record is about another one, of which nothing is erased")]
    OfRedaction,
    /// It names no digest, or its list is not shown.
    #[error("the redaction record names no digest, or its list of digests is not shown")]
    NoDigests,
    /// It names more digests than one may.
    #[error("a redaction record names at most {MAX_REDACTED} digests")]
    TooMany,
}

/// What was found wrong with a disclosure. A closed list, since free words would let content into a record for all to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncidentFault {
    /// It is not where it is kept, and nothing says that it was erased.
    Missing,
    /// What is kept in its place has another digest.
    Changed,
    /// It has the digest, but does not say what belongs there.
    Malformed,
}

impl IncidentFault {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Missing, Self::Changed, Self::Malformed];

    /// The word in the record.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Changed => "changed",
            Self::Malformed => "malformed",
        }
    }
}

/// The record that something was found wrong with, or of which something was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Concerned {
    /// Its id.
    pub id: RecordId,
    /// Where it is.
    pub index: LeafIndex,
}

/// Object and values of a redaction record.
///
/// # Errors
/// [`KindError`].
pub fn redaction<'a>(
    tenant: Name<'a>,
    concerned: Concerned,
    digests: &[Digest],
) -> Result<(Object<'a>, Values<'static>), KindError> {
    if digests.is_empty() {
        return Err(KindError::NoDigests);
    }
    if digests.len() > MAX_REDACTED {
        return Err(KindError::TooMany);
    }
    own(tenant, REDACTION_ENTITY, REDACTION, concerned, vec![("digests", list(digests))])
}

/// Object and values of a record that says that a disclosure failed its check.
///
/// # Errors
/// [`KindError`] does not happen.
pub fn incident<'a>(
    tenant: Name<'a>,
    concerned: Concerned,
    digest: Digest,
    fault: IncidentFault,
) -> Result<(Object<'a>, Values<'static>), KindError> {
    let members = vec![("digests", list(&[digest])), ("fault", Json::string(fault.name()))];
    own(tenant, "incident", INCIDENT, concerned, members)
}

/// Object, context and values of the last record of a stream that goes on in another log, under an id that its name has
/// there.
///
/// # Errors
/// [`KindError`] does not happen.
pub fn continued<'a>(
    name: &StreamName<'a>,
    log: &Origin,
    stream: StreamId,
) -> Result<(Object<'a>, Option<Context<'a>>, Values<'static>), KindError> {
    let own = |text: &str| Name::new(text.to_owned()).map_err(|_| KindError::NotARedaction);
    let ((module, entity, id), context) = match name {
        StreamName::Entity { module, entity, object, .. } => ((module.clone(), entity.clone(), object.clone()), None),
        StreamName::Named { name, .. } => {
            let context = Context { stream: Some(name.clone()), ..Context::default() };
            ((own(OWN_MODULE)?, own(STREAM_ENTITY)?, name.clone()), Some(context))
        }
    };
    let operation = Operation::new(CONTINUED).map_err(|_| KindError::NotARedaction)?;
    let tenant = name.tenant().clone();
    let object = Object { tenant, module, entity, id, operation, row: None, category: None, action: None };
    let members = [("log", Json::string(log.as_str())), ("stream", Json::string(&stream.to_string()))];
    let document = Document::Members(members.map(|(name, json)| (Cow::Borrowed(name), json)).to_vec());
    let values = Values::whole(None, (None, Some(document)), &Classification::all(Class::Public));
    Ok((object, context, values.map_err(|_| KindError::TooMany)?))
}

/// Where a stream goes on, as the record says that is its last: the other log, and the stream's id there. `None` if the
/// record is no such one, or does not show it.
#[must_use]
pub fn goes_on(record: &Record) -> Option<(Origin, StreamId)> {
    let object = record.content().object.disclosed()?;
    let Shown::Disclosed(Some(values)) = &record.content().values else { return None };
    if object.operation.as_str() != CONTINUED || values.form() != Form::Whole(Sides::New) {
        return None;
    }
    let log = read_new(values, LOG, read_origin)?;
    Some((log, read_new(values, STREAM, |reader| read_parsed(reader, "must be a stream's id"))?))
}

fn read_origin(reader: &mut Reader<'_>) -> Read<Origin> {
    let at = reader.offset();
    Origin::new(reader.string()?).map_err(|_| Trouble::new(at, FaultKind::Rule("must be the origin of a log")))
}

fn read_parsed<T: core::str::FromStr>(reader: &mut Reader<'_>, rule: &'static str) -> Read<T> {
    let at = reader.offset();
    reader.string()?.parse().map_err(|_| Trouble::new(at, FaultKind::Rule(rule)))
}

fn list(digests: &[Digest]) -> Json<'static> {
    let mut json = vec![b'['];
    for (index, digest) in digests.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        push_string(&mut json, &digest.to_string());
    }
    json.push(b']');
    Json::checked(Cow::Owned(String::from_utf8(json).unwrap_or_default()))
}

fn own<'a>(
    tenant: Name<'a>,
    entity: &'static str,
    operation: &'static str,
    concerned: Concerned,
    members: Vec<(&'static str, Json<'static>)>,
) -> Result<(Object<'a>, Values<'static>), KindError> {
    let name = |text: &str| Name::new(text.to_owned()).map_err(|_| KindError::NotARedaction);
    let object = Object {
        tenant,
        module: name(OWN_MODULE)?,
        entity: name(entity)?,
        id: name(&concerned.id.to_string())?,
        operation: Operation::new(operation).map_err(|_| KindError::NotARedaction)?,
        row: None,
        category: None,
        action: None,
    };
    let mut index = Vec::new();
    push_integer(&mut index, concerned.index.get());
    let index = Json::checked(Cow::Owned(String::from_utf8(index).unwrap_or_default()));
    let members = members.into_iter().chain([("index", index)]).map(|(name, json)| (Cow::Borrowed(name), json));
    let document = Document::Members(members.collect());
    let values = Values::whole(None, (None, Some(document)), &Classification::all(Class::Public));
    Ok((object, values.map_err(|_| KindError::TooMany)?))
}

/// Where the record is that a redaction record says something was erased of, in whatever log; `None` if it is none.
#[must_use]
pub fn redacts(record: &Record) -> Option<LeafIndex> {
    let object = record.content().object.disclosed()?;
    let Shown::Disclosed(Some(values)) = &record.content().values else { return None };
    if RecordKind::of(object) != RecordKind::Redaction || values.form() != Form::Whole(Sides::New) {
        return None;
    }
    read_new(values, INDEX, |reader| reader.integer()).and_then(|index| LeafIndex::new(index).ok())
}

/// Whether only redaction records belong in a stream of this name: those about one record.
#[must_use]
pub(super) fn is_of_redactions(name: &StreamName<'_>) -> bool {
    let StreamName::Entity { module, entity, .. } = name else { return false };
    module.as_str() == OWN_MODULE && entity.as_str() == REDACTION_ENTITY
}

/// What was erased in one log, by the redaction records that say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redactions {
    log: Origin,
    /// The logs whose redaction records count as well.
    successors: BTreeSet<Origin>,
    /// The least index of a redaction record that names a digest of a record.
    least: BTreeMap<(Digest, Concerned), LeafIndex>,
    /// The redaction records of the log itself that were taken up.
    own: BTreeSet<Concerned>,
}

impl Redactions {
    /// None yet, in the log with this origin.
    #[must_use]
    pub const fn new(log: Origin) -> Self {
        Self { log, successors: BTreeSet::new(), least: BTreeMap::new(), own: BTreeSet::new() }
    }

    /// The same, also for redaction records of another log. The caller has proven that it is the successor of this one,
    /// which is sealed, by a statement of succession that was verified.
    #[must_use]
    pub fn with_successor(mut self, proven: Origin) -> Self {
        self.successors.insert(proven);
        self
    }

    /// The log.
    #[must_use]
    pub const fn log(&self) -> &Origin {
        &self.log
    }

    /// Takes up what a redaction record names. The caller has proven that it is in its log.
    ///
    /// # Errors
    /// [`KindError`] if it is none, or one that does not count for this log.
    pub fn take_up(&mut self, record: &Record) -> Result<(), KindError> {
        let head = record.leaf().event().head();
        let is_own = head.log == self.log;
        if !is_own && !self.successors.contains(&head.log) {
            return Err(KindError::OtherLog);
        }
        let object = record.content().object.disclosed().ok_or(KindError::NotARedaction)?;
        if RecordKind::of(object) != RecordKind::Redaction || head.key.is_some() {
            return Err(KindError::NotARedaction);
        }
        let Shown::Disclosed(Some(values)) = &record.content().values else { return Err(KindError::NoDigests) };
        if values.form() != Form::Whole(Sides::New) {
            return Err(KindError::NoDigests);
        }
        let names_log = values.fields().iter().any(|(pointer, _)| pointer.as_str() == LOG);
        let of_log = if names_log { read_new(values, LOG, read_origin) } else { Some(head.log.clone()) };
        if of_log.as_ref() != Some(&self.log) {
            return Err(KindError::OtherLog);
        }
        let index = read_new(values, INDEX, |reader| reader.integer()).and_then(|index| LeafIndex::new(index).ok());
        let index = index.filter(|index| !is_own || *index < record.index()).ok_or(KindError::NoRecord)?;
        let id = object.id.as_str().parse().map_err(|_| KindError::NoRecord)?;
        let digests = read_new(values, DIGESTS, |reader| {
            reader.list(MAX_REDACTED, |reader| read_parsed::<Digest>(reader, "must be a digest"))
        });
        let digests = digests.filter(|digests| !digests.is_empty()).ok_or(KindError::NoDigests)?;
        if self.own.contains(&Concerned { id, index }) {
            return Err(KindError::OfRedaction);
        }
        if is_own {
            self.own.insert(Concerned { id: head.id, index: record.index() });
        }
        for digest in digests {
            let least = self.least.entry((digest, Concerned { id, index })).or_insert(record.index());
            *least = (*least).min(record.index());
        }
        Ok(())
    }

    /// Where the redaction record is that names a digest of a record: of several, the one with the least index.
    #[must_use]
    pub fn of(&self, digest: &Digest, record: Concerned) -> Option<LeafIndex> {
        self.least.get(&(*digest, record)).copied()
    }
}

/// Reads the new value of a field, if it is public, shown, and what it should be.
fn read_new<T>(values: &OpenValues, pointer: &str, read: impl for<'j> FnOnce(&mut Reader<'j>) -> Read<T>) -> Option<T> {
    let (_, field) = values.fields().iter().find(|(other, _)| other.as_str() == pointer)?;
    if field.class != Class::Public {
        return None;
    }
    let text = field.content.disclosed()?.new.as_ref()?.as_str();
    Reader::read(text.as_bytes(), text.len(), read).ok()
}
