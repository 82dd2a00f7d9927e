//! The differences between two states, by JSON Pointer.

use std::collections::BTreeSet;

use super::node::Node;

/// A place where two states differ, or may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The JSON Pointer to it.
    pub pointer: String,
    /// What is there in the first.
    pub old: Option<Node>,
    /// What is there in the second.
    pub new: Option<Node>,
    /// Whether they do differ; otherwise one of them is unknown.
    pub certain: bool,
}

/// The differences between two states; `None` is no object at all.
#[must_use]
pub fn diff(old: Option<&Node>, new: Option<&Node>) -> Vec<Difference> {
    let mut differences = Vec::new();
    compare(&mut String::new(), old, new, &mut differences);
    differences
}

fn compare(pointer: &mut String, old: Option<&Node>, new: Option<&Node>, found: &mut Vec<Difference>) {
    let same = match (old, new) {
        (Some(Node::Object(one)), Some(Node::Object(two))) => {
            let names: BTreeSet<&str> = one.keys().chain(two.keys()).map(|name| &**name).collect();
            for name in names {
                within(pointer, name, |pointer| compare(pointer, one.get(name), two.get(name), found));
            }
            return;
        }
        (Some(Node::Array(one)), Some(Node::Array(two))) => {
            for index in 0..one.len().max(two.len()) {
                let token = index.to_string();
                within(pointer, &token, |pointer| compare(pointer, one.get(index), two.get(index), found));
            }
            return;
        }
        _ => Node::same_or_none(old, new),
    };
    if same != Some(true) {
        let (old, new) = (old.cloned(), new.cloned());
        found.push(Difference { pointer: pointer.clone(), old, new, certain: same.is_some() });
    }
}

fn within(pointer: &mut String, token: &str, run: impl FnOnce(&mut String)) {
    let length = pointer.len();
    crate::record::json::push_token(pointer, token);
    run(pointer);
    pointer.truncate(length);
}
