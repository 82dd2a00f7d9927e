//! What one audited mapping says, checked: its paths, its queries, and by which columns rows are known.

use std::path::Path as FilePath;

use super::super::bounds::{COLUMNS, NAME_BYTES, QUERIES};
use super::super::columns::{Nameless, Source, distinct};
use super::super::path::{Path, Segment};
use super::super::statement::Statement;
use super::super::yaml;
use super::{Audited, Options, Problem, Query, Write};

/// What is known of a mapping while it is checked.
pub(super) struct Check<'c> {
    pub(super) file: &'c FilePath,
    pub(super) mapping: (usize, String),
    pub(super) problems: &'c mut Vec<Problem>,
    pub(super) warnings: &'c mut Vec<Problem>,
}

impl Check<'_> {
    fn problem(&self, field: impl Into<String>, why: impl Into<String>) -> Problem {
        let mapping = Some(self.mapping.clone());
        Problem { file: self.file.to_owned(), mapping, field: field.into(), why: why.into() }
    }

    pub(super) fn wrong(&mut self, field: impl Into<String>, why: impl Into<String>) {
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

    pub(super) fn audited(&mut self, mapping: &yaml::Mapping, options: &Options) -> Option<Audited> {
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
