//! Heads that peers showed, on their way to their log's task: one per peer, the newest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cairn_tree::checkpoint::{AvowedCheckpoint, LogKeys};
use cairn_tree::merkle::Root;
use tokio::sync::Notify;

use crate::gossip::{Peer, Pulled, backoff};

/// What peers showed of one log.
pub(super) struct Inbox {
    /// What heads must be signed with.
    keys: Mutex<LogKeys>,
    held: Mutex<Held>,
    filled: Notify,
}

#[derive(Default)]
struct Held {
    heads: BTreeMap<usize, AvowedCheckpoint>,
    /// What each peer showed last: to show it again costs nobody anything.
    last: BTreeMap<usize, Root>,
}

impl Inbox {
    /// An inbox for heads that are signed with these keys.
    pub(super) fn new(keys: LogKeys) -> Self {
        Self { keys: Mutex::new(keys), held: Mutex::default(), filled: Notify::new() }
    }

    /// The log has these keys now.
    pub(super) fn adopt(&self, keys: LogKeys) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn keys(&self) -> LogKeys {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, peer: usize, head: AvowedCheckpoint) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.last.insert(peer, head.tree()) != Some(head.tree()) {
            held.heads.insert(peer, head);
            self.filled.notify_one();
        }
    }

    /// All heads that came since the last time.
    pub(super) fn take(&self) -> BTreeMap<usize, AvowedCheckpoint> {
        core::mem::take(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner).heads)
    }

    /// Holds a head until the one before it is settled, unless there is a newer one.
    pub(super) fn put_back(&self, peer: usize, head: AvowedCheckpoint) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).heads.entry(peer).or_insert(head);
    }

    /// Waits until there is something.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }
}

/// Pulls all logs from one peer once; false if it could not be asked.
pub(super) async fn pull_all(number: usize, peer: &Peer, logs: &[Arc<Inbox>]) -> bool {
    for log in logs {
        match peer.pull(&log.keys()).await {
            Pulled::Head(head) => log.put(number, *head),
            Pulled::Nothing | Pulled::Refused => {}
            // The other logs would have to wait for the same.
            Pulled::Failed(_) => return false,
        }
    }
    true
}

/// Pulls from one peer for ever.
pub(super) async fn keep_pulling(number: usize, peer: Arc<Peer>, logs: Vec<Arc<Inbox>>, interval: Duration) {
    let mut failures = 0;
    loop {
        failures = if pull_all(number, &peer, &logs).await { 0 } else { failures + 1 };
        tokio::time::sleep(backoff(interval, failures)).await;
    }
}
