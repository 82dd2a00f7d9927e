//! Patching a state with the fields of a record, by JSON Pointer.
//!
//! All fields of a record act at once, on what was there before it: no field is within another, and an index is one into the
//! array as it was before the record, so that no order of theirs could matter (`docs/record.md`, Fields).

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::node::{Node, Unknown, array_index};
use crate::record::json::Pointer;

/// What becomes of the place that a pointer leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// This is put there.
    Put(Node),
    /// What is there goes.
    Remove,
    /// One of the two, which is not shown.
    Unseen(Unknown),
}

/// Why a pointer can't be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// It leads through something that is not shown.
    Unknown,
    /// It leads through a value without members, or to no element that an array has or could get.
    NoPlace,
}

/// Applies changes to what is there, if anything; the pointers that can't be followed change nothing, and are told in the
/// order of their bytes.
pub(super) fn patch(
    state: Option<Node>,
    changes: Vec<(Pointer<'_>, Change)>,
) -> (Option<Node>, Vec<(Pointer<'static>, Misfit)>) {
    let mut misfits = Vec::new();
    let Some(changes) = Changes::of(changes) else { return (state, misfits) };
    let state = changes.apply(state, &mut misfits);
    misfits.sort_by(|(one, _), (other, _)| one.cmp(other));
    (state, misfits)
}

/// The changes of a record, by the tokens of their pointers.
enum Changes {
    Here(Pointer<'static>, Change),
    Below(BTreeMap<Box<str>, Changes>),
}

/// What changes would make of a place where nothing is.
enum Made {
    /// Something.
    Something,
    /// Nothing: there are removals only.
    Nothing,
    /// Nobody knows.
    Unknown(Unknown),
}

type Misfits = Vec<(Pointer<'static>, Misfit)>;

impl Changes {
    fn of(changes: Vec<(Pointer<'_>, Change)>) -> Option<Self> {
        let mut root: Option<Self> = None;
        for (pointer, change) in changes {
            let tokens: Vec<String> = pointer.tokens().map(Cow::into_owned).collect();
            let here = Self::Here(pointer.into_owned(), change);
            match &mut root {
                None => root = Some(here.under(&tokens)),
                Some(root) => root.insert(&tokens, here),
            }
        }
        root
    }

    fn under(self, tokens: &[String]) -> Self {
        let below = |inner, token: &String| Self::Below(BTreeMap::from([(token.as_str().into(), inner)]));
        tokens.iter().rev().fold(self, below)
    }

    /// No pointer is within another, so that every way ends where no other does.
    fn insert(&mut self, tokens: &[String], here: Self) {
        let (Self::Below(below), Some((token, rest))) = (self, tokens.split_first()) else { return };
        match below.get_mut(token.as_str()) {
            Some(inner) => inner.insert(rest, here),
            None => drop(below.insert(token.as_str().into(), here.under(rest))),
        }
    }

    /// What they would make of nothing; of several unseen changes the least [`Unknown`] tells why.
    fn made(&self) -> Made {
        match self {
            Self::Here(_, Change::Put(_)) => Made::Something,
            Self::Here(_, Change::Remove) => Made::Nothing,
            Self::Here(_, Change::Unseen(why)) => Made::Unknown(*why),
            Self::Below(below) => below.values().map(Self::made).fold(Made::Nothing, |all, one| match (all, one) {
                (Made::Something, _) | (_, Made::Something) => Made::Something,
                (Made::Unknown(one), Made::Unknown(other)) => Made::Unknown(one.min(other)),
                (Made::Unknown(why), Made::Nothing) | (Made::Nothing, Made::Unknown(why)) => Made::Unknown(why),
                (Made::Nothing, Made::Nothing) => Made::Nothing,
            }),
        }
    }

    fn misfit(self, misfit: Misfit, misfits: &mut Misfits) {
        match self {
            Self::Here(pointer, _) => misfits.push((pointer, misfit)),
            Self::Below(below) => below.into_values().for_each(|changes| changes.misfit(misfit, misfits)),
        }
    }

    fn apply(self, old: Option<Node>, misfits: &mut Misfits) -> Option<Node> {
        let made = self.made();
        let below = match self {
            Self::Here(_, Change::Put(node)) => return Some(node),
            Self::Here(_, Change::Remove) => return None,
            Self::Here(_, Change::Unseen(why)) => return Some(Node::Unknown(why)),
            Self::Below(below) => below,
        };
        match (old, made) {
            (None, Made::Nothing) => None,
            (None, Made::Unknown(why)) => Some(Node::Unknown(why)),
            // What is missing on the way is an object.
            (None, Made::Something) => Some(Node::Object(apply_to_members(BTreeMap::new(), below, misfits))),
            (Some(Node::Object(members)), _) => Some(Node::Object(apply_to_members(members, below, misfits))),
            (Some(Node::Array(elements)), _) => Some(apply_to_elements(elements, below, misfits)),
            (Some(other), _) => {
                let misfit = if matches!(other, Node::Unknown(_)) { Misfit::Unknown } else { Misfit::NoPlace };
                below.into_values().for_each(|changes| changes.misfit(misfit, misfits));
                Some(other)
            }
        }
    }
}

fn apply_to_members(
    mut members: BTreeMap<Box<str>, Node>,
    below: BTreeMap<Box<str>, Changes>,
    misfits: &mut Misfits,
) -> BTreeMap<Box<str>, Node> {
    for (name, changes) in below {
        let old = members.remove(&name);
        if let Some(new) = changes.apply(old, misfits) {
            members.insert(name, new);
        }
    }
    members
}

/// The elements that are there are changed in their places; behind them come those that are put at the next indexes without
/// a gap, then what is put at `-`; what is removed goes at last.
fn apply_to_elements(elements: Vec<Node>, below: BTreeMap<Box<str>, Changes>, misfits: &mut Misfits) -> Node {
    let length = elements.len();
    let mut elements: Vec<Option<Node>> = elements.into_iter().map(Some).collect();
    let (mut further, mut last) = (BTreeMap::new(), None);
    // Why nobody knows which elements there are, and where.
    let mut unknown: Option<Unknown> = None;
    let note =
        |unknown: &mut Option<Unknown>, why: Unknown| *unknown = Some(unknown.map_or(why, |known| known.min(why)));
    for (token, changes) in below {
        match (array_index(&token), changes) {
            (Some(index), Changes::Here(_, Change::Unseen(why))) if index < length => note(&mut unknown, why),
            (Some(index), changes) if index < length => {
                if let Some(element) = elements.get_mut(index) {
                    *element = changes.apply(element.take(), misfits);
                }
            }
            (Some(index), changes) => drop(further.insert(index, changes)),
            (None, changes @ Changes::Here(..)) if &*token == "-" => last = Some(changes),
            (None, changes) => changes.misfit(Misfit::NoPlace, misfits),
        }
    }
    let mut next = length;
    for (index, changes) in further {
        match changes.made() {
            Made::Nothing => changes.misfit(Misfit::NoPlace, misfits),
            _ if index != next => changes.misfit(Misfit::NoPlace, misfits),
            made => {
                next += 1;
                if let Made::Unknown(why) = made {
                    note(&mut unknown, why);
                }
                elements.push(changes.apply(None, misfits));
            }
        }
    }
    match last.map(|changes| (changes.made(), changes)) {
        Some((Made::Nothing, changes)) => changes.misfit(Misfit::NoPlace, misfits),
        Some((Made::Unknown(why), _)) => note(&mut unknown, why),
        Some((Made::Something, changes)) => elements.push(changes.apply(None, misfits)),
        None => {}
    }
    unknown.map_or_else(|| Node::Array(elements.into_iter().flatten().collect()), Node::Unknown)
}
