//! A record put into bytes, on the caller's thread: the writer copies them and hashes the leaf, and nothing else.

use bytes::Bytes;
use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::record::disclosure::Disclosures;
use cairn_tree::record::event::{Event, EventText};
use cairn_tree::record::id::{Pseudonym, RecordId};
use cairn_tree::record::server_part::Place;
use cairn_tree::record::signature::ProducerSignature;
use cairn_tree::record::stream::StreamId;

use super::{Earlier, Expectation, RecordError, StreamTip, Submission};
use crate::engine::postings::Print;

/// What a leaf has beyond its event, at most.
const SERVER_BYTES: usize = 512;

/// A record as the writer takes it.
#[derive(Debug)]
pub(in crate::engine) struct Prepared {
    pub(in crate::engine) id: RecordId,
    /// Drawn at random here.
    pub(in crate::engine) fresh_id: bool,
    pub(in crate::engine) event: EventText,
    /// A hash of it.
    pub(in crate::engine) event_hash: Hash,
    pub(in crate::engine) signature: Option<ProducerSignature>,
    /// The event's disclosures, packed.
    pub(in crate::engine) disclosures: Bytes,
    /// The stream that it opens if it is the first of one, its place then, and what is disclosed with it, packed.
    pub(in crate::engine) opens: StreamId,
    pub(in crate::engine) first: Place,
    pub(in crate::engine) opening: Bytes,
    pub(in crate::engine) by: Pseudonym,
    pub(in crate::engine) name_print: Print,
    pub(in crate::engine) id_print: Print,
    pub(in crate::engine) prints: Vec<Print>,
    pub(in crate::engine) opening_prints: Vec<Print>,
    pub(in crate::engine) expected: Expectation,
    /// What was found out about its stream.
    pub(in crate::engine) tip: Looked<StreamTip>,
    /// What was found out about its id.
    pub(in crate::engine) earlier: Looked<Earlier>,
}

/// What a look-up has found, and up to which size of the log that is all there is.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Looked<T> {
    /// Whether somebody has to look.
    pub(in crate::engine) needed: bool,
    pub(in crate::engine) known_to: u64,
    pub(in crate::engine) found: Option<T>,
}

impl<T> Looked<T> {
    /// Nothing is found, and nothing can be.
    const NOTHING: Self = Self { needed: false, known_to: u64::MAX, found: None };
    /// Nobody has looked.
    const NOT_YET: Self = Self { needed: true, known_to: 0, found: None };
}

impl Prepared {
    /// Puts the record at `position` of a request to the log of this origin into bytes.
    pub(super) fn new(log: &str, position: usize, submission: Submission) -> Result<Self, RecordError> {
        let Submission { event, signature, disclosures, opening, by, fresh_id, stream, id, prints, .. } = submission;
        let read = Event::parse(event.as_bytes()).map_err(|error| RecordError::Leaf { position, error })?;
        let head = read.head();
        if head.log.as_str() != log {
            let expected = Origin::new(log).unwrap_or_else(|_| head.log.clone());
            return Err(RecordError::Log { position, expected, found: head.log.clone() });
        }
        let pack = |disclosures: &Disclosures| {
            let mut packed = Vec::with_capacity(disclosures.as_str().len() / 4 * 3 + 4 * disclosures.len());
            let done = disclosures.pack(&mut packed).map(|()| Bytes::from(packed));
            done.map_err(|error| RecordError::Disclosures { position, error })
        };
        Ok(Self {
            id: head.id,
            fresh_id,
            event_hash: Hash::leaf(event.as_bytes()),
            event,
            signature,
            disclosures: pack(&disclosures)?,
            opens: opening.id(),
            first: opening.place(),
            opening: pack(opening.disclosures())?,
            by,
            name_print: stream,
            id_print: id,
            prints,
            opening_prints: submission.opening_prints,
            expected: submission.expected,
            tip: Looked::NOT_YET,
            earlier: if fresh_id { Looked::NOTHING } else { Looked::NOT_YET },
        })
    }

    /// Bytes in memory, and in the log.
    pub(in crate::engine) fn weight(&self) -> usize {
        let prints = (self.prints.len() + self.opening_prints.len()) * size_of::<Print>();
        self.event.as_bytes().len() + self.disclosures.len() + self.opening.len() + prints + SERVER_BYTES
    }
}
