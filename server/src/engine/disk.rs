//! The reserve: how much of the disk appends leave free, so that what was promised can still be written down.

use std::path::PathBuf;

/// Asks the file systems for their free space, and remembers the reserve.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    paths: Vec<PathBuf>,
    reserve: u64,
}

/// Too little is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BelowReserve {
    pub(super) free: u64,
    pub(super) reserve: u64,
}

impl Disk {
    /// Watches where the database is, and where its high-water file is: that may be another disk.
    pub(super) fn new(paths: Vec<PathBuf>, reserve: u64) -> Self {
        Self { paths, reserve }
    }

    /// Checks the reserve on every disk. A file system that gives no answer is taken to be full.
    pub(super) fn check(&self) -> Result<(), BelowReserve> {
        self.check_for(0)
    }

    /// The same, before so many bytes are written to every disk.
    pub(super) fn check_for(&self, bytes: u64) -> Result<(), BelowReserve> {
        let free =
            |path: &PathBuf| rustix::fs::statvfs(path).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        let free = self.paths.iter().map(free).min().unwrap_or(0);
        let holds = free >= self.reserve.saturating_add(bytes);
        if holds { Ok(()) } else { Err(BelowReserve { free, reserve: self.reserve }) }
    }
}
