//! Records on their way out: each is located in the tree, placed in its stream, opened and verified before anybody sees it,
//! then narrowed to what its reader may see and opened once more, so that what is sent is what was verified.

use std::sync::Arc;

use bytes::Bytes;
use cairn_tree::hash::Hash;
use cairn_tree::record::chain::Chain;
use cairn_tree::record::digest::Digest;
use cairn_tree::record::disclosure::Disclosures;
use cairn_tree::record::header::{Header, Versioned};
use cairn_tree::record::id::RecordId;
use cairn_tree::record::kind::{IncidentFault, Redactions};
use cairn_tree::record::later::Later;
use cairn_tree::record::open::{Evidence, IntegrityError, Record};
use cairn_tree::record::server_part::Seq;
use cairn_tree::record::shown::Shown;
use cairn_tree::record::stream::StreamName;
use cairn_tree::size::LeafIndex;

use super::kept::Kept;
use crate::auth::{Right, Rights};
use crate::engine::postings::PostingsError;
use crate::engine::records::{StoredRecord, stream_of};
use crate::engine::{Head, Log, ProofError, ReadError};

/// An entry that is proven to be in the tree of a head, and is a record of some version. Of its disclosures nothing is
/// known yet.
pub struct Located {
    stored: StoredRecord,
    record: Versioned,
    header: Header,
    before: Option<(LeafIndex, Bytes)>,
}

/// What is known of the record that should be directly before another in its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Predecessor {
    /// Its leaf, which the tree has there.
    Leaf(LeafIndex, Bytes),
    /// The same, read already.
    Read(LeafIndex, Bytes, Box<Header>),
    /// Its leaf can't be read, but the tree has this hash in its place.
    Hash(LeafIndex, Hash),
    /// There is none.
    None,
}

/// A record of a later version, which is in the tree and has its place. Nothing else is known of it.
pub struct VerifiedLater {
    /// Its place.
    pub later: Later,
    /// The leaf.
    pub leaf: Bytes,
    /// Where the record before it in its stream is, and its leaf, if that was checked.
    pub before: Option<(LeafIndex, Bytes)>,
}

/// The redaction records that say what was erased of a record, each verified.
pub struct Excuses {
    /// What they name.
    pub redactions: Redactions,
    /// The records, which are shown to whoever sees what they excuse: they tell nothing but digests.
    pub records: Vec<Arc<Seen>>,
}

/// A record that is what its leaf says, in the tree of a head.
pub struct Verified {
    record: Record,
    stored: StoredRecord,
    /// Where the record before it in its stream is, and its leaf, once that was checked.
    before: Option<(LeafIndex, Bytes)>,
    excuses: Option<Arc<Excuses>>,
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
    /// What says that something of it is erased.
    pub excuses: Option<Arc<Excuses>>,
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
    /// It can't be looked up what stands before it.
    #[error(transparent)]
    Postings(#[from] PostingsError),
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
    /// The leaf, or its place in the tree.
    Leaf,
    /// Its place in its stream: it does not go on from the record before.
    Chain {
        /// From where on the record before it is missing, if it was not found; else the leaves themselves contradict each
        /// other, which are both in the tree.
        not_found_from: Option<LeafIndex>,
    },
}

impl Broken {
    pub(super) fn leaf(index: LeafIndex, words: impl ToString) -> Self {
        Self { index, what: BrokenPart::Leaf, words: words.to_string() }
    }

    /// A record that does not go on from the one before it.
    pub(crate) fn chain(index: LeafIndex, not_found_from: Option<LeafIndex>, words: impl ToString) -> Self {
        Self { index, what: BrokenPart::Chain { not_found_from }, words: words.to_string() }
    }

    pub(super) fn of(index: LeafIndex, error: &IntegrityError) -> Self {
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
            BrokenPart::Leaf | BrokenPart::Chain { .. } => "it is not what its leaf says".to_owned(),
        };
        Self { index, what, words }
    }
}

impl Located {
    /// Looks where an entry is in the tree of `under`, which is no larger than that of `head`.
    ///
    /// # Errors
    /// [`Unverified`].
    pub fn of(log: &Log, head: &Head, under: &Head, stored: StoredRecord) -> Result<Self, Unverified> {
        let index = stored.index;
        let broken = |words: &dyn ToString| Unverified::Broken(Broken::leaf(index, words.to_string()));
        let record = Versioned::decode(index, &stored.leaf);
        let proven = log.proven(head, index, &under.tree())?;
        let hash = proven.ok_or_else(|| broken(&"the tree's stored hashes do not come to its root"))?;
        if hash != record.as_ref().map_or_else(|_| Hash::leaf(&stored.leaf), Versioned::hash) {
            return Err(broken(&"the tree has another leaf in its place"));
        }
        let record = record.map_err(|error| broken(&error))?;
        let header = record.header();
        if header.log.as_str() != log.info().origin {
            return Err(broken(&"it is another log's"));
        }
        Ok(Self { stored, record, header, before: None })
    }

    /// Where it is.
    #[must_use]
    pub const fn index(&self) -> LeafIndex {
        self.stored.index
    }

    /// What its leaf says in clear.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Whether it is of a later version.
    #[must_use]
    pub const fn is_later(&self) -> bool {
        matches!(self.record, Versioned::Later(_))
    }

    /// What the next one of its stream has directly before it.
    #[must_use]
    pub fn as_predecessor(&self) -> Predecessor {
        Predecessor::Read(self.stored.index, self.stored.leaf.clone(), Box::new(self.header.clone()))
    }

    /// Checks that it goes on from the record directly before it in its stream.
    ///
    /// # Errors
    /// [`Unverified::Broken`].
    pub fn after(&mut self, before: Predecessor) -> Result<(), Unverified> {
        let (own, index) = (&self.header, self.stored.index);
        let broken = |from, words: &str| Err(Unverified::Broken(Broken::chain(index, from, words)));
        let Some(prev) = own.prev else { return Ok(()) };
        let (at, entry, header) = match before {
            Predecessor::Leaf(at, entry) => match Header::decode(at, &entry) {
                Ok(header) => (at, entry, header),
                Err(_) => return broken(Some(at), "the record before it is none"),
            },
            Predecessor::Read(at, entry, header) => (at, entry, *header),
            Predecessor::Hash(at, hash) if hash == prev && at < index => return Ok(()),
            Predecessor::Hash(at, _) => return broken(Some(at), "the record before it in its stream can't be read"),
            Predecessor::None => {
                return broken(Some(LeafIndex::ZERO), "the record before it in its stream was not found");
            }
        };
        let mut chain = Chain::after(header.log.clone(), header.stream, header.link(at));
        if own.seq > Seq::FIRST && chain.push_header(index, own).is_ok() {
            self.before = Some((at, entry));
            return Ok(());
        }
        // One that stands further back may only be the last that was found.
        let is_certain = header.stream == own.stream && header.seq.get() + 1 >= own.seq.get();
        broken((!is_certain).then_some(at), "it does not go on from the record before it in its stream")
    }

    /// The record of a later version.
    ///
    /// # Errors
    /// [`Unverified::Broken`] if it is none.
    pub fn later(self) -> Result<VerifiedLater, Unverified> {
        let Self { stored: StoredRecord { index, leaf, .. }, record, before, .. } = self;
        let Versioned::Later(later) = record else {
            return Err(Unverified::Broken(Broken::leaf(index, "it is of no later version")));
        };
        Ok(VerifiedLater { later: *later, leaf, before })
    }

    /// Opens it. `excuses` is asked for what excuses that something of it is absent, with its id and whether something is.
    /// What is there though it was erased is left out.
    ///
    /// # Errors
    /// [`Unverified::Broken`], and whatever `excuses` says.
    pub fn open(
        self,
        excuses: impl FnOnce(RecordId, bool) -> Result<Option<Arc<Excuses>>, Unverified>,
    ) -> Result<Verified, Unverified> {
        let Self { mut stored, record, header, before } = self;
        let none = Redactions::new(header.log.clone());
        let evidence = Evidence { disclosures: &stored.disclosures, withheld: &[], redactions: &none };
        let opened = match record {
            Versioned::Record(leaf) => Record::open_leaf(&header.log, stored.index, *leaf, evidence),
            // It is none of this version, which this says.
            Versioned::Later(_) => Record::open(&header.log, stored.index, &stored.leaf, evidence),
        };
        let lacks = matches!(opened, Err(IntegrityError::Missing { .. }));
        let excuses = excuses(header.id, lacks)?;
        let record = match (&excuses, opened) {
            (None, Ok(record)) => record,
            // Once more, to tell what is wrong.
            (None, Err(_)) => kept(&header, &stored).open(&none).map_err(Unverified::Broken)?,
            (Some(excuses), _) => {
                if let Some(left) = kept(&header, &stored).without_erased(&excuses.redactions) {
                    stored.disclosures = left;
                }
                kept(&header, &stored).open(&excuses.redactions).map_err(Unverified::Broken)?
            }
        };
        // None counts for a redaction record, and none is shown with it.
        let excuses = excuses.filter(|_| !record.is_redaction());
        Ok(Verified { record, stored, before, excuses })
    }
}

/// What is kept of a record's disclosures, beside its leaf.
const fn kept<'s>(header: &'s Header, stored: &'s StoredRecord) -> Kept<'s> {
    Kept { log: &header.log, id: header.id, stored }
}

impl Verified {
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

    /// Whether it is a record of this tenant.
    #[must_use]
    pub fn is_of(&self, has: impl Fn(&str) -> bool) -> bool {
        self.tenant().is_some_and(has)
    }

    /// The tenant that it is of. Of one whose object was erased the redaction records say that.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        let mut excuses = self.excuses.iter().flat_map(|excuses| &excuses.records);
        let tells = match self.record.content().object {
            Shown::Disclosed(_) => &self.record,
            Shown::Erased(by) => &excuses.find(|seen| seen.record.index() == by)?.record,
            Shown::Withheld => return None,
        };
        tells.content().object.disclosed().map(|object| object.tenant.as_str())
    }

    /// All of it, for every reader of what it excuses.
    #[must_use]
    pub fn whole(self) -> Seen {
        let Self { record, stored: StoredRecord { leaf, disclosures, .. }, before, excuses } = self;
        Seen { record, leaf, before, disclosures, withheld: Vec::new(), excuses }
    }

    /// What of it a reader with these rights may see. The rest is withheld, and listed.
    ///
    /// # Errors
    /// [`Unverified::Broken`] does not happen to what is verified.
    pub fn seen_with(self, rights: Rights) -> Result<Seen, Unverified> {
        let hidden = |class| !rights.contains(Right::Disclose(class));
        let disclosed = self.record.traced().iter().filter(|traced| traced.became.disclosed().is_some());
        let mut withheld: Vec<Digest> =
            disclosed.filter(|traced| traced.piece.class().is_some_and(hidden)).map(|traced| traced.digest).collect();
        if withheld.is_empty() {
            return Ok(self.whole());
        }
        let Self { record, stored: StoredRecord { index, leaf, disclosures }, before, excuses } = self;
        withheld.sort_unstable();
        let disclosures = disclosures.filtered(|digest| withheld.binary_search(digest).is_err());
        let origin = record.leaf().event().head().log.clone();
        let none = Redactions::new(origin.clone());
        let redactions = excuses.as_ref().map_or(&none, |excuses| &excuses.redactions);
        let evidence = Evidence { disclosures: &disclosures, withheld: &withheld, redactions };
        let record = Record::open(&origin, index, &leaf, evidence);
        let record = record.map_err(|error| Unverified::Broken(Broken::of(index, &error)))?;
        Ok(Seen { record, leaf, before, disclosures, withheld, excuses })
    }
}
