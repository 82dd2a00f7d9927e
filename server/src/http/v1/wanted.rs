//! What records are looked for, by lists and by reports: a tenant's, with some properties, within a time.

use std::sync::Arc;

use cairn_tree::record::open::Record;
use cairn_tree::record::text::Name;
use cairn_tree::record::time::Time;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::wire::v1::{IntegrityProblem, Property};

use super::super::problem::Problem;
use super::super::query::Query;
use super::TENANT;
use super::bodies::Redacting;
use super::not_good::ReadBack;
use super::reading::Reading;
use crate::engine::Head;
use crate::engine::postings::{Facet, Print};
use crate::limits::{LIST_BYTES, LIST_WORK};
use crate::records::{READ, READS_TOPIC, Seen};

const FROM: &str = "from";
const UNTIL: &str = "until";

/// What is looked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) tenant: String,
    values: Vec<(Property, String)>,
    from: Option<Time>,
    until: Option<Time>,
    /// Both times as they were given.
    times: [String; 2],
}

/// The parameters that say what is looked for, and some more.
pub(super) fn names<const N: usize>(more: [&'static str; N]) -> Vec<&'static str> {
    more.into_iter().chain(filters().map(Property::name)).chain([FROM, UNTIL]).collect()
}

/// The properties that a record may be looked for by, besides its tenant.
fn filters() -> impl Iterator<Item = Property> {
    Property::ALL.into_iter().filter(|property| *property != Property::Tenant)
}

/// How the postings know it.
const fn facet(property: Property) -> Facet {
    match property {
        Property::Tenant => Facet::Tenant,
        Property::Module => Facet::Module,
        Property::Entity => Facet::Entity,
        Property::Object => Facet::Object,
        Property::Operation => Facet::Operation,
        Property::Action => Facet::Action,
        Property::Category => Facet::Category,
        Property::Actor => Facet::Actor,
        Property::Subject => Facet::Subject,
        Property::Correlation => Facet::Correlation,
        Property::Transaction => Facet::Transaction,
        Property::Topic => Facet::Topic,
    }
}

/// Nobody said whose records.
pub(super) fn no_tenant() -> Problem {
    Problem::malformed(TENANT, "", "say whose records: the token is good for more than one tenant")
        .bound("a tenant's name")
}

impl Wanted {
    pub(super) fn of(query: &Query<'_>, tenant: String) -> Result<Self, Problem> {
        let mut values = Vec::new();
        for property in filters() {
            if let Some(value) = query.get(property.name()) {
                Name::new(value).map_err(|error| Problem::malformed(property.name(), value, error))?;
                values.push((property, value.to_owned()));
            }
        }
        let time = |name: &'static str| {
            let read = |text| Time::parse(text).map_err(|error| Problem::malformed(name, text, error));
            query.get(name).map(read).transpose()
        };
        let times = [FROM, UNTIL].map(|name| query.get(name).unwrap_or_default().to_owned());
        Ok(Self { tenant, values, from: time(FROM)?, until: time(UNTIL)?, times })
    }

    /// Whether that is the trail of reads, and nothing else.
    pub(super) fn is_of_reads(&self) -> bool {
        let is_filter = |(property, value): &(Property, String)| {
            matches!((property, value.as_str()), (Property::Operation, READ) | (Property::Topic, READS_TOPIC))
        };
        self.values.iter().any(is_filter)
    }

    /// All of it as bytes, each with what it is.
    pub(super) fn parts(&self) -> Vec<&[u8]> {
        let mut parts: Vec<&[u8]> = vec![self.tenant.as_bytes()];
        for (property, value) in &self.values {
            parts.extend([property.name().as_bytes(), value.as_bytes()]);
        }
        parts.extend(self.times.iter().map(String::as_bytes));
        parts
    }

    fn prints(&self, reading: &Reading) -> Vec<Print> {
        let tenant = (Facet::Tenant, &self.tenant);
        let all = self.values.iter().map(|(property, value)| (facet(*property), value)).chain([tenant]);
        all.map(|(facet, value)| Print::new(&reading.prints, facet, &[value])).collect()
    }

    /// Whether a record is what is looked for: prints may be equal by chance.
    fn is_met_by(&self, record: &Record) -> bool {
        let is = |property: Property, value: &str| property.of(record).any(|said| said == value);
        is(Property::Tenant, &self.tenant) && self.values.iter().all(|(property, value)| is(*property, value))
    }

    /// Whether it is in time; `None` if it is before all that are.
    fn in_time(&self, time: Time) -> Option<bool> {
        if self.from.is_some_and(|from| time < from) {
            return None;
        }
        Some(self.until.is_none_or(|until| time <= until))
    }

    /// Where to begin, of what is below a size: what is newer than all that is in time is not looked at.
    pub(super) fn beginning(&self, reading: &Reading, below: TreeSize) -> Result<TreeSize, Problem> {
        let Some(until) = self.until else { return Ok(below) };
        let print = Print::new(&reading.prints, Facet::Tenant, &[&self.tenant]);
        reading.up_to(print, until, below)
    }
}

/// A page of what is wanted, with what was made of each record.
pub(super) struct PageOf<T> {
    /// Newest first; or what is wrong with it.
    pub(super) met: Vec<Result<T, IntegrityProblem>>,
    /// What says that something of them is erased.
    pub(super) redacting: Redacting,
    /// The head that their proofs are for.
    pub(super) under: Arc<Head>,
    /// Everything from here up is settled; `None`: everything.
    pub(super) next: Option<TreeSize>,
}

/// A part of a page.
struct PartOf<T> {
    met: Vec<Result<T, IntegrityProblem>>,
    redacting: Redacting,
    settled: usize,
    is_whole: bool,
    /// What comes after it is before all that are in time.
    is_over: bool,
}

impl Wanted {
    /// Looks through at most so many records below a size that may be wanted, on several cores, and makes something of each
    /// that is, verified.
    pub(super) fn page<T: Send>(
        &self,
        reading: &Reading,
        (below, most): (TreeSize, usize),
        make: impl Fn(&Seen, &Head) -> Result<T, Problem> + Sync,
    ) -> Result<PageOf<T>, Problem> {
        let found = reading.log.find_records(&self.prints(reading), below, most, LIST_WORK)?;
        let under = match found.hits.first() {
            Some(newest) => reading.under(*newest)?,
            None => Arc::clone(&reading.checkpoint),
        };
        let parts = reading.in_parts(&found.hits, LIST_BYTES, |indexes, stored| {
            self.part(reading, &under, (indexes, stored), &make)
        })?;
        let mut page = PageOf { met: Vec::new(), redacting: Redacting::default(), under, next: found.next };
        let mut settled = 0;
        for part in parts {
            if !page.redacting.merge(part.redacting) {
                break;
            }
            page.met.extend(part.met);
            settled += part.settled;
            if part.is_over {
                page.next = None;
                return Ok(page);
            }
            if !part.is_whole {
                break;
            }
        }
        // What did not fit comes with the next page.
        if let Some(left) = found.hits.get(settled) {
            page.next = Some(left.size_with());
        }
        Ok(page)
    }

    fn part<T>(
        &self,
        reading: &Reading,
        under: &Head,
        (indexes, stored): (&[LeafIndex], Vec<ReadBack>),
        make: impl Fn(&Seen, &Head) -> Result<T, Problem>,
    ) -> Result<PartOf<T>, Problem> {
        let (met, redacting) = (Vec::with_capacity(indexes.len()), Redacting::default());
        let mut part = PartOf { met, redacting, settled: 0, is_whole: false, is_over: false };
        for stored in stored {
            match reading.verified(stored, under) {
                // The others are what they are all the same.
                Err(error) => part.met.push(Err(error.in_place()?)),
                Ok(None) => {}
                Ok(Some(verified)) => match self.in_time(verified.record().leaf().server().time) {
                    Some(true) if self.is_met_by(verified.record()) => {
                        let seen = reading.seen(verified)?;
                        if !part.redacting.add(&seen) {
                            return Ok(part);
                        }
                        part.met.push(Ok(make(&seen, under)?));
                    }
                    Some(_) => {}
                    // The server's time never rises from a newer record to an older.
                    None => {
                        part.is_over = true;
                        return Ok(part);
                    }
                },
            }
            part.settled += 1;
        }
        part.is_whole = part.settled == indexes.len();
        Ok(part)
    }
}
