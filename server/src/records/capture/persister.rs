//! A persister's configuration: which rows of which tables a message on a topic becomes, as far as it is to be audited.
//!
//! It is read whole and checked before anything is used of it. What is wrong with its form, its paths or what an audited
//! mapping must say refuses all of it, with the file, the mapping and the field; a query that is not understood does not,
//! since it is another's to change: that is told, and messages that need it are quarantined. Of a mapping that is not
//! audited only the form is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path as FilePath, PathBuf};

use super::bounds::{COLUMNS, FILE_BYTES, FILES, MAPPINGS, NAME_BYTES, PROBLEMS, QUERIES};
use super::columns::{Column, Nameless, Source, colliding, distinct, named};
use super::path::{Path, Segment};
use super::statement::{Statement, Verb};
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

/// What is known of a mapping while it is checked.
struct Check<'c> {
    file: &'c FilePath,
    mapping: (usize, String),
    problems: &'c mut Vec<Problem>,
    warnings: &'c mut Vec<Problem>,
}

impl Check<'_> {
    fn problem(&self, field: impl Into<String>, why: impl Into<String>) -> Problem {
        let mapping = Some(self.mapping.clone());
        Problem { file: self.file.to_owned(), mapping, field: field.into(), why: why.into() }
    }

    fn wrong(&mut self, field: impl Into<String>, why: impl Into<String>) {
        self.problems.push(self.problem(field, why));
    }

    fn path(&mut self, field: String, text: Option<&str>) -> Option<Path> {
        let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
            self.wrong(field, "must be there, since the mapping is audited");
            return None;
        };
        match Path::parse(text) {
            Ok(path) if path.finds_parent() => {
                self.wrong(field, "must not have a filter");
                None
            }
            Ok(path) => Some(path),
            Err(error) => {
                self.wrong(field, error.to_string());
                None
            }
        }
    }

    /// A path within what the audit attributes are in.
    fn attribute(&mut self, field: &str, text: Option<&str>) -> Option<Path> {
        let path = self.path(field.to_owned(), text)?;
        if path.segments().contains(&Segment::All) {
            self.wrong(field, "must lead to one value, without *");
            return None;
        }
        Some(path)
    }

    fn audited(&mut self, mapping: &yaml::Mapping, options: &Options) -> Option<Audited> {
        let module = mapping.module.as_deref().map(str::trim).filter(|module| !module.is_empty());
        if module.is_none_or(|module| module.len() > NAME_BYTES) {
            self.wrong("module", format!("must be there, and at most {NAME_BYTES} bytes long"));
        }
        let base = self.path("auditAttributeBasePath".into(), mapping.audit_attribute_base_path.as_deref());
        let object = self.attribute("objecIdJsonPath", mapping.objec_id_json_path.as_deref());
        let tenant = self.attribute("tenantIdJsonPath", mapping.tenant_id_json_path.as_deref());
        let code = mapping.transaction_code_json_path.as_deref().filter(|code| !code.trim().is_empty());
        let transaction = code.and_then(|code| self.attribute("transactionCodeJsonPath", Some(code)));
        let maps = mapping.query_maps.as_deref().unwrap_or_default();
        if maps.is_empty() || maps.len() > QUERIES {
            self.wrong("queryMaps", format!("must have between 1 and {QUERIES} queries, since the mapping is audited"));
        }
        let queries = maps.iter().take(QUERIES).enumerate();
        let queries = queries.filter_map(|(index, map)| self.query((index, map), base.as_ref(), options)).collect();
        Some(Audited {
            module: module?.to_owned(),
            base: base?,
            object: object?,
            tenant: tenant?,
            transaction,
            queries,
        })
    }

    fn query(
        &mut self,
        (index, map): (usize, &yaml::QueryMap),
        base: Option<&Path>,
        options: &Options,
    ) -> Option<Query> {
        let field = |name: &str| format!("queryMaps[{index}].{name}");
        let rows = self.path(field("basePath"), map.base_path.as_deref());
        let outer = base.map_or(&[][..], |base| base.at_last_all().0);
        if rows.as_ref().is_some_and(|rows| !rows.segments().starts_with(outer)) {
            self.wrong(field("basePath"), "must begin as auditAttributeBasePath does up to its last *");
        }
        let maps = map.json_maps.as_deref().unwrap_or_default();
        if maps.len() > COLUMNS {
            self.wrong(field("jsonMaps"), format!("more than {COLUMNS}"));
        }
        let mut values = Vec::new();
        for (place, map) in maps.iter().take(COLUMNS).enumerate() {
            let name = format!("queryMaps[{index}].jsonMaps[{place}].jsonPath");
            let Some(path) = map.json_path.as_deref() else {
                self.wrong(name, "must be there");
                continue;
            };
            match Source::of(path, map.kind.as_deref()) {
                Ok(source) => values.push(Nameless::new(path, source)),
                Err(error) => self.wrong(name, error.to_string()),
            }
        }
        let whole = values.len() == maps.len();
        let statement = self.statement(field("query"), map, maps.len());
        let rows = rows.filter(|_| whole)?;
        let write = statement.map(|statement| {
            let write = Write::of(statement, values, options);
            let table = &write.table;
            if write.key.is_empty() && options.row_keys.contains_key(table) {
                let why = format!("it has no value for a column that digit.row_keys names for {table}");
                self.warnings.push(self.problem(field("query"), format!("{why}, so that rows are taken for one")));
            } else if write.key.is_empty() && rows.at_last_all().0.len() > outer.len() {
                let why = format!(
                    "an object may have several rows in {table}, and neither id nor uuid tells them apart: name what does \
                     in digit.row_keys"
                );
                self.warnings.push(self.problem(field("query"), why));
            }
            write
        });
        Some(Query { base: rows, write })
    }

    fn statement(&mut self, field: String, map: &yaml::QueryMap, values: usize) -> Option<Statement> {
        let Some(text) = map.query.as_deref() else {
            self.wrong(field, "must be there");
            return None;
        };
        let why = match Statement::parse(text) {
            Ok(statement) if statement.parameters.len() == values => return Some(statement),
            Ok(statement) => format!("it has {} places for values, and {values} jsonMaps", statement.parameters.len()),
            Err(error) => error.to_string(),
        };
        let why = format!("{why}; messages that need it are quarantined");
        self.warnings.push(self.problem(field, why));
        None
    }
}

impl Write {
    fn of(statement: Statement, values: Vec<Nameless>, options: &Options) -> Self {
        let (values, places) = distinct(values, &statement);
        // What the database makes up is not known here, and tells no row from another.
        let is_told = |place: &usize| {
            values.get(*place).is_some_and(|value| !matches!(value.source, Source::Null | Source::Time))
        };
        let place = |column: &str| {
            let place = statement.parameter_of(column).and_then(|number| places.get(number).copied());
            place.filter(is_told)
        };
        let named_by_operator = options.row_keys.get(&statement.table);
        let key = match named_by_operator {
            Some(names) => names.iter().map(|name| place(&name.to_lowercase())).collect::<Option<Vec<_>>>(),
            None => ["id", "uuid"].into_iter().find_map(place).map(|place| vec![place]),
        };
        let Statement { verb, table, .. } = statement;
        Self { verb, table, values, columns: Vec::new(), key: key.unwrap_or_default() }
    }
}

fn whole(file: &FilePath, why: impl Into<String>) -> Problem {
    Problem { file: file.to_owned(), mapping: None, field: String::new(), why: why.into() }
}

fn files(places: &[PathBuf]) -> Result<Vec<PathBuf>, PersisterError> {
    let mut files = Vec::new();
    for place in places {
        let io = |error: std::io::Error| PersisterError(vec![whole(place, error.to_string())]);
        if !fs::metadata(place).map_err(io)?.is_dir() {
            files.push(place.clone());
            continue;
        }
        let mut within = Vec::new();
        for entry in fs::read_dir(place).map_err(io)?.take(16 * FILES) {
            let path = entry.map_err(io)?.path();
            let yaml = path.extension().is_some_and(|end| end == "yml" || end == "yaml");
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            within.extend(Some(path).filter(|_| yaml && !hidden));
        }
        if within.is_empty() {
            return Err(PersisterError(vec![whole(place, "there is no file that ends with .yml or .yaml")]));
        }
        within.sort();
        files.append(&mut within);
    }
    match files.get(FILES) {
        Some(file) => Err(PersisterError(vec![whole(file, format!("there are more than {FILES} files up to here"))])),
        None => Ok(files),
    }
}

fn read(file: &FilePath) -> Result<String, String> {
    let mut text = String::new();
    let opened = File::open(file).map_err(|error| error.to_string())?;
    opened.take(FILE_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_BYTES { Err(format!("longer than {FILE_BYTES} bytes")) } else { Ok(text) }
}
