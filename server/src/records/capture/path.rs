//! The JSON paths of persister configurations, as far as those use the language: names, `*`, indexes, and the filter that
//! finds a row's parent, `[?({id} in @.children[*].id)]`.
//!
//! `$.` may be left out, `[*]` is `.*`, `['a']` is `.a`. What is missing is told as the library tells it that DIGIT uses:
//! an error where the path up to there means one place, and nothing where it means many. Deliberately absent: scans in
//! depth, slices, unions and other filters; a configuration with one is refused.

use cairn_tree::record::json::Value;

use super::bounds::{PATH_BYTES, PATH_SEGMENTS};

/// A path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    segments: Vec<Segment>,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// The member of this name.
    Name(Box<str>),
    /// The element at this place.
    Index(usize),
    /// Every element, or every member's value.
    All,
    /// What has the row's attribute among these values below it.
    Parent {
        /// The row's attribute.
        attribute: Box<str>,
        /// Where such values stand, from what is looked at.
        among: Vec<Segment>,
    },
}

/// A text that is no path, or one that is not understood here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a path that is understood here: {why}")]
pub struct PathError {
    text: String,
    why: &'static str,
}

/// Why a path leads nowhere in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// Something that must be there is not.
    Missing,
    /// The message is so large, and so much of it is looked through, that it is given up.
    Work,
}

/// How much may still be looked through.
#[derive(Debug)]
pub(super) struct Work(u64);

impl Work {
    /// So many values.
    #[must_use]
    pub(super) const fn of(values: u64) -> Self {
        Self(values)
    }

    pub(super) fn step(&mut self) -> Result<(), Lost> {
        self.0 = self.0.checked_sub(1).ok_or(Lost::Work)?;
        Ok(())
    }
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let error = |why| PathError { text: text.chars().take(PATH_BYTES).collect(), why };
        if text.len() > PATH_BYTES {
            return Err(error("it is too long"));
        }
        let mut rest = match text.strip_prefix('$') {
            Some(rest) => rest,
            None => text,
        };
        let mut segments = Vec::new();
        let rooted = text.starts_with('$');
        while !rest.is_empty() {
            let first = segments.is_empty() && !rooted;
            let (segment, after) = segment(rest, first, true).map_err(error)?;
            segments.push(segment);
            rest = after;
        }
        if segments.is_empty() && !rooted {
            return Err(error("it is empty"));
        }
        if segments.len() > PATH_SEGMENTS {
            return Err(error("it has too many steps"));
        }
        Ok(Self { segments })
    }

    /// Its steps.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The last name in it.
    #[must_use]
    pub fn last_name(&self) -> Option<&str> {
        self.segments.iter().rev().find_map(|segment| match segment {
            Segment::Name(name) => Some(&**name),
            _ => None,
        })
    }

    /// The steps up to the last `*`, it included, and those after it; without one, nothing and all.
    #[must_use]
    pub fn at_last_all(&self) -> (&[Segment], &[Segment]) {
        let split = self.segments.iter().rposition(|segment| *segment == Segment::All).map_or(0, |place| place + 1);
        self.segments.split_at_checked(split).unwrap_or((&[], &self.segments))
    }

    /// Whether it finds the parent of a row.
    #[must_use]
    pub fn finds_parent(&self) -> bool {
        self.segments.iter().any(|segment| matches!(segment, Segment::Parent { .. }))
    }
}

/// Reads one step and gives what is behind it.
fn segment(text: &str, first: bool, filters: bool) -> Result<(Segment, &str), &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        return bracket(rest, filters);
    }
    let rest = match text.strip_prefix('.') {
        Some(rest) => rest,
        None if first => text,
        None => return Err("a step must begin with . or ["),
    };
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let (name, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    match name {
        "" => Err("a step has no name; scans in depth are not understood"),
        "*" => Ok((Segment::All, after)),
        _ if name.contains(|byte: char| byte.is_whitespace() || "]()'\"{}?@$,*".contains(byte)) => {
            Err("a name has characters that must stand in brackets and quotes")
        }
        _ => Ok((Segment::Name(name.into()), after)),
    }
}

/// Reads what stands behind an opening bracket.
fn bracket(text: &str, filters: bool) -> Result<(Segment, &str), &'static str> {
    if let Some(rest) = text.strip_prefix('?') {
        return if filters { parent(rest) } else { Err("a filter within a filter is not understood") };
    }
    for quote in ['\'', '"'] {
        if let Some(rest) = text.strip_prefix(quote) {
            let (name, after) = rest.split_once(quote).ok_or("a quoted name does not end")?;
            let after = after.strip_prefix(']').ok_or("a bracket does not end")?;
            return match name {
                "" => Err("a name is empty"),
                _ if name.contains('\\') => Err("a name with a backslash is not understood"),
                _ => Ok((Segment::Name(name.into()), after)),
            };
        }
    }
    let (inner, after) = text.split_once(']').ok_or("a bracket does not end")?;
    match inner.trim() {
        "*" => Ok((Segment::All, after)),
        number => {
            let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            let index = plain.then(|| number.parse().ok()).flatten();
            index.map(|index| (Segment::Index(index), after)).ok_or("brackets hold *, a place or a quoted name")
        }
    }
}

/// Reads `({attribute} in @.a[*].b)]`.
fn parent(text: &str) -> Result<(Segment, &str), &'static str> {
    const WHY: &str = "the only filter that is understood is [?({attribute} in @.path)]";
    let inner = text.strip_prefix('(').ok_or(WHY)?.trim_start().strip_prefix('{').ok_or(WHY)?;
    let (attribute, inner) = inner.split_once('}').ok_or(WHY)?;
    let inner = inner.strip_prefix(char::is_whitespace).ok_or(WHY)?.trim_start();
    let inner = inner.strip_prefix("in").and_then(|inner| inner.strip_prefix(char::is_whitespace)).ok_or(WHY)?;
    let mut inner = inner.trim_start().strip_prefix('@').ok_or(WHY)?;
    let mut among = Vec::new();
    while !inner.starts_with(')') && !inner.trim_start().starts_with(')') {
        // What ends the filter must not become part of a name.
        let end = inner.find(')').ok_or(WHY)?;
        let (within, _) = inner.split_at_checked(end).ok_or(WHY)?;
        let (segment, after) = segment(within.trim_end(), false, false)?;
        let used = within.trim_end().len() - after.len();
        among.push(segment);
        inner = inner.get(used..).ok_or(WHY)?;
    }
    let after = inner.trim_start().strip_prefix(')').ok_or(WHY)?.trim_start().strip_prefix(']').ok_or(WHY)?;
    let attribute = attribute.trim();
    if attribute.is_empty() || among.is_empty() || among.len() > PATH_SEGMENTS {
        return Err(WHY);
    }
    Ok((Segment::Parent { attribute: attribute.into(), among }, after))
}

/// Everything that a path leads to, given the row that it is asked for.
///
/// # Errors
/// [`Lost::Missing`] where a member is not there and the path up to it means one place.
pub(super) fn select<'v>(
    value: &'v Value,
    segments: &[Segment],
    row: Option<&'v Value>,
    work: &mut Work,
) -> Result<Vec<&'v Value>, Lost> {
    let mut found = Vec::new();
    walk(value, (segments, row, true), &mut found, work)?;
    Ok(found)
}

/// The one thing that a path without `*` leads to.
///
/// # Errors
/// [`Lost`].
pub(super) fn single<'v>(value: &'v Value, segments: &[Segment], work: &mut Work) -> Result<&'v Value, Lost> {
    let mut found = select(value, segments, None, work)?;
    found.pop().ok_or(Lost::Missing)
}

/// What a name or a place leads to.
fn child<'v>(value: &'v Value, segment: &Segment) -> Option<&'v Value> {
    match (segment, value) {
        (Segment::Name(name), Value::Object(members)) => members.get(name),
        (Segment::Index(index), Value::Array(elements)) => elements.get(*index),
        _ => None,
    }
}

/// The values of the members, or the elements.
pub(super) fn all(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(elements) => Box::new(elements.iter()),
        Value::Object(members) => Box::new(members.values()),
        _ => Box::new(std::iter::empty()),
    }
}

// As deep as a path has steps, which is bounded.
fn walk<'v>(
    value: &'v Value,
    (segments, row, definite): (&[Segment], Option<&'v Value>, bool),
    found: &mut Vec<&'v Value>,
    work: &mut Work,
) -> Result<(), Lost> {
    work.step()?;
    let Some((segment, rest)) = segments.split_first() else {
        found.push(value);
        return Ok(());
    };
    match segment {
        Segment::Name(_) | Segment::Index(_) => match child(value, segment) {
            Some(child) => walk(child, (rest, row, definite), found, work),
            None if definite => Err(Lost::Missing),
            None => Ok(()),
        },
        Segment::All => all(value).try_for_each(|child| walk(child, (rest, row, false), found, work)),
        Segment::Parent { attribute, among } => {
            let wanted = row.and_then(|row| child(row, &Segment::Name(attribute.clone()))).ok_or(Lost::Missing)?;
            let candidates: Box<dyn Iterator<Item = &Value>> = match value {
                Value::Array(elements) => Box::new(elements.iter()),
                other => Box::new(std::iter::once(other)),
            };
            for candidate in candidates {
                let mut values = Vec::new();
                walk(candidate, (among, None, false), &mut values, work)?;
                if values.into_iter().any(|value| is_same(value, wanted)) {
                    walk(candidate, (rest, row, false), found, work)?;
                }
            }
            Ok(())
        }
    }
}

/// Whether two values are written alike: ids are texts here and numbers there.
fn is_same(one: &Value, other: &Value) -> bool {
    match (scalar(one), scalar(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

/// The text of a string or of a number.
#[must_use]
pub(super) fn scalar(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) | Value::Number(text) => Some(text),
        _ => None,
    }
}

/// The path as it would be written again, `$` included.
impl core::fmt::Display for Path {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("$")?;
        write_segments(&self.segments, f)
    }
}

fn write_segments(segments: &[Segment], f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    let plain = |name: &str| !name.contains(|byte: char| byte.is_whitespace() || ".[]()'\"{}?@$,*".contains(byte));
    segments.iter().try_for_each(|segment| match segment {
        Segment::Name(name) if plain(name) => write!(f, ".{name}"),
        Segment::Name(name) if name.contains('\'') => write!(f, "[\"{name}\"]"),
        Segment::Name(name) => write!(f, "['{name}']"),
        Segment::Index(index) => write!(f, "[{index}]"),
        Segment::All => f.write_str(".*"),
        Segment::Parent { attribute, among } => {
            write!(f, "[?({{{attribute}}} in @")?;
            write_segments(among, f)?;
            f.write_str(")]")
        }
    })
}

#[cfg(test)]
mod tests {
    use cairn_tree::record::json::Json;

    use super::*;

    fn message() -> Value {
        let text = r#"{"Licenses":[
            {"id":"L-1","detail":{"id":"d-1","units":[{"id":"u-1"},{"id":7}],"gone":null}},
            {"id":"L-2","detail":{"id":"d-2","units":[{"id":"u-3"}]}}],"at":{"x":1}}"#;
        Json::parse(text.as_bytes()).unwrap().value()
    }

    fn found(path: &str, row: Option<&str>) -> Result<Vec<String>, Lost> {
        let (message, path) = (message(), Path::parse(path).unwrap());
        let row = row.map(|row| Json::parse(row.as_bytes()).unwrap().value());
        let found = select(&message, path.segments(), row.as_ref(), &mut Work::of(1_000))?;
        Ok(found.into_iter().map(|value| value.to_json().as_str().to_owned()).collect())
    }

    #[test]
    fn paths_lead_where_they_say() {
        for (path, values) in [
            ("$.at.x", vec!["1"]),
            ("at.x", vec!["1"]),
            ("$['at'][\"x\"]", vec!["1"]),
            ("$.Licenses.*.id", vec!["\"L-1\"", "\"L-2\""]),
            ("$.Licenses[*].detail.units[*].id", vec!["\"u-1\"", "7", "\"u-3\""]),
            ("$.Licenses[1].id", vec!["\"L-2\""]),
            ("$.Licenses.*.detail.gone", vec!["null"]),
            ("$.Licenses.*.detail.gone.*", vec![]),
            ("$.Licenses.*.nowhere", vec![]),
        ] {
            assert_eq!(found(path, None).unwrap(), values, "{path}");
        }
        for path in ["$.nowhere", "$.at.x.y", "$.Licenses[2]", "$.nowhere.*", "$.at[0]"] {
            assert_eq!(found(path, None), Err(Lost::Missing), "{path}");
        }
    }

    #[test]
    fn a_row_finds_its_parent() {
        let path = "$.Licenses[*][?({id} in @.detail.units[*].id)].detail.id";
        assert_eq!(found(path, Some(r#"{"id":"u-3"}"#)).unwrap(), ["\"d-2\""]);
        assert_eq!(found(path, Some(r#"{"id":"7"}"#)).unwrap(), ["\"d-1\""], "a text that is a number there");
        assert_eq!(
            found("$.Licenses[?( {id} in @.detail.units.*.id )].id", Some(r#"{"id":"u-1"}"#)).unwrap(),
            ["\"L-1\""]
        );
        assert_eq!(found(path, Some(r#"{"id":"other"}"#)).unwrap(), Vec::<String>::new());
        assert_eq!(found(path, Some("{}")), Err(Lost::Missing));
    }

    #[test]
    fn what_is_not_understood_is_refused_and_what_is_reads_again() {
        let bad = [
            "",
            ".",
            "$.",
            "$..a",
            "$.a..b",
            "$.a[",
            "$.a[]",
            "$.a[-1]",
            "$.a[0:2]",
            "$.a['b'",
            "$.a['']",
            "$.a[?(@.x==1)]",
            "$.a[?({id} in @)]",
            "$.a[?({} in @.b)]",
            "$.a[?({id}in @.b)]",
            "$.a[?({id} in @.b)",
            "$a",
            "$.a b",
            "$.a'",
            "$.a[?({id} in @.b[?({id} in @.c)])]",
            "a$",
            "$.a*",
        ];
        for text in bad {
            assert!(Path::parse(text).is_err(), "{text:?}");
        }
        assert!(Path::parse(&format!("$.{}", "a".repeat(PATH_BYTES))).is_err());
        assert!(Path::parse(&format!("${}", ".a".repeat(PATH_SEGMENTS + 1))).is_err());
        for (text, written) in [
            ("$", "$"),
            ("a.b[*]", "$.a.b.*"),
            ("$['a b'][\"it's\"][3]", "$['a b'][\"it's\"][3]"),
            ("$.x[?( {id} in @.y[*].id)].z", "$.x[?({id} in @.y.*.id)].z"),
        ] {
            let path = Path::parse(text).unwrap();
            assert_eq!(path.to_string(), written);
            assert_eq!(Path::parse(written).unwrap(), path);
        }
    }

    #[test]
    fn looking_through_ends() {
        let (message, path) = (message(), Path::parse("$.Licenses.*.detail.units.*.id").unwrap());
        assert_eq!(select(&message, path.segments(), None, &mut Work::of(5)), Err(Lost::Work));
    }
}
