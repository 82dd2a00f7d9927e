//! A witness for C2SP logs: it cosigns a head only if that extends, by proof, the newest head it cosigned before.
//!
//! C2SP tlog-witness and tlog-cosignature. [`decide`](mod@decide) says what the specification wants done with a request,
//! `writer` and [`state`] make it so, at once and durably, and `serve` is the HTTP around them. A witness reads no entries
//! and follows no log: it is told. Only what its peers show it holds against a log with proofs that it asks for. `sign-subtree`, which is optional, is absent.

mod admin;
pub mod bounds;
mod change;
mod clock;
mod compare;
pub mod decide;
mod evidence;
mod figures;
mod fork;
mod gossip;
mod halt;
mod hearsay;
mod keys;
mod log;
mod office;
mod serve;
pub mod state;
#[cfg(test)]
mod tests;
mod writer;

pub use admin::{AdminError, Reply, Request, Session, listen as listen_for_admin};
pub use change::{Change, ChangeError};
pub use clock::{Behind, Clock, SystemClock};
pub use figures::Figures;
pub use fork::Fork;
pub use gossip::Shelf;
pub use hearsay::keep_listening;
pub use keys::{Cosigners, KeyFileError};
pub use log::{CosignError, Cosigned, Log, RecordError, Shown};
pub use office::{LogLine, change_offline, list_offline};
pub use serve::{Room, Site, refusal_text};

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use cairn_tree::checkpoint::{Origin, OriginHash};
use cairn_tree::wire::witness::AddCheckpoint;
use tokio::sync::watch;
use tracing::{error, warn};

use self::clock::time_after;
use self::decide::{Known, Refusal, Refused, decide};
use self::evidence::Cabinet;
use self::fork::Remembered;
use self::state::{Store, StoreError};
use self::writer::{Desk, Undone};
use crate::gossip::Peer;

/// The folder of evidence, in the witness's folder.
const EVIDENCE: &str = "evidence";

/// A running witness.
pub struct Witness {
    desk: Desk,
    cosigners: Cosigners,
    cabinet: Arc<Cabinet>,
    /// Whose heads are compared with ours.
    peers: Vec<Arc<Peer>>,
    remembered: Remembered,
    clock: Arc<dyn Clock>,
    figures: Arc<Figures>,
    waiting: std::sync::Mutex<std::collections::HashMap<OriginHash, usize>>,
    /// When the clock was last complained of.
    complained: std::sync::Mutex<Option<Instant>>,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The head is recorded, and cosigned with these lines.
    Cosigned(Shown),
    /// It is not to be cosigned.
    Refused(Refusal),
    /// There is no room for it now.
    Busy,
    /// The clock is behind a time that was signed for the log.
    Behind(Behind),
    /// The state can't be written any more, or a key can't sign.
    Failed,
}

/// The writer's thread, which closes the state once the [`Witness`] is dropped.
pub type Closing = JoinHandle<Result<(), StoreError>>;

impl Witness {
    /// Starts a witness on an open state.
    ///
    /// # Errors
    /// What the system says, about the folder of evidence or the writer's thread.
    pub fn start(
        folder: &std::path::Path,
        store: Store,
        cosigners: Cosigners,
        clock: Arc<dyn Clock>,
        peers: Vec<Arc<Peer>>,
    ) -> io::Result<(Self, Closing)> {
        let figures = Arc::<Figures>::default();
        let cabinet = Arc::new(Cabinet::open(folder.join(EVIDENCE))?);
        let (desk, closing) = writer::start(store, Arc::clone(&figures))?;
        let (waiting, complained) = (std::sync::Mutex::default(), std::sync::Mutex::default());
        let remembered = Remembered::default();
        let witness = Self { desk, cosigners, cabinet, peers, remembered, clock, figures, waiting, complained };
        witness.keep_what_is_missing();
        if let Some((origin, behind)) = witness.behind() {
            witness.complain(&origin, behind);
        }
        Ok((witness, closing))
    }

    /// Decides a request, and records and cosigns the head if that is right.
    pub async fn add_checkpoint(&self, request: &AddCheckpoint) -> Verdict {
        let hash = OriginHash::of(request.checkpoint().unverified().origin());
        // Whoever overtakes a request makes the log grow or changes its keys: the next decision is another one.
        for _ in 0..bounds::DECISIONS {
            let seen = self.desk.log(hash).filter(|log| log.listed);
            if seen.as_ref().is_some_and(|log| log.fork.is_some()) {
                return Verdict::Refused(Refusal::Forked);
            }
            let known = seen.as_ref().map(|log| Known { keys: &log.keys, last: log.tree() });
            let (head, seen) = match (decide(known, request), seen) {
                (Ok(head), Some(seen)) => (head, seen),
                (Ok(_), None) => return Verdict::Refused(Refusal::UnknownOrigin),
                (Err(refused), seen) => return self.note(refused, seen, request).await,
            };
            if let Some(known) = self.remembered.against(head.as_ref()) {
                self.contradicted(known, head.as_ref().clone()).await;
                return Verdict::Refused(Refusal::Forked);
            }
            let Some(_place) = Place::take(self, hash) else { return Verdict::Busy };
            let last = seen.last.as_ref().map(|last| last.time());
            let time = match time_after(last, self.clock.now()) {
                Ok(time) => time,
                Err(behind) => {
                    self.figures.behind();
                    self.complain(&seen.origin, behind);
                    return Verdict::Behind(behind);
                }
            };
            match self.record(seen, Cosigned::new(head, time)).await {
                Ok(shown) => return Verdict::Cosigned(shown),
                Err(Undone::Overtaken) => {}
                Err(Undone::Busy) => return Verdict::Busy,
                Err(Undone::Failed) => return Verdict::Failed,
            }
        }
        Verdict::Busy
    }

    /// Makes a head durable, and cosigns it.
    async fn record(&self, seen: Arc<Log>, cosigned: Cosigned) -> Result<Shown, Undone> {
        let cosigned = Arc::new(cosigned);
        let done = self.desk.cosign(seen, Arc::clone(&cosigned))?;
        // The cosignatures are made here while the writer waits for the disk. Nobody gets to see them before it says that
        // the head is durable: what it refuses, or can't write, is dropped with its signatures at the `?` below.
        let _ = cosigned.shown(&self.cosigners);
        let cosigned = done.await.unwrap_or(Err(Undone::Failed))?;
        // A peer's head may have come while this one was on its way. The cosignature is right all the same: it was the first.
        if !self.peers.is_empty()
            && let Some(known) = self.remembered.cosigned(cosigned.head().as_ref())
        {
            self.contradicted(known, cosigned.head().as_ref().clone()).await;
        }
        // Another one if the same head was cosigned at the same second before: then that answer is given again.
        cosigned.shown(&self.cosigners).map_err(|error| {
            warn!(%error, "a head could not be cosigned");
            Undone::Failed
        })
    }

    /// The newest head that was cosigned for a log, whether it is still watched or not, with what was returned for it.
    #[must_use]
    pub fn checkpoint(&self, hash: OriginHash) -> Option<Shown> {
        let last = self.desk.log(hash)?.last.clone()?;
        last.shown(&self.cosigners).ok()
    }

    /// The newest head of a log that is watched, with the log's signatures alone.
    #[must_use]
    pub fn rumour(&self, hash: OriginHash) -> Option<String> {
        let log = self.desk.log(hash).filter(|log| log.listed)?;
        log.last.as_ref().map(|last| last.head().signed().encode())
    }

    /// All logs, removed ones included, in the order of their origins.
    #[must_use]
    pub fn logs(&self) -> Vec<Arc<Log>> {
        self.desk.logs()
    }

    /// Changes what is watched.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn change(&self, change: Change) -> Result<Arc<Log>, ChangeError> {
        self.desk.change(change).await
    }

    /// Turns true when the state can't be written any more: the process must end then.
    #[must_use]
    pub fn failed(&self) -> watch::Receiver<bool> {
        self.desk.failed()
    }

    /// The peers whose heads are compared with ours.
    #[must_use]
    pub fn peers(&self) -> &[Arc<Peer>] {
        &self.peers
    }

    /// What is counted.
    #[must_use]
    pub const fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// The time, in seconds since the epoch.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// The watched log whose last cosignature the clock is furthest behind, if it is too far behind to sign for it.
    #[must_use]
    pub fn behind(&self) -> Option<(Origin, Behind)> {
        let now = self.clock.now();
        let logs = self.desk.logs();
        let last = logs.iter().filter(|log| log.listed).filter_map(|log| Some((log, log.last.as_ref()?.time())));
        let (log, time) = last.max_by_key(|(_, time)| *time)?;
        time_after(Some(time), now).err().map(|behind| (log.origin.clone(), behind))
    }

    /// Says what is wrong with the clock, as loudly as a log can, but not for every request.
    fn complain(&self, origin: &Origin, Behind { seconds }: Behind) {
        // A panic while the lock is held leaves the time whole.
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|then| then.elapsed() >= bounds::TROUBLE_INTERVAL) {
            *complained = Some(Instant::now());
            error!(
                %origin,
                seconds,
                "this machine's clock is behind the last time that was signed for a log; nothing is cosigned for it until \
                 the clock has come near that time: set the clock right if it is wrong. If it was wrong before and is right \
                 now, and the wait is too long, the log needs a new witness"
            );
        }
    }

    /// The folder of evidence.
    #[must_use]
    pub fn evidence_folder(&self) -> PathBuf {
        self.cabinet.folder().to_owned()
    }

    /// Says what may be misbehaviour, and does what is to be done about what is.
    async fn note(&self, refused: Refused, seen: Option<Arc<Log>>, request: &AddCheckpoint) -> Verdict {
        let Refused { refusal, contradiction } = refused;
        if matches!(refusal, Refusal::Proof(_) | Refusal::EmptyRoot) {
            let origin = request.checkpoint().unverified().origin();
            warn!(%origin, reason = %refusal, "a head with the log's signature is not consistent with the last one");
        }
        if let (Some(other), Some(last)) = (contradiction, seen.and_then(|log| log.last.clone())) {
            self.contradicted(last.head().as_ref().clone(), other.as_ref().as_ref().clone()).await;
        }
        Verdict::Refused(refusal)
    }
}

/// One of the places that a log has in the queue.
struct Place<'a> {
    witness: &'a Witness,
    hash: OriginHash,
}

impl<'a> Place<'a> {
    fn take(witness: &'a Witness, hash: OriginHash) -> Option<Self> {
        // A panic while the lock is held leaves the counts whole.
        let mut waiting = witness.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.entry(hash).or_default();
        if *count >= bounds::QUEUE_PER_LOG {
            return None;
        }
        *count += 1;
        Some(Self { witness, hash })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.witness.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = waiting.get_mut(&self.hash) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.hash);
            }
        }
    }
}
