//! How fast one token may have reads put on record: without a bound, whoever may read could fill a log that he may not
//! write to. A token has so many in a row, which come back at a steady rate; past them it is refused until the next one.
//! What takes several turns gets all of them or none. If that is more than there are in a row, all of those must be there,
//! and the rest is made up for before anything else.
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
    /// How many a token has in a row.
    in_a_row: u32,
}

/// When the next turn of each token would be, were there none in a row.
type Turns = BTreeMap<TokenId, Instant>;

impl ReadRate {
    pub(super) fn new(limits: &Limits) -> Self {
        let every = Duration::from_secs(1) / limits.audited_reads_per_second();
        let in_a_row = limits.audited_reads_in_a_row();
        Self { asked: Mutex::default(), followed: Mutex::default(), every, in_a_row }
    }

    /// Takes so many turns of a token, the next ones.
    ///
    /// # Errors
    /// How long until there are as many; none is taken.
    pub(super) fn take(&self, token: TokenId, count: u32, now: Instant) -> Result<(), Duration> {
        let mut turns = lock(&self.asked);
        let next = turn(&turns, token, now);
        let wait = self.wait(next, count, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        set(&mut turns, token, next + self.every * count, now);
        Ok(())
    }

    /// Whether a token has so many turns now.
    ///
    /// # Errors
    /// How long until there are as many.
    pub(super) fn look(&self, token: TokenId, count: u32, now: Instant) -> Result<(), Duration> {
        let wait = self.wait(turn(&lock(&self.asked), token, now), count, now);
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// Takes so many turns of what a token follows, the next ones, and says how long it is until then.
    ///
    /// # Errors
    /// How long it would be, if that is too long to wait; none is taken.
    pub(super) fn queue(&self, token: TokenId, count: u32, now: Instant) -> Result<Duration, Duration> {
        let mut turns = lock(&self.followed);
        let next = turn(&turns, token, now);
        let wait = self.wait(next, count, now);
        if wait > FOLLOWED_READ_WAIT {
            return Err(wait);
        }
        set(&mut turns, token, next + self.every * count, now);
        Ok(wait)
    }

    /// How long it is until so many turns are there at once, or all that are in a row.
    fn wait(&self, next: Instant, count: u32, now: Instant) -> Duration {
        let ahead = self.every * self.in_a_row.saturating_sub(count.max(1));
        next.saturating_duration_since(now).saturating_sub(ahead)
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
        (0..3).for_each(|_| rate.take(token(1), 1, begin).unwrap());
        assert_eq!(rate.look(token(1), 1, begin), Err(Duration::from_millis(100)));
        assert_eq!(rate.take(token(1), 1, at(60)), Err(Duration::from_millis(40)), "what is refused costs nothing");
        rate.take(token(2), 1, at(60)).unwrap();
        rate.take(token(1), 1, at(100)).unwrap();
        assert_eq!(rate.take(token(1), 1, at(100)), Err(Duration::from_millis(100)));
        (0..3).for_each(|_| rate.take(token(1), 1, at(10_000)).unwrap());
        assert!(rate.take(token(1), 1, at(10_000)).is_err(), "no more is saved than so many in a row");
    }

    #[test]
    fn several_turns_are_taken_together_or_not_at_all() {
        let (rate, begin) = (rate(10, 3), Instant::now());
        let at = |millis| begin + Duration::from_millis(millis);
        rate.take(token(1), 2, begin).unwrap();
        assert_eq!(rate.take(token(1), 2, begin), Err(Duration::from_millis(100)));
        rate.take(token(1), 1, begin).unwrap();
        assert_eq!(rate.look(token(1), 3, begin), Err(Duration::from_millis(300)));
        // More than there are in a row: once all are there, and made up for afterwards.
        assert_eq!(rate.take(token(1), 8, at(299)), Err(Duration::from_millis(1)));
        rate.take(token(1), 8, at(300)).unwrap();
        assert_eq!(rate.take(token(1), 1, at(300)), Err(Duration::from_millis(600)));
        let waits: Vec<_> = (0..3).map(|_| rate.queue(token(1), 4, begin).unwrap().as_millis()).collect();
        assert_eq!(waits, [0, 400, 800]);
    }

    #[test]
    fn what_is_followed_waits_for_its_turn_and_keeps_none_from_what_is_asked() {
        let (rate, now) = (rate(10, 1), Instant::now());
        let waits: Vec<_> = (0..3).map(|_| rate.queue(token(1), 1, now).unwrap().as_millis()).collect();
        assert_eq!(waits, [0, 100, 200]);
        rate.take(token(1), 1, now).unwrap();
        let most = (0..).find(|_| rate.queue(token(1), 1, now).is_err()).unwrap();
        assert_eq!(Duration::from_millis(100) * (most + 2), FOLLOWED_READ_WAIT);
    }

    #[test]
    fn what_is_kept_of_tokens_is_bounded() {
        let (rate, now) = (rate(1_000, 1), Instant::now());
        for number in 0..10_000 {
            rate.take(token(number), 1, now + Duration::from_millis(number.into())).unwrap();
        }
        assert!(rate.asked.lock().unwrap().len() <= LOOKED_THROUGH);
    }
}
