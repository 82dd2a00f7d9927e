//! What an operator changes about the logs of a witness: a pure step from one version of a log to the next.
//!
//! Nothing here forgets what was cosigned.

use std::collections::BTreeSet;
use std::sync::Arc;

use cairn_tree::checkpoint::Origin;
use cairn_tree::note::{SignatureType, VerifierKey};

use super::bounds;
use super::fork::Fork;
use super::log::Log;
use crate::fetch::LogUrl;

/// What an operator changes about a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Watch a log, or trust further keys for it.
    Add {
        /// The log.
        origin: Origin,
        /// Its keys.
        keys: Vec<VerifierKey>,
        /// Whether these are all its keys from now on.
        replace: bool,
        /// Where it is, if that is told now; else what was told before holds.
        url: Option<LogUrl>,
    },
    /// Cosign nothing more for a log that has signed two trees of which neither extends the other.
    Forked(Arc<Fork>),
    /// Watch a log no more.
    Remove {
        /// The log.
        origin: Origin,
    },
}

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// There is no such log.
    #[error("no log with the origin {0} is watched")]
    NoLog(Origin),
    /// There are too many logs.
    #[error("a witness watches at most {most} logs, removed ones included", most = bounds::LOGS)]
    TooManyLogs,
    /// A key is of a type that logs don't sign with.
    #[error("a key for {0} does not sign for a log")]
    KeyType(SignatureType),
    /// No key speaks for the origin. C2SP tlog-checkpoint wishes for keys that are named like the origin, and does not
    /// demand it; here it is demanded, by everything that verifies heads, so that no key speaks for two logs.
    #[error("the origin is {origin}, and the keys are named {names}: a log's key must be named like its origin")]
    NotItsKeys {
        /// The origin.
        origin: Origin,
        /// The names of the keys.
        names: String,
    },
    /// There are too many keys.
    #[error("a log has at most {most} keys", most = bounds::LOG_KEYS)]
    TooManyKeys,
    /// The writer's queue is full.
    #[error("too many checkpoints are waiting; try again")]
    Busy,
    /// The state can't be written any more.
    #[error("the state can't be written any more; the witness is ending")]
    Failed,
}

impl Change {
    /// The log that is changed.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        match self {
            Self::Add { origin, .. } | Self::Remove { origin } => origin,
            Self::Forked(fork) => fork.origin(),
        }
    }

    /// The log after the change; `room` is how many logs there may be besides those that there are.
    pub(super) fn apply(self, current: Option<&Log>, room: usize) -> Result<Log, ChangeError> {
        match self {
            Self::Add { origin, keys, replace, url } => {
                if let Some(key) = keys.iter().find(|key| !key.kind().signs_for_logs()) {
                    return Err(ChangeError::KeyType(key.kind()));
                }
                let mut log = match current {
                    Some(log) => log.clone(),
                    None if room == 0 => return Err(ChangeError::TooManyLogs),
                    None => Log::new(origin.clone(), Vec::new()),
                };
                // What a removed log was trusted with is not trusted again by itself.
                if replace || !log.listed {
                    log.keys.clear();
                }
                for key in keys {
                    if !log.keys.contains(&key) {
                        log.keys.push(key);
                    }
                }
                if !log.keys.iter().any(|key| origin.is_named(key.name())) {
                    let names: BTreeSet<&str> = log.keys.iter().map(|key| key.name().as_str()).collect();
                    let names = names.into_iter().collect::<Vec<_>>().join(", ");
                    return Err(ChangeError::NotItsKeys { origin, names });
                }
                log.listed = true;
                log.url = url.or(log.url);
                if log.keys.len() > bounds::LOG_KEYS { Err(ChangeError::TooManyKeys) } else { Ok(log) }
            }
            Self::Forked(fork) => match current {
                // One fork is enough, and the first is kept.
                Some(log) => Ok(Log { fork: Some(log.fork.clone().unwrap_or(fork)), ..log.clone() }),
                None => Err(ChangeError::NoLog(fork.origin().clone())),
            },
            Self::Remove { origin } => match current.filter(|log| log.listed) {
                Some(log) => Ok(Log { listed: false, ..log.clone() }),
                None => Err(ChangeError::NoLog(origin)),
            },
        }
    }
}
