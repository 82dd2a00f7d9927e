//! A model of what fields do to a document (`docs/record.md`, Fields): a table of what stands at which tokens.
//!
//! The document is kept flat, as the ways to all of its values; a field is looked at by itself, against the table as it was
//! before and the other fields. Slow, and no recursion over trees.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What stands at a way.
#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Object,
    Array,
    Leaf(Value),
    Withheld,
}

type Way = Vec<String>;

/// A document: what stands where. The empty way is the document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place(BTreeMap<Way, Kind>);

/// A field: its pointer, its new value, whether it is not shown.
type Change = (String, Option<Value>, bool);

impl From<&Value> for Place {
    fn from(value: &Value) -> Self {
        let mut table = BTreeMap::new();
        let mut pending = vec![(Way::new(), value)];
        while let Some((way, value)) = pending.pop() {
            let below = |token: String| way.iter().cloned().chain([token]).collect::<Way>();
            let kind = match value {
                Value::Object(members) => {
                    pending.extend(members.iter().map(|(name, value)| (below(name.clone()), value)));
                    Kind::Object
                }
                Value::Array(elements) => {
                    let elements = elements.iter().enumerate();
                    pending.extend(elements.map(|(index, value)| (below(index.to_string()), value)));
                    Kind::Array
                }
                leaf => Kind::Leaf(leaf.clone()),
            };
            table.insert(way, kind);
        }
        Self(table)
    }
}

impl Place {
    /// The tokens directly below a way, in order.
    fn children(&self, way: &[String]) -> Vec<String> {
        let below = self.0.keys().filter(|other| other.len() == way.len() + 1 && other.starts_with(way));
        let mut tokens: Vec<String> = below.filter_map(|other| other.last().cloned()).collect();
        if self.0.get(way) == Some(&Kind::Array) {
            tokens.sort_by_key(|token| token.parse::<usize>().unwrap());
        }
        tokens
    }

    fn cut(&mut self, way: &[String]) {
        self.0.retain(|other, _| !other.starts_with(way));
    }

    fn put(&mut self, way: &[String], value: &Value) {
        self.cut(way);
        let inner = Self::from(value).0.into_iter();
        self.0.extend(inner.map(|(below, kind)| ([way.to_vec(), below].concat(), kind)));
    }

    fn withhold(&mut self, way: &[String]) {
        self.cut(way);
        self.0.insert(way.to_vec(), Kind::Withheld);
    }

    /// The JSON, members in the order of their names; an array's elements by their order, whatever their numbers.
    pub(crate) fn to_json(&self) -> String {
        self.json(&[])
    }

    fn json(&self, way: &[String]) -> String {
        let below = |token: &String| self.json(&[way.to_vec(), vec![token.clone()]].concat());
        match &self.0[way] {
            Kind::Leaf(value) => value.to_string(),
            Kind::Withheld => r#"{"withheld":true}"#.to_owned(),
            Kind::Array => format!("[{}]", self.children(way).iter().map(below).collect::<Vec<_>>().join(",")),
            Kind::Object => {
                let member = |token: &String| format!("{}:{}", Value::from(token.as_str()), below(token));
                format!("{{{}}}", self.children(way).iter().map(member).collect::<Vec<_>>().join(","))
            }
        }
    }

    /// Numbers the elements of all arrays from 0 without gaps.
    fn renumbered(&self) -> Self {
        let mut table = BTreeMap::new();
        let mut pending = vec![(Way::new(), Way::new())];
        while let Some((old, new)) = pending.pop() {
            let Some(kind) = self.0.get(&old) else { continue };
            for (number, token) in self.children(&old).into_iter().enumerate() {
                let renamed = if *kind == Kind::Array { number.to_string() } else { token.clone() };
                pending.push(([old.clone(), vec![token]].concat(), [new.clone(), vec![renamed]].concat()));
            }
            table.insert(new, kind.clone());
        }
        Self(table)
    }
}

fn index(token: &str) -> Option<usize> {
    token.parse().ok().filter(|index: &usize| index.to_string() == token)
}

/// Where a field leads.
enum Leads {
    /// Here: all of it may be missing from this many tokens on.
    To(Way),
    Nowhere {
        through_unknown: bool,
    },
}

/// Follows a field's tokens through the document as it was; `-` becomes the number of the element that it stands for.
fn follow(before: &Place, way: &[String], removes: bool, makers: &BTreeSet<Way>) -> Leads {
    let mut found = Way::new();
    for (depth, token) in way.iter().enumerate() {
        let is_last = depth + 1 == way.len();
        match before.0.get(&found) {
            None | Some(Kind::Object) => found.push(token.clone()),
            Some(Kind::Withheld) => return Leads::Nowhere { through_unknown: true },
            Some(Kind::Leaf(_)) => return Leads::Nowhere { through_unknown: false },
            Some(Kind::Array) => {
                let length = before.children(&found).len();
                let made = |number: usize| {
                    let element = [found.clone(), vec![number.to_string()]].concat();
                    makers.iter().any(|maker| maker.starts_with(&element))
                };
                let end = (length..).find(|number| !made(*number)).unwrap();
                match index(token) {
                    Some(number) if number < length || number < end && !(is_last && removes) => {
                        found.push(token.clone());
                    }
                    None if token == "-" && is_last && !removes => found.push(end.to_string()),
                    _ => return Leads::Nowhere { through_unknown: false },
                }
            }
        }
    }
    Leads::To(found)
}

/// The document after these fields, and those that led nowhere, each with whether it led through something withheld.
pub(crate) fn patched(before: Option<Place>, changes: &[Change]) -> (Option<Place>, Vec<(String, bool)>) {
    let before = before.unwrap_or(Place(BTreeMap::new()));
    let way_of = |pointer: &str| pointer.split('/').skip(1).map(str::to_owned).collect::<Way>();
    let makes = |change: &&Change| change.1.is_some() || change.2;
    let makers: BTreeSet<Way> = changes.iter().filter(makes).map(|(pointer, ..)| way_of(pointer)).collect();
    let mut after = before.clone();
    let mut misfits = Vec::new();
    let mut ways: Vec<(&Change, Way)> = Vec::new();
    for change in changes {
        let removes = change.1.is_none() && !change.2;
        match follow(&before, &way_of(&change.0), removes, &makers) {
            Leads::To(way) => ways.push((change, way)),
            Leads::Nowhere { through_unknown } => misfits.push((change.0.clone(), through_unknown)),
        }
    }
    // What is put, and what leads to it.
    for ((_, new, unseen), way) in &ways {
        let Some(new) = new.as_ref().filter(|_| !unseen) else { continue };
        for length in 0..way.len() {
            after.0.entry(way[..length].to_vec()).or_insert(Kind::Object);
        }
        after.put(way, new);
    }
    // What is not shown: its place, or the first that is missing, or the array that this would be an element of.
    let shown = after.clone();
    let mut withheld = Vec::new();
    for ((_, _, unseen), way) in ways.iter().filter(|((.., unseen), _)| *unseen) {
        assert!(unseen);
        let length = (0..way.len()).find(|length| !shown.0.contains_key(&way[..*length])).unwrap_or(way.len());
        let is_element = length > 0 && shown.0.get(&way[..length - 1]) == Some(&Kind::Array);
        withheld.push(way[..if is_element { length - 1 } else { length }].to_vec());
    }
    for ((_, new, unseen), way) in &ways {
        if new.is_none() && !unseen {
            after.cut(way);
        }
    }
    // The outermost at last.
    withheld.sort_by_key(|way| core::cmp::Reverse(way.len()));
    for way in withheld {
        // What was removed with all that is in it is not there to be unknown.
        after.withhold(&way);
    }
    misfits.sort();
    let after = after.renumbered();
    ((!after.0.is_empty()).then_some(after), misfits)
}
