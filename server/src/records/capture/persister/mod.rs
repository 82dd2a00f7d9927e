//! A persister's configuration: which rows of which tables a message on a topic becomes, as far as it is to be audited.
//!
//! It is read whole and checked before anything is used of it. What is wrong with its form, its paths or what an audited
//! mapping must say refuses all of it, with the file, the mapping and the field; a query that is not understood does not,
//! since it is another's to change: that is told, and messages that need it are quarantined. Of a mapping that is not
//! audited only the form is looked at.

mod check;
mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path as FilePath, PathBuf};

use self::check::Check;
use self::files::{files, read};
use super::bounds::{MAPPINGS, NAME_BYTES, PROBLEMS};
use super::columns::{Column, Nameless, colliding, named};
use super::path::Path;
use super::statement::Verb;
use super::version::{Version, VersionRange};
use super::yaml;

/// What is decided beside the files.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where a message says who did it.
    pub user: Path,
    /// The version of a message that names none.
    pub version: Version,
    /// Tables whose rows are known by other columns than `id` or `uuid`.
    pub row_keys: BTreeMap<String, Vec<String>>,
}

/// A configuration, checked.
#[derive(Debug, Clone)]
pub struct Persister {
    pub(super) options: Options,
    pub(super) topics: BTreeMap<String, Vec<Mapping>>,
    warnings: Vec<Problem>,
}

/// What a message on a topic becomes.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    /// Its number in its file, from 1.
    pub(super) number: usize,
    pub(super) versions: Option<VersionRange>,
    /// `None` if it is not audited.
    pub(super) audited: Option<Audited>,
}

#[derive(Debug, Clone)]
pub(super) struct Audited {
    pub(super) module: String,
    /// Where what the next three are in stands.
    pub(super) base: Path,
    pub(super) object: Path,
    pub(super) tenant: Path,
    pub(super) transaction: Option<Path>,
    pub(super) queries: Vec<Query>,
}

#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) base: Path,
    /// `None` if it is not understood.
    pub(super) write: Option<Write>,
}

/// What a query that is understood does.
#[derive(Debug, Clone)]
pub(super) struct Write {
    pub(super) verb: Verb,
    pub(super) table: String,
    values: Vec<Nameless>,
    /// The values with their names, once those of the other statements about the table are known.
    pub(super) columns: Vec<Column>,
    /// The columns that a row of an object is known by.
    pub(super) key: Vec<usize>,
}

/// Something that is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The mapping's number from 1, and its topic.
    pub mapping: Option<(usize, String)>,
    /// The field.
    pub field: String,
    /// What is wrong.
    pub why: String,
}

/// Why a configuration is not used: all that is wrong with it, up to a bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", told(.0))]
pub struct PersisterError(pub Vec<Problem>);

fn told(problems: &[Problem]) -> String {
    let mut told: Vec<String> = problems.iter().take(PROBLEMS).map(ToString::to_string).collect();
    if problems.len() > PROBLEMS {
        told.push(format!("and {} more", problems.len() - PROBLEMS));
    }
    told.join("; ")
}

impl core::fmt::Display for Problem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if let Some((number, topic)) = &self.mapping {
            write!(f, "mapping {number} (topic {topic:?}), ")?;
        }
        match self.field.as_str() {
            "" => f.write_str(&self.why),
            field => write!(f, "{field}: {}", self.why),
        }
    }
}

impl Persister {
    /// Reads files, and all files of folders that end with `.yml` or `.yaml`.
    ///
    /// # Errors
    /// [`PersisterError`].
    pub fn load(places: &[PathBuf], options: Options) -> Result<Self, PersisterError> {
        let mut texts = Vec::new();
        for file in files(places)? {
            let text = read(&file).map_err(|why| PersisterError(vec![whole(&file, why)]))?;
            texts.push((file, text));
        }
        Self::parse(texts.iter().map(|(file, text)| (file.as_path(), text.as_str())), options)
    }

    /// The files that are read of these places.
    ///
    /// # Errors
    /// [`PersisterError`] if one can't be found.
    pub fn files(places: &[PathBuf]) -> Result<Vec<PathBuf>, PersisterError> {
        files(places)
    }

    /// Checks the texts of files.
    ///
    /// # Errors
    /// [`PersisterError`].
    pub fn parse<'t>(
        texts: impl IntoIterator<Item = (&'t FilePath, &'t str)>,
        options: Options,
    ) -> Result<Self, PersisterError> {
        let mut persister = Self { options, topics: BTreeMap::new(), warnings: Vec::new() };
        let (mut problems, mut count) = (Vec::new(), 0);
        for (file, text) in texts {
            match yaml::parse(text) {
                Err(why) => problems.push(whole(file, why)),
                Ok(content) => {
                    let mappings = content.service_maps.mappings.unwrap_or_default();
                    count += mappings.len();
                    for (index, mapping) in mappings.into_iter().enumerate().take(MAPPINGS) {
                        persister.add((file, index + 1), &mapping, &mut problems);
                    }
                }
            }
            if count > MAPPINGS {
                problems.push(whole(file, format!("there are more than {MAPPINGS} mappings up to here")));
                break;
            }
        }
        persister.name_columns();
        if problems.is_empty() { Ok(persister) } else { Err(PersisterError(problems)) }
    }

    /// What is suspicious about it, and no reason not to use it.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Each topic, with how many of its mappings are audited and how many are not.
    pub fn topics(&self) -> impl Iterator<Item = (&str, usize, usize)> {
        self.topics.iter().map(|(topic, mappings)| {
            let audited = mappings.iter().filter(|mapping| mapping.audited.is_some()).count();
            (topic.as_str(), audited, mappings.len() - audited)
        })
    }

    /// A column has one name in all statements about its table, so that replay finds it again.
    fn name_columns(&mut self) {
        let audited = self.topics.values_mut().flatten().filter_map(|mapping| mapping.audited.as_mut());
        let mut writes: Vec<&mut Write> =
            audited.flat_map(|audited| &mut audited.queries).filter_map(|query| query.write.as_mut()).collect();
        let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for write in &writes {
            names.entry(write.table.clone()).or_default().extend(colliding(&write.values));
        }
        for write in &mut writes {
            write.columns = names.get(&write.table).map(|names| named(&write.values, names)).unwrap_or_default();
        }
    }

    fn add(&mut self, (file, number): (&FilePath, usize), mapping: &yaml::Mapping, problems: &mut Vec<Problem>) {
        let topic = mapping.from_topic.clone().unwrap_or_default();
        let mut check = Check { file, mapping: (number, topic.clone()), problems, warnings: &mut self.warnings };
        if topic.is_empty() || topic.len() > NAME_BYTES {
            check.wrong("fromTopic", format!("must be there, and at most {NAME_BYTES} bytes long"));
        }
        let versions = mapping.version.as_deref().map(VersionRange::parse).transpose();
        let versions = versions.map_err(|error| check.wrong("version", error.to_string())).ok().flatten();
        let audited = mapping.is_audit_enabled == Some(true);
        let audited = if audited { check.audited(mapping, &self.options) } else { None };
        self.topics.entry(topic).or_default().push(Mapping { number, versions, audited });
    }
}

fn whole(file: &FilePath, why: impl Into<String>) -> Problem {
    Problem { file: file.to_owned(), mapping: None, field: String::new(), why: why.into() }
}
