//! From a message to the rows that its persister writes, with who did it and when. Pure: nothing here is written, and one
//! thing that can't be told refuses the whole message.
//!
//! | of a row | where it stands |
//! |---|---|
//! | table, operation | in the query |
//! | object, tenant, transaction code | below `auditAttributeBasePath`, in the element that the row is in |
//! | user | at the path for it, else in that element's `auditDetails`: `lastModifiedBy`, `createdBy` |
//! | time | in that element's `auditDetails`: `lastModifiedTime`, else `createdTime`, in milliseconds |
//! | key | the column `id`, else `uuid`, or those that the operator names; a row in which one of them is null has no identity |
//! | columns | in the row's element where a path has `*.`, by what stands behind its last one; else in the message |
//!
//! As for the persister, a row whose element is null is none, and a column whose member is missing in the row is null.

use cairn_tree::record::json::{Json, Value};
use cairn_tree::record::text::Operation;
use cairn_tree::record::time::Time;
use cairn_tree::wire::record::capture::CapturedRow;

use super::bounds::{ROW_BYTES, ROWS, WORK};
use super::columns::{Shape, Source};
use super::path::{Lost, Path, Segment, Work, all, scalar, select, single};
use super::persister::{Audited, Mapping, Persister, Query, Write};
use super::statement::Verb;
use super::unmapped::{Reason, Unmapped};
use super::version::Version;

/// What a message becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// Its rows.
    pub rows: Vec<CapturedRow>,
    /// How many mappings of its topic and version are not to be audited.
    pub not_audited: usize,
}

/// A message on a topic.
#[derive(Clone, Copy)]
pub struct Message<'m> {
    /// The topic.
    pub topic: &'m str,
    /// The message.
    pub value: &'m Value,
}

impl Persister {
    /// Makes rows of a message; `correlation` gives what all rows of an object of a tenant have in common.
    ///
    /// # Errors
    /// [`Unmapped`].
    pub fn map(&self, message: Message<'_>, correlation: &dyn Fn(&str, &str) -> String) -> Result<Mapped, Unmapped> {
        let mappings = self.topics.get(message.topic).ok_or(Unmapped::of(Reason::NoMapping))?;
        let version = self.version(message.value);
        let fitting: Vec<&Mapping> = mappings
            .iter()
            .filter(|mapping| mapping.versions.as_ref().is_none_or(|versions| versions.has(version)))
            .collect();
        if fitting.is_empty() {
            return Err(Unmapped::of(Reason::NoVersion));
        }
        let Value::Object(_) = message.value else { return Err(Unmapped::of(Reason::NotAnObject)) };
        let audited: Vec<_> =
            fitting.iter().filter_map(|mapping| Some((mapping.number, mapping.audited.as_ref()?))).collect();
        let mut making = Making {
            persister: self,
            message: message.value,
            correlation,
            work: Work::of(WORK),
            rows: Vec::new(),
            bytes: 0,
        };
        for (number, audited) in &audited {
            for (place, query) in audited.queries.iter().enumerate() {
                let at = |unmapped: Unmapped| unmapped.at(format!("mapping {number}, queryMaps[{place}]"));
                making.query(audited, query).map_err(at)?;
            }
        }
        Ok(Mapped { rows: making.rows, not_audited: fitting.len() - audited.len() })
    }

    fn version(&self, message: &Value) -> Version {
        let path = [Segment::Name("RequestInfo".into()), Segment::Name("ver".into())];
        let version = single(message, &path, &mut Work::of(8)).ok().and_then(scalar).and_then(Version::parse);
        version.unwrap_or(self.options.version)
    }
}

struct Making<'m> {
    persister: &'m Persister,
    message: &'m Value,
    correlation: &'m dyn Fn(&str, &str) -> String,
    work: Work,
    rows: Vec<CapturedRow>,
    bytes: usize,
}

/// Where a row is: the element that it is, and the one that its audit attributes are in.
struct Place<'m> {
    element: &'m Value,
    outer: &'m Value,
}

impl<'m> Making<'m> {
    fn query(&mut self, audited: &Audited, query: &Query) -> Result<(), Unmapped> {
        let write = query.write.as_ref().ok_or(Unmapped::of(Reason::QueryUnclear))?;
        let (outer, inner) = audited.base.at_last_all();
        for place in self.places(&query.base, outer.len())? {
            let Value::Object(_) = place.element else { return Err(Unmapped::of(Reason::NotAnObject)) };
            if self.rows.len() >= ROWS {
                return Err(Unmapped::of(Reason::TooMany));
            }
            let attributes =
                self.single(place.outer, inner).map_err(|unmapped| unmapped.at("auditAttributeBasePath"))?;
            let row = self.row(audited, write, (place.element, attributes))?;
            self.bytes += row.columns.iter().map(|(name, json)| name.len() + json.as_str().len()).sum::<usize>();
            if self.bytes > ROW_BYTES {
                return Err(Unmapped::of(Reason::TooLarge));
            }
            self.rows.push(row);
        }
        Ok(())
    }

    /// The elements that rows are, each within the one that so many steps of its path lead to.
    fn places(&mut self, base: &Path, outer: usize) -> Result<Vec<Place<'m>>, Unmapped> {
        let (array, below) = base.at_last_all();
        if array.is_empty() {
            let element = self.single(self.message, base.segments()).map_err(|unmapped| unmapped.at("basePath"))?;
            let outer = self.message;
            return Ok(if matches!(element, Value::Null) { Vec::new() } else { vec![Place { element, outer }] });
        }
        let mut places = vec![Place { element: self.message, outer: self.message }];
        for (step, segment) in array.iter().enumerate() {
            let mut next = Vec::new();
            for Place { element, outer: within } in places {
                let within = if step == outer { element } else { within };
                let found: Vec<&Value> = match segment {
                    Segment::All if !matches!(element, Value::Array(_) | Value::Object(_) | Value::Null) => {
                        return Err(Unmapped::of(Reason::NotAnObject).at("basePath"));
                    }
                    Segment::All => all(element).collect(),
                    // Up to the first *, a path means one place.
                    step_to => {
                        let definite = !array.iter().take(step).any(|before| *before == Segment::All);
                        let found = select(element, std::slice::from_ref(step_to), None, &mut self.work);
                        match found {
                            Ok(found) => found,
                            Err(Lost::Missing) if !definite => Vec::new(),
                            Err(lost) => return Err(Unmapped::from(lost).at("basePath")),
                        }
                    }
                };
                for element in found {
                    self.work.step()?;
                    next.push(Place { element, outer: within });
                }
            }
            places = next;
        }
        // The last step is the *, and what is in the element itself may be its own outer one.
        let own = outer == array.len();
        let places =
            places.into_iter().map(|place| Place { outer: if own { place.element } else { place.outer }, ..place });
        Ok(places.filter(|place| has(place.element, below)).collect())
    }

    fn single(&mut self, value: &'m Value, segments: &[Segment]) -> Result<&'m Value, Unmapped> {
        Ok(single(value, segments, &mut self.work)?)
    }

    /// The text at a path that must have one.
    fn text(&mut self, value: &'m Value, (path, field): (&Path, &str)) -> Result<String, Unmapped> {
        let found = self.single(value, path.segments()).map_err(|unmapped| unmapped.at(field))?;
        let text = scalar(found).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or(Unmapped::of(Reason::NoIdentity).at(field))
    }

    fn optional(&mut self, value: &'m Value, path: &Path) -> Option<String> {
        let found = single(value, path.segments(), &mut self.work).ok();
        found.and_then(scalar).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn row(
        &mut self,
        audited: &Audited,
        write: &Write,
        (element, attributes): (&'m Value, &'m Value),
    ) -> Result<CapturedRow, Unmapped> {
        let object = self.text(attributes, (&audited.object, "objecIdJsonPath"))?;
        let tenant = self.text(attributes, (&audited.tenant, "tenantIdJsonPath"))?;
        let details = Details::of(attributes);
        let user = self.optional(self.message, &self.persister.options.user).or_else(|| details.user());
        let time = details.time();
        let transaction = audited.transaction.as_ref().and_then(|path| self.optional(attributes, path));
        let mut columns = Vec::with_capacity(write.columns.len());
        for (number, column) in write.columns.iter().enumerate() {
            let place = |unmapped: Unmapped| unmapped.at(format!("column {:?}", column.name));
            columns.push((number, column.name.clone(), self.value(&column.source, element, time).map_err(place)?));
        }
        let key_of = |number: &usize| {
            let found = columns.iter().find(|(place, ..)| place == number);
            let (name, value) = found.map(|(_, name, value)| (name.as_str(), value.as_ref())).unwrap_or_default();
            let nameless = || Unmapped::of(Reason::NoIdentity).at(format!("column {name:?}"));
            value.map(Json::value).as_ref().and_then(key_part).ok_or_else(nameless)
        };
        let key = write.key.iter().map(key_of).collect::<Result<Vec<String>, Unmapped>>()?;
        let correlation = Some((self.correlation)(&tenant, &object));
        Ok(CapturedRow {
            tenant,
            module: audited.module.clone(),
            table: write.table.clone(),
            object,
            key: key_of_parts(&key),
            operation: match write.verb {
                Verb::Insert => Operation::CREATE,
                Verb::Update => Operation::UPDATE,
                Verb::Delete => Operation::DELETE,
            },
            user,
            time,
            transaction,
            correlation,
            columns: columns.into_iter().filter_map(|(_, name, value)| Some((name, value?))).collect(),
        })
    }

    /// A column's value; none if it can't be known.
    fn value(
        &mut self,
        source: &Source,
        element: &'m Value,
        time: Option<Time>,
    ) -> Result<Option<Json<'static>>, Unmapped> {
        let value = match source {
            Source::Null => Value::Null.to_json(),
            Source::Time => return Ok(time.map(|time| Value::Number(time.millis().to_string().into()).to_json())),
            Source::Row(names, shape) => shaped(self.within(element, names)?, *shape),
            Source::Message(path, shape) if path.segments().contains(&Segment::All) => {
                let found = select(self.message, path.segments(), None, &mut self.work)?;
                shaped(&Value::Array(found.into_iter().cloned().collect()), *shape)
            }
            Source::Message(path, shape) => shaped(self.single(self.message, path.segments())?, *shape),
            Source::Parent(path) => {
                let found = select(self.message, path.segments(), Some(element), &mut self.work)?;
                found.first().ok_or(Unmapped::of(Reason::PathMissing))?.to_json()
            }
        };
        Ok(Some(value))
    }

    /// What stands so many names down in a row; null where there is nothing.
    fn within(&mut self, element: &'m Value, names: &[Segment]) -> Result<&'m Value, Unmapped> {
        static NULL: Value = Value::Null;
        let mut value = element;
        for name in names {
            self.work.step()?;
            value = match (name, value) {
                (Segment::Name(name), Value::Object(members)) => members.get(name).unwrap_or(&NULL),
                (Segment::Index(place), Value::Array(elements)) => elements.get(*place).unwrap_or(&NULL),
                (_, Value::Null) => &NULL,
                _ => return Err(Unmapped::of(Reason::PathMissing)),
            };
        }
        Ok(value)
    }
}

/// The text of a column that a row is known by. Null, and what is no single value, tells no row from another.
fn key_part(value: &Value) -> Option<String> {
    match value {
        Value::Boolean(value) => Some(value.to_string()),
        other => scalar(other).filter(|text| !text.is_empty()).map(str::to_owned),
    }
}

/// The key of a row. One column is as it is; of several, commas and backslashes within one have a backslash before them, so
/// that no two rows have one key.
fn key_of_parts(parts: &[String]) -> Option<String> {
    match parts {
        [] => None,
        [one] => Some(one.clone()),
        several => {
            let escaped = several.iter().map(|part| part.replace('\\', "\\\\").replace(',', "\\,"));
            Some(escaped.collect::<Vec<_>>().join(","))
        }
    }
}

/// Whether there is something so many names down.
fn has(element: &Value, names: &[Segment]) -> bool {
    let mut value = element;
    for name in names {
        value = match (name, value) {
            (Segment::Name(name), Value::Object(members)) => match members.get(name) {
                None => return false,
                Some(child) => child,
            },
            (Segment::Index(place), Value::Array(elements)) => match elements.get(*place) {
                None => return false,
                Some(child) => child,
            },
            // What is no object is told when its columns are read.
            _ => return !matches!(value, Value::Null),
        };
    }
    !matches!(value, Value::Null)
}

fn shaped(value: &Value, shape: Shape) -> Json<'static> {
    match (shape, value) {
        (Shape::Joined, Value::Array(elements)) if elements.is_empty() => Value::Null.to_json(),
        (Shape::Joined, Value::Array(elements)) => {
            let text = |value: &Value| scalar(value).map_or_else(|| value.to_json().as_str().to_owned(), str::to_owned);
            Json::string(&elements.iter().map(text).collect::<Vec<_>>().join(","))
        }
        _ => value.to_json(),
    }
}

/// What DIGIT's objects say about their last change.
struct Details<'m>(Option<&'m Value>);

impl<'m> Details<'m> {
    fn of(object: &'m Value) -> Self {
        let Value::Object(members) = object else { return Self(None) };
        Self(members.get("auditDetails"))
    }

    /// The first of these members that says something.
    fn first<T>(&self, names: [&str; 2], says: impl Fn(&'m str) -> Option<T>) -> Option<T> {
        let Some(Value::Object(members)) = self.0 else { return None };
        names.into_iter().find_map(|name| members.get(name).and_then(scalar).and_then(&says))
    }

    fn user(&self) -> Option<String> {
        self.first(["lastModifiedBy", "createdBy"], |text| Some(text.to_owned()).filter(|text| !text.is_empty()))
    }

    fn time(&self) -> Option<Time> {
        // There, zero is what was never set.
        let time = |text: &str| text.parse().ok().filter(|millis| *millis > 0);
        self.first(["lastModifiedTime", "createdTime"], |text| Time::from_millis(time(text)?).ok())
    }
}
