//! The scrubber: a thread that reads everything again while the server runs, slowly, and compares it with what was signed.
//!
//! What records disclose is compared with their leaves by whoever knows what excuses an absence ([`CheckRecords`]), right after
//! the bundle that has the leaves was found sound. What is found there is told as a read's finding is, and halts nothing.
//!
//! Not here: what happens before a signature (`sequencer/check`), and mending.
//!
//! A pass reads each log's entries, tiles and index, then every block of the engine's tables, those included whose rows
//! were written over: a compaction reads them one day. It begins by letting go of the blocks in memory, so that each
//! block is read from its file once in a pass, by this thread or by a caller.
//!
//! What looks damaged is read a second time, past all caches, and counts only if it is the same again. Then, in this
//! order: reads of that place are refused; the incident is durable; the log is durably halted. An error of the system (a
//! sector that can't be read, too many open files) is told and counted, and halts nothing: nothing wrong can be served or
//! signed because of it, and it may pass. Nor does any finding here end the process: only a failed write or fsync does.

mod check;
mod damage;
mod figures;
mod kept;
mod pace;
mod pass;
mod records;
mod suspect;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub(super) use check::{check, check_edge};
pub use damage::{Damage, Place};
pub use figures::{ScrubFigures, ScrubState};
pub use records::{CheckRecords, Checked, NoRecords};

use super::clock::Clock;
use super::layout::LogState;
use super::sequencer::Job;
use super::{Engine, Running};
use crate::incidents::{Incident, open_damage};
use kept::Keeper;
use pace::Pace;
use pass::Pass;
pub(super) use suspect::Looked;

/// How the scrubber behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubOptions {
    /// Bytes that it reads per second, at most; 0: it does not run.
    pub bytes_per_second: u64,
    /// How long it rests between two passes.
    pub rest: Duration,
}

/// The thread. It ends when this is dropped, within one portion of reading.
pub struct Scrubber {
    pace: Arc<Pace>,
    figures: Arc<ScrubFigures>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Scrubber {
    /// Starts it on an open database, unless its rate is 0. Damage that was found before and not mended is known from the
    /// incidents: reads of it are refused from here on.
    ///
    /// # Errors
    /// If the incidents can't be read, or the thread not be started.
    pub fn start(
        engine: &Engine,
        options: ScrubOptions,
        clock: Arc<dyn Clock>,
        records: Arc<dyn CheckRecords>,
    ) -> std::io::Result<Self> {
        let running = &engine.inner;
        let incidents = Arc::clone(&running.incidents);
        recall(running, &crate::incidents::read(&running.data)?);
        let figures = Arc::new(ScrubFigures::default());
        let pace = Arc::new(Pace::new(options.bytes_per_second));
        let keeper = Keeper::new(&running.data, running.database);
        let kept = keeper.read();
        let since = if kept.whole_ms > 0 { kept.whole_ms } else { clock.now_ms() };
        figures.since_ms.store(since, Relaxed);
        let mut thread = None;
        if options.bytes_per_second > 0 {
            let (pace, figures) = (Arc::clone(&pace), Arc::clone(&figures));
            // The database must be able to close while this thread rests.
            let running = Arc::downgrade(running);
            // A server that is started again and again must not read everything each time.
            let rested = Duration::from_millis(clock.now_ms().saturating_sub(kept.whole_ms));
            let left = if kept.begun_ms == 0 { options.rest.saturating_sub(rested) } else { Duration::ZERO };
            let body = move || {
                pace.rest(left);
                while !pace.is_stopped() {
                    let Some(running) = running.upgrade() else { return };
                    let pass = Pass {
                        running: &running,
                        pace: &pace,
                        figures: &figures,
                        clock: &*clock,
                        keeper: &keeper,
                        incidents: &incidents,
                        records: &*records,
                    };
                    pass.run();
                    drop(running);
                    pace.rest(options.rest);
                }
            };
            thread = Some(std::thread::Builder::new().name("scrub".to_owned()).spawn(body)?);
        }
        Ok(Self { pace, figures, thread: Mutex::new(thread) })
    }

    /// What it tells of itself.
    #[must_use]
    pub fn figures(&self) -> Arc<ScrubFigures> {
        Arc::clone(&self.figures)
    }

    /// Ends the thread, within one portion of reading.
    pub fn close(&self) {
        self.pace.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the scrubber panicked");
        }
    }
}

impl Drop for Scrubber {
    fn drop(&mut self) {
        self.close();
    }
}

/// Refuses reads of what was found damaged before, and halts a log that was to be halted for it when the process ended.
fn recall(running: &Running, incidents: &[Incident]) {
    // What was told of tables is not told again.
    for incident in open_damage(incidents, None).filter(|incident| incident.kind == Place::Tables.kind()) {
        running.damage.add(Some(Place::Tables), incident.found.clone());
    }
    for log in running.registry.all() {
        for incident in open_damage(incidents, Some(&log.info.name)) {
            log.damage.add(Place::of_incident(incident), incident.found.clone());
        }
        if let Some((_, first)) = log.damage.told().filter(|_| !matches!(log.state(), LogState::Halted(_))) {
            let (done, told) = sync_channel(1);
            running.sequencer.submit_own(Job::Damaged(Arc::clone(&log), first, done));
            let _ = told.recv();
        }
    }
}
