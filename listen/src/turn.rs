//! How much one connection may write before it lets others go on.
//!
//! tokio counts what a task does, and not how long that takes: its 128 operations may be megabytes of answers for a peer
//! that asked for them all at once, and a thousandth of a second in which nobody else on that thread is served. And where
//! hundreds have much to write, a small answer must not wait until each of them had a turn: only few of them are in the
//! queues of the threads at a time, and the others wait for these.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread::available_parallelism;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// Bytes of one turn: about twenty microseconds of copying.
pub(crate) const TURN: usize = 64 << 10;
/// How many may be in their second or a later turn at once, for each core: one that writes, and one that is next.
const PER_CORE: usize = 2;

/// The turns of all connections.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Turns {
    pub(crate) fn of_machine() -> Self {
        Self::new(PER_CORE * available_parallelism().map_or(1, usize::from))
    }

    fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once)))
    }

    /// A connection's own, the first of which it need not wait for.
    pub(crate) fn begin(&self) -> Turn {
        Turn { done: 0, is_over: false, turns: PollSemaphore::new(Arc::clone(&self.0)), permit: None }
    }
}

/// What a connection has written in its turn.
#[derive(Debug)]
pub(crate) struct Turn {
    done: usize,
    /// It has let others go on since.
    is_over: bool,
    turns: PollSemaphore,
    /// Held while it writes in a turn after its first.
    permit: Option<OwnedSemaphorePermit>,
}

impl Turn {
    pub(crate) fn count(&mut self, bytes: usize) {
        self.done = self.done.saturating_add(bytes);
    }

    /// A new request has come in, and nothing is being answered: what is written next is not what was written before.
    pub(crate) fn begin_anew(&mut self) {
        (self.done, self.is_over) = (0, false);
    }

    /// It can't write, or has nothing to write: the turn is another's.
    pub(crate) fn pass(&mut self) {
        self.permit = None;
    }

    /// Pending once the turn is over; the task is woken for its next one, behind all that wait.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.done < TURN {
            return Poll::Ready(());
        }
        if !self.is_over {
            self.is_over = true;
            self.pass();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // Nobody closes it.
        self.permit = ready!(self.turns.poll_acquire(cx));
        (self.done, self.is_over) = (0, false);
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_turn_ends_and_the_next_one_begins() {
        let (mut turn, mut cx) = (Turns::new(1).begin(), Context::from_waker(Waker::noop()));
        for _ in 0..3 {
            turn.count(TURN - 1);
            assert!(turn.poll(&mut cx).is_ready());
            turn.count(1);
            assert!(turn.poll(&mut cx).is_pending());
            assert!(turn.poll(&mut cx).is_ready());
        }
    }

    #[test]
    fn those_with_much_to_write_wait_for_one_another_and_hold_up_nobody_else() {
        let (turns, mut cx) = (Turns::new(1), Context::from_waker(Waker::noop()));
        let [mut first, mut second, mut small] = [turns.begin(), turns.begin(), turns.begin()];
        for turn in [&mut first, &mut second] {
            turn.count(TURN);
            assert!(turn.poll(&mut cx).is_pending());
        }
        assert!(first.poll(&mut cx).is_ready());
        assert!(second.poll(&mut cx).is_pending());
        small.count(TURN - 1);
        assert!(small.poll(&mut cx).is_ready());
        // Its peer takes no more.
        first.pass();
        assert!(second.poll(&mut cx).is_ready());
        second.count(TURN);
        assert!(second.poll(&mut cx).is_pending() && second.poll(&mut cx).is_ready());
        // A connection that ends leaves its turn to others.
        first.count(TURN);
        assert!(first.poll(&mut cx).is_pending() && first.poll(&mut cx).is_pending());
        drop(second);
        assert!(first.poll(&mut cx).is_ready());
    }
}
