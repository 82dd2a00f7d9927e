//! The secret that a log's prints are keyed with: drawn once, before its first record, and kept as a row.
//!
//! A log without that row has no records, and nobody looks for any. So where the row is gone and records are there all the
//! same, that is damage: taken for a log without records, it would let each of them come a second time.

use cairn_tree::store::{Key, KeyRange, Kind, LogId, Store};
use tokio::sync::oneshot;

use super::RecordError;
use super::found::Found;
use crate::engine::Log;
use crate::engine::append::AppendError;
use crate::engine::postings::{PrintRow, PrintSecret};
use crate::engine::sequencer::{Done, Job, MaintainJob, Refused};
use crate::engine::stored::ReadError;

/// What the row is called where it is missing or damaged.
pub(in crate::engine) const SECRET: &str = "key of the records' prints";

/// The row of a log's prints, if the log was to have records before.
///
/// # Errors
/// [`ReadError`]; damage, too, if it is not there and what records disclose, or an index of them, is.
pub(in crate::engine) fn print_row(store: &dyn Store, log: LogId) -> Result<Option<PrintRow>, ReadError> {
    if let Some(row) = PrintRow::read(store, log)? {
        return Ok(Some(row));
    }
    if !has_traces(store, log)? {
        return Ok(None);
    }
    // The first record may have come since; its secret was durable before it.
    PrintRow::read(store, log)?.map(Some).ok_or_else(|| lost(log))
}

/// Whether a log has what nothing but a record brings. Each record discloses something, and what is erased of one leaves the
/// record that says so.
fn has_traces(store: &dyn Store, log: LogId) -> Result<bool, ReadError> {
    let disclosed = store.scan(&KeyRange::all(log, Kind::Disclosures), 1)?;
    Ok(!disclosed.is_empty() || store.get(&Key::only(log, Kind::PostingManifest))?.is_some())
}

/// The error for a log with records that has no such row.
pub(in crate::engine) fn lost(log: LogId) -> ReadError {
    let problem = "it is gone, and the log has records".to_owned();
    ReadError::Damaged { log, place: format!("the {SECRET}"), problem, entry: None }
}

impl Log {
    /// The secret of the log's prints, if it was to have records before.
    ///
    /// # Errors
    /// [`ReadError`]; damage, too, if it has records and no secret.
    pub fn print_secret(&self) -> Result<Option<PrintSecret>, ReadError> {
        Ok(self.source()?.map(|(found, _)| found.secret.clone()))
    }

    /// Whether it was to have records before, be it that its secret is damaged or gone.
    ///
    /// # Errors
    /// [`ReadError`] if the store failed.
    pub fn was_to_have_records(&self) -> Result<bool, ReadError> {
        match self.print_secret() {
            Ok(secret) => Ok(secret.is_some()),
            Err(error) if error.is_failure() => Err(error),
            Err(_) => Ok(true),
        }
    }

    /// The secret of the log's prints; these random bytes become it if there is none yet.
    ///
    /// # Errors
    /// [`RecordError`] if it can't be read, or can't be kept.
    pub async fn make_print_secret(&self, random: [u8; PrintSecret::LEN]) -> Result<PrintSecret, RecordError> {
        if let Some(secret) = self.print_secret()? {
            return Ok(secret);
        }
        let _one_at_a_time = self.shared.drawing.lock().await;
        if let Some(secret) = self.print_secret()? {
            return Ok(secret);
        }
        self.refuse_early()?;
        // No entry before has postings, whatever its bytes are.
        let row = PrintRow { secret: PrintSecret::new(random), first: self.head().size.get() };
        self.keep(&row).await?;
        let found = self.shared.found.get_or_init(|| Found::new(self.shared.info.id, row, &self.running.upkeep));
        Ok(found.secret.clone())
    }

    async fn keep(&self, row: &PrintRow) -> Result<(), AppendError> {
        let (done, told) = oneshot::channel();
        let puts = vec![(PrintRow::key(self.shared.info.id), row.encode())];
        let job = MaintainJob { puts, deletes: Vec::new(), done: Some(Done::Task(done)) };
        let stopping = || AppendError::Stopping(self.running.sequencer.poison().unwrap_or_default());
        match self.running.sequencer.submit(Job::Maintain(job)) {
            Ok(()) => told.await.map_err(|_| stopping()),
            Err(Refused::Full) => Err(AppendError::QueueFull),
            Err(Refused::Closed) => Err(stopping()),
        }
    }
}
