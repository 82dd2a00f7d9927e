//! What is kept when a log contradicts itself or misbehaves: one file, judged offline with nothing but the log's keys.
//!
//! The file is JSON, `cairn.evidence/1`, and holds all that is needed; heads stand in it as the signed notes they are:
//!
//! | member | is |
//! |---|---|
//! | `format` | `cairn.evidence/1` |
//! | `summary` | what happened, in a sentence |
//! | `origin` | the log (C2SP tlog-checkpoint, the first line of its heads) |
//! | `keys` | the keys that the observer took for the log's (vkeys); a judge brings his own |
//! | `url`, `observed` | where and when this was seen, by the observer's clock |
//! | `transcript` | the observer's notes of what was asked and answered before, one line each |
//! | `statements` | the log's statements about its keys, if they changed meanwhile: they lead a judge from a key that he knows to those that signed |
//! | `case` | what counts: see [`Case`] |
//!
//! A fork is proven by two signatures. That a log went back, or served bytes that it had not signed, is something that
//! its observer saw: testimony. Whether heads in the file are the log's all the same is judged for each case.

mod case;
mod judge;

use core::fmt;

use cairn_tree::checkpoint::{CheckpointError, LogKeys};
use cairn_tree::hash::HashError;
use cairn_tree::merkle::{ConsistencyError, InclusionError};
use cairn_tree::note::VerifierKey;
use cairn_tree::size::SizeError;
use cairn_tree::wire::keys::StatementAnswer;
use serde::{Deserialize, Serialize};

pub use case::{Case, Misplaced, Prefix};
pub(crate) use judge::prove_fork;

use super::keyring::Keyring;
use crate::fetch::shown;

/// The form of the file.
const FORMAT: &str = "cairn.evidence/1";

/// One contradiction or misdeed, as it is written to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    format: String,
    summary: String,
    origin: String,
    keys: Vec<String>,
    url: String,
    observed: String,
    transcript: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    statements: Vec<StatementAnswer>,
    case: Case,
}

/// Who saw something, where, when, and what came before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation<'a> {
    /// The log's keys, as they are known.
    pub keys: &'a LogKeys,
    /// Where the log was asked.
    pub url: String,
    /// The time, as RFC 3339 writes it.
    pub at: String,
    /// What was asked and answered before.
    pub transcript: Vec<String>,
}

/// How much a file proves to somebody who was not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// The log's signatures contradict each other, whoever shows them.
    Proven,
    /// It is the observer's word. What the signatures in the file show beside that, the verdict says.
    Testimony,
}

/// What comes of judging a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// How much it proves.
    pub weight: Weight,
    /// What its signatures and proofs show, and what they don't, in words; nothing is said of what was not verified.
    pub shows: &'static str,
}

/// Why a file is no evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// It is no such file.
    #[error("not an evidence file: {0}")]
    Form(String),
    /// It is about another log.
    #[error("the evidence is about the log {}, not about the one whose key is given", shown(.0))]
    OtherLog(String),
    /// A head in it does not parse.
    #[error("a head is no checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// A head in it is not the log's.
    #[error("a head is not the log's: none of the given keys has signed it")]
    Head,
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
    pub fn new(case: Case, observation: Observation<'_>) -> Self {
        let Observation { keys, url, at, transcript } = observation;
        Self {
            format: FORMAT.to_owned(),
            summary: case.to_string(),
            origin: keys.origin().to_string(),
            keys: keys.as_slice().iter().map(VerifierKey::to_string).collect(),
            url,
            observed: at,
            transcript,
            statements: Vec::new(),
            case,
        }
    }

    /// The same with what the log said about its keys, for judges who know only one of those that signed.
    #[must_use]
    pub fn with_statements(self, statements: &[StatementAnswer]) -> Self {
        Self { statements: statements.to_vec(), ..self }
    }

    /// What happened.
    #[must_use]
    pub const fn case(&self) -> &Case {
        &self.case
    }

    /// The origin of the log that it is about, as it says.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What happened, in a sentence of whoever wrote the file.
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

    /// Judges the case from the signatures and proofs in the file alone. `keys` are the log's, known from elsewhere.
    ///
    /// # Errors
    /// [`EvidenceError`] if they do not show what the case claims.
    pub fn check(&self, keys: &LogKeys) -> Result<Verdict, EvidenceError> {
        if keys.origin().as_str() != self.origin {
            return Err(EvidenceError::OtherLog(self.origin.clone()));
        }
        // Each is signed by a key that was trusted before it; what does not lead on from the judge's keys adds none.
        let keys = Keyring::from(keys.clone());
        let keys = keys.follow(self.statements.clone()).unwrap_or(keys);
        judge::judge(&self.case, keys.all())
    }
}

fn form(why: impl fmt::Display) -> EvidenceError {
    EvidenceError::Form(shown(&why.to_string()))
}
