//! Where ids and salts come from: a source of random bytes, handed in, and what was drawn from it for one record.

use cairn_tree::record::disclosure::Salt;
use zeroize::Zeroizing;

/// Random bytes that nobody can foresee.
pub trait Random: Send + Sync {
    /// Fills the buffer.
    ///
    /// # Errors
    /// [`NoRandomness`].
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness>;
}

/// The source gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no randomness: {0}")]
pub struct NoRandomness(pub String);

/// The operating system's.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        getrandom::fill(bytes).map_err(|error| NoRandomness(error.to_string()))
    }
}

/// Salts that were drawn for one record. Each is given once.
pub(super) struct Salts {
    drawn: Zeroizing<Vec<u8>>,
    next: usize,
    short: bool,
}

impl Salts {
    /// Draws so many.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub(super) fn draw(random: &dyn Random, count: usize) -> Result<Self, NoRandomness> {
        let mut drawn = Zeroizing::new(vec![0; count * Salt::LEN]);
        random.fill(&mut drawn)?;
        Ok(Self { drawn, next: 0, short: false })
    }

    /// The next one. What was made with salts must not be used if [`Salts::enough`] says so.
    pub(super) fn next(&mut self) -> Salt {
        let salt = self.drawn.get(self.next..).and_then(|rest| rest.first_chunk::<{ Salt::LEN }>());
        self.next += Salt::LEN;
        self.short |= salt.is_none();
        Salt::new(salt.copied().unwrap_or_default())
    }

    /// Checks that no more were asked for than were drawn.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub(super) fn enough(&self) -> Result<(), NoRandomness> {
        if self.short { Err(NoRandomness("fewer salts were drawn than are needed".to_owned())) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;

    impl Random for Counting {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
            (0..).zip(bytes).for_each(|(number, byte)| *byte = number);
            Ok(())
        }
    }

    #[test]
    fn no_salt_is_given_twice_and_running_short_is_noticed() {
        let mut salts = Salts::draw(&Counting, 2).unwrap();
        assert!(salts.next() == Salt::new(std::array::from_fn(|at| at as u8)));
        assert!(salts.next() == Salt::new(std::array::from_fn(|at| at as u8 + 16)));
        assert_eq!(salts.enough(), Ok(()));
        salts.next();
        assert!(salts.enough().is_err());
    }
}
