//! What a connection is doing, told in counters, and the watchdog that ends the ones that do nothing for too long.
//!
//! hyper knows no limit for idle connections, for a half-sent HTTP/2 preface, or for a peer that stops reading. One step
//! twice per second over plain counters covers them all, and costs a request no timer. Not here: the ticking (`connections`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::bounds::Bounds;

/// How often the watchdog looks; its limits are in whole seconds.
pub(super) const TICKS_PER_SECOND: u64 = 2;

/// The counters of one connection. They only ever inform the watchdog, so no ordering among them is needed.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Bytes that came in.
    read: AtomicU64,
    /// Bytes that went out.
    written: AtomicU64,
    /// Bytes that had come in when the last request was answered: any more belong to the next header.
    settled: AtomicU64,
    /// The same when the last request was begun.
    read_at_begin: AtomicU64,
    /// Requests that were begun, ever.
    begun: AtomicU64,
    /// Requests whose handler is at work.
    handling: AtomicU32,
    /// Answers that were not written whole.
    answering: AtomicU32,
    /// A write waits for the peer to read.
    blocked: AtomicBool,
    /// Frames that come in between requests are no header here.
    http2: AtomicBool,
    /// Whoever makes an answer gave its reader up.
    overdue: AtomicBool,
    /// The last request was answered with an error.
    refused: AtomicBool,
}

impl Pulse {
    pub(super) fn read(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Relaxed);
    }

    /// Bytes that came in and went out.
    pub(super) fn moved(&self) -> u64 {
        self.read.load(Relaxed).wrapping_add(self.written.load(Relaxed))
    }

    pub(super) fn nothing_read_yet(&self) -> bool {
        self.read.load(Relaxed) == 0
    }

    /// Bytes that came in and that no request has asked for: those of a header that is not whole.
    pub(super) fn unasked(&self) -> u64 {
        if self.handling.load(Relaxed) > 0 {
            return 0;
        }
        let known = self.settled.load(Relaxed).max(self.read_at_begin.load(Relaxed));
        self.read.load(Relaxed).saturating_sub(known)
    }

    /// The request was answered with an error.
    pub(super) fn refused(&self) {
        self.refused.store(true, Relaxed);
    }

    /// Bytes that have come in since a request that was refused was begun: those of its body.
    pub(super) fn read_in_vain(&self) -> u64 {
        if !self.refused.load(Relaxed) {
            return 0;
        }
        self.read.load(Relaxed).saturating_sub(self.read_at_begin.load(Relaxed))
    }

    pub(super) fn written(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Relaxed);
        if self.blocked.load(Relaxed) {
            self.blocked.store(false, Relaxed);
        }
    }

    pub(super) fn blocked(&self) {
        self.blocked.store(true, Relaxed);
    }

    pub(super) fn is_http2(&self) {
        self.http2.store(true, Relaxed);
    }

    /// Whether a handler is at work, or an answer is not written whole.
    pub(super) fn is_at_work(&self) -> bool {
        self.handling.load(Relaxed) > 0 || self.answering.load(Relaxed) > 0
    }

    /// An answer waits for the peer to read it.
    pub(super) fn is_answering(&self) -> bool {
        self.answering.load(Relaxed) > 0 || self.blocked.load(Relaxed)
    }

    /// Its peer takes an answer too slowly; the connection is cut at the next look.
    pub(super) fn overdue(&self) {
        self.overdue.store(true, Relaxed);
    }

    pub(super) fn is_overdue(&self) -> bool {
        self.overdue.load(Relaxed)
    }

    /// A handler begins its work.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.begun.fetch_add(1, Relaxed);
        self.refused.store(false, Relaxed);
        self.read_at_begin.store(self.read.load(Relaxed), Relaxed);
        self.handling.fetch_add(1, Relaxed);
        Busy { pulse: Arc::clone(self), phase: Phase::Handling }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Handling,
    Answering,
}

/// A request at work; it ends when the whole answer was written, or dropped.
#[derive(Debug)]
pub(super) struct Busy {
    pulse: Arc<Pulse>,
    phase: Phase,
}

impl Busy {
    /// The connection whose request it is.
    pub(super) fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// The handler is done; from here on it is the peer's turn to read. Event streams stay at work instead: they may be
    /// silent for long.
    pub(super) fn answering(&mut self) {
        self.phase = Phase::Answering;
        self.pulse.answering.fetch_add(1, Relaxed);
        self.pulse.handling.fetch_sub(1, Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.pulse.settled.store(self.pulse.read.load(Relaxed), Relaxed);
        match self.phase {
            Phase::Handling => self.pulse.handling.fetch_sub(1, Relaxed),
            Phase::Answering => self.pulse.answering.fetch_sub(1, Relaxed),
        };
    }
}

/// What is to become of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Leave,
    /// Say goodbye, and close once nothing is under way.
    Close,
    /// Cut it off.
    Cut,
}

/// The watchdog of one connection. A pure step function of the counters. Its limits are in ticks; as the first tick may come
/// at once, a limit is over only with one tick more.
#[derive(Debug)]
pub(super) struct Watchdog {
    header: u64,
    idle: u64,
    stall: u64,
    last_begun: u64,
    last_written: u64,
    stalled_for: u64,
    answering_for: u64,
    waiting_for: u64,
    closing: bool,
}

impl Watchdog {
    pub(super) fn new(bounds: &Bounds) -> Self {
        Self {
            header: bounds.header_time.as_secs() * TICKS_PER_SECOND,
            idle: bounds.idle_time.as_secs() * TICKS_PER_SECOND,
            stall: bounds.write_stall_time.as_secs() * TICKS_PER_SECOND,
            last_begun: 0,
            last_written: 0,
            stalled_for: 0,
            answering_for: 0,
            waiting_for: 0,
            closing: false,
        }
    }

    /// One tick later; `pressed` says that an answer found no room in memory since the last one.
    pub(super) fn step(&mut self, pulse: &Pulse, pressed: bool) -> Verdict {
        let written = pulse.written.load(Relaxed);
        let answering = pulse.is_answering();
        let stalled = answering && written == self.last_written;
        self.last_written = written;
        self.stalled_for = if stalled { self.stalled_for + 1 } else { 0 };
        // A peer that keeps answers in memory by taking them in drops, or that sends only pings, is let go when others
        // need the room.
        self.answering_for = if answering { self.answering_for + 1 } else { 0 };
        if pulse.is_overdue() || self.stalled_for > self.stall || (pressed && self.answering_for > self.stall) {
            return Verdict::Cut;
        }
        let begun = pulse.begun.load(Relaxed);
        let handling = pulse.handling.load(Relaxed) > 0;
        if handling || answering || begun != self.last_begun {
            self.last_begun = begun;
            self.waiting_for = 0;
            return Verdict::Leave;
        }
        self.waiting_for += 1;
        let in_header = pulse.read.load(Relaxed) != pulse.settled.load(Relaxed) && !pulse.http2.load(Relaxed);
        let patience = if begun == 0 || in_header || self.closing { self.header } else { self.idle };
        if self.waiting_for <= patience {
            return Verdict::Leave;
        }
        if begun == 0 || in_header || self.closing {
            return Verdict::Cut;
        }
        self.closing = true;
        self.waiting_for = 0;
        Verdict::Close
    }

    /// What to do with the connection when others find no place: one that has not asked for anything in a second is cut,
    /// one that has nothing to ask for as long as a header may take is closed.
    pub(super) fn when_crowded(&self, pulse: &Pulse) -> Verdict {
        let busy = pulse.handling.load(Relaxed) > 0 || pulse.is_answering();
        match pulse.begun.load(Relaxed) {
            _ if busy => Verdict::Leave,
            0 if self.waiting_for > TICKS_PER_SECOND => Verdict::Cut,
            begun if begun > 0 && begun == self.last_begun && self.waiting_for > self.header => Verdict::Close,
            _ => Verdict::Leave,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watchdog() -> (Arc<Pulse>, Watchdog) {
        (Arc::default(), Watchdog::new(&Bounds::default()))
    }

    fn ticks_until(verdict: Verdict, pulse: &Pulse, watchdog: &mut Watchdog) -> Option<usize> {
        (1..400).find(|_| watchdog.step(pulse, false) == verdict)
    }

    #[test]
    fn only_what_no_request_asked_for_is_unasked() {
        let (pulse, _) = watchdog();
        pulse.read(700);
        assert_eq!(pulse.unasked(), 700);
        let busy = pulse.begin();
        pulse.read(60_000);
        assert_eq!(pulse.unasked(), 0, "a body is asked for");
        drop(busy);
        assert_eq!(pulse.unasked(), 0);
        pulse.read(5);
        assert_eq!(pulse.unasked(), 5);
    }

    #[test]
    fn a_connection_that_never_asks_is_cut() {
        let (pulse, mut watchdog) = watchdog();
        pulse.read(5);
        assert_eq!(ticks_until(Verdict::Cut, &pulse, &mut watchdog), Some(17));
    }

    #[test]
    fn a_header_that_trickles_after_a_good_request_is_cut() {
        let (pulse, mut watchdog) = watchdog();
        drop(pulse.begin());
        watchdog.step(&pulse, false);
        pulse.read(1);
        assert_eq!(ticks_until(Verdict::Cut, &pulse, &mut watchdog), Some(17));
    }

    #[test]
    fn an_idle_connection_is_closed_and_then_cut() {
        let (pulse, mut watchdog) = watchdog();
        pulse.is_http2();
        drop(pulse.begin());
        watchdog.step(&pulse, false);
        pulse.read(9);
        assert_eq!(ticks_until(Verdict::Close, &pulse, &mut watchdog), Some(151));
        assert_eq!(ticks_until(Verdict::Cut, &pulse, &mut watchdog), Some(17));
    }

    #[test]
    fn a_peer_that_stops_reading_is_cut_but_a_slow_one_is_not() {
        let (pulse, mut watchdog) = watchdog();
        let mut busy = pulse.begin();
        busy.answering();
        for _ in 0..100 {
            pulse.written(1);
            assert_eq!(watchdog.step(&pulse, false), Verdict::Leave);
        }
        pulse.written(1);
        assert_eq!(watchdog.step(&pulse, true), Verdict::Cut, "unless others need the room");
        pulse.blocked();
        assert_eq!(ticks_until(Verdict::Cut, &pulse, &mut watchdog), Some(17));
    }

    #[test]
    fn only_who_asks_nothing_gives_way_when_it_is_crowded() {
        let (silent, mut watchdog) = watchdog();
        assert_eq!(watchdog.when_crowded(&silent), Verdict::Leave, "it has only just come");
        (0..3).for_each(|_| assert_eq!(watchdog.step(&silent, false), Verdict::Leave));
        assert_eq!(watchdog.when_crowded(&silent), Verdict::Cut);
        let asked = Arc::new(Pulse::default());
        let busy = asked.begin();
        let mut watchdog = Watchdog::new(&Bounds::default());
        (0..20).for_each(|_| assert_eq!(watchdog.step(&asked, false), Verdict::Leave));
        assert_eq!(watchdog.when_crowded(&asked), Verdict::Leave, "it waits for its answer");
        drop(busy);
        (0..16).for_each(|_| assert_eq!(watchdog.step(&asked, false), Verdict::Leave));
        assert_eq!(watchdog.when_crowded(&asked), Verdict::Leave, "it may ask again soon");
        (0..2).for_each(|_| assert_eq!(watchdog.step(&asked, false), Verdict::Leave));
        assert_eq!(watchdog.when_crowded(&asked), Verdict::Close);
    }

    #[test]
    fn whoever_was_given_up_is_cut_though_it_takes_something() {
        let (pulse, mut watchdog) = watchdog();
        let _busy = pulse.begin();
        pulse.written(1);
        assert_eq!(watchdog.step(&pulse, false), Verdict::Leave);
        pulse.overdue();
        pulse.written(1);
        assert_eq!(watchdog.step(&pulse, false), Verdict::Cut);
    }

    #[test]
    fn a_handler_may_take_its_time() {
        let (pulse, mut watchdog) = watchdog();
        let busy = pulse.begin();
        assert_eq!(ticks_until(Verdict::Cut, &pulse, &mut watchdog), None);
        drop(busy);
    }
}
