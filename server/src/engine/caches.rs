//! How full what is kept in memory is: caches of what was read, and the newest of what was written. What they hold, and how
//! it gets there, stands in `reader`, `records::newest`, `postings` and `index`.

use std::sync::PoisonError;

use super::Engine;
use super::head::Shared;
use super::index::HashIndex;

/// How full one of these is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cached {
    /// Its name.
    pub name: &'static str,
    /// Bytes in use.
    pub used: u64,
    /// Bytes that it fills at most.
    pub capacity: u64,
}

impl Cached {
    fn new(name: &'static str, (used, capacity): (usize, usize)) -> Self {
        Self { name, used: used as u64, capacity: capacity as u64 }
    }
}

impl Engine {
    /// How full each of them is; the caches of right edges are small, and left out. What is kept of each log by itself is
    /// told in sums over all logs that have any of it in memory.
    #[must_use]
    pub fn cached(&self) -> Vec<Cached> {
        let running = &self.inner;
        let logs = running.registry.all();
        let sum = |of: fn(&Shared) -> (usize, usize)| {
            let each = logs.iter().map(|log| of(log));
            each.fold((0, 0), |(used, most), (one, its)| (used + one, most + its))
        };
        let newest = running.newest.read().unwrap_or_else(PoisonError::into_inner).bytes();
        let mut cached = running.reader.cached().to_vec();
        cached.extend([
            Cached::new("newest_records", newest),
            Cached::new(
                "newest_postings",
                sum(|log| log.found.get().map_or((0, 0), |found| found.postings.newest_bytes())),
            ),
            Cached::new("posting_filters", running.upkeep.filter_bytes()),
            Cached::new("newest_leaves", sum(|log| log.index.as_ref().map_or((0, 0), HashIndex::bytes))),
        ]);
        cached
    }
}
