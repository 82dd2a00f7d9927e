//! The secret that a log's prints are keyed with: drawn once, before its first record, and kept as a row.

use tokio::sync::oneshot;

use super::RecordError;
use super::found::Found;
use crate::engine::Log;
use crate::engine::append::AppendError;
use crate::engine::postings::{PrintRow, PrintSecret};
use crate::engine::sequencer::{Done, Job, MaintainJob, Refused};
use crate::engine::stored::ReadError;

impl Log {
    /// The secret of the log's prints, if it was to have records before.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn print_secret(&self) -> Result<Option<PrintSecret>, ReadError> {
        Ok(self.source()?.map(|(found, _)| found.secret.clone()))
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
