//! Audit records as a server answers them, turned into what is known: searches and histories (`docs/record.md`).
//!
//! Every record is opened here, its inclusion is verified under a checkpoint that is trusted, and it is compared with what
//! was asked for; the checkpoints of all answers must be of one history. States are replayed from verified records. What
//! a search leaves out can't be seen; what a history leaves out, [`Trail::complete`] shows by reading every leaf.

mod error;
mod filter;
mod found;
mod ground;
mod history;
mod parts;
mod scan;
mod states;

pub use error::TrailError;
pub use filter::Filter;
pub use found::Found;
pub use ground::Ground;
pub use history::Whole;
pub use parts::{Beginning, Ending, JoinError};
pub use scan::{Known, Scanned};
pub use states::Base;

use std::sync::Arc;

use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::record::class::Class;
use cairn_tree::record::header::Header;
use cairn_tree::record::open::Record;
use cairn_tree::record::shown::Shown;
use cairn_tree::record::signature::{Producer, ProducerKeys};
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::v1::{IntegrityProblem, Page, RecordAnswer, RecordBody, VerifiedEntry, view, view_later};

use crate::fetch::{Records, Remote};

/// The audit records of one log.
pub struct Trail {
    remote: Arc<Remote>,
    records: Records,
    ground: Ground,
    reader: Reader,
}

/// What the reader knows of itself and of producers.
#[derive(Debug, Clone, Default)]
pub struct Reader {
    /// It may see everything up to this class; `None` if only what has no class.
    pub up_to: Option<Class>,
    /// Keys of producers: what claims to be signed by one of them must be.
    pub producers: ProducerKeys,
}

/// A record that is verified: it is in the log, and what is shown of it is its own.
#[derive(Debug, Clone)]
pub struct Seen {
    entry: VerifiedEntry,
    /// Whose it is.
    producer: Producer,
    /// As it came.
    body: RecordBody,
    /// The redaction records that its erased parts need.
    redactions: Arc<[RecordBody]>,
    checkpoint: Arc<SignedCheckpoint>,
}

/// What stands in one place of an answer.
#[derive(Debug, Clone)]
pub enum Met {
    /// A verified record.
    Record(Box<Seen>),
    /// The server says that it can't verify the record that is there, and shows nothing of it.
    Unverified(IntegrityProblem),
}

impl Trail {
    /// Sets out from a ground that is trusted.
    #[must_use]
    pub const fn new(remote: Arc<Remote>, records: Records, ground: Ground, reader: Reader) -> Self {
        Self { remote, records, ground, reader }
    }

    /// The tree that everything was verified in.
    #[must_use]
    pub const fn ground(&self) -> &Ground {
        &self.ground
    }

    /// Verifies a page: its checkpoint, its records, and what the reader knows about them.
    async fn verified(&mut self, page: &Page) -> Result<Vec<Met>, TrailError> {
        let (found, trusted) = (page.checkpoint.unverified().origin(), self.ground.head().origin());
        if found != trusted {
            let (found, trusted) = (Box::new(found.clone()), Box::new(trusted.clone()));
            return Err(TrailError::OtherLog { found, trusted });
        }
        let (verified, met) = page.verify(self.ground.trust())?;
        self.ground.place(met).await?;
        self.ground.covered_by(page.complete_to)?;
        let (redactions, checkpoint) = (page.redactions.clone().into(), Arc::new(page.checkpoint.clone()));
        let met = verified.into_iter().zip(&page.records).map(|(verified, listed)| {
            let (entry, body) = match (verified, listed.record()) {
                (Ok(entry), Some(body)) => (entry, body.clone()),
                (Err(problem), _) => return Ok(Met::Unverified(problem)),
                (Ok(entry), None) => return Err(TrailError::NoBefore(entry.index())),
            };
            let producer = self.reader.judge(&entry)?;
            let (redactions, checkpoint) = (Arc::clone(&redactions), Arc::clone(&checkpoint));
            Ok(Met::Record(Box::new(Seen { entry, producer, body, redactions, checkpoint })))
        });
        met.collect()
    }
}

impl Reader {
    /// Checks that nothing is withheld that this reader may see, and tells whose the record is.
    fn judge(&self, entry: &VerifiedEntry) -> Result<Producer, TrailError> {
        // What a record of a later version shows, and who signed it, only its readers can tell.
        let Some(record) = entry.record() else { return Ok(Producer::None) };
        let refused = |error| TrailError::Record { index: record.index(), error: Box::new(error) };
        record.withheld_only_above(self.up_to).map_err(refused)?;
        record.producer(&self.producers).map_err(refused)
    }
}

impl Met {
    /// Where it is in the log.
    #[must_use]
    pub fn index(&self) -> LeafIndex {
        match self {
            Self::Record(seen) => seen.entry.index(),
            Self::Unverified(problem) => problem.index,
        }
    }
}

impl Seen {
    /// The record with its proof, to be kept and verified offline.
    #[must_use]
    pub fn to_saved(&self) -> Vec<u8> {
        let erased = |shown: &Shown<()>| if let Shown::Erased(index) = shown { Some(*index) } else { None };
        let traced = self.record().map(Record::traced).unwrap_or_default();
        let needed: Vec<LeafIndex> = traced.iter().filter_map(|one| erased(&one.became)).collect();
        let is_needed = |body: &&RecordBody| needed.contains(&body.integrity.index);
        RecordAnswer {
            record: RecordBody { view: Some(self.view()), ..self.body.clone() },
            redactions: self.redactions.iter().filter(is_needed).cloned().collect(),
            checkpoint: SignedCheckpoint::clone(&self.checkpoint),
        }
        .to_json()
    }

    /// The record; `None` of a later version.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.entry.record()
    }

    /// Where it is in its log.
    #[must_use]
    pub fn index(&self) -> LeafIndex {
        self.entry.index()
    }

    /// What its leaf says in clear.
    #[must_use]
    pub fn header(&self) -> Header {
        match &self.entry {
            VerifiedEntry::Record(verified) => Header::of(verified.record.leaf(), verified.record.hash()),
            VerifiedEntry::Later(verified) => Header::of_later(&verified.later),
        }
    }

    /// Whose it is.
    #[must_use]
    pub const fn producer(&self) -> Producer {
        self.producer
    }

    /// What it says, as JSON.
    #[must_use]
    pub fn view(&self) -> String {
        match &self.entry {
            VerifiedEntry::Record(verified) => view(&verified.record),
            VerifiedEntry::Later(verified) => view_later(&verified.later),
        }
    }
}
