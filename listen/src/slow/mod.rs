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
    runtimes: Option<[Runtime; 2]>,
    /// Dropped with it, that nobody looks any more.
    _watching: Sender<()>,
}

/// Where tasks of the slow lane are begun.
#[derive(Debug, Clone)]
pub struct SlowHandle {
    spare: Handle,
    nice: Handle,
    shift: Arc<Shift>,
    /// From here on no timer that was begun there may be looked at.
    has_ended: Arc<AtomicBool>,
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
        let [to_spare, to_nice] = [&spare, &nice].map(|runtime| runtime.handle().clone());
        let handle =
            SlowHandle { spare: to_spare, nice: to_nice, shift: Arc::clone(&shift), has_ended: Arc::default() };
        let (watching, end) = channel();
        let lane = Self { handle, runtimes: Some([spare, nice]), _watching: watching };
        Builder::new().name("slow-lane-watch".to_owned()).spawn(move || shift.watch(&end))?;
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
        for runtime in self.take().into_iter().flatten() {
            runtime.shutdown_timeout(patience.saturating_sub(begun.elapsed()));
        }
    }

    fn take(&mut self) -> Option<[Runtime; 2]> {
        self.handle.has_ended.store(true, Ordering::Release);
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
        if threads == Threads::Nice {
            give_way();
        } else if threads::spare() {
            task::is_spare();
        } else {
            // They are two sets of nicer ones then.
            give_way();
        }
    };
    let name = if threads == Threads::Spare { "slow-lane" } else { "slow-lane-nice" };
    let mut builder = runtime::Builder::new_multi_thread();
    builder.worker_threads(workers).max_blocking_threads(blocking_threads).thread_name(name).on_thread_start(start);
    builder.enable_all().build()
}

impl SlowHandle {
    /// Whose turn it is.
    pub(crate) fn threads(&self) -> Threads {
        self.shift.threads()
    }

    pub(crate) fn runtime(&self, threads: Threads) -> &Handle {
        match threads {
            Threads::Spare => &self.spare,
            Threads::Nice => &self.nice,
        }
    }

    /// Whether the lane has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }
}

/// Crowds have no threads of their own then, but those of this runtime.
impl From<Handle> for SlowHandle {
    fn from(runtime: Handle) -> Self {
        Self { spare: runtime.clone(), nice: runtime, shift: Arc::default(), has_ended: Arc::default() }
    }
}

impl Drop for SlowLane {
    fn drop(&mut self) {
        for runtime in self.take().into_iter().flatten() {
            runtime.shutdown_background();
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

    #[cfg(target_os = "linux")]
    #[test]
    fn what_begins_in_spare_time_goes_on_at_all_times() {
        use preempt_rt::sched::{Pid, Scheduler, get_scheduler};
        let policy = || get_scheduler(Pid::current_thread()).unwrap();
        let slow = SlowLane::start(1).unwrap();
        let (sender, told) = channel();
        slow.handle().begin(async move {
            sender.send(policy()).unwrap();
            sender.send(tokio::spawn(async move { policy() }).await.unwrap()).unwrap();
            sender.send(spawn_blocking(policy).await.unwrap()).unwrap();
        });
        // Unless other tests have left no spare time for a while.
        assert!(told.recv().unwrap() == Scheduler::SCHED_IDLE || slow.handle().threads() == Threads::Nice);
        assert_eq!([told.recv().unwrap(), told.recv().unwrap()], [Scheduler::SCHED_NORMAL; 2]);
        slow.end(Duration::from_secs(5));
    }

    /// Other threads have enough to do for every core; then they have not.
    #[cfg(target_os = "linux")]
    #[test]
    fn those_of_spare_time_are_relieved_where_there_is_none() {
        let slow = SlowLane::start(1).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let busy = || {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {})
        };
        let threads: Vec<_> = (0..2 * available_parallelism().unwrap().get()).map(|_| busy()).collect();
        let is_done = Arc::clone(&stop);
        slow.handle().runtime(Threads::Spare).spawn(async move {
            while !is_done.load(Ordering::Relaxed) {
                tokio::task::yield_now().await;
            }
        });
        let wait_for = |wanted| {
            let begun = Instant::now();
            while slow.handle().threads() != wanted {
                assert!(begun.elapsed() < Duration::from_secs(60), "never {wanted:?}");
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        wait_for(Threads::Nice);
        stop.store(true, Ordering::Relaxed);
        wait_for(Threads::Spare);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        slow.end(Duration::from_secs(5));
    }
}
