//! The one thread that changes the state: it takes what has gathered, makes all of it durable at once, and only then lets
//! anybody see it.
//!
//! Requests are decided before they come here, each against the version of its log that its handler saw. The thread
//! compares that with the version that is there now; if another request was faster, the decision is worth nothing and is
//! sent back. So the check and the change are one step, and two racing requests can't roll a log back.

use std::collections::HashMap;
use std::sync::mpsc::{self, RecvTimeoutError, TrySendError};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Instant;

use cairn_tree::checkpoint::OriginHash;
use tokio::sync::{oneshot, watch};
use tracing::error;

use super::bounds;
use super::change::{Change, ChangeError};
use super::figures::{Figures, Waiting};
use super::log::{Cosigned, Log};
use super::state::{Logs, Store, StoreError};

/// What the writer is asked.
#[derive(Debug)]
enum Job {
    Cosign(Cosign),
    Change(Change, oneshot::Sender<Result<Arc<Log>, ChangeError>>),
}

/// A head to be recorded as the newest of its log.
#[derive(Debug)]
struct Cosign {
    /// The version of the log that the decision was made on.
    seen: Arc<Log>,
    /// The head, with a time that is not before the last one of that version.
    cosigned: Arc<Cosigned>,
    done: oneshot::Sender<Result<Arc<Cosigned>, Undone>>,
    waiting: Waiting,
}

/// Why a head was not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undone {
    /// Another request was faster: decide again.
    Overtaken,
    /// The queue is full.
    Busy,
    /// The state can't be written any more.
    Failed,
}

/// The way to the writer, and what it has made durable so far.
#[derive(Debug)]
pub(super) struct Desk {
    jobs: mpsc::SyncSender<Job>,
    published: Arc<RwLock<Logs>>,
    failed: watch::Receiver<bool>,
    figures: Arc<Figures>,
}

/// Told once a head that was handed in is durable, or why it is not: what is to be shown for it.
pub(super) type Done = oneshot::Receiver<Result<Arc<Cosigned>, Undone>>;

struct Writer {
    store: Store,
    jobs: mpsc::Receiver<Job>,
    published: Arc<RwLock<Logs>>,
    failed: watch::Sender<bool>,
    figures: Arc<Figures>,
    /// When the base last took note of how far the journal goes.
    marked: Instant,
}

/// What is told to whoever waits, once the commit is durable.
struct Answer<T, E> {
    to: oneshot::Sender<Result<T, E>>,
    says: Result<T, E>,
}

impl<T, E> Answer<T, E> {
    /// Whoever has gone away needs no answer.
    fn give(self) {
        let _ = self.to.send(self.says);
    }

    fn give_instead(self, error: E) {
        let _ = self.to.send(Err(error));
    }
}

/// What one commit is made of.
#[derive(Default)]
struct Group {
    /// The new versions; a log that changes twice has its newest here.
    changed: HashMap<OriginHash, Arc<Log>>,
    bytes: usize,
    cosigned: Vec<Answer<Arc<Cosigned>, Undone>>,
    overtaken: Vec<Answer<Arc<Cosigned>, Undone>>,
    changes: Vec<Answer<Arc<Log>, ChangeError>>,
    waiting: Vec<Waiting>,
}

/// Starts the thread. It ends, and the state is closed, when the desk is dropped.
pub(super) fn start(
    store: Store,
    figures: Arc<Figures>,
) -> std::io::Result<(Desk, JoinHandle<Result<(), StoreError>>)> {
    let (sender, jobs) = mpsc::sync_channel(bounds::QUEUE);
    let published = Arc::new(RwLock::new(store.logs().clone()));
    let (failed, failing) = watch::channel(false);
    let desk = Desk { jobs: sender, published: Arc::clone(&published), failed: failing, figures: Arc::clone(&figures) };
    let writer = Writer { store, jobs, published, failed, figures, marked: Instant::now() };
    let thread = std::thread::Builder::new().name("writer".into()).spawn(move || writer.run())?;
    Ok((desk, thread))
}

/// Makes one change to a state that no witness runs on.
pub(super) fn change_once(
    store: Store,
    change: Change,
    figures: Arc<Figures>,
) -> Result<(Result<Arc<Log>, ChangeError>, Store), StoreError> {
    let ((_, jobs), (failed, _)) = (mpsc::sync_channel(1), watch::channel(false));
    let mut writer = Writer { store, jobs, published: Arc::default(), failed, figures, marked: Instant::now() };
    let mut group = Group::default();
    let changed = writer.changed(change, &group);
    if let Ok(log) = &changed {
        group.changed.insert(OriginHash::of(&log.origin), Arc::clone(log));
    }
    writer.commit(group)?;
    Ok((changed, writer.store))
}

impl Desk {
    /// The log as it was last made durable.
    pub(super) fn log(&self, hash: OriginHash) -> Option<Arc<Log>> {
        self.read().get(&hash).cloned()
    }

    /// All logs, in the order of their origins.
    pub(super) fn logs(&self) -> Vec<Arc<Log>> {
        let mut logs: Vec<Arc<Log>> = self.read().values().cloned().collect();
        logs.sort_by(|one, other| one.origin.cmp(&other.origin));
        logs
    }

    /// Says when the state can't be written any more.
    pub(super) fn failed(&self) -> watch::Receiver<bool> {
        self.failed.clone()
    }

    /// Hands in a head that was decided on `seen`, and whose time is not before the last one of `seen`.
    pub(super) fn cosign(&self, seen: Arc<Log>, cosigned: Arc<Cosigned>) -> Result<Done, Undone> {
        let (done, is_done) = oneshot::channel();
        let job = Cosign { seen, cosigned, done, waiting: Waiting::new(&self.figures) };
        match self.jobs.try_send(Job::Cosign(job)) {
            Ok(()) => Ok(is_done),
            Err(TrySendError::Full(_)) => Err(Undone::Busy),
            Err(TrySendError::Disconnected(_)) => Err(Undone::Failed),
        }
    }

    /// Makes a change durable.
    pub(super) async fn change(&self, change: Change) -> Result<Arc<Log>, ChangeError> {
        let (done, is_done) = oneshot::channel();
        match self.jobs.try_send(Job::Change(change, done)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(ChangeError::Busy),
            Err(TrySendError::Disconnected(_)) => return Err(ChangeError::Failed),
        }
        is_done.await.unwrap_or(Err(ChangeError::Failed))
    }

    // A panic while the lock is held leaves the map whole.
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Logs> {
        self.published.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn run(mut self) -> Result<(), StoreError> {
        if let Err(failure) = self.work() {
            error!(error = %failure, "the state can't be written any more; the process must end");
            // The state is never written again: whether this commit is on the disk is known after a restart only.
            let _ = self.failed.send(true);
            return Err(failure);
        }
        self.store.close()
    }

    fn work(&mut self) -> Result<(), StoreError> {
        while let Some(first) = self.next()? {
            let mut group = Group::default();
            self.admit(first, &mut group);
            // No timer: whatever came in during the last commit is the next one.
            for _ in 1..bounds::COMMIT_JOBS {
                if group.bytes >= bounds::COMMIT_BYTES {
                    break;
                }
                let Ok(job) = self.jobs.try_recv() else { break };
                self.admit(job, &mut group);
            }
            self.commit(group)?;
            if self.marked.elapsed() >= bounds::MARK_INTERVAL {
                self.mark()?;
            }
        }
        Ok(())
    }

    /// The next job, whenever it comes; `None` once nobody can send any.
    fn next(&mut self) -> Result<Option<Job>, StoreError> {
        // After the last commit of many, the base learns of it a moment later.
        if !self.store.is_marked() {
            match self.jobs.recv_timeout(bounds::MARK_INTERVAL) {
                Ok(job) => return Ok(Some(job)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => self.mark()?,
            }
        }
        Ok(self.jobs.recv().ok())
    }

    fn mark(&mut self) -> Result<(), StoreError> {
        self.marked = Instant::now();
        self.store.mark()
    }

    /// Checks a job against the newest version of its log, and makes the next one.
    fn admit(&self, job: Job, group: &mut Group) {
        match job {
            Job::Cosign(job) => {
                let Cosign { seen, cosigned, done, waiting } = job;
                let hash = OriginHash::of(&seen.origin);
                let current =
                    self.current(hash, group).filter(|current| is_same(current, &seen) && is_after(&cosigned, current));
                group.waiting.push(waiting);
                let Some(current) = current else {
                    group.overtaken.push(Answer { to: done, says: Err(Undone::Overtaken) });
                    return;
                };
                let is_known = |last: &Arc<Cosigned>| last.time() == cosigned.time() && last.head() == cosigned.head();
                let cosigned = current.last.clone().filter(is_known).unwrap_or_else(|| {
                    let next = Arc::new(current.with(Arc::clone(&cosigned)));
                    group.bytes += next.weight();
                    group.changed.insert(hash, next);
                    cosigned
                });
                group.cosigned.push(Answer { to: done, says: Ok(cosigned) });
            }
            Job::Change(change, done) => {
                let result = self.changed(change, group);
                if let Ok(log) = &result {
                    group.bytes += log.weight();
                    group.changed.insert(OriginHash::of(&log.origin), Arc::clone(log));
                }
                group.changes.push(Answer { to: done, says: result });
            }
        }
    }

    fn current(&self, hash: OriginHash, group: &Group) -> Option<Arc<Log>> {
        group.changed.get(&hash).or_else(|| self.store.logs().get(&hash)).cloned()
    }

    fn changed(&self, change: Change, group: &Group) -> Result<Arc<Log>, ChangeError> {
        let current = self.current(OriginHash::of(change.origin()), group);
        // A log in the group may be known already: the bound is a little stricter than it says, for a moment.
        let room = bounds::LOGS.saturating_sub(self.store.logs().len() + group.changed.len());
        change.apply(current.as_deref(), room).map(Arc::new)
    }

    fn commit(&mut self, group: Group) -> Result<(), StoreError> {
        let Group { changed, cosigned, overtaken, changes, waiting, .. } = group;
        if !changed.is_empty() {
            let begun = Instant::now();
            let logs: Vec<Arc<Log>> = changed.values().cloned().collect();
            if let Err(failure) = self.store.commit(&logs) {
                cosigned.into_iter().for_each(|answer| answer.give_instead(Undone::Failed));
                changes.into_iter().for_each(|answer| answer.give_instead(ChangeError::Failed));
                return Err(failure);
            }
            self.figures.committed(cosigned.len(), begun.elapsed());
            // Durable: from here on it may be seen.
            self.published.write().unwrap_or_else(PoisonError::into_inner).extend(changed);
        }
        drop(waiting);
        cosigned.into_iter().for_each(Answer::give);
        changes.into_iter().for_each(Answer::give);
        // These decide again on what was published just now.
        overtaken.into_iter().for_each(Answer::give);
        Ok(())
    }
}

/// Whether a decision that was made on one version is right for the other: it depends on nothing but these.
fn is_same(current: &Arc<Log>, seen: &Arc<Log>) -> bool {
    Arc::ptr_eq(current, seen)
        || current.listed == seen.listed
            && current.fork == seen.fork
            && current.tree() == seen.tree()
            && current.keys == seen.keys
}

/// Whether a cosignature's time may follow what the log has: another request may have been given a later one meanwhile.
fn is_after(cosigned: &Cosigned, current: &Log) -> bool {
    current.last.as_ref().is_none_or(|last| last.time() <= cosigned.time())
}
