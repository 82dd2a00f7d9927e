//! What the files that the process may open are for: tables that RocksDB holds open, connections, and everything else.
//!
//! Not here: raising the limit itself, which the system has to allow.

use std::ops::RangeInclusive;

use cairnd::limits::Limits;
use tracing::warn;

/// Files that are neither connections nor tables: logs, sockets of our own.
const OTHER_FILES: u64 = 512;
/// Of the files that this process may open, so large a part may be tables that RocksDB holds open; at least and at most so
/// many. To open one again for a read costs as much as some hundred reads of it. A table that is open takes some kilobytes.
const TABLE_SHARE: u64 = 8;
const TABLES: RangeInclusive<u64> = 512..=4_096;
/// Where files are few, tables have no larger part of them, so that the rest can be opened at all.
const LARGEST_SHARE: u64 = 2;

/// How the files are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenFiles {
    /// All that the process may open.
    limit: u64,
    /// Tables of RocksDB.
    tables: u64,
    /// Connections; one at least.
    connections: u64,
}

impl OpenFiles {
    /// Shares out so many.
    pub(super) fn of(limit: u64) -> Self {
        let tables = (limit / TABLE_SHARE).clamp(*TABLES.start(), *TABLES.end()).min(limit / LARGEST_SHARE);
        Self { limit, tables, connections: limit.saturating_sub(OTHER_FILES + tables).max(1) }
    }

    /// How many are needed for so many connections: the smallest number that leaves them.
    fn needed(connections: u64) -> u64 {
        let beside_tables = connections.saturating_add(OTHER_FILES);
        // So many that they leave enough once the tables' share of them is taken, rounded down.
        let shared = beside_tables.saturating_sub(1).saturating_mul(TABLE_SHARE) / (TABLE_SHARE - 1) + 1;
        let most = beside_tables.saturating_add(*TABLES.end());
        beside_tables.saturating_add(*TABLES.start()).max(shared.min(most))
    }

    /// The tables that may be open.
    pub(super) const fn tables(self) -> u64 {
        self.tables
    }

    /// Lowers the bound on connections to what is left for them, and says so where that is less than was configured.
    pub(super) fn cap(self, limits: &mut Limits) {
        let configured = limits.connections() as u64;
        limits.cap_connections(self.connections);
        if self.connections < configured {
            warn!(
                open_files = self.limit,
                connections = self.connections,
                configured,
                needed = Self::needed(configured),
                "the limit of open files leaves fewer connections than limits.connections says, and others are answered 503: \
                 raise the hard limit (LimitNOFILE of the service, ulimit -n) to the files that are needed"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_their_share_and_never_more_than_half() {
        let shares = |limit| {
            let files = OpenFiles::of(limit);
            (files.tables(), files.connections)
        };
        assert_eq!(shares(0), (0, 1));
        assert_eq!(shares(256), (128, 1));
        assert_eq!(shares(511), (255, 1));
        assert_eq!(shares(1_024), (512, 1));
        assert_eq!(shares(1_100), (512, 76));
        assert_eq!(shares(8_192), (1_024, 6_656));
        assert_eq!(shares(1 << 20), (4_096, (1 << 20) - 4_608));
        assert_eq!(shares(u64::MAX), (4_096, u64::MAX - 4_608));
    }

    #[test]
    fn what_is_needed_is_enough_and_one_less_is_not() {
        for connections in [2, 76, 3_000, 3_072, 3_073, 8_192, 28_159, 28_160, 28_161, 100_000, 1 << 20] {
            let needed = OpenFiles::needed(connections);
            assert!(OpenFiles::of(needed).connections >= connections, "{connections}: {needed}");
            assert!(OpenFiles::of(needed - 1).connections < connections, "{connections}: {needed}");
        }
    }

    #[test]
    fn connections_are_capped_to_what_is_left_and_never_raised() {
        let capped = |limit| {
            let mut limits = Limits::default();
            OpenFiles::of(limit).cap(&mut limits);
            limits.connections()
        };
        assert_eq!((capped(256), capped(1_100)), (1, 76));
        assert_eq!(capped(1 << 20), Limits::default().connections());
    }
}
