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
use crate::engine::bounds::{POSTING_CHECK_GROUPS, POSTING_CHECK_PARTIAL};
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
    let mut from = run.start;
    loop {
        let part = Part::read(source, (log, run), from, key)?;
        from = part.end;
        part.compare(source, (log, run), key)?;
        // An empty run is read once as well.
        if from >= run.end {
            return Ok(());
        }
    }
}

/// What a part of a run's leaves should have, as far as that can be told. Only a run of which more records are partial than
/// are held at a time is read in more than one.
struct Part<'a> {
    start: u64,
    end: u64,
    expected: Sums<'a>,
    /// In order. Of what was erased since, a run may have what cannot be told any more; and what it has of a record of
    /// which nothing was, is not told from that either.
    lacking: Vec<u64>,
}

impl<'a> Part<'a> {
    /// Reads the records from a leaf of a run on.
    fn read(
        source: &dyn Source,
        (log, run): (LogId, &'a Run),
        start: u64,
        key: &'a [u8; 16],
    ) -> Result<Self, ReadError> {
        let mut part = Self { start, end: start, expected: Sums::new(run, key), lacking: Vec::new() };
        let (partial, mut found) = (source.partial(), Vec::new());
        while part.end < run.end && part.lacking.len() < POSTING_CHECK_PARTIAL {
            let (from, end) = (part.end, run.end.min(part.end.saturating_add(SOURCE_LEAVES)));
            found.clear();
            source.postings(from..end, &mut found)?;
            found.sort_unstable();
            // A record with one value twice has one posting of it.
            found.dedup();
            let lacks = found.iter().filter(|(print, _)| Some(*print) == partial).map(|(_, index)| index.get());
            // One print's, so that they are in the order of their indexes.
            part.lacking.extend(lacks);
            for (print, index) in &found {
                if !(from..end).contains(&index.get()) {
                    let words = format!("entry {index} was read where {from} to {end} were asked for");
                    return Err(run.address(log).damaged(words));
                }
                if !part.lacks(index.get()) {
                    part.expected.add(*print, index.get());
                }
            }
            part.end = end;
        }
        Ok(part)
    }

    fn lacks(&self, index: u64) -> bool {
        self.lacking.binary_search(&index).is_ok()
    }

    /// Reads the run, and compares what it has of these leaves.
    fn compare(&self, source: &dyn Source, (log, run): (LogId, &Run), key: &[u8; 16]) -> Result<(), ReadError> {
        let damaged = |problem: String| run.address(log).damaged(problem);
        let mut sums = Sums::new(run, key);
        let mut reader = RunReader::new(source.store(), log, *run)?;
        let (mut postings, mut filtered) = (0_u64, 0_u64);
        while let Some(print) = reader.print() {
            filtered += u64::from(print.is_filtered());
            reader.drain(|span| {
                postings += span.count();
                let here = span.low.max(self.start)..span.high.saturating_add(1).min(self.end);
                here.filter(|index| !self.lacks(*index)).for_each(|index| sums.add(print, index));
                Ok::<_, ReadError>(())
            })?;
        }
        if (postings, filtered) != (run.postings, run.filtered) {
            return Err(damaged(format!("it has {postings} postings, and the manifest says {}", run.postings)));
        }
        match sums.differs(&self.expected) {
            None => Ok(()),
            Some((from, to)) => Err(damaged(format!("it is wrong about entries {from} to {to}"))),
        }
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
