//! How many threads read much at a time: one fewer than there are cores, so that whoever writes finds one that is free. A
//! read that is alone has them all.
//!
//! The same work on many things is done on several of them, and its results come in order: for reads that open hundreds of
//! records, at tens of microseconds each. Whoever asks works itself, and takes no more helpers than are free. It waits for
//! those that it took, which do nothing once all the work is taken, but may have to wait for the processor themselves. The
//! helpers are the same threads all the time: a new one begins with no memory of its own, and gives what it had of it back to
//! the system.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::{give_way, offer_core};

/// Pieces of work for which a helper is worth its beginning.
const WORTH: usize = 4;

/// The threads of all reads of much, and those that help them.
pub(crate) struct Cores {
    /// One for each thread that may read, askers and helpers alike.
    turns: Arc<Semaphore>,
    /// How many have a turn or wait for one.
    asked: Arc<AtomicUsize>,
    /// A thread for each core but the asker's; nothing on a machine with one core.
    pool: Option<ThreadPool>,
}

impl fmt::Debug for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cores").field("turns", &self.turns).field("asked", &self.asked).finish_non_exhaustive()
    }
}

/// The right to read much, on one thread.
#[derive(Debug)]
pub(crate) struct Turn {
    _one: Option<OwnedSemaphorePermit>,
    _asked: Asked,
}

#[derive(Debug)]
struct Asked(Arc<AtomicUsize>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Some helpers.
struct Helpers<'c> {
    _turns: Option<SemaphorePermit<'c>>,
    count: usize,
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
    pub(crate) fn of_machine() -> Self {
        Self::new(available_parallelism().map_or(1, usize::from))
    }

    fn new(cores: usize) -> Self {
        let helpers = cores.saturating_sub(1);
        let threads = ThreadPoolBuilder::new().num_threads(helpers).thread_name(|_| "cores".to_owned());
        // For rayon, no number of threads is a number of its own.
        let pool = (helpers > 0).then(|| threads.start_handler(|_| give_way()).build());
        let pool = pool.and_then(|pool| pool.inspect_err(|error| tracing::warn!(%error, "reads have one core")).ok());
        Self { turns: Arc::new(Semaphore::new(helpers.max(1))), asked: Arc::default(), pool }
    }

    /// Waits until one more may read much.
    pub(crate) async fn turn(&self) -> Turn {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let asked = Asked(Arc::clone(&self.asked));
        // Nobody closes it.
        Turn { _one: Arc::clone(&self.turns).acquire_owned().await.ok(), _asked: asked }
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
        let threads = self.pool.as_ref().map_or(0, ThreadPool::current_num_threads);
        // The core that is left to those who write, while they are the only ones to be disturbed.
        let spare = usize::from(self.asked.load(Ordering::Relaxed) <= 1);
        let wanted = worth.min(threads);
        let turns = wanted.saturating_sub(spare).min(self.turns.available_permits());
        let taken = self.turns.try_acquire_many(u32::try_from(turns).unwrap_or(u32::MAX)).ok();
        let count = taken.as_ref().map_or(0, SemaphorePermit::num_permits);
        Helpers { _turns: taken, count: (count + spare).min(wanted) }
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
            offer_core();
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
        for number in [1, 2, 4, 8] {
            let cores = Cores::new(number);
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
            assert_eq!(cores.turns.available_permits(), (number - 1).max(1));
        }
    }

    #[tokio::test]
    async fn a_read_that_is_alone_has_all_cores_and_several_leave_one_to_others() {
        let cores = Cores::new(4);
        let alone = cores.turn().await;
        let together = Barrier::new(4);
        let threads = Mutex::new(BTreeSet::new());
        let work = |place| {
            // The first four wait for one another: that is only possible on four threads.
            if place < 4 {
                together.wait();
            }
            threads.lock().unwrap().insert(format!("{:?}", current().id()));
            Ok::<_, ()>(Some(cores.turns.available_permits()))
        };
        let left = cores.in_order(400, work).unwrap();
        assert!(left.iter().all(|count| *count == 0));
        assert_eq!(threads.lock().unwrap().len(), 4);
        let second = cores.turn().await;
        assert_eq!(cores.helpers(9).count, 1);
        let third = cores.turn().await;
        assert_eq!(cores.helpers(9).count, 0);
        let mut fourth = Box::pin(cores.turn());
        assert!(is_pending(&mut fourth));
        drop((alone, second, third));
        drop(fourth.await);
        assert_eq!((cores.turns.available_permits(), cores.asked.load(Ordering::Relaxed)), (3, 0));
    }

    fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::Pin::new(future).poll(&mut cx).is_pending()
    }

    #[test]
    fn a_piece_that_panics_gives_all_turns_back() {
        let cores = Cores::new(4);
        let work = |place: usize| -> Result<Option<usize>, ()> {
            assert_ne!(place, 3, "on purpose");
            Ok(Some(place))
        };
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cores.in_order(100, work)));
        assert!(ended.is_err());
        assert_eq!(cores.turns.available_permits(), 3);
        assert_eq!(cores.in_order(8, |place| Ok::<_, ()>(Some(place))).map(|all| all.len()), Ok(8));
    }
}
