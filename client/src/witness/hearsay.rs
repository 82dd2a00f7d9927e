//! What peers of a witness show of the logs that it watches: pulled one log after another, and compared with what it
//! knows itself.
//!
//! Peers are monitors and other witnesses. What they show counts only if the log's keys have signed it, so that a peer that
//! lies gains nothing; it costs one bounded request per log and interval, and at most one comparison. Not here: how heads
//! are compared (`fork`, `compare`), and what is done about a fork.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_tree::checkpoint::{AvowedCheckpoint, LogKeys, OriginHash};
use cairn_tree::merkle::Root;
use cairn_tree::size::TreeSize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::compare::{Compared, Comparison, Standings};
use super::{Log, Witness, bounds};
use crate::gossip::{Peer, Pulled, backoff};

/// Pulls from one peer until `stop`.
pub async fn keep_listening(witness: Arc<Witness>, number: usize, interval: Duration, mut stop: watch::Receiver<bool>) {
    let Some(peer) = witness.peers().get(number).map(Arc::clone) else { return };
    let (comparing, standings) = (JoinSet::new(), Standings::new(interval));
    let mut ear = Ear { witness, number, peer, standings, comparing, under_way: BTreeSet::new() };
    let mut failures = 0;
    loop {
        let wait = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            asked = ear.listen() => {
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

/// What listens to one peer. Dropped, it makes no comparison any more.
struct Ear {
    witness: Arc<Witness>,
    number: usize,
    peer: Arc<Peer>,
    standings: Standings,
    /// Beside the pulls, which a log that does not answer must not hold up.
    comparing: JoinSet<Done>,
    /// The logs that are being compared.
    under_way: BTreeSet<OriginHash>,
}

/// A comparison that was made.
struct Done {
    log: OriginHash,
    /// The peer's tree, and the size of ours.
    trees: (Root, TreeSize),
    compared: Compared,
}

impl Ear {
    /// Pulls all watched logs once; false if the peer could not be asked.
    async fn listen(&mut self) -> bool {
        for log in self.witness.logs().iter().filter(|log| log.listed && log.fork.is_none()) {
            let Some(keys) = keys(log) else { continue };
            match self.peer.pull(&keys).await {
                Pulled::Head(head) => {
                    self.witness.hear(self.number, (*head).clone(), self.peer.url()).await;
                    self.compare(*head);
                }
                Pulled::Nothing | Pulled::Refused => {}
                // The other logs would have to wait for the same.
                Pulled::Failed(_) => return false,
            }
        }
        true
    }

    /// Begins to compare a head with ours, if that is due, there is room, and it is known whom to ask for proofs.
    fn compare(&mut self, head: AvowedCheckpoint) {
        let now = Instant::now();
        while let Some(done) = self.comparing.try_join_next() {
            let Ok(Done { log, trees, compared }) = done else { continue };
            self.under_way.remove(&log);
            self.standings.note(log, trees, compared, now);
        }
        let hash = OriginHash::of(head.origin());
        let Some(log) = self.witness.desk.log(hash).filter(|log| log.listed && log.fork.is_none()) else { return };
        let (Some(url), Some(last)) = (log.url.clone(), &log.last) else { return };
        let trees = (head.tree(), last.head().size());
        let is_due = self.standings.is_due(hash, trees.0, trees.1, now);
        if !is_due || self.comparing.len() >= bounds::COMPARISONS || !self.under_way.insert(hash) {
            return;
        }
        let (witness, seed) = (Arc::clone(&self.witness), self.number as u64);
        let comparison = Comparison { log, url, head, peer: self.peer.url().clone(), seed };
        self.comparing.spawn(async move { Done { log: hash, trees, compared: comparison.make(&witness).await } });
    }
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
