//! The same work on many things, on several cores, and its results in order. For reads that open hundreds of records, at
//! tens of microseconds each.
//!
//! Whoever asks always works itself, and takes no more helpers than are free, so that nobody waits for a thread. The
//! helpers are the same threads all the time: a new one begins with no memory of its own, and gives what it had of it back
//! to the system.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::give_way;

/// Pieces of work for which a helper is worth its beginning.
const WORTH: usize = 4;

/// The helpers of all requests.
pub(crate) struct Cores {
    free: AtomicUsize,
    /// A thread for each of them; nothing on a machine with one core.
    pool: Option<ThreadPool>,
}

impl fmt::Debug for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cores").field("free", &self.free).finish_non_exhaustive()
    }
}

/// Some of them.
struct Helpers<'c> {
    cores: &'c Cores,
    count: usize,
}

impl Drop for Helpers<'_> {
    fn drop(&mut self) {
        self.cores.free.fetch_add(self.count, Ordering::Relaxed);
    }
}

/// What is to be done, and how far it is.
struct Pieces<W> {
    count: usize,
    next: AtomicUsize,
    /// Nothing from here on is needed.
    stop: AtomicUsize,
    work: W,
}

type Done<T, E> = Vec<(usize, Result<Option<T>, E>)>;

impl Cores {
    /// A helper for each core but one.
    pub(crate) fn of_machine() -> Self {
        Self::new(available_parallelism().map_or(0, |cores| cores.get().saturating_sub(1)))
    }

    fn new(helpers: usize) -> Self {
        let threads = ThreadPoolBuilder::new().num_threads(helpers).thread_name(|_| "cores".to_owned());
        // For rayon, no number of threads is a number of its own.
        let pool = (helpers > 0).then(|| threads.start_handler(|_| give_way()).build());
        let pool = pool.and_then(|pool| pool.inspect_err(|error| tracing::warn!(%error, "reads have one core")).ok());
        Self { free: AtomicUsize::new(pool.as_ref().map_or(0, ThreadPool::current_num_threads)), pool }
    }

    /// Does the pieces of work from 0 to before `count`, and gives what came of them in order, up to the first of which came
    /// nothing. None of those before is left out; some behind it may have been done in vain.
    ///
    /// # Errors
    /// That of the first piece that failed, if none before it came to nothing.
    pub(crate) fn in_order<T: Send, E: Send>(
        &self,
        count: usize,
        work: impl Fn(usize) -> Result<Option<T>, E> + Sync,
    ) -> Result<Vec<T>, E> {
        let pieces = Pieces { count, next: AtomicUsize::new(0), stop: AtomicUsize::new(count), work };
        let helpers = self.helpers(count / WORTH);
        let shares = Mutex::new(Vec::new());
        let share = || {
            let done = pieces.run();
            shares.lock().unwrap_or_else(PoisonError::into_inner).extend(done);
        };
        match self.pool.as_ref().filter(|_| helpers.count > 0) {
            Some(pool) => pool.in_place_scope(|scope| {
                (0..helpers.count).for_each(|_| scope.spawn(|_| share()));
                share();
            }),
            None => share(),
        }
        drop(helpers);
        let mut done = shares.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(place, _)| *place);
        done.into_iter().map_while(|(_, result)| result.transpose()).collect()
    }

    fn helpers(&self, worth: usize) -> Helpers<'_> {
        let mut count = 0;
        let take = |free: usize| {
            count = free.min(worth);
            Some(free - count)
        };
        // Never fails: there is always something to say.
        let _before = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        Helpers { cores: self, count }
    }
}

impl<W> Pieces<W> {
    /// Does one piece after another. They are taken in order, so that all before the one that stops are taken when it does.
    fn run<T, E>(&self) -> Done<T, E>
    where
        W: Fn(usize) -> Result<Option<T>, E>,
    {
        let mut done = Vec::new();
        loop {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            if place >= self.count.min(self.stop.load(Ordering::Relaxed)) {
                return done;
            }
            let result = (self.work)(place);
            if !matches!(result, Ok(Some(_))) {
                self.stop.fetch_min(place, Ordering::Relaxed);
            }
            done.push((place, result));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Barrier, Mutex};
    use std::thread::current;

    use super::*;

    #[test]
    fn results_are_in_order_up_to_the_first_that_is_nothing() {
        for helpers in [0, 1, 3, 7] {
            let cores = Cores::new(helpers);
            for count in [0, 1, 5, 8, 100, 1_000] {
                let all = cores.in_order(count, |place| Ok::<_, ()>(Some(place * 2))).unwrap();
                assert_eq!(all, (0..count).map(|place| place * 2).collect::<Vec<_>>());
                let some = cores.in_order(count, |place| Ok::<_, ()>((place != 37).then_some(place))).unwrap();
                assert_eq!(some, (0..count.min(37)).collect::<Vec<_>>());
                let failed = |at| move |place| if place >= at { Err(place) } else { Ok(Some(place)) };
                assert_eq!(
                    cores.in_order(count, failed(50)),
                    if count > 50 { Err(50) } else { Ok((0..count).collect()) }
                );
            }
            let first =
                cores.in_order(100, |place| if place == 60 { Err(()) } else { Ok((place < 20).then_some(place)) });
            assert_eq!(first.map(|all| all.len()), Ok(20), "what fails behind the end is not told");
            assert_eq!(cores.free.load(Ordering::Relaxed), helpers);
        }
    }

    #[test]
    fn helpers_work_beside_the_asker_and_no_more_than_there_are() {
        let (cores, together) = (Cores::new(3), Barrier::new(4));
        let threads = Mutex::new(BTreeSet::new());
        let work = |place| {
            // The first four wait for one another: that is only possible on four threads.
            if place < 4 {
                together.wait();
            }
            threads.lock().unwrap().insert(format!("{:?}", current().id()));
            let none_left = cores.helpers(9).count;
            Ok::<_, ()>(Some(none_left))
        };
        let left = cores.in_order(400, work).unwrap();
        assert!(left.iter().all(|count| *count == 0));
        assert_eq!(threads.lock().unwrap().len(), 4);
    }
}
