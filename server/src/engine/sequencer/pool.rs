//! The pool: what waits for the next commit, bounded in requests and bytes.
//!
//! Many threads put in; the writer takes everything that has gathered, up to one commit's worth. There is no timer: an
//! idle writer sleeps, and the first request wakes it. While a commit is written by a thread of its own, only what is large
//! is taken at once; small requests gather until it is done, so that fewer commits have more of them.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::engine::bounds::{COMMIT_BYTES, COMMIT_REQUESTS, LARGE_COMMIT_BYTES};

/// Something that waits, with the bytes it holds in memory.
pub(super) trait Weighed {
    /// Bytes of entries or rows.
    fn weight(&self) -> usize;
}

/// Why something was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Refused {
    /// The bounds are reached; there will be room again.
    Full,
    /// The writer has stopped or is stopping.
    Closed,
}

/// The most that may wait.
#[derive(Debug, Clone, Copy)]
pub struct PoolBounds {
    /// Requests.
    pub requests: usize,
    /// Bytes of entries.
    pub bytes: usize,
}

pub(super) struct Pool<T> {
    bounds: PoolBounds,
    waiting: Mutex<Waiting<T>>,
    wake: Condvar,
    /// Woken when no commit is being written any more.
    written: Condvar,
}

struct Waiting<T> {
    jobs: VecDeque<T>,
    bytes: usize,
    closed: bool,
    /// Whether a commit is being written beside the writer.
    writing: bool,
}

impl<T: Weighed> Pool<T> {
    pub(super) fn new(bounds: PoolBounds) -> Self {
        let waiting = Waiting { jobs: VecDeque::new(), bytes: 0, closed: false, writing: false };
        Self { bounds, waiting: Mutex::new(waiting), wake: Condvar::new(), written: Condvar::new() }
    }

    /// Puts a job in, or hands it back. A job larger than all of the pool still finds room in an empty one.
    pub(super) fn submit(&self, job: T) -> Result<(), (T, Refused)> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err((job, Refused::Closed));
        }
        let full = waiting.jobs.len() >= self.bounds.requests
            || (!waiting.jobs.is_empty() && waiting.bytes.saturating_add(job.weight()) > self.bounds.bytes);
        if full {
            return Err((job, Refused::Full));
        }
        waiting.bytes = waiting.bytes.saturating_add(job.weight());
        waiting.jobs.push_back(job);
        // Only the first job can find the writer asleep, or one that makes enough of them.
        if waiting.jobs.len() == 1 || waiting.writing {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Puts a job in whatever the bounds are: for the server's own few jobs. Hands it back once closed.
    pub(super) fn submit_own(&self, job: T) -> Result<(), T> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(job);
        }
        waiting.bytes = waiting.bytes.saturating_add(job.weight());
        waiting.jobs.push_back(job);
        self.wake.notify_one();
        Ok(())
    }

    /// Waits for jobs and takes one commit's worth of them, in order. `None` once closed and empty.
    pub(super) fn take(&self) -> Option<Vec<T>> {
        let mut waiting = self.lock();
        while waiting.jobs.is_empty() || waiting.gathers() {
            if waiting.jobs.is_empty() && waiting.closed {
                return None;
            }
            waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let mut bytes = 0_usize;
        let mut count = 0;
        for job in waiting.jobs.iter().take(COMMIT_REQUESTS) {
            bytes = bytes.saturating_add(job.weight());
            if count > 0 && bytes > COMMIT_BYTES {
                break;
            }
            count += 1;
        }
        let jobs: Vec<T> = waiting.jobs.drain(..count).collect();
        let taken: usize = jobs.iter().map(T::weight).sum();
        waiting.bytes = waiting.bytes.saturating_sub(taken);
        Some(jobs)
    }

    /// A commit is being written beside the writer, after the one before it.
    pub(super) fn begin_writing(&self) {
        self.wait_for_write().writing = true;
    }

    /// It is written, or never will be.
    pub(super) fn end_writing(&self) {
        self.lock().writing = false;
        self.written.notify_all();
        self.wake.notify_one();
    }

    /// Waits until no commit is being written beside the writer.
    pub(super) fn await_write(&self) {
        drop(self.wait_for_write());
    }

    fn wait_for_write(&self) -> MutexGuard<'_, Waiting<T>> {
        let waiting = self.lock();
        self.written.wait_while(waiting, |waiting| waiting.writing).unwrap_or_else(PoisonError::into_inner)
    }

    /// How many requests wait.
    pub(super) fn depth(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Takes no more jobs; those inside are still taken out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    // A panic while the lock is held leaves the queue whole: every change above is complete before anything can panic.
    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Waiting<T> {
    /// Whether what waits had better wait for more.
    fn gathers(&self) -> bool {
        self.writing && !self.closed && self.bytes < LARGE_COMMIT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weighed for usize {
        fn weight(&self) -> usize {
            *self
        }
    }

    fn pool(requests: usize, bytes: usize) -> Pool<usize> {
        Pool::new(PoolBounds { requests, bytes })
    }

    #[test]
    fn a_full_pool_refuses_and_has_room_again() {
        let pool = pool(2, 10);
        assert_eq!(pool.submit(4), Ok(()));
        assert_eq!(pool.submit(7), Err((7, Refused::Full)));
        assert_eq!(pool.submit(6), Ok(()));
        assert_eq!(pool.submit(0), Err((0, Refused::Full)));
        assert_eq!(pool.take(), Some(vec![4, 6]));
        assert_eq!(pool.submit(11), Ok(()));
        assert_eq!(pool.depth(), 1);
    }

    #[test]
    fn one_commit_takes_no_more_than_its_bytes_but_at_least_one_job() {
        let pool = pool(10, usize::MAX);
        for weight in [COMMIT_BYTES + 1, COMMIT_BYTES, 1] {
            assert_eq!(pool.submit(weight), Ok(()));
        }
        assert_eq!(pool.take(), Some(vec![COMMIT_BYTES + 1]));
        assert_eq!(pool.take(), Some(vec![COMMIT_BYTES]));
        assert_eq!(pool.take(), Some(vec![1]));
    }

    #[test]
    fn while_a_commit_is_written_small_jobs_gather_and_large_ones_do_not() {
        let pool = std::sync::Arc::new(pool(10, usize::MAX));
        pool.begin_writing();
        let taker = std::sync::Arc::clone(&pool);
        let taken = std::thread::spawn(move || [taker.take(), taker.take()]);
        assert_eq!(pool.submit(1), Ok(()));
        assert_eq!(pool.submit(2), Ok(()));
        // Nobody takes these two: the third makes enough of them.
        assert!(pool.lock().gathers());
        assert_eq!(pool.submit(LARGE_COMMIT_BYTES), Ok(()));
        while pool.depth() > 0 {
            std::thread::yield_now();
        }
        assert_eq!(pool.submit(4), Ok(()));
        assert_eq!(pool.submit(5), Ok(()));
        assert!(pool.lock().gathers());
        pool.end_writing();
        pool.await_write();
        assert_eq!(taken.join().unwrap(), [Some(vec![1, 2, LARGE_COMMIT_BYTES]), Some(vec![4, 5])]);
    }

    #[test]
    fn a_closed_pool_gathers_nothing() {
        let pool = pool(10, 10);
        pool.begin_writing();
        assert_eq!(pool.submit(1), Ok(()));
        assert!(pool.lock().gathers());
        pool.close();
        assert_eq!(pool.take(), Some(vec![1]));
        assert_eq!(pool.take(), None);
    }

    #[test]
    fn a_closed_pool_is_emptied_first() {
        let pool = pool(10, 10);
        assert_eq!(pool.submit(1), Ok(()));
        pool.close();
        assert_eq!(pool.submit(2), Err((2, Refused::Closed)));
        assert_eq!(pool.take(), Some(vec![1]));
        assert_eq!(pool.take(), None);
    }
}
