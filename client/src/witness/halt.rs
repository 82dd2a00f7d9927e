//! What is done about a log that has signed against itself: it is cosigned no more, evidence is kept, and it is said.

use std::sync::Arc;

use cairn_tree::checkpoint::AvowedCheckpoint;
use tracing::{error, info, warn};

use super::change::{Change, ChangeError};
use super::evidence::KeepError;
use super::fork::Fork;
use super::{OriginHash, Witness};
use crate::fetch::LogUrl;

/// Where a head was shown that came with a request.
const REQUEST: &str = "add-checkpoint";

impl Witness {
    /// Looks at a head that a peer shows, which one of the log's keys has signed.
    pub(super) async fn hear(&self, peer: usize, head: AvowedCheckpoint, url: &LogUrl) {
        let last = self.desk.log(OriginHash::of(head.origin())).and_then(|log| log.last.clone());
        let remembered = self.remembered.heard(peer, &head);
        // What was cosigned before the start is not remembered otherwise.
        let against = last.map(|last| last.head().as_ref().clone()).into_iter().chain(remembered);
        let fork = against.filter_map(|known| Fork::new(known, head.clone(), self.now())).next();
        if let Some(fork) = fork {
            self.halt(fork, &url.to_string()).await;
        }
    }

    /// The same for a head that came with a request, against one that is known.
    pub(super) async fn contradicted(&self, known: AvowedCheckpoint, head: AvowedCheckpoint) {
        if let Some(fork) = Fork::new(known, head, self.now()) {
            self.halt(fork, REQUEST).await;
        }
    }

    /// The same for a head of another size, which a proof from the log shows to contradict a known one.
    pub(super) async fn disproven(&self, fork: Fork, url: &LogUrl) {
        self.halt(fork, &url.to_string()).await;
    }

    /// Durably cosigns nothing more for the log, before anything else; then keeps the evidence.
    async fn halt(&self, fork: Fork, shown_by: &str) {
        let known = self.desk.log(OriginHash::of(fork.origin()));
        if known.is_some_and(|log| log.fork.is_some()) {
            return;
        }
        self.figures.contradiction();
        let (origin, size, other) = (fork.origin().clone(), fork.one().size(), fork.other().size());
        error!(
            %origin, %size, %other, shown_by,
            "the log has signed two trees of which neither extends the other: nothing is cosigned for it any more"
        );
        let fork = Arc::new(fork);
        match self.change(Change::Forked(Arc::clone(&fork))).await {
            Ok(_) => {}
            // The next that shows it finds it again.
            Err(ChangeError::Busy) => warn!(%origin, "the queue is full: this is not recorded yet"),
            Err(error) => error!(%origin, %error, "this could not be recorded"),
        }
        let (cabinet, shown_by) = (Arc::clone(&self.cabinet), shown_by.to_owned());
        // What is recorded and has no file gets one at the next start.
        drop(cairn_listen::spawn_blocking(move || keep(&cabinet, &fork, &shown_by)));
    }

    /// Keeps the evidence of forks that are recorded and have none, because the process ended too early.
    pub(super) fn keep_what_is_missing(&self) {
        for log in self.logs() {
            if let Some(fork) = &log.fork {
                warn!(origin = %log.origin, size = %fork.one().size(), "this log has signed two trees; it is not cosigned");
                keep(&self.cabinet, fork, "recorded before");
            }
        }
    }
}

fn keep(cabinet: &super::evidence::Cabinet, fork: &Fork, shown_by: &str) {
    match cabinet.keep(fork, shown_by) {
        Ok(Some(path)) => warn!(path = %path.display(), "evidence is kept"),
        Ok(None) => {}
        Err(KeepError::Enough) => info!("there is enough evidence; this is not kept"),
        Err(error) => warn!(%error, "evidence could not be kept"),
    }
}
