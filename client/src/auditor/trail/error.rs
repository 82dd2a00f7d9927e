//! Why nothing is known of audit records. The variants say whose fault it can be.

use cairn_tree::checkpoint::{Origin, VerifiedCheckpoint};
use cairn_tree::record::chain::ChainError;
use cairn_tree::record::open::IntegrityError;
use cairn_tree::record::server_part::Seq;
use cairn_tree::record::stream::StreamName;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::wire::v1::AnswerError;

use super::super::error::AuditError;
use super::parts::JoinError;
use crate::bounds;
use crate::fetch::{FetchError, shown};

/// Why nothing is known of audit records.
#[derive(Debug, thiserror::Error)]
pub enum TrailError {
    /// It could not be had; nothing is said about the log's honesty.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The log's tree could not be verified.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The answer does not verify.
    #[error("the answer is refused: {0}")]
    Answer(#[from] AnswerError),
    /// The log signed two trees of which neither extends the other.
    #[error(
        "the log signed two trees, of {} and of {} entries, and neither extends the other",
        smaller.size(), larger.size()
    )]
    Fork {
        /// The head of the smaller tree, or one of two of equal size.
        smaller: Box<VerifiedCheckpoint>,
        /// The head of the larger.
        larger: Box<VerifiedCheckpoint>,
    },
    /// The answer is of another log than the one that is trusted.
    #[error("the records are in the log {}, and not in {}", shown(found.as_str()), trusted)]
    OtherLog {
        /// The log of the answer's checkpoint.
        found: Box<Origin>,
        /// The one that is trusted.
        trusted: Box<Origin>,
    },
    /// The answer is of an older tree than the log had shown before it was asked.
    #[error("the answer is stale: it covers {covers} entries, and the log had shown a checkpoint of {shown} before")]
    Stale {
        /// Up to which size it claims to be complete.
        covers: TreeSize,
        /// What the log had shown.
        shown: TreeSize,
    },
    /// Something is withheld that the reader may see, or a producer's signature is wrong.
    #[error("the record at {index} is refused: {error}")]
    Record {
        /// Where it is.
        index: LeafIndex,
        /// What is wrong.
        error: Box<IntegrityError>,
    },
    /// The record that a record goes on from did not come along.
    #[error("the record at {0} came without the one before it in its stream")]
    NoBefore(LeafIndex),
    /// A record is no answer to the question.
    #[error("the record at {index} is not what was asked for: its {what} is {found}")]
    Other {
        /// Where it is.
        index: LeafIndex,
        /// What of it is another.
        what: &'static str,
        /// What it is.
        found: String,
    },
    /// The records of a search are not in its order, or one came twice.
    #[error("the record at {index} came after the one at {after}: the newest should come first, and each once")]
    Order {
        /// Where it is.
        index: LeafIndex,
        /// Where the one before it in the answer is.
        after: LeafIndex,
    },
    /// The records of a stream do not follow one another.
    #[error("the history is refused: {0}")]
    Chain(#[from] ChainError),
    /// The parts of a stream in two logs do not join.
    #[error("the parts are refused: {0}")]
    Join(Box<JoinError>),
    /// The server's own state or comparison begins with fewer parts.
    #[error("it does not begin with all of the stream's parts in other logs, of which there are {0}")]
    Unread(usize),
    /// The history of another stream was answered.
    #[error("the server answered with another stream, {found}, and not with {asked}")]
    Stream {
        /// What was asked for.
        asked: Box<StreamName<'static>>,
        /// What its records say that it is.
        found: Box<StreamName<'static>>,
    },
    /// Nothing that is shown of the records says whose history it is.
    #[error("nothing that is shown of the records says that they are of the stream {0}")]
    Unnamed(Box<StreamName<'static>>),
    /// There is no such stream, or none that the token may know of.
    #[error("there is no stream {0}")]
    Absent(Box<StreamName<'static>>),
    /// The server can't verify a record of the history, so that the chain is broken there.
    #[error("the server can't verify entry {0}: the history is broken there")]
    Broken(LeafIndex),
    /// The server can't verify the record with which the stream begins, so that nothing of its history is.
    #[error(
        "the server can't verify entry {index}, with which the stream begins ({part}: {}): its history is broken from there \
         on, and nothing of it is verified",
        shown(detail)
    )]
    BrokenFirst {
        /// Where it is.
        index: LeafIndex,
        /// What of it is wrong.
        part: &'static str,
        /// In the server's words.
        detail: String,
    },
    /// The server gave no record, and did not say that there is none.
    #[error("the server answered without a record, and does not say that there is none: {0}")]
    Empty(&'static str),
    /// More than this program takes in.
    #[error("more than {} records, or {} MiB of them: this program replays no longer history", bounds::HISTORY_RECORDS, bounds::HISTORY_BYTES >> 20)]
    TooLong,
    /// The log has a record of the stream that the server left out of its history.
    #[error(
        "the server left out a record: entry {index} of the log is number {seq} of the stream, and its history does not \
         have it"
    )]
    LeftOut {
        /// Where it is.
        index: LeafIndex,
        /// Its number in the stream.
        seq: Seq,
    },
    /// An entry has the stream's id, and is no record by the format.
    #[error("entry {0} of the log bears the stream's id and is no record by the format: it may hide one")]
    Disguised(LeafIndex),
    /// What was scanned before is not the beginning of the log, or of the history.
    #[error("what was scanned before does not fit: {0}")]
    Scanned(&'static str),
    /// The server's own state or comparison is not what its records give.
    #[error("the server's own answer is not what its verified records give: {0} differs")]
    Differs(String),
}

impl From<JoinError> for TrailError {
    fn from(error: JoinError) -> Self {
        Self::Join(Box::new(error))
    }
}
