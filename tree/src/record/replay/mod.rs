//! Replay: the states of a stream's objects, as its records make them (`docs/record.md`, Replay).
//!
//! Pure and total: what does not fit together is flagged and never an error, since the records are what they are.

mod correcting;
mod course;
mod diff;
mod known;
mod node;
mod old;
mod ongoing;
mod parts;
mod passing;
mod patch;
mod places;

pub use correcting::{Acting, Correcting, Corrections};
pub use course::Course;
pub use diff::{Difference, Differences, Pointers, diff};
pub use node::{Node, Unknown};
pub use old::old_differs;
pub use ongoing::{Brought, Ongoing};
pub use parts::LastLogs;
pub use passing::Passing;
pub use patch::Misfit;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::history::{Entered, History};
use super::id::RecordId;
use super::json::Pointer;
use super::parts::Object;
use super::server_part::Seq;
use super::text::Name;
use super::time::Time;
use super::values::{Form, Sides};
use crate::size::LeafIndex;
use patch::{Change, patch};
use places::places;

/// Whose state it is: an object, or one row of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The tenant.
    pub tenant: Name<'static>,
    /// The part of the tenant's system.
    pub module: Name<'static>,
    /// The kind of object.
    pub entity: Name<'static>,
    /// The object's id.
    pub id: Name<'static>,
    /// The row, where there are several.
    pub row: Option<Name<'static>>,
}

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Whether it lives.
    pub life: Life,
    /// Its data; `None` if it does not live, and if it lives and no record says what its data is.
    pub data: Option<Node>,
    /// How many lives have begun; more may have, where a record's object is not shown.
    pub lives: u64,
    /// The number of the last record that acted on it, or may have.
    pub last: Seq,
}

/// Whether an object lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Its life has ended, or not begun.
    Ended,
    /// It lives.
    Live,
    /// A record whose object is not shown may have been about it.
    Unknown(Unknown),
}

/// Which of a record and its correction acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Each record where it stands.
    AsRecorded,
    /// In the place of each record the last of all that correct it, directly or through others.
    Corrected,
}

impl View {
    /// The name: `recorded` or `corrected`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsRecorded => "recorded",
            Self::Corrected => "corrected",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::AsRecorded, Self::Corrected].into_iter().find(|view| view.name() == name)
    }
}

/// Up to where records act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// All.
    End,
    /// Up to this number, included.
    Seq(Seq),
    /// Up to this time of the server, included.
    ServerTime(Time),
    /// Up to this time of the producers, included, and in the order of their times.
    ProducerTime(Time),
}

/// Something that does not fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The number of the record.
    pub seq: Seq,
    /// Where the record is in the log.
    pub index: LeafIndex,
    /// What is odd.
    pub oddity: Oddity,
}

/// What does not fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Oddity {
    /// The object was there already.
    CreateOnLive,
    /// The object was not there.
    UpdateOnAbsent,
    /// The object was not there.
    DeleteOnAbsent,
    /// The old values that it gives are not those of the state, at these pointers.
    OldDiffers(Pointers),
    /// A field has no place in the state.
    Misfit(Pointer<'static>, Misfit),
    /// It corrects a record that is not before it in the stream.
    ReplacesUnknown(RecordId),
    /// It corrects a record of another object or row, or one of the log's own, which it can't.
    ReplacesOther(RecordId),
    /// It is of a later version, and says nothing here.
    LaterVersion,
    /// What it did is not shown.
    ObjectUnknown(Unknown),
}

/// The states, and what was odd on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// The states.
    pub states: BTreeMap<ObjectKey, State>,
    /// What was odd, in the order in which records acted.
    pub flags: Vec<Flag>,
    /// Why nobody knows whether there are other objects: a record's object is not shown. `None` if there are none.
    pub others: Option<Unknown>,
}

impl ObjectKey {
    /// The key of an object.
    #[must_use]
    pub fn of(object: &Object<'_>) -> Self {
        let Object { tenant, module, entity, id, row, .. } = object.clone();
        Self {
            tenant: tenant.into_owned(),
            module: module.into_owned(),
            entity: entity.into_owned(),
            id: id.into_owned(),
            row: row.map(Name::into_owned),
        }
    }
}

/// Replays a stream.
#[must_use]
pub fn replay(history: &History, view: View, until: Until) -> Replayed {
    let (ongoing, flags) = replay_over(None, history, view, until);
    ongoing.replayed(flags)
}

/// Replays a stream that begins with the states of another one, if it does: of its earlier part in another log.
#[must_use]
pub fn replay_over(base: Option<Arc<Ongoing>>, history: &History, view: View, until: Until) -> (Ongoing, Vec<Flag>) {
    let (mut ongoing, mut flags) = (base.map_or_else(Ongoing::default, Ongoing::over), Vec::new());
    for place in places(history, view, until) {
        let flag = |entered: Entered<'_>, oddity| Flag { seq: entered.seq(), index: entered.index(), oddity };
        flags.extend(place.oddity.map(|oddity| flag(place.at, oddity)));
        flags.extend(ongoing.enter(place.acting).into_iter().map(|oddity| flag(place.acting, oddity)));
    }
    (ongoing, flags)
}

impl Replayed {
    /// The document of an object, also of one that no record was about: it may be unknown then.
    #[must_use]
    pub fn data_of(&self, object: &ObjectKey) -> Option<Node> {
        match self.states.get(object) {
            Some(state) => state.data.clone(),
            None => self.others.map(Node::Unknown),
        }
    }
}

impl State {
    /// Of an object that no record was about, unless one that is not shown was.
    fn of(unseen: Option<Unknown>, last: Seq) -> Self {
        let life = unseen.map_or(Life::Ended, Life::Unknown);
        Self { life, data: unseen.map(Node::Unknown), lives: 0, last }
    }
}

/// A whole document of its fields: an object, unless the only pointer is the empty one. Its fields always have a place.
fn document(fields: Vec<(Pointer<'_>, Change)>) -> Option<Node> {
    let is_one = fields.first().is_some_and(|(pointer, _)| pointer.as_str().is_empty());
    patch((!is_one).then(Node::empty), fields).0
}

/// What a field does that is not shown. Where there is one document only, its fields are all there.
const fn unseen(form: Form, unknown: Unknown) -> Change {
    match form {
        Form::Whole(Sides::New | Sides::Old) => Change::Put(Node::Unknown(unknown)),
        Form::Whole(Sides::Both) | Form::Fields => Change::Unseen(unknown),
    }
}
