//! Records that the log writes about itself, as far as reading others depends on them: redactions and incidents.
//!
//! Their object is in the module `cairn`, which no producer may use. A redaction record names the digests of what was
//! erased; nothing else makes an absence good. It can't itself be redacted to the effect that it no longer does.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::bounds::MAX_REDACTED;
use super::class::{Class, Classification};
use super::digest::Digest;
use super::id::RecordId;
use super::json::canonical::{push_integer, push_string};
use super::json::{FaultKind, Json, Reader, Trouble};
use super::open::Record;
use super::parts::Object;
use super::shown::Shown;
use super::text::{Name, Operation};
use super::values::{Document, Form, Values};
use crate::checkpoint::Origin;
use crate::size::LeafIndex;

/// The module of what the log writes about itself.
pub const OWN_MODULE: &str = "cairn";
/// The operation of a redaction record.
const REDACTION: &str = "record.redaction";
/// The operation of a record about a failed integrity check.
const INCIDENT: &str = "security.incident";
/// The field of the values that lists the digests.
const DIGESTS: &str = "/digests";

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
            REDACTION => Self::Redaction,
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
    /// It names no digest, or its list is not shown.
    #[error("the redaction record names no digest, or its list of digests is not shown")]
    NoDigests,
    /// It names more digests than one may.
    #[error("a redaction record names at most {MAX_REDACTED} digests")]
    TooMany,
}

/// The record that something was found wrong with, or of which something was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    own(tenant, "redaction", REDACTION, concerned, vec![("digests", list(digests))])
}

/// Object and values of a record that says that a disclosure failed its check.
///
/// # Errors
/// [`KindError`] does not happen.
pub fn incident<'a>(
    tenant: Name<'a>,
    concerned: Concerned,
    digest: Digest,
    fault: &str,
) -> Result<(Object<'a>, Values<'static>), KindError> {
    let members = vec![("digests", list(&[digest])), ("fault", Json::string(fault))];
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

/// What was erased, by the redaction records that say so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redactions(BTreeMap<(Origin, Digest), LeafIndex>);

impl Redactions {
    /// Takes up what a redaction record names. The caller has proven that it is in the log.
    ///
    /// # Errors
    /// [`KindError`] if it is none.
    pub fn take_up(&mut self, record: &Record) -> Result<(), KindError> {
        let object = record.content().object.disclosed().ok_or(KindError::NotARedaction)?;
        if RecordKind::of(object) != RecordKind::Redaction {
            return Err(KindError::NotARedaction);
        }
        let Shown::Disclosed(Some(values)) = &record.content().values else { return Err(KindError::NoDigests) };
        let field = values.fields().iter().find(|(pointer, _)| pointer.as_str() == DIGESTS);
        let list = field.and_then(|(_, field)| field.disclosed()).and_then(|field| field.new.as_ref());
        let list = list.filter(|_| matches!(values.form(), Form::Whole(_))).ok_or(KindError::NoDigests)?;
        let digest = |reader: &mut Reader<'_>| {
            let at = reader.offset();
            let rule = FaultKind::Rule("must be a digest");
            reader.string()?.parse::<Digest>().map_err(|_| Trouble::new(at, rule))
        };
        let text = list.as_str().as_bytes();
        let digests = Reader::read(text, text.len(), |reader| reader.list(MAX_REDACTED, digest));
        let digests = digests.ok().filter(|digests| !digests.is_empty()).ok_or(KindError::NoDigests)?;
        for digest in digests {
            let log = record.leaf().event().head().log.clone();
            let index = self.0.entry((log, digest)).or_insert(record.index());
            *index = (*index).max(record.index());
        }
        Ok(())
    }

    /// The last redaction record of a log that names a digest, if it comes after the record at `of` in that log.
    #[must_use]
    pub fn of(&self, log: &Origin, digest: &Digest, of: LeafIndex) -> Option<LeafIndex> {
        self.0.get(&(log.clone(), *digest)).copied().filter(|index| *index > of)
    }
}
