//! Builds that are broken on purpose, so that it shows which fault finds each: a harness that misses them proves nothing.
//!
//! The environment chooses one, in a build with the feature `canaries`. Such a build needs debug assertions, which a release
//! build does not have: what is broken can't be installed by a slip.

#[cfg(not(debug_assertions))]
compile_error!("the feature `canaries` breaks the log on purpose; build it with `make canaries` only");

/// The environment variable that chooses.
const VARIABLE: &str = "CAIRND_CANARY";

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canary {
    /// Acknowledges what is written and not synced.
    AckBeforeFsync,
    /// Takes the database as it is for all that was ever released.
    NoHighWater,
    /// Signs without having read back what it signs.
    SignBeforeCheck,
    /// Recovers the write-ahead log as RocksDB does by default, and has no high-water.
    WalByDefault,
    /// Acknowledges records whose disclosures are written with the commit after.
    LateDisclosures,
    /// Looks for the head of a stream without what the same request has just put there.
    NoOverlay,
    /// Serves checkpoints that it has not stored.
    UnstoredCheckpoint,
}

impl Canary {
    /// Its name in the environment.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AckBeforeFsync => "ack-before-fsync",
            Self::NoHighWater => "no-high-water",
            Self::SignBeforeCheck => "sign-before-check",
            Self::WalByDefault => "wal-by-default",
            Self::LateDisclosures => "late-disclosures",
            Self::NoOverlay => "no-overlay",
            Self::UnstoredCheckpoint => "unstored-checkpoint",
        }
    }

    /// Whether it is the one that was chosen.
    #[must_use]
    pub fn sings(self) -> bool {
        std::env::var_os(VARIABLE).is_some_and(|chosen| chosen == self.name())
    }
}
