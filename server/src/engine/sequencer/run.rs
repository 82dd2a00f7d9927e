//! The writer's thread: it takes what has gathered, does it, and sleeps when there is nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use super::job::Job;
use super::pool::{Pool, PoolBounds, Refused};
use super::writer::{Poison, Writer};
use crate::engine::observer::Observer;

/// The way to the writer.
pub(in crate::engine) struct Sequencer {
    pool: Arc<Pool<Job>>,
    poison: Arc<OnceLock<String>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Sequencer {
    /// Starts the thread.
    pub(in crate::engine) fn start(writer: Writer, bounds: PoolBounds) -> std::io::Result<Self> {
        let pool = Arc::new(Pool::new(bounds));
        let poison = Arc::clone(&writer.parts.poison);
        let observer = Arc::clone(&writer.parts.observer);
        let (its_pool, its_poison) = (Arc::clone(&pool), Arc::clone(&poison));
        let body = move || run(writer, &its_pool, &its_poison, &*observer);
        let thread = std::thread::Builder::new().name("sequencer".to_owned()).spawn(body)?;
        Ok(Self { pool, poison, thread: Mutex::new(Some(thread)) })
    }

    /// Hands a job over; one that is refused is dropped.
    pub(in crate::engine) fn submit(&self, job: Job) -> Result<(), Refused> {
        self.pool.submit(job).map_err(|(_, refused)| refused)
    }

    /// Hands over one of the server's own jobs, of which there are few; dropped once the writer has stopped.
    pub(in crate::engine) fn submit_own(&self, job: Job) {
        // A dropped job drops its sender, which is the answer.
        drop(self.pool.submit_own(job));
    }

    /// How many jobs wait.
    pub(in crate::engine) fn depth(&self) -> usize {
        self.pool.depth()
    }

    /// Why the writer has stopped, if it has.
    pub(in crate::engine) fn poison(&self) -> Option<String> {
        self.poison.get().cloned()
    }

    /// Takes no more jobs, waits until those inside are done, and ends the thread.
    pub(in crate::engine) fn close(&self) {
        self.pool.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // The thread catches its own panics.
            let _ = thread.join();
        }
    }
}

fn run(mut writer: Writer, pool: &Pool<Job>, poison: &OnceLock<String>, observer: &dyn Observer) {
    while let Some(jobs) = pool.take() {
        // A panic is a bug of ours in the middle of a commit: what is in memory can no longer be trusted to sign.
        let step = catch_unwind(AssertUnwindSafe(|| writer.step(jobs)));
        let outcome = step.unwrap_or_else(|_| Err(Poison("the writer panicked".to_owned())));
        if let Err(Poison(reason)) = outcome {
            tracing::error!(%reason, "the writer has stopped; the process must end");
            // Only this thread sets it.
            let _ = poison.set(reason.clone());
            pool.close();
            observer.poisoned(&reason);
            // Jobs that still wait are dropped, which tells those who asked that the server is stopping.
            while pool.take().is_some() {}
            return;
        }
        // What is left to sweep must not wait for an append.
        if let Some(log) = writer.next_sweep().filter(|_| pool.depth() == 0) {
            // A closed pool hands it back: the next start sweeps.
            drop(pool.submit_own(Job::Sweep(log)));
        }
    }
}
