//! How much the states of a stream are that replays keep. What bounds them stands in `replays`.

use cairn_tree::record::replay::{Flag, Ongoing};

/// About how much replays keep.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    /// Bytes of the states that they have come to, and of what was odd.
    pub(super) told: usize,
    /// The same without the states of earlier parts that they stand on, which are counted by themselves: bytes in memory.
    pub(super) own: usize,
    pub(super) flags: usize,
}

impl Size {
    /// Of so many bytes that no earlier part has.
    pub(super) const fn of_bytes(bytes: usize) -> Self {
        Self { told: bytes, own: bytes, flags: 0 }
    }

    /// Of the states at some points, with what was odd before each.
    pub(super) fn of(at: &[(Ongoing, Vec<Flag>)]) -> Self {
        let size = |(ongoing, flags): &(Ongoing, Vec<Flag>)| {
            let odd: usize = flags.iter().map(Flag::bytes).sum();
            Self { told: ongoing.bytes() + odd, own: ongoing.own_bytes() + odd, flags: flags.len() }
        };
        at.iter().map(size).sum()
    }
}

impl core::iter::Sum for Size {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::default(), |all, one| Self {
            told: all.told.saturating_add(one.told),
            own: all.own.saturating_add(one.own),
            flags: all.flags.saturating_add(one.flags),
        })
    }
}
