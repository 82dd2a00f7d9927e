//! The chain of a stream: numbers without gaps, each record holding the leaf hash of the one before.
//!
//! Not here: that the records are in the log, which inclusion proofs show, nor what they say: that they belong together
//! [`History`] checks.

use super::header::Header;
pub use super::history::History;
use super::id::RecordId;
use super::later::Later;
use super::leaf::{Entry, Leaf, LeafError};
use super::open::Record;
use super::server_part::Seq;
use super::stream::{StreamHead, StreamId};
use super::time::Time;
use crate::checkpoint::Origin;
use crate::hash::Hash;
use crate::size::LeafIndex;

/// Follows the records of one stream, by their leaves alone; [`History`] looks at all of them together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    log: Origin,
    stream: StreamId,
    last: Option<Link>,
}

/// An entry that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// A record.
    Record(Box<Leaf>),
    /// A record of a later version, of which nothing but its place is known here.
    Later(Later),
}

/// A record that is in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Where it is in the log.
    pub index: LeafIndex,
    /// Its number in the stream.
    pub seq: Seq,
    /// Its leaf hash.
    pub hash: Hash,
    /// When it was sequenced.
    pub time: Time,
}

/// Why a record does not go on with a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The entry is no record.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// The record is another log's.
    #[error("the record is of the log {found}, the stream of {expected}")]
    Log {
        /// The log of the stream.
        expected: Origin,
        /// The log of the record.
        found: Origin,
    },
    /// The record is another stream's.
    #[error("the record is of the stream {found}, not of {expected}")]
    Stream {
        /// The stream that is followed.
        expected: StreamId,
        /// The stream of the record.
        found: StreamId,
    },
    /// A number is missing, or comes again.
    #[error("the next record of the stream is number {expected}, not {found}")]
    Seq {
        /// The number that comes next.
        expected: u64,
        /// The number of the record.
        found: Seq,
    },
    /// The record goes on from another one than the one before it.
    #[error("record {seq} goes on from the leaf hash {found}, but the record before it has {expected}")]
    Prev {
        /// The record's number.
        seq: Seq,
        /// The leaf hash of the record before.
        expected: Hash,
        /// The leaf hash in the record.
        found: Hash,
    },
    /// The record is before the one that it goes on from, in the log.
    #[error("record {seq} is at index {found}, but the record before it is at {before}")]
    Index {
        /// The record's number.
        seq: Seq,
        /// The index of the record before.
        before: LeafIndex,
        /// The index of the record.
        found: LeafIndex,
    },
    /// The server's time went back.
    #[error("record {seq} has the server's time {found}, but the record before it has {before}")]
    Time {
        /// The record's number.
        seq: Seq,
        /// The time of the record before.
        before: Time,
        /// The time of the record.
        found: Time,
    },
    /// The record belongs in another stream than the one of this name.
    #[error("record {seq} belongs in another stream, by its object or its context")]
    Name {
        /// The record's number.
        seq: Seq,
    },
    /// The record comes after the one that says that the stream goes on in another log.
    #[error("record {seq} comes after the one that says that the stream goes on in another log")]
    Continued {
        /// The record's number.
        seq: Seq,
    },
    /// An id comes again.
    #[error("record {seq} has the id {id}, as an earlier one of the stream")]
    Id {
        /// The record's number.
        seq: Seq,
        /// The id.
        id: RecordId,
    },
}

impl Chain {
    /// A stream from its beginning.
    #[must_use]
    pub const fn new(log: Origin, stream: StreamId) -> Self {
        Self { log, stream, last: None }
    }

    /// A stream after a record that is known to be good.
    #[must_use]
    pub const fn after(log: Origin, stream: StreamId, last: Link) -> Self {
        Self { log, stream, last: Some(last) }
    }

    /// The last record that was taken.
    #[must_use]
    pub const fn last(&self) -> Option<&Link> {
        self.last.as_ref()
    }

    /// The head of the stream.
    #[must_use]
    pub fn head(&self) -> Option<StreamHead> {
        let head =
            |last: &Link| StreamHead { log: self.log.clone(), stream: self.stream, seq: last.seq, leaf: last.hash };
        self.last.as_ref().map(head)
    }

    /// Takes the entry at an index, whose disclosures are of no matter here; it may be of a later version.
    ///
    /// # Errors
    /// [`ChainError`]; the chain stays as it was.
    pub fn push_entry(&mut self, index: LeafIndex, entry: &[u8]) -> Result<Followed, ChainError> {
        if Leaf::classify(entry)? == Entry::Opaque {
            let later = Later::decode(index, entry)?;
            self.push_later(&later)?;
            return Ok(Followed::Later(later));
        }
        let leaf = Leaf::decode(entry)?;
        self.push(index, &leaf, Hash::leaf(entry))?;
        Ok(Followed::Record(Box::new(leaf)))
    }

    /// Takes a record of a later version.
    ///
    /// # Errors
    /// [`ChainError`]; the chain stays as it was.
    pub fn push_later(&mut self, later: &Later) -> Result<(), ChainError> {
        self.push_header(later.index(), &Header::of_later(later))
    }

    /// Takes the record at an index, by what its leaf says in clear.
    ///
    /// # Errors
    /// [`ChainError`]; the chain stays as it was.
    pub fn push_header(&mut self, index: LeafIndex, header: &Header) -> Result<(), ChainError> {
        self.go_on(&header.log, header.stream, header.prev, header.link(index))
    }

    /// Takes a record.
    ///
    /// # Errors
    /// [`ChainError`]; the chain stays as it was.
    pub fn push_record(&mut self, record: &Record) -> Result<(), ChainError> {
        self.push(record.index(), record.leaf(), record.hash())
    }

    fn push(&mut self, index: LeafIndex, leaf: &Leaf, hash: Hash) -> Result<(), ChainError> {
        self.push_header(index, &Header::of(leaf, hash))
    }

    /// Goes on with a record, by the leaf hash that it has of the one before.
    fn go_on(&mut self, log: &Origin, stream: StreamId, prev: Option<Hash>, link: Link) -> Result<(), ChainError> {
        if *log != self.log {
            return Err(ChainError::Log { expected: self.log.clone(), found: log.clone() });
        }
        if stream != self.stream {
            return Err(ChainError::Stream { expected: self.stream, found: stream });
        }
        let Link { index, seq, time, .. } = link;
        let expected = self.last.map_or(0, |last| last.seq.get() + 1);
        if seq.get() != expected {
            return Err(ChainError::Seq { expected, found: seq });
        }
        if let (Some(last), Some(prev)) = (self.last, prev) {
            if prev != last.hash {
                return Err(ChainError::Prev { seq, expected: last.hash, found: prev });
            }
            if index <= last.index {
                return Err(ChainError::Index { seq, before: last.index, found: index });
            }
            if time < last.time {
                return Err(ChainError::Time { seq, before: last.time, found: time });
            }
        }
        self.last = Some(link);
        Ok(())
    }
}
