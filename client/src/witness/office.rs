//! What an operator does with the logs of a witness, and how it is shown; the same in a running witness and without one.

use core::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::admin::{Reply, Request};
use super::change::{Change, ChangeError};
use super::log::Log;
use super::state::{Store, StoreError};
use super::{Figures, OriginHash, Witness, writer};

/// A log, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The log's identity.
    pub origin: String,
    /// Its hash, which stands in the paths.
    pub hash: String,
    /// The keys that are trusted for it.
    pub keys: Vec<String>,
    /// Where it is, if that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whether it is watched. What was cosigned for a log that was removed is kept.
    pub listed: bool,
    /// The size of the newest head that was cosigned.
    pub size: Option<u64>,
    /// When that was, in seconds since the epoch.
    pub time: Option<u64>,
    /// The size of the one of two trees, of which neither extends the other, that the log has signed beside one more; then nothing is cosigned for it any more.
    #[serde(default)]
    pub forked: Option<u64>,
}

impl LogLine {
    fn of(log: &Log) -> Self {
        let last = log.last.as_ref();
        Self {
            origin: log.origin.to_string(),
            hash: OriginHash::of(&log.origin).to_string(),
            keys: log.keys.iter().map(ToString::to_string).collect(),
            url: log.url.as_ref().map(ToString::to_string),
            listed: log.listed,
            size: last.map(|last| last.head().size().get()),
            time: last.map(|last| last.time().seconds()),
            forked: log.fork.as_ref().map(|fork| fork.one().size().get()),
        }
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.origin)?;
        match (self.size, self.time) {
            (Some(size), Some(time)) => write!(f, "  cosigned at size {size}, time {time}")?,
            _ => f.write_str("  not cosigned yet")?,
        }
        if let Some(size) = self.forked {
            write!(f, "  FORKED at size {size}: nothing is cosigned for it any more")?;
        }
        f.write_str(if self.listed { "" } else { "  (removed)" })?;
        self.url.iter().try_for_each(|url| write!(f, "\n    {url}"))?;
        self.keys.iter().try_for_each(|key| write!(f, "\n    {key}"))
    }
}

/// Does what is asked of a running witness.
pub(super) async fn answer(witness: &Witness, request: Request) -> Reply {
    match request.change() {
        None => Reply::Logs(lines(&witness.logs())),
        Some(Ok(change)) => reply(witness.change(change).await),
        Some(Err(error)) => Reply::Failed(error),
    }
}

fn reply(changed: Result<Arc<Log>, ChangeError>) -> Reply {
    match changed {
        Ok(log) => Reply::Changed(LogLine::of(&log)),
        Err(error) => Reply::Failed(error.to_string()),
    }
}

fn lines(logs: &[Arc<Log>]) -> Vec<LogLine> {
    logs.iter().map(|log| LogLine::of(log)).collect()
}

/// The logs of a witness that is not running.
#[must_use]
pub fn list_offline(store: &Store) -> Vec<LogLine> {
    let mut logs: Vec<Arc<Log>> = store.logs().values().cloned().collect();
    logs.sort_by(|one, other| one.origin.cmp(&other.origin));
    lines(&logs)
}

/// Changes the logs of a witness that is not running.
///
/// # Errors
/// [`StoreError`]; a change that is refused is an `Ok(Err)`.
pub fn change_offline(store: Store, change: Change) -> Result<Result<LogLine, ChangeError>, StoreError> {
    // The writer is the only one that knows how, running or not.
    let (changed, store) = writer::change_once(store, change, Arc::<Figures>::default())?;
    store.close()?;
    Ok(changed.map(|log| LogLine::of(&log)))
}
