//! The bare baseline of batches: one thread that writes the same bytes, bundled in 256s, to the same RocksDB with the
//! same settings, one synced `WriteBatch` after another. No hash, no tree, no tiles, no signature, no high-water.

use std::path::Path;
use std::time::{Duration, Instant};

use cairn_rocks::{RocksStore, Settings};
use cairn_tree::store::{Batch, Key, Kind, LogId, Store as _};

use crate::payload::{ENCODED, Payload};

/// Entries per bundle.
const BUNDLE: usize = 256;

/// Writes for this long, `per_commit` entries at a time (in whole bundles, at least one); returns entries per second.
///
/// # Errors
/// Whatever RocksDB says.
pub(crate) fn run(folder: &Path, payload: &Payload, per_commit: f64, time: Duration) -> anyhow::Result<f64> {
    let store = RocksStore::create(&folder.join("db"), &Settings::default())?;
    let bundles = ((per_commit / BUNDLE as f64).round() as u64).max(1);
    let (start, mut next) = (Instant::now(), 0);
    while start.elapsed() < time {
        let mut batch = Batch::new();
        for number in next..next + bundles {
            let bytes = payload.batch(number * BUNDLE as u64, BUNDLE);
            debug_assert_eq!(bytes.len(), BUNDLE * ENCODED);
            batch.put(Key::numbered(LogId::new(1), Kind::Bundle, number), bytes.into());
        }
        store.commit(batch)?;
        next += bundles;
    }
    Ok((next * BUNDLE as u64) as f64 / start.elapsed().as_secs_f64())
}
