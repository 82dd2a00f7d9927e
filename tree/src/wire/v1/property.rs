//! What records are looked for by: the properties that lists and reports are asked for, and what a record says of each.
//!
//! Not here: how a server finds them, which is its own.

use crate::record::open::Record;
use crate::record::parts::{Actor, Subjects};
use crate::record::stream::Topics;
use crate::record::text::Name;

/// A property that records can be looked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names are those of the parameters, which `/openapi.json` describes")]
pub enum Property {
    Tenant,
    Module,
    Entity,
    Object,
    Operation,
    Action,
    Category,
    Actor,
    Subject,
    Correlation,
    Transaction,
    Topic,
}

impl Property {
    /// All of them; the tenant, whose records are meant, comes first.
    pub const ALL: [Self; 12] = [
        Self::Tenant,
        Self::Module,
        Self::Entity,
        Self::Object,
        Self::Operation,
        Self::Action,
        Self::Category,
        Self::Actor,
        Self::Subject,
        Self::Correlation,
        Self::Transaction,
        Self::Topic,
    ];

    /// The name of the parameter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Module => "module",
            Self::Entity => "entity",
            Self::Object => "object",
            Self::Operation => "operation",
            Self::Action => "action",
            Self::Category => "category",
            Self::Actor => "actor",
            Self::Subject => "subject",
            Self::Correlation => "correlation",
            Self::Transaction => "transaction",
            Self::Topic => "topic",
        }
    }

    /// What a record says of it, as far as that is shown.
    pub fn of(self, record: &Record) -> impl Iterator<Item = &str> {
        let content = record.content();
        let object = content.object.disclosed();
        let context = content.context.disclosed().and_then(Option::as_ref);
        let subjects = || content.subjects.disclosed().and_then(Option::as_ref).map(Subjects::names);
        let topics = || record.opening().and_then(|opening| opening.topics.disclosed()?.as_ref()).map(Topics::names);
        let (one, several): (Option<&str>, Option<&[Name<'_>]>) = match self {
            Self::Tenant => (text(object.map(|object| &object.tenant)), None),
            Self::Module => (text(object.map(|object| &object.module)), None),
            Self::Entity => (text(object.map(|object| &object.entity)), None),
            Self::Object => (text(object.map(|object| &object.id)), None),
            Self::Operation => (object.map(|object| object.operation.as_str()), None),
            Self::Action => (text(object.and_then(|object| object.action.as_ref())), None),
            Self::Category => (text(object.and_then(|object| object.category.as_ref())), None),
            Self::Actor => (text(content.actor.disclosed().and_then(Option::as_ref).map(Actor::id)), None),
            Self::Subject => (None, subjects()),
            Self::Correlation => (text(context.and_then(|context| context.correlation.as_ref())), None),
            Self::Transaction => (text(context.and_then(|context| context.transaction.as_ref())), None),
            Self::Topic => (None, topics()),
        };
        one.into_iter().chain(several.into_iter().flatten().map(Name::as_str))
    }
}

fn text<'r>(name: Option<&'r Name<'static>>) -> Option<&'r str> {
    name.map(Name::as_str)
}
