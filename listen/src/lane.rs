//! Two sets of threads for connections: one for those that ask for one thing after the other, and a slow one for crowds.
//!
//! tokio serves tasks in the order in which they were woken, whoever asks: a caller with one request stands behind all that a
//! connection with a hundred streams has under way, each time that it is woken. And where all cores are at work, the kernel
//! lets a thread that was asleep, as the one that writes is at every sync, wait for milliseconds, nice or not. So connections
//! that ask for much at once, or keep us at work without asking for anything, go to threads of their own: one fewer than there
//! are cores. Those that ask for much are driven in spare time only, so that whoever else is woken finds a core that is free. The
//! others, and all where there is no spare time, have threads that get about a tenth of what one of the quick ones gets. A new
//! connection begins there; its first answer shows that it asks for something. Where nobody has asked for one thing alone lately,
//! there is nobody to give way to, and those that ask for much have all cores.
//!
//! A connection changes its threads between two polls, and takes nothing along but itself: sockets and timers wake a task
//! wherever it is, until the lane ends in which they were begun. Of one HTTP/2 connection, a request stays in the lane in which it
//! was begun.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::conduct::{Conduct, Kind};
use crate::pulse::Pulse;
use crate::share::Share;
use crate::slow::{SlowHandle, Threads};

/// How long after a request of those who ask for one thing after the other crowds leave them a core. Otherwise these have all.
const ASKED: Duration = Duration::from_secs(2);

/// Stands in the extensions of a request whose connection asks for much at once: those of others come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfCrowd;

/// Where a request is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// With those who ask for one thing after the other.
    Quick,
    /// With the crowds.
    Slow,
}

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Quick,
    Slow(Threads),
}

/// Both lanes.
#[derive(Debug, Clone)]
pub(crate) struct Lanes {
    quick: Handle,
    slow: SlowHandle,
    asked: Arc<Asked>,
}

/// When somebody last asked for one thing after the other.
#[derive(Debug)]
struct Asked {
    epoch: Instant,
    /// Milliseconds since then, and [`ASKED`] with them, so that nobody has at the beginning.
    until: AtomicU64,
}

impl Lanes {
    /// The quick one is that of whoever calls.
    pub(crate) fn beside_current(slow: SlowHandle) -> Self {
        Self { quick: Handle::current(), slow, asked: Arc::new(Asked::new(Instant::now())) }
    }

    /// Begins the work of a connection.
    pub(crate) fn begin(
        &self,
        (share, pulse): (Arc<Share>, Arc<Pulse>),
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let (conduct, work, on) = (Conduct::default(), Box::pin(work), Place::Slow(Threads::Nice));
        self.drive(Driven { lanes: self.clone(), share, pulse, conduct, on, work });
    }

    fn drive(&self, driven: Driven) {
        let runtime = match driven.on {
            Place::Quick => &self.quick,
            Place::Slow(threads) => self.slow.runtime(threads),
        };
        runtime.spawn(Moving(Some(driven)));
    }
}

impl Asked {
    fn new(epoch: Instant) -> Self {
        Self { epoch, until: AtomicU64::new(0) }
    }

    fn now(&self, now: Instant) {
        let until = self.millis(now).saturating_add(ASKED.as_millis() as u64);
        // Most often it is there: then no other core's copy of it is taken away.
        if self.until.load(Relaxed) != until {
            self.until.store(until, Relaxed);
        }
    }

    fn recently(&self, now: Instant) -> bool {
        self.millis(now) < self.until.load(Relaxed)
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX)
    }
}

/// Begins the tasks of one HTTP/2 connection's requests.
#[derive(Debug, Clone)]
pub(crate) struct Spread {
    pub(crate) lanes: Lanes,
    pub(crate) share: Arc<Share>,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Spread {
    fn execute(&self, task: F) {
        match self.share.lane() {
            Lane::Quick => drop(self.lanes.quick.spawn(task)),
            Lane::Slow => self.lanes.slow.begin(task, self.share.is_of_crowd()),
        }
    }
}

/// What a connection and its requests tell each other.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Requests that were answered, ever.
    pub(crate) answered: AtomicU64,
    /// Whether it had much under way since that was last asked.
    was_wide: AtomicBool,
    /// Whether it counts as one that has.
    is_of_crowd: AtomicBool,
    /// Whether its next request goes to the quick lane.
    is_quick: AtomicBool,
    /// The same once it has much under way.
    is_quick_if_wide: AtomicBool,
}

impl Standing {
    /// One more request was answered.
    pub(crate) fn answered(&self) {
        self.answered.fetch_add(1, Relaxed);
    }

    /// It has much under way.
    pub(crate) fn was_wide(&self) {
        self.was_wide.store(true, Relaxed);
    }

    pub(crate) fn is_of_crowd(&self) -> bool {
        self.is_of_crowd.load(Relaxed)
    }

    /// Where the next request is worked on.
    pub(crate) fn lane(&self, is_wide: bool) -> Lane {
        let is_quick = self.is_quick.load(Relaxed) && (!is_wide || self.is_quick_if_wide.load(Relaxed));
        if is_quick { Lane::Quick } else { Lane::Slow }
    }

    pub(crate) fn take_wide(&self) -> bool {
        // Most often it is not set, and a look costs less.
        self.was_wide.load(Relaxed) && self.was_wide.swap(false, Relaxed)
    }

    fn set(&self, (lane, wide): (Lane, Lane), is_of_crowd: bool) {
        self.is_of_crowd.store(is_of_crowd, Relaxed);
        self.is_quick.store(lane == Lane::Quick, Relaxed);
        self.is_quick_if_wide.store(wide == Lane::Quick, Relaxed);
    }
}

/// A connection at work, in its lane.
struct Driven {
    lanes: Lanes,
    share: Arc<Share>,
    pulse: Arc<Pulse>,
    conduct: Conduct,
    on: Place,
    work: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Nothing once it has ended, or goes on in the other lane.
struct Moving(Option<Driven>);

impl Future for Moving {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(driven) = &mut self.0 else { return Poll::Ready(()) };
        if driven.lanes.slow.has_ended() {
            // Its timers may be those of the slow lane, wherever it is, and woke it because that ends.
            self.0 = None;
            return Poll::Ready(());
        }
        let place = driven.place(Instant::now());
        if place != driven.on {
            driven.on = place;
            if let Some(driven) = self.0.take() {
                driven.lanes.clone().drive(driven);
            }
            return Poll::Ready(());
        }
        let polled = match driven.on {
            Place::Quick => driven.work.as_mut().poll(cx),
            Place::Slow(_) => driven.lanes.slow.poll(driven.work.as_mut(), cx),
        };
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl Driven {
    fn place(&mut self, now: Instant) -> Place {
        let kind = self.conduct.kind(&self.share, &self.pulse, now);
        let Lanes { asked, slow, .. } = &self.lanes;
        if kind == Kind::Narrow && self.conduct.is_answered {
            asked.now(now);
        }
        let wide = if asked.recently(now) { Lane::Slow } else { Lane::Quick };
        let (lane, place) = match kind {
            Kind::Narrow => (Lane::Quick, Place::Quick),
            Kind::Wide if wide == Lane::Quick => (wide, Place::Quick),
            Kind::Wide => (wide, Place::Slow(slow.threads())),
            // Among them are those who are new, and must not wait for spare time.
            Kind::Vain => (Lane::Slow, Place::Slow(Threads::Nice)),
        };
        self.share.standing.set((lane, wide), self.conduct.is_wide(now));
        place
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use tokio::task::yield_now;

    use super::*;
    use crate::share::Shares;
    use crate::slow::SlowLane;

    fn share() -> Arc<Share> {
        Shares::of_machine().begin()
    }

    fn answer(share: &Arc<Share>) {
        share.begin().answered();
    }

    #[test]
    fn others_count_for_a_while_after_they_asked() {
        let begun = Instant::now();
        let asked = Asked::new(begun);
        assert!(!asked.recently(begun));
        asked.now(begun);
        assert!(asked.recently(begun + ASKED / 2) && !asked.recently(begun + ASKED));
    }

    /// The name of the thread that the connection is polled on, each time.
    async fn poll_in_turns(
        share: Arc<Share>,
        names: tokio::sync::mpsc::UnboundedSender<String>,
        stop: Arc<AtomicBool>,
    ) {
        let mut answered = false;
        while !stop.load(Relaxed) {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            if names.send(name).is_err() {
                return;
            }
            if !answered {
                answer(&share);
                answered = true;
            }
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_connection_changes_its_lane_and_goes_on() {
        let slow = SlowLane::start(1).unwrap();
        let lanes = Lanes::beside_current(slow.handle().clone());
        let (share, stop) = (share(), Arc::new(AtomicBool::new(false)));
        let (names, mut told) = tokio::sync::mpsc::unbounded_channel();
        let work = poll_in_turns(Arc::clone(&share), names, Arc::clone(&stop));
        lanes.begin((Arc::clone(&share), Arc::default()), work);
        // Of whichever threads: others may leave no spare time.
        let is_slow = |name: Option<String>| name.unwrap().starts_with("slow-lane");
        assert!(is_slow(told.recv().await), "a new one");
        while is_slow(told.recv().await) {}
        // From here on it asks for much; others have asked, since it had counted as one of them.
        let many: Vec<_> = (0..100).map(|_| share.begin()).collect();
        while !is_slow(told.recv().await) {}
        stop.store(true, Relaxed);
        while told.recv().await.is_some() {}
        drop(many);
    }
}
