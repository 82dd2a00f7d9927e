//! What the leaves of all versions say in clear: whose record it is, and its place in its stream.
//!
//! Not here: that the entry is in a log, and what a record of this version says besides ([`super::leaf::Leaf`]).

use super::chain::Link;
use super::id::RecordId;
use super::later::Later;
use super::leaf::{Entry, Leaf, LeafError};
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

impl Header {
    /// Reads the entry at an index.
    ///
    /// # Errors
    /// [`LeafError`] for an entry that is a record of no version.
    pub fn decode(index: LeafIndex, entry: &[u8]) -> Result<Self, LeafError> {
        match Leaf::classify(entry)? {
            Entry::Record(leaf) => Ok(Self::of(&leaf, Hash::leaf(entry))),
            Entry::Opaque => Later::decode(index, entry).map(|later| Self::of_later(&later)),
            Entry::Raw => Err(LeafError::Malformed { at: 0, expected: "a record" }),
        }
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
