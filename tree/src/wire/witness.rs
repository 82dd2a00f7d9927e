//! The bodies of `add-checkpoint` (C2SP tlog-witness).
//!
//! Only form is checked here; what a witness must verify, and in which order, is for the witness. `sign-subtree`, which
//! is optional, is absent.

use core::fmt;

use crate::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::hash::{Hash, HashError};
use crate::merkle::{ConsistencyError, ConsistencyProof};
use crate::note::{NoteError, NoteSignature, SignedNote};
use crate::size::{SizeError, TreeSize};

/// The most lines of a consistency proof.
pub const MAX_PROOF_LINES: usize = 63;

/// The longest request: the old size, the proof, and the longest checkpoint.
pub const MAX_REQUEST_BYTES: usize = SignedNote::MAX_BYTES + 4 * 1024;

/// The body of a request. Nothing of it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    old: TreeSize,
    /// At most [`MAX_PROOF_LINES`].
    proof: ConsistencyProof,
    checkpoint: SignedCheckpoint,
}

/// The body of a successful answer: one or more signature lines. None of them is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignatures {
    /// At least one, at most [`SignedNote::MAX_SIGNATURES`].
    lines: Vec<NoteSignature>,
}

/// The body of a 409: the size of the newest checkpoint that the witness has cosigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// The size.
    pub size: TreeSize,
}

/// Why bytes are not one of the bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WitnessBodyError {
    /// The body is longer than [`MAX_REQUEST_BYTES`].
    #[error("the body must be at most {MAX_REQUEST_BYTES} bytes, not {0}")]
    TooLong(usize),
    /// The body is not UTF-8.
    #[error("the body must be UTF-8")]
    Utf8,
    /// The first line is not the old size.
    #[error("the first line must be \"old\", a space and a size")]
    NoOldSize,
    /// A size is no number in range.
    #[error("the size {0}")]
    Size(#[from] SizeError),
    /// A line of the proof is no hash.
    #[error("proof line {line}: {error}")]
    ProofHash {
        /// The line of the proof, counted from one.
        line: usize,
        /// What is wrong with it.
        error: HashError,
    },
    /// There are more than [`MAX_PROOF_LINES`] lines of proof.
    #[error("a proof must have at most {MAX_PROOF_LINES} lines")]
    TooManyProofLines,
    /// The proof is too long for any tree.
    #[error(transparent)]
    Proof(#[from] ConsistencyError),
    /// No blank line ends the proof.
    #[error("a blank line must stand between the proof and the checkpoint")]
    NoCheckpoint,
    /// The checkpoint is malformed.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The signature lines are malformed.
    #[error(transparent)]
    Lines(#[from] NoteError),
    /// The size is not one line.
    #[error("the size must be one line")]
    NoLine,
}

impl AddCheckpoint {
    /// Puts a request together.
    ///
    /// # Errors
    /// [`WitnessBodyError::TooManyProofLines`] past [`MAX_PROOF_LINES`].
    pub fn new(old: TreeSize, proof: ConsistencyProof, checkpoint: SignedCheckpoint) -> Result<Self, WitnessBodyError> {
        if proof.hashes().len() > MAX_PROOF_LINES {
            return Err(WitnessBodyError::TooManyProofLines);
        }
        Ok(Self { old, proof, checkpoint })
    }

    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`WitnessBodyError`] for anything that `Display` would not have written; a witness answers it with 400.
    pub fn parse(body: &[u8]) -> Result<Self, WitnessBodyError> {
        if body.len() > MAX_REQUEST_BYTES {
            return Err(WitnessBodyError::TooLong(body.len()));
        }
        let body = core::str::from_utf8(body).map_err(|_| WitnessBodyError::Utf8)?;
        let (line, mut rest) = body.split_once('\n').ok_or(WitnessBodyError::NoOldSize)?;
        let old = TreeSize::parse(line.strip_prefix("old ").ok_or(WitnessBodyError::NoOldSize)?)?;
        let mut hashes = Vec::new();
        loop {
            let (line, after) = rest.split_once('\n').ok_or(WitnessBodyError::NoCheckpoint)?;
            rest = after;
            if line.is_empty() {
                break;
            }
            let number = hashes.len() + 1;
            if number > MAX_PROOF_LINES {
                return Err(WitnessBodyError::TooManyProofLines);
            }
            hashes.push(Hash::from_base64(line).map_err(|error| WitnessBodyError::ProofHash { line: number, error })?);
        }
        Self::new(old, ConsistencyProof::from_hashes(hashes)?, SignedCheckpoint::parse(rest.as_bytes())?)
    }

    /// The size of the tree that the proof starts from.
    #[must_use]
    pub const fn old(&self) -> TreeSize {
        self.old
    }

    /// The consistency proof, unverified.
    #[must_use]
    pub const fn proof(&self) -> &ConsistencyProof {
        &self.proof
    }

    /// The checkpoint, unverified.
    #[must_use]
    pub const fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }
}

/// The body.
impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.hashes().iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl Cosignatures {
    /// Answers with these lines.
    ///
    /// # Errors
    /// [`WitnessBodyError::Lines`] if there are none or too many.
    pub fn new(lines: Vec<NoteSignature>) -> Result<Self, WitnessBodyError> {
        match lines.len() {
            0 => Err(NoteError::NoSignatures.into()),
            count if count > SignedNote::MAX_SIGNATURES => Err(NoteError::TooManySignatures.into()),
            _ => Ok(Self { lines }),
        }
    }

    /// Reads the body of a successful answer.
    ///
    /// # Errors
    /// [`WitnessBodyError`] for anything that `Display` would not have written.
    pub fn parse(body: &[u8]) -> Result<Self, WitnessBodyError> {
        let body = core::str::from_utf8(body).map_err(|_| WitnessBodyError::Utf8)?;
        Self::new(NoteSignature::parse_lines(body)?)
    }

    /// The lines: verify each with the witness's key before you keep it.
    #[must_use]
    pub fn lines(&self) -> &[NoteSignature] {
        &self.lines
    }
}

/// The body.
impl fmt::Display for Cosignatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Conflict {
    /// Reads the body of a 409.
    ///
    /// # Errors
    /// [`WitnessBodyError`] for anything that `Display` would not have written.
    pub fn parse(body: &[u8]) -> Result<Self, WitnessBodyError> {
        let body = core::str::from_utf8(body).map_err(|_| WitnessBodyError::Utf8)?;
        let line = body.strip_suffix('\n').ok_or(WitnessBodyError::NoLine)?;
        Ok(Self { size: TreeSize::parse(line)? })
    }
}

/// The body.
impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.size)
    }
}
