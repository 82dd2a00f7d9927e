//! What the engine says about itself, for metrics.

use rocksdb::properties;

use crate::family::Family;
use crate::store::RocksStore;

/// The engine's state at one moment. What RocksDB could not tell is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Each column family.
    pub families: Vec<FamilyStats>,
    /// Bytes of the block cache in use.
    pub block_cache_bytes: u64,
    /// Whether commits wait, because flushes or compactions cannot keep up.
    pub writes_stopped: bool,
    /// The bytes per second to which commits are slowed down; 0 if they are not.
    pub delayed_write_rate: u64,
    /// How often a flush or compaction has failed.
    pub background_errors: u64,
}

/// The state of one column family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FamilyStats {
    /// Its name.
    pub name: &'static str,
    /// Bytes of its table files, those included that are not needed any more but not yet deleted.
    pub table_bytes: u64,
    /// Bytes of its rows that are not in tables yet.
    pub memtable_bytes: u64,
    /// Bytes that compaction still has to rewrite, as estimated.
    pub pending_compaction_bytes: u64,
    /// Rows, as estimated.
    pub rows: u64,
}

impl RocksStore {
    /// The engine's state now. Costs microseconds and no I/O.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let whole = |name| self.property(Family::Rows, name);
        Stats {
            families: Family::ALL.map(|family| self.family_stats(family)).into(),
            block_cache_bytes: whole(properties::BLOCK_CACHE_USAGE),
            writes_stopped: whole(properties::IS_WRITE_STOPPED) != 0,
            delayed_write_rate: whole(properties::ACTUAL_DELAYED_WRITE_RATE),
            background_errors: whole(properties::BACKGROUND_ERRORS),
        }
    }

    fn family_stats(&self, family: Family) -> FamilyStats {
        FamilyStats {
            name: family.name(),
            table_bytes: self.property(family, properties::TOTAL_SST_FILES_SIZE),
            memtable_bytes: self.property(family, properties::SIZE_ALL_MEM_TABLES),
            pending_compaction_bytes: self.property(family, properties::ESTIMATE_PENDING_COMPACTION_BYTES),
            rows: self.property(family, properties::ESTIMATE_NUM_KEYS),
        }
    }
}
