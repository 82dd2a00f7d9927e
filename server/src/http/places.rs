//! Places for work that lasts: so many, and no more for one party than are left for the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::problem::Problem;
use crate::auth::{Caller, TokenId};

/// Whose a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::http) enum Party {
    /// A token's.
    Token(TokenId),
    /// Of whoever shows none: nothing tells them apart that one of them could not choose.
    Anyone,
}

impl Party {
    /// That of a caller. A token that is not in force is none.
    pub(super) const fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Known { id, .. } => Self::Token(*id),
            Caller::Anonymous | Caller::Unknown => Self::Anyone,
        }
    }
}

/// All of them.
#[derive(Debug)]
pub(in crate::http) struct Places {
    most: usize,
    /// What they are for, in words that end a sentence.
    what: &'static str,
    taken: Mutex<BTreeMap<Party, usize>>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(in crate::http) struct Place {
    places: Arc<Places>,
    party: Party,
}

impl Places {
    /// As many. `what` says what there are as many of: "readers follow streams".
    pub(in crate::http) const fn new(most: usize, what: &'static str) -> Self {
        Self { most, what, taken: Mutex::new(BTreeMap::new()) }
    }

    /// A place for this party: the last one too, if it has no other.
    ///
    /// # Errors
    /// 503 if there is none, 429 if others need those that there are.
    pub(in crate::http) fn take(self: &Arc<Self>, party: Party) -> Result<Place, Problem> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let own = taken.get(&party).copied().unwrap_or(0);
        let Some(left) = self.most.checked_sub(all + 1) else {
            return Err(Problem::busy(format!("as many {} as the server holds", self.what)));
        };
        if own + 1 > left.max(1) {
            return Err(match party {
                Party::Token(_) => Problem::too_many(format!("as many {} with this token as may", self.what)),
                Party::Anyone => Problem::busy(format!("as many {} without a token as may", self.what)),
            });
        }
        taken.insert(party, own + 1);
        Ok(Place { places: Arc::clone(self), party })
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

impl Place {
    /// Whose it is.
    pub(super) const fn party(&self) -> Party {
        self.party
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.party) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.party)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::Kind;
    use super::*;

    #[test]
    fn one_party_leaves_as_many_places_as_it_has() {
        let places = Arc::new(Places::new(8, "readers follow streams"));
        let token = |number: u8| Party::Token(format!("{number:012x}").parse().unwrap());
        let take = |party| std::iter::from_fn(|| places.take(party).ok()).collect::<Vec<_>>();
        let refused = |party| places.take(party).unwrap_err().kind();
        let (first, second) = (take(token(1)), take(Party::Anyone));
        assert_eq!((first.len(), second.len()), (4, 2));
        assert_eq!((refused(token(1)), refused(Party::Anyone)), (Kind::RateLimited, Kind::Busy));
        let (third, last) = (take(token(3)), take(token(4)));
        assert_eq!((third.len(), last.len(), places.taken()), (1, 1, 8), "the last one goes to whoever has none");
        assert_eq!(refused(token(1)), Kind::Busy);
        drop((first, third, last));
        assert_eq!(take(Party::Anyone).len(), 2, "four of eight, with four left");
        drop(second);
        assert_eq!(take(token(1)).len(), 4);
        assert!(places.taken.lock().unwrap().is_empty());
    }

    #[test]
    fn a_single_place_can_be_taken() {
        let places = Arc::new(Places::new(1, "readers follow logs"));
        let place = places.take(Party::Anyone).unwrap();
        assert_eq!(places.take(Party::Anyone).unwrap_err().kind(), Kind::Busy);
        drop(place);
        places.take(Party::Anyone).unwrap();
    }
}
