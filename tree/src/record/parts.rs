//! Four of the six parts of an event: what was done to which object, by whom, about whom, and in which context.
//!
//! Each is one object or array of JSON; its form is the same in disclosures and in the native input. The other two parts,
//! whose fields are disclosed one by one, stand in [`super::values`] and [`super::attributes`].

use super::bounds::{MAX_ON_BEHALF, MAX_ROLES};
use super::json::{FaultKind, Read, Reader, Trouble};
pub use super::name_list::Subjects;
use super::name_list::push_names;
use super::text::{Name, Operation, Prose, TraceParent, TraceState, push_name};

/// More members than any of these objects knows: one past the last is unknown in any case.
const MEMBERS: usize = 32;

/// What was done to which object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object<'a> {
    /// The tenant whose object it is.
    pub tenant: Name<'a>,
    /// The part of the tenant's system.
    pub module: Name<'a>,
    /// The kind of object.
    pub entity: Name<'a>,
    /// The object's id, one of its kind.
    pub id: Name<'a>,
    /// What was done.
    pub operation: Operation<'a>,
    /// Which of the rows that the object's data is kept in, where there are several; replay keeps them apart.
    pub row: Option<Name<'a>>,
    /// What the event counts as.
    pub category: Option<Name<'a>>,
    /// What was done in the words of the business, such as `approve`.
    pub action: Option<Name<'a>>,
}

impl<'a> Object<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Read<Self> {
        let start = reader.offset();
        let (mut tenant, mut module, mut entity, mut id, mut operation) = (None, None, None, None, None);
        let (mut row, mut category, mut action) = (None, None, None);
        reader.object(MEMBERS, |reader, name, at| {
            match &*name {
                "tenant" => tenant = Some(Name::read(reader)?),
                "module" => module = Some(Name::read(reader)?),
                "entity" => entity = Some(Name::read(reader)?),
                "id" => id = Some(Name::read(reader)?),
                "operation" => operation = Some(Operation::read(reader)?),
                "row" => row = Some(Name::read(reader)?),
                "category" => category = Some(Name::read(reader)?),
                "action" => action = Some(Name::read(reader)?),
                _ => return Err(Trouble::new(at, FaultKind::Unknown)),
            }
            Ok(())
        })?;
        let missing = |name| move || Trouble::missing(start, name);
        Ok(Self {
            tenant: tenant.ok_or_else(missing("tenant"))?,
            module: module.ok_or_else(missing("module"))?,
            entity: entity.ok_or_else(missing("entity"))?,
            id: id.ok_or_else(missing("id"))?,
            operation: operation.ok_or_else(missing("operation"))?,
            row,
            category,
            action,
        })
    }

    pub(crate) fn push(&self, json: &mut Vec<u8>) {
        json.push(b'{');
        push_optional(json, "action", self.action.as_ref());
        push_optional(json, "category", self.category.as_ref());
        self.entity.push_member(json, "entity");
        self.id.push_member(json, "id");
        self.module.push_member(json, "module");
        self.operation.push_member(json, "operation");
        push_optional(json, "row", self.row.as_ref());
        self.tenant.push_member(json, "tenant");
        json.push(b'}');
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Object<'static> {
        Object {
            tenant: self.tenant.into_owned(),
            module: self.module.into_owned(),
            entity: self.entity.into_owned(),
            id: self.id.into_owned(),
            operation: self.operation.into_owned(),
            row: self.row.map(Name::into_owned),
            category: self.category.map(Name::into_owned),
            action: self.action.map(Name::into_owned),
        }
    }
}

fn push_optional(json: &mut Vec<u8>, name: &str, text: Option<&Name<'_>>) {
    if let Some(text) = text {
        text.push_member(json, name);
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor<'a> {
    id: Name<'a>,
    kind: Option<Name<'a>>,
    roles: Vec<Name<'a>>,
    on_behalf_of: Option<Box<Actor<'a>>>,
}

/// Why parts do not make an actor, or names no list of data subjects or topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// More of them than there may be.
    #[error("more than {0}")]
    TooMany(usize),
    /// None, where there must be one.
    #[error("must not be empty")]
    Empty,
}

impl<'a> Actor<'a> {
    /// An actor by its id; `kind` says what it is, such as `user` or `service`.
    #[must_use]
    pub const fn new(id: Name<'a>, kind: Option<Name<'a>>) -> Self {
        Self { id, kind, roles: Vec::new(), on_behalf_of: None }
    }

    /// The same with roles, in place of others.
    ///
    /// # Errors
    /// [`PartError::TooMany`].
    pub fn with_roles(self, roles: Vec<Name<'a>>) -> Result<Self, PartError> {
        if roles.len() > MAX_ROLES { Err(PartError::TooMany(MAX_ROLES)) } else { Ok(Self { roles, ..self }) }
    }

    /// The same, acting for another.
    ///
    /// # Errors
    /// [`PartError::TooMany`] if that one acts for another, and so on, too often.
    pub fn on_behalf_of(self, other: Self) -> Result<Self, PartError> {
        if other.chain_length() > MAX_ON_BEHALF {
            return Err(PartError::TooMany(MAX_ON_BEHALF));
        }
        Ok(Self { on_behalf_of: Some(Box::new(other)), ..self })
    }

    fn chain_length(&self) -> usize {
        core::iter::successors(Some(self), |actor| actor.on_behalf_of.as_deref()).count()
    }

    /// The actor's id.
    #[must_use]
    pub const fn id(&self) -> &Name<'a> {
        &self.id
    }

    /// What the actor is.
    #[must_use]
    pub const fn kind(&self) -> Option<&Name<'a>> {
        self.kind.as_ref()
    }

    /// The roles it acted in.
    #[must_use]
    pub fn roles(&self) -> &[Name<'a>] {
        &self.roles
    }

    /// Whom it acted for.
    #[must_use]
    pub fn principal(&self) -> Option<&Self> {
        self.on_behalf_of.as_deref()
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Read<Self> {
        Self::read_within(reader, MAX_ON_BEHALF)
    }

    fn read_within(reader: &mut Reader<'a>, more: usize) -> Read<Self> {
        let start = reader.offset();
        let (mut id, mut kind, mut roles, mut on_behalf_of) = (None, None, Vec::new(), None);
        reader.object(MEMBERS, |reader, name, at| {
            match &*name {
                "id" => id = Some(Name::read(reader)?),
                "type" => kind = Some(Name::read(reader)?),
                "roles" => roles = reader.list(MAX_ROLES, Name::read)?,
                "on_behalf_of" => {
                    let more = more.checked_sub(1).ok_or(Trouble::new(at, FaultKind::TooMany(MAX_ON_BEHALF)))?;
                    on_behalf_of = Some(Box::new(Self::read_within(reader, more)?));
                }
                _ => return Err(Trouble::new(at, FaultKind::Unknown)),
            }
            Ok(())
        })?;
        Ok(Self { id: id.ok_or_else(|| Trouble::missing(start, "id"))?, kind, roles, on_behalf_of })
    }

    pub(crate) fn push(&self, json: &mut Vec<u8>) {
        json.push(b'{');
        self.id.push_member(json, "id");
        if let Some(other) = &self.on_behalf_of {
            push_name(json, "on_behalf_of");
            other.push(json);
        }
        if !self.roles.is_empty() {
            push_name(json, "roles");
            push_names(json, &self.roles);
        }
        push_optional(json, "type", self.kind.as_ref());
        json.push(b'}');
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Actor<'static> {
        Actor {
            id: self.id.into_owned(),
            kind: self.kind.map(Name::into_owned),
            roles: self.roles.into_iter().map(Name::into_owned).collect(),
            on_behalf_of: self.on_behalf_of.map(|other| Box::new(other.into_owned())),
        }
    }
}

/// Why it was done, and what it belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context<'a> {
    /// The reason in words.
    pub reason: Option<Prose<'a>>,
    /// The purpose that the data was used for.
    pub purpose: Option<Prose<'a>>,
    /// The business transaction.
    pub transaction: Option<Name<'a>>,
    /// What relates the records of one request or process.
    pub correlation: Option<Name<'a>>,
    /// The name of the stream that the record was meant for, unless it is its object's own.
    pub stream: Option<Name<'a>>,
    /// The trace that the event is part of.
    pub traceparent: Option<TraceParent<'a>>,
    /// What the tracing systems on the way noted.
    pub tracestate: Option<TraceState<'a>>,
}

impl<'a> Context<'a> {
    /// Whether it says nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.reason.is_none()
            && self.purpose.is_none()
            && self.transaction.is_none()
            && self.correlation.is_none()
            && self.stream.is_none()
            && self.traceparent.is_none()
            && self.tracestate.is_none()
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Read<Self> {
        let mut context = Self::default();
        reader.object(MEMBERS, |reader, name, at| {
            match &*name {
                "reason" => context.reason = Some(Prose::read(reader)?),
                "purpose" => context.purpose = Some(Prose::read(reader)?),
                "transaction" => context.transaction = Some(Name::read(reader)?),
                "correlation" => context.correlation = Some(Name::read(reader)?),
                "stream" => context.stream = Some(Name::read(reader)?),
                "traceparent" => context.traceparent = Some(TraceParent::read(reader)?),
                "tracestate" => context.tracestate = Some(TraceState::read(reader)?),
                _ => return Err(Trouble::new(at, FaultKind::Unknown)),
            }
            Ok(())
        })?;
        Ok(context)
    }

    pub(crate) fn push(&self, json: &mut Vec<u8>) {
        json.push(b'{');
        push_optional(json, "correlation", self.correlation.as_ref());
        if let Some(purpose) = &self.purpose {
            purpose.push_member(json, "purpose");
        }
        if let Some(reason) = &self.reason {
            reason.push_member(json, "reason");
        }
        push_optional(json, "stream", self.stream.as_ref());
        if let Some(parent) = &self.traceparent {
            parent.push_member(json, "traceparent");
        }
        if let Some(state) = &self.tracestate {
            state.push_member(json, "tracestate");
        }
        push_optional(json, "transaction", self.transaction.as_ref());
        json.push(b'}');
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Context<'static> {
        Context {
            reason: self.reason.map(Prose::into_owned),
            purpose: self.purpose.map(Prose::into_owned),
            transaction: self.transaction.map(Name::into_owned),
            correlation: self.correlation.map(Name::into_owned),
            stream: self.stream.map(Name::into_owned),
            traceparent: self.traceparent.map(TraceParent::into_owned),
            tracestate: self.tracestate.map(TraceState::into_owned),
        }
    }
}
