//! What others show us: pulled one log at a time, bounded in bytes and time, and verified before anything else.
//!
//! A head that a peer was shown is never accepted, only held against the log if it contradicts what we know. So one right
//! line by a log key is enough.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cairn_tree::checkpoint::{AvowedCheckpoint, LogKeys, SignedCheckpoint};

use super::board::path;
use crate::bounds;
use crate::fetch::{FetchError, LogUrl, Remote, Settings};

/// Another monitor, or a witness.
pub struct Peer {
    remote: Remote,
    tally: Tally,
}

/// What came of pulls from one peer.
#[derive(Debug, Default)]
pub struct Tally {
    heads: AtomicU64,
    nothing: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// What came of a pull.
#[derive(Debug)]
pub enum Pulled {
    /// A head that the log can be held to.
    Head(Box<AvowedCheckpoint>),
    /// The peer knows nothing of this log yet.
    Nothing,
    /// What the peer shows is no head of the log, or not signed by its key: it is as good as nothing.
    Refused,
    /// The peer could not be asked.
    Failed(FetchError),
}

impl Peer {
    /// A peer under this prefix; nothing is asked yet.
    ///
    /// # Errors
    /// [`FetchError::SetUp`].
    pub fn new(prefix: LogUrl, seed: u64) -> Result<Self, FetchError> {
        let settings = Settings { token: None, timeout: bounds::PULL_TIMEOUT, seed };
        Ok(Self { remote: Remote::new(prefix, settings)?, tally: Tally::default() })
    }

    /// Where it is.
    #[must_use]
    pub const fn url(&self) -> &LogUrl {
        self.remote.url()
    }

    /// What came of all pulls so far.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Pulls the head of one log, once; a peer that fails is asked again at the next interval.
    pub async fn pull(&self, keys: &LogKeys) -> Pulled {
        let pulled = match self.remote.note_once(path(keys.origin())).await {
            Ok(note) => judge(&note, keys),
            Err(error) if error.is_absent() => Pulled::Nothing,
            Err(FetchError::TooLong { .. } | FetchError::Malformed { .. }) => Pulled::Refused,
            Err(error) => Pulled::Failed(error),
        };
        let counted = match &pulled {
            Pulled::Head(_) => &self.tally.heads,
            Pulled::Nothing => &self.tally.nothing,
            Pulled::Refused => &self.tally.refused,
            Pulled::Failed(_) => &self.tally.failed,
        };
        counted.fetch_add(1, Ordering::Relaxed);
        pulled
    }
}

/// What a peer's bytes are worth: a head of this log, signed by its key, or nothing.
fn judge(note: &[u8], keys: &LogKeys) -> Pulled {
    let avowed = SignedCheckpoint::parse(note).ok().and_then(|signed| keys.avowed(&signed));
    match avowed {
        Some(head) => Pulled::Head(Box::new(head)),
        None => Pulled::Refused,
    }
}

impl Tally {
    /// The counts with their names.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, u64); 4] {
        let Self { heads, nothing, refused, failed } = self;
        [("head", heads), ("nothing", nothing), ("refused", refused), ("failed", failed)]
            .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}

/// The wait before the pull after the `failures`-th in a row that failed.
#[must_use]
pub fn backoff(interval: Duration, failures: u32) -> Duration {
    interval.saturating_mul(1 << failures.min(8)).min(bounds::LONGEST_WATCH_BACKOFF.max(interval))
}
