//! A witness for C2SP logs: it cosigns a head only if that extends, by proof, the newest head it cosigned before.
//!
//! C2SP tlog-witness and tlog-cosignature. [`decide`](mod@decide) says what the specification wants done with a request,
//! `writer` and [`state`] make it so, at once and durably, and `serve` is the HTTP around them. A witness reads no entries
//! and follows no log: it is told. `sign-subtree`, which is optional, is absent.

mod admin;
pub mod bounds;
mod change;
mod clock;
pub mod decide;
mod evidence;
mod figures;
mod gossip;
mod keys;
mod log;
mod office;
mod origin_hash;
mod serve;
pub mod state;
mod writer;

pub use admin::{AdminError, Reply, Request, Session, listen as listen_for_admin};
pub use change::{Change, ChangeError};
pub use clock::{Behind, Clock, SystemClock};
pub use figures::Figures;
pub use gossip::Shelf;
pub use keys::{Cosigners, KeyFileError};
pub use log::{CosignError, Cosigned, Log, RecordError, Shown};
pub use office::{LogLine, change_offline, list_offline};
pub use origin_hash::OriginHash;
pub use serve::{Room, Site, refusal_text};

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use cairn_tree::checkpoint::Origin;
use cairn_tree::wire::witness::AddCheckpoint;
use tokio::sync::{Semaphore, watch};
use tracing::{error, info, warn};

use self::clock::time_after;
use self::decide::{Known, Refusal, Refused, decide};
use self::evidence::{Cabinet, KeepError};
use self::state::{Store, StoreError};
use self::writer::{Desk, Undone};

/// The folder of evidence, in the witness's folder.
const EVIDENCE: &str = "evidence";

/// A running witness.
pub struct Witness {
    desk: Desk,
    cosigners: Cosigners,
    cabinet: Arc<Cabinet>,
    /// Evidence is written by one task at a time; more of it at once is left to the next request.
    writing_evidence: Arc<Semaphore>,
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
    ) -> io::Result<(Self, Closing)> {
        let figures = Arc::<Figures>::default();
        let cabinet = Arc::new(Cabinet::open(folder.join(EVIDENCE))?);
        let (desk, closing) = writer::start(store, Arc::clone(&figures))?;
        let (waiting, writing_evidence) = (std::sync::Mutex::default(), Arc::new(Semaphore::new(1)));
        let complained = std::sync::Mutex::default();
        let witness = Self { desk, cosigners, cabinet, writing_evidence, clock, figures, waiting, complained };
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
            let known = seen.as_ref().map(|log| Known { keys: &log.keys, last: log.tree() });
            let (head, seen) = match (decide(known, request), seen) {
                (Ok(head), Some(seen)) => (head, seen),
                (Ok(_), None) => return Verdict::Refused(Refusal::UnknownOrigin),
                (Err(refused), seen) => {
                    self.note(&refused, seen.as_deref(), request);
                    return Verdict::Refused(refused.refusal);
                }
            };
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

    async fn record(&self, seen: Arc<Log>, cosigned: Cosigned) -> Result<Shown, Undone> {
        let cosigned = Arc::new(cosigned);
        let done = self.desk.cosign(seen, Arc::clone(&cosigned))?;
        // The cosignatures are made here while the writer waits for the disk. Nobody gets to see them before it says that
        // the head is durable: what it refuses, or can't write, is dropped with its signatures at the `?` below.
        let _ = cosigned.shown(&self.cosigners);
        let cosigned = done.await.unwrap_or(Err(Undone::Failed))?;
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

    /// Logs what may be misbehaviour, and keeps what is.
    fn note(&self, refused: &Refused, log: Option<&Log>, request: &AddCheckpoint) {
        let origin = request.checkpoint().unverified().origin();
        if matches!(refused.refusal, Refusal::Proof(_) | Refusal::EmptyRoot) {
            warn!(%origin, reason = %refused.refusal, "a head with the log's signature is not consistent with the last one");
        }
        let Some(other) = &refused.contradiction else { return };
        let Some(last) = log.and_then(|log| log.last.clone()) else { return };
        self.figures.contradiction();
        warn!(%origin, size = %other.size(), "the log has signed two trees of one size");
        let Ok(permit) = Arc::clone(&self.writing_evidence).try_acquire_owned() else { return };
        let (cabinet, other) = (Arc::clone(&self.cabinet), other.clone());
        let seconds = i64::try_from(self.clock.now()).unwrap_or(i64::MAX);
        let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string();
        tokio::task::spawn_blocking(move || {
            match cabinet.keep(last.head(), &other, at) {
                Ok(Some(path)) => warn!(path = %path.display(), "evidence is kept"),
                Ok(None) => {}
                Err(KeepError::Enough) => info!("there is enough evidence; this is not kept"),
                Err(error) => warn!(%error, "evidence could not be kept"),
            }
            drop(permit);
        });
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
