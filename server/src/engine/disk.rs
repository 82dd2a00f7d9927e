//! The reserve: how much of the disk appends leave free, so that what was promised can still be written down.

use std::path::PathBuf;

/// Asks the file system for its free space, and remembers the reserve.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    path: PathBuf,
    reserve: u64,
}

/// Too little is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BelowReserve {
    pub(super) free: u64,
    pub(super) reserve: u64,
}

impl Disk {
    pub(super) fn new(path: PathBuf, reserve: u64) -> Self {
        Self { path, reserve }
    }

    /// Checks the reserve. A file system that gives no answer is taken to be full.
    pub(super) fn check(&self) -> Result<(), BelowReserve> {
        let free = rustix::fs::statvfs(&self.path).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        if free < self.reserve { Err(BelowReserve { free, reserve: self.reserve }) } else { Ok(()) }
    }
}
