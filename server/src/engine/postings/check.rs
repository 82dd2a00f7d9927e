//! Checking the stored runs against the log's records, for `fsck` and the scrubber.
//!
//! A run is in the order of prints and the records in that of the log. So that neither must be held, sums are compared:
//! of each group of leaves, the sum of a keyed hash of every posting, which comes out the same in any order. The key is the
//! log's own secret, so that nobody who lacks it can have made two different sets of postings with one sum.

use core::hash::Hasher as _;
use std::collections::BTreeSet;

use cairn_tree::store::LogId;
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::SOURCE_LEAVES;
use super::manifest::Manifest;
use super::print::{Print, PrintRow};
use super::run::{Run, RunReader};
use super::source::Source;
use crate::engine::bounds::POSTING_CHECK_GROUPS;
use crate::engine::stored::ReadError;

/// Reads every run of a log and all of its records that they cover: each posting must be a record's, and no record's may
/// be missing. `row` is the log's own. A run that others merge away meanwhile is left out; what replaced it is checked.
///
/// # Errors
/// [`ReadError`]; damage names the run, and the leaves where it is.
pub fn check(source: &dyn Source, log: LogId, row: &PrintRow) -> Result<(), ReadError> {
    let read = || Manifest::read(source.store(), log, row.first);
    let mut sound = BTreeSet::new();
    // Goes round again once per merge at most.
    while let Some(run) = read()?.runs().iter().find(|run| !sound.contains(&run.id)) {
        match check_run(source, log, run, row.secret.as_bytes()) {
            Ok(()) => {
                sound.insert(run.id);
            }
            // Its rows are deleted once no manifest names it any more.
            Err(error) if read()?.runs().contains(run) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(())
}

fn check_run(source: &dyn Source, log: LogId, run: &Run, key: &[u8; 16]) -> Result<(), ReadError> {
    let damaged = |problem: String| run.address(log).damaged(problem);
    if run.end > source.size().get() {
        return Err(damaged(format!("it covers entries up to {}, which there are not", run.end)));
    }
    let mut expected = Sums::new(run, key);
    let partial = source.partial();
    // Of what was erased since, a run may have what cannot be told any more; and what it has of a record of which nothing
    // was, is not told from that either.
    let mut lacking: BTreeSet<u64> = BTreeSet::new();
    let mut from = run.start;
    let mut found = Vec::new();
    while from < run.end {
        let end = run.end.min(from.saturating_add(SOURCE_LEAVES));
        found.clear();
        source.postings(from..end, &mut found)?;
        found.sort_unstable();
        // A record with one value twice has one posting of it.
        found.dedup();
        lacking.extend(found.iter().filter(|(print, _)| Some(*print) == partial).map(|(_, index)| index.get()));
        for (print, index) in &found {
            if !(from..end).contains(&index.get()) {
                return Err(damaged(format!("entry {index} was read where {from} to {end} were asked for")));
            }
            if !lacking.contains(&index.get()) {
                expected.add(*print, index.get());
            }
        }
        from = end;
    }
    let mut sums = Sums::new(run, key);
    let mut reader = RunReader::new(source.store(), log, *run)?;
    let (mut postings, mut filtered) = (0_u64, 0_u64);
    while let Some(print) = reader.print() {
        filtered += u64::from(print.is_filtered());
        reader.drain(|span| {
            postings += span.count();
            let whole = (span.low..=span.high).filter(|index| !lacking.contains(index));
            whole.for_each(|index| sums.add(print, index));
            Ok::<_, ReadError>(())
        })?;
    }
    if (postings, filtered) != (run.postings, run.filtered) {
        return Err(damaged(format!("it has {postings} postings, and the manifest says {}", run.postings)));
    }
    match sums.differs(&expected) {
        None => Ok(()),
        Some((from, to)) => Err(damaged(format!("it is wrong about entries {from} to {to}"))),
    }
}

/// A sum for each group of leaves of a run.
struct Sums<'a> {
    key: &'a [u8; 16],
    run: &'a Run,
    /// Leaves per group.
    width: u64,
    sums: Vec<u128>,
}

impl<'a> Sums<'a> {
    fn new(run: &'a Run, key: &'a [u8; 16]) -> Self {
        let width = (run.end - run.start).div_ceil(POSTING_CHECK_GROUPS).max(1);
        let groups = (run.end - run.start).div_ceil(width);
        Self { key, run, width, sums: vec![0; usize::try_from(groups).unwrap_or(0)] }
    }

    fn add(&mut self, print: Print, index: u64) {
        let mut hasher = SipHasher24::new_with_key(self.key);
        hasher.write(&print.to_bytes());
        hasher.write(&index.to_be_bytes());
        let group = index.saturating_sub(self.run.start) / self.width;
        if let Some(sum) = usize::try_from(group).ok().and_then(|group| self.sums.get_mut(group)) {
            *sum = sum.wrapping_add(hasher.finish128().as_u128());
        }
    }

    /// The first leaves, first and last of a group, of which the sums differ.
    fn differs(&self, other: &Self) -> Option<(u64, u64)> {
        let group = self.sums.iter().zip(&other.sums).position(|(one, other)| one != other)?;
        let from = self.run.start + group as u64 * self.width;
        Some((from, self.run.last().min(from + self.width - 1)))
    }
}
