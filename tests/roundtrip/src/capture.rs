//! What a persister's configuration is made of, and what messages become by it: paths, queries, versions, and the YAML with
//! a message behind a line of dashes.

#![allow(clippy::panic, reason = "a broken expectation is a finding, told by a panic")]

use std::collections::BTreeSet;
use std::path::Path as FilePath;

use cairn_tree::record::text::Name;
use cairn_tree::wire::record::capture::parse_capture;
use cairnd::records::capture::bounds::PATH_BYTES;
use cairnd::records::capture::{Message, Options, Path, Persister, ReadMessage, Statement, Version, VersionRange};

use crate::text;

/// What stands between a configuration and a message.
const BETWEEN: &str = "\n-----\n";

pub(crate) fn capture(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    match text.split_once(BETWEEN) {
        Some((yaml, message)) => mapped(yaml, message),
        None => path(text) | statement(text) | VersionRange::parse(text).is_ok(),
    }
}

fn path(text: &str) -> bool {
    let Ok(path) = Path::parse(text) else { return false };
    let written = path.to_string();
    // What is written out may be longer than what was read.
    if written.len() <= PATH_BYTES {
        assert_eq!(Path::parse(&written).as_ref(), Ok(&path), "{path}");
    }
    let (array, rest) = path.at_last_all();
    assert_eq!(array.len() + rest.len(), path.segments().len());
    true
}

fn statement(text: &str) -> bool {
    let Ok(statement) = Statement::parse(text) else { return false };
    assert!(!statement.table.is_empty());
    assert!(statement.parameters.len() <= text.matches('?').count());
    for parameter in &statement.parameters {
        let Some(column) = &parameter.column else { continue };
        let place = statement.parameter_of(column).and_then(|place| statement.parameters.get(place));
        assert_eq!(place.and_then(|place| place.column.as_ref()), Some(column));
    }
    true
}

fn mapped(yaml: &str, message: &str) -> bool {
    let options = Options {
        user: Path::parse("$.RequestInfo.userInfo.uuid").unwrap_or_else(|error| panic!("{error}")),
        version: Version::parse("1.0.0").unwrap_or_else(|| panic!("a version")),
        row_keys: [("t_keyed".to_owned(), vec!["a".to_owned(), "b".to_owned()])].into(),
    };
    let Ok(persister) = Persister::parse([(FilePath::new("a.yml"), yaml)], options) else { return false };
    let body = format!("{{\"topic\":\"t\",\"value\":{message}}}");
    let Ok(input) = parse_capture(body.as_bytes()) else { return false };
    let value = input.value;
    let mut found = false;
    for (topic, ..) in persister.topics() {
        let map = || persister.map(Message { topic, value: &value }, &|tenant, object| format!("{tenant} {object}"));
        let mapped = map();
        assert_eq!(mapped, map(), "one message is two");
        let Ok(mapped) = mapped else { continue };
        found = true;
        for row in mapped.rows {
            let names: BTreeSet<&String> = row.columns.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), row.columns.len(), "a column overwrites another");
            let (tenant, operation) = (row.tenant.clone(), row.operation.clone());
            if let Ok(record) = row.into_record() {
                assert_eq!(
                    (record.content.object.tenant.as_str(), &record.content.object.operation),
                    (&*tenant, &operation)
                );
            }
        }
        // What is kept of it is read again, as the same.
        if Name::new(topic).is_ok() {
            let kept = ReadMessage::new(topic, value.clone()).text;
            let again = parse_capture(kept.as_bytes()).unwrap_or_else(|fault| panic!("{fault}"));
            assert_eq!(ReadMessage::new(again.topic.as_str(), again.value).text, kept);
        }
    }
    found
}
