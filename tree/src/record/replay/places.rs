//! In which order the records of a history act, and which of a record and its corrections does.

use std::collections::BTreeMap;

use super::{Oddity, Until, View};
use crate::hash::Hash;
use crate::record::history::{Entered, History};
use crate::record::id::RecordId;
use crate::record::parts::Object;
use crate::record::reserved::is_own_operation;
use crate::record::time::Time;

/// A place in the order of records, and the record that acts there.
#[derive(Clone)]
pub(super) struct Place<'h> {
    pub(super) at: Entered<'h>,
    pub(super) acting: Entered<'h>,
    /// What is odd about the record whose place it is: that it corrects none.
    pub(super) oddity: Option<Oddity>,
}

/// The places up to a bound, in the order in which they act.
pub(super) fn places(history: &History, view: View, until: Until) -> Vec<Place<'_>> {
    let mut places = all(history, view);
    places.retain(|place| match until {
        Until::End => true,
        Until::Seq(seq) => place.at.seq() <= seq,
        Until::ServerTime(time) => server_time(place.at) <= time,
        Until::ProducerTime(time) => producer_time(place.at) <= time,
    });
    if let Until::ProducerTime(_) = until {
        places.sort_by_key(|place| producer_time(place.at));
    }
    places
}

fn all(history: &History, view: View) -> Vec<Place<'_>> {
    let (mut recorded, mut corrected): (Vec<Place<'_>>, Vec<Place<'_>>) = (Vec::new(), Vec::new());
    // Each record, and the place in which it, or what corrects it, acts in the corrected view.
    let mut by_id: BTreeMap<RecordId, (Entered<'_>, usize)> = BTreeMap::new();
    for entered in history.entered() {
        let replaces = match entered {
            Entered::Record(record) => record.leaf().event().head().replaces,
            Entered::Later(_) => None,
        };
        let mut place = Place { at: entered, acting: entered, oddity: None };
        let target = replaces.map(|id| (id, by_id.get(&id).copied()));
        let corrects = match target {
            None => None,
            Some((id, None)) => {
                place.oddity = Some(Oddity::ReplacesUnknown(id));
                None
            }
            Some((id, Some((replaced, number)))) => match corrected.get_mut(number) {
                Some(first)
                    if may_correct(&fit_of(entered), &fit_of(replaced))
                        && may_correct(&fit_of(entered), &fit_of(first.at)) =>
                {
                    first.acting = entered;
                    Some(number)
                }
                _ => {
                    place.oddity = Some(Oddity::ReplacesOther(id));
                    None
                }
            },
        };
        by_id.insert(entered.id(), (entered, corrects.unwrap_or(corrected.len())));
        if corrects.is_none() {
            corrected.push(place.clone());
        }
        recorded.push(place);
    }
    match view {
        View::AsRecorded => recorded,
        View::Corrected => corrected,
    }
}

/// By what a correction must fit a record: a hash of its object and row, and whether it is the log's own. `None` if that is
/// not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fit(Option<(Hash, bool)>);

pub(super) fn fit_of(entered: Entered<'_>) -> Fit {
    Fit(object_of(entered).map(|object| {
        let names = [&object.tenant, &object.module, &object.entity, &object.id];
        let mut bytes = Vec::with_capacity(256);
        for name in names.into_iter().chain(&object.row) {
            // Each with its length, so that no two different lists are one text.
            bytes.extend_from_slice(&(name.as_str().len() as u64).to_be_bytes());
            bytes.extend_from_slice(name.as_str().as_bytes());
        }
        (Hash::leaf(&bytes), is_own_operation(&object.operation))
    }))
}

/// Whether a record may act in the place of another, as far as both are shown: it is about the same object and row, and the
/// other is not the log's own.
pub(super) fn may_correct(Fit(record): &Fit, Fit(other): &Fit) -> bool {
    let Some((other, is_own)) = other else { return true };
    !is_own && record.as_ref().is_none_or(|(record, _)| record == other)
}

fn object_of<'h>(entered: Entered<'h>) -> Option<&'h Object<'static>> {
    match entered {
        Entered::Record(record) => record.content().object.disclosed(),
        Entered::Later(_) => None,
    }
}

pub(super) fn server_time(entered: Entered<'_>) -> Time {
    match entered {
        Entered::Record(record) => record.leaf().server().time,
        Entered::Later(later) => later.time(),
    }
}

/// Of a later version nothing is known but the server's time.
fn producer_time(entered: Entered<'_>) -> Time {
    match entered {
        Entered::Record(record) => record.leaf().event().head().time,
        Entered::Later(later) => later.time(),
    }
}
