//! How fast the scrubber reads: no more bytes per second than it may, and none while appends wait, for a while.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long one portion waits for the writer to have nothing to do. The scrubber is slowed down by load, never stopped.
const YIELD: Duration = Duration::from_secs(1);
/// How often it looks whether appends wait still.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: u64,
    stopped: Mutex<bool>,
    stop: Condvar,
}

impl Pace {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, stopped: Mutex::new(false), stop: Condvar::new() }
    }

    pub(super) fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, or until it is to stop.
    pub(super) fn rest(&self, time: Duration) {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.stop.wait_timeout_while(stopped, time, |stopped| !*stopped));
    }

    /// Waits until the bytes of a portion that was begun at `begun` have had their time, then while appends wait.
    pub(super) fn after(&self, begun: Instant, bytes: u64, appends_wait: impl Fn() -> bool) {
        let due = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second.max(1) as f64);
        self.rest(due.saturating_sub(begun.elapsed()));
        let waiting = Instant::now();
        while appends_wait() && waiting.elapsed() < YIELD && !self.is_stopped() {
            self.rest(LOOK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time_and_a_stop_takes_none() {
        let pace = Pace::new(1_000_000);
        let begun = Instant::now();
        pace.after(begun, 50_000, || false);
        assert!(begun.elapsed() >= Duration::from_millis(50));
        pace.stop();
        let begun = Instant::now();
        pace.after(begun, u64::MAX / 2, || true);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}
