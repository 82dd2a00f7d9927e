//! What became of a digest: its content is there, or kept from the reader, or erased. There is no fourth.

use crate::size::LeafIndex;

/// Something whose digest stands in a leaf or in another disclosure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown<T> {
    /// Its disclosure was there, and has the digest.
    Disclosed(T),
    /// Whoever answered says that the reader may not see it.
    Withheld,
    /// It is gone; the redaction record at this index names the digest.
    Erased(LeafIndex),
}

impl<T> Shown<T> {
    /// What was disclosed.
    #[must_use]
    pub const fn disclosed(&self) -> Option<&T> {
        match self {
            Self::Disclosed(value) => Some(value),
            Self::Withheld | Self::Erased(_) => None,
        }
    }

    /// The same with another value.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Shown<U> {
        match self {
            Self::Disclosed(value) => Shown::Disclosed(map(value)),
            Self::Withheld => Shown::Withheld,
            Self::Erased(index) => Shown::Erased(index),
        }
    }

    /// The same by reference.
    #[must_use]
    pub const fn as_ref(&self) -> Shown<&T> {
        match self {
            Self::Disclosed(value) => Shown::Disclosed(value),
            Self::Withheld => Shown::Withheld,
            Self::Erased(index) => Shown::Erased(*index),
        }
    }
}
