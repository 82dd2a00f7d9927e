//! The threads of the slow lane, and how threads give way to others.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, available_parallelism};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

/// By how much threads that give way are nicer than the others: they get about a tenth of what one of those gets. At the most,
/// 19, they would do nothing while the others have enough to do.
const NICER_BY: i32 = 10;

/// The threads of the slow lane.
#[derive(Debug)]
pub struct SlowLane {
    handle: SlowHandle,
    /// Until it is ended.
    runtime: Option<Runtime>,
}

/// Where tasks of the slow lane are begun.
#[derive(Debug, Clone)]
pub struct SlowHandle {
    runtime: Handle,
    /// From here on no timer that was begun there may be looked at.
    has_ended: Arc<AtomicBool>,
}

impl SlowLane {
    /// Starts them; work that blocks has so many more at most.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(blocking_threads: usize) -> io::Result<Self> {
        let cores = available_parallelism().map_or(1, usize::from);
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(cores.saturating_sub(1).max(1)).max_blocking_threads(blocking_threads);
        let runtime = builder.thread_name("slow-lane").on_thread_start(give_way).enable_all().build()?;
        let handle = SlowHandle { runtime: runtime.handle().clone(), has_ended: Arc::default() };
        Ok(Self { handle, runtime: Some(runtime) })
    }

    /// Where its tasks are begun.
    #[must_use]
    pub fn handle(&self) -> &SlowHandle {
        &self.handle
    }

    /// Waits until what blocks has ended, at most so long. Connections that are still open are dropped, in either lane. Not to
    /// be called by a task.
    pub fn end(mut self, patience: Duration) {
        if let Some(runtime) = self.take() {
            runtime.shutdown_timeout(patience);
        }
    }

    fn take(&mut self) -> Option<Runtime> {
        self.handle.has_ended.store(true, Ordering::Release);
        self.runtime.take()
    }
}

impl SlowHandle {
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Whether the lane has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }
}

/// Crowds have no threads of their own then, but those of this runtime.
impl From<Handle> for SlowHandle {
    fn from(runtime: Handle) -> Self {
        Self { runtime, has_ended: Arc::default() }
    }
}

impl Drop for SlowLane {
    fn drop(&mut self) {
        if let Some(runtime) = self.take() {
            runtime.shutdown_background();
        }
    }
}

/// Makes this thread give way to others of the process. On Linux, threads are nice one by one, and begin as nice as the one
/// that started them: so it is counted from the first of the process, which never gives way.
pub fn give_way() {
    let first = rustix::process::getpriority_process(Some(rustix::process::getpid()));
    let given = first.and_then(|nice| rustix::process::setpriority_process(None, nice + NICER_BY));
    if let Err(error) = given {
        tracing::warn!(%error, "a thread can't give way to those that have less to do");
    }
}

/// Lets a thread that was woken have the core, if any waits: nicer or not, the kernel lets whoever works go on for some
/// milliseconds before that. For threads that give way, between two pieces of work.
pub fn offer_core() {
    thread::yield_now();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_threads_are_nicer_and_leave_a_core() {
        let slow = SlowLane::start(1).unwrap();
        let own = rustix::process::getpriority_process(None).unwrap();
        let (sender, niceness) = std::sync::mpsc::channel();
        slow.handle().runtime.spawn(async move {
            let nice = || rustix::process::getpriority_process(None).unwrap();
            sender.send(nice()).unwrap();
            // Its thread is begun by one that gives way.
            sender.send(tokio::task::spawn_blocking(nice).await.unwrap()).unwrap();
        });
        let wanted = (own + NICER_BY).min(19);
        assert_eq!((niceness.recv().unwrap(), niceness.recv().unwrap()), (wanted, wanted));
        let cores = available_parallelism().map_or(1, usize::from);
        assert_eq!(slow.handle().runtime.metrics().num_workers(), (cores - 1).max(1));
        slow.end(Duration::from_secs(5));
    }
}
