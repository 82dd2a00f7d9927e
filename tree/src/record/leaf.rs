//! The record leaf: the line `cairn.record/1`, and a line of canonical JSON (RFC 8785) with the event, what the sequencer
//! added, and the producer's signature if there is one.
//!
//! One record has one leaf: decoding accepts only what encodes to the same bytes. A leaf of a later version is kept opaque.
//! Nothing is verified here: neither signatures nor disclosures nor that the leaf is in a log.

use super::bounds::MAX_LEAF_BYTES;
use super::cursor::Cursor;
use super::event::{After, Event, EventText};
use super::server_part::{Place, ServerPart};
use super::signature::ProducerSignature;
use crate::hash::Hash;

/// What every record leaf of any version begins with.
pub(super) const PREFIX: &str = "cairn.record/";
/// The first line of this version.
pub(super) const HEADER: &str = "cairn.record/1\n";

/// A record as it stands in the log.
///
/// Invariants: a signature is there exactly if the event names its key, and the place is the one that the event wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    event: Event,
    server: ServerPart,
    signature: Option<ProducerSignature>,
}

/// A leaf with the hash of the bytes that it was read from, so that nobody reads or hashes them a second time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashedLeaf {
    leaf: Leaf,
    hash: Hash,
}

/// What a log's entry is, to those who read records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A record.
    Record(Box<Leaf>),
    /// A record of a version that is not known here. Its inclusion can be verified, and its place in a chain
    /// ([`super::later::Later`]); nothing else.
    Opaque,
    /// No record.
    Raw,
}

/// Why bytes are not the leaf of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// They are more than a leaf may be.
    #[error("a record's leaf is at most {MAX_LEAF_BYTES} bytes, not {0}")]
    TooLong(usize),
    /// Something else stands where the format wants this.
    #[error("expected {expected} at byte {at}")]
    Malformed {
        /// The offset.
        at: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// The number and the hash of the record before contradict each other.
    #[error("only the first record of a stream has no record before it")]
    Place,
    /// The event names the key of a signature that is not there, or the other way round.
    #[error("a signature is there exactly if the event names its key")]
    Signature,
    /// The record is in another place of its stream than its event says.
    #[error("the event says that it comes after another record of its stream")]
    After,
}

impl Leaf {
    /// A record of its parts. Nothing is verified.
    ///
    /// # Errors
    /// [`LeafError::Signature`], [`LeafError::After`].
    pub fn new(event: Event, server: ServerPart, signature: Option<ProducerSignature>) -> Result<Self, LeafError> {
        let head = event.head();
        check(head.key.is_some() == signature.is_some(), head.after, &server.place)?;
        Ok(Self { event, server, signature })
    }

    /// The leaf's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        write(&self.event.to_text(), &self.server, self.signature.as_ref())
    }

    /// Tells records from other entries.
    ///
    /// # Errors
    /// [`LeafError`] for what begins like a record of this version and is none.
    pub fn classify(entry: &[u8]) -> Result<Entry, LeafError> {
        if entry.starts_with(HEADER.as_bytes()) {
            return Self::decode(entry).map(|leaf| Entry::Record(Box::new(leaf)));
        }
        Ok(if entry.starts_with(PREFIX.as_bytes()) { Entry::Opaque } else { Entry::Raw })
    }

    /// Reads a leaf of this version.
    ///
    /// # Errors
    /// [`LeafError`] for anything that [`Leaf::encode`] would not have written.
    pub fn decode(leaf: &[u8]) -> Result<Self, LeafError> {
        if leaf.len() > MAX_LEAF_BYTES {
            return Err(LeafError::TooLong(leaf.len()));
        }
        let mut cursor = Cursor::new(leaf)?;
        cursor.literal(HEADER)?;
        cursor.literal("{\"event\":")?;
        let event = Event::read(&mut cursor)?;
        cursor.literal(",\"server\":")?;
        let server = ServerPart::read(&mut cursor)?;
        let signature = match cursor.literal(",\"signature\":\"") {
            Ok(()) => {
                let value = cursor.parse("a signature", ProducerSignature::TEXT_LEN)?;
                cursor.literal("\"")?;
                Some(value)
            }
            Err(_) => None,
        };
        cursor.literal("}\n")?;
        cursor.end()?;
        Self::new(event, server, signature)
    }

    /// What was fixed before sending.
    #[must_use]
    pub const fn event(&self) -> &Event {
        &self.event
    }

    /// What the sequencer added.
    #[must_use]
    pub const fn server(&self) -> &ServerPart {
        &self.server
    }

    /// What stands where a producer's signature should: nothing is verified. See [`super::open::Record::producer`].
    #[must_use]
    pub const fn signature(&self) -> Option<&ProducerSignature> {
        self.signature.as_ref()
    }

    /// The leaf hash.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::leaf(&self.encode())
    }
}

impl HashedLeaf {
    /// Reads a leaf of this version, and hashes it.
    ///
    /// # Errors
    /// As [`Leaf::decode`].
    pub fn decode(leaf: &[u8]) -> Result<Self, LeafError> {
        Ok(Self { leaf: Leaf::decode(leaf)?, hash: Hash::leaf(leaf) })
    }

    /// The leaf.
    #[must_use]
    pub const fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// The leaf hash.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    pub(super) fn into_parts(self) -> (Leaf, Hash) {
        (self.leaf, self.hash)
    }
}

/// The bytes of a leaf, from the event's text as it is: all that is left to do for the sequencer.
///
/// # Errors
/// [`LeafError::Signature`], [`LeafError::After`].
pub fn assemble(
    event: &EventText,
    server: &ServerPart,
    signature: Option<&ProducerSignature>,
) -> Result<Vec<u8>, LeafError> {
    check(event.key().is_some() == signature.is_some(), event.after(), &server.place)?;
    Ok(write(event, server, signature))
}

fn check(signed_as_said: bool, after: Option<After>, place: &Place) -> Result<(), LeafError> {
    if !signed_as_said {
        return Err(LeafError::Signature);
    }
    if after.is_some_and(|after| !after.fits(place)) {
        return Err(LeafError::After);
    }
    Ok(())
}

fn write(event: &EventText, server: &ServerPart, signature: Option<&ProducerSignature>) -> Vec<u8> {
    let mut leaf = Vec::with_capacity(event.as_bytes().len() + 512);
    leaf.extend_from_slice(HEADER.as_bytes());
    leaf.extend_from_slice(b"{\"event\":");
    leaf.extend_from_slice(event.as_bytes());
    leaf.extend_from_slice(b",\"server\":");
    server.push(&mut leaf);
    if let Some(signature) = signature {
        leaf.extend_from_slice(b",\"signature\":\"");
        leaf.extend_from_slice(&signature.to_text());
        leaf.push(b'"');
    }
    leaf.extend_from_slice(b"}\n");
    leaf
}
