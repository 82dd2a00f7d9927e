//! What a monitor tells: one line per event, and the same words for those who are notified.

use core::fmt;

use cairn_tree::note::VerifierKey;
use jiff::Timestamp;
use serde::Serialize;

use crate::fetch::{HeadKind, shown};
use crate::monitor::{Active, Alarm, Event};

/// One event of one log.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    log: String,
    origin: String,
    #[serde(flatten)]
    told: Told,
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Told {
    /// All that the log shows extends what was known.
    Consistent { size: u64, root: String, new: u64 },
    /// A part of a large tree was verified.
    Reading { done: u64, of: u64 },
    /// The log shows an old head, as caches may.
    Stale { resource: HeadKind, size: u64, largest: u64 },
    /// Nothing could be verified this time.
    Unverified { reason: String },
    /// The log signs with other keys, to which its own statements lead.
    Keys { keys: Vec<String> },
    /// An alarm begins.
    Alarm {
        alarm: Alarm,
        /// Whether it is held against the log.
        misbehaviour: bool,
        summary: String,
        since: Timestamp,
        evidence: Option<String>,
    },
    /// An alarm ends.
    Clear { alarm: Alarm, since: Timestamp, seconds: u64, evidence: Option<String> },
}

/// Which log is told of.
#[derive(Debug, Clone)]
pub(super) struct Who {
    pub(super) log: String,
    pub(super) origin: String,
}

impl Report {
    fn new(who: &Who, told: Told) -> Self {
        Self { log: who.log.clone(), origin: who.origin.clone(), told }
    }

    /// All is well: so large is the tree.
    pub(super) fn consistent(who: &Who, size: u64, root: String, new: u64) -> Self {
        Self::new(who, Told::Consistent { size, root, new })
    }

    /// An alarm that begins, or goes on from an earlier run.
    pub(super) fn alarm(who: &Who, active: &Active, summary: &str) -> Self {
        let Active { alarm, since, evidence } = active.clone();
        let (misbehaviour, summary) = (alarm.is_misbehaviour(), shown(summary));
        Self::new(who, Told::Alarm { alarm, misbehaviour, summary, since, evidence })
    }

    /// An alarm that ends.
    pub(super) fn clear(who: &Who, active: Active, now: Timestamp) -> Self {
        let Active { alarm, since, evidence } = active;
        let seconds = now.duration_since(since).as_secs().try_into().unwrap_or(0);
        Self::new(who, Told::Clear { alarm, since, seconds, evidence })
    }

    /// The keys that sign now.
    pub(super) fn keys(who: &Who, active: &[VerifierKey]) -> Self {
        Self::new(who, Told::Keys { keys: active.iter().map(ToString::to_string).collect() })
    }

    /// Any other event; `None` for those that have words of their own.
    pub(super) fn of(who: &Who, event: &Event) -> Option<Self> {
        let told = match event {
            Event::Reading { done, of } => Told::Reading { done: done.get(), of: of.get() },
            Event::Stale { resource, size, largest } => {
                Told::Stale { resource: *resource, size: size.get(), largest: *largest }
            }
            Event::Unverified { reason } => Told::Unverified { reason: reason.clone() },
            Event::Grown { .. }
            | Event::Keys { .. }
            | Event::Raised { .. }
            | Event::Unfiled { .. }
            | Event::Cleared { .. } => return None,
        };
        Some(Self::new(who, told))
    }

    /// Whether people are to be told.
    pub(super) const fn is_for_people(&self) -> bool {
        matches!(self.told, Told::Alarm { .. } | Told::Clear { .. } | Told::Keys { .. })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.log)?;
        match &self.told {
            Told::Consistent { size, root, new } => {
                write!(f, "consistent: {} has {size} entries ({new} new), root {root}", self.origin)
            }
            Told::Reading { done, of } => write!(f, "reading: {done} of {of} entries verified"),
            Told::Stale { resource, size, largest } => {
                write!(f, "stale: the {} shows {size} entries, it had {largest}", resource.path())
            }
            Told::Keys { keys } => {
                let keys: Vec<String> = keys.iter().map(|key| shown(key)).collect();
                let keys = keys.join(" and ");
                write!(
                    f,
                    "keys: the log has changed its keys, and led to {keys} by its own word; give these from now on"
                )
            }
            Told::Unverified { reason } => write!(f, "unverified: {reason}"),
            Told::Alarm { alarm, evidence: Some(path), .. } => write!(f, "{alarm}: evidence in {path}"),
            Told::Alarm { alarm, summary, evidence: None, .. } => write!(f, "{alarm}: {summary}"),
            Told::Clear { alarm, seconds, .. } => write!(f, "clear: {alarm}, after {seconds} s"),
        }
    }
}
