//! The write of a large commit, on a thread of its own, so that the writer places the next one meanwhile.
//!
//! At most one is being written, and everything else that the writer writes or hands over comes after it: the store gets
//! commits in the order of their numbers, and the releaser gets them in the same. Small commits are written by the writer
//! itself: requests that wait gather meanwhile, and no thread has to be woken for them.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use cairn_tree::store::{Batch, Store};

use super::handover::{Commit, Work, releaser_ended};
use super::job::{Job, Waiting};
use super::pool::Pool;
use super::writer::Poison;

/// A commit of entries that is to be written.
pub(super) struct Unwritten {
    pub(super) batch: Batch,
    /// Who waits for other rows in it.
    pub(super) waiting: Waiting,
    pub(super) commit: Box<Commit>,
}

impl Unwritten {
    /// Writes it and gives what may be handed over. An error leaves unknown whether the store has it.
    pub(super) fn write(self, store: &dyn Store, poison: &OnceLock<String>) -> Result<Work, Poison> {
        let Self { batch, waiting, mut commit } = self;
        commit.begun = Instant::now();
        if let Err(error) = store.commit(batch) {
            // Before those who wait are told, by being dropped. The first reason stands.
            let _ = poison.set(error.to_string());
            return Err(Poison(error.to_string()));
        }
        waiting.tell();
        commit.figures.store = commit.begun.elapsed();
        Ok(Work::Commit(commit))
    }
}

/// The writer's side of the thread.
pub(super) struct Beside {
    pool: Arc<Pool<Job>>,
    send: SyncSender<Unwritten>,
}

impl Beside {
    /// Waits until nothing is being written.
    pub(super) fn wait(&self) {
        self.pool.await_write();
    }

    /// Lets a commit be written, after the one before it. Whether the thread is there to do so.
    pub(super) fn write(&self, commit: Unwritten) -> bool {
        self.pool.begin_writing();
        // The thread takes it, or it comes back because the thread has ended.
        let sent = self.send.send(commit).is_ok();
        if !sent {
            self.pool.end_writing();
        }
        sent
    }
}

/// The thread's side.
pub(super) struct BesideThread {
    pool: Arc<Pool<Job>>,
    /// Without room: what is sent is taken, or comes back when this side has ended.
    take: Receiver<Unwritten>,
    store: Arc<dyn Store>,
    release: SyncSender<Work>,
    poison: Arc<OnceLock<String>>,
}

/// Both sides.
pub(super) fn beside(
    pool: Arc<Pool<Job>>,
    store: Arc<dyn Store>,
    release: SyncSender<Work>,
    poison: Arc<OnceLock<String>>,
) -> (Beside, BesideThread) {
    let (send, take) = sync_channel(0);
    (Beside { pool: Arc::clone(&pool), send }, BesideThread { pool, take, store, release, poison })
}

impl BesideThread {
    /// Writes until the writer has ended, or until a write fails; then nothing more is taken.
    pub(super) fn run(self) -> Result<(), Poison> {
        while let Ok(commit) = self.take.recv() {
            // However this ends, the writer goes on, and finds the reason if there is one.
            let mut end = EndOfWrite { pool: &self.pool, poison: &self.poison, written: false };
            let work = commit.write(&*self.store, &self.poison)?;
            end.written = true;
            self.release.send(work).map_err(|_| releaser_ended(&self.poison))?;
        }
        Ok(())
    }
}

/// Tells the pool that the write has ended, after its commit was handed over.
struct EndOfWrite<'a> {
    pool: &'a Pool<Job>,
    poison: &'a OnceLock<String>,
    written: bool,
}

impl Drop for EndOfWrite<'_> {
    fn drop(&mut self) {
        if !self.written {
            // Before the writer goes on, a panic included. The first reason stands.
            let _ = self.poison.set("a commit was not written to its end".to_owned());
        }
        self.pool.end_writing();
    }
}
