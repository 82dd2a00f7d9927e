//! What a connection does, as far as it depends on that in which lane it is driven.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use crate::pulse::Pulse;
use crate::share::Share;

/// Bytes of one request and its answer from which on they are much: more than appends of an entry have, and proofs.
const MUCH: u64 = 96 << 10;
/// For how long a connection counts as what it was, once it is nothing of the kind any more: so long that those who ask for
/// much from time to time are rarely where they are not expected.
const HOLD: Duration = Duration::from_secs(10);

/// What a connection has done, as far as its lane depends on it.
#[derive(Debug, Default)]
pub(crate) struct Conduct {
    /// Requests that had been answered when it was last looked at.
    answered: u64,
    /// Whether there was one since it was looked at before.
    pub(crate) is_answered: bool,
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
pub(crate) enum Kind {
    /// It asks for one small thing after the other.
    Narrow,
    /// It asks for much: at once, or in large pieces.
    Wide,
    /// It keeps us at work, and asks for nothing.
    Vain,
}

impl Conduct {
    pub(crate) fn kind(&mut self, share: &Share, pulse: &Pulse, now: Instant) -> Kind {
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
    pub(crate) fn is_wide(&self, now: Instant) -> bool {
        holds(self.wide_until, now)
    }
}

fn holds(until: Option<Instant>, now: Instant) -> bool {
    until.is_some_and(|until| now < until)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
}
