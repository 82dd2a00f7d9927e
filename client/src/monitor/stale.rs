//! When a smaller head stops being a cache's fault.
//!
//! Any cache on the way may show an old head for a while, which harms nobody. When the log itself, asked past all
//! caches, still shows it after a while, the log has gone back.

use std::time::{Duration, Instant};

/// Measures for how long nothing but old heads has been seen.
#[derive(Debug, Clone)]
pub struct StaleTimer {
    after: Duration,
    since: Option<Instant>,
}

impl StaleTimer {
    /// A timer that runs out after so long.
    #[must_use]
    pub const fn new(after: Duration) -> Self {
        Self { after, since: None }
    }

    /// A round past all caches showed a smaller head; for how long, if that is now too long.
    pub fn stale(&mut self, now: Instant) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since);
        (passed >= self.after).then_some(passed)
    }

    /// A round showed heads as large as any before.
    pub const fn fresh(&mut self) {
        self.since = None;
    }

    /// Whether the last round was stale.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_head_is_a_rollback_only_when_it_stays() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timer = StaleTimer::new(Duration::from_secs(30));
        assert_eq!(timer.stale(at(0)), None);
        assert_eq!(timer.stale(at(29)), None);
        timer.fresh();
        assert_eq!(timer.stale(at(31)), None, "what came between starts the time anew");
        assert_eq!(timer.stale(at(60)), None);
        assert_eq!(timer.stale(at(61)), Some(Duration::from_secs(30)));
    }

    #[test]
    fn without_patience_the_first_answer_past_caches_decides() {
        assert_eq!(StaleTimer::new(Duration::ZERO).stale(Instant::now()), Some(Duration::ZERO));
    }
}
