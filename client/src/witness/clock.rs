//! Time as a parameter, and what a witness signs when its clock goes wrong.
//!
//! A cosignature says that at its time no larger head of the log was known (C2SP tlog-cosignature). So no time is ever
//! earlier than the last that was signed for the log: it would make that one a lie. A clock that is a moment behind signs
//! the last time once more. A clock that is further behind was wrong then or is wrong now, and a time that it does not show
//! would be made up: nothing is signed for the log until the clock has come near that time again.

use std::time::{SystemTime, UNIX_EPOCH};

use cairn_tree::checkpoint::Timestamp;

use super::bounds;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Seconds since the epoch.
    fn now(&self) -> u64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }
}

/// The clock is too far behind a time that was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// By how many seconds.
    pub seconds: u64,
}

/// The time to sign after `last`, which is never zero and never before it.
pub(super) fn time_after(last: Option<Timestamp>, now: u64) -> Result<Timestamp, Behind> {
    let last = last.map_or(1, Timestamp::seconds);
    match last.saturating_sub(now) {
        seconds if seconds > bounds::CLOCK_BEHIND_SECONDS => Err(Behind { seconds }),
        _ => Ok(Timestamp::new(now.max(last)).unwrap_or(Timestamp::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u64, now: u64) -> Result<u64, u64> {
        let last = (last > 0).then(|| Timestamp::new(last).unwrap());
        time_after(last, now).map(Timestamp::seconds).map_err(|behind| behind.seconds)
    }

    #[test]
    fn a_time_is_never_earlier_than_the_last_and_never_made_up() {
        let bound = bounds::CLOCK_BEHIND_SECONDS;
        assert_eq!(at(0, 5_000), Ok(5_000));
        assert_eq!(at(0, 0), Ok(1), "zero stands for no time");
        assert_eq!(at(5_000, 5_001), Ok(5_001));
        assert_eq!(at(5_000, 5_000), Ok(5_000));
        assert_eq!(at(5_000, 5_000 - bound), Ok(5_000), "a moment behind");
        assert_eq!(at(5_000, 5_000 - bound - 1), Err(bound + 1));
        assert_eq!(at(i64::MAX as u64, 5_000), Err(i64::MAX as u64 - 5_000));
        assert_eq!(at(5_000, u64::MAX), Ok(i64::MAX as u64));
    }
}
