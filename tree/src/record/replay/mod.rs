//! Replay: the states of a stream's objects, as its records make them (`docs/record.md`, Replay).
//!
//! Pure and total: what does not fit together is flagged and never an error, since the records are what they are.

mod diff;
mod node;
mod old;
mod patch;
mod places;

pub use diff::{Difference, Differences, Pointers, diff};
pub use node::{Node, Unknown};
pub use old::old_differs;
pub use patch::Misfit;

use std::collections::BTreeMap;

use super::class::Classed;
use super::history::{Entered, History};
use super::id::RecordId;
use super::json::Pointer;
use super::open::{OpenValues, Record};
use super::parts::Object;
use super::server_part::Seq;
use super::shown::Shown;
use super::text::{Effect, Name};
use super::time::Time;
use super::values::{Field, Form, Sides};
use crate::size::LeafIndex;
use old::differing;
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
    let mut replayed = Replaying::default();
    for place in places(history, view, until) {
        if let Some(oddity) = place.oddity {
            replayed.flag(place.at, oddity);
        }
        match place.acting {
            Entered::Record(record) => replayed.act(record),
            Entered::Later(later) => {
                replayed.unseen(Unknown::Withheld, later.seq());
                replayed.flag(place.acting, Oddity::LaterVersion);
            }
        }
    }
    replayed.finish()
}

/// A replay on its way.
#[derive(Default)]
struct Replaying {
    /// Each state, and how many records were not shown when a record last acted on it.
    states: BTreeMap<ObjectKey, (u64, State)>,
    flags: Vec<Flag>,
    /// How many records were not shown so far.
    unseen: u64,
    /// Why the last of them was not, and its number. What it may have done to a state is applied when the state is looked
    /// at again, so that many of them and many states cost no more than both.
    last_unseen: Option<(Unknown, Seq)>,
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

impl Replaying {
    fn finish(mut self) -> Replayed {
        let states = core::mem::take(&mut self.states);
        let states = states.into_iter().map(|(key, state)| (key, self.current(state))).collect();
        let Self { flags, last_unseen, .. } = self;
        Replayed { states, flags, others: last_unseen.map(|(unknown, _)| unknown) }
    }

    /// The state as it is after the records that were not shown since a record acted on it.
    fn current(&self, (unseen, state): (u64, State)) -> State {
        match self.last_unseen {
            Some((unknown, last)) if unseen < self.unseen => {
                State { lives: state.lives, ..State::of(Some(unknown), last) }
            }
            _ => state,
        }
    }

    fn flag(&mut self, entered: Entered<'_>, oddity: Oddity) {
        self.flags.push(Flag { seq: entered.seq(), index: entered.index(), oddity });
    }

    /// A record did something that is not shown: it may have done anything to any object, and to others.
    fn unseen(&mut self, unknown: Unknown, last: Seq) {
        self.unseen += 1;
        self.last_unseen = Some((unknown, last));
    }

    fn act(&mut self, record: &Record) {
        let last = record.leaf().server().place.seq();
        let object = match Unknown::or_shown(&record.content().object) {
            Ok(object) => object,
            Err(unknown) => {
                self.unseen(unknown, last);
                return self.flag(Entered::Record(record), Oddity::ObjectUnknown(unknown));
            }
        };
        let effect = object.operation.effect();
        if effect == Effect::None {
            return;
        }
        let key = ObjectKey::of(object);
        let mut state = match self.states.remove(&key) {
            Some(state) => self.current(state),
            None => State::of(self.last_unseen.map(|(unknown, _)| unknown), last),
        };
        state.last = last;
        match (effect, state.life) {
            (Effect::Create, Life::Live) => self.flag(Entered::Record(record), Oddity::CreateOnLive),
            (Effect::Update, Life::Ended) => self.flag(Entered::Record(record), Oddity::UpdateOnAbsent),
            (Effect::Delete, Life::Ended) => self.flag(Entered::Record(record), Oddity::DeleteOnAbsent),
            _ => {}
        }
        if let Shown::Disclosed(Some(values)) = &record.content().values {
            let shown = |(pointer, field): &OpenField| (pointer.clone(), Unknown::or_shown(&field.content).cloned());
            let differing = differing(state.data.as_ref(), values.form(), values.fields().iter().map(shown));
            if !differing.first.is_empty() {
                self.flag(Entered::Record(record), Oddity::OldDiffers(differing));
            }
        }
        match effect {
            Effect::Delete => (state.life, state.data) = (Life::Ended, None),
            Effect::Create | Effect::Update => {
                if effect == Effect::Create || state.life == Life::Ended {
                    state.lives += 1;
                }
                state.life = Life::Live;
                let before = state.data.take().filter(|_| effect == Effect::Update);
                state.data = self.written(record, before);
            }
            Effect::None => {}
        }
        self.states.insert(key, (self.unseen, state));
    }

    /// The data after a record.
    fn written(&mut self, record: &Record, before: Option<Node>) -> Option<Node> {
        let values = match Unknown::or_shown(&record.content().values) {
            Ok(Some(values)) => values,
            Ok(None) => return before,
            Err(unknown) => return Some(Node::Unknown(unknown)),
        };
        let changes = changes(values);
        if values.form() != Form::Fields {
            return document(changes);
        }
        let (data, misfits) = patch(before, changes);
        for (pointer, misfit) in misfits {
            self.flag(Entered::Record(record), Oddity::Misfit(pointer, misfit));
        }
        data
    }
}

/// A field of a record that was opened.
type OpenField = (Pointer<'static>, Classed<Shown<Field<'static>>>);

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

/// What the fields of values do to a state.
fn changes(values: &OpenValues) -> Vec<(Pointer<'static>, Change)> {
    let change = |(pointer, field): &OpenField| {
        let change = match Unknown::or_shown(&field.content) {
            Ok(Field { new: Some(new), .. }) => Change::Put(new.value().into()),
            // In a whole document it is not there to begin with.
            Ok(_) if values.form() != Form::Fields => return None,
            Ok(_) => Change::Remove,
            Err(unknown) => unseen(values.form(), unknown),
        };
        Some((pointer.clone(), change))
    };
    values.fields().iter().filter_map(change).collect()
}
