//! Checking a portion of a log: its entries, and the tiles that they complete, against what must stand there.

use core::ops::Range;

use cairn_tree::hash::Hash;
use cairn_tree::store::StoreError;
use cairn_tree::tile::{Entries, Width};

use super::damage::{Damage, Place};
use crate::engine::growing::perfect_root;
use crate::engine::judge::{Judge, LEVELS};
use crate::engine::stored::{ReadError, Stored, WIDTH};

/// What a portion gave.
#[derive(Debug, Default)]
pub(in crate::engine) struct Portion {
    pub(super) bytes: u64,
    pub(super) entries: u64,
    pub(in crate::engine) damage: Vec<Damage>,
    /// Places that the system could not read: nothing is known of them.
    pub(in crate::engine) unreadable: Vec<String>,
}

impl Portion {
    pub(super) fn fault(&mut self, place: Place, expected: Option<Hash>, error: &ReadError) {
        match error {
            ReadError::Store(StoreError::Io(problem)) => self.unreadable.push(format!("{place}: {problem}")),
            error => self.damage.push(Damage { place, expected, found: error.to_string() }),
        }
    }
}

/// Checks full bundles, their tiles, and the higher tiles that begin with them.
pub(in crate::engine) fn check(stored: &Stored<'_>, judge: &mut Judge<Stored<'_>>, bundles: Range<u64>) -> Portion {
    let mut portion = Portion::default();
    for number in bundles {
        let mut first = number;
        for level in 1..LEVELS {
            if !first.is_multiple_of(WIDTH) || first / WIDTH >= judge.full(level) {
                break;
            }
            first /= WIDTH;
            check_tile(stored, judge, &mut portion, (level, first));
        }
        check_bundle(stored, judge, &mut portion, number);
    }
    portion
}

/// Checks the full tiles above a bundle, and the bundle itself if it is full.
pub(super) fn check_path(stored: &Stored<'_>, judge: &mut Judge<Stored<'_>>, bundle: u64) -> Portion {
    let mut portion = Portion::default();
    for level in (1..LEVELS).rev() {
        let number = bundle.checked_shr(8 * u32::from(level)).unwrap_or(0);
        if number < judge.full(level) {
            check_tile(stored, judge, &mut portion, (level, number));
        }
    }
    if bundle < judge.full(0) {
        check_bundle(stored, judge, &mut portion, bundle);
    }
    portion
}

fn check_tile(
    stored: &Stored<'_>,
    judge: &mut Judge<Stored<'_>>,
    portion: &mut Portion,
    (level, number): (u8, u64),
) -> Option<Vec<Hash>> {
    let (place, expected) = (Place::Tile { level, number }, judge.expected(level, number));
    match stored.tile(level, number) {
        Ok(hashes) => {
            portion.bytes += (hashes.len() * Hash::LEN) as u64;
            let found = perfect_root(&hashes);
            match expected {
                Some(expected) if expected != found => {
                    let found = found.to_base64();
                    portion.damage.push(Damage { place, expected: Some(expected), found });
                    None
                }
                _ => Some(hashes),
            }
        }
        Err(error) => {
            portion.fault(place, expected, &error);
            None
        }
    }
}

fn check_bundle(stored: &Stored<'_>, judge: &mut Judge<Stored<'_>>, portion: &mut Portion, number: u64) {
    let place = Place::Bundle { number };
    let expected = judge.expected(0, number);
    let tile = check_tile(stored, judge, portion, (0, number));
    let leaves = match leaves(stored, number, Width::FULL.get()) {
        Ok((bytes, leaves)) => {
            portion.bytes += bytes;
            portion.entries += leaves.len() as u64;
            leaves
        }
        Err(error) => return portion.fault(place, expected, &error),
    };
    if let Some(tile) = tile {
        // A tile that is believed tells which entry it is; one of which nothing is known, only that the two differ.
        if let Some((index, (found, expected))) =
            (number * WIDTH..).zip(leaves.iter().zip(&tile)).find(|(_, (found, expected))| found != expected)
        {
            let found = format!("entry {index} hashes to {}", found.to_base64());
            portion.damage.push(Damage { place, expected: Some(*expected), found });
        }
    } else if let Some(expected) = expected {
        let found = perfect_root(&leaves);
        if found != expected {
            portion.damage.push(Damage { place, expected: Some(expected), found: found.to_base64() });
        }
    }
}

/// Checks the unfinished bundle and the right edge.
pub(in crate::engine) fn check_edge(
    stored: &Stored<'_>,
    judge: &Judge<Stored<'_>>,
    (size, root): (u64, Hash),
) -> Portion {
    let mut portion = Portion::default();
    if let Some(error) = judge.edge_error() {
        portion.fault(Place::Root { size }, Some(root), error);
    }
    let width = (size % WIDTH) as usize;
    let Some(expected) = judge.edge_hashes(0).filter(|_| width > 0) else { return portion };
    let place = Place::Tail { first: size - width as u64, end: size };
    match leaves(stored, size / WIDTH, width) {
        Ok((bytes, leaves)) => {
            portion.bytes += bytes;
            portion.entries += leaves.len() as u64;
            let first = size - width as u64;
            if let Some((index, (found, expected))) =
                (first..).zip(leaves.iter().zip(expected)).find(|(_, (found, expected))| found != expected)
            {
                let found = format!("entry {index} hashes to {}", found.to_base64());
                portion.damage.push(Damage { place, expected: Some(*expected), found });
            }
        }
        Err(error) => portion.fault(place, None, &error),
    }
    portion
}

fn leaves(stored: &Stored<'_>, number: u64, width: usize) -> Result<(u64, Vec<Hash>), ReadError> {
    let encoded = stored.bundle(number, width)?;
    let entries = Entries::parse_batch(&encoded, width).map_err(|error| stored.damaged("bundle", number, error))?;
    let leaves = entries.leaf_hashes();
    if leaves.len() == width {
        Ok((encoded.len() as u64, leaves))
    } else {
        Err(stored.damaged("bundle", number, format!("{} entries", leaves.len())))
    }
}
