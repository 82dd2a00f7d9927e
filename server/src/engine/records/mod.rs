//! Audit records in a log: what is asked of the writer, what it answers, and what is read back.
//!
//! Whoever submits has parsed, authorized and sealed a record; here it is put into bytes, its stream and its id are looked
//! up, and it is given to the writer, which sets its place, its time and what it goes on from (`sequencer/records`). Nobody
//! here reads what a record says. Not here: HTTP, rights, and verifying what is read, for which
//! `cairn_tree::record::open` stands.

mod append;
mod check;
mod damaged;
mod erase;
mod find;
mod found;
mod fsck;
mod look_up;
mod newest;
mod prepare;
mod prints;
mod promised;
mod read;
mod secret;
mod unfound;

use std::sync::Arc;

use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::record::disclosure::{Disclosures, DisclosuresError};
use cairn_tree::record::event::EventText;
use cairn_tree::record::id::{Pseudonym, RecordId};
use cairn_tree::record::leaf::LeafError;
use cairn_tree::record::server_part::Seq;
use cairn_tree::record::signature::ProducerSignature;
use cairn_tree::record::stream::{Opening, StreamId};
use cairn_tree::record::time::Time;
use cairn_tree::size::LeafIndex;

pub(super) use append::{RecordAnswer, Told};
pub(super) use check::{check_unreleased, discloses_others};
pub(super) use damaged::damaged_records;
pub use erase::EraseError;
pub(super) use found::{Found, Indexes, Unserved};
pub(super) use fsck::{Meanwhile, check_records, is_record_of};
pub use newest::StreamTip;
pub(super) use newest::{Earlier, NewRecord, Newest};
pub(super) use prepare::{Looked, Prepared};
pub use prints::{Says, erased_name, id_print, name_print, stream_of, stream_print, topic_prints};
pub(super) use read::Rows;
pub use read::{StoredRecord, Unreadable};
pub(super) use secret::{SECRET, lost, print_row};
pub use unfound::{Completeness, Lack};

use super::append::{AppendError, IdempotencyKey};
use super::head::Head;
use super::postings::{PostingsError, Print};
use super::stored::ReadError;

/// A record that is to be sequenced.
#[derive(Debug, Clone)]
pub struct Submission {
    /// What was fixed before.
    pub event: EventText,
    /// The producer's signature, which somebody has verified.
    pub signature: Option<ProducerSignature>,
    /// The event's disclosures.
    pub disclosures: Disclosures,
    /// What goes with it should it be the first of its stream, and is dropped if it is not.
    pub opening: Opening,
    /// Whose credential brought it.
    pub by: Pseudonym,
    /// Whether its id was drawn at random here, so that nobody needs to look whether there is such a record.
    pub fresh_id: bool,
    /// The print of its stream's name.
    pub stream: Print,
    /// The print of its id.
    pub id: Print,
    /// All that it is found by besides: neither of the two above, nor its stream's id.
    pub prints: Vec<Print>,
    /// What it is found by only if it is the first of its stream: the topics.
    pub opening_prints: Vec<Print>,
    /// Where its stream must be.
    pub expected: Expectation,
}

/// Where a stream must be when a record comes: nothing is expected of what is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expectation {
    /// The number of its last record; `Some(None)` if there must be no record yet.
    pub seq: Option<Option<Seq>>,
    /// The leaf hash of its last record; `Some(None)` if there must be no record yet.
    pub prev: Option<Option<Hash>>,
}

impl Expectation {
    /// Whether a stream with this last record is where it must be.
    #[must_use]
    pub fn holds(&self, tip: Option<&StreamTip>) -> bool {
        self.seq.is_none_or(|seq| seq == tip.map(|tip| tip.seq))
            && self.prev.is_none_or(|prev| prev == tip.map(|tip| tip.leaf))
    }
}

/// An idempotency key with a keyed hash of the body that came with it: of the body nothing is kept.
#[derive(Debug, Clone, Copy)]
pub struct BoundBody {
    /// The key.
    pub key: IdempotencyKey,
    /// A hash under a secret, such as an HMAC.
    pub body: [u8; 32],
}

/// The answer to records: they are under `head`, which is signed and durable.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Each record's place, in the order of the request.
    pub records: Vec<Sequenced>,
    /// The newest head; it covers all of them.
    pub head: Arc<Head>,
    /// Whether an earlier request with the same idempotency key had brought them.
    pub replayed: bool,
}

/// What a log has promised for an idempotency key.
#[derive(Debug, Clone)]
pub enum Promised {
    /// The records that came with it.
    Records(Recorded),
    /// Something else came with it.
    OtherBody,
}

/// What the sequencer said about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequenced {
    /// Its id.
    pub id: RecordId,
    /// Where it is in the log.
    pub index: LeafIndex,
    /// Its leaf hash.
    pub leaf: Hash,
    /// Its stream.
    pub stream: StreamId,
    /// Its number in the stream.
    pub seq: Seq,
    /// The leaf hash of the record before it in the stream.
    pub prev: Option<Hash>,
    /// When it was sequenced.
    pub time: Time,
    /// Whether it had been there before, the same event under the same id.
    pub replayed: bool,
}

/// Why records were not appended: none of a request is then. Unless it says so, nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// For a reason that concerns any entry.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// There is no record in the request.
    #[error("a request has at least one record")]
    Empty,
    /// The event is meant for another log.
    #[error("record {position} is meant for the log {found}, not for {expected}")]
    Log {
        /// Which record of the request.
        position: usize,
        /// This log.
        expected: Origin,
        /// The log that the event names.
        found: Origin,
    },
    /// The disclosures can't be kept.
    #[error("the disclosures of record {position}: {error}")]
    Disclosures {
        /// Which record of the request.
        position: usize,
        /// Why not.
        error: DisclosuresError,
    },
    /// The event, the signature and the place make no leaf.
    #[error("record {position}: {error}")]
    Leaf {
        /// Which record of the request.
        position: usize,
        /// Why not.
        error: LeafError,
    },
    /// The stream is not where the request or the event expects it to be.
    #[error("the stream of record {position} is not where it is expected to be")]
    Expectation {
        /// Which record of the request.
        position: usize,
        /// Where the stream is, the records of the same request before this one not counted: its last record, if it has
        /// one.
        tip: Option<StreamTip>,
    },
    /// Another record has the id.
    #[error("the id {id} of record {position} is that of another one")]
    Id {
        /// Which record of the request.
        position: usize,
        /// The id.
        id: RecordId,
        /// Where the other record is; `None` if it is in the same request.
        index: Option<LeafIndex>,
    },
    /// The log has no secret for prints yet ([`crate::engine::Log::make_print_secret`]), so that none of these is one.
    #[error("the prints of the records are not this log's")]
    Prints,
    /// The stream can't hold more records, or the clock shows no time that a record can have.
    #[error("record {0} would be past what the format can say")]
    Full(usize),
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Records can't be looked up.
    #[error(transparent)]
    Postings(#[from] PostingsError),
}
