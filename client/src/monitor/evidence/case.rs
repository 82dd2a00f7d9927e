//! What can be held against a log, and how each case is put.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cairn_tree::checkpoint::{AvowedCheckpoint, SignedCheckpoint, VerifiedCheckpoint};
use cairn_tree::hash::Hash;
use cairn_tree::merkle::{ConsistencyProof, InclusionProof};
use cairn_tree::size::LeafIndex;
use serde::{Deserialize, Serialize};

use crate::fetch::{HeadKind, shown};

/// What happened. Heads are whole signed notes; hashes and bytes are base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Case {
    /// The log signed two trees of which neither extends the other. The only case that proves itself.
    Fork {
        /// The head of the smaller tree (or one of two of equal size).
        smaller: String,
        /// The head of the larger tree.
        larger: String,
        /// What the larger tree was at the smaller one's size. Two heads of equal size need no such proof.
        prefix: Option<Prefix>,
    },
    /// The log, asked past caches, showed an old head again, for longer than caches can be blamed.
    Rollback {
        /// The largest head that it had shown.
        larger: String,
        /// The head that it shows now.
        smaller: String,
        /// Where it shows it.
        resource: HeadKind,
        /// For how many seconds.
        seconds: u64,
    },
    /// The log, asked past caches, kept a head from us that it had signed for somebody else.
    Withheld {
        /// The head that somebody else was shown.
        seen: String,
        /// The largest head that the log shows us.
        shown: String,
        /// Who showed us the first one.
        peer: String,
        /// For how many seconds.
        seconds: u64,
    },
    /// The log served bytes for an entry that do not hash to the leaf in its signed tree.
    WrongEntry {
        /// The signed head.
        head: String,
        /// The entry's index.
        index: u64,
        /// The bytes that were served.
        served: String,
        /// The leaf hash in the signed tree.
        leaf_hash: String,
        /// The proof that the signed tree has that leaf hash there.
        inclusion: Vec<String>,
    },
    /// The log, asked past caches, served tiles or entries that do not belong to its signed head.
    Misfit {
        /// The head that was verified before, if there was one.
        previous: Option<String>,
        /// The signed head that nothing fits.
        head: String,
        /// What was served instead.
        fault: String,
    },
    /// The log, asked past caches, served a head with a wrong signature or without one by a known key.
    Signature {
        /// Where it was served.
        resource: HeadKind,
        /// What was served.
        served: String,
        /// What is wrong with it.
        fault: String,
    },
    /// The log, asked past caches, served a checkpoint that too few witnesses have cosigned.
    Quorum {
        /// What was served, signed by the log.
        head: String,
        /// Who is missing.
        fault: String,
        /// The policy (C2SP tlog-policy) that it does not meet.
        policy: String,
    },
    /// The times in the signatures of a head are too old or in the future.
    Time {
        /// What was served, signed by the log.
        head: String,
        /// What is wrong with its time.
        fault: Misplaced,
        /// The second since the Epoch at which it was judged, by the observer's clock.
        now: u64,
        /// By how many seconds it may differ.
        within: u64,
        /// The times at hand, each with who attests it.
        times: Vec<String>,
    },
}

/// On which side of now a head's time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Misplaced {
    /// Nobody attests it lately.
    TooOld,
    /// Too few attest it without those who do it for a time to come.
    FromTheFuture,
}

/// The proof of what a larger tree was at a smaller size (RFC 9162, section 2.1.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prefix {
    /// The root that the larger tree had at that size.
    pub root: String,
    /// The consistency proof from that root to the larger tree's.
    pub consistency: Vec<String>,
}

impl Case {
    /// A fork whose heads have the same size.
    #[must_use]
    pub fn fork_at_one_size(one: &impl AsRef<AvowedCheckpoint>, other: &impl AsRef<AvowedCheckpoint>) -> Self {
        let (one, other) = (one.as_ref().signed(), other.as_ref().signed());
        Self::Fork { smaller: one.encode(), larger: other.encode(), prefix: None }
    }

    /// A fork between two sizes: the `larger` tree had another root at the `smaller` one's size.
    #[must_use]
    pub fn fork(
        smaller: &impl AsRef<AvowedCheckpoint>,
        larger: &impl AsRef<AvowedCheckpoint>,
        root: Hash,
        consistency: &ConsistencyProof,
    ) -> Self {
        let (smaller, larger) = (smaller.as_ref().signed(), larger.as_ref().signed());
        let prefix = Prefix { root: root.to_base64(), consistency: texts(consistency.hashes()) };
        Self::Fork { smaller: smaller.encode(), larger: larger.encode(), prefix: Some(prefix) }
    }

    /// Bytes that are not the entry's.
    #[must_use]
    pub fn wrong_entry(
        head: &VerifiedCheckpoint,
        index: LeafIndex,
        served: &[u8],
        leaf: Hash,
        inclusion: &InclusionProof,
    ) -> Self {
        Self::WrongEntry {
            head: head.signed().encode(),
            index: index.get(),
            served: STANDARD.encode(served),
            leaf_hash: leaf.to_base64(),
            inclusion: texts(inclusion.hashes()),
        }
    }

    /// One word for the case.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Fork { .. } => "fork",
            Self::Rollback { .. } => "rollback",
            Self::Withheld { .. } => "withheld",
            Self::WrongEntry { .. } => "wrong-entry",
            Self::Misfit { .. } => "misfit",
            Self::Signature { .. } => "signature",
            Self::Quorum { .. } => "quorum",
            Self::Time { fault: Misplaced::TooOld, .. } => "too-old",
            Self::Time { fault: Misplaced::FromTheFuture, .. } => "from-the-future",
        }
    }
}

/// The summary. Sizes are read from the heads as they stand, verified or not.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fork { smaller, larger, .. } => {
                let (smaller, larger) = (size(smaller), size(larger));
                write!(f, "the log forked: it signed two trees, of {smaller} and of {larger} entries, ")?;
                f.write_str("and neither extends the other")
            }
            Self::Rollback { larger, smaller, resource, seconds } => {
                let (smaller, larger, resource) = (size(smaller), size(larger), resource.path());
                write!(f, "the log rolled back: its {resource} had {larger} entries and has had {smaller} ")?;
                write!(f, "for {seconds} s, past all caches")
            }
            Self::Withheld { seen, shown: ours, peer, seconds } => {
                let (seen, ours, peer) = (size(seen), size(ours), shown(peer));
                write!(f, "the log withholds entries: it signed {seen} of them for {peer} and has shown us {ours} ")?;
                write!(f, "for {seconds} s, past all caches")
            }
            Self::WrongEntry { head, index, .. } => {
                write!(f, "the log lies about entry {index}: what it serves is not what its head of {} ", size(head))?;
                f.write_str("entries signs")
            }
            Self::Misfit { head, fault, .. } => {
                let (size, fault) = (size(head), shown(fault));
                write!(f, "the log lies: what it serves is not the tree of {size} entries that it signed ({fault})")
            }
            Self::Signature { resource, fault, .. } => {
                write!(f, "the log's {} is not signed as it must be: {}", resource.path(), shown(fault))
            }
            Self::Quorum { head, fault, .. } => {
                write!(f, "the log's checkpoint of {} entries does not meet the policy: {}", size(head), shown(fault))
            }
            Self::Time { head, fault: Misplaced::TooOld, within, .. } => {
                write!(f, "the log's checkpoint of {} entries is too old: nobody whom the policy ", size(head))?;
                write!(f, "asks for attests it for the last {within} s")
            }
            Self::Time { head, fault: Misplaced::FromTheFuture, within, .. } => {
                write!(f, "the log's checkpoint of {} entries is from the future, by more than {within} s", size(head))
            }
        }
    }
}

fn size(note: &str) -> String {
    SignedCheckpoint::parse(note.as_bytes())
        .map_or_else(|_| "?".to_owned(), |head| head.unverified().size().to_string())
}

fn texts(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(Hash::to_base64).collect()
}
