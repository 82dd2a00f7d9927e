//! Records on their way out: each is opened and verified before anybody sees it, then narrowed to what its reader may see
//! and opened once more, so that what is sent is what was verified.

use bytes::Bytes;
use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::merkle::InclusionProof;
use cairn_tree::record::digest::Digest;
use cairn_tree::record::disclosure::Disclosures;
use cairn_tree::record::kind::{IncidentFault, Redactions};
use cairn_tree::record::leaf::Leaf;
use cairn_tree::record::open::{Evidence, IntegrityError, Record};
use cairn_tree::record::stream::StreamName;
use cairn_tree::size::{LeafIndex, TreeSize};

use crate::auth::{Right, Rights};
use crate::engine::records::{StoredRecord, stream_of};
use crate::engine::{Head, Log, ProofError, ReadError};

/// A record that is what its leaf says, in the tree of a head.
pub struct Verified {
    record: Record,
    stored: StoredRecord,
    /// Where the record before it in its stream is, and its leaf, once that was checked.
    before: Option<(LeafIndex, Bytes)>,
    proof: InclusionProof,
}

/// A record as one reader may see it.
pub struct Seen {
    /// What is shown, verified.
    pub record: Record,
    /// The leaf.
    pub leaf: Bytes,
    /// Where the record before it in its stream is, and its leaf, if that was checked.
    pub before: Option<(LeafIndex, Bytes)>,
    /// The disclosures of what is shown.
    pub disclosures: Disclosures,
    /// The digests of what the reader may not see.
    pub withheld: Vec<Digest>,
    /// That the leaf is in the tree.
    pub proof: InclusionProof,
}

/// Why a record is not given out.
#[derive(Debug, thiserror::Error)]
pub enum Unverified {
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no proof for it.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// What is stored is not what was signed.
    #[error("record {}: {}", .0.index, .0.words)]
    Broken(Broken),
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Where it is.
    pub index: LeafIndex,
    /// What of it.
    pub what: BrokenPart,
    /// In words without content.
    pub words: String,
}

/// What of a record is not as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokenPart {
    /// A disclosure, of this digest.
    Disclosure(Digest, IncidentFault),
    /// The leaf, or its place in the tree or in its stream.
    Leaf,
}

impl Broken {
    pub(super) fn leaf(index: LeafIndex, words: impl ToString) -> Self {
        Self { index, what: BrokenPart::Leaf, words: words.to_string() }
    }

    fn of(index: LeafIndex, error: &IntegrityError) -> Self {
        let what = match error {
            IntegrityError::Missing { digest, .. } => BrokenPart::Disclosure(*digest, IncidentFault::Missing),
            IntegrityError::Malformed { digest, .. } => BrokenPart::Disclosure(*digest, IncidentFault::Malformed),
            IntegrityError::Unreferenced(digest) | IntegrityError::Twice(digest) => {
                BrokenPart::Disclosure(*digest, IncidentFault::Changed)
            }
            _ => BrokenPart::Leaf,
        };
        let words = match what {
            BrokenPart::Disclosure(_, fault) => format!("a disclosure is {}", fault.name()),
            BrokenPart::Leaf => "it is not what its leaf says".to_owned(),
        };
        Self { index, what, words }
    }
}

impl Verified {
    /// Verifies what is stored against the head's tree of this size.
    ///
    /// # Errors
    /// [`Unverified`].
    pub fn of(log: &Log, head: &Head, size: TreeSize, stored: StoredRecord) -> Result<Self, Unverified> {
        let index = stored.index;
        let broken = |broken: Broken| Unverified::Broken(broken);
        let (hash, proof) = log.located(head, index, size)?;
        if hash != Hash::leaf(&stored.leaf) {
            return Err(broken(Broken::leaf(index, "the tree has another leaf in its place")));
        }
        let origin = Origin::new(&*log.info().origin).map_err(|error| broken(Broken::leaf(index, error)))?;
        let redactions = Redactions::new(origin.clone());
        let evidence = Evidence { disclosures: &stored.disclosures, withheld: &[], redactions: &redactions };
        let record = Record::open(&origin, index, &stored.leaf, evidence);
        let record = record.map_err(|error| broken(Broken::of(index, &error)))?;
        Ok(Self { record, stored, before: None, proof })
    }

    /// Checks that it goes on from the record directly before it in its stream.
    ///
    /// # Errors
    /// [`Unverified::Broken`].
    pub fn after(self, before: Option<(LeafIndex, Bytes)>) -> Result<Self, Unverified> {
        let server = *self.record.leaf().server();
        let index = self.record.index();
        let broken = |words: &str| Err(Unverified::Broken(Broken::leaf(index, words)));
        let (prev, (at, entry)) = match (server.place.prev(), before) {
            (None, _) => return Ok(self),
            (Some(_), None) => return broken("the record before it in its stream is not there"),
            (Some(prev), Some(before)) => (prev, before),
        };
        let Ok(leaf) = Leaf::decode(&entry) else { return broken("the record before it is none") };
        let own = leaf.server();
        let next = own.place.seq().next() == Ok(server.place.seq());
        if Hash::leaf(&entry) == prev && own.stream == server.stream && next && at < index && own.time <= server.time {
            Ok(Self { before: Some((at, entry)), ..self })
        } else {
            broken("it does not go on from the record before it in its stream")
        }
    }

    /// The record, all of it.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// The leaf.
    #[must_use]
    pub const fn leaf(&self) -> &Bytes {
        &self.stored.leaf
    }

    /// The stream that it is in, if its object and its context are there.
    #[must_use]
    pub fn stream(&self) -> Option<StreamName<'static>> {
        let content = self.record.content();
        Some(stream_of(content.object.disclosed()?, content.context.disclosed()?.as_ref()))
    }

    /// The record alone.
    #[must_use]
    pub fn into_record(self) -> Record {
        self.record
    }

    /// That it is in the tree.
    #[must_use]
    pub fn into_proof(self) -> InclusionProof {
        self.proof
    }

    /// Whether it is a record of this tenant. One whose object is gone is nobody's.
    #[must_use]
    pub fn is_of(&self, has: impl Fn(&str) -> bool) -> bool {
        let object = self.record.content().object.disclosed();
        object.is_some_and(|object| has(object.tenant.as_str()))
    }

    /// What of it a reader with these rights may see. The rest is withheld, and listed.
    ///
    /// # Errors
    /// [`Unverified::Broken`] does not happen to what is verified.
    pub fn seen_with(self, rights: Rights) -> Result<Seen, Unverified> {
        let Self { record, stored, before, proof } = self;
        let hidden = |class| !rights.contains(Right::Disclose(class));
        let disclosed = record.traced().iter().filter(|traced| traced.became.disclosed().is_some());
        let mut withheld: Vec<Digest> =
            disclosed.filter(|traced| traced.piece.class().is_some_and(hidden)).map(|traced| traced.digest).collect();
        if withheld.is_empty() {
            let StoredRecord { leaf, disclosures, .. } = stored;
            return Ok(Seen { record, leaf, before, disclosures, withheld, proof });
        }
        withheld.sort_unstable();
        let disclosures = stored.disclosures.filtered(|digest| withheld.binary_search(digest).is_err());
        let origin = record.leaf().event().head().log.clone();
        let redactions = Redactions::new(origin.clone());
        let evidence = Evidence { disclosures: &disclosures, withheld: &withheld, redactions: &redactions };
        let index = stored.index;
        let record = Record::open(&origin, index, &stored.leaf, evidence);
        let record = record.map_err(|error| Unverified::Broken(Broken::of(index, &error)))?;
        Ok(Seen { record, leaf: stored.leaf, before, disclosures, withheld, proof })
    }
}
