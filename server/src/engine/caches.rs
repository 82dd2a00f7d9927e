//! How full the caches of a database are. What they hold, and how it gets there, stands in `reader`.

use super::Engine;

/// How full one of the caches is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cached {
    /// The cache's name.
    pub name: &'static str,
    /// Bytes in use.
    pub used: u64,
    /// Bytes that it fills at most.
    pub capacity: u64,
}

impl Engine {
    /// How full the caches of what was read are; those of right edges are small, and left out.
    #[must_use]
    pub fn cached(&self) -> [Cached; 3] {
        self.inner.reader.cached()
    }
}
