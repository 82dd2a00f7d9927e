//! The memory that answers take until their readers have taken them.
//!
//! A reader decides how fast it reads; on one HTTP/2 connection it may leave a hundred answers waiting. Small answers
//! have room of their own, so that heads and proofs are answered while large ones are not. Not here: how long a
//! connection may take (`cairn_listen`).

use std::sync::atomic::{AtomicBool, Ordering};

use cairn_listen::{Budget, Reservation};

use super::problem::Problem;
use crate::limits::SMALL_ANSWER_BYTES;

/// What all answers together may hold in memory.
#[derive(Debug)]
pub(crate) struct Answers {
    small: Budget,
    large: Budget,
    /// One of the two had no room.
    pressed: AtomicBool,
}

impl Answers {
    /// Room for `most` bytes of small answers, and for as many of large ones; the last of each may pass it.
    pub(crate) fn new(most: usize) -> Self {
        Self { small: Budget::new(most), large: Budget::new(most), pressed: AtomicBool::new(false) }
    }

    /// A part for an answer that can still be refused.
    pub(crate) fn part(&self, bytes: usize) -> Result<Reservation, Problem> {
        self.of(bytes).last_part(bytes).ok_or_else(|| self.refused())
    }

    /// Refuses a large answer before it is read, where it would be refused after.
    pub(crate) fn admit_large(&self) -> Result<(), Problem> {
        if self.large.is_full() { Err(self.refused()) } else { Ok(()) }
    }

    fn refused(&self) -> Problem {
        self.pressed.store(true, Ordering::Relaxed);
        Problem::busy("the answers in memory have reached their bound")
    }

    /// A part for an answer that can't.
    pub(crate) fn forced(&self, bytes: usize) -> Reservation {
        self.of(bytes).forced(bytes)
    }

    /// Whether an answer was refused since this was last asked.
    pub(crate) fn take_pressed(&self) -> bool {
        self.pressed.swap(false, Ordering::Relaxed)
    }

    const fn of(&self, bytes: usize) -> &Budget {
        if bytes <= SMALL_ANSWER_BYTES { &self.small } else { &self.large }
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::Kind;
    use super::*;

    #[test]
    fn large_answers_leave_room_for_small_ones_and_what_stands_is_told() {
        let answers = Answers::new(3 * SMALL_ANSWER_BYTES);
        let large = answers.part(2 * SMALL_ANSWER_BYTES).unwrap();
        answers.admit_large().unwrap();
        let last = answers.part(2 * SMALL_ANSWER_BYTES).unwrap();
        assert!(!answers.take_pressed());
        assert_eq!(answers.admit_large().unwrap_err().kind(), Kind::Busy);
        assert!(answers.take_pressed() && !answers.take_pressed());
        assert_eq!(answers.part(2 * SMALL_ANSWER_BYTES).unwrap_err().kind(), Kind::Busy);
        assert!(answers.take_pressed());
        drop((answers.part(SMALL_ANSWER_BYTES).unwrap(), answers.forced(2 * SMALL_ANSWER_BYTES)));
        drop((large, last));
        answers.admit_large().unwrap();
        answers.part(2 * SMALL_ANSWER_BYTES).unwrap();
    }
}
