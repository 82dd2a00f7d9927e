//! The thread that works on the postings of all logs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use cairn_tree::store::LogId;

use super::build::Work;
use super::{Postings, Sink, Source, Upkeep};

/// The logs that have postings.
pub trait Logs: Send + Sync {
    /// All of them.
    fn all(&self) -> Vec<LogId>;

    /// One of them.
    fn get(&self, log: LogId) -> Option<Indexed>;

    /// Who writes their rows.
    fn sink(&self) -> &dyn Sink;
}

/// One log with its postings.
pub struct Indexed {
    /// Its name, for messages.
    pub name: String,
    /// Its postings.
    pub postings: Arc<Postings>,
    /// What they stand on.
    pub source: Box<dyn Source>,
}

/// The thread.
pub struct Builder {
    upkeep: Arc<Upkeep>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Builder {
    /// Starts it. First it brings up the logs that have grown since their runs were last built.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(upkeep: Arc<Upkeep>, logs: Arc<dyn Logs>) -> std::io::Result<Self> {
        let its_upkeep = Arc::clone(&upkeep);
        let body = move || {
            let mut cleaned = HashSet::new();
            logs.all().into_iter().filter(|log| is_behind(&*logs, *log)).for_each(|log| its_upkeep.due.push(log));
            while let Some(log) = its_upkeep.due.next() {
                let Some(Indexed { name, postings, source }) = logs.get(log) else { continue };
                let work = Work { postings: &postings, source: &*source, sink: logs.sink() };
                let mended = work.mend().map(|damage| {
                    damage.inspect(|error| tracing::error!(log = %name, %error, "an index of records is made anew"))
                });
                let outcome = mended.and_then(|_| if cleaned.insert(log) { work.clean() } else { Ok(()) });
                if let Err(error) = outcome.and_then(|()| work.build_and_merge()) {
                    // Look-ups stay exact: what has no run is in memory. Appends wait when that gets too much.
                    tracing::error!(log = %name, %error, "the postings can't be built");
                }
            }
        };
        let thread = std::thread::Builder::new().name("postings".to_owned()).spawn(body)?;
        Ok(Self { upkeep, thread: Mutex::new(Some(thread)) })
    }

    /// Ends the thread. Whoever writes its rows is closed first, so that it does not wait for an answer.
    pub fn close(&self) {
        self.upkeep.due.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the postings thread panicked");
        }
    }
}

/// Whether a log has more without a run than a first look-up should have to read. One that can't be read is told of by
/// whoever needs it.
fn is_behind(logs: &dyn Logs, log: LogId) -> bool {
    logs.get(log).is_some_and(|Indexed { postings, source, .. }| postings.is_behind(&*source).unwrap_or(false))
}
