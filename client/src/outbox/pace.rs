//! How long to wait before another attempt: twice as long each time, up to a bound, and never exactly as long as others.

use std::time::Duration;

use super::bounds;

/// The wait after so many failed attempts in a row (at least one). Half of it is certain, half of it random, so that many
/// who were disappointed at the same moment don't come back at the same moment. A server that asks for more gets it,
/// within reason.
pub(super) fn wait(
    failures: u32,
    (first, longest): (Duration, Duration),
    asked: Option<Duration>,
    random: u32,
) -> Duration {
    let doubled = first.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    let whole = doubled.min(longest);
    let own = whole / 2 + whole.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0);
    // Behind what was asked for there is the same randomness.
    match asked.map(|asked| asked.min(bounds::LONGEST_RETRY_AFTER)) {
        Some(asked) if asked > own => asked + first.mul_f64(f64::from(random) / f64::from(u32::MAX)),
        _ => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_up_to_a_bound_and_differ() {
        let pace = (SECOND, SECOND * 10);
        let waits =
            |random| [1, 2, 3, 4, 5, 40, u32::MAX].map(|failures| wait(failures, pace, None, random).as_millis());
        assert_eq!(waits(0), [500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
        assert_eq!(waits(u32::MAX), [1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000]);
    }

    #[test]
    fn what_the_server_asks_for_is_honoured_within_reason() {
        let pace = (SECOND, SECOND * 10);
        assert_eq!(wait(1, pace, Some(SECOND * 30), 0), SECOND * 30);
        assert_eq!(wait(1, pace, Some(SECOND * 30), u32::MAX), SECOND * 31);
        assert_eq!(wait(5, pace, Some(SECOND), 0), SECOND * 5, "the own wait is longer");
        assert_eq!(wait(1, pace, Some(Duration::MAX), 0), bounds::LONGEST_RETRY_AFTER);
    }
}
