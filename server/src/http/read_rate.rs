//! How fast one token may have reads put on record: without a bound, whoever may read could fill a log that he may not
//! write to. A token has so many in a row, which come back at a steady rate; past them it is refused until the next one.
//!
//! Who follows something does not ask, and is not refused: its chunks wait for their turn, of which a token has as many
//! again. Those that would wait for long end instead.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::auth::TokenId;
use crate::limits::{FOLLOWED_READ_WAIT, Limits};

/// Tokens of which something is kept before those are looked for of which nothing has to be.
const LOOKED_THROUGH: usize = 1_024;

/// The reads that are put on record, of all tokens.
#[derive(Debug)]
pub(super) struct ReadRate {
    asked: Mutex<Turns>,
    followed: Mutex<Turns>,
    /// From one read to the next, in the long run.
    every: Duration,
    /// How far the turns of a token may be ahead of the time.
    ahead: Duration,
}

/// When the next turn of each token would be, were there none in a row.
type Turns = BTreeMap<TokenId, Instant>;

impl ReadRate {
    pub(super) fn new(limits: &Limits) -> Self {
        let every = Duration::from_secs(1) / limits.audited_reads_per_second();
        let ahead = every * limits.audited_reads_in_a_row().saturating_sub(1);
        Self { asked: Mutex::default(), followed: Mutex::default(), every, ahead }
    }

    /// Takes a token's next turn.
    ///
    /// # Errors
    /// How long until there is one.
    pub(super) fn take(&self, token: TokenId, now: Instant) -> Result<(), Duration> {
        let mut turns = lock(&self.asked);
        let next = turn(&turns, token, now);
        let wait = self.wait(next, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        set(&mut turns, token, next + self.every, now);
        Ok(())
    }

    /// Whether a token has a turn now.
    ///
    /// # Errors
    /// How long until there is one.
    pub(super) fn look(&self, token: TokenId, now: Instant) -> Result<(), Duration> {
        let wait = self.wait(turn(&lock(&self.asked), token, now), now);
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// Takes the next turn of what a token follows, and says how long it is until then.
    ///
    /// # Errors
    /// How long it would be, if that is too long to wait.
    pub(super) fn queue(&self, token: TokenId, now: Instant) -> Result<Duration, Duration> {
        let mut turns = lock(&self.followed);
        let next = turn(&turns, token, now);
        let wait = self.wait(next, now);
        if wait > FOLLOWED_READ_WAIT {
            return Err(wait);
        }
        set(&mut turns, token, next + self.every, now);
        Ok(wait)
    }

    fn wait(&self, next: Instant, now: Instant) -> Duration {
        next.saturating_duration_since(now).saturating_sub(self.ahead)
    }
}

// A panic while the lock is held leaves the turns whole.
fn lock(turns: &Mutex<Turns>) -> MutexGuard<'_, Turns> {
    turns.lock().unwrap_or_else(PoisonError::into_inner)
}

fn turn(turns: &Turns, token: TokenId, now: Instant) -> Instant {
    turns.get(&token).map_or(now, |next| now.max(*next))
}

fn set(turns: &mut Turns, token: TokenId, next: Instant, now: Instant) {
    if turns.len() >= LOOKED_THROUGH && !turns.contains_key(&token) {
        turns.retain(|_, next| *next > now);
    }
    turns.insert(token, next);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u32) -> TokenId {
        format!("{number:012x}").parse().unwrap()
    }

    fn rate(per_second: u64, in_a_row: u64) -> ReadRate {
        let limits = format!("audited_reads_per_second = {per_second}\naudited_reads_in_a_row = {in_a_row}");
        ReadRate::new(&toml::from_str(&limits).unwrap())
    }

    #[test]
    fn a_token_has_so_many_in_a_row_and_then_a_steady_rate() {
        let (rate, begin) = (rate(10, 3), Instant::now());
        let at = |millis| begin + Duration::from_millis(millis);
        (0..3).for_each(|_| rate.take(token(1), begin).unwrap());
        assert_eq!(rate.look(token(1), begin), Err(Duration::from_millis(100)));
        assert_eq!(rate.take(token(1), at(60)), Err(Duration::from_millis(40)), "what is refused costs nothing");
        rate.take(token(2), at(60)).unwrap();
        rate.take(token(1), at(100)).unwrap();
        assert_eq!(rate.take(token(1), at(100)), Err(Duration::from_millis(100)));
        (0..3).for_each(|_| rate.take(token(1), at(10_000)).unwrap());
        assert!(rate.take(token(1), at(10_000)).is_err(), "no more is saved than so many in a row");
    }

    #[test]
    fn what_is_followed_waits_for_its_turn_and_keeps_none_from_what_is_asked() {
        let (rate, now) = (rate(10, 1), Instant::now());
        let waits: Vec<_> = (0..3).map(|_| rate.queue(token(1), now).unwrap().as_millis()).collect();
        assert_eq!(waits, [0, 100, 200]);
        rate.take(token(1), now).unwrap();
        let most = (0..).find(|_| rate.queue(token(1), now).is_err()).unwrap();
        assert_eq!(Duration::from_millis(100) * (most + 2), FOLLOWED_READ_WAIT);
    }

    #[test]
    fn what_is_kept_of_tokens_is_bounded() {
        let (rate, now) = (rate(1_000, 1), Instant::now());
        for number in 0..10_000 {
            rate.take(token(number), now + Duration::from_millis(number.into())).unwrap();
        }
        assert!(rate.asked.lock().unwrap().len() <= LOOKED_THROUGH);
    }
}
