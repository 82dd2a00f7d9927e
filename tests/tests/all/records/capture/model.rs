//! Generated configurations and messages, against a plain model: what a tree of elements becomes is told while the tree is
//! made, without any path or query being read.

use std::collections::BTreeMap;
use std::path::Path as FilePath;

use cairn_tests::random::Random;
use cairn_tree::record::json::Json;
use cairnd::records::capture::{Message, Options, Path, Persister, Version};
use serde_json::{Map, Value, json};

/// A list below another, and the table that its elements are rows of.
struct Level {
    table: String,
    verb: usize,
    /// The columns, in the order of the query.
    columns: Vec<Column>,
    /// Whether the row is an object within the element.
    within: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Column {
    Own(usize),
    Id,
    /// The id of the element that the list is in.
    Parent,
    /// Something of the message that is no row's.
    Message,
    Default,
}

const VERBS: [&str; 3] = ["create", "update", "delete"];

impl Level {
    fn draw(random: &mut Random, depth: usize) -> Self {
        let mut columns = vec![Column::Message, Column::Default];
        columns.extend((0..random.below(4)).map(Column::Own));
        if random.below(4) > 0 {
            columns.push(Column::Id);
        }
        // An object within an element has no place in the filter's path.
        let within = random.below(3) == 0;
        if depth > 0 && !within {
            columns.push(Column::Parent);
        }
        for place in (1..columns.len()).rev() {
            columns.swap(place, random.below(place + 1));
        }
        Self { table: format!("t_{depth}"), verb: random.below(3), columns, within }
    }

    fn sql(&self) -> String {
        let name = |column: &Column| match column {
            Column::Own(number) => format!("col_{number}"),
            Column::Id => "id".to_owned(),
            Column::Parent => "parent".to_owned(),
            Column::Message => "of_message".to_owned(),
            Column::Default => "left_out".to_owned(),
        };
        let names: Vec<String> = self.columns.iter().map(name).collect();
        let set = |names: &[String], between: &str| {
            names.iter().map(|name| format!("{name} = ?")).collect::<Vec<_>>().join(between)
        };
        match self.verb {
            0 => format!(
                "INSERT INTO {}({}) VALUES ({})",
                self.table,
                names.join(", "),
                vec!["?"; names.len()].join(",")
            ),
            1 => {
                let (first, rest) = names.split_at(1);
                format!("UPDATE {} SET {} WHERE {}", self.table.to_uppercase(), set(first, ","), set(rest, " AND "))
            }
            _ => format!("DELETE FROM public.{} WHERE {};", self.table, set(&names, " and ")),
        }
    }
}

/// The path of the elements at a depth.
fn base(depth: usize) -> String {
    (0..=depth).map(|level| format!(".list{level}.*")).collect()
}

fn yaml(levels: &[Level]) -> String {
    let mut text = "serviceMaps:\n  mappings:\n    - fromTopic: t\n      isAuditEnabled: true\n      module: M\n      objecIdJsonPath: $.id\n      tenantIdJsonPath: $.tenant\n      auditAttributeBasePath: $.list0.*\n      queryMaps:\n".to_owned();
    for (depth, level) in levels.iter().enumerate() {
        let (base, row) = (base(depth), if level.within { ".row" } else { "" });
        text.push_str(&format!(
            "        - query: {}\n          basePath: ${base}{row}\n          jsonMaps:\n",
            level.sql()
        ));
        for column in &level.columns {
            let path = match column {
                Column::Own(number) => format!("${base}{row}.own{number}"),
                Column::Id => format!("${base}{row}.id"),
                // The filter as those files write it.
                Column::Parent => {
                    let above: String = (0..depth).map(|level| format!(".list{level}[*]")).collect();
                    format!("${above}[?({{id}} in @.list{depth}[*].id)].id")
                }
                Column::Message => "$.about.constant".to_owned(),
                Column::Default => "default".to_owned(),
            };
            text.push_str(&format!("            - jsonPath: {path}\n"));
        }
    }
    text
}

/// The rows that are expected, by depth, in the order of the message.
struct Tree<'r> {
    random: &'r mut Random,
    levels: &'r [Level],
    ids: u64,
    rows: Vec<Vec<Value>>,
}

impl Tree<'_> {
    /// The elements of a list; `parent` is the id of what they are in, `object` that of the outermost.
    fn list(&mut self, depth: usize, parent: Option<&Value>, object: Option<&str>) -> Value {
        if depth > 0 && self.random.below(8) == 0 {
            return Value::Null;
        }
        let count = self.random.below(4);
        Value::Array((0..count).map(|_| self.element(depth, parent, object)).collect())
    }

    fn element(&mut self, depth: usize, parent: Option<&Value>, object: Option<&str>) -> Value {
        let level = &self.levels[depth];
        self.ids += 1;
        let id = if self.random.below(3) == 0 { json!(self.ids) } else { json!(format!("i{}", self.ids)) };
        let id = if depth == 0 { json!(format!("o{}", self.ids)) } else { id };
        let object = object.map_or_else(|| id.as_str().unwrap_or_default().to_owned(), str::to_owned);
        let mut element = Map::from_iter([("id".to_owned(), id.clone()), ("tenant".to_owned(), json!("pb"))]);
        let mut row = if level.within {
            Map::from_iter([("id".to_owned(), json!(format!("r{}", self.ids)))])
        } else {
            element.clone()
        };
        let mut told = BTreeMap::new();
        let own_id = row["id"].clone();
        for column in &level.columns {
            let (name, value) = match column {
                Column::Own(number) => {
                    let value = [json!(1.5), json!("text"), json!(true), json!({"a": [1, null]}), Value::Null]
                        [self.random.below(5)]
                    .clone();
                    // What is missing in a row is null.
                    if self.random.below(4) > 0 {
                        row.insert(format!("own{number}"), value.clone());
                    }
                    (format!("own{number}"), row.get(&format!("own{number}")).cloned().unwrap_or(Value::Null))
                }
                Column::Id => ("id".to_owned(), own_id.clone()),
                Column::Parent => {
                    // Both end with id: then both have the names of their columns.
                    let both = level.columns.contains(&Column::Id);
                    (if both { "parent" } else { "id" }.to_owned(), parent.cloned().unwrap_or_default())
                }
                Column::Message => ("constant".to_owned(), json!("for all")),
                Column::Default => ("left_out".to_owned(), Value::Null),
            };
            told.insert(name, value);
        }
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let key = level.columns.contains(&Column::Id).then(|| text(&own_id));
        if level.within {
            // An object that is not there is no row.
            if self.random.below(5) > 0 {
                element.insert("row".to_owned(), Value::Object(row));
                self.rows[depth].push(json!([level.table, VERBS[level.verb], object, key, told]));
            }
        } else {
            element = row;
            self.rows[depth].push(json!([level.table, VERBS[level.verb], object, key, told]));
        }
        if depth + 1 < self.levels.len() {
            let list = self.list(depth + 1, Some(&id), Some(&object));
            element.insert(format!("list{}", depth + 1), list);
        }
        Value::Object(element)
    }
}

#[test]
fn rows_are_those_of_a_plain_model() {
    let (mut most, mut objects) = (0, 0);
    for seed in 0..400 {
        let random = &mut Random::new(seed);
        let levels: Vec<Level> = (0..1 + random.below(3)).map(|depth| Level::draw(random, depth)).collect();
        let mut tree = Tree { random, levels: &levels, ids: 0, rows: levels.iter().map(|_| Vec::new()).collect() };
        let list = tree.list(0, None, None);
        objects += list.as_array().map_or(0, Vec::len);
        let expected: Vec<Value> = tree.rows.concat();
        let message = json!({"list0": list, "about": {"constant": "for all"}});
        let yaml = yaml(&levels);
        let options = Options {
            user: Path::parse("$.nobody").unwrap(),
            version: Version::parse("1.0.0").unwrap(),
            row_keys: BTreeMap::new(),
        };
        let persister = Persister::parse([(FilePath::new("m.yml"), yaml.as_str())], options).unwrap();
        let text = message.to_string();
        let value = Json::parse(text.as_bytes()).unwrap().value();
        let mapped =
            persister.map(Message { topic: "t", value: &value }, &|tenant, object| format!("{tenant}/{object}"));
        let mapped = mapped.unwrap_or_else(|why| panic!("seed {seed}: {why}\n{yaml}\n{text}"));
        let told: Vec<Value> = mapped
            .rows
            .iter()
            .map(|row| {
                assert_eq!(row.correlation.as_deref(), Some(&*format!("pb/{}", row.object)));
                let columns = row
                    .columns
                    .iter()
                    .map(|(name, json)| (name.clone(), serde_json::from_str::<Value>(json.as_str()).unwrap()));
                json!([row.table, row.operation.as_str(), row.object, row.key, Value::Object(columns.collect())])
            })
            .collect();
        assert_eq!(told, expected, "seed {seed}\n{yaml}\n{text}");
        most = most.max(told.len());
    }
    assert!(most > 20 && objects > 300, "{most} rows at most, {objects} objects");
}
