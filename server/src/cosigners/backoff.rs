//! When a witness that failed is asked again: later each time, up to a bound, and not when all others are.

use std::time::Duration;

use tokio::time::Instant;

/// After the first failure.
const FIRST: Duration = Duration::from_millis(500);

/// One witness's failures in a row.
#[derive(Debug)]
pub(super) struct Backoff {
    failures: u32,
    over: Instant,
    /// The state of a SplitMix64 generator: its numbers only spread times.
    random: u64,
}

impl Backoff {
    /// A witness that has not failed. `random` tells it from others.
    pub(super) fn new(now: Instant, random: u64) -> Self {
        Self { failures: 0, over: now, random }
    }

    pub(super) const fn has_failed(&self) -> bool {
        self.failures > 0
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.over
    }

    /// When it is over.
    pub(super) const fn over(&self) -> Instant {
        self.over
    }

    pub(super) fn succeed(&mut self) {
        self.failures = 0;
    }

    /// Between half and all of a time that doubles with each failure.
    pub(super) fn fail(&mut self, now: Instant, longest: Duration) {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        let part = self.next() >> 44;
        let half = doubled / 2;
        self.over = now + half + half.mul_f64(part as f64 / f64::from(1 << 20));
    }

    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_waits_longer_up_to_the_bound_and_a_success_ends_it() {
        let now = Instant::now();
        let mut backoff = Backoff::new(now, 7);
        assert!(backoff.is_over(now) && !backoff.has_failed());
        let longest = Duration::from_secs(60);
        for most in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            backoff.fail(now, longest);
            let wait = backoff.over() - now;
            assert!(wait >= Duration::from_millis(most / 2) && wait <= Duration::from_millis(most), "{wait:?}");
        }
        backoff.succeed();
        backoff.fail(now, longest);
        assert!(backoff.over() - now <= FIRST);
    }
}
