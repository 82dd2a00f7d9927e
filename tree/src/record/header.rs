//! What the leaves of all versions say in clear: whose record it is, and its place in its stream.
//!
//! Not here: that the entry is in a log, and what a record of this version says besides ([`super::leaf::Leaf`]).

use super::chain::Link;
use super::id::RecordId;
use super::later::Later;
use super::leaf::{HEADER, HashedLeaf, Leaf, LeafError, PREFIX};
use super::server_part::Seq;
use super::stream::StreamId;
use super::time::Time;
use crate::checkpoint::Origin;
use crate::hash::Hash;
use crate::size::LeafIndex;

/// A record's place, in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The log that it is meant for.
    pub log: Origin,
    /// Its id.
    pub id: RecordId,
    /// Its stream.
    pub stream: StreamId,
    /// Its number in the stream.
    pub seq: Seq,
    /// The leaf hash of the record before; `None` exactly if it is the first.
    pub prev: Option<Hash>,
    /// When it was sequenced.
    pub time: Time,
    /// The leaf hash of the bytes that were read.
    pub hash: Hash,
}

/// A record of some version, read once for all that wants to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versioned {
    /// Of this version.
    Record(Box<HashedLeaf>),
    /// Of a later one.
    Later(Box<Later>),
}

impl Versioned {
    /// Reads the entry at an index.
    ///
    /// # Errors
    /// [`LeafError`] for an entry that is a record of no version.
    pub fn decode(index: LeafIndex, entry: &[u8]) -> Result<Self, LeafError> {
        if entry.starts_with(HEADER.as_bytes()) {
            return HashedLeaf::decode(entry).map(|leaf| Self::Record(Box::new(leaf)));
        }
        if entry.starts_with(PREFIX.as_bytes()) {
            return Later::decode(index, entry).map(|later| Self::Later(Box::new(later)));
        }
        Err(LeafError::Malformed { at: 0, expected: "a record" })
    }

    /// What it says in clear.
    #[must_use]
    pub fn header(&self) -> Header {
        match self {
            Self::Record(leaf) => Header::of(leaf.leaf(), leaf.hash()),
            Self::Later(later) => Header::of_later(later),
        }
    }

    /// Its leaf hash.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        match self {
            Self::Record(leaf) => leaf.hash(),
            Self::Later(later) => later.hash(),
        }
    }
}

impl Header {
    /// Reads the entry at an index.
    ///
    /// # Errors
    /// [`LeafError`] for an entry that is a record of no version.
    pub fn decode(index: LeafIndex, entry: &[u8]) -> Result<Self, LeafError> {
        Versioned::decode(index, entry).map(|record| record.header())
    }

    /// That of a record of this version, whose leaf hash is known.
    #[must_use]
    pub fn of(leaf: &Leaf, hash: Hash) -> Self {
        let (head, server) = (leaf.event().head(), leaf.server());
        let (seq, prev) = (server.place.seq(), server.place.prev());
        Self { log: head.log.clone(), id: head.id, stream: server.stream, seq, prev, time: server.time, hash }
    }

    /// That of a record of a later version.
    #[must_use]
    pub fn of_later(later: &Later) -> Self {
        Self {
            log: later.log().clone(),
            id: later.id(),
            stream: later.stream(),
            seq: later.seq(),
            prev: later.prev(),
            time: later.time(),
            hash: later.hash(),
        }
    }

    /// As a link of a chain.
    #[must_use]
    pub const fn link(&self, index: LeafIndex) -> Link {
        Link { index, seq: self.seq, hash: self.hash, time: self.time }
    }
}
