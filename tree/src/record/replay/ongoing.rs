//! A replay on its way: the states of a stream's objects so far, on which the next record acts, whether it is in the log
//! already or only about to be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::node::{Node, Unknown};
use super::old::differing;
use super::patch::{Change, patch};
use super::{Flag, Life, ObjectKey, Oddity, Replayed, State, document, unseen};
use crate::record::class::Classed;
use crate::record::history::Entered;
use crate::record::json::{Json, Pointer};
use crate::record::open::OpenValues;
use crate::record::parts::Object;
use crate::record::server_part::Seq;
use crate::record::shown::Shown;
use crate::record::text::Effect;
use crate::record::values::{Field, Form, Values};

/// About what a state takes beside its data.
const STATE_BYTES: usize = 256;

/// The states of a stream so far, each record acting where it stands.
///
/// It can stand on another one, and that on a further one; those stay as they are: what acts here changes nothing there.
#[derive(Debug, Clone, Default)]
pub struct Ongoing {
    base: Option<Arc<Self>>,
    /// Each state, and how many records were not shown when a record last acted on it.
    states: BTreeMap<ObjectKey, (u64, State)>,
    /// How many records were not shown so far.
    unseen: u64,
    /// Why the last of them was not, and its number. What it may have done to a state is applied when the state is looked
    /// at again, so that many of them and many states cost no more than both.
    last_unseen: Option<(Unknown, Seq)>,
    bytes: usize,
    /// Of those, what the states take that are here.
    own_bytes: usize,
}

/// What a record says that acts on states.
#[derive(Debug, Clone)]
pub struct Brought<'b> {
    object: Result<&'b Object<'b>, Unknown>,
    values: Result<Option<Told<'b>>, Unknown>,
}

/// Values, as far as they are shown.
#[derive(Debug, Clone)]
struct Told<'b> {
    form: Form,
    fields: Vec<(&'b Pointer<'b>, Result<&'b Field<'b>, Unknown>)>,
}

impl<'b> Brought<'b> {
    /// All of it is shown.
    #[must_use]
    pub fn whole(object: &'b Object<'b>, values: Option<&'b Values<'b>>) -> Self {
        let field = |(pointer, field): &'b (Pointer<'b>, Classed<Field<'b>>)| (pointer, Ok(&field.content));
        let told =
            |values: &'b Values<'b>| Told { form: values.form(), fields: values.fields().iter().map(field).collect() };
        Self { object: Ok(object), values: Ok(values.map(told)) }
    }

    /// Some of it may not be.
    #[must_use]
    pub fn shown(object: &'b Shown<Object<'static>>, values: &'b Shown<Option<OpenValues>>) -> Self {
        let field = |(pointer, field): &'b (Pointer<'static>, Classed<Shown<Field<'static>>>)| {
            (pointer, Unknown::or_shown(&field.content))
        };
        let told =
            |values: &'b OpenValues| Told { form: values.form(), fields: values.fields().iter().map(field).collect() };
        let values = Unknown::or_shown(values).map(|values| values.as_ref().map(told));
        Self { object: Unknown::or_shown(object), values }
    }
}

impl Ongoing {
    /// Goes on from states that stay as they are.
    #[must_use]
    pub fn over(base: Arc<Self>) -> Self {
        let (unseen, last_unseen, bytes) = (base.unseen, base.last_unseen, base.bytes);
        Self { base: Some(base), states: BTreeMap::new(), unseen, last_unseen, bytes, own_bytes: 0 }
    }

    /// About how many bytes the states take.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// About how many bytes are kept here, beside those of what it stands on.
    #[must_use]
    pub const fn own_bytes(&self) -> usize {
        self.own_bytes
    }

    /// Lets a record of a history act, and says what is odd about it.
    pub fn enter(&mut self, entered: Entered<'_>) -> Vec<Oddity> {
        match entered {
            Entered::Record(record) => {
                let content = record.content();
                self.act(record.leaf().server().place.seq(), &Brought::shown(&content.object, &content.values))
            }
            Entered::Later(later) => {
                self.not_shown(Unknown::Withheld, later.seq());
                vec![Oddity::LaterVersion]
            }
        }
    }

    /// Lets a record of this number act, and says what is odd about it.
    pub fn act(&mut self, last: Seq, brought: &Brought<'_>) -> Vec<Oddity> {
        let object = match brought.object {
            Ok(object) => object,
            Err(unknown) => {
                self.not_shown(unknown, last);
                return vec![Oddity::ObjectUnknown(unknown)];
            }
        };
        let effect = object.operation.effect();
        if effect == Effect::None {
            return Vec::new();
        }
        let key = ObjectKey::of(object);
        let mut state = self.take(&key, last);
        state.last = last;
        let mut odd = Vec::new();
        match (effect, state.life) {
            (Effect::Create, Life::Live) => odd.push(Oddity::CreateOnLive),
            (Effect::Update, Life::Ended) => odd.push(Oddity::UpdateOnAbsent),
            (Effect::Delete, Life::Ended) => odd.push(Oddity::DeleteOnAbsent),
            _ => {}
        }
        if let Ok(Some(told)) = &brought.values {
            let differing = differing(state.data.as_ref(), told.form, told.fields.iter().copied());
            if !differing.first.is_empty() {
                odd.push(Oddity::OldDiffers(differing));
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
                state.data = written(brought, before, &mut odd);
            }
            Effect::None => {}
        }
        self.put(key, state);
        odd
    }

    /// What there is at its end, with what was odd on the way.
    #[must_use]
    pub fn replayed(self, flags: Vec<Flag>) -> Replayed {
        let (states, others) = self.finish();
        Replayed { states, flags, others }
    }

    /// The objects whose states are not those of what this stands on, but what records made of them that acted here;
    /// `None` if that is so of all.
    #[must_use]
    pub fn acted_on(&self) -> Option<BTreeSet<ObjectKey>> {
        let is_all = self.base.as_ref().is_none_or(|base| base.unseen < self.unseen);
        (!is_all).then(|| self.states.keys().cloned().collect())
    }

    /// All objects that there are states of.
    #[must_use]
    pub fn objects(&self) -> BTreeSet<ObjectKey> {
        let mut objects = self.base.as_ref().map(|base| base.objects()).unwrap_or_default();
        objects.extend(self.states.keys().cloned());
        objects
    }

    /// All states, and why nobody knows whether there are others, if nobody does.
    fn finish(mut self) -> (BTreeMap<ObjectKey, State>, Option<Unknown>) {
        let mut all = self.base.take().map(Self::taken).unwrap_or_default();
        all.append(&mut self.states);
        let states = all.into_iter().map(|(key, state)| (key, self.current(state))).collect();
        (states, self.last_unseen.map(|(unknown, _)| unknown))
    }

    /// All states; those that nobody else stands on are not copied.
    fn taken(base: Arc<Self>) -> BTreeMap<ObjectKey, (u64, State)> {
        match Arc::try_unwrap(base) {
            Ok(mut own) => {
                let mut all = own.base.take().map(Self::taken).unwrap_or_default();
                all.append(&mut own.states);
                all
            }
            Err(shared) => {
                let mut all = BTreeMap::new();
                shared.add_to(&mut all);
                all
            }
        }
    }

    /// Puts all states in the place of those that they come after.
    fn add_to(&self, all: &mut BTreeMap<ObjectKey, (u64, State)>) {
        if let Some(base) = &self.base {
            base.add_to(all);
        }
        all.extend(self.states.iter().map(|(key, known)| (key.clone(), known.clone())));
    }

    /// What is known of an object, here or in what this stands on.
    fn known(&self, key: &ObjectKey) -> Option<&(u64, State)> {
        self.states.get(key).or_else(|| self.base.as_ref()?.known(key))
    }

    /// The state of an object, to be changed and put back.
    fn take(&mut self, key: &ObjectKey, last: Seq) -> State {
        let own = self.states.remove(key);
        if let Some((_, own)) = &own {
            self.own_bytes = self.own_bytes.saturating_sub(bytes_of(own));
        }
        let known = own.or_else(|| self.base.as_ref()?.known(key).cloned());
        match known {
            Some(known) => {
                self.bytes = self.bytes.saturating_sub(bytes_of(&known.1));
                self.current(known)
            }
            None => State::of(self.last_unseen.map(|(unknown, _)| unknown), last),
        }
    }

    fn put(&mut self, key: ObjectKey, state: State) {
        let bytes = bytes_of(&state);
        self.bytes = self.bytes.saturating_add(bytes);
        self.own_bytes = self.own_bytes.saturating_add(bytes);
        self.states.insert(key, (self.unseen, state));
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

    /// A record did something that is not shown: it may have done anything to any object, and to others.
    fn not_shown(&mut self, unknown: Unknown, last: Seq) {
        self.unseen += 1;
        self.last_unseen = Some((unknown, last));
    }
}

fn bytes_of(state: &State) -> usize {
    state.data.as_ref().map_or(0, Node::bytes).saturating_add(STATE_BYTES)
}

/// The data after a record.
fn written(brought: &Brought<'_>, before: Option<Node>, odd: &mut Vec<Oddity>) -> Option<Node> {
    let told = match &brought.values {
        Ok(Some(told)) => told,
        Ok(None) => return before,
        Err(unknown) => return Some(Node::Unknown(*unknown)),
    };
    let changes = told.changes();
    if told.form != Form::Fields {
        return document(changes);
    }
    let (data, misfits) = patch(before, changes);
    odd.extend(misfits.into_iter().map(|(pointer, misfit)| Oddity::Misfit(pointer, misfit)));
    data
}

impl<'b> Told<'b> {
    /// What the fields do to a state.
    fn changes(&self) -> Vec<(Pointer<'b>, Change)> {
        let change = |(pointer, field): &(&'b Pointer<'b>, Result<&'b Field<'b>, Unknown>)| {
            let change = match field {
                Ok(Field { new: Some(new), .. }) => Change::Put(Json::value(new).into()),
                // In a whole document it is not there to begin with.
                Ok(_) if self.form != Form::Fields => return None,
                Ok(_) => Change::Remove,
                Err(unknown) => unseen(self.form, *unknown),
            };
            Some(((*pointer).clone(), change))
        };
        self.fields.iter().filter_map(change).collect()
    }
}
