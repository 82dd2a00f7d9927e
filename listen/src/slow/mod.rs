//! The threads of the slow lane: those of spare time, and those that stand in for them where there is none.

mod starved;
mod task;
mod threads;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, available_parallelism};
use std::time::{Duration, Instant};

use tokio::runtime::{self, Handle, Runtime};

use self::starved::Shift;
pub(crate) use self::starved::Threads;
pub use self::task::{spawn_blocking, spawn_blocking_on};
pub use self::threads::{give_way, offer_core};

/// The threads of the slow lane.
#[derive(Debug)]
pub struct SlowLane {
    handle: SlowHandle,
    /// Until it is ended.
    runtimes: Option<Runtimes>,
    /// Dropped before they end, that nobody looks any more.
    watching: Option<Sender<()>>,
}

/// Those of spare time, and those that stand in for them and do what blocks.
#[derive(Debug)]
struct Runtimes {
    spare: Runtime,
    nice: Runtime,
}

/// Where tasks of the slow lane are begun.
#[derive(Debug, Clone)]
pub struct SlowHandle(Arc<Parts>);

/// One for all tasks of the lane, each of which has the handle.
#[derive(Debug)]
struct Parts {
    spare: Handle,
    nice: Handle,
    shift: Arc<Shift>,
    /// From here on no timer that was begun there may be looked at.
    has_ended: AtomicBool,
}

impl SlowLane {
    /// Starts them; work that blocks has so many more at most.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(blocking_threads: usize) -> io::Result<Self> {
        let shift = Arc::<Shift>::default();
        // Nothing that blocks is begun among these.
        let spare = begin(Threads::Spare, 1, &shift)?;
        let nice = match begin(Threads::Nice, blocking_threads, &shift) {
            Ok(nice) => nice,
            Err(error) => {
                // Dropping it would wait, which a task must not.
                spare.shutdown_background();
                return Err(error);
            }
        };
        let handle = SlowHandle::to([&spare, &nice].map(Runtime::handle), &shift);
        let ((watching, end), to_watch) = (channel(), spare.handle().clone());
        let lane = Self { handle, runtimes: Some(Runtimes { spare, nice }), watching: Some(watching) };
        Builder::new().name("slow-lane-watch".to_owned()).spawn(move || shift.watch(&to_watch, &end))?;
        Ok(lane)
    }

    /// Where its tasks are begun.
    #[must_use]
    pub fn handle(&self) -> &SlowHandle {
        &self.handle
    }

    /// Waits until what blocks has ended, at most so long. Connections that are still open are dropped, in either lane. Not to
    /// be called by a task.
    pub fn end(mut self, patience: Duration) {
        let begun = Instant::now();
        if let Some(Runtimes { spare, nice }) = self.take() {
            // What blocks is here.
            nice.shutdown_timeout(patience);
            spare.shutdown_timeout(patience.saturating_sub(begun.elapsed()));
        }
    }

    fn take(&mut self) -> Option<Runtimes> {
        self.handle.0.has_ended.store(true, Ordering::Release);
        self.watching = None;
        self.runtimes.take()
    }
}

/// Threads of one kind, one fewer than there are cores. What blocks is not left to spare time: it may hold what others need.
fn begin(threads: Threads, blocking_threads: usize, shift: &Arc<Shift>) -> io::Result<Runtime> {
    let workers = available_parallelism().map_or(1, usize::from).saturating_sub(1).max(1);
    let (shift, started) = (Arc::clone(shift), AtomicUsize::new(0));
    let start = move || {
        // The first are those that drive connections.
        let drives = started.fetch_add(1, Ordering::Relaxed) < workers;
        if !drives {
            return give_way();
        }
        shift.join(threads);
        if threads == Threads::Nice || !threads::spare() {
            give_way();
        } else {
            task::now_spare();
        }
    };
    let name = if threads == Threads::Spare { "slow-lane" } else { "slow-lane-nice" };
    let mut builder = runtime::Builder::new_multi_thread();
    builder.worker_threads(workers).max_blocking_threads(blocking_threads).thread_name(name).on_thread_start(start);
    builder.enable_all().build()
}

impl SlowHandle {
    fn to([spare, nice]: [&Handle; 2], shift: &Arc<Shift>) -> Self {
        let (spare, nice, shift) = (spare.clone(), nice.clone(), Arc::clone(shift));
        Self(Arc::new(Parts { spare, nice, shift, has_ended: AtomicBool::new(false) }))
    }

    /// Whose turn it is.
    pub(crate) fn threads(&self) -> Threads {
        self.0.shift.threads()
    }

    pub(crate) fn runtime(&self, threads: Threads) -> &Handle {
        match threads {
            Threads::Spare => &self.0.spare,
            Threads::Nice => &self.0.nice,
        }
    }

    /// Whether the lane has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.has_ended.load(Ordering::Acquire)
    }
}

/// Crowds have no threads of their own then, but those of this runtime.
impl From<Handle> for SlowHandle {
    fn from(runtime: Handle) -> Self {
        Self::to([&runtime; 2], &Arc::default())
    }
}

impl Drop for SlowLane {
    fn drop(&mut self) {
        if let Some(Runtimes { spare, nice }) = self.take() {
            nice.shutdown_background();
            spare.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn niceness() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[test]
    fn its_threads_leave_a_core_and_what_blocks_is_nicer() {
        let slow = SlowLane::start(1).unwrap();
        let wanted = (niceness() + threads::NICER_BY).min(19);
        let cores = available_parallelism().map_or(1, usize::from);
        let nice = slow.handle().runtime(Threads::Nice);
        let both = async { [niceness(), spawn_blocking(niceness).await.unwrap()] };
        assert_eq!(nice.block_on(nice.spawn(both)).unwrap(), [wanted; 2]);
        for threads in [Threads::Spare, Threads::Nice] {
            assert_eq!(slow.handle().runtime(threads).metrics().num_workers(), (cores - 1).max(1));
        }
        slow.end(Duration::from_secs(5));
    }

    #[test]
    fn what_begins_in_spare_time_goes_on_at_all_times() {
        use preempt_rt::sched::{Pid, Scheduler, get_scheduler};
        let policy = || get_scheduler(Pid::current_thread()).unwrap();
        let slow = SlowLane::start(1).unwrap();
        let (sender, told) = channel();
        let work = async move {
            sender.send(policy()).unwrap();
            sender.send(tokio::spawn(async move { policy() }).await.unwrap()).unwrap();
            sender.send(spawn_blocking(policy).await.unwrap()).unwrap();
        };
        slow.handle().begin(work, true);
        // Unless other tests have left no spare time for a while.
        assert!(told.recv().unwrap() == Scheduler::SCHED_IDLE || slow.handle().threads() == Threads::Nice);
        assert_eq!([told.recv().unwrap(), told.recv().unwrap()], [Scheduler::SCHED_NORMAL; 2]);
        slow.end(Duration::from_secs(5));
    }

    /// Other threads have enough to do for every core, until this is dropped.
    struct Busy {
        stop: Arc<AtomicBool>,
        threads: Vec<std::thread::JoinHandle<()>>,
    }

    impl Busy {
        fn all_cores() -> Self {
            let stop = Arc::<AtomicBool>::default();
            let busy = |_| {
                let stop = Arc::clone(&stop);
                std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {})
            };
            let threads = (0..2 * available_parallelism().unwrap().get()).map(busy).collect();
            Self { stop, threads }
        }
    }

    impl Drop for Busy {
        fn drop(&mut self) {
            self.stop.store(true, Ordering::Relaxed);
            self.threads.drain(..).for_each(|thread| thread.join().unwrap());
        }
    }

    #[test]
    fn those_of_spare_time_are_relieved_where_there_is_none() {
        let slow = SlowLane::start(1).unwrap();
        let (sender, told) = channel();
        let work = async move {
            while sender.send(std::thread::current().name().unwrap_or_default().to_owned()).is_ok() {
                tokio::task::yield_now().await;
            }
        };
        slow.handle().begin(work, true);
        let wait_for = |wanted| {
            let begun = Instant::now();
            while told.recv().unwrap() != wanted {
                assert!(begun.elapsed() < Duration::from_secs(120), "never {wanted}");
            }
        };
        let busy = Busy::all_cores();
        wait_for("slow-lane-nice");
        drop((busy, told));
        let begun = Instant::now();
        while slow.handle().threads() != Threads::Spare {
            assert!(begun.elapsed() < Duration::from_secs(120), "never again");
            std::thread::sleep(Duration::from_millis(10));
        }
        slow.end(Duration::from_secs(5));
    }
}
