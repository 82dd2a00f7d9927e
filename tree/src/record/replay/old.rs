//! Old values that are not those of the state.

use super::diff::{Pointers, certain};
use super::node::{Node, Unknown};
use super::patch::Change;
use super::{document, unseen};
use crate::record::json::{Json, Pointer};
use crate::record::values::{Field, Form, Sides, Values};

/// The pointers at which the old values of a record that is about to be appended are not those of the state: the first
/// of them, see [`Pointers`]. What is unknown differs from nothing.
#[must_use]
pub fn old_differs(state: Option<&Node>, values: &Values<'_>) -> Pointers {
    let fields = values.fields().iter().map(|(pointer, field)| (pointer, Ok(&field.content)));
    differing(state, values.form(), fields)
}

pub(super) fn differing<'a>(
    state: Option<&Node>,
    form: Form,
    fields: impl Iterator<Item = (&'a Pointer<'a>, Result<&'a Field<'a>, Unknown>)>,
) -> Pointers {
    let old_of = |field: &Field<'a>| field.old.as_ref().map(Json::value).map(Node::from);
    match form {
        Form::Whole(Sides::New) => Pointers::default(),
        Form::Whole(Sides::Old | Sides::Both) => {
            let put = |(pointer, field): (&Pointer<'a>, Result<&Field<'a>, Unknown>)| match field {
                Ok(field) => old_of(field).map(|old| (pointer.clone(), Change::Put(old))),
                Err(unknown) => Some((pointer.clone(), unseen(form, unknown))),
            };
            let old = document(fields.filter_map(put).collect());
            certain(state, old.as_ref())
        }
        Form::Fields => {
            let differs = |(pointer, field): (&'a Pointer<'a>, Result<&Field<'a>, Unknown>)| {
                let old = field.ok().and_then(old_of)?;
                let found = Found::at(state, pointer);
                let differs = match found {
                    Found::Node(node) => old.same(node) == Some(false),
                    Found::Nothing => true,
                    Found::Unknown => false,
                };
                differs.then_some(pointer)
            };
            let mut pointers = Pointers::default();
            // What follows the first that has no room is not looked at.
            let _all = fields.filter_map(differs).all(|pointer| pointers.push(pointer.as_str()));
            pointers
        }
    }
}

/// What a pointer leads to.
enum Found<'n> {
    Node(&'n Node),
    Nothing,
    Unknown,
}

impl<'n> Found<'n> {
    fn at(state: Option<&'n Node>, pointer: &Pointer<'_>) -> Self {
        let Some(mut node) = state else { return Self::Nothing };
        for token in pointer.tokens() {
            match node {
                Node::Unknown(_) => return Self::Unknown,
                _ => match node.child(&token) {
                    Some(child) => node = child,
                    None => return Self::Nothing,
                },
            }
        }
        Self::Node(node)
    }
}
