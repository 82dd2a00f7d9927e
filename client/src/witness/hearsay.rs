//! What peers of a witness show of the logs that it watches: pulled one log after another, and compared with what it
//! knows itself.
//!
//! Peers are monitors and other witnesses. What they show counts only if the log's keys have signed it, so that a peer that
//! lies gains nothing; it costs one bounded request per log and interval. Not here: what is done about a fork.

use std::sync::Arc;
use std::time::Duration;

use cairn_tree::checkpoint::LogKeys;
use tokio::sync::watch;

use super::{Log, Witness};
use crate::gossip::{Peer, Pulled, backoff};

/// Pulls from one peer until `stop`.
pub async fn keep_listening(witness: Arc<Witness>, number: usize, interval: Duration, mut stop: watch::Receiver<bool>) {
    let mut failures = 0;
    loop {
        let wait = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            asked = listen(&witness, number) => {
                failures = if asked { 0 } else { failures + 1 };
                backoff(interval, failures)
            }
        };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Pulls all watched logs from one peer once; false if it could not be asked.
async fn listen(witness: &Witness, number: usize) -> bool {
    let Some(peer) = witness.peers().get(number).map(Arc::clone) else { return true };
    for log in witness.logs().iter().filter(|log| log.listed && log.fork.is_none()) {
        let Some(keys) = keys(log) else { continue };
        match peer.pull(&keys).await {
            Pulled::Head(head) => witness.hear(number, *head, peer.url()).await,
            Pulled::Nothing | Pulled::Refused => {}
            // The other logs would have to wait for the same.
            Pulled::Failed(_) => return false,
        }
    }
    true
}

/// The keys that speak for the log.
fn keys(log: &Log) -> Option<LogKeys> {
    let mut named = log.keys.iter().filter(|key| log.origin.is_named(key.name()));
    let first = LogKeys::try_from(named.next()?.clone()).ok()?;
    Some(first.with_further(named))
}

impl Peer {
    /// The counts of its pulls, with its address.
    pub(super) fn counted(&self) -> (String, [(&'static str, u64); 4]) {
        (self.url().to_string(), self.tally().counts())
    }
}
