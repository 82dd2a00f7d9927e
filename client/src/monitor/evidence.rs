//! What is kept when a log contradicts itself: enough for others to judge, with nothing but the log's public key.
//!
//! A fork is proven by two signatures. That a log went back, or served bytes that it had not signed, is something its
//! observer saw; the signed heads in the file are still the log's, and show what it was asked to stand by.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cairn_tree::checkpoint::{CheckpointError, CheckpointVerifyError, SignedCheckpoint, VerifiedCheckpoint};
use cairn_tree::hash::{Hash, HashError};
use cairn_tree::merkle::{ConsistencyError, ConsistencyProof, Extension, InclusionError, InclusionProof, Root};
use cairn_tree::note::VerifierKey;
use cairn_tree::size::{LeafIndex, SizeError};
use serde::{Deserialize, Serialize};

use crate::fetch::HeadKind;

/// The form of the file.
const FORMAT: &str = "cairn.evidence/1";

/// One contradiction, as it is written to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    format: String,
    /// What happened, in a sentence. The rest of the file is what counts.
    summary: String,
    /// Where the log was asked.
    url: String,
    /// The log's key, whose name is the log's origin.
    vkey: String,
    /// When this was seen, by the clock of the machine that saw it.
    observed: String,
    case: Case,
}

/// Where and when something was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Where the log was asked.
    pub url: String,
    /// The time, as RFC 3339 writes it.
    pub at: String,
}

/// What happened. Heads are whole signed notes; hashes and bytes are base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Case {
    /// The log signed two trees of which neither extends the other.
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

/// How much a file proves to somebody who was not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// The log's signatures contradict each other, whoever shows them.
    Proven,
    /// The signatures are the log's; what it did with them is the observer's word.
    Witnessed,
}

/// Why a file is no evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// It is no such file.
    #[error("not an evidence file: {0}")]
    Form(String),
    /// It is about another log.
    #[error("the evidence is about the log key {0}, not about the one given")]
    OtherKey(String),
    /// A head in it does not parse.
    #[error("a head is no checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// A head in it is not the log's.
    #[error("a head is not the log's: {0}")]
    Head(#[from] CheckpointVerifyError),
    /// A hash in it is none.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// A number in it is no index.
    #[error("the index {0}")]
    Index(#[from] SizeError),
    /// The consistency proof proves nothing.
    #[error(transparent)]
    Consistency(#[from] ConsistencyError),
    /// The inclusion proof proves nothing.
    #[error(transparent)]
    Inclusion(#[from] InclusionError),
    /// What it shows is how an honest log looks.
    #[error("no contradiction: {0}")]
    Harmless(&'static str),
}

impl Evidence {
    /// Puts a case on record.
    #[must_use]
    pub fn new(case: Case, key: &VerifierKey, observation: Observation) -> Self {
        let Observation { url, at } = observation;
        Self { format: FORMAT.to_owned(), summary: case.to_string(), url, vkey: key.to_string(), observed: at, case }
    }

    /// What happened.
    #[must_use]
    pub const fn case(&self) -> &Case {
        &self.case
    }

    /// What happened, in a sentence.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// [`EvidenceError::Form`], which no evidence is known to cause.
    pub fn encode(&self) -> Result<Vec<u8>, EvidenceError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(form)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a file; nothing in it is verified yet.
    ///
    /// # Errors
    /// [`EvidenceError::Form`].
    pub fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let evidence: Self = serde_json::from_slice(bytes).map_err(form)?;
        if evidence.format == FORMAT { Ok(evidence) } else { Err(form(format!("its format is not {FORMAT}"))) }
    }

    /// Judges the case from the signatures and proofs in the file alone.
    ///
    /// # Errors
    /// [`EvidenceError`] if they do not show what the case claims.
    pub fn check(&self, key: &VerifierKey) -> Result<Weight, EvidenceError> {
        if self.vkey != key.to_string() {
            return Err(EvidenceError::OtherKey(crate::fetch::shown(&self.vkey)));
        }
        let root = |note: &str| verified(note, key).map(|head| head.tree());
        match &self.case {
            Case::Fork { smaller, larger, prefix } => check_fork(root(smaller)?, root(larger)?, prefix.as_ref()),
            Case::Rollback { larger, smaller, .. } => {
                if root(smaller)?.size < root(larger)?.size {
                    Ok(Weight::Witnessed)
                } else {
                    Err(EvidenceError::Harmless("the head that is shown now is not smaller"))
                }
            }
            Case::WrongEntry { head, index, served, leaf_hash, inclusion } => {
                let leaf = Hash::from_base64(leaf_hash)?;
                let proof = InclusionProof::from_hashes(hashes(inclusion)?)?;
                proof.verify(LeafIndex::new(*index)?, &leaf, &root(head)?)?;
                let served = STANDARD.decode(served).map_err(form)?;
                if Hash::leaf(&served) == leaf {
                    return Err(EvidenceError::Harmless("the bytes that were served are the entry's"));
                }
                Ok(Weight::Witnessed)
            }
            Case::Misfit { previous, head, .. } => {
                previous.as_deref().map(root).transpose()?;
                root(head)?;
                Ok(Weight::Witnessed)
            }
        }
    }
}

/// Two signed trees contradict each other if the larger one, cut to the smaller one's size, is another tree.
fn check_fork(smaller: Root, larger: Root, prefix: Option<&Prefix>) -> Result<Weight, EvidenceError> {
    let at_that_size = match prefix {
        None if smaller.size == larger.size => larger.hash,
        None => return Err(EvidenceError::Harmless("heads of different sizes need a proof that they contradict")),
        Some(prefix) => {
            let old = Root { size: smaller.size, hash: Hash::from_base64(&prefix.root)? };
            let proof = ConsistencyProof::from_hashes(hashes(&prefix.consistency)?)?;
            proof.verify(&Extension { old, new: larger })?;
            old.hash
        }
    };
    if at_that_size == smaller.hash {
        return Err(EvidenceError::Harmless("the larger tree extends the smaller one"));
    }
    Ok(Weight::Proven)
}

impl Case {
    /// A fork whose heads have the same size.
    #[must_use]
    pub fn fork_at_one_size(one: &VerifiedCheckpoint, other: &VerifiedCheckpoint) -> Self {
        Self::Fork { smaller: one.signed().encode(), larger: other.signed().encode(), prefix: None }
    }

    /// A fork between two sizes: the `larger` tree had another root at the `smaller` one's size.
    #[must_use]
    pub fn fork(
        smaller: &VerifiedCheckpoint,
        larger: &VerifiedCheckpoint,
        root: Hash,
        consistency: &ConsistencyProof,
    ) -> Self {
        let prefix = Prefix { root: root.to_base64(), consistency: texts(consistency.hashes()) };
        Self::Fork { smaller: smaller.signed().encode(), larger: larger.signed().encode(), prefix: Some(prefix) }
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
            Self::WrongEntry { .. } => "wrong-entry",
            Self::Misfit { .. } => "misfit",
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
            Self::WrongEntry { head, index, .. } => {
                write!(f, "the log lies about entry {index}: what it serves is not what its head of {} ", size(head))?;
                f.write_str("entries signs")
            }
            Self::Misfit { head, fault, .. } => {
                write!(
                    f,
                    "the log lies: what it serves is not the tree of {} entries that it signed ({fault})",
                    size(head)
                )
            }
        }
    }
}

fn size(note: &str) -> String {
    SignedCheckpoint::parse(note.as_bytes())
        .map_or_else(|_| "?".to_owned(), |head| head.unverified().size().to_string())
}

fn verified(note: &str, key: &VerifierKey) -> Result<VerifiedCheckpoint, EvidenceError> {
    Ok(SignedCheckpoint::parse(note.as_bytes())?.verify(core::slice::from_ref(key))?)
}

fn hashes(texts: &[String]) -> Result<Vec<Hash>, HashError> {
    texts.iter().map(|text| Hash::from_base64(text)).collect()
}

fn texts(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(Hash::to_base64).collect()
}

fn form(why: impl fmt::Display) -> EvidenceError {
    EvidenceError::Form(crate::fetch::shown(&why.to_string()))
}
