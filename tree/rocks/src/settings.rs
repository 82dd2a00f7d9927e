//! How RocksDB is set up: durability first, then bounds on memory and files, then speed.
//!
//! Tried and left out, since they gave nothing: pipelined and unordered writes, BlobDB, bloom filters (all rows but
//! idempotency keys are read where they exist). Recycled write-ahead logs: RocksDB rules them out beside the recovery
//! mode that is used here.

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options, ReadOptions,
    WriteOptions,
};

use crate::family::Family;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// How much memory and how many files the engine may hold. Nothing here changes what is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of table blocks in memory, indexes of tables included.
    pub block_cache: usize,
    /// Bytes of rows in memory that are not in tables yet, over all families. A restart replays about this much.
    pub memtables: usize,
    /// Table files held open.
    pub open_files: u16,
    /// Threads that flush and compact.
    pub background_jobs: u8,
}

/// Memtables of 256 MiB gave nothing over 64, and on a busy machine took 2 s to replay.
impl Default for Settings {
    fn default() -> Self {
        Self { block_cache: 128 * MIB, memtables: 64 * MIB, open_files: 512, background_jobs: 4 }
    }
}

impl Settings {
    /// The options of the whole database.
    pub(crate) fn database(&self) -> Options {
        let mut options = Options::default();
        // A commit that a crash cut short is dropped; any other damage that RocksDB can tell apart is an error.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        #[cfg(feature = "canaries")]
        if crate::canary::Canary::WalByDefault.sings() {
            options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        }
        options.set_paranoid_checks(true);
        // A closed write-ahead log that was synced must be there, whole, at the next start.
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_use_fsync(false);
        options.set_manual_wal_flush(false);
        // All families are flushed at one point of the write-ahead log, so none is ahead of another after recovery, and
        // a family with few rows does not hold old logs back.
        options.set_atomic_flush(true);

        options.set_db_write_buffer_size(self.memtables);
        options.set_max_total_wal_size(2 * self.memtables as u64);
        options.set_max_open_files(i32::from(self.open_files));
        options.set_max_background_jobs(i32::from(self.background_jobs));
        // Opening must not read every table.
        options.set_skip_stats_update_on_db_open(true);
        // Write-back in steady portions: without it a flush hands the disk everything at its end, and commits wait.
        options.set_bytes_per_sync(MIB as u64);

        // RocksDB's own LOG.
        options.set_log_level(LogLevel::Info);
        options.set_max_log_file_size(4 * MIB);
        options.set_keep_log_file_num(4);
        options.set_max_manifest_file_size(16 * MIB);
        options
    }

    /// The options of one family; `cache` is shared by all.
    pub(crate) fn family(&self, family: Family, cache: &Cache) -> Options {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(cache);
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_index_type(BlockBasedIndexType::BinarySearch);
        blocks.set_block_size(match family {
            // Small entries: several bundles share a block, and compress better for it.
            Family::Bundles | Family::Tail => 32 * KIB,
            // A row of disclosures has up to 16 KiB, and is a block of its own then: a record is read without its neighbours.
            Family::Rows | Family::Tiles | Family::Index | Family::Disclosures => 4 * KIB,
        });
        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        // One kind of compression on all levels: a table that overlaps no other then moves down without being rewritten.
        options.set_compression_type(match family {
            Family::Bundles | Family::Tail | Family::Rows | Family::Disclosures => DBCompressionType::Lz4,
            Family::Tiles | Family::Index => DBCompressionType::None,
        });
        // Half of the budget fills while the other half is flushed.
        options.set_write_buffer_size(self.memtables / 2);
        options.set_max_write_buffer_number(4);
        options.set_target_file_size_base(64 * MIB as u64);
        options.set_max_bytes_for_level_base(512 * MIB as u64);
        options
    }
}

/// A commit returns when its bytes are on disk.
pub(crate) fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    #[cfg(feature = "canaries")]
    options.set_sync(!crate::canary::Canary::AckBeforeFsync.sings());
    options
}

/// Every block that comes from disk is checked against its checksum.
pub(crate) fn verified() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(true);
    options
}
