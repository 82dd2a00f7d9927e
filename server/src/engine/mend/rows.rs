//! Reading rows around what can't be read.

use cairn_tree::store::{Key, KeyRange, Store};

use crate::engine::bounds::MEND_ROWS;

/// Keys between which rows may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    /// From here on nothing could be read,
    pub(super) from: Key,
    /// up to here; `None`: up to the end of what was asked for.
    pub(super) to: Option<Key>,
    /// Why.
    pub(super) problem: String,
}

/// Hands on every row of a range of one kind that can be read, in order, and tells where there may be others.
///
/// Where a row can't be read, nobody knows the key of the next: it is found by halving, in the keys' first eight bytes.
pub(super) fn scan_past<E>(
    store: &dyn Store,
    range: KeyRange,
    each: &mut dyn FnMut(Key, Vec<u8>) -> Result<(), E>,
) -> Result<Vec<Gap>, E> {
    let mut gaps: Vec<Gap> = Vec::new();
    let Ok(start) = Key::parse(range.start()) else { return Ok(gaps) };
    let rest = |key: &Key| range.starting_at(key);
    let (mut at, mut limit) = (start, MEND_ROWS);
    loop {
        match store.scan(&rest(&at), limit) {
            Ok(rows) => {
                let Some(next) = rows.last().map(|(key, _)| after(key)) else { return Ok(gaps) };
                for (key, row) in rows {
                    each(key, row)?;
                }
                let Some(next) = next else { return Ok(gaps) };
                (at, limit) = (next, MEND_ROWS);
            }
            Err(_) if limit > 1 => limit = 1,
            Err(error) => {
                let to = next_readable(&at, |key| store.scan(&rest(key), 1).is_ok());
                gaps.push(Gap { from: at, to: to.clone(), problem: error.to_string() });
                let Some(to) = to.filter(|to| range.contains(to)) else { return Ok(gaps) };
                (at, limit) = (to, MEND_ROWS);
            }
        }
    }
}

/// The first key that can stand after this one.
fn after(key: &Key) -> Option<Key> {
    Key::parse(&[key.as_bytes(), &[0]].concat()).ok()
}

/// About the first key after one that can't be read from which reading goes on.
fn next_readable(bad: &Key, is_readable: impl Fn(&Key) -> bool) -> Option<Key> {
    let mut first = [0; 8];
    first.iter_mut().zip(bad.suffix()).for_each(|(to, from)| *to = *from);
    let start = u64::from_be_bytes(first);
    let key = |number| Key::numbered(bad.log(), bad.kind(), number);
    let (mut low, mut step) = (start, 1_u64);
    let mut high = loop {
        let next = start.checked_add(step)?;
        if is_readable(&key(next)) {
            break next;
        }
        (low, step) = (next, step.checked_mul(2)?);
    };
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if is_readable(&key(middle)) { high = middle } else { low = middle }
    }
    Some(key(high))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use cairn_tree::store::memory::MemoryStore;
    use cairn_tree::store::{Batch, CommitError, Kind, LogId, StoreError};

    use super::*;

    const LOG: LogId = LogId::new(3);

    /// A store of which some numbers can't be read, nor scanned over.
    struct Torn {
        store: MemoryStore,
        bad: Vec<(u64, u64)>,
    }

    impl Store for Torn {
        fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
            self.store.get_many(keys)
        }

        fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
            let is_bad = |number: u64| self.bad.iter().any(|(from, to)| (*from..*to).contains(&number));
            let start = Key::parse(range.start()).unwrap();
            let rows = self.store.scan(range, limit)?;
            let seen = rows.iter().map(|(key, _)| key.number().unwrap());
            let first = u64::from_be_bytes(*start.suffix().first_chunk().unwrap_or(&[0; 8]));
            if is_bad(first) || seen.into_iter().any(is_bad) {
                return Err(StoreError::Corrupt("torn".to_owned()));
            }
            Ok(rows)
        }

        fn commit(&self, _: Batch) -> Result<(), CommitError> {
            Err(CommitError::Fenced)
        }
    }

    fn store(numbers: impl Iterator<Item = u64>) -> MemoryStore {
        let (store, mut batch) = (MemoryStore::new(), Batch::new());
        numbers.for_each(|number| batch.put(Key::numbered(LOG, Kind::Bundle, number), vec![1]));
        store.commit(batch).unwrap();
        store
    }

    fn read(torn: &Torn, range: KeyRange) -> (Vec<u64>, Vec<Gap>) {
        let mut found = Vec::new();
        let gaps = scan_past::<Infallible>(torn, range, &mut |key, _| {
            found.push(key.number().unwrap());
            Ok(())
        });
        (found, gaps.unwrap())
    }

    #[test]
    fn everything_but_what_is_torn_is_read_and_the_gaps_are_told() {
        let all: Vec<u64> = (0..5_000).map(|number| 7 * number).collect();
        for bad in [vec![], vec![(0, 1)], vec![(70, 85)], vec![(500, 3_000), (3_101, 3_102)], vec![(34_000, u64::MAX)]]
        {
            let torn = Torn { store: store(all.iter().copied()), bad: bad.clone() };
            let (found, gaps) = read(&torn, KeyRange::all(LOG, Kind::Bundle));
            let is_good = |number: &&u64| bad.iter().all(|(from, to)| !(*from..*to).contains(*number));
            assert_eq!(found, all.iter().filter(is_good).copied().collect::<Vec<_>>(), "{bad:?}");
            assert_eq!(gaps.len(), bad.len(), "{gaps:?}");
            for (gap, bad) in gaps.iter().zip(&bad) {
                let to = gap.to.as_ref().map_or(u64::MAX, |to| to.number().unwrap());
                assert_eq!(to, bad.1, "{gap:?}");
            }
        }
    }

    #[test]
    fn a_range_ends_where_it_was_to() {
        let torn = Torn { store: store(0..100), bad: vec![(40, 60)] };
        let (found, gaps) = read(&torn, KeyRange::numbers(LOG, Kind::Bundle, 30..50));
        assert_eq!((found, gaps.len()), ((30..40).collect(), 1));
    }
}
