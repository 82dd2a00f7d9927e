//! What server and signer say to each other: one line of JSON asks, one answers, any number of times on a connection.
//!
//! Both are bounded before they are read. Nothing that is read is believed: the signer holds it against its own state,
//! and the server verifies each signature.

use cairn_tree::hash::Hash;
use cairn_tree::merkle::Root;
use cairn_tree::size::TreeSize;
use serde::{Deserialize, Serialize};

use super::KeyType;

/// Longest line, either way: a statement with sixteen keys, or their signatures.
pub(super) const LINE_BYTES: usize = 256 << 10;

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Ask {
    /// Which keys of a log are there?
    Keys {
        /// The log.
        origin: String,
    },
    /// Make a key; for an origin that is not there, the log's first. One that was made and has never signed a head is
    /// given again, so that nothing is left over by a crash.
    NewKey {
        /// The log.
        origin: String,
        /// What kind of key.
        kind: KeyType,
    },
    /// Sign a head.
    Head(Box<HeadAsk>),
    /// Sign what a log says about itself.
    Statement {
        /// The statement's text.
        text: String,
        /// The vkeys that sign.
        keys: Vec<String>,
    },
}

/// A head to be signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadAsk {
    pub(super) origin: String,
    pub(super) head: Point,
    pub(super) time_ms: u64,
    /// The size that the proof starts from: the last one that the signer has signed, as far as the server knows.
    pub(super) from: u64,
    /// Hashes in base64.
    pub(super) proof: Vec<String>,
    /// The vkeys that sign.
    pub(super) keys: Vec<String>,
}

/// A tree's size and root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Point {
    pub(super) size: u64,
    pub(super) root: String,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Told {
    /// The log's vkeys.
    Keys(Vec<String>),
    /// The new key.
    Key(String),
    /// Signature lines, each with its newline, in the order of the keys.
    Signed(String),
    /// The proof must start from this head, the last that was signed.
    From(Point),
    /// It will not be signed.
    Refused(String),
    /// It could not be done.
    Failed(String),
}

impl From<Root> for Point {
    fn from(root: Root) -> Self {
        Self { size: root.size.get(), root: root.hash.to_base64() }
    }
}

impl Point {
    /// The size and root, if they are some.
    pub(super) fn root(&self) -> Option<Root> {
        Some(Root { size: TreeSize::new(self.size).ok()?, hash: Hash::from_base64(&self.root).ok()? })
    }
}
