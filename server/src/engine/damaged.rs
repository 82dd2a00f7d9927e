//! Places that are known to be damaged: reads of them are refused, whatever a cache still has.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use super::scrub::Place;

/// Most places that are remembered of one log; past them a read finds out for itself, or the log is beyond help.
pub(super) const MOST: usize = 65_536;
/// Bad blocks of the engine's tables that are remembered one by one.
const BLOCKS: usize = 64;
/// What stands for all further ones.
pub(super) const MORE: &str = "and more blocks, which are not listed";

/// The known damage of a log, or of what belongs to no log.
#[derive(Debug, Default)]
pub(super) struct Damaged {
    /// So that reads of a sound log take no lock.
    any: AtomicBool,
    /// Of tables each bad block counts, which its words tell from others; of any other place there is one.
    places: RwLock<BTreeMap<(Option<Place>, String), String>>,
}

impl Damaged {
    /// Remembers a place, and how it is damaged; what is new of that, if anything is. A place that reads do not go by is
    /// `None`.
    pub(super) fn add(&self, place: Option<Place>, mut found: String) -> Option<String> {
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        self.any.store(true, Ordering::Release);
        let is_block = place == Some(Place::Tables);
        let key = |found: &str| (place, if is_block { found.to_owned() } else { String::new() });
        if places.contains_key(&key(&found)) || places.len() >= MOST {
            return None;
        }
        if is_block && places.keys().filter(|(known, _)| *known == place).count() >= BLOCKS {
            MORE.clone_into(&mut found);
        }
        match places.insert(key(&found), found.clone()) {
            Some(_) => None,
            None => Some(found),
        }
    }

    /// How a place is damaged, if it is.
    pub(super) fn get(&self, place: Place) -> Option<String> {
        if !self.any() {
            return None;
        }
        self.places.read().unwrap_or_else(PoisonError::into_inner).get(&(Some(place), String::new())).cloned()
    }

    /// Whether there is any.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// How much there is, and the first of it in words.
    pub(super) fn told(&self) -> Option<(usize, String)> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        let ((place, _), found) = places.iter().next()?;
        let place = place.map_or_else(|| "an earlier finding".to_owned(), |place| place.to_string());
        Some((places.len(), format!("{place}: {found}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_block_is_new_once_and_all_past_a_bound_are_one() {
        let damaged = Damaged::default();
        let block = |number: usize| damaged.add(Some(Place::Tables), format!("block {number}"));
        for number in 0..BLOCKS {
            assert_eq!((block(number), block(number)), (Some(format!("block {number}")), None));
        }
        assert_eq!((block(BLOCKS), block(BLOCKS + 1), block(3)), (Some(MORE.to_owned()), None, None));
        assert_eq!(damaged.told(), Some((BLOCKS + 1, format!("the engine's tables: {MORE}"))));
        let bundle = |found: &str| damaged.add(Some(Place::Bundle { number: 7 }), found.to_owned());
        assert_eq!((bundle("a"), bundle("b")), (Some("a".to_owned()), None));
        assert_eq!(damaged.get(Place::Bundle { number: 7 }), Some("a".to_owned()));
    }
}
