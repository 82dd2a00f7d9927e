//! Checking the stored runs of an index against the log's own tiles, for `fsck`.

use cairn_tree::store::{Key, Store};

use super::manifest::Manifest;
use super::run::{Record, Run};
use crate::engine::bounds::MAINTENANCE_ROWS;
use crate::engine::stored::{ReadError, Stored, WIDTH};

/// Reads every record of every run: each must name a leaf that the log has there. In a log without duplicates no leaf
/// may be missing, for it would be appended a second time.
pub(in crate::engine) fn check(store: &dyn Store, stored: &Stored<'_>, dedup: bool) -> Result<(), ReadError> {
    let manifest = Manifest::read(store, stored.log())?;
    for run in manifest.runs() {
        let records = read_run(store, stored, run)?;
        let expected = run.end - run.start;
        if records.len() as u64 > expected || (dedup && (records.len() as u64) < expected) {
            let problem = format!("it has {} of {expected} leaves", records.len());
            return Err(stored.damaged("hash index run", run.id, problem));
        }
        check_records(stored, run, records)?;
    }
    Ok(())
}

fn read_run(store: &dyn Store, stored: &Stored<'_>, run: &Run) -> Result<Vec<Record>, ReadError> {
    let mut records = Vec::new();
    let mut bucket = 0;
    while bucket < run.buckets() {
        let end = run.buckets().min(bucket + MAINTENANCE_ROWS as u64);
        let keys: Vec<Key> = (bucket..end).map(|bucket| run.key(stored.log(), bucket)).collect();
        for (row, bucket) in store.get_many(&keys)?.into_iter().zip(bucket..) {
            let row = row.unwrap_or_default();
            let before = records.len();
            records.extend(run.decode(&row).filter(|record| run.bucket_of(record.print) == bucket));
            if records.len() - before != row.len().div_ceil(Run::RECORD_BYTES) {
                return Err(stored.damaged("hash index run", run.id, format!("bucket {bucket} is not sound")));
            }
        }
        bucket = end;
    }
    Ok(records)
}

/// Compares the records, in the order of the log, with its level 0 tiles.
fn check_records(stored: &Stored<'_>, run: &Run, mut records: Vec<Record>) -> Result<(), ReadError> {
    records.sort_unstable_by_key(|record| record.index);
    for of_tile in records.chunk_by(|one, next| one.index / WIDTH == next.index / WIDTH) {
        let Some(first) = of_tile.first() else { continue };
        if !(run.start..run.end).contains(&first.index) {
            return Err(stored.damaged("hash index run", run.id, format!("it names entry {}", first.index)));
        }
        let tile = stored.tile(0, first.index / WIDTH)?;
        for record in of_tile {
            let leaf = tile.get((record.index % WIDTH) as usize);
            if leaf.is_none_or(|leaf| Record::print_of(leaf) != record.print) {
                let problem = format!("it is wrong about entry {}", record.index);
                return Err(stored.damaged("hash index run", run.id, problem));
            }
        }
    }
    Ok(())
}
