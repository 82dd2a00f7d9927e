//! Why a record can't be taken for good.

use super::Piece;
use crate::checkpoint::Origin;
use crate::record::bounds::{MAX_DISCLOSURES, MAX_EVENT_DISCLOSED_BYTES};
use crate::record::digest::Digest;
use crate::record::json::Fault;
use crate::record::leaf::LeafError;
use crate::record::reserved::Reserved;
use crate::record::signature::ProducerKeyId;

/// Why a record can't be taken for good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntegrityError {
    /// The bytes are no record's leaf.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// Nothing explains a digest: no disclosure, no word of withholding, no redaction record.
    #[error("nothing is there for the digest {digest} ({piece}): neither a disclosure nor a redaction record")]
    Missing {
        /// What it stands for.
        piece: Piece,
        /// The digest.
        digest: Digest,
    },
    /// A disclosure has the right digest, but does not say what it should.
    #[error("the disclosure of the digest {digest} ({piece}) is malformed: {fault}")]
    Malformed {
        /// What it stands for.
        piece: Piece,
        /// The digest.
        digest: Digest,
        /// What is wrong in it.
        fault: Box<Fault>,
    },
    /// A disclosure whose digest is nowhere in the record (RFC 9901, section 7.1, step 5).
    #[error("no digest of the record is {0}, of a disclosure that came with it")]
    Unreferenced(Digest),
    /// A digest stands twice in the record (RFC 9901, section 7.1, step 4).
    #[error("the digest {0} stands twice in the record")]
    Twice(Digest),
    /// A digest is said to be withheld that is not in the record.
    #[error("the digest {0} is said to be withheld, but is not in the record")]
    WithheldElsewhere(Digest),
    /// A digest is disclosed and said to be withheld at once.
    #[error("the digest {0} is said to be withheld, but its disclosure is there")]
    WithheldAndDisclosed(Digest),
    /// Two disclosures have the same salt, so that who sees one can guess at the other.
    #[error("two disclosures of the record have the same salt")]
    SaltTwice,
    /// Something is withheld that the reader may see.
    #[error("the digest {digest} ({piece}) is withheld from a reader who may see it")]
    WithheldWithin {
        /// What it stands for.
        piece: Piece,
        /// The digest.
        digest: Digest,
    },
    /// The disclosures of an event are too long together.
    #[error("the disclosures of an event are at most {MAX_EVENT_DISCLOSED_BYTES} bytes in all")]
    TooMuchDisclosed,
    /// More digests are said to be withheld than a record can have.
    #[error("more than {MAX_DISCLOSURES} digests are said to be withheld")]
    TooManyWithheld,
    /// The record is meant for another log than the one that it was found in.
    #[error("the record is meant for the log {found}, but stands in {expected}")]
    Log {
        /// The log whose tree it is in.
        expected: Origin,
        /// The log that the event names.
        found: Origin,
    },
    /// The redaction records are another log's.
    #[error("the redaction records are of the log {0}, the record is not")]
    Redactions(Origin),
    /// A producer's record with something of the log's own.
    #[error(transparent)]
    Reserved(#[from] Reserved),
    /// What the log alone puts on record corrects nothing.
    #[error("an operation of the log's own that corrects another record")]
    OwnReplaces,
    /// The stream is said to continue one of its own log, which would be two histories of one.
    #[error("a stream continues one of another log, not of its own")]
    Continues,
    /// The record is in a stream that is not the one of its object, nor the one it was meant for.
    #[error("the record belongs in another stream, by its object or its context")]
    Stream,
    /// The producer's signature is not good.
    #[error("the signature of the event is not the one of the key {0}, which it names")]
    Signature(ProducerKeyId),
    /// The fields contradict each other.
    #[error("the fields contradict each other: {0}")]
    Fields(String),
}
