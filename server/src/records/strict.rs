//! Whether a record fits the state of its object, for modules of which that is asked (`super::settings`).
//!
//! The records of a request are judged one after another, each against the state after those before it. What is flagged in
//! a replay as recorded is what is refused here, and nothing else: what is erased or withheld is unknown, and an unknown life
//! fits every operation, an unknown value every old one. A record that corrects another (`replaces`) speaks of what was then:
//! it must correct one that it may correct, with the same operation, and is not compared with what is now.
//!
//! Not here: that nobody else writes in between. For that each stream's first record of the request is expected where the
//! judgement found the stream, and the sequencer decides; and those who are judged take turns ([`super::turns`]).

use std::collections::{BTreeMap, BTreeSet};

use cairn_tree::record::id::RecordId;
use cairn_tree::record::open::Record;
use cairn_tree::record::parts::Object;
use cairn_tree::record::replay::{Brought, Misfit, ObjectKey, Oddity, Ongoing, Pointers};
use cairn_tree::record::reserved::is_own_operation;
use cairn_tree::record::server_part::Seq;

use super::excuse::verified;
use super::make::{Expected, Made, Says};
use super::settings::{ModuleSettings, Settings};
use super::states::{Source, States, Unknowable};
use crate::engine::postings::{Print, PrintSecret};
use crate::engine::records::{Expectation, StreamTip, id_print};
use crate::engine::{Engine, Head, Log};

/// Judges the records of one request.
pub struct Judge<'j> {
    engine: &'j Engine,
    log: &'j Log,
    head: &'j Head,
    prints: &'j PrintSecret,
    settings: &'j Settings,
    states: &'j States,
    /// The streams that have records of modules that ask for it.
    watched: &'j BTreeSet<Print>,
    streams: BTreeMap<Print, Stream>,
    /// The objects and operations of records that were judged to fit, by their ids.
    brought: BTreeMap<RecordId, (Print, ObjectKey, String)>,
}

/// A stream as it would be after the records that were judged so far.
struct Stream {
    states: Ongoing,
    tip: Option<StreamTip>,
    /// Whether a record of the request is to be its next one.
    begun: bool,
}

/// Why a record does not fit.
#[derive(Debug)]
pub enum Unfit {
    /// Its stream is not where whoever brings it says.
    Moved(Option<StreamTip>),
    /// A create of an object that lives.
    Lives,
    /// Something other than a create of an object that does not.
    Absent,
    /// Its old values are not those that are recorded.
    Old(Pointers),
    /// There is no place in the state for these fields of it.
    NoPlace(Pointers),
    /// It corrects no earlier record of its stream with its operation, or one that it can't.
    Corrects(RecordId),
    /// The state is not known.
    Unknowable(Unknowable),
}

impl From<Unknowable> for Unfit {
    fn from(error: Unknowable) -> Self {
        Self::Unknowable(error)
    }
}

/// What is asked of a record of this object.
fn asked(settings: &Settings, object: &Object<'_>) -> ModuleSettings {
    settings.module(object.tenant.as_str(), object.module.as_str())
}

/// Whether anything is asked of a record.
#[must_use]
pub fn is_judged(settings: &Settings, made: &Made<'_>) -> bool {
    let object = match &made.says {
        Says::Plain(content) => Some(&content.object),
        Says::Signed(opened) => opened.object.disclosed(),
    };
    object.is_some_and(|object| asked(settings, object) != ModuleSettings::default())
}

impl<'j> Judge<'j> {
    /// Judges records for a log, under its head.
    #[must_use]
    pub const fn new(
        engine: &'j Engine,
        (log, head, prints): (&'j Log, &'j Head, &'j PrintSecret),
        (settings, states): (&'j Settings, &'j States),
        watched: &'j BTreeSet<Print>,
    ) -> Self {
        Self {
            engine,
            log,
            head,
            prints,
            settings,
            states,
            watched,
            streams: BTreeMap::new(),
            brought: BTreeMap::new(),
        }
    }

    /// Whether the next record of the request fits, and where it then has to find its stream; nothing is expected if that
    /// follows from the records before it, or from what whoever brings it expects.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn judge(&mut self, made: &Made<'_>, print: Print) -> Result<Option<Expectation>, Unfit> {
        if !self.watched.contains(&print) {
            return Ok(None);
        }
        let mut stream = match self.streams.remove(&print) {
            Some(stream) => stream,
            None => {
                let source = Source { engine: self.engine, settings: self.settings };
                let known = self.states.of(source, (self.log, print), &made.stream)?;
                // What is not here yet goes on from what its first record will name.
                let begins = || self.states.at(source, made.continues.as_ref()?, &made.stream).transpose();
                let before = if known.tip().is_none() { begins().transpose()? } else { None };
                let states = before.unwrap_or_else(|| known.states().clone());
                Stream { states: Ongoing::over(states), tip: known.tip(), begun: false }
            }
        };
        let expectation = (!stream.begun).then(|| expect(made.expected, stream.tip)).transpose()?.flatten();
        self.act(made, print, &mut stream)?;
        stream.begun = true;
        self.streams.insert(print, stream);
        Ok(expectation)
    }

    fn act(&mut self, made: &Made<'_>, print: Print, stream: &mut Stream) -> Result<(), Unfit> {
        let seq = stream.tip.map_or(Seq::FIRST, |tip| tip.seq);
        let (object, odd) = match &made.says {
            Says::Plain(content) => {
                let brought = Brought::whole(&content.object, content.values.as_ref());
                (&content.object, stream.states.act(seq, &brought))
            }
            Says::Signed(opened) => {
                let odd = stream.states.act(seq, &Brought::shown(&opened.object, &opened.values));
                // All of a signed event is there, and a record without an object acts on nothing that is known.
                let Some(object) = opened.object.disclosed() else { return Ok(()) };
                (object, odd)
            }
        };
        let asked = asked(self.settings, object);
        match made.replaces {
            _ if asked == ModuleSettings::default() => {}
            Some(replaces) => self.corrects(replaces, object, (print, stream.tip))?,
            None => fits(asked, odd)?,
        }
        self.brought.insert(made.id, (print, ObjectKey::of(object), object.operation.as_str().to_owned()));
        Ok(())
    }

    /// Whether a record may correct the one with this id: an earlier one of its stream about the same object and row and
    /// with the same operation, so that no correction begins or ends a life that the corrected one does not; and none of
    /// the log's own.
    fn corrects(
        &self,
        replaces: RecordId,
        object: &Object<'_>,
        (print, tip): (Print, Option<StreamTip>),
    ) -> Result<(), Unfit> {
        let may = match self.brought.get(&replaces) {
            Some((of, key, operation)) => {
                *of == print && *key == ObjectKey::of(object) && operation == object.operation.as_str()
            }
            None => match (self.stored(replaces)?, tip) {
                (Some(record), Some(tip)) => {
                    let is_same = |other: &Object<'_>| {
                        let is_alike = other.operation == object.operation && !is_own_operation(&other.operation);
                        is_alike && ObjectKey::of(other) == ObjectKey::of(object)
                    };
                    let server = record.leaf().server();
                    let before = server.stream == tip.stream && server.place.seq() <= tip.seq;
                    before && record.content().object.disclosed().is_none_or(is_same)
                }
                _ => false,
            },
        };
        if may { Ok(()) } else { Err(Unfit::Corrects(replaces)) }
    }

    fn stored(&self, id: RecordId) -> Result<Option<Record>, Unknowable> {
        let print = id_print(self.prints, id);
        let found = self.log.find_records(&[print], self.head.size, 1, u64::MAX)?.hits.pop();
        let Some(index) = found else { return Ok(None) };
        let Some(stored) = self.log.stored_record(self.head, index)? else { return Ok(None) };
        let record = verified(self.log, self.head, stored)?.into_record();
        Ok(Some(record).filter(|record| record.leaf().event().head().id == id))
    }
}

/// Where the first record of a request has to find its stream, unless it says so itself.
fn expect(said: Expected, tip: Option<StreamTip>) -> Result<Option<Expectation>, Unfit> {
    let Expected { seq, prev } = said;
    if seq.is_none() && prev.is_none() {
        return Ok(Some(Expectation { seq: Some(tip.map(|tip| tip.seq)), prev: Some(tip.map(|tip| tip.leaf)) }));
    }
    // It was judged against what is there, so that it must not come after anything else.
    if (Expectation { seq, prev }).holds(tip.as_ref()) { Ok(None) } else { Err(Unfit::Moved(tip)) }
}

fn fits(asked: ModuleSettings, odd: Vec<Oddity>) -> Result<(), Unfit> {
    let mut without_place = Vec::new();
    for oddity in odd {
        match oddity {
            Oddity::CreateOnLive if asked.strict => return Err(Unfit::Lives),
            Oddity::UpdateOnAbsent | Oddity::DeleteOnAbsent if asked.strict => return Err(Unfit::Absent),
            Oddity::OldDiffers(pointers) if asked.old_must_match => return Err(Unfit::Old(pointers)),
            // What is not shown may have a place for it.
            Oddity::Misfit(pointer, Misfit::NoPlace) if asked.strict => without_place.push(pointer),
            _ => {}
        }
    }
    match without_place.is_empty() {
        true => Ok(()),
        false => Err(Unfit::NoPlace(Pointers::of(&without_place))),
    }
}
