//! What a search asks for, and whether a record is that: a server may answer with anything.

use cairn_tree::record::text::{Name, TextError};
use cairn_tree::record::time::Time;
use cairn_tree::wire::v1::Property;

use super::Seen;
use super::error::TrailError;
use crate::fetch::{Query, shown};

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
            let found: Vec<&str> = seen.record().into_iter().flat_map(|record| property.of(record)).collect();
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
