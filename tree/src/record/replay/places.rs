//! In which order the records of a history act, and which of a record and its corrections does.

use std::collections::BTreeMap;

use super::{Oddity, Until, View};
use crate::record::history::{Entered, History};
use crate::record::id::RecordId;
use crate::record::parts::Object;
use crate::record::reserved::is_own_operation;
use crate::record::stream::StreamName;
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
                Some(first) if may_correct(entered, replaced) && may_correct(entered, first.at) => {
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

/// Whether a record may act in the place of another, as far as both are shown: it is about the same object and row, and the
/// other is not the log's own.
fn may_correct(record: Entered<'_>, other: Entered<'_>) -> bool {
    let Some(other) = object_of(other) else { return true };
    let is_same = |object: &Object<'_>| StreamName::of(object) == StreamName::of(other) && object.row == other.row;
    !is_own_operation(&other.operation) && object_of(record).is_none_or(is_same)
}

fn object_of<'h>(entered: Entered<'h>) -> Option<&'h Object<'static>> {
    match entered {
        Entered::Record(record) => record.content().object.disclosed(),
        Entered::Later(_) => None,
    }
}

fn server_time(entered: Entered<'_>) -> Time {
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
