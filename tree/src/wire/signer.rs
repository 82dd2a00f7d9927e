//! What a server and its signer process say to each other: one line of JSON asks, one answers, any number of times on a
//! connection.
//!
//! Both are bounded before they are read. Nothing that is read is believed: the signer holds it against its own state,
//! and the server verifies each signature. Not here: who signs what, and the socket.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::hash::Hash;
use crate::merkle::{ConsistencyProof, Root};
use crate::note::{SignatureType, VerifierKey};
use crate::size::TreeSize;

/// Longest line, either way: a statement with sixteen keys, or their signatures.
pub const LINE_BYTES: usize = 256 << 10;

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
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
pub struct HeadAsk {
    /// The log.
    pub origin: String,
    /// The head.
    pub head: Point,
    /// Its time, in milliseconds since the epoch.
    pub time_ms: u64,
    /// The last head that the server has made durable as signed: after a crash it starts from there.
    pub released: Point,
    /// The size that the proof starts from: the last one that the signer has signed, as far as the server knows.
    pub from: u64,
    /// Hashes in base64.
    pub proof: Vec<String>,
    /// The vkeys that sign.
    pub keys: Vec<String>,
}

/// A tree's size and root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// The number of leaves.
    pub size: u64,
    /// The root, in base64.
    pub root: String,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
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
    #[must_use]
    pub fn root(&self) -> Option<Root> {
        Some(Root { size: TreeSize::new(self.size).ok()?, hash: Hash::from_base64(&self.root).ok()? })
    }
}

impl HeadAsk {
    /// The proof, if it is one.
    #[must_use]
    pub fn proof(&self) -> Option<ConsistencyProof> {
        let hashes: Result<Vec<_>, _> = self.proof.iter().map(|text| Hash::from_base64(text)).collect();
        ConsistencyProof::from_hashes(hashes.ok()?).ok()
    }
}

/// What kind of key a log's is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyType {
    /// Ed25519 (0x01). Every log has such a key.
    Ed25519,
    /// ML-DSA-44 (0x06), beside an Ed25519 key.
    #[serde(rename = "ml-dsa-44")]
    MlDsa44,
}

impl KeyType {
    /// What kind of key a log's key is.
    #[must_use]
    pub fn of(key: &VerifierKey) -> Self {
        if key.kind() == SignatureType::COSIGNATURE_ML_DSA_44 { Self::MlDsa44 } else { Self::Ed25519 }
    }

    /// Its number on signature lines and in vkeys.
    #[must_use]
    pub const fn signature_type(self) -> SignatureType {
        match self {
            Self::Ed25519 => SignatureType::ED25519,
            Self::MlDsa44 => SignatureType::COSIGNATURE_ML_DSA_44,
        }
    }

    /// The name as it is written on command lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::MlDsa44 => "ml-dsa-44",
        }
    }
}

impl FromStr for KeyType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Ed25519, Self::MlDsa44];
        all.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| "write ed25519 or ml-dsa-44".to_owned())
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
