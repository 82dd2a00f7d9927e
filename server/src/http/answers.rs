//! The memory that answers take until their readers have taken them.
//!
//! A reader decides how fast it reads; on one HTTP/2 connection it may leave a hundred answers waiting. Small answers
//! have room of their own, so that heads and proofs are answered while large ones are not. Pieces of an answer that goes
//! out as it is made count too, and the states that a replay keeps from page to page. Not here: how long a connection may
//! take (`cairn_listen`), and readers who follow, who have room of their own (`followers`).

use std::sync::atomic::{AtomicBool, Ordering};

use std::sync::Arc;

use bytes::Bytes;
use cairn_listen::{Budget, Reservation};

use super::problem::Problem;
use crate::limits::{REPLAY_PART_BYTES, SMALL_ANSWER_BYTES};

/// What all answers together may hold in memory.
#[derive(Debug)]
pub(crate) struct Answers {
    small: Budget,
    large: Budget,
    /// What histories that are at hand may hold of the large ones.
    histories: Budget,
    /// How much each of the two is.
    most: usize,
    /// One of the two had no room.
    pressed: AtomicBool,
}

/// A piece of an answer, and its part.
struct Piece {
    bytes: Vec<u8>,
    _part: Reservation,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What is kept while an answer is made, and grows: its parts.
#[derive(Debug)]
pub(crate) struct Growing {
    answers: Arc<Answers>,
    parts: Vec<Reservation>,
    bytes: usize,
}

impl Growing {
    /// Holds nothing yet.
    pub(crate) const fn of(answers: Arc<Answers>) -> Self {
        Self { answers, parts: Vec::new(), bytes: 0 }
    }

    /// How many bytes it holds.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What all large answers together may hold: who needs more by himself never gets it.
    pub(crate) fn most(&self) -> usize {
        self.answers.most
    }

    /// Grows to so many bytes, and does not shrink.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), Problem> {
        let more = bytes.saturating_sub(self.bytes).next_multiple_of(REPLAY_PART_BYTES);
        if more > 0 {
            self.parts.push(self.answers.part(more)?);
            self.bytes = self.bytes.saturating_add(more);
        }
        Ok(())
    }

    /// Keeps as much as what is left takes, room or not: that is in memory.
    pub(crate) fn settle(&mut self, bytes: usize) {
        self.bytes = bytes.next_multiple_of(REPLAY_PART_BYTES);
        self.parts = vec![self.answers.forced(self.bytes)];
    }
}

/// What a history takes that is at hand: its parts, each both of what histories may take and of what answers may.
#[derive(Debug)]
pub(crate) struct Held {
    answers: Arc<Answers>,
    parts: Vec<(Reservation, Reservation)>,
    bytes: usize,
}

impl Held {
    /// Holds nothing yet.
    pub(crate) const fn of(answers: Arc<Answers>) -> Self {
        Self { answers, parts: Vec::new(), bytes: 0 }
    }

    /// What all histories together may hold: half of what answers may.
    pub(crate) fn most(&self) -> usize {
        self.answers.most / 2
    }

    /// Grows to so many bytes, and does not shrink.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), Problem> {
        let more = bytes.saturating_sub(self.bytes).next_multiple_of(REPLAY_PART_BYTES);
        if more > 0 {
            let own = self.answers.histories.last_part(more).ok_or_else(|| {
                self.answers.pressed.store(true, Ordering::Relaxed);
                Problem::busy(
                    "replays by the producers' times hold as much as they may together: half of what answers may",
                )
            })?;
            self.parts.push((own, self.answers.part(more)?));
            self.bytes = self.bytes.saturating_add(more);
        }
        Ok(())
    }
}

impl Answers {
    /// Room for `most` bytes of small answers, and for as many of large ones; the last of each may pass it.
    pub(crate) fn new(most: usize) -> Self {
        let [small, large, histories] = [most, most, most / 2].map(Budget::new);
        Self { small, large, histories, most, pressed: AtomicBool::new(false) }
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

    /// A piece of an answer that has begun and can't be refused any more; it counts until the last of it is written.
    pub(crate) fn piece(&self, bytes: Vec<u8>) -> Bytes {
        let part = self.forced(bytes.capacity());
        Bytes::from_owner(Piece { bytes, _part: part })
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

    #[test]
    fn histories_leave_half_of_the_room_to_others() {
        let answers = Arc::new(Answers::new(4 * REPLAY_PART_BYTES));
        let mut one = Held::of(Arc::clone(&answers));
        one.hold(1).unwrap();
        let mut other = Held::of(Arc::clone(&answers));
        other.hold(REPLAY_PART_BYTES).unwrap();
        let refused = one.hold(2 * REPLAY_PART_BYTES).unwrap_err();
        assert!(refused.kind() == Kind::Busy && refused.detail().starts_with("replays by the producers' times"));
        assert!(answers.take_pressed());
        answers.part(2 * REPLAY_PART_BYTES).unwrap();
        drop(other);
        one.hold(2 * REPLAY_PART_BYTES).unwrap();
        // It counts as an answer, too.
        drop(answers.part(2 * REPLAY_PART_BYTES).unwrap());
        let others = answers.part(2 * REPLAY_PART_BYTES);
        assert_eq!(answers.part(SMALL_ANSWER_BYTES + 1).unwrap_err().kind(), Kind::Busy);
        drop((one, others));
        answers.admit_large().unwrap();
        let mut alone = Held::of(Arc::clone(&answers));
        alone.hold(alone.most()).unwrap();
    }

    #[test]
    fn pieces_count_until_they_are_written_and_what_grows_until_it_is_told() {
        let answers = Arc::new(Answers::new(2 * REPLAY_PART_BYTES));
        let piece = answers.piece(vec![0; 2 * REPLAY_PART_BYTES]);
        let queued = piece.slice(1..);
        drop(piece);
        assert_eq!(answers.admit_large().unwrap_err().kind(), Kind::Busy, "some of it is not written");
        let mut growing = Growing::of(Arc::clone(&answers));
        growing.hold(0).unwrap();
        assert_eq!(growing.hold(1).unwrap_err().kind(), Kind::Busy);
        drop(queued);
        growing.hold(1).unwrap();
        growing.hold(REPLAY_PART_BYTES).unwrap();
        assert_eq!(growing.bytes, REPLAY_PART_BYTES, "what it has is enough");
        growing.hold(REPLAY_PART_BYTES + 1).unwrap();
        assert_eq!(answers.admit_large().unwrap_err().kind(), Kind::Busy);
        assert_eq!(growing.hold(3 * REPLAY_PART_BYTES).unwrap_err().kind(), Kind::Busy);
        growing.settle(1);
        assert_eq!(growing.bytes(), REPLAY_PART_BYTES);
        growing.hold(2 * REPLAY_PART_BYTES).unwrap();
        assert_eq!(answers.admit_large().unwrap_err().kind(), Kind::Busy);
        drop(growing);
        answers.admit_large().unwrap();
    }
}
