//! What the writer of an outbox and everybody else see.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::state::State;

/// What the writer and everybody else see.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    /// Changes after each commit.
    pub(super) change: watch::Sender<u64>,
    /// Why the outbox can't be written any more.
    failure: Mutex<Option<String>>,
    /// What last kept something from being delivered, until something is.
    trouble: Mutex<Option<String>>,
}

impl Shared {
    pub(super) fn new(state: State) -> Self {
        let (failure, trouble) = (Mutex::default(), Mutex::default());
        Self { state: Mutex::new(state), change: watch::Sender::new(0), failure, trouble }
    }

    // A panic while the lock is held can't happen half way: every change is made of whole steps.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn changed(&self) {
        self.change.send_modify(|number| *number = number.wrapping_add(1));
    }

    pub(super) fn fail(&self, failure: String) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        self.changed();
    }

    pub(super) fn has_failed(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn failure(&self) -> String {
        self.has_failed().unwrap_or_else(|| "it is being closed".to_owned())
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
