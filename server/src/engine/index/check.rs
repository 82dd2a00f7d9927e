//! Checking the stored runs of an index against the log's own tiles, for `fsck` and the scrubber.
//!
//! A run is in the order of hashes and the tiles in that of the log, so one of them must be held. A bounded part of the
//! log is, and the run is read once for each such part.

use core::ops::Range;

use cairn_tree::hash::Hash;
use cairn_tree::store::{Key, LogId, Store};

use super::manifest::Manifest;
use super::run::{Record, Run};
use crate::engine::bounds::{MAINTENANCE_ROWS, REPLAY_BUNDLES};
use crate::engine::stored::{ReadError, Stored, WIDTH};

/// How runs are checked.
pub(in crate::engine) struct Way<'a> {
    /// Whether the log has no duplicates, so that no leaf may be missing.
    pub(in crate::engine) dedup: bool,
    /// Leaves that are held at a time.
    pub(in crate::engine) most: u64,
    /// Told after each portion how many bytes it had. False ends the check.
    pub(in crate::engine) goes_on: &'a mut dyn FnMut(u64) -> bool,
}

/// Reads every record of every run: each must name a leaf that the log has there. In a log without duplicates no leaf
/// may be missing, for it would be appended a second time. False if it was ended before it had read all of them.
pub(in crate::engine) fn check(store: &dyn Store, stored: &Stored<'_>, way: &mut Way<'_>) -> Result<bool, ReadError> {
    for run in Manifest::read(store, stored.log())?.runs() {
        match check_run(store, stored, run, way) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            // Its rows go once another has taken its place, and what reads slowly comes too late for some of them.
            Err(error) if is_run(store, stored.log(), run)? => return Err(error),
            Err(_) => {}
        }
    }
    Ok(true)
}

/// Whether the index has this run still; none gets the number of another.
fn is_run(store: &dyn Store, log: LogId, run: &Run) -> Result<bool, ReadError> {
    Ok(Manifest::read(store, log)?.runs().iter().any(|other| other.id == run.id))
}

/// Checks one run; false if it was ended.
pub(super) fn check_run(
    store: &dyn Store,
    stored: &Stored<'_>,
    run: &Run,
    way: &mut Way<'_>,
) -> Result<bool, ReadError> {
    let expected = run.end - run.start;
    let mut start = run.start;
    while start < run.end {
        let part = start..run.end.min(start.saturating_add(way.most));
        let Some(records) = check_part(store, stored, run, (&part, way))? else { return Ok(false) };
        if records > expected || (way.dedup && records < expected) {
            return Err(stored.damaged("hash index run", run.id, format!("it has {records} of {expected} leaves")));
        }
        start = part.end;
    }
    Ok(true)
}

/// Compares the records of one part of the log with its level 0 tiles; returns how many records the run has in all, or
/// nothing if it was ended.
fn check_part(
    store: &dyn Store,
    stored: &Stored<'_>,
    run: &Run,
    (part, way): (&Range<u64>, &mut Way<'_>),
) -> Result<Option<u64>, ReadError> {
    let Some(prints) = prints(stored, part, way)? else { return Ok(None) };
    let wrong = |problem: String| stored.damaged("hash index run", run.id, problem);
    let mut count = 0;
    let mut bucket = 0;
    while bucket < run.buckets() {
        let end = run.buckets().min(bucket + MAINTENANCE_ROWS as u64);
        let keys: Vec<Key> = (bucket..end).map(|bucket| run.key(stored.log(), bucket)).collect();
        let mut bytes = 0;
        for (row, bucket) in store.get_many(&keys)?.into_iter().zip(bucket..) {
            let row = row.unwrap_or_default();
            bytes += row.len() as u64;
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
        if !(way.goes_on)(bytes) {
            return Ok(None);
        }
    }
    Ok(Some(count))
}

/// What records say of the leaves in a range of whole tiles, in their order; nothing if it was ended.
fn prints(stored: &Stored<'_>, part: &Range<u64>, way: &mut Way<'_>) -> Result<Option<Vec<u64>>, ReadError> {
    let mut prints = Vec::with_capacity(usize::try_from(part.end - part.start).unwrap_or(0));
    let tiles: Vec<u64> = (part.start / WIDTH..part.end.div_ceil(WIDTH)).collect();
    for some in tiles.chunks(REPLAY_BUNDLES) {
        let before = prints.len();
        prints.extend(stored.tiles(0, some)?.iter().flatten().map(Record::print_of));
        if !(way.goes_on)((prints.len() - before) as u64 * Hash::LEN as u64) {
            return Ok(None);
        }
    }
    Ok(Some(prints))
}
