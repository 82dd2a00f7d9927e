//! Verifying answers: from the bytes of leaves and disclosures to a checkpoint that is trusted. No claim of the server is
//! needed but what it withholds.

use super::answer::{Before, RecordAnswer, RecordBody};
use super::appended::{AppendedAnswer, AppendedReceipt};
use super::integrity::Integrity;
use super::listed::{IntegrityProblem, Listed};
use super::page::Page;
use crate::checkpoint::{Origin, VerifiedCheckpoint};
use crate::hash::Hash;
use crate::merkle::{InclusionError, InclusionProof};
use crate::policy::{PolicyVerifyError, Trust, WitnessedCheckpoint};
use crate::record::chain::{Chain, ChainError, History};
use crate::record::header::Header;
use crate::record::kind::{KindError, Redactions};
use crate::record::later::Later;
use crate::record::leaf::{Entry, Leaf, LeafError};
use crate::record::open::{Evidence, IntegrityError, Record};
use crate::record::server_part::Seq;
use crate::record::stream::StreamId;
use crate::size::{LeafIndex, TreeSize};

/// A record that is proven to be in a trusted log, with the disclosures that the answer has. Whether its producer signed
/// it is another matter: [`Record::producer`], with the keys that the reader trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRecord {
    /// The record.
    pub record: Record,
    /// Whether the record directly before it in its stream was there too, and is that one.
    pub before: bool,
}

/// A record of a later version that is proven to be in a trusted log: its place in its stream is known, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedLater {
    /// The record.
    pub later: Later,
    /// Whether the record directly before it in its stream was there too, and is that one.
    pub before: bool,
}

/// An entry that is proven to be in a trusted log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifiedEntry {
    /// A record.
    Record(Box<VerifiedRecord>),
    /// A record of a later version.
    Later(Box<VerifiedLater>),
}

impl VerifiedEntry {
    /// The record; `None` of a later version.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Record(verified) => Some(&verified.record),
            Self::Later(_) => None,
        }
    }

    /// The record; `None` of a later version.
    #[must_use]
    pub fn into_record(self) -> Option<Record> {
        match self {
            Self::Record(verified) => Some(verified.record),
            Self::Later(_) => None,
        }
    }

    /// Where it is in its log.
    #[must_use]
    pub fn index(&self) -> LeafIndex {
        match self {
            Self::Record(verified) => verified.record.index(),
            Self::Later(verified) => verified.later.index(),
        }
    }

    /// Its stream.
    #[must_use]
    pub fn stream(&self) -> StreamId {
        match self {
            Self::Record(verified) => verified.record.leaf().server().stream,
            Self::Later(verified) => verified.later.stream(),
        }
    }

    /// Whether the record directly before it in its stream was there too, and is that one.
    #[must_use]
    pub fn has_before(&self) -> bool {
        match self {
            Self::Record(verified) => verified.before,
            Self::Later(verified) => verified.before,
        }
    }
}

/// The history of a stream, of all of its entries in the order of their numbers, from the first on.
///
/// # Errors
/// [`ChainError`].
pub fn history(entries: impl IntoIterator<Item = VerifiedEntry>) -> Result<History, ChainError> {
    let (mut records, mut later) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            VerifiedEntry::Record(verified) => records.push(verified.record),
            VerifiedEntry::Later(verified) => later.push(verified.later),
        }
    }
    History::with_later(records, later)
}

/// Why an answer can't be taken for good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The checkpoint is not to be trusted.
    #[error("the checkpoint is not trusted: {0}")]
    Checkpoint(#[from] PolicyVerifyError),
    /// An inclusion proof was not asked for, or left out.
    #[error("there is no inclusion proof for the entry {0}")]
    NoProof(LeafIndex),
    /// A leaf is not where the answer says.
    #[error("the entry {index} is not proven to be in the log: {error}")]
    Inclusion {
        /// Where it should be.
        index: LeafIndex,
        /// What is wrong with the proof.
        error: InclusionError,
    },
    /// What the answer says of a record, in its integrity block for one, is not so.
    #[error("what the answer says of the entry {0} is not what was verified")]
    Claims(LeafIndex),
    /// The record and its disclosures do not fit each other.
    #[error("the record at {index}: {error}")]
    Record {
        /// Where it is.
        index: LeafIndex,
        /// What is wrong.
        error: Box<IntegrityError>,
    },
    /// What came as a redaction record is none.
    #[error("the redaction record at {index}: {error}")]
    Redaction {
        /// Where it is.
        index: LeafIndex,
        /// What is wrong.
        error: KindError,
    },
    /// What came as a leaf, of the record before for one, is none.
    #[error("the leaf at {index}: {error}")]
    Leaf {
        /// Where it is.
        index: LeafIndex,
        /// What is wrong.
        error: LeafError,
    },
    /// What came as the record before is another one.
    #[error("the record before the one at {index}: {error}")]
    Before {
        /// Where the record is.
        index: LeafIndex,
        /// What is wrong.
        error: Box<ChainError>,
    },
    /// The record is of another stream than the listing.
    #[error("the record at {0} is of another stream")]
    Stream(LeafIndex),
    /// The answer claims to be complete for more than the checkpoint has.
    #[error("the answer claims to be complete up to {claimed}, past the checkpoint's {size}")]
    Complete {
        /// What is claimed.
        claimed: TreeSize,
        /// What the checkpoint has.
        size: TreeSize,
    },
}

/// A trusted tree, and what was erased in its log.
struct Ground<'c> {
    head: &'c VerifiedCheckpoint,
    redactions: Redactions,
}

impl RecordAnswer {
    /// Verifies a record: that it is in the tree of a trusted checkpoint, that its disclosures are its own, and that
    /// nothing of it is missing but what is withheld, or what redaction records of the same log say is erased. For
    /// up to which class a reader may be told that something is withheld, see [`Record::withheld_only_above`]. Of a later
    /// version, that it is in the tree.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn verify(&self, trust: &Trust) -> Result<(VerifiedEntry, WitnessedCheckpoint), AnswerError> {
        let witnessed = trust.verify(&self.checkpoint)?;
        let ground = Ground::new(witnessed.checkpoint(), &self.redactions)?;
        let record = ground.verify(&self.record)?;
        Ok((record, witnessed))
    }
}

impl Page {
    /// Verifies all records of a page, as [`RecordAnswer::verify`] does; of those that the server could not verify it gives
    /// back what that said. That they are what was asked for, all of it and in order, is for the caller: of a stream's
    /// history with [`history`].
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn verify(
        &self,
        trust: &Trust,
    ) -> Result<(Vec<Result<VerifiedEntry, IntegrityProblem>>, WitnessedCheckpoint), AnswerError> {
        let witnessed = trust.verify(&self.checkpoint)?;
        let size = witnessed.checkpoint().size();
        if self.complete_to > size {
            return Err(AnswerError::Complete { claimed: self.complete_to, size });
        }
        let ground = Ground::new(witnessed.checkpoint(), &self.redactions)?;
        let mut records = Vec::with_capacity(self.records.len());
        for listed in &self.records {
            let body = match listed {
                Listed::Record(body) => body,
                Listed::Unverified(problem) => {
                    records.push(Err(problem.clone()));
                    continue;
                }
            };
            let verified = ground.verify(body)?;
            if self.stream.is_some_and(|stream| verified.stream() != stream) {
                return Err(AnswerError::Stream(verified.index()));
            }
            records.push(Ok(verified));
        }
        Ok((records, witnessed))
    }
}

impl AppendedAnswer {
    /// Verifies that the records of an append are where the answer says, by the receipts that were asked for with it.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn verify(&self, trust: &Trust) -> Result<WitnessedCheckpoint, AnswerError> {
        let witnessed = trust.verify(&self.checkpoint)?;
        let ground = Ground::new(witnessed.checkpoint(), &[])?;
        for record in &self.records {
            let index = record.index;
            let AppendedReceipt { leaf, proof } = record.receipt.as_ref().ok_or(AnswerError::NoProof(index))?;
            let hash = ground.included(index, leaf, Some(proof))?;
            let leaf = Leaf::decode(leaf.as_bytes()).map_err(|error| AnswerError::Leaf { index, error })?;
            let (event, server) = (leaf.event().head(), leaf.server());
            let is_so = event.log == *ground.log()
                && (event.id, hash) == (record.id, record.leaf_hash)
                && (server.stream, server.time) == (record.stream, record.time)
                && (server.place.seq(), server.place.prev()) == (record.seq, record.prev);
            if !is_so {
                return Err(AnswerError::Claims(index));
            }
        }
        Ok(witnessed)
    }
}

impl<'c> Ground<'c> {
    fn new(head: &'c VerifiedCheckpoint, redactions: &[RecordBody]) -> Result<Self, AnswerError> {
        let mut ground = Self { head, redactions: Redactions::new(head.origin().clone()) };
        for body in redactions {
            // What is absent of a redaction record no other one explains here.
            let record = ground.open(body, &Redactions::new(head.origin().clone()))?;
            let wrong = |error| AnswerError::Redaction { index: record.index(), error };
            ground.redactions.take_up(&record).map_err(wrong)?;
        }
        Ok(ground)
    }

    fn log(&self) -> &'c Origin {
        self.head.origin()
    }

    fn included(&self, index: LeafIndex, leaf: &str, proof: Option<&InclusionProof>) -> Result<Hash, AnswerError> {
        let proof = proof.ok_or(AnswerError::NoProof(index))?;
        let hash = Hash::leaf(leaf.as_bytes());
        let verified = proof.verify(index, &hash, &self.head.tree());
        verified.map(|()| hash).map_err(|error| AnswerError::Inclusion { index, error })
    }

    /// That an entry is in the tree, and that its integrity block says so.
    fn stands(&self, body: &RecordBody) -> Result<LeafIndex, AnswerError> {
        let Integrity { index, proof, .. } = &body.integrity;
        let hash = self.included(*index, &body.leaf, proof.as_ref())?;
        let says = &body.integrity;
        let is_so = says.log == *self.log()
            && says.leaf_hash == hash
            && (says.size, says.root) == (self.head.size(), self.head.root())
            && self.head.keys().iter().any(|key| key.id() == says.key_id);
        if is_so { Ok(*index) } else { Err(AnswerError::Claims(*index)) }
    }

    fn open(&self, body: &RecordBody, redactions: &Redactions) -> Result<Record, AnswerError> {
        let index = self.stands(body)?;
        let evidence = Evidence { disclosures: &body.disclosures, withheld: &body.withheld, redactions };
        let record = Record::open(self.log(), index, body.leaf.as_bytes(), evidence);
        record.map_err(|error| AnswerError::Record { index, error: Box::new(error) })
    }

    fn verify(&self, body: &RecordBody) -> Result<VerifiedEntry, AnswerError> {
        let entry = match Leaf::classify(body.leaf.as_bytes()) {
            Ok(Entry::Opaque) => self.later(body)?,
            _ => {
                let record = self.open(body, &self.redactions)?;
                VerifiedEntry::Record(Box::new(VerifiedRecord { record, before: body.before.is_some() }))
            }
        };
        if let Some(before) = &body.before {
            self.verify_before(before, &entry)?;
        }
        Ok(entry)
    }

    fn later(&self, body: &RecordBody) -> Result<VerifiedEntry, AnswerError> {
        let index = self.stands(body)?;
        let later = Later::decode(index, body.leaf.as_bytes());
        let later = later.map_err(|error| AnswerError::Leaf { index, error })?;
        if later.log() != self.log() {
            let (expected, found) = (self.log().clone(), later.log().clone());
            return Err(AnswerError::Record { index, error: Box::new(IntegrityError::Log { expected, found }) });
        }
        // What it discloses, only a reader of its version can tell.
        Ok(VerifiedEntry::Later(Box::new(VerifiedLater { later, before: body.before.is_some() })))
    }

    /// That the record goes on from this one, which is in the tree too.
    fn verify_before(&self, before: &Before, entry: &VerifiedEntry) -> Result<(), AnswerError> {
        self.included(before.index, &before.leaf, before.proof.as_ref())?;
        let index = entry.index();
        let header = Header::decode(before.index, before.leaf.as_bytes());
        let header = header.map_err(|error| AnswerError::Leaf { index: before.index, error })?;
        let wrong = |error| AnswerError::Before { index, error: Box::new(error) };
        if header.log != *self.log() {
            return Err(wrong(ChainError::Log { expected: self.log().clone(), found: header.log }));
        }
        let own = match entry {
            VerifiedEntry::Record(verified) => Header::of(verified.record.leaf(), verified.record.hash()),
            VerifiedEntry::Later(verified) => Header::of_later(&verified.later),
        };
        if own.seq == Seq::FIRST {
            return Err(wrong(ChainError::Seq { expected: 0, found: header.seq }));
        }
        let mut chain = Chain::after(self.log().clone(), header.stream, header.link(before.index));
        chain.push_header(index, &own).map_err(wrong)
    }
}
