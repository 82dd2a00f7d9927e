//! How fast all connections together read what no request has asked for: what is dropped, and headers without an end; and
//! how fast those come back who send it.
//!
//! Dropping is a courtesy to a peer that still sends while it is refused, and a long header may be a good one. Without a
//! bound over all of them, a few dozen peers that send without end keep every core busy with what comes to nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Bytes in a second that are dropped: one refused upload of the largest size is through in about one, and it costs a few
/// hundredths of a core.
const DROPPED: u64 = 64 << 20;
/// Bytes in a second of headers, of what each has more than nearly all do. A byte of HTTP/2 may be a whole field, so that it
/// costs a hundred times as much as one that is dropped.
const HEADERS: u64 = 2 << 20;
/// Connections in a second that end although their peers still send: each of them has cost a request, and its peer comes
/// again.
const ENDINGS: u64 = 250;
/// How far ahead of the rate they may be together: a single refused upload is seldom held up.
const BURST: Duration = Duration::from_millis(500);
/// How long one of them may have to wait for the others.
const QUEUE: Duration = Duration::from_millis(500);

/// The pace that connections share: a virtual clock that each byte puts forward (GCRA).
#[derive(Debug)]
pub(crate) struct Pace {
    begun: Instant,
    rate: u64,
    /// Until when the bytes so far take at the rate, in nanoseconds after `begun`.
    taken: AtomicU64,
}

impl Pace {
    /// The one of bytes that are dropped.
    pub(crate) fn of_dropped(now: Instant) -> Self {
        Self { begun: now, rate: DROPPED, taken: AtomicU64::new(0) }
    }

    /// The one of connections whose peers are refused, and send on.
    pub(crate) fn of_endings(now: Instant) -> Self {
        Self { rate: ENDINGS, ..Self::of_dropped(now) }
    }

    /// The one of long headers.
    pub(crate) fn of_headers(now: Instant) -> Self {
        Self { rate: HEADERS, ..Self::of_dropped(now) }
    }

    /// Whether so much is dropped that a further peer would wait too long: it gets no courtesy. Else peers that come faster
    /// than they are done would pile up.
    pub(crate) fn is_exhausted(&self, now: Instant) -> bool {
        self.taken.load(Ordering::Relaxed) > nanos(now.saturating_duration_since(self.begun) + BURST + QUEUE)
    }

    /// Counts bytes that were read, or connections; until when the next ones have to wait, if they have to. Each caller gets
    /// a time of its own, so they do not all wake at once.
    pub(crate) fn spend(&self, count: usize, now: Instant) -> Option<Instant> {
        let since = nanos(now.saturating_duration_since(self.begun));
        let cost = (count as u64).saturating_mul(1_000_000_000) / self.rate.max(1);
        let after = |taken: u64| taken.max(since).saturating_add(cost);
        // The counter alone is shared; no other memory hangs on its order.
        let before = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| Some(after(taken)));
        let ahead = after(before.unwrap_or_default()).saturating_sub(since);
        let wait = Duration::from_nanos(ahead).checked_sub(BURST)?;
        Some(now + wait)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_what_follows_keeps_the_rate() {
        let begun = Instant::now();
        let pace = Pace::of_dropped(begun);
        assert_eq!(pace.spend(32 << 20, begun), Some(begun));
        let second = pace.spend(64 << 20, begun).unwrap();
        assert_eq!(second - begun, Duration::from_secs(1));
        // Each waits for those before it, and none at the same time.
        let third = pace.spend(64 << 20, begun).unwrap();
        assert_eq!(third - begun, Duration::from_secs(2));
        assert!(pace.is_exhausted(begun) && !pace.is_exhausted(begun + Duration::from_millis(1_500)));
        let later = begun + Duration::from_secs(3);
        assert_eq!(pace.spend(1 << 20, later), None);
    }
}
