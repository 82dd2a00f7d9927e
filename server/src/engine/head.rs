//! A released head, and what the writer and the readers share about one log.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use cairn_tree::hash::Hash;
use cairn_tree::note::SignerKey;
use cairn_tree::size::TreeSize;
use cairn_tree::store::LogId;
use tokio::sync::watch;

use super::growing::Edge;
use super::index::HashIndex;
use super::layout::{BindingRow, LogState};
use super::published::Publishing;

/// A head that has left the process, or may: signed, and its high-water durable.
#[derive(Debug)]
pub struct Head {
    /// The number of entries.
    pub size: TreeSize,
    /// The root over them.
    pub root: Hash,
    /// When it was made, in milliseconds since the epoch. Not signed: Ed25519 checkpoints carry no time.
    pub time_ms: u64,
    /// The signed checkpoint, as it is served.
    pub note: Bytes,
    /// The unfinished tiles; absent for a log that nobody has written to for a while.
    pub(super) edge: Option<Arc<Edge>>,
}

/// What is fixed about a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogInfo {
    /// Its number in the database.
    pub id: LogId,
    /// Its name within the server.
    pub name: String,
    /// The origin line of its checkpoints.
    pub origin: String,
    /// Its public key as a C2SP vkey.
    pub vkey: String,
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
        let vkey = binding.active_keys().next().map(|key| key.vkey.clone()).unwrap_or_default();
        let (name, origin) = (binding.name.clone(), binding.origin.clone());
        Self { id, name, origin, vkey, private, open_append, dedup, hash_index, created_ms }
    }
}

/// One log, as the writer publishes it and readers see it.
pub(super) struct Shared {
    pub(super) info: LogInfo,
    pub(super) signer: SignerKey,
    pub(super) heads: watch::Sender<Arc<Head>>,
    pub(super) index: Option<HashIndex>,
    pub(super) publishing: Publishing,
    state: RwLock<LogState>,
}

impl Shared {
    pub(super) fn new(info: LogInfo, signer: SignerKey, head: Head, index: Option<HashIndex>, state: LogState) -> Self {
        let (heads, _) = watch::channel(Arc::new(head));
        Self { info, signer, heads, index, publishing: Publishing::default(), state: RwLock::new(state) }
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
