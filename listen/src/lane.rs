//! Two sets of threads for connections: one for those that ask for one thing after the other, and a slow one for crowds.
//!
//! tokio serves tasks in the order in which they were woken, whoever asks: a caller with one request stands behind all that a
//! connection with a hundred streams has under way, each time that it is woken. And where all cores are at work, the kernel
//! lets a thread that was asleep, as the one that writes is at every sync, wait for milliseconds, nice or not. So connections
//! that ask for much at once, or keep us at work without asking for anything, go to threads of their own: one fewer than there
//! are cores, so that whoever else is woken finds one that is free, and nicer than the others. A new connection begins there;
//! its first answer shows that it asks for something. Where nobody has asked for one thing alone lately, there is nobody to give
//! way to, and those that ask for much have all cores.
//!
//! A thread of the slow lane offers its core after each poll.
//!
//! A connection changes its lane between two polls, and takes nothing along but itself: sockets and timers wake a task wherever
//! it is, until the lane ends in which they were begun. Of one HTTP/2 connection, a request stays in the lane in which it was begun.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::task::{Context, Poll};
use std::thread::{self, available_parallelism};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::Instant;

use crate::pulse::Pulse;
use crate::share::Share;

/// By how much threads that give way are nicer than the others: they get about a tenth of what one of those gets. At the most,
/// 19, they would do nothing while the others have enough to do.
const NICER_BY: i32 = 10;
/// Bytes of one request and its answer from which on they are much: more than appends of an entry have, and proofs.
const MUCH: u64 = 96 << 10;
/// For how long a connection counts as what it was, once it is nothing of the kind any more: so long that those who ask for
/// much from time to time are rarely where they are not expected.
const HOLD: Duration = Duration::from_secs(10);
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

/// The threads of the slow lane.
#[derive(Debug)]
pub struct SlowLane {
    handle: SlowHandle,
    /// Until it is ended.
    runtime: Option<Runtime>,
}

/// Where tasks of the slow lane are begun.
#[derive(Debug, Clone)]
pub struct SlowHandle {
    runtime: Handle,
    /// From here on no timer that was begun there may be looked at.
    has_ended: Arc<AtomicBool>,
}

impl SlowLane {
    /// Starts them; work that blocks has so many more at most.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(blocking_threads: usize) -> io::Result<Self> {
        let cores = available_parallelism().map_or(1, usize::from);
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(cores.saturating_sub(1).max(1)).max_blocking_threads(blocking_threads);
        let runtime = builder.thread_name("slow-lane").on_thread_start(give_way).enable_all().build()?;
        let handle = SlowHandle { runtime: runtime.handle().clone(), has_ended: Arc::default() };
        Ok(Self { handle, runtime: Some(runtime) })
    }

    /// Where its tasks are begun.
    #[must_use]
    pub fn handle(&self) -> &SlowHandle {
        &self.handle
    }

    /// Waits until what blocks has ended, at most so long. Connections that are still open are dropped, in either lane. Not to
    /// be called by a task.
    pub fn end(mut self, patience: Duration) {
        if let Some(runtime) = self.take() {
            runtime.shutdown_timeout(patience);
        }
    }

    fn take(&mut self) -> Option<Runtime> {
        self.handle.has_ended.store(true, Release);
        self.runtime.take()
    }
}

/// Crowds have no threads of their own then, but those of this runtime.
impl From<Handle> for SlowHandle {
    fn from(runtime: Handle) -> Self {
        Self { runtime, has_ended: Arc::default() }
    }
}

impl Drop for SlowLane {
    fn drop(&mut self) {
        if let Some(runtime) = self.take() {
            runtime.shutdown_background();
        }
    }
}

/// Makes this thread give way to others of the process. On Linux, threads are nice one by one, and begin as nice as the one
/// that started them: so it is counted from the first of the process, which never gives way.
pub fn give_way() {
    let first = rustix::process::getpriority_process(Some(rustix::process::getpid()));
    let given = first.and_then(|nice| rustix::process::setpriority_process(None, nice + NICER_BY));
    if let Err(error) = given {
        tracing::warn!(%error, "a thread can't give way to those that have less to do");
    }
}

/// Lets a thread that was woken have the core, if any waits: nicer or not, the kernel lets whoever works go on for some
/// milliseconds before that. For threads that give way, between two pieces of work.
pub fn offer_core() {
    thread::yield_now();
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
        let (conduct, work) = (Conduct::default(), Box::pin(work));
        self.drive(Driven { lanes: self.clone(), share, pulse, conduct, on: Lane::Slow, work });
    }

    fn drive(&self, driven: Driven) {
        self.of(driven.on).spawn(Moving(Some(driven)));
    }

    fn of(&self, lane: Lane) -> &Handle {
        match lane {
            Lane::Quick => &self.quick,
            Lane::Slow => &self.slow.runtime,
        }
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
            Lane::Quick => self.lanes.quick.spawn(task),
            Lane::Slow => self.lanes.slow.runtime.spawn(giving_way(task)),
        };
    }
}

/// Work that offers the core to others each time that it was polled.
async fn giving_way<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|cx| {
        let polled = work.as_mut().poll(cx);
        offer_core();
        polled
    })
    .await
}

/// What a connection and its requests tell each other.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Requests that were answered, ever.
    answered: AtomicU64,
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

    fn take_wide(&self) -> bool {
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
    on: Lane,
    work: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Nothing once it has ended, or goes on in the other lane.
struct Moving(Option<Driven>);

impl Future for Moving {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(driven) = &mut self.0 else { return Poll::Ready(()) };
        if driven.lanes.slow.has_ended.load(Acquire) {
            // Its timers may be those of the slow lane, wherever it is, and woke it because that ends.
            self.0 = None;
            return Poll::Ready(());
        }
        let lane = driven.lane(Instant::now());
        if lane != driven.on {
            driven.on = lane;
            if let Some(driven) = self.0.take() {
                driven.lanes.clone().drive(driven);
            }
            return Poll::Ready(());
        }
        let polled = driven.work.as_mut().poll(cx);
        if driven.on == Lane::Slow {
            offer_core();
        }
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl Driven {
    fn lane(&mut self, now: Instant) -> Lane {
        let kind = self.conduct.kind(&self.share, &self.pulse, now);
        let asked = &self.lanes.asked;
        if kind == Kind::Narrow && self.conduct.is_answered {
            asked.now(now);
        }
        let wide = if asked.recently(now) { Lane::Slow } else { Lane::Quick };
        let lane = match kind {
            Kind::Narrow => Lane::Quick,
            Kind::Wide => wide,
            Kind::Vain => Lane::Slow,
        };
        self.share.standing.set((lane, wide), self.conduct.is_wide(now));
        lane
    }
}

/// What a connection has done, as far as its lane depends on it.
#[derive(Debug, Default)]
struct Conduct {
    /// Requests that had been answered when it was last looked at.
    answered: u64,
    /// Whether there was one since it was looked at before.
    is_answered: bool,
    /// Bytes that had come in and gone out by the last answer, or when they were much.
    settled: u64,
    /// Whether a request was at work, or being answered, at a look since then.
    was_at_work: bool,
    /// Until when it counts as one that asks for much.
    wide_until: Option<Instant>,
    /// Until when it counts as one that asks for nothing.
    vain_until: Option<Instant>,
}

/// What kind of a connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It asks for one small thing after the other.
    Narrow,
    /// It asks for much: at once, or in large pieces.
    Wide,
    /// It keeps us at work, and asks for nothing.
    Vain,
}

impl Conduct {
    fn kind(&mut self, share: &Share, pulse: &Pulse, now: Instant) -> Kind {
        let (moved, answered) = (pulse.moved(), share.standing.answered.load(Relaxed));
        self.is_answered = answered != self.answered;
        let is_much = moved.saturating_sub(self.settled) > MUCH;
        // What is left of a large answer is asked for until it is written, and may be written since the last look.
        let is_at_work = pulse.is_at_work();
        let is_asked = self.was_at_work || self.is_answered || is_at_work;
        if share.standing.take_wide() || (is_much && is_asked) {
            self.wide_until = Some(now + HOLD);
        } else if is_much {
            self.vain_until = Some(now + HOLD);
        }
        self.was_at_work |= is_at_work;
        if self.is_answered || is_much {
            (self.answered, self.settled, self.was_at_work) = (answered, moved, is_at_work);
        }
        match () {
            () if answered == 0 || holds(self.vain_until, now) => Kind::Vain,
            () if self.is_wide(now) => Kind::Wide,
            () => Kind::Narrow,
        }
    }

    /// Whether it asks for much, or did so lately, whatever else it does.
    fn is_wide(&self, now: Instant) -> bool {
        holds(self.wide_until, now)
    }
}

fn holds(until: Option<Instant>, now: Instant) -> bool {
    until.is_some_and(|until| now < until)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use tokio::task::yield_now;

    use super::*;
    use crate::share::Shares;

    fn share() -> Arc<Share> {
        Shares::of_machine().begin()
    }

    /// So many bytes have come in or gone out.
    fn moved(pulse: &Pulse, bytes: u64) -> &Pulse {
        pulse.read(usize::try_from(bytes - pulse.moved()).unwrap());
        pulse
    }

    fn answer(share: &Arc<Share>) {
        share.begin().answered();
    }

    #[test]
    fn a_connection_is_quick_once_it_was_answered_and_not_while_it_asks_for_much() {
        let (share, mut conduct, begun) = (share(), Conduct::default(), Instant::now());
        let pulse = Arc::<Pulse>::default();
        assert_eq!(conduct.kind(&share, moved(&pulse, 0), begun), Kind::Vain);
        answer(&share);
        assert_eq!(conduct.kind(&share, moved(&pulse, 300), begun), Kind::Narrow);
        let many: Vec<_> = (0..100).map(|_| share.begin()).collect();
        assert!(share.is_of_crowd());
        drop(many);
        // It is nothing of the kind any more when it is looked at.
        assert_eq!(conduct.kind(&share, moved(&pulse, 600), begun), Kind::Wide);
        assert_eq!(conduct.kind(&share, moved(&pulse, 600), begun + HOLD / 2), Kind::Wide);
        assert_eq!(conduct.kind(&share, moved(&pulse, 600), begun + HOLD), Kind::Narrow);
    }

    #[test]
    fn large_pieces_are_much_and_bytes_that_ask_for_nothing_are_in_vain() {
        let (share, mut conduct, begun) = (share(), Conduct::default(), Instant::now());
        let pulse = Arc::<Pulse>::default();
        answer(&share);
        assert_eq!(conduct.kind(&share, moved(&pulse, MUCH), begun), Kind::Narrow);
        answer(&share);
        assert_eq!(conduct.kind(&share, moved(&pulse, 3 * MUCH), begun), Kind::Wide);
        let later = begun + 2 * HOLD;
        assert_eq!(conduct.kind(&share, moved(&pulse, 4 * MUCH), later), Kind::Narrow);
        assert_eq!(conduct.kind(&share, moved(&pulse, 4 * MUCH + 1), later), Kind::Vain, "nobody asked for these");
        answer(&share);
        assert_eq!(
            conduct.kind(&share, moved(&pulse, 4 * MUCH + 2), later),
            Kind::Vain,
            "nor is that forgotten at once"
        );
        answer(&share);
        assert_eq!(conduct.kind(&share, moved(&pulse, 4 * MUCH + 3), later + HOLD), Kind::Narrow);
        let _upload = pulse.begin();
        assert_eq!(conduct.kind(&share, moved(&pulse, 6 * MUCH), later + HOLD), Kind::Wide);
    }

    #[test]
    fn what_is_left_of_a_large_answer_is_asked_for_and_forgotten_with_it() {
        let (share, mut conduct, begun) = (share(), Conduct::default(), Instant::now());
        let pulse = Arc::<Pulse>::default();
        answer(&share);
        let mut busy = pulse.begin();
        busy.answering();
        assert_eq!(conduct.kind(&share, moved(&pulse, MUCH), begun), Kind::Narrow);
        assert_eq!(conduct.kind(&share, moved(&pulse, 2 * MUCH + 1), begun), Kind::Wide);
        assert!(conduct.is_wide(begun));
        drop(busy);
        assert_eq!(conduct.kind(&share, moved(&pulse, 2 * MUCH + 2), begun), Kind::Wide);
        let later = begun + HOLD;
        assert_eq!(conduct.kind(&share, moved(&pulse, 2 * MUCH + 3), later), Kind::Narrow);
        answer(&share);
        assert_eq!(conduct.kind(&share, moved(&pulse, 2 * MUCH + 4), later), Kind::Narrow);
        // It ends with bytes that no look has seen.
        let mut last = pulse.begin();
        last.answering();
        assert_eq!(conduct.kind(&share, moved(&pulse, 2 * MUCH + 5), later), Kind::Narrow);
        drop(last);
        assert_eq!(conduct.kind(&share, moved(&pulse, 4 * MUCH), later), Kind::Wide);
        let later = later + HOLD;
        // Bytes in vain take it out of the others' way, but not out of the crowd.
        share.standing.was_wide();
        assert_eq!(conduct.kind(&share, moved(&pulse, 4 * MUCH + 1), later), Kind::Wide);
        assert_eq!(conduct.kind(&share, moved(&pulse, 6 * MUCH), later), Kind::Vain);
        assert!(conduct.is_wide(later) && !conduct.is_wide(later + HOLD));
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
        assert_eq!(told.recv().await.as_deref(), Some("slow-lane"), "a new one");
        while told.recv().await.as_deref() == Some("slow-lane") {}
        // From here on it asks for much; others have asked, since it had counted as one of them.
        let many: Vec<_> = (0..100).map(|_| share.begin()).collect();
        while told.recv().await.as_deref() != Some("slow-lane") {}
        stop.store(true, Relaxed);
        while told.recv().await.is_some() {}
        drop(many);
    }

    #[test]
    fn its_threads_are_nicer_and_leave_a_core() {
        let slow = SlowLane::start(1).unwrap();
        let own = rustix::process::getpriority_process(None).unwrap();
        let (sender, niceness) = std::sync::mpsc::channel();
        slow.handle().runtime.spawn(async move {
            let nice = || rustix::process::getpriority_process(None).unwrap();
            sender.send(nice()).unwrap();
            // Its thread is begun by one that gives way.
            sender.send(tokio::task::spawn_blocking(nice).await.unwrap()).unwrap();
        });
        let wanted = (own + NICER_BY).min(19);
        assert_eq!((niceness.recv().unwrap(), niceness.recv().unwrap()), (wanted, wanted));
        let cores = available_parallelism().map_or(1, usize::from);
        assert_eq!(slow.handle().runtime.metrics().num_workers(), (cores - 1).max(1));
        slow.end(Duration::from_secs(5));
    }
}
