//! How many requests of one connection are at work at once while many wait for the processor.
//!
//! An HTTP/2 connection has as many requests under way as it has streams, each a task that wants to run. tokio serves tasks in
//! the order in which they were woken, whoever asks: two hundred connections with a hundred streams each are twenty thousand
//! tasks, and a caller with one request stands behind them all, each time that it is woken. So where there are many, those of
//! one connection wait for one another, and then for those of other connections: few are in the queues of the threads at a
//! time. A request that is the only one of its connection waits for nobody here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::thread::available_parallelism;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

use crate::lane::{Lane, Standing};

/// Requests of all connections for each core, up to which nobody waits: about a thousandth of a second of work.
const FEW: usize = 64;
/// Requests of one connection at once, up to which it is none that asks for much, while all together are few.
const NARROW: usize = 4;
/// Requests of one connection that are at work, or next, once there are more.
const OF_ONE: usize = 2;
/// Requests of such connections at work at once for each core: one that works, and one that is next.
const PER_CORE: usize = 2;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shares {
    queue: Arc<Semaphore>,
    begun: AtomicUsize,
    few: usize,
}

impl Shares {
    pub(crate) fn of_machine() -> Arc<Self> {
        Self::of_cores(available_parallelism().map_or(1, usize::from))
    }

    fn of_cores(cores: usize) -> Arc<Self> {
        let queue = Arc::new(Semaphore::new(PER_CORE * cores));
        Arc::new(Self { queue, begun: AtomicUsize::new(0), few: FEW * cores })
    }

    /// One connection's.
    pub(crate) fn begin(self: &Arc<Self>) -> Arc<Share> {
        let queue = Arc::new(Semaphore::new(OF_ONE));
        Arc::new(Share { all: Arc::clone(self), queue, begun: AtomicUsize::new(0), standing: Standing::default() })
    }
}

/// What one connection's requests share.
#[derive(Debug)]
pub(crate) struct Share {
    all: Arc<Shares>,
    queue: Arc<Semaphore>,
    /// Requests that were begun and not answered.
    begun: AtomicUsize,
    pub(crate) standing: Standing,
}

impl Share {
    /// The place of one more request.
    pub(crate) fn begin(self: &Arc<Self>) -> Place {
        self.begun.fetch_add(1, Relaxed);
        self.all.begun.fetch_add(1, Relaxed);
        if self.is_wide() {
            self.standing.was_wide();
        }
        Place { share: Arc::clone(self), turn: None }
    }

    /// Whether it has more under way than connections in the quick lane may have.
    fn is_wide(&self) -> bool {
        self.begun.load(Relaxed) > NARROW || self.is_crowd()
    }

    /// Where its next request is worked on.
    pub(crate) fn lane(&self) -> Lane {
        self.standing.lane(self.is_wide())
    }

    /// Whether it asks for much at once, or did so lately.
    pub(crate) fn is_of_crowd(&self) -> bool {
        self.is_wide() || self.standing.is_of_crowd()
    }

    /// Whether a request has to wait for its turn.
    fn is_crowd(&self) -> bool {
        self.begun.load(Relaxed) > 1 && self.all.begun.load(Relaxed) > self.all.few
    }
}

/// One request's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    share: Arc<Share>,
    /// From when it had to wait until it is answered, or waits for something else.
    turn: Option<Turn>,
}

impl Place {
    /// Its answer is there.
    pub(crate) fn answered(&self) {
        self.share.standing.answered();
    }

    /// Lets the request go on, when it is its turn.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        request: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if self.turn.is_none() && self.share.is_crowd() {
            self.turn = Some(Turn::new(&self.share));
        }
        if let Some(turn) = &mut self.turn {
            ready!(turn.poll(cx));
        }
        let polled = request(cx);
        self.turn = None;
        polled
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.share.begun.fetch_sub(1, Relaxed);
        self.share.all.begun.fetch_sub(1, Relaxed);
    }
}

/// A request's way through the queue of its connection, and that of all.
#[derive(Debug)]
struct Turn {
    queues: [PollSemaphore; 2],
    /// Given back when it is dropped.
    permits: [Option<OwnedSemaphorePermit>; 2],
    has_yielded: bool,
}

impl Turn {
    fn new(share: &Share) -> Self {
        let queues = [&share.queue, &share.all.queue].map(|queue| PollSemaphore::new(Arc::clone(queue)));
        Self { queues, permits: [None, None], has_yielded: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for (queue, permit) in self.queues.iter_mut().zip(&mut self.permits) {
            if permit.is_none() {
                // Nobody closes it.
                *permit = ready!(queue.poll_acquire(cx));
            }
        }
        if !self.has_yielded {
            // Whoever is woken by a task runs right after it: here, behind all that wait already.
            self.has_yielded = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn poll(place: &mut Place) -> Poll<()> {
        place.poll(&mut Context::from_waker(Waker::noop()), |_| Poll::Ready(()))
    }

    /// As often as a thread would poll it.
    fn runs(place: &mut Place) -> bool {
        (0..3).any(|_| poll(place).is_ready())
    }

    #[test]
    fn few_requests_wait_for_nobody() {
        let share = Shares::of_cores(1).begin();
        let mut places: Vec<_> = (0..FEW).map(|_| share.begin()).collect();
        assert!(places.iter_mut().all(|place| poll(place).is_ready()));
    }

    #[test]
    fn where_there_are_many_those_of_one_connection_wait_and_a_lone_one_does_not() {
        let shares = Shares::of_cores(1);
        let [crowd, lone] = [shares.begin(), shares.begin()];
        let mut places: Vec<_> = (0..=FEW).map(|_| crowd.begin()).collect();
        assert!(poll(&mut lone.begin()).is_ready());
        // Each goes behind what waits before it begins; those after the first two wait until these have had their turn.
        let [first, second, third, ..] = &mut places[..] else { unreachable!() };
        assert!(poll(first).is_pending() && poll(second).is_pending());
        assert!(!runs(third));
        assert!(poll(first).is_ready());
        assert!(runs(third));
        // One that is dropped while it has its turn leaves it to others.
        assert!(poll(first).is_pending());
        places.remove(1);
        assert!(runs(&mut places[2]));
    }

    #[test]
    fn connections_wait_for_one_another() {
        let shares = Shares::of_cores(1);
        let crowds: Vec<_> = (0..FEW).map(|_| shares.begin()).collect();
        let mut places: Vec<_> = crowds.iter().flat_map(|crowd| [crowd.begin(), crowd.begin()]).collect();
        let turns = places.iter_mut().filter_map(|place| poll(place).is_pending().then_some(place.turn.as_ref()?));
        let at_work = turns.filter(|turn| turn.permits.iter().all(Option::is_some)).count();
        assert_eq!(at_work, PER_CORE);
        assert!(poll(&mut shares.begin().begin()).is_ready());
    }

    #[test]
    fn a_request_that_waits_for_something_else_gives_its_turn_away() {
        let shares = Shares::of_cores(1);
        let crowd = shares.begin();
        let mut places: Vec<_> = (0..=FEW).map(|_| crowd.begin()).collect();
        let mut cx = Context::from_waker(Waker::noop());
        let [first, second, third, ..] = &mut places[..] else { unreachable!() };
        assert!(poll(first).is_pending() && poll(second).is_pending());
        assert!(first.poll(&mut cx, |_| Poll::<()>::Pending).is_pending() && first.turn.is_none());
        assert!(runs(third));
    }
}
