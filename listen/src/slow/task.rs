//! Work of the slow lane, wherever its threads are.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};

use super::{SlowHandle, Threads};

thread_local! {
    /// Whether this thread only works in spare time. One that it starts would too, and hardly ever could do otherwise.
    static IS_SPARE: Cell<bool> = const { Cell::new(false) };
}

/// This thread only works in spare time from now on.
pub(super) fn now_spare() {
    IS_SPARE.set(true);
}

/// Begins work that blocks on a thread for such work, and gives what comes of it, as [`tokio::task::spawn_blocking`] does. Unlike
/// it, never does this start a thread that only works in spare time: to be used wherever connections may be driven.
///
/// # Errors
/// If the work panics, or the runtime ends before it is begun.
pub fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, JoinError>> + Send {
    spawn_blocking_on(&Handle::current(), work)
}

/// The same on the threads of another runtime, whose tasks may be driven by nobody.
///
/// # Errors
/// The same.
#[expect(clippy::disallowed_methods, reason = "here it is seen to that the thread is begun by another")]
pub fn spawn_blocking_on<T, W>(
    threads: &Handle,
    work: W,
) -> impl Future<Output = Result<T, JoinError>> + Send + use<T, W>
where
    T: Send + 'static,
    W: FnOnce() -> T + Send + 'static,
{
    let begun = if IS_SPARE.get() {
        let threads = threads.clone();
        // Where connections are driven, the runtime is that of those who stand in.
        Begun::Elsewhere(Handle::current().spawn(async move { threads.spawn_blocking(work).await }))
    } else {
        Begun::Here(threads.spawn_blocking(work))
    };
    async move {
        match begun {
            Begun::Here(work) => work.await,
            Begun::Elsewhere(work) => work.await?,
        }
    }
}

/// By whom work that blocks was begun.
enum Begun<T> {
    Here(JoinHandle<T>),
    Elsewhere(JoinHandle<Result<T, JoinError>>),
}

impl SlowHandle {
    /// Begins work of the lane, that of a crowd in spare time if there is any.
    pub(crate) fn begin<F: Future<Output: Send> + Send + 'static>(&self, work: F, is_of_crowd: bool) {
        let (lane, on) = (self.clone(), if is_of_crowd { self.threads() } else { Threads::Nice });
        self.runtime(on).spawn(Task { lane, on, work: Some(Box::pin(work)) });
    }

    /// Polls work of the lane. What it begins itself, tasks and timers, is not begun in spare time: it could not change over.
    pub(crate) fn poll<F: Future + ?Sized>(&self, work: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let entered = self.runtime(Threads::Nice).enter();
        let polled = work.poll(cx);
        drop(entered);
        if IS_SPARE.get() {
            // A kernel without full preemption takes the core when it is offered, or milliseconds later. What is offered is paid for,
            // which for a thread of spare time is a second of a core that others want.
            thread::yield_now();
        }
        polled
    }
}

/// Nothing once it has ended, or goes on elsewhere.
struct Task<F> {
    lane: SlowHandle,
    on: Threads,
    work: Option<Pin<Box<F>>>,
}

impl<F: Future<Output: Send> + Send + 'static> Future for Task<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let task = &mut *self;
        if task.lane.has_ended() {
            // Its timers are those of the threads that stand in, and woke it because these end.
            task.work = None;
        }
        let Some(work) = &mut task.work else { return Poll::Ready(()) };
        if task.on == Threads::Nice || task.lane.threads() == Threads::Spare {
            return task.lane.poll(work.as_mut(), cx).map(|_| task.work = None);
        }
        let work = task.work.take();
        task.lane.runtime(Threads::Nice).spawn(Self { lane: task.lane.clone(), on: Threads::Nice, work });
        Poll::Ready(())
    }
}
