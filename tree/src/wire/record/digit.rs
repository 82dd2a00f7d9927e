//! The bodies of eGov DIGIT's audit service (`audit-service/log/v1`): `_create`, `_search` and `_verify`.
//!
//! As that service does: members that are not known are ignored, an id that is given is replaced, an operation may be
//! written in any case, null is as if it were absent. What becomes what:
//!
//! | of the row | of the record |
//! |---|---|
//! | `tenantId`, `module`, `entityName`, `objectId` | tenant, module, entity and id of the object |
//! | `operationType` | `create`, `update` or `delete` |
//! | `keyValueMap` of a CREATE | the whole new values |
//! | of an UPDATE or a DELETE | fields, each with its new value or its old one: there it has only the columns that the statement sets or names in its condition, never the whole row |
//! | `id` within `keyValueMap`, unless it is the `objectId` | the row, so that an object's child rows stay apart |
//! | `userUUID` | the actor, of type `user` |
//! | `changeDate` | the producer's time, from milliseconds |
//! | `transactionCode`, `auditCorrelationId` | the same of the context, unless empty |
//!
//! Faults come with that service's codes: [`CREATE_ERROR`], [`VERIFICATION_ERROR`].

use std::borrow::Cow;

use super::{RecordInput, StreamInput, refuse};
use crate::record::bounds::{MAX_BODY_BYTES, MAX_FIELDS};
use crate::record::class::Classification;
use crate::record::draft::Content;
use crate::record::json::{Fault, FaultKind, Json, Kind, Pointer, Read, Reader, Trouble, Value};
use crate::record::parts::{Actor, Context, Object};
use crate::record::reserved::Reserved;
use crate::record::text::{Name, Operation, TextError};
use crate::record::time::Time;
use crate::record::values::{Document, Values, ValuesError};

/// The most rows of a request.
pub const MAX_ROWS: usize = 100;
/// The code of every fault of `_create`.
pub const CREATE_ERROR: &str = "EG_AUDIT_LOGS_CREATE_ERR";
/// The code of every fault of `_verify`.
pub const VERIFICATION_ERROR: &str = "EG_AUDIT_LOG_VERIFICATION_ERR";

/// Members that are ignored are bounded too.
const MEMBERS: usize = 1024;

/// The body of `_create`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateInput<'a> {
    /// Who asks, as the answer repeats it.
    pub request_info: RequestInfo<'a>,
    /// The rows, as records.
    pub records: Vec<RecordInput<'a>>,
}

/// The body of `_verify`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyInput<'a> {
    /// Who asks.
    pub request_info: RequestInfo<'a>,
    /// The object.
    pub object_id: Name<'a>,
    /// What its row is said to be.
    pub key_values: Json<'a>,
}

/// What a request says of itself.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RequestInfo<'a> {
    /// All of it.
    pub json: Option<Json<'a>>,
    /// The credential, if it is there.
    pub auth_token: Option<Cow<'a, str>>,
}

/// Reads the body of `_create`.
///
/// # Errors
/// [`Fault`]; one bad row is a fault of all.
pub fn parse_create(body: &[u8]) -> Result<CreateInput<'_>, Fault> {
    Reader::read(body, MAX_BODY_BYTES, |reader| {
        let start = reader.offset();
        let (mut request_info, mut records) = (RequestInfo::default(), None);
        reader.object(MEMBERS, |reader, name, _| {
            match &*name {
                "RequestInfo" => request_info = RequestInfo::read(reader)?,
                "AuditLogs" => records = Some(reader.list(MAX_ROWS, row)?),
                _ => drop(reader.json()?),
            }
            Ok(())
        })?;
        Ok(CreateInput { request_info, records: records.ok_or(Trouble::missing(start, "AuditLogs"))? })
    })
}

/// Reads the body of `_search`, whose question stands in the query.
///
/// # Errors
/// [`Fault`].
pub fn parse_search(body: &[u8]) -> Result<RequestInfo<'_>, Fault> {
    Reader::read(body, MAX_BODY_BYTES, |reader| {
        let mut request_info = RequestInfo::default();
        reader.object(MEMBERS, |reader, name, _| {
            match &*name {
                "RequestInfo" | "requestInfo" => request_info = RequestInfo::read(reader)?,
                _ => drop(reader.json()?),
            }
            Ok(())
        })?;
        Ok(request_info)
    })
}

/// Reads the body of `_verify`.
///
/// # Errors
/// [`Fault`].
pub fn parse_verify(body: &[u8]) -> Result<VerifyInput<'_>, Fault> {
    Reader::read(body, MAX_BODY_BYTES, |reader| {
        let start = reader.offset();
        let (mut request_info, mut object_id, mut key_values) = (RequestInfo::default(), None, None);
        reader.object(MEMBERS, |reader, name, _| {
            match &*name {
                "requestInfo" | "RequestInfo" => request_info = RequestInfo::read(reader)?,
                "objectId" => object_id = text(reader, Name::new)?,
                "keyValuePairs" => key_values = Some(object(reader)?),
                _ => drop(reader.json()?),
            }
            Ok(())
        })?;
        Ok(VerifyInput {
            request_info,
            object_id: object_id.ok_or(Trouble::missing(start, "objectId"))?,
            key_values: key_values.ok_or(Trouble::missing(start, "keyValuePairs"))?,
        })
    })
}

/// Neither the user nor the credential.
impl core::fmt::Debug for RequestInfo<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RequestInfo").finish_non_exhaustive()
    }
}

impl<'a> RequestInfo<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Read<Self> {
        if reader.null()? {
            return Ok(Self::default());
        }
        let json = object(reader)?;
        let token = match json.value() {
            Value::Object(mut members) => members.remove("authToken"),
            _ => None,
        };
        let auth_token = match token {
            Some(Value::String(token)) if !token.is_empty() => Some(Cow::Owned(token.into())),
            _ => None,
        };
        Ok(Self { json: Some(json), auth_token })
    }
}

fn object<'a>(reader: &mut Reader<'a>) -> Read<Json<'a>> {
    let at = reader.offset();
    match reader.kind()? {
        Kind::Object => reader.json(),
        found => Err(Trouble::new(at, FaultKind::Kind { expected: "an object", found })),
    }
}

/// A text that may be null or empty, which is as if it were absent.
fn text<'a, T>(reader: &mut Reader<'a>, new: impl FnOnce(Cow<'a, str>) -> Result<T, TextError>) -> Read<Option<T>> {
    let at = reader.offset();
    if reader.null()? {
        return Ok(None);
    }
    let text = reader.string()?;
    if text.is_empty() {
        return Ok(None);
    }
    new(text).map(Some).map_err(|error| Trouble::new(at, error.into()))
}

type Members<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

#[derive(Default)]
struct Row<'a> {
    user: Option<Name<'a>>,
    module: Option<Name<'a>>,
    tenant: Option<Name<'a>>,
    transaction: Option<Name<'a>>,
    time: Option<Time>,
    entity: Option<Name<'a>>,
    object: Option<Name<'a>>,
    correlation: Option<Name<'a>>,
    operation: Option<Operation<'a>>,
    data: Option<(usize, Members<'a>)>,
}

fn row<'a>(reader: &mut Reader<'a>) -> Read<RecordInput<'a>> {
    let start = reader.offset();
    let mut row = Row::default();
    reader.object(MEMBERS, |reader, name, _| row.read(reader, &name))?;
    row.finish(start)
}

impl<'a> Row<'a> {
    fn read(&mut self, reader: &mut Reader<'a>, name: &str) -> Read<()> {
        match name {
            "userUUID" => self.user = text(reader, Name::new)?,
            "module" => self.module = text(reader, Name::new)?,
            "tenantId" => self.tenant = text(reader, Name::new)?,
            "transactionCode" => self.transaction = text(reader, Name::new)?,
            "changeDate" if !reader.null()? => self.time = Some(change_date(reader)?),
            "changeDate" => {}
            "entityName" => self.entity = text(reader, Name::new)?,
            "objectId" => self.object = text(reader, Name::new)?,
            "auditCorrelationId" => self.correlation = text(reader, Name::new)?,
            "operationType" => {
                let operation = |text: Cow<'a, str>| match text.to_ascii_uppercase().as_str() {
                    "CREATE" => Ok(Operation::CREATE),
                    "UPDATE" => Ok(Operation::UPDATE),
                    "DELETE" => Ok(Operation::DELETE),
                    _ => Err(TextError::Rule("must be CREATE, UPDATE or DELETE")),
                };
                self.operation = text(reader, operation)?;
            }
            "keyValueMap" if !reader.null()? => {
                let at = reader.offset();
                let mut members = Vec::new();
                reader.object(MAX_FIELDS, |reader, name, _| {
                    members.push((name, reader.json()?));
                    Ok(())
                })?;
                self.data = Some((at, members));
            }
            "keyValueMap" => {}
            _ => drop(reader.json()?),
        }
        Ok(())
    }

    fn finish(self, start: usize) -> Read<RecordInput<'a>> {
        let missing = |name| move || Trouble::missing(start, name);
        let (at, data) = self.data.ok_or_else(missing("keyValueMap"))?;
        if data.is_empty() {
            return Err(Trouble::new(at, FaultKind::Rule("must not be empty")));
        }
        let id = self.object.ok_or_else(missing("objectId"))?;
        let operation = self.operation.ok_or_else(missing("operationType"))?;
        let object = Object {
            tenant: self.tenant.ok_or_else(missing("tenantId"))?,
            module: self.module.ok_or_else(missing("module"))?,
            entity: self.entity.ok_or_else(missing("entityName"))?,
            row: row_key(&data).filter(|row| *row != id),
            id,
            category: None,
            action: None,
            operation,
        };
        refuse(Reserved::of_brought(&object), start, of_row)?;
        let values = values_of_row(&object.operation, data);
        let wrong =
            |error: ValuesError| Trouble::new(at, FaultKind::Words(error.to_string())).within(column_of(&error));
        let values = values.map_err(wrong)?;
        let context = Context { transaction: self.transaction, correlation: self.correlation, ..Context::default() };
        let user = Name::new("user").map_err(|error| Trouble::new(start, error.into()))?;
        let content = Content {
            object,
            actor: Some(Actor::new(self.user.ok_or_else(missing("userUUID"))?, Some(user))),
            subjects: None,
            context: Some(context).filter(|context| !context.is_empty()),
            values: Some(values),
            attributes: None,
        };
        let time = Some(self.time.ok_or_else(missing("changeDate"))?);
        Ok(RecordInput { id: None, time, replaces: None, content, stream: StreamInput::default() })
    }
}

/// The member of a row that is the log's own.
fn of_row(reserved: Reserved) -> &'static str {
    match reserved {
        Reserved::Module => "/module",
        Reserved::Tenant => "/tenantId",
        Reserved::Operation | Reserved::Word => "/operationType",
        Reserved::Stream | Reserved::Topic | Reserved::Attribute => "",
    }
}

/// The column that something is wrong with; its name is a pointer's only token.
fn column_of(error: &ValuesError) -> &str {
    match error {
        ValuesError::Value { pointer, .. } | ValuesError::Sides(pointer) | ValuesError::Overlap(pointer) => pointer,
        ValuesError::Empty | ValuesError::TooManyFields | ValuesError::Pointer(_) => "",
    }
}

/// What a row's columns are: the whole of it only where it is created.
pub(super) fn values_of_row<'a>(operation: &Operation<'_>, data: Members<'a>) -> Result<Values<'a>, ValuesError> {
    let classes = Classification::default();
    if *operation == Operation::CREATE {
        return Values::whole(None, (None, Some(Document::Members(data))), &classes);
    }
    let field = |(name, json): (Cow<'a, str>, Json<'a>)| {
        let pointer = Pointer::ROOT.child(&name).map_err(|_| ValuesError::Pointer(name.into_owned()))?;
        Ok(if *operation == Operation::DELETE { (pointer, Some(json), None) } else { (pointer, None, Some(json)) })
    };
    let fields: Result<Vec<_>, _> = data.into_iter().map(field).collect();
    Values::fields_of(None, fields?, &classes)
}

fn change_date(reader: &mut Reader<'_>) -> Read<Time> {
    let at = reader.offset();
    let time = Time::from_millis(reader.integer()?);
    time.map_err(|error| Trouble::new(at, FaultKind::Words(error.to_string())))
}

/// What the table calls this row.
fn row_key<'a>(data: &[(Cow<'a, str>, Json<'a>)]) -> Option<Name<'a>> {
    let (_, json) = data.iter().find(|(name, _)| name == "id")?;
    let key: Cow<'a, str> = match json.value() {
        Value::String(text) => Cow::Owned(text.into()),
        Value::Number(number) => Cow::Owned(number.into()),
        _ => return None,
    };
    Name::new(key).ok()
}
