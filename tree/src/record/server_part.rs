//! The part of a record that the sequencer adds: `server`, the record's place in its stream and the log's clock.

use core::fmt;

use super::bounds::MAX_INTEGER;
use super::cursor::Cursor;
use super::digest::Digest;
use super::disclosure::push_place;
use super::id::Pseudonym;
use super::json::canonical::push_integer;
use super::leaf::LeafError;
use super::stream::StreamId;
use super::time::Time;
use crate::hash::Hash;

/// The place of a record in its stream: 0 for the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

/// A number past what canonical JSON can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a place in a stream is at most 2^53 - 1")]
pub struct SeqError;

impl Seq {
    /// The first.
    pub const FIRST: Self = Self(0);

    /// Checks the bound.
    ///
    /// # Errors
    /// [`SeqError`].
    pub const fn new(number: u64) -> Result<Self, SeqError> {
        if number > MAX_INTEGER { Err(SeqError) } else { Ok(Self(number)) }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The place after this one.
    ///
    /// # Errors
    /// [`SeqError`] if the stream is full.
    pub const fn next(self) -> Result<Self, SeqError> {
        Self::new(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a record stands in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At its beginning; the stream's topics and the head that it continues stand behind these digests.
    First {
        /// The digest of the topics.
        topics: Digest,
        /// The digest of the head of another log's stream that this one continues.
        continues: Digest,
    },
    /// After the record with the leaf hash `prev`.
    After {
        /// Its number; not [`Seq::FIRST`].
        seq: LaterSeq,
        /// The leaf hash of the record before.
        prev: Hash,
    },
}

/// A place that is not the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaterSeq(Seq);

impl LaterSeq {
    /// The place after `seq`.
    ///
    /// # Errors
    /// [`SeqError`] if the stream is full.
    pub const fn after(seq: Seq) -> Result<Self, SeqError> {
        match seq.next() {
            Ok(next) => Ok(Self(next)),
            Err(error) => Err(error),
        }
    }

    /// The place.
    #[must_use]
    pub const fn seq(self) -> Seq {
        self.0
    }
}

impl Place {
    /// The record's number in its stream.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        match self {
            Self::First { .. } => Seq::FIRST,
            Self::After { seq, .. } => seq.seq(),
        }
    }

    /// The leaf hash of the record before.
    #[must_use]
    pub const fn prev(&self) -> Option<Hash> {
        match self {
            Self::First { .. } => None,
            Self::After { prev, .. } => Some(*prev),
        }
    }
}

/// What the sequencer says about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerPart {
    /// The stream.
    pub stream: StreamId,
    /// The record's place in it.
    pub place: Place,
    /// When it was sequenced; never less than the record's before it in the log.
    pub time: Time,
    /// Stands for the credential that brought it.
    pub by: Pseudonym,
}

impl ServerPart {
    pub(super) fn push(&self, json: &mut Vec<u8>) {
        json.extend_from_slice(b"{\"by\":\"");
        json.extend_from_slice(&self.by.to_text());
        json.push(b'"');
        match &self.place {
            Place::First { continues, .. } => {
                json.extend_from_slice(b",\"continues\":");
                push_place(json, *continues);
                json.extend_from_slice(b",\"prev\":null,\"seq\":0");
            }
            Place::After { seq, prev } => {
                json.extend_from_slice(b",\"prev\":\"");
                json.extend_from_slice(prev.to_base64().as_bytes());
                json.extend_from_slice(b"\",\"seq\":");
                push_integer(json, seq.seq().get());
            }
        }
        json.extend_from_slice(b",\"stream\":\"");
        json.extend_from_slice(&self.stream.to_text());
        json.extend_from_slice(b"\",\"time\":\"");
        json.extend_from_slice(&self.time.to_text());
        json.push(b'"');
        if let Place::First { topics, .. } = &self.place {
            json.extend_from_slice(b",\"topics\":");
            push_place(json, *topics);
        }
        json.push(b'}');
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, LeafError> {
        cursor.literal("{\"by\":\"")?;
        let by = cursor.parse("a pseudonym", Pseudonym::TEXT_LEN)?;
        cursor.literal("\"")?;
        let continues = match cursor.literal(",\"continues\":") {
            Ok(()) => Some(cursor.place()?),
            Err(_) => None,
        };
        let after = if continues.is_some() {
            cursor.literal(",\"prev\":null,\"seq\":0")?;
            None
        } else {
            cursor.literal(",\"prev\":\"")?;
            let prev = cursor.parse::<StandardHash>("a leaf hash", StandardHash::TEXT_LEN)?.0;
            cursor.literal("\",\"seq\":")?;
            let before = cursor.integer(MAX_INTEGER)?.checked_sub(1).and_then(|before| Seq::new(before).ok());
            let seq = before.and_then(|before| LaterSeq::after(before).ok());
            Some((seq.ok_or(LeafError::Place)?, prev))
        };
        cursor.literal(",\"stream\":\"")?;
        let stream = cursor.parse("a stream's id", Digest::TEXT_LEN)?;
        cursor.literal("\",\"time\":")?;
        let time = cursor.time()?;
        let place = match (continues, after) {
            (Some(continues), _) => {
                cursor.literal(",\"topics\":")?;
                Place::First { topics: cursor.place()?, continues }
            }
            (None, Some((seq, prev))) => Place::After { seq, prev },
            (None, None) => return Err(LeafError::Place),
        };
        cursor.literal("}")?;
        Ok(Self { stream, place, time, by })
    }
}

/// A leaf hash in standard base64, as receipts write it.
pub(super) struct StandardHash(pub(super) Hash);

impl StandardHash {
    pub(super) const TEXT_LEN: usize = 44;
}

impl core::str::FromStr for StandardHash {
    type Err = crate::hash::HashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Hash::from_base64(text).map(Self)
    }
}
