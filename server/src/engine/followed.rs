//! Who waits for records of which streams of a log, so that a record wakes those alone who follow its stream.
//!
//! While nobody follows, whoever releases records looks at one number. What wakes a follower only says that there may be
//! something to read: it reads under a head, as everybody does. Not here: what it may see, and how many may follow.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_tree::size::LeafIndex;
use tokio::sync::watch;

use super::Log;
use super::head::Shared;
use super::postings::{Facet, Print};

/// The followers of a log's streams.
#[derive(Default)]
pub(super) struct Followed {
    followers: AtomicUsize,
    /// By the print of the stream's name.
    streams: Mutex<HashMap<Print, watch::Sender<()>>>,
}

impl Followed {
    /// Wakes the followers of the streams that these postings are of. Comes after the postings can be found: so a follower
    /// that takes its place and then looks misses nothing.
    pub(super) fn wake(&self, postings: &[(Print, LeafIndex)]) {
        if self.followers.load(Ordering::SeqCst) == 0 {
            return;
        }
        let streams = self.streams();
        let names = postings.iter().filter(|(print, _)| print.is_of(Facet::StreamName));
        for news in names.filter_map(|(print, _)| streams.get(print)) {
            news.send_replace(());
        }
    }

    /// Wakes all: nobody says which records came.
    pub(super) fn wake_all(&self) {
        if self.followers.load(Ordering::SeqCst) > 0 {
            self.streams().values().for_each(|news| news.send_replace(()));
        }
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<Print, watch::Sender<()>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the followers of a stream.
pub struct Following {
    log: Arc<Shared>,
    stream: Print,
    news: watch::Receiver<()>,
}

impl Log {
    /// Takes a place among the followers of the stream whose name has this print. A stream without records can be followed
    /// too.
    #[must_use]
    pub fn follow(&self, stream: Print) -> Following {
        let followed = &self.shared.followed;
        let mut streams = followed.streams();
        followed.followers.fetch_add(1, Ordering::SeqCst);
        let news = streams.entry(stream).or_insert_with(|| watch::channel(()).0).subscribe();
        Following { log: Arc::clone(&self.shared), stream, news }
    }
}

impl Following {
    /// Forgets what woke it so far; whoever looks for records after this misses none.
    pub fn look(&mut self) {
        self.news.mark_unchanged();
    }

    /// Waits until the stream may have got a record since the last [`Following::look`].
    pub async fn news(&mut self) {
        // The sender is there as long as this is.
        if self.news.changed().await.is_err() {
            core::future::pending::<()>().await;
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let followed = &self.log.followed;
        let mut streams = followed.streams();
        if streams.get(&self.stream).is_some_and(|news| news.receiver_count() <= 1) {
            streams.remove(&self.stream);
        }
        followed.followers.fetch_sub(1, Ordering::SeqCst);
    }
}
