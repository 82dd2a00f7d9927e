//! The identity of a database: what its rows, its high-water file and its logs' binding records must agree on.

use core::fmt;

/// Sixteen random bytes, drawn once when a database is created.
///
/// It tells a database from every other, a restored or copied one included in so far as the copy claims to be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseId([u8; DatabaseId::LEN]);

impl DatabaseId {
    /// The length of an id in bytes.
    pub const LEN: usize = 16;

    /// Wraps bytes that the caller drew at random, or read from a row or file.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// Lower-case hexadecimal, for people and messages.
impl fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
