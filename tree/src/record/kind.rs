//! Records that the log writes about itself, as far as reading others depends on them: redactions and incidents.
//!
//! Their object is in the module `cairn`, which no producer may use. A redaction record names the digests of what was
//! erased of one record; nothing else makes an absence good. It can't itself be redacted to the effect that it no longer
//! does, and no producer can write one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::bounds::MAX_REDACTED;
use super::class::{Class, Classification};
use super::digest::Digest;
use super::id::RecordId;
use super::json::canonical::{push_integer, push_string};
use super::json::{FaultKind, Json, Read, Reader, Trouble};
use super::open::{OpenValues, Record};
use super::parts::Object;
use super::shown::Shown;
use super::text::{Name, Operation};
use super::values::{Document, Form, Sides, Values};
use crate::checkpoint::Origin;
use crate::size::LeafIndex;

/// The module of what the log writes about itself.
pub const OWN_MODULE: &str = "cairn";
/// The entity of a redaction record.
const REDACTION_ENTITY: &str = "redaction";
/// The operation of a redaction record.
const REDACTION: &str = "record.redaction";
/// The operation of a record about a failed integrity check.
const INCIDENT: &str = "security.incident";
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
    /// The log's own in another matter: a grant, a hold, a change of policy or of keys.
    Administrative,
}

impl RecordKind {
    /// The kind of a record by its object.
    #[must_use]
    pub fn of(object: &Object<'_>) -> Self {
        match object.operation.as_str() {
            _ if object.module.as_str() != OWN_MODULE => Self::Ordinary,
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

/// What was erased in one log, by the redaction records that say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redactions {
    log: Origin,
    /// The last redaction record that names a digest of a record.
    last: BTreeMap<(Digest, Concerned), LeafIndex>,
}

impl Redactions {
    /// None yet, in the log with this origin.
    #[must_use]
    pub const fn new(log: Origin) -> Self {
        Self { log, last: BTreeMap::new() }
    }

    /// The log.
    #[must_use]
    pub const fn log(&self) -> &Origin {
        &self.log
    }

    /// Takes up what a redaction record names. The caller has proven that it is in the log.
    ///
    /// # Errors
    /// [`KindError`] if it is none, or not one of this log.
    pub fn take_up(&mut self, record: &Record) -> Result<(), KindError> {
        let head = record.leaf().event().head();
        if head.log != self.log {
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
        let index = read_new(values, INDEX, |reader| reader.integer()).and_then(|index| LeafIndex::new(index).ok());
        let index = index.filter(|index| *index < record.index()).ok_or(KindError::NoRecord)?;
        let id = object.id.as_str().parse().map_err(|_| KindError::NoRecord)?;
        let digests = read_new(values, DIGESTS, |reader| reader.list(MAX_REDACTED, read_digest));
        let digests = digests.filter(|digests| !digests.is_empty()).ok_or(KindError::NoDigests)?;
        for digest in digests {
            let last = self.last.entry((digest, Concerned { id, index })).or_insert(record.index());
            *last = (*last).max(record.index());
        }
        Ok(())
    }

    /// The last redaction record that names a digest of a record.
    #[must_use]
    pub fn of(&self, digest: &Digest, record: Concerned) -> Option<LeafIndex> {
        self.last.get(&(*digest, record)).copied()
    }
}

/// Reads the new value of a field, if it is shown and what it should be.
fn read_new<T>(values: &OpenValues, pointer: &str, read: impl for<'j> FnOnce(&mut Reader<'j>) -> Read<T>) -> Option<T> {
    let (_, field) = values.fields().iter().find(|(other, _)| other.as_str() == pointer)?;
    let text = field.content.disclosed()?.new.as_ref()?.as_str();
    Reader::read(text.as_bytes(), text.len(), read).ok()
}

fn read_digest(reader: &mut Reader<'_>) -> Read<Digest> {
    let at = reader.offset();
    reader.string()?.parse().map_err(|_| Trouble::new(at, FaultKind::Rule("must be a digest")))
}
