//! The sequencer's three threads: the writer takes what has gathered, does it, and sleeps when there is nothing; a second
//! one writes large commits beside it; the releaser checks, signs and answers behind both. What ends one ends all.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{Builder, JoinHandle};

use cairn_tree::store::Key;

use super::beside::beside;
use super::job::{Done, Job, MaintainJob};
use super::pool::{Pool, PoolBounds, Refused};
use super::releaser::Releaser;
use super::writer::{Poison, Writer};
use crate::engine::observer::Observer;
use crate::engine::postings::{Sink, SinkError};

/// The way to the writer.
pub(in crate::engine) struct Sequencer {
    pool: Arc<Pool<Job>>,
    poison: Arc<OnceLock<String>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Sequencer {
    /// Starts the threads.
    pub(in crate::engine) fn start(
        mut writer: Writer,
        releaser: Releaser,
        bounds: PoolBounds,
    ) -> std::io::Result<Self> {
        let pool = Arc::new(Pool::new(bounds));
        let poison = Arc::clone(&writer.parts.poison);
        let observer = Arc::clone(&writer.parts.observer);
        let end = Arc::new(End { pool: Arc::clone(&pool), poison: Arc::clone(&poison), told: false.into(), observer });
        let (writers, besides, releasers) = (Arc::clone(&end), Arc::clone(&end), end);
        let (side, thread) =
            beside(Arc::clone(&pool), Arc::clone(&writer.parts.store), writer.release.work(), Arc::clone(&poison));
        writer.release.set_beside(side);
        let release = move || {
            // A closed pool hands it back: the next start asks the signer again, and checks what no mark covers.
            let tell = |job| drop(releasers.pool.submit_own(job));
            releasers.guard(|| releaser.run(&tell));
        };
        let release = Builder::new().name("releaser".to_owned()).spawn(release)?;
        let write_large = move || besides.guard(|| thread.run());
        // Should this or the next fail, its writer is dropped, and the others end as well.
        let write_large = Builder::new().name("large-commits".to_owned()).spawn(write_large)?;
        let write =
            Builder::new().name("sequencer".to_owned()).spawn(move || writers.guard(|| run(writer, &writers)))?;
        Ok(Self { pool, poison, threads: Mutex::new(vec![write, write_large, release]) })
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

    /// Takes no more jobs, waits until those inside are done and released, and ends the threads.
    pub(in crate::engine) fn close(&self) {
        self.pool.close();
        let threads = core::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // The threads catch their own panics.
            let _ = thread.join();
        }
    }
}

/// Rows of postings go with the next commit.
impl Sink for Sequencer {
    fn write(&self, puts: Vec<(Key, Vec<u8>)>, deletes: Vec<Key>) -> Result<(), SinkError> {
        let (done, wait) = sync_channel(1);
        self.submit_own(Job::Maintain(MaintainJob { puts, deletes, done: Some(Done::Thread(done)) }));
        wait.recv().map_err(|_| SinkError("the writer has stopped".to_owned()))
    }
}

/// How all threads end when one of them fails.
struct End {
    pool: Arc<Pool<Job>>,
    poison: Arc<OnceLock<String>>,
    told: AtomicBool,
    observer: Arc<dyn Observer>,
}

impl End {
    /// Runs one thread's work; if it fails, sees to it that the others end.
    fn guard(&self, work: impl FnOnce() -> Result<(), Poison>) {
        // A panic is a bug of ours in the middle of a commit: what is in memory can no longer be trusted to sign.
        let ended = catch_unwind(AssertUnwindSafe(work));
        let Err(Poison(reason)) = ended.unwrap_or_else(|_| Err(Poison("the sequencer panicked".to_owned()))) else {
            return;
        };
        // The first reason stands; another thread may fail because this one has.
        let _ = self.poison.set(reason.clone());
        self.pool.close();
        if !self.told.swap(true, Ordering::SeqCst) {
            tracing::error!(%reason, "the writer has stopped; the process must end");
            self.observer.poisoned(&reason);
        }
        // Jobs that still wait are dropped, which tells those who asked that the server is stopping.
        while self.pool.take().is_some() {}
    }
}

fn run(mut writer: Writer, end: &End) -> Result<(), Poison> {
    while let Some(jobs) = end.pool.take() {
        if let Some(reason) = end.poison.get() {
            return Err(Poison(reason.clone()));
        }
        writer.step(jobs, end.pool.begin())?;
        // What is left to sweep must not wait for an append.
        if let Some(log) = writer.next_sweep().filter(|_| end.pool.depth() == 0) {
            // A closed pool hands it back: the next start sweeps.
            drop(end.pool.submit_own(Job::Sweep(log)));
        }
    }
    Ok(())
}
