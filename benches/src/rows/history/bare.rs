//! The least that a history can cost: its rows read from RocksDB, and all that a verifier has to hash of leaves and
//! disclosures hashed; on all cores, and nothing else. No proofs, no chain, no JSON, no HTTP.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;
use std::thread::{available_parallelism, scope};
use std::time::{Duration, Instant};

use cairn_rocks::{RocksStore, Settings};
use cairn_tree::hash::Hash;
use cairn_tree::record::digest::Digest;
use cairn_tree::store::{Key, KeyRange, Kind, LogId, Store as _};
use cairn_tree::wire::v1::RecordBody;

/// The only log.
const LOG: LogId = LogId::new(1);
/// How often all is read; the first time is cold.
const TURNS: usize = 50;
/// Rows that one iterator looks for.
const AHEAD: usize = 16;

/// Reads and hashes these records again and again; the times, the first apart.
///
/// # Errors
/// Whatever the store says.
pub(super) fn read_and_hash(data: &Path, records: &[RecordBody]) -> anyhow::Result<(Duration, Vec<Duration>)> {
    // As many open tables as the server has.
    let settings = Settings { open_files: 4_096, ..Settings::default() };
    let store = RocksStore::open(&data.join("db"), &settings)?;
    let cores = available_parallelism().map_or(1, usize::from);
    let part = |records: &[RecordBody]| -> anyhow::Result<()> {
        for records in records.chunks(AHEAD) {
            for kind in [Kind::BundlePart, Kind::Disclosures] {
                let key = |record: &RecordBody| Key::numbered(LOG, kind, record.integrity.index.get());
                let ranges: Vec<_> = records.iter().map(|record| KeyRange::from_key(key(record))).collect();
                store.firsts(&ranges, &mut |_, _, row| {
                    black_box(row);
                    ControlFlow::Continue(())
                })?;
            }
            for record in records {
                black_box(Hash::leaf(record.leaf.as_bytes()));
                for (_, text) in record.disclosures.iter() {
                    black_box(Digest::of(text));
                }
            }
        }
        Ok(())
    };
    let mut times = Vec::with_capacity(TURNS);
    for _ in 0..TURNS {
        let begun = Instant::now();
        scope(|scope| {
            let parts = records.chunks(records.len().div_ceil(cores).max(1));
            let readers: Vec<_> = parts.map(|records| scope.spawn(|| part(records))).collect();
            readers.into_iter().try_for_each(|one| one.join().unwrap_or_else(|_| anyhow::bail!("a reader panicked")))
        })?;
        times.push(begun.elapsed());
    }
    let first = times.remove(0);
    Ok((first, times))
}
