//! Filters: which runs cannot have a print, without reading them. In memory only, made of the run, and bounded together:
//! a run without a filter is read.
//!
//! A filter is lines of 512 bits; a print chooses one line and six bits in it, so that asking costs one line of cache.
//! Twelve bits a print let about one in 200 absent prints through.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::print::Print;

const BITS_PER_PRINT: u64 = 12;
const LINE_BITS: u64 = 512;
const LINE_BYTES: usize = (LINE_BITS / 8) as usize;
/// Bits that a print sets.
const PROBES: u32 = 6;

#[derive(Clone, Default)]
#[repr(align(64))]
struct Line([u64; 8]);

/// The memory that all filters share.
#[derive(Debug)]
pub(super) struct FilterRoom {
    most: usize,
    left: AtomicUsize,
}

impl FilterRoom {
    /// As many bytes.
    pub(super) const fn new(bytes: usize) -> Self {
        Self { most: bytes, left: AtomicUsize::new(bytes) }
    }

    /// How much of it is in use.
    pub(super) fn taken(&self) -> usize {
        self.most.saturating_sub(self.left.load(Ordering::Relaxed))
    }

    /// Takes at most half of what is left: what few large runs ask for must not keep the many small ones out, of which
    /// each look-up asks as many questions.
    fn take(self: &Arc<Self>, bytes: usize) -> Option<Taken> {
        let take = |left: usize| left.checked_sub(bytes).filter(|_| bytes <= left / 2);
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.is_ok().then(|| Taken { room: Arc::clone(self), bytes })
    }
}

/// Bytes that go back when they are let go of.
struct Taken {
    room: Arc<FilterRoom>,
    bytes: usize,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// The filter of one run.
pub(super) struct Filter {
    lines: Vec<Line>,
    _taken: Taken,
}

impl Filter {
    /// An empty filter for as many prints; none if there is no room for it.
    pub(super) fn new(room: &Arc<FilterRoom>, prints: u64) -> Option<Self> {
        let lines = usize::try_from(prints.checked_mul(BITS_PER_PRINT)?.div_ceil(LINE_BITS).max(1)).ok()?;
        let taken = room.take(lines.checked_mul(LINE_BYTES)?)?;
        Some(Self { lines: vec![Line::default(); lines], _taken: taken })
    }

    /// The memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.lines.len() * LINE_BYTES
    }

    pub(super) fn add(&mut self, print: Print) {
        let line = self.line_of(print);
        if let Some(Line(words)) = self.lines.get_mut(line) {
            for (word, bits) in words.iter_mut().zip(mask(print)) {
                *word |= bits;
            }
        }
    }

    /// False only if the run does not have it.
    pub(super) fn may_have(&self, print: Print) -> bool {
        let has = |Line(words): &Line| words.iter().zip(mask(print)).all(|(word, bits)| word & bits == bits);
        self.lines.get(self.line_of(print)).is_none_or(has)
    }

    fn line_of(&self, print: Print) -> usize {
        let low = print.get() as u64;
        ((u128::from(low) * self.lines.len() as u128) >> u64::BITS) as usize
    }
}

/// The bits of a print in its line. They come from other parts of the print than the line does.
fn mask(print: Print) -> [u64; 8] {
    let mut words = [0; 8];
    let mut rest = (print.get() >> u64::BITS) as u64;
    for _ in 0..PROBES {
        let bit = rest % LINE_BITS;
        if let Some(word) = words.get_mut((bit / 64) as usize) {
            *word |= 1 << (bit % 64);
        }
        rest /= LINE_BITS;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::print::{Facet, PrintSecret};
    use super::*;

    fn prints(from: u64, count: u64) -> impl Iterator<Item = Print> {
        let secret = PrintSecret::new([3; 16]);
        (from..from + count).map(move |number| Print::new(&secret, Facet::RecordId, &[&number.to_string()]))
    }

    #[test]
    fn what_was_added_is_there_and_of_the_rest_one_in_a_hundred_at_most() {
        let room = Arc::new(FilterRoom::new(1 << 20));
        let mut filter = Filter::new(&room, 100_000).unwrap();
        prints(0, 100_000).for_each(|print| filter.add(print));
        assert!(prints(0, 100_000).all(|print| filter.may_have(print)));
        let wrong = prints(100_000, 100_000).filter(|print| filter.may_have(*print)).count();
        assert!((50..1_000).contains(&wrong), "{wrong}");
    }

    #[test]
    fn room_is_shared_and_given_back() {
        let room = Arc::new(FilterRoom::new(1_200));
        assert!(Filter::new(&room, 500).is_none());
        assert!(Filter::new(&room, u64::MAX).is_none());
        let filter = Filter::new(&room, 300).unwrap();
        assert_eq!(room.left.load(Ordering::Relaxed), 1_200 - 512);
        assert!(Filter::new(&room, 300).is_none());
        drop(filter);
        assert_eq!(room.left.load(Ordering::Relaxed), 1_200);
    }
}
