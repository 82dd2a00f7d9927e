//! Time and randomness, handed in: the machine's, or a test's.

use std::time::{SystemTime, UNIX_EPOCH};

use cairn_tree::record::time::Time;

/// There are no random bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes: {0}")]
pub struct NoRandomness(pub String);

/// Tells the time, and draws random bytes.
pub trait Surroundings: Send + Sync {
    /// The time by this machine's clock.
    fn now(&self) -> Time;

    /// Fills the bytes from a cryptographically secure source: ids, idempotency keys and salts are made of them.
    ///
    /// # Errors
    /// [`NoRandomness`].
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness>;
}

/// The machine's clock and the operating system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine;

impl Surroundings for Machine {
    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX)).unwrap_or(Time::MAX)
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        getrandom::fill(bytes).map_err(|error| NoRandomness(error.to_string()))
    }
}

/// Random bytes of a fixed length.
pub(super) fn draw<const N: usize>(surroundings: &dyn Surroundings) -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    surroundings.fill(&mut bytes)?;
    Ok(bytes)
}
