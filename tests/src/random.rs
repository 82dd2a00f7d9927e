//! Random choices that can be repeated: a seed, printed, and what follows from it.

use std::time::{SystemTime, UNIX_EPOCH};

/// The environment variable that sets the seed.
const SEED: &str = "CAIRN_SEED";

/// A stream of choices (SplitMix64; nothing here is secret).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The choices of the seed in `CAIRN_SEED`, else of one that the clock gives; it is printed, for the next run.
    #[must_use]
    pub fn for_test(name: &str) -> Self {
        let given = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            since.as_nanos() as u64 % 1_000_000_007
        });
        println!("{name}: {SEED}={seed}");
        Self(seed)
    }

    /// The choices of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Choices of its own for a part of a test, so that the others' pace does not change them.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.number())
    }

    /// The choices that belong to a name, whatever was chosen for others, or will be.
    #[must_use]
    pub fn named(&self, name: &[u8]) -> Self {
        let mut mixed = self.clone().number();
        for byte in name {
            mixed = Self(mixed ^ u64::from(*byte)).number();
        }
        Self(mixed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }

    /// One of these.
    ///
    /// # Panics
    /// If there are none.
    #[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        *choices.get(self.below(choices.len())).expect("a choice")
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}
