//! Checking the stored runs of an index against the log's own tiles, for `fsck`.
//!
//! A run is in the order of hashes and the tiles in that of the log, so one of them must be held. A bounded part of the
//! log is, and the run is read once for each such part.

use core::ops::Range;

use cairn_tree::store::{Key, Store};

use super::manifest::Manifest;
use super::run::{Record, Run};
use crate::engine::bounds::{MAINTENANCE_ROWS, REPLAY_BUNDLES};
use crate::engine::stored::{ReadError, Stored, WIDTH};

/// Reads every record of every run: each must name a leaf that the log has there. In a log without duplicates no leaf
/// may be missing, for it would be appended a second time. Holds `most` leaves at a time.
pub(in crate::engine) fn check(
    store: &dyn Store,
    stored: &Stored<'_>,
    dedup: bool,
    most: u64,
) -> Result<(), ReadError> {
    let manifest = Manifest::read(store, stored.log())?;
    manifest.runs().iter().try_for_each(|run| check_run(store, stored, run, dedup, most))
}

/// Checks one run, holding `most` leaves at a time.
pub(super) fn check_run(
    store: &dyn Store,
    stored: &Stored<'_>,
    run: &Run,
    dedup: bool,
    most: u64,
) -> Result<(), ReadError> {
    let expected = run.end - run.start;
    let mut start = run.start;
    while start < run.end {
        let part = start..run.end.min(start.saturating_add(most));
        let records = check_part(store, stored, run, &part)?;
        if records > expected || (dedup && records < expected) {
            return Err(stored.damaged("hash index run", run.id, format!("it has {records} of {expected} leaves")));
        }
        start = part.end;
    }
    Ok(())
}

/// Compares the records of one part of the log with its level 0 tiles; returns how many records the run has in all.
fn check_part(store: &dyn Store, stored: &Stored<'_>, run: &Run, part: &Range<u64>) -> Result<u64, ReadError> {
    let prints = prints(stored, part)?;
    let wrong = |problem: String| stored.damaged("hash index run", run.id, problem);
    let mut count = 0;
    let mut bucket = 0;
    while bucket < run.buckets() {
        let end = run.buckets().min(bucket + MAINTENANCE_ROWS as u64);
        let keys: Vec<Key> = (bucket..end).map(|bucket| run.key(stored.log(), bucket)).collect();
        for (row, bucket) in store.get_many(&keys)?.into_iter().zip(bucket..) {
            let row = row.unwrap_or_default();
            let mut left = row.len().div_ceil(Run::RECORD_BYTES);
            for record in run.decode(&row).filter(|record| run.bucket_of(record.print) == bucket) {
                left = left.saturating_sub(1);
                count += 1;
                if !(run.start..run.end).contains(&record.index) {
                    return Err(wrong(format!("it names entry {}", record.index)));
                }
                let place = record.index.checked_sub(part.start).and_then(|place| usize::try_from(place).ok());
                let print = place.and_then(|place| prints.get(place));
                if print.is_some_and(|print| *print != record.print) {
                    return Err(wrong(format!("it is wrong about entry {}", record.index)));
                }
            }
            if left > 0 {
                return Err(wrong(format!("bucket {bucket} is not sound")));
            }
        }
        bucket = end;
    }
    Ok(count)
}

/// What records say of the leaves in a range of whole tiles, in their order.
fn prints(stored: &Stored<'_>, part: &Range<u64>) -> Result<Vec<u64>, ReadError> {
    let mut prints = Vec::with_capacity(usize::try_from(part.end - part.start).unwrap_or(0));
    let tiles: Vec<u64> = (part.start / WIDTH..part.end.div_ceil(WIDTH)).collect();
    for some in tiles.chunks(REPLAY_BUNDLES) {
        prints.extend(stored.tiles(0, some)?.iter().flatten().map(Record::print_of));
    }
    Ok(prints)
}
