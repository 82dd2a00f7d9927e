//! What tells a thread that builds indexes which logs have work for it.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};

use cairn_tree::store::LogId;

/// The logs whose index has work to do: a set, so it is bounded by their number.
#[derive(Default)]
pub(super) struct Due {
    logs: Mutex<(BTreeSet<LogId>, bool)>,
    wake: Condvar,
}

impl Due {
    /// Asks for work on a log.
    pub(super) fn push(&self, log: LogId) {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).0.insert(log);
        self.wake.notify_one();
    }

    /// Ends the thread's work once it has done what it is at.
    pub(super) fn close(&self) {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.wake.notify_all();
    }

    /// Waits for work; none once it is closed.
    pub(super) fn next(&self) -> Option<LogId> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if logs.1 {
                return None;
            }
            if let Some(log) = logs.0.pop_first() {
                return Some(log);
            }
            logs = self.wake.wait(logs).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
