//! What a watcher tells, one event per line.

use core::fmt;

use cairn_tree::size::{TreeSize, counted};
use cairn_tree::statement::SealStatement;
use serde::Serialize;

use crate::fetch::{HeadKind, shown};
use crate::monitor::{Evidence, Stale, State};

/// One event.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Event {
    /// All that the log shows extends what was known.
    Consistent {
        origin: String,
        size: u64,
        root: String,
        /// How many entries came since the last time.
        new: u64,
    },
    /// The log has ended; another continues it.
    Sealed {
        origin: String,
        size: u64,
        successor: String,
        /// The keys that it names for the successor.
        successor_keys: Vec<String>,
    },
    /// The log shows an old head.
    Stale {
        resource: HeadKind,
        size: u64,
        /// The largest size that the resource has shown.
        largest: u64,
        /// Whether the old head is known to be of the same tree.
        placed: bool,
    },
    /// Nothing could be verified this time.
    Unverified { reason: String },
    /// The log contradicts itself.
    Contradiction { kind: &'static str, summary: String, evidence: Option<String> },
}

impl Event {
    pub(super) fn consistent(state: &State, grown: Option<(TreeSize, TreeSize)>) -> Self {
        let root = state.root();
        Self::Consistent {
            origin: state.head().origin().to_string(),
            size: root.size.get(),
            root: root.hash.to_base64(),
            new: grown.map_or(0, |(from, to)| to.get() - from.get()),
        }
    }

    pub(super) fn sealed(seal: &SealStatement, size: TreeSize) -> Self {
        Self::Sealed {
            origin: seal.origin().to_string(),
            size: size.get(),
            successor: seal.successor().to_string(),
            successor_keys: seal.successor_keys().iter().map(ToString::to_string).collect(),
        }
    }

    pub(super) fn stale(stale: &Stale, state: &State) -> Self {
        Self::Stale {
            resource: stale.kind,
            size: stale.head.size().get(),
            largest: state.shown().largest(stale.kind),
            placed: stale.placed,
        }
    }

    pub(super) const fn unverified(reason: String) -> Self {
        Self::Unverified { reason }
    }

    pub(super) fn contradiction(evidence: &Evidence, path: Option<String>) -> Self {
        Self::Contradiction { kind: evidence.case().name(), summary: shown(evidence.summary()), evidence: path }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consistent { origin, size, root, new } => {
                write!(f, "consistent: {origin} has {} ({new} new), root {root}", counted(*size, "entry", "entries"))
            }
            Self::Sealed { origin, size, successor, .. } => {
                let (origin, successor) = (shown(origin), shown(successor));
                write!(
                    f,
                    "sealed: {origin} has ended with {size} entries; {successor} continues it (see: cairn follow)"
                )
            }
            Self::Stale { resource, size, largest, .. } => {
                let (resource, entries) = (resource.path(), counted(*size, "entry", "entries"));
                write!(f, "stale: the {resource} shows {entries}, it had {largest}; asking past caches")
            }
            Self::Unverified { reason } => write!(f, "unverified: {reason}"),
            Self::Contradiction { kind, evidence: Some(path), .. } => write!(f, "{kind}: evidence in {path}"),
            Self::Contradiction { kind, evidence: None, .. } => write!(f, "{kind}"),
        }
    }
}
