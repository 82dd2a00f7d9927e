//! The pool: what waits for the next commit, bounded in requests and bytes.
//!
//! Many threads put in; the writer takes everything that has gathered, up to one commit's worth. An idle writer sleeps, and
//! the first request wakes it. While a commit is written by a thread of its own, only what is large is taken at once; small
//! requests gather until it is done, so that fewer commits have more of them.
//!
//! Where one caller has brought much, others do not wait until all of it is done: what is brought in crowds, or in large
//! pieces, waits on its own, has its share of each commit, and never all of the room. That share is small while anybody
//! brings little, since every commit that waits for it takes longer; and a commit of nothing else waits until the one before
//! is the only one under way, so that whoever brings little finds none that wait; for no longer than that counts, should nobody
//! come. Otherwise it is all, at once.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::bounds::{
    COMMIT_BYTES, COMMIT_REQUESTS, FEW_ASKED, LARGE_COMMIT_BYTES, LARGE_JOB_BYTES, MANY_BEHIND, MANY_BYTES,
    MANY_REQUESTS,
};

/// Something that waits, with the bytes it holds in memory.
pub(super) trait Weighed {
    /// Bytes of entries or rows.
    fn weight(&self) -> usize;

    /// Whose it is.
    fn whose(&self) -> Whose;
}

/// Whose something is that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// The server's own, of which there is little.
    Own,
    /// That of a caller who brings one thing after the other.
    Few,
    /// That of a caller who brings many at once.
    Many,
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
    /// What is taken first.
    few: Line<T>,
    /// What has its share.
    many: Line<T>,
    /// When somebody last brought little.
    few_asked: Option<Instant>,
    /// For how long that counts.
    few_count: Duration,
    closed: bool,
    /// Whether a commit is being written beside the writer.
    writing: bool,
    /// What was taken and is not done with.
    under_way: usize,
}

/// What was taken from a pool, until it is done with.
pub(super) struct UnderWay<T: Weighed> {
    pool: Arc<Pool<T>>,
}

impl<T: Weighed> Drop for UnderWay<T> {
    fn drop(&mut self) {
        let mut waiting = self.pool.lock();
        waiting.under_way -= 1;
        let wakes = waiting.under_way == MANY_BEHIND && waiting.count() > 0;
        drop(waiting);
        if wakes {
            self.pool.wake.notify_one();
        }
    }
}

/// What waits in order.
struct Line<T> {
    jobs: VecDeque<T>,
    bytes: usize,
}

/// The most that is taken at once.
#[derive(Clone, Copy)]
struct Share {
    requests: usize,
    bytes: usize,
}

impl Share {
    const COMMIT: Self = Self { requests: COMMIT_REQUESTS, bytes: COMMIT_BYTES };
    const HALF: Self = Self { requests: COMMIT_REQUESTS / 2, bytes: COMMIT_BYTES / 2 };
    /// Of those who bring many, while others bring little.
    const SMALL: Self = Self { requests: MANY_REQUESTS, bytes: MANY_BYTES };

    fn within(self, other: Self) -> Self {
        Self { requests: self.requests.min(other.requests), bytes: self.bytes.min(other.bytes) }
    }
}

impl<T: Weighed> Line<T> {
    const fn new() -> Self {
        Self { jobs: VecDeque::new(), bytes: 0 }
    }

    fn push(&mut self, job: T) {
        self.bytes = self.bytes.saturating_add(job.weight());
        self.jobs.push_back(job);
    }

    /// Takes no more than a share, in order, and at least one job if it has one. What is left of a commit.
    fn take(&mut self, share: Share, into: &mut Vec<T>) -> Share {
        let (mut requests, mut bytes) = (0, 0_usize);
        while let Some(weight) = self.jobs.front().map(T::weight) {
            let fits = requests < share.requests && bytes.saturating_add(weight) <= share.bytes;
            if requests > 0 && !fits {
                break;
            }
            (requests, bytes) = (requests + 1, bytes.saturating_add(weight));
            into.extend(self.jobs.pop_front());
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        let Share { requests: all, bytes: whole } = Share::COMMIT;
        Share { requests: all.saturating_sub(requests), bytes: whole.saturating_sub(bytes) }
    }
}

impl<T: Weighed> Pool<T> {
    pub(super) fn new(bounds: PoolBounds) -> Self {
        let (few, many) = (Line::new(), Line::new());
        let (few_asked, few_count) = (None, FEW_ASKED);
        let waiting = Waiting { few, many, few_asked, few_count, closed: false, writing: false, under_way: 0 };
        Self { bounds, waiting: Mutex::new(waiting), wake: Condvar::new(), written: Condvar::new() }
    }

    /// Puts a job in, or hands it back. A job larger than all of the pool still finds room in an empty one.
    pub(super) fn submit(&self, job: T) -> Result<(), (T, Refused)> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err((job, Refused::Closed));
        }
        let (whose, weight) = (whose(&job), job.weight());
        let room = if whose == Whose::Many { self.bounds.of_many() } else { self.bounds };
        let full = waiting.count() >= room.requests
            || (waiting.count() > 0 && waiting.bytes().saturating_add(weight) > room.bytes);
        if full {
            return Err((job, Refused::Full));
        }
        if whose == Whose::Few {
            waiting.few_asked = Some(Instant::now());
        }
        let line = waiting.line(whose);
        line.push(job);
        // Only the first of a line can find the writer asleep, or one that makes enough of them.
        let wakes = line.jobs.len() == 1 || waiting.writing;
        // The writer may be given the core of whoever wakes it, and wants the lock first.
        drop(waiting);
        if wakes {
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
        waiting.few.push(job);
        drop(waiting);
        self.wake.notify_one();
        Ok(())
    }

    /// Waits for jobs and takes one commit's worth of them, each line in order. `None` once closed and empty.
    pub(super) fn take(&self) -> Option<Vec<T>> {
        let mut waiting = self.lock();
        while waiting.count() == 0 || waiting.gathers() || waiting.defers() {
            if waiting.count() == 0 && waiting.closed {
                return None;
            }
            waiting = self.sleep(waiting);
        }
        let mut jobs = Vec::new();
        let (few, many) = waiting.shares();
        let left = waiting.few.take(few, &mut jobs);
        waiting.many.take(many.within(left), &mut jobs);
        Some(jobs)
    }

    /// Until something changes, or what is put off has waited long enough for those who brought little.
    fn sleep<'pool>(&self, waiting: MutexGuard<'pool, Waiting<T>>) -> MutexGuard<'pool, Waiting<T>> {
        match waiting.few_asked {
            Some(asked) if waiting.count() > 0 && waiting.defers() => {
                let longest = waiting.few_count.saturating_sub(asked.elapsed());
                self.wake.wait_timeout(waiting, longest).unwrap_or_else(PoisonError::into_inner).0
            }
            _ => self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// From now on something that was taken is under way.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay<T> {
        self.lock().under_way += 1;
        UnderWay { pool: Arc::clone(self) }
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
        self.lock().count()
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

/// Large pieces are many at once.
fn whose<T: Weighed>(job: &T) -> Whose {
    match job.whose() {
        Whose::Few if job.weight() > LARGE_JOB_BYTES => Whose::Many,
        whose => whose,
    }
}

impl PoolBounds {
    /// The room for those who bring much: what others bring finds some beside it.
    const fn of_many(self) -> Self {
        Self { requests: self.requests - self.requests / 4, bytes: self.bytes - self.bytes / 4 }
    }
}

impl<T> Waiting<T> {
    fn line(&mut self, whose: Whose) -> &mut Line<T> {
        if whose == Whose::Many { &mut self.many } else { &mut self.few }
    }

    fn count(&self) -> usize {
        self.few.jobs.len() + self.many.jobs.len()
    }

    fn bytes(&self) -> usize {
        self.few.bytes.saturating_add(self.many.bytes)
    }

    /// What a commit takes of each line. Either has half of it at least, so that none waits for ever for the other.
    fn shares(&self) -> (Share, Share) {
        let few = if self.many.jobs.is_empty() { Share::COMMIT } else { Share::HALF };
        (few, if self.have_few_asked() { Share::SMALL } else { Share::COMMIT })
    }

    fn have_few_asked(&self) -> bool {
        self.few_asked.is_some_and(|asked| asked.elapsed() < self.few_count)
    }

    /// Whether what waits leaves the way to those who may come before it.
    fn defers(&self) -> bool {
        self.few.jobs.is_empty() && self.under_way > MANY_BEHIND && !self.closed && self.have_few_asked()
    }

    /// Whether what waits had better wait for more.
    fn gathers(&self) -> bool {
        self.writing && !self.closed && self.bytes() < LARGE_COMMIT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::SeqCst;

    use super::*;

    impl Weighed for usize {
        fn weight(&self) -> usize {
            *self
        }

        fn whose(&self) -> Whose {
            Whose::Few
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
        // What is small does not wait for what is large, which is never left behind for it either.
        assert_eq!(pool.take(), Some(vec![1, COMMIT_BYTES + 1]));
        assert_eq!(pool.take(), Some(vec![COMMIT_BYTES]));
        for weight in [LARGE_JOB_BYTES, LARGE_JOB_BYTES, COMMIT_BYTES / 2, COMMIT_BYTES / 2, 1] {
            assert_eq!(pool.submit(weight), Ok(()));
        }
        assert_eq!(pool.take(), Some(vec![LARGE_JOB_BYTES, LARGE_JOB_BYTES, 1, COMMIT_BYTES / 2]));
        assert_eq!(pool.take(), Some(vec![COMMIT_BYTES / 2]));
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

    #[test]
    fn those_who_bring_much_wait_for_commits_under_way_while_others_bring_little() {
        let pool = patient();
        let (first, second, _third) = (pool.begin(), pool.begin(), pool.begin());
        assert_eq!(submit(&pool, Whose::Many, 1), Ok(()));
        assert_eq!(taken(&pool), (0, 1), "nobody has brought little");
        // These two go together, though others are under way.
        assert_eq!(submit(&pool, Whose::Many, 1), Ok(()));
        assert_eq!(submit(&pool, Whose::Few, 1), Ok(()));
        assert_eq!(taken(&pool), (1, 1));
        assert_eq!(submit(&pool, Whose::Many, 1), Ok(()));
        let (ends, taker) = (Arc::new(AtomicBool::new(false)), Arc::clone(&pool));
        let has_ended = Arc::clone(&ends);
        let late = std::thread::spawn(move || (taken(&taker), has_ended.load(SeqCst)));
        drop(first);
        assert!(pool.lock().defers());
        ends.store(true, SeqCst);
        drop(second);
        assert_eq!(late.join().unwrap(), ((0, 1), true));
    }

    #[test]
    fn a_pool_that_waits_is_woken_by_who_brings_little_and_by_its_end() {
        for end in [|pool: &Pool<Job>| submit(pool, Whose::Few, 1).unwrap(), |pool: &Pool<Job>| pool.close()] {
            let pool = patient();
            assert_eq!(submit(&pool, Whose::Few, 1), Ok(()));
            assert_eq!(taken(&pool), (1, 0));
            let _commits = [pool.begin(), pool.begin()];
            assert_eq!(submit(&pool, Whose::Many, 1), Ok(()));
            let taker = Arc::clone(&pool);
            let late = std::thread::spawn(move || taken(&taker).1);
            assert!(pool.lock().defers());
            end(&pool);
            assert_eq!(late.join().unwrap(), 1);
        }
    }

    #[test]
    fn a_pool_that_waits_for_those_who_bring_little_waits_no_longer_than_that_counts() {
        let pool = patient();
        assert_eq!(submit(&pool, Whose::Few, 1), Ok(()));
        assert_eq!(taken(&pool), (1, 0));
        let _commits = [pool.begin(), pool.begin()];
        assert_eq!(submit(&pool, Whose::Many, 1), Ok(()));
        assert!(pool.lock().defers());
        // Neither of the two ever ends, and nobody comes.
        pool.lock().few_count = Duration::from_millis(50);
        assert_eq!(taken(&pool), (0, 1));
    }

    /// In which whoever has brought little counts for longer than any test takes.
    fn patient() -> Arc<Pool<Job>> {
        let pool = Pool::new(PoolBounds { requests: 10_000, bytes: usize::MAX });
        pool.lock().few_count = Duration::from_secs(3_600);
        Arc::new(pool)
    }

    /// What comes in crowds.
    #[derive(Debug, PartialEq)]
    struct Job(Whose, usize);

    impl Weighed for Job {
        fn weight(&self) -> usize {
            self.1
        }

        fn whose(&self) -> Whose {
            self.0
        }
    }

    fn submit(pool: &Pool<Job>, whose: Whose, weight: usize) -> Result<(), Refused> {
        pool.submit(Job(whose, weight)).map_err(|(_, refused)| refused)
    }

    fn taken(pool: &Pool<Job>) -> (usize, usize) {
        let jobs = pool.take().unwrap();
        let many = jobs.iter().filter(|job| whose(*job) == Whose::Many).count();
        (jobs.len() - many, many)
    }

    #[test]
    fn who_brings_little_comes_before_those_who_bring_much_and_these_have_a_share() {
        let pool = Pool::new(PoolBounds { requests: 10_000, bytes: usize::MAX });
        for _ in 0..2 * MANY_REQUESTS {
            assert_eq!(submit(&pool, Whose::Many, 1), Ok(()));
        }
        assert_eq!(submit(&pool, Whose::Few, 1), Ok(()));
        assert_eq!(taken(&pool), (1, MANY_REQUESTS));
        // A large piece is much, whoever brings it, and has its turn behind those before it.
        assert_eq!(submit(&pool, Whose::Few, MANY_BYTES + 1), Ok(()));
        assert_eq!(taken(&pool), (0, MANY_REQUESTS));
        assert_eq!(submit(&pool, Whose::Many, 1), Ok(()));
        assert_eq!(taken(&pool), (0, 1));
        assert_eq!(taken(&pool), (0, 1));
    }

    #[test]
    fn where_nobody_brings_little_the_others_have_all_of_a_commit() {
        let pool = Pool::new(PoolBounds { requests: 10_000, bytes: usize::MAX });
        for _ in 0..2 * MANY_REQUESTS {
            assert_eq!(submit(&pool, Whose::Many, 1), Ok(()));
        }
        // The server's own jobs are no callers.
        assert_eq!(pool.submit_own(Job(Whose::Own, 1)), Ok(()));
        assert_eq!(taken(&pool), (1, 2 * MANY_REQUESTS));
    }

    #[test]
    fn those_who_bring_much_leave_room_to_others() {
        let pool = Pool::new(PoolBounds { requests: 8, bytes: 1_000 });
        for _ in 0..6 {
            assert_eq!(submit(&pool, Whose::Many, 1), Ok(()));
        }
        assert_eq!(submit(&pool, Whose::Many, 1), Err(Refused::Full));
        assert_eq!(submit(&pool, Whose::Few, 900), Ok(()));
        assert_eq!(submit(&pool, Whose::Few, 1), Ok(()));
        assert_eq!(submit(&pool, Whose::Few, 1), Err(Refused::Full));
        assert_eq!(taken(&pool), (2, 6));
    }

    #[test]
    fn neither_line_takes_all_of_a_commit_from_the_other() {
        let pool = Pool::new(PoolBounds { requests: usize::MAX, bytes: usize::MAX });
        let pieces = COMMIT_BYTES / LARGE_JOB_BYTES;
        for _ in 0..pieces {
            assert_eq!(submit(&pool, Whose::Few, LARGE_JOB_BYTES), Ok(()));
        }
        assert_eq!(submit(&pool, Whose::Many, COMMIT_BYTES), Ok(()));
        assert_eq!(taken(&pool), (pieces / 2, 1));
        assert_eq!(taken(&pool), (pieces / 2, 0));
    }
}
