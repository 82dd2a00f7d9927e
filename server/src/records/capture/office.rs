//! What capturing needs while a server runs: the configuration in force, the quarantine, and what was counted.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwapOption;
use tokio::sync::Semaphore;

use super::persister::{Options, Persister, PersisterError};
use super::quarantine::{Quarantine, QuarantineError, Room};
use super::unmapped::Reason;

/// Messages that are mapped at once: each may take several times its own bytes meanwhile.
const AT_ONCE: usize = 8;

/// Capturing, as a server does it.
pub struct Capture {
    places: Vec<PathBuf>,
    options: Options,
    persister: ArcSwapOption<Persister>,
    quarantine: Quarantine,
    figures: Figures,
    slots: Arc<Semaphore>,
}

/// What was counted.
#[derive(Debug, Default)]
pub struct Figures {
    captured: AtomicU64,
    records: AtomicU64,
    again: AtomicU64,
    not_audited: AtomicU64,
    quarantined: Vec<AtomicU64>,
    refused: AtomicU64,
}

/// Why capturing can't begin.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The configuration.
    #[error("the persister configuration can't be used: {0}")]
    Persister(#[from] PersisterError),
    /// The quarantine.
    #[error("the quarantine: {0}")]
    Quarantine(#[from] QuarantineError),
}

impl Capture {
    /// Reads the configuration, if one is named, and the quarantine of a data directory.
    ///
    /// # Errors
    /// [`CaptureError`].
    pub fn open(data: &FilePath, places: Vec<PathBuf>, options: Options, room: Room) -> Result<Self, CaptureError> {
        let persister = load(&places, &options)?;
        Ok(Self {
            quarantine: Quarantine::open(data, room)?,
            persister: ArcSwapOption::from(persister.map(Arc::new)),
            places,
            options,
            figures: Figures {
                quarantined: Reason::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
                ..Figures::default()
            },
            slots: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    /// The configuration in force.
    #[must_use]
    pub fn persister(&self) -> Option<Arc<Persister>> {
        self.persister.load_full()
    }

    /// Reads the configuration anew, and puts it in force if nothing is wrong with it.
    ///
    /// # Errors
    /// [`PersisterError`]; then the one before stays in force.
    pub fn reload(&self) -> Result<Option<Arc<Persister>>, PersisterError> {
        let persister = load(&self.places, &self.options)?.map(Arc::new);
        self.persister.store(persister.clone());
        Ok(persister)
    }

    /// The messages that became no records.
    #[must_use]
    pub const fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }

    /// What was counted.
    #[must_use]
    pub const fn figures(&self) -> &Figures {
        &self.figures
    }

    /// What a message takes while it is mapped.
    #[must_use]
    pub fn slots(&self) -> Arc<Semaphore> {
        Arc::clone(&self.slots)
    }
}

fn load(places: &[PathBuf], options: &Options) -> Result<Option<Persister>, PersisterError> {
    if places.is_empty() { Ok(None) } else { Persister::load(places, options.clone()).map(Some) }
}

impl Figures {
    /// A message became so many records, of which `again` says that they were there already.
    pub fn captured(&self, records: u64, again: bool) {
        self.captured.fetch_add(1, Relaxed);
        if again {
            self.again.fetch_add(1, Relaxed);
        } else {
            self.records.fetch_add(records, Relaxed);
        }
    }

    /// A message is not to be audited.
    pub fn not_audited(&self) {
        self.not_audited.fetch_add(1, Relaxed);
    }

    /// A message was quarantined.
    pub fn quarantined(&self, reason: Reason) {
        let place = Reason::ALL.iter().position(|other| *other == reason);
        if let Some(count) = place.and_then(|place| self.quarantined.get(place)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// A message was neither recorded nor kept: its sender was told.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Each count with its name and what it counts.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, &'static str, u64); 5] {
        [
            ("capture_messages", "Messages of DIGIT's persister that became records.", self.captured.load(Relaxed)),
            ("capture_records", "Records that such messages became.", self.records.load(Relaxed)),
            ("capture_again", "Such messages whose records were there already.", self.again.load(Relaxed)),
            ("capture_not_audited", "Messages that are not to be audited.", self.not_audited.load(Relaxed)),
            ("capture_refused", "Messages that were neither recorded nor kept.", self.refused.load(Relaxed)),
        ]
    }

    /// How many messages were quarantined for each reason.
    pub fn by_reason(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.iter().copied().zip(self.quarantined.iter().map(|count| count.load(Relaxed)))
    }
}
