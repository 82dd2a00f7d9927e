//! What is appended: entries of 300 bytes that do not compress and never repeat. The bytes are random ones made
//! beforehand; only a stamp of 16 bytes is made anew for each entry.

use bytes::Bytes;

/// The bytes of one entry.
pub(crate) const ENTRY: usize = 300;
/// The bytes of one entry in C2SP bundle encoding: its length, then itself.
pub(crate) const ENCODED: usize = ENTRY + 2;
/// The bytes of an entry that are its own.
const STAMP: usize = 16;
/// Random bytes that entries are cut from: far more than compression looks back.
const POOL: usize = 16 << 20;

/// Makes entries by their number.
pub(crate) struct Payload {
    pool: Vec<u8>,
    run: u64,
}

impl Payload {
    /// Entries that those of another `run` do not equal.
    #[must_use]
    pub(crate) fn new(run: u64) -> Self {
        let words = (0..POOL as u64 / 8).flat_map(|word| mix(word ^ mix(run)).to_le_bytes());
        Self { pool: words.collect(), run }
    }

    /// The entries from number `first` on, each after its length.
    #[must_use]
    pub(crate) fn batch(&self, first: u64, count: usize) -> Bytes {
        let mut batch = Vec::with_capacity(count * ENCODED);
        for number in (first..).take(count) {
            batch.extend_from_slice(&(ENTRY as u16).to_be_bytes());
            batch.extend_from_slice(&mix(number).to_le_bytes());
            batch.extend_from_slice(&mix(number ^ mix(self.run)).to_le_bytes());
            // Entries stand one behind the other in the pool and start anew at its end.
            let from = (number as usize).wrapping_mul(ENTRY) % (POOL - ENTRY);
            batch.extend_from_slice(self.pool.get(from..from + ENTRY - STAMP).unwrap_or_default());
        }
        batch.into()
    }
}

/// A bijection of the 64-bit numbers that leaves no pattern behind (the finalizer of SplitMix64).
pub(crate) const fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn entries_never_repeat_and_a_batch_is_cut_at_its_lengths() {
        let mut seen = HashSet::new();
        for run in 0..2 {
            let payload = Payload::new(run);
            for first in [0, 1_000, POOL as u64] {
                for entry in payload.batch(first, 1_000).chunks(ENCODED) {
                    assert_eq!(entry[..2], [1, 44]);
                    assert_eq!(entry.len(), ENCODED);
                    assert!(seen.insert(entry.to_vec()));
                }
            }
        }
    }
}
