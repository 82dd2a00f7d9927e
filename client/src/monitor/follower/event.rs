//! What following a log tells, and when it wants to look again.

use std::time::Duration;

use cairn_tree::note::VerifierKey;
use cairn_tree::size::TreeSize;

use super::super::alarm::{Active, Alarm};
use super::super::evidence::Evidence;
use crate::fetch::HeadKind;

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// All entries of a larger tree were verified.
    Grown {
        /// The size before.
        from: TreeSize,
        /// The size now.
        to: TreeSize,
    },
    /// A part of a larger tree was verified.
    Reading {
        /// How many entries are verified.
        done: TreeSize,
        /// How many there are.
        of: TreeSize,
    },
    /// A resource began to show an old head, which caches may honestly do.
    Stale {
        /// Where.
        resource: HeadKind,
        /// What it shows.
        size: TreeSize,
        /// The largest size that it has shown.
        largest: u64,
    },
    /// Nothing could be verified, for the first time after it could.
    Unverified {
        /// Why, in words that are fit to be shown.
        reason: String,
    },
    /// The log has other keys now, to which its own statements lead from those that were given.
    Keys {
        /// Those that sign from now on.
        active: Vec<VerifierKey>,
    },
    /// An alarm begins.
    Raised {
        /// What is wrong.
        alarm: Alarm,
        /// What happened, in a sentence.
        summary: String,
        /// What is to be kept, unless there is nothing to show.
        evidence: Option<Box<Evidence>>,
    },
    /// An alarm goes on of which no file is known: what is to be kept, unless that is done meanwhile.
    Unfiled {
        /// What is wrong.
        alarm: Alarm,
        /// What is to be kept.
        evidence: Box<Evidence>,
    },
    /// An alarm ends.
    Cleared {
        /// What was wrong, and since when.
        active: Active,
    },
}

/// How a step ended.
#[derive(Debug)]
pub struct Step {
    /// What it has to tell, in order.
    pub events: Vec<Event>,
    /// How long to wait before the next one.
    pub wait: Duration,
    /// Whether there is something new to be kept in a file.
    pub has_news: bool,
    /// Whether the log has shown all that it will: nothing is left to be read, and no patience is running.
    pub is_settled: bool,
    /// Why nothing could be verified, if so.
    pub unverified: Option<String>,
}
