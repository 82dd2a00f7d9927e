//! Places that are known to be damaged: reads of them are refused, whatever a cache still has.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use super::scrub::Place;

/// Most places that are remembered of one log; past them a read finds out for itself, or the log is beyond help.
const MOST: usize = 65_536;

/// The known damage of a log, or of what belongs to no log.
#[derive(Debug, Default)]
pub(super) struct Damaged {
    /// So that reads of a sound log take no lock.
    any: AtomicBool,
    places: RwLock<BTreeMap<Option<Place>, String>>,
}

impl Damaged {
    /// Remembers a place, and how it is damaged; false if it was known. A place that reads do not go by is `None`.
    pub(super) fn add(&self, place: Option<Place>, found: String) -> bool {
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        self.any.store(true, Ordering::Release);
        if places.contains_key(&place) || places.len() >= MOST {
            return false;
        }
        places.insert(place, found);
        true
    }

    /// How a place is damaged, if it is.
    pub(super) fn get(&self, place: Place) -> Option<String> {
        if !self.any() {
            return None;
        }
        self.places.read().unwrap_or_else(PoisonError::into_inner).get(&Some(place)).cloned()
    }

    /// Whether there is any.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// How much there is, and the first of it in words.
    pub(super) fn told(&self) -> Option<(usize, String)> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        let (place, found) = places.iter().next()?;
        let place = place.map_or_else(|| "an earlier finding".to_owned(), |place| place.to_string());
        Some((places.len(), format!("{place}: {found}")))
    }
}
