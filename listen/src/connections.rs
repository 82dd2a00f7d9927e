//! All open connections: a place for each to be told to end, and the one task that tells them.
//!
//! One timer for the whole server; a connection costs a request no timer and no shared lock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::bounds::Bounds;
use crate::pulse::{Pulse, TICKS_PER_SECOND, Verdict, Watchdog};
use crate::service::Service;

/// How often the watchdogs look.
const TICK: Duration = Duration::from_millis(1_000 / TICKS_PER_SECOND);

/// How many connections give way at once: few enough that closing them, and opening as many, holds up nobody's request.
const ROOM: usize = 16;

const LEAVE: u8 = 0;
const CLOSE: u8 = 1;
const CUT: u8 = 2;

/// The open connections.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// The oldest first.
    lines: BTreeMap<u64, (Arc<Line>, Watchdog)>,
}

/// One connection's counters, and the order that it was last given.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) pulse: Arc<Pulse>,
    order: AtomicU8,
    told: Notify,
}

/// A connection's place among the open ones; it leaves when dropped.
#[derive(Debug)]
pub(super) struct Membership {
    connections: Arc<Connections>,
    number: u64,
    pub(super) line: Arc<Line>,
}

impl Connections {
    pub(super) fn join(self: &Arc<Self>, bounds: &Bounds) -> Membership {
        let line = Arc::new(Line::default());
        let mut open = self.lock();
        let number = open.next;
        open.next = open.next.wrapping_add(1);
        open.lines.insert(number, (Arc::clone(&line), Watchdog::new(bounds)));
        Membership { connections: Arc::clone(self), number, line }
    }

    pub(super) fn count(&self) -> usize {
        self.lock().lines.len()
    }

    /// Looks after all connections until it is dropped; tells them to close once `stop` says so.
    pub(super) async fn watch(&self, service: &impl Service, mut stop: watch::Receiver<bool>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stopped(&mut stop), if !stopping => stopping = true,
            }
            let pressed = service.take_pressed();
            let mut open = self.lock();
            for (line, watchdog) in open.lines.values_mut() {
                let verdict = watchdog.step(&line.pulse, pressed);
                let stop_now = stopping && verdict == Verdict::Leave;
                line.tell(if stop_now { Verdict::Close } else { verdict });
            }
        }
    }

    /// Lets the oldest of those go that ask for nothing, so that others find a place; tells whether there were any.
    pub(super) fn make_room(&self) -> bool {
        let open = self.lock();
        let silent = open.lines.values().filter_map(|(line, watchdog)| match watchdog.when_crowded(&line.pulse) {
            Verdict::Leave => None,
            verdict => Some((Arc::clone(line), verdict)),
        });
        let oldest: Vec<_> = silent.take(ROOM).collect();
        drop(open);
        oldest.iter().for_each(|(line, verdict)| line.tell(*verdict));
        !oldest.is_empty()
    }

    // A panic while the lock is held leaves the map whole.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn tell(&self, verdict: Verdict) {
        let order = match verdict {
            Verdict::Leave => return,
            Verdict::Close => CLOSE,
            Verdict::Cut => CUT,
        };
        // Orders only become stricter, so that a cut is not taken back by a later stop.
        if self.order.fetch_max(order, Ordering::Relaxed) < order {
            self.told.notify_one();
        }
    }

    /// Waits for an order that is stricter than `last`.
    pub(super) async fn told(&self, last: Verdict) -> Verdict {
        loop {
            let order = match self.order.load(Ordering::Relaxed) {
                LEAVE => Verdict::Leave,
                CLOSE => Verdict::Close,
                _ => Verdict::Cut,
            };
            if order != last {
                return order;
            }
            self.told.notified().await;
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.connections.lock().lines.remove(&self.number);
    }
}

/// Ends once the server is to stop; at once if whoever would say so is gone.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use http::{Request, Response};
    use hyper::body::Incoming;

    use super::*;
    use crate::payload::{Answer, Payload};

    struct Nothing;

    impl Service for Nothing {
        async fn answer(self: Arc<Self>, _: SocketAddr, _: Request<Incoming>) -> Answer {
            Response::new(Payload::empty())
        }

        fn refusal(&self, _: &Request<Incoming>) -> Answer {
            Response::new(Payload::empty())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_cut_and_a_stop_closes_the_rest() {
        let connections = Arc::new(Connections::default());
        let (stop, stopping) = watch::channel(false);
        let watched = Arc::clone(&connections);
        let watch = tokio::spawn(async move { watched.watch(&Nothing, stopping).await });
        let silent = connections.join(&Bounds::default());
        assert_eq!(silent.line.told(Verdict::Leave).await, Verdict::Cut);
        let asked = connections.join(&Bounds::default());
        let busy = asked.line.pulse.begin();
        stop.send(true).unwrap();
        assert_eq!(asked.line.told(Verdict::Leave).await, Verdict::Close);
        drop((silent, asked, busy));
        assert_eq!(connections.count(), 0);
        watch.abort();
    }
}
