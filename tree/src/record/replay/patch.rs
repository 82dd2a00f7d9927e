//! Patching a state with fields by JSON Pointer.
//!
//! No field of a record is within another, so that the order matters in arrays only: values are put in the order of the
//! pointers, indexes by their number and `-` last; then what goes is removed from the last to the first.

use core::cmp::Ordering;
use std::borrow::Cow;

use super::node::{Node, array_index};
use crate::record::json::Pointer;

/// What becomes of the place that a pointer leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Put(Node),
    Remove,
}

/// Why a pointer can't be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// It leads through something that is not shown.
    Unknown,
    /// It leads through a value without members, or past the end of an array.
    NoPlace,
}

/// Applies changes; the pointers that can't be followed change nothing.
pub(super) fn patch(state: &mut Node, changes: Vec<(Pointer<'_>, Change)>) -> Vec<(Pointer<'static>, Misfit)> {
    let mut puts = Vec::new();
    let mut removals = Vec::new();
    for (pointer, change) in changes {
        let tokens: Vec<String> = pointer.tokens().map(Cow::into_owned).collect();
        match change {
            Change::Put(node) => puts.push((tokens, pointer, node)),
            Change::Remove => removals.push((tokens, pointer)),
        }
    }
    puts.sort_by(|(one, ..), (other, ..)| natural(one, other));
    removals.sort_by(|(one, _), (other, _)| natural(other, one));
    let mut misfits = Vec::new();
    for (tokens, pointer, node) in puts {
        if let Err(misfit) = put(state, &tokens, node) {
            misfits.push((pointer.into_owned(), misfit));
        }
    }
    for (tokens, pointer) in removals {
        if let Err(misfit) = remove(state, &tokens) {
            misfits.push((pointer.into_owned(), misfit));
        }
    }
    misfits
}

fn natural(one: &[String], other: &[String]) -> Ordering {
    let rank = |token: &String| match token.as_str() {
        "-" => (1, 0),
        text => array_index(text).map_or((2, 0), |index| (0, index)),
    };
    let pairs = one.iter().zip(other).map(|(one, other)| rank(one).cmp(&rank(other)).then_with(|| one.cmp(other)));
    pairs.fold(Ordering::Equal, Ordering::then).then(one.len().cmp(&other.len()))
}

fn put(state: &mut Node, tokens: &[String], value: Node) -> Result<(), Misfit> {
    let Some((token, rest)) = tokens.split_first() else {
        *state = value;
        return Ok(());
    };
    let place = match state {
        Node::Object(members) => members.entry(token.as_str().into()).or_insert_with(Node::empty),
        Node::Array(elements) => {
            let end = elements.len();
            let index = if token == "-" { Some(end) } else { array_index(token) };
            if index == Some(end) {
                elements.push(Node::empty());
            }
            index.and_then(|index| elements.get_mut(index)).ok_or(Misfit::NoPlace)?
        }
        Node::Unknown(_) => return Err(Misfit::Unknown),
        _ => return Err(Misfit::NoPlace),
    };
    put(place, rest, value)
}

/// Removes what is there; where nothing is, nothing is to be done.
fn remove(state: &mut Node, tokens: &[String]) -> Result<(), Misfit> {
    let Some((token, rest)) = tokens.split_first() else {
        *state = Node::Null;
        return Ok(());
    };
    let below = match state {
        Node::Object(members) if rest.is_empty() => {
            members.remove(token.as_str());
            return Ok(());
        }
        Node::Array(elements) if rest.is_empty() => {
            let index = array_index(token).filter(|index| *index < elements.len()).ok_or(Misfit::NoPlace)?;
            elements.remove(index);
            return Ok(());
        }
        Node::Object(members) => members.get_mut(token.as_str()),
        Node::Array(elements) => array_index(token).and_then(|index| elements.get_mut(index)),
        Node::Unknown(_) => return Err(Misfit::Unknown),
        _ => return Err(Misfit::NoPlace),
    };
    below.map_or(Ok(()), |below| remove(below, rest))
}
