//! A released head, and what the writer and the readers share about one log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use cairn_tree::hash::Hash;
use cairn_tree::merkle::Root;
use cairn_tree::note::VerifierKey;
use cairn_tree::size::TreeSize;
use cairn_tree::store::LogId;
use tokio::sync::watch;

use super::damaged::Damaged;
use super::followed::Followed;
use super::growing::Edge;
use super::index::HashIndex;
use super::layout::{BindingRow, LogState};
use super::published::Publishing;
use super::records::Found;
use super::scrub::Looked;
use crate::high_water::Mark;
use crate::log_name::LogName;
use crate::signer::HeadSigner;

/// A head that has left the process, or may: signed, and its high-water durable.
#[derive(Debug)]
pub struct Head {
    /// The number of entries.
    pub size: TreeSize,
    /// The root over them.
    pub root: Hash,
    /// When it was made, in milliseconds since the epoch. Only the lines of ML-DSA-44 keys sign a time.
    pub time_ms: u64,
    /// The signed checkpoint, as it is served.
    pub note: Bytes,
    /// The unfinished tiles; absent for a log that nobody has written to for a while.
    pub(super) edge: Option<Arc<Edge>>,
}

impl Head {
    /// The size and the root of its tree.
    #[must_use]
    pub const fn tree(&self) -> Root {
        Root { size: self.size, hash: self.root }
    }

    /// What the high-water is told of it.
    pub(super) const fn mark(&self) -> Mark {
        Mark { size: self.size, root: self.root, time_ms: self.time_ms }
    }
}

/// What is fixed about a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogInfo {
    /// Its number in the database.
    pub id: LogId,
    /// Its name within the server.
    pub name: LogName,
    /// The origin line of its checkpoints.
    pub origin: String,
    /// Whether reads need a token.
    pub private: bool,
    /// Whether appends need no token.
    pub open_append: bool,
    /// Whether an entry that is there already is not appended again.
    pub dedup: bool,
    /// Whether entries can be found by their leaf hash.
    pub hash_index: bool,
    /// When it was made, in milliseconds since the epoch.
    pub created_ms: u64,
}

impl LogInfo {
    /// What the binding of log `id` says.
    pub(super) fn from_binding(id: LogId, binding: &BindingRow) -> Self {
        let BindingRow { private, open_append, dedup, hash_index, created_ms, .. } = *binding;
        let (name, origin) = (binding.name.clone(), binding.origin.clone());
        Self { id, name, origin, private, open_append, dedup, hash_index, created_ms }
    }
}

/// What becomes of a log: its keys, and its place in a row of logs. Changed as a whole, with an entry of the log.
pub(super) struct Standing {
    /// As it is stored.
    pub(super) binding: BindingRow,
    /// Signs with the binding's active keys.
    pub(super) signer: Arc<dyn HeadSigner>,
}

/// One log, as the writer publishes it and readers see it.
pub(super) struct Shared {
    pub(super) info: LogInfo,
    standing: RwLock<Arc<Standing>>,
    /// It continues another log, and its first entry, which says so, is not there yet.
    awaits_link: AtomicBool,
    pub(super) heads: watch::Sender<Arc<Head>>,
    pub(super) index: Option<HashIndex>,
    pub(super) publishing: Publishing,
    pub(super) damage: Damaged,
    /// Who waits for its records.
    pub(super) followed: Followed,
    /// When a read that could not verify something had it looked at again.
    pub(super) looked: Looked,
    /// What its records are found by, once that is known.
    pub(super) found: OnceLock<Found>,
    /// Held by whoever draws the secret of its prints.
    pub(super) drawing: tokio::sync::Mutex<()>,
    state: RwLock<LogState>,
}

impl Shared {
    pub(super) fn new(id: LogId, standing: Standing, head: Head, index: Option<HashIndex>, state: LogState) -> Self {
        let info = LogInfo::from_binding(id, &standing.binding);
        let awaits_link = AtomicBool::new(awaits_link(&standing.binding, &head));
        let (heads, _) = watch::channel(Arc::new(head));
        let (standing, state) = (RwLock::new(Arc::new(standing)), RwLock::new(state));
        Self {
            info,
            standing,
            awaits_link,
            heads,
            index,
            publishing: Publishing::default(),
            damage: Damaged::default(),
            followed: Followed::default(),
            looked: Looked::default(),
            found: OnceLock::new(),
            drawing: tokio::sync::Mutex::default(),
            state,
        }
    }

    pub(super) fn standing(&self) -> Arc<Standing> {
        Arc::clone(&self.standing.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a change in force that is durable, with the head that goes with it.
    pub(super) fn change(&self, standing: Arc<Standing>, head: Option<Head>, state: LogState) {
        let head = head.map_or_else(|| self.head(), Arc::new);
        self.awaits_link.store(awaits_link(&standing.binding, &head), Ordering::Release);
        *self.standing.write().unwrap_or_else(PoisonError::into_inner) = standing;
        self.set_state(state);
        self.heads.send_replace(head);
    }

    /// Whether only the entry that links it to the log before may come now.
    pub(super) fn awaits_link(&self) -> bool {
        self.awaits_link.load(Ordering::Acquire)
    }

    pub(super) fn state(&self) -> LogState {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_state(&self, state: LogState) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub(super) fn head(&self) -> Arc<Head> {
        Arc::clone(&self.heads.borrow())
    }
}

fn awaits_link(binding: &BindingRow, head: &Head) -> bool {
    binding.predecessor.is_some() && head.size == TreeSize::ZERO
}

impl Standing {
    /// The keys that sign, oldest first.
    pub(super) fn keys(&self) -> &[VerifierKey] {
        self.signer.keys()
    }
}
