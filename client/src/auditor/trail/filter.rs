//! What a search asks for, and whether a record is that: a server may answer with anything.

use cairn_tree::record::open::Record;
use cairn_tree::record::parts::{Actor, Subjects};
use cairn_tree::record::stream::Topics;
use cairn_tree::record::text::{Name, TextError};
use cairn_tree::record::time::Time;

use super::Seen;
use super::error::TrailError;
use crate::fetch::{Query, shown};

/// A property that records can be looked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names are those of the parameters")]
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

    /// What a record says of it.
    fn of(self, record: &Record) -> Vec<&str> {
        let content = record.content();
        let object = content.object.disclosed();
        let context = content.context.disclosed().and_then(Option::as_ref);
        match self {
            Self::Tenant => one(object.map(|object| &object.tenant)),
            Self::Module => one(object.map(|object| &object.module)),
            Self::Entity => one(object.map(|object| &object.entity)),
            Self::Object => one(object.map(|object| &object.id)),
            Self::Operation => object.map(|object| object.operation.as_str()).into_iter().collect(),
            Self::Action => one(object.and_then(|object| object.action.as_ref())),
            Self::Category => one(object.and_then(|object| object.category.as_ref())),
            Self::Actor => one(content.actor.disclosed().and_then(Option::as_ref).map(Actor::id)),
            Self::Subject => names(content.subjects.disclosed().and_then(Option::as_ref).map(Subjects::names)),
            Self::Correlation => one(context.and_then(|context| context.correlation.as_ref())),
            Self::Transaction => one(context.and_then(|context| context.transaction.as_ref())),
            Self::Topic => {
                let topics = record.opening().and_then(|opening| opening.topics.disclosed()?.as_ref());
                names(topics.map(Topics::names))
            }
        }
    }
}

fn one<'r>(name: Option<&'r Name<'static>>) -> Vec<&'r str> {
    name.map(Name::as_str).into_iter().collect()
}

fn names<'r>(names: Option<&'r [Name<'static>]>) -> Vec<&'r str> {
    names.unwrap_or_default().iter().map(Name::as_str).collect()
}

/// What a search asks for: all of it must hold of a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    wanted: Vec<(Property, String)>,
    from: Option<Time>,
    until: Option<Time>,
}

impl Filter {
    /// Everything between two times of the server, both included.
    #[must_use]
    pub const fn between(from: Option<Time>, until: Option<Time>) -> Self {
        Self { wanted: Vec::new(), from, until }
    }

    /// The same, with a property.
    ///
    /// # Errors
    /// [`TextError`] for what no record can have.
    pub fn with(mut self, property: Property, value: &str) -> Result<Self, TextError> {
        Name::new(value)?;
        self.wanted.push((property, value.to_owned()));
        Ok(self)
    }

    /// The query's parameters.
    #[must_use]
    pub fn query(&self) -> Query {
        let times = [("from", self.from), ("until", self.until)];
        let times = times.into_iter().filter_map(|(name, time)| Some((name, time?.to_string())));
        self.wanted.iter().map(|(property, value)| (property.name(), value.clone())).chain(times).collect()
    }

    /// Checks that a record is what is looked for, as far as it is shown; what is not shown does not match.
    pub(super) fn check(&self, seen: &Seen) -> Result<(), TrailError> {
        let other = |what, found| Err(TrailError::Other { index: seen.index(), what, found });
        for (property, value) in &self.wanted {
            let found = seen.record().map(|record| property.of(record)).unwrap_or_default();
            if !found.contains(&value.as_str()) {
                let found =
                    if found.is_empty() { "not there, or not shown".to_owned() } else { shown(&found.join(", ")) };
                return other(property.name(), found);
            }
        }
        let time = seen.header().time;
        let in_time = self.from.is_none_or(|from| from <= time) && self.until.is_none_or(|until| time <= until);
        if in_time { Ok(()) } else { other("server's time", time.to_string()) }
    }
}
