//! Receipts: offline-verifiable proofs that an entry is in a log (C2SP tlog-proof). Its JSON twin stands in
//! [`crate::wire::append`].
//!
//! A [`Receipt`] has parsed and proves nothing yet. [`Receipt::verify`] hashes the entry's bytes itself: there is no
//! way to hand it a leaf hash, so that a proof for another entry is never mistaken for this one's.

use core::fmt;

use crate::checkpoint::{CheckpointError, SignedCheckpoint, VerifiedCheckpoint};
use crate::hash::{Hash, HashError};
use crate::merkle::{InclusionError, InclusionProof};
use crate::note::{decode_base64, encode_base64};
use crate::policy::{CountedWitness, PolicyVerifyError, Trust, WitnessedCheckpoint};
use crate::size::{LeafIndex, SizeError};

/// The first line.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// A proof that parsed; nothing of it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Not empty, at most [`Receipt::MAX_EXTRA_BYTES`].
    extra: Option<Vec<u8>>,
    index: LeafIndex,
    proof: InclusionProof,
    checkpoint: SignedCheckpoint,
}

/// An entry's place in a log, proven by a checkpoint that is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedReceipt {
    index: LeafIndex,
    leaf_hash: Hash,
    checkpoint: WitnessedCheckpoint,
}

/// Why bytes are not a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The receipt is longer than [`Receipt::MAX_BYTES`].
    #[error("a receipt must be at most {max} bytes, not {0}", max = Receipt::MAX_BYTES)]
    TooLong(usize),
    /// The part before the checkpoint is not UTF-8.
    #[error("a receipt must be UTF-8")]
    Utf8,
    /// The first line is another.
    #[error("the first line must be {HEADER}")]
    Header,
    /// The extra data is empty or not canonical base64.
    #[error("the extra data must be canonical padded base64 of at least one byte")]
    Extra,
    /// There is more extra data than [`Receipt::MAX_EXTRA_BYTES`].
    #[error("extra data must be at most {max} bytes, not {0}", max = Receipt::MAX_EXTRA_BYTES)]
    ExtraTooLong(usize),
    /// There is no line with an index where it must be.
    #[error("the line after the header and the extra data must be \"index\", a space and a number")]
    NoIndex,
    /// The index is no number in range.
    #[error("the index {0}")]
    Index(#[from] SizeError),
    /// A line of the proof is no hash.
    #[error("proof line {line}: {error}")]
    ProofHash {
        /// The line of the proof, counted from one.
        line: usize,
        /// What is wrong with it.
        error: HashError,
    },
    /// The proof is too long for any tree.
    #[error(transparent)]
    Proof(#[from] InclusionError),
    /// No blank line ends the proof.
    #[error("a blank line must stand between the proof and the checkpoint")]
    NoCheckpoint,
    /// The checkpoint is malformed.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
}

/// Why a receipt does not prove that an entry is in a trusted log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptVerifyError {
    /// The checkpoint is not to be trusted.
    #[error("the checkpoint is not trusted: {0}")]
    Checkpoint(#[from] PolicyVerifyError),
    /// The checkpoint is, but the entry is not at that index in it.
    #[error("the entry is not proven to be in the log: {0}")]
    Inclusion(#[from] InclusionError),
}

impl Receipt {
    /// The longest receipt: the checkpoint's bound, and room for the proof and the extra data before it.
    pub const MAX_BYTES: usize = crate::note::SignedNote::MAX_BYTES + 128 * 1024;
    /// The most extra data.
    pub const MAX_EXTRA_BYTES: usize = 64 * 1024;

    /// Puts a receipt together. Nothing is verified.
    #[must_use]
    pub const fn new(index: LeafIndex, proof: InclusionProof, checkpoint: SignedCheckpoint) -> Self {
        Self { extra: None, index, proof, checkpoint }
    }

    /// Adds extra data. Nobody signs it.
    ///
    /// # Errors
    /// [`ReceiptError::Extra`] if there is none, [`ReceiptError::ExtraTooLong`] past the bound.
    pub fn with_extra(self, extra: Vec<u8>) -> Result<Self, ReceiptError> {
        match extra.len() {
            0 => Err(ReceiptError::Extra),
            length if length > Self::MAX_EXTRA_BYTES => Err(ReceiptError::ExtraTooLong(length)),
            _ => Ok(Self { extra: Some(extra), ..self }),
        }
    }

    /// Reads a `.tlog-proof` (tlog-proof, format).
    ///
    /// # Errors
    /// [`ReceiptError`] for anything that `Display` would not have written.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(ReceiptError::TooLong(bytes.len()));
        }
        let text = core::str::from_utf8(bytes).map_err(|_| ReceiptError::Utf8)?;
        let (header, rest) = text.split_once('\n').ok_or(ReceiptError::Header)?;
        if header != HEADER {
            return Err(ReceiptError::Header);
        }
        let (line, rest) = rest.split_once('\n').ok_or(ReceiptError::NoIndex)?;
        let (extra, line, mut rest) = match line.strip_prefix("extra ") {
            Some(extra) => {
                let (line, rest) = rest.split_once('\n').ok_or(ReceiptError::NoIndex)?;
                (Some(decode_base64(extra).ok_or(ReceiptError::Extra)?), line, rest)
            }
            None => (None, line, rest),
        };
        let index = LeafIndex::parse(line.strip_prefix("index ").ok_or(ReceiptError::NoIndex)?)?;
        let mut hashes = Vec::new();
        loop {
            let (line, after) = rest.split_once('\n').ok_or(ReceiptError::NoCheckpoint)?;
            rest = after;
            if line.is_empty() {
                break;
            }
            let number = hashes.len() + 1;
            if number > InclusionProof::MAX_HASHES {
                return Err(InclusionError::TooManyHashes(number).into());
            }
            hashes.push(Hash::from_base64(line).map_err(|error| ReceiptError::ProofHash { line: number, error })?);
        }
        let checkpoint = SignedCheckpoint::parse(rest.as_bytes())?;
        let receipt = Self::new(index, InclusionProof::from_hashes(hashes)?, checkpoint);
        match extra {
            Some(extra) => receipt.with_extra(extra),
            None => Ok(receipt),
        }
    }

    /// The index that the receipt claims.
    #[must_use]
    pub const fn index(&self) -> LeafIndex {
        self.index
    }

    /// The inclusion proof, unverified.
    #[must_use]
    pub const fn proof(&self) -> &InclusionProof {
        &self.proof
    }

    /// The checkpoint, unverified.
    #[must_use]
    pub const fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// The extra data. It is not authenticated, also not by [`Receipt::verify`].
    #[must_use]
    pub fn unauthenticated_extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// Verifies that a trusted log has the entry with these bytes (tlog-proof, verifying a tlog proof).
    ///
    /// # Errors
    /// [`ReceiptVerifyError`] says whether the checkpoint or the inclusion fails, and why.
    pub fn verify(&self, entry: &[u8], trust: &Trust) -> Result<VerifiedReceipt, ReceiptVerifyError> {
        // 1. Compute the leaf hash.
        let leaf_hash = Hash::leaf(entry);
        // 2. Check origin and log signature. 3. Verify the cosignatures of known witnesses.
        let checkpoint = trust.verify(&self.checkpoint)?;
        // 4. Check that the inclusion proof is valid.
        self.proof.verify(self.index, &leaf_hash, &checkpoint.checkpoint().tree())?;
        Ok(VerifiedReceipt { index: self.index, leaf_hash, checkpoint })
    }
}

/// The text of a `.tlog-proof`.
impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", encode_base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.proof.hashes().iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl VerifiedReceipt {
    /// Where the entry is.
    #[must_use]
    pub const fn index(&self) -> LeafIndex {
        self.index
    }

    /// The hash of the entry that was verified.
    #[must_use]
    pub const fn leaf_hash(&self) -> Hash {
        self.leaf_hash
    }

    /// The checkpoint that the entry is in.
    #[must_use]
    pub const fn checkpoint(&self) -> &VerifiedCheckpoint {
        self.checkpoint.checkpoint()
    }

    /// The known witnesses that cosigned the checkpoint.
    #[must_use]
    pub fn witnesses(&self) -> &[CountedWitness] {
        self.checkpoint.witnesses()
    }
}
