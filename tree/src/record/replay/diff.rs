//! The differences between two states, by JSON Pointer: the first of them, since a small record can differ from a large state
//! in so many places that their pointers are far longer than both.

use core::ops::ControlFlow;
use std::collections::BTreeSet;

use super::node::Node;
use crate::record::bounds::{MAX_DIFFERENCES, MAX_DIFFERENCES_BYTES};
use crate::record::json::Pointer;

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

/// The first differences between two states.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// In the order of names and indexes.
    pub first: Vec<Difference>,
    /// Whether there are more.
    pub more: bool,
}

/// JSON Pointers: at most [`MAX_DIFFERENCES`], of at most [`MAX_DIFFERENCES_BYTES`] together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pointers {
    /// The first of them.
    pub first: Vec<String>,
    /// Whether there are more.
    pub more: bool,
    bytes: usize,
}

impl Pointers {
    /// The first of these.
    #[must_use]
    pub fn of(all: &[Pointer<'_>]) -> Self {
        let mut pointers = Self::default();
        // What follows the first that has no room is not looked at.
        let _all = all.iter().all(|pointer| pointers.push(pointer.as_str()));
        pointers
    }

    /// Adds one if there is room, and says whether there was.
    pub(super) fn push(&mut self, pointer: &str) -> bool {
        let bytes = self.bytes.saturating_add(pointer.len());
        if self.first.len() >= MAX_DIFFERENCES || bytes > MAX_DIFFERENCES_BYTES {
            self.more = true;
            return false;
        }
        self.bytes = bytes;
        self.first.push(pointer.to_owned());
        true
    }
}

/// The differences between two states; `None` is no object at all.
#[must_use]
pub fn diff(old: Option<&Node>, new: Option<&Node>) -> Differences {
    let (mut pointers, mut first) = (Pointers::default(), Vec::new());
    let _ended = compare(&mut String::new(), old, new, &mut |pointer, old, new, certain| {
        if !pointers.push(pointer) {
            return ControlFlow::Break(());
        }
        let (old, new) = (old.cloned(), new.cloned());
        first.push(Difference { pointer: pointer.to_owned(), old, new, certain });
        ControlFlow::Continue(())
    });
    Differences { first, more: pointers.more }
}

/// The pointers to what differs for sure.
pub(super) fn certain(old: Option<&Node>, new: Option<&Node>) -> Pointers {
    let mut pointers = Pointers::default();
    let _ended = compare(&mut String::new(), old, new, &mut |pointer, _, _, certain| {
        if !certain || pointers.push(pointer) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    pointers
}

type Found<'f> = &'f mut dyn FnMut(&str, Option<&Node>, Option<&Node>, bool) -> ControlFlow<()>;

fn compare(pointer: &mut String, old: Option<&Node>, new: Option<&Node>, found: Found<'_>) -> ControlFlow<()> {
    match (old, new) {
        (Some(Node::Object(one)), Some(Node::Object(two))) => {
            let names: BTreeSet<&str> = one.keys().chain(two.keys()).map(|name| &**name).collect();
            names.into_iter().try_for_each(|name| {
                within(pointer, name, |pointer| compare(pointer, one.get(name), two.get(name), &mut *found))
            })
        }
        (Some(Node::Array(one)), Some(Node::Array(two))) => (0..one.len().max(two.len())).try_for_each(|index| {
            let token = index.to_string();
            within(pointer, &token, |pointer| compare(pointer, one.get(index), two.get(index), &mut *found))
        }),
        _ => match Node::same_or_none(old, new) {
            Some(true) => ControlFlow::Continue(()),
            same => found(pointer, old, new, same.is_some()),
        },
    }
}

fn within<T>(pointer: &mut String, token: &str, run: impl FnOnce(&mut String) -> T) -> T {
    let length = pointer.len();
    crate::record::json::push_token(pointer, token);
    let result = run(pointer);
    pointer.truncate(length);
    result
}
