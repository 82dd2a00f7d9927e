//! How much one connection may write before it lets others go on.
//!
//! tokio counts what a task does, and not how long that takes: its 128 operations may be megabytes of answers for a peer
//! that asked for them all at once, and a thousandth of a second in which nobody else on that thread is served.

use std::task::{Context, Poll};

/// Bytes of one turn: about twenty microseconds of copying.
pub(crate) const TURN: usize = 64 << 10;

/// What a connection has written in its turn.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    done: usize,
}

impl Turn {
    pub(crate) fn count(&mut self, bytes: usize) {
        self.done = self.done.saturating_add(bytes);
    }

    /// Pending once the turn is over; the task has been woken for its next one then, behind all that wait.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.done < TURN {
            return Poll::Ready(());
        }
        self.done = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_turn_ends_and_the_next_one_begins() {
        let (mut turn, cx) = (Turn::default(), Context::from_waker(Waker::noop()));
        for _ in 0..3 {
            turn.count(TURN - 1);
            assert!(turn.poll(&cx).is_ready());
            turn.count(1);
            assert!(turn.poll(&cx).is_pending());
            assert!(turn.poll(&cx).is_ready());
        }
    }
}
