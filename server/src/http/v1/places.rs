//! Places for work that lasts: so many, and no more for one token than are left for the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::auth::TokenId;

/// All of them.
#[derive(Debug)]
pub(in crate::http) struct Places {
    most: usize,
    taken: Mutex<BTreeMap<TokenId, usize>>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    token: TokenId,
}

impl Places {
    /// As many.
    pub(in crate::http) const fn new(most: usize) -> Self {
        Self { most, taken: Mutex::new(BTreeMap::new()) }
    }

    /// A place for this token, if there is one.
    pub(super) fn take(self: &Arc<Self>, token: TokenId) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let own = taken.get(&token).copied().unwrap_or(0);
        let left = self.most.checked_sub(all + 1)?;
        if own + 1 > left {
            return None;
        }
        taken.insert(token, own + 1);
        Some(Place { places: Arc::clone(self), token })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.token) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.token)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_leaves_as_many_places_as_it_has() {
        let places = Arc::new(Places::new(8));
        let token = |number: u8| format!("{number:012x}").parse().unwrap();
        let take = |number| std::iter::from_fn(|| places.take(token(number))).collect::<Vec<_>>();
        let (first, second) = (take(1), take(2));
        assert_eq!((first.len(), second.len()), (4, 2));
        assert_eq!(take(3).len(), 1);
        drop(first);
        assert_eq!(take(2).len(), 2, "four of eight, with four left");
        drop(second);
        assert_eq!(take(1).len(), 4);
        assert!(places.taken.lock().unwrap().is_empty());
    }
}
