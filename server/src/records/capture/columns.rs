//! The columns of a query: where each value stands in a message, and what it is called in a record.
//!
//! A value is called as that service calls it, by the last name of its path; values of different paths with one last name
//! are called by their columns instead, and by their whole paths where the columns can't be told or have that name too. So
//! none overwrites another, and where nothing collided everything has the name that it had.

use std::collections::{BTreeMap, BTreeSet};

use super::path::{Path, PathError, Segment};
use super::statement::Statement;

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What it is called.
    pub name: String,
    /// Where it stands.
    pub source: Source,
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nowhere: the column is left to the database.
    Null,
    /// It is the time of the change, as far as the message tells it.
    Time,
    /// In the row, these names down.
    Row(Vec<Segment>, Shape),
    /// In the whole message.
    Message(Path, Shape),
    /// In the row's parent, which is looked for.
    Parent(Path),
}

/// What becomes of the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// It stays what it is.
    Value,
    /// The elements of an array become one text, with commas between.
    Joined,
}

impl Source {
    /// The source that a path and its type are.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn of(path: &str, kind: Option<&str>) -> Result<Self, PathError> {
        let (path, kind) = (path.trim(), kind.map_or("STRING", str::trim));
        // In the order of that service.
        if kind == "CURRENTDATE" && !path.contains('{') {
            return Ok(Self::Time);
        }
        if path.starts_with("default") {
            return Ok(Self::Null);
        }
        let shape = if kind == "ARRAY" { Shape::Joined } else { Shape::Value };
        let path = Path::parse(path)?;
        if path.finds_parent() {
            return Ok(Self::Parent(path));
        }
        Ok(match path.at_last_all() {
            ([], _) | (_, []) => Self::Message(path, shape),
            (_, rest) => Self::Row(rest.to_vec(), shape),
        })
    }
}

/// A value before it has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nameless {
    /// The path as it is written.
    pub(super) path: String,
    /// Where it stands.
    pub(super) source: Source,
    /// The column that it is for, if that can be told.
    column: Option<String>,
}

impl Nameless {
    /// A value at a path.
    pub(super) fn new(path: &str, source: Source) -> Self {
        Self { path: path.trim().to_owned(), source, column: None }
    }

    fn is_nowhere(&self) -> bool {
        matches!(self.source, Source::Null | Source::Time)
    }

    /// What that service calls it; what is nowhere in the message has its column's name.
    fn last_name(&self) -> String {
        let column = self.column.as_deref().filter(|_| self.is_nowhere());
        let last = || Path::parse(&self.path).ok().and_then(|path| path.last_name().map(str::to_owned));
        column.map(str::to_owned).or_else(|| last().filter(|_| !self.is_nowhere())).unwrap_or_else(|| self.path.clone())
    }
}

/// The values of a statement, each once, and which of them each `?` has: a path that is there twice is one value, such as
/// that of an upsert. What is nowhere in the message is only told apart by its column.
pub(super) fn distinct(values: Vec<Nameless>, statement: &Statement) -> (Vec<Nameless>, Vec<usize>) {
    let mut distinct: Vec<Nameless> = Vec::new();
    let mut places = Vec::new();
    for (number, value) in values.into_iter().enumerate() {
        let column = statement.parameters.get(number).and_then(|parameter| parameter.column.clone());
        let value = Nameless { column, ..value };
        let same = |there: &Nameless| {
            there.path == value.path
                && there.source == value.source
                && (there.column == value.column || !value.is_nowhere())
        };
        let place = distinct.iter().position(same).unwrap_or_else(|| {
            distinct.push(value);
            distinct.len() - 1
        });
        places.push(place);
    }
    (distinct, places)
}

/// The last names that several of a statement's values have.
pub(super) fn colliding(distinct: &[Nameless]) -> BTreeSet<String> {
    twice(distinct.iter().map(Nameless::last_name))
}

/// Names values; `colliding` are the last names that collide in any statement about the table, so that a column is called
/// the same in all of them.
pub(super) fn named(distinct: &[Nameless], colliding: &BTreeSet<String>) -> Vec<Column> {
    let first = |value: &Nameless| match value.last_name() {
        name if colliding.contains(&name) => value.column.clone().unwrap_or_else(|| value.path.clone()),
        name => name,
    };
    let mut names: Vec<String> = distinct.iter().map(first).collect();
    // A column may be called as another value's path ends; then both have their whole paths.
    let still = twice(names.iter().cloned());
    for (name, value) in names.iter_mut().zip(distinct) {
        if still.contains(name) {
            name.clone_from(&value.path);
        }
    }
    // Paths differ, unless one is read in two ways, or a column is called as a path.
    let mut taken = BTreeSet::new();
    for (number, name) in names.iter_mut().enumerate() {
        while !taken.insert(name.clone()) {
            *name = format!("{name}#{number}");
        }
    }
    distinct.iter().zip(names).map(|(value, name)| Column { name, source: value.source.clone() }).collect()
}

fn twice(names: impl Iterator<Item = String>) -> BTreeSet<String> {
    let mut counts = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_insert(0_usize) += 1);
    counts.into_iter().filter(|(_, count)| *count > 1).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(query: &str, paths: &[&str]) -> (Vec<String>, Vec<usize>) {
        let statement = Statement::parse(query).unwrap();
        let value = |path: &&str| Nameless::new(path, Source::of(path, None).unwrap());
        let (values, places) = distinct(paths.iter().map(value).collect(), &statement);
        let columns = named(&values, &colliding(&values));
        (columns.into_iter().map(|column| column.name).collect(), places)
    }

    #[test]
    fn what_does_not_collide_is_called_by_the_last_name_of_its_path() {
        let (names, places) = told("INSERT INTO t(id, n) VALUES (?,?)", &["$.s.id", "$.s.a.fullName"]);
        assert_eq!((names, places), (vec!["id".into(), "fullName".into()], vec![0, 1]));
    }

    #[test]
    fn nothing_overwrites_anything() {
        let (names, _) = told("INSERT INTO t(id, parentid, x) VALUES (?,?,?)", &["$.s.a.id", "$.s.id", "$.s.x"]);
        assert_eq!(names, ["id", "parentid", "x"]);
        let (names, _) = told("INSERT INTO t(a, x, k) VALUES (?,?,?)", &["$.s.id", "$.t.id", "$.s.x"]);
        assert_eq!(names, ["a", "$.t.id", "$.s.x"], "a column is called as another value's path ends");
        let (names, _) = told("UPDATE t SET a=? WHERE ? = b AND ? = c", &["$.s.id", "$.t.id", "$.u.id"]);
        assert_eq!(names, ["a", "$.t.id", "$.u.id"]);
        let (names, _) = told("INSERT INTO t(a,b,c) VALUES (?,?,?)", &["default", "default.x", "default"]);
        assert_eq!(names, ["a", "b", "c"]);
        let (names, _) = told("INSERT INTO t VALUES (?,?)", &["default", "default"]);
        assert_eq!(names.len(), 1, "of what is nowhere and has no column, nothing is lost");
    }

    #[test]
    fn a_path_that_is_there_twice_is_one_value() {
        let query = "INSERT INTO t(id, n) VALUES (?,?) ON CONFLICT (id) DO UPDATE SET n=?";
        assert_eq!(told(query, &["$.s.id", "$.s.n", "$.s.n"]), (vec!["id".into(), "n".into()], vec![0, 1, 1]));
    }

    #[test]
    fn sources_are_told_as_that_service_tells_them() {
        let row = |text: &str| Path::parse(text).unwrap().segments().to_vec();
        for (path, kind, source) in [
            ("$.a.*.b.*.c.d ", None, Source::Row(row("c.d"), Shape::Value)),
            ("$.a.*.c", Some(" ARRAY "), Source::Row(row("c"), Shape::Joined)),
            ("$.a.c", Some("JSON"), Source::Message(Path::parse("a.c").unwrap(), Shape::Value)),
            ("$.a.*", None, Source::Message(Path::parse("a.*").unwrap(), Shape::Value)),
            ("defaultValue", None, Source::Null),
            ("current", Some("CURRENTDATE"), Source::Time),
        ] {
            assert_eq!(Source::of(path, kind).unwrap(), source, "{path}");
        }
        assert!(matches!(Source::of("$.a[*][?({id} in @.b[*].id)].c", None), Ok(Source::Parent(_))));
        assert!(Source::of("$..a", None).is_err());
    }
}
