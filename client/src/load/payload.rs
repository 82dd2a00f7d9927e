//! What the load generator sends: entries that do not compress and never repeat, made before anything is measured.

use bytes::{BufMut as _, Bytes, BytesMut};

/// How many bytes of each entry are made unique when it is sent; shorter entries are unique as far as they go.
const STAMP_BYTES: usize = 16;

/// A pool of random bytes that all connections cut their entries from.
pub(super) struct Pool {
    random: Bytes,
    /// Distinguishes the entries of this run from those of any other.
    run: u64,
}

impl Pool {
    /// Takes random bytes, at least as many as one entry has.
    pub(super) fn new(random: Bytes, run: u64) -> Self {
        Self { random, run }
    }

    /// The entry with this number: `size` bytes.
    pub(super) fn entry(&self, number: u64, size: usize) -> Bytes {
        let mut entry = BytesMut::with_capacity(size);
        self.put_entry(&mut entry, number, size);
        entry.freeze()
    }

    /// A batch of entries from this number on, each after its big-endian length (as C2SP tlog-tiles bundles them).
    pub(super) fn batch(&self, first: u64, count: usize, size: usize) -> Bytes {
        let mut batch = BytesMut::with_capacity(count * (2 + size));
        for number in (first..).take(count) {
            // The command line bounds the size of an entry by its length field.
            batch.put_u16(u16::try_from(size).unwrap_or(u16::MAX));
            self.put_entry(&mut batch, number, size);
        }
        batch.freeze()
    }

    fn put_entry(&self, into: &mut BytesMut, number: u64, size: usize) {
        let mut stamp = [0; STAMP_BYTES];
        stamp[..8].copy_from_slice(&mix(number).to_be_bytes());
        stamp[8..].copy_from_slice(&mix(number ^ self.run).to_be_bytes());
        let stamped = size.min(STAMP_BYTES);
        into.extend_from_slice(stamp.get(..stamped).unwrap_or_default());
        let rest = size - stamped;
        let places = (self.random.len() - rest.min(self.random.len())) as u64 + 1;
        // Entries stand one behind the other in the pool and start anew at its end.
        let from = usize::try_from(number.wrapping_mul(rest as u64) % places).unwrap_or(0);
        into.extend_from_slice(self.random.get(from..from + rest).unwrap_or_default());
    }
}

/// A bijection of the 64-bit numbers that leaves no pattern behind (the finalizer of SplitMix64).
pub(super) const fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn pool(run: u64) -> Pool {
        Pool::new((0..=255).cycle().take(10_000).collect(), run)
    }

    #[test]
    fn entries_have_their_size_and_never_repeat() {
        for size in [8, 16, 17, 300, 10_016] {
            let entries: HashSet<Bytes> =
                (0..2).flat_map(|run| (0..500).map(move |number| pool(run << 40).entry(number, size))).collect();
            // Eight bytes hold the number alone, so two runs send the same ones.
            assert_eq!(entries.len(), if size == 8 { 500 } else { 1_000 }, "{size}");
            assert!(entries.iter().all(|entry| entry.len() == size));
        }
        assert_eq!(pool(0).entry(7, 0).len(), 0);
    }

    #[test]
    fn a_batch_is_its_entries_each_after_its_length() {
        let pool = pool(1);
        let expected: Vec<u8> =
            (5..8).flat_map(|number| [&[1, 44], pool.entry(number, 300).as_ref()].concat()).collect();
        assert_eq!(pool.batch(5, 3, 300), expected);
    }
}
