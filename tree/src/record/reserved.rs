//! What is the log's own and no producer's: the module and the tenant `cairn`, and operations, named streams, topics and
//! attributes whose names begin with `cairn.`.
//!
//! Servers refuse it from producers in every form; readers refuse a record with any of it that names a producer's key.
//!
//! Servers refuse more of producers than readers refuse of records: a topic of the log's, and the operations of its redaction
//! and incident records, for which a producer's could be taken though they count as nothing of the kind.

use super::attributes::Attributes;
use super::parts::{Context, Object};
use super::stream::{StreamName, Topics};
use super::text::Operation;

/// The module of what the log writes about itself, and the tenant whose it is where it is nobody else's.
pub const OWN_MODULE: &str = "cairn";
/// The operation of a redaction record.
pub const REDACTION: &str = "record.redaction";
/// The operation of a record about a failed integrity check.
pub const INCIDENT: &str = "security.incident";
/// What operations, named streams and attributes of the log's own begin with.
pub const OWN_PREFIX: &str = "cairn.";

/// Something of a record that is the log's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reserved {
    /// The module of its object.
    #[error("the module {OWN_MODULE} is the log's own, and no producer's")]
    Module,
    /// The tenant of its object or of its stream.
    #[error("the tenant {OWN_MODULE} is the log's own, and no producer's")]
    Tenant,
    /// What was done.
    #[error("operations that begin with {OWN_PREFIX} are the log's own, and no producer's")]
    Operation,
    /// What was done, in the words for what the log does.
    #[error("the operations {REDACTION} and {INCIDENT} are the log's own, and no producer's")]
    Word,
    /// The named stream that it is meant for.
    #[error("streams whose names begin with {OWN_PREFIX} are the log's own, and no producer's")]
    Stream,
    /// A topic of its stream.
    #[error("topics that begin with {OWN_PREFIX} are the log's own, and no producer's")]
    Topic,
    /// An attribute.
    #[error("attributes whose names begin with {OWN_PREFIX} are the log's own, and no producer's")]
    Attribute,
}

impl Reserved {
    /// Where it is in the native form, as a JSON Pointer.
    #[must_use]
    pub const fn pointer(self) -> &'static str {
        match self {
            Self::Module => "/object/module",
            Self::Tenant => "/object/tenant",
            Self::Operation | Self::Word => "/object/operation",
            Self::Stream => "/context/stream",
            Self::Topic => "/topics",
            Self::Attribute => "/attributes",
        }
    }

    /// Of an object.
    #[must_use]
    pub fn of_object(object: &Object<'_>) -> Option<Self> {
        match object {
            _ if object.module.as_str() == OWN_MODULE => Some(Self::Module),
            _ if object.tenant.as_str() == OWN_MODULE => Some(Self::Tenant),
            _ if is_own_operation(&object.operation) => Some(Self::Operation),
            _ => None,
        }
    }

    /// Of an object that a producer brings. A reader does not ask for all of this: such a word counts for nothing outside
    /// of the log's own module.
    #[must_use]
    pub fn of_brought(object: &Object<'_>) -> Option<Self> {
        let is_word = [REDACTION, INCIDENT].contains(&object.operation.as_str());
        Self::of_object(object).or_else(|| is_word.then_some(Self::Word))
    }

    /// Of a context.
    #[must_use]
    pub fn of_context(context: &Context<'_>) -> Option<Self> {
        context.stream.as_ref().filter(|name| name.as_str().starts_with(OWN_PREFIX)).map(|_| Self::Stream)
    }

    /// Of attributes, shown or not: their names are.
    #[must_use]
    pub fn of_attributes<A, E>(attributes: &Attributes<'_, A, E>) -> Option<Self> {
        attributes.named().iter().any(|(name, _)| name.as_str().starts_with(OWN_PREFIX)).then_some(Self::Attribute)
    }

    /// Of the topics that a producer gives to a stream. A reader does not ask: a stream of the log's own has its name.
    #[must_use]
    pub fn of_topics(topics: &Topics<'_>) -> Option<Self> {
        topics.names().iter().any(|topic| topic.as_str().starts_with(OWN_PREFIX)).then_some(Self::Topic)
    }

    /// Of the name of the stream.
    #[must_use]
    pub fn of_stream(name: &StreamName<'_>) -> Option<Self> {
        match name {
            _ if name.tenant().as_str() == OWN_MODULE => Some(Self::Tenant),
            StreamName::Entity { module, .. } if module.as_str() == OWN_MODULE => Some(Self::Module),
            StreamName::Named { name, .. } if name.as_str().starts_with(OWN_PREFIX) => Some(Self::Stream),
            StreamName::Entity { .. } | StreamName::Named { .. } => None,
        }
    }
}

/// Whether an operation is one that only the log itself puts on record: such a record corrects none, and none corrects it.
#[must_use]
pub fn is_own_operation(operation: &Operation<'_>) -> bool {
    operation.as_str().starts_with(OWN_PREFIX)
}
