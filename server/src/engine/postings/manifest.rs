//! The list of a log's runs: one row, written in the same batch as the last rows of a new run.

use cairn_tree::store::{Key, Kind, LogId, Store};

use super::run::Run;
use crate::engine::layout::RowError;
use crate::engine::stored::ReadError;

const VERSION: u8 = 1;
/// The bytes of one run in the row: id, start, end, postings, filtered prints, level, live or dead.
const RUN_BYTES: usize = 42;

/// Which runs there are, oldest first and without gaps, and which are to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct Manifest {
    /// No leaf before has postings.
    first: u64,
    runs: Vec<Run>,
    dead: Vec<Run>,
    next_id: u64,
}

impl Manifest {
    /// Without runs, for a log whose first record has this index.
    pub(super) const fn empty(first: u64) -> Self {
        Self { first, runs: Vec::new(), dead: Vec::new(), next_id: 0 }
    }

    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Runs whose rows may be there and that nobody reads.
    pub(super) fn dead(&self) -> &[Run] {
        &self.dead
    }

    /// The id that the next run gets.
    pub(super) const fn next_id(&self) -> u64 {
        self.next_id
    }

    /// One past the newest leaf that a run has.
    pub(super) fn end(&self) -> u64 {
        self.runs.last().map_or(self.first, |run| run.end)
    }

    /// With a new run behind the others.
    pub(super) fn with_run(&self, run: Run) -> Self {
        let mut next = self.clone();
        next.next_id = next.next_id.max(run.id + 1);
        next.runs.push(run);
        next
    }

    /// With a run that is being merged: dead until it is whole, so that what a crash leaves of it is deleted.
    pub(super) fn with_begun(&self, run: Run) -> Self {
        let mut next = self.clone();
        next.next_id = next.next_id.max(run.id + 1);
        next.dead.push(run);
        next
    }

    /// With `run` in the place of those that it was merged from; they are dead then.
    pub(super) fn with_merged(&self, run: Run) -> Self {
        let inside = |old: &&Run| run.start <= old.start && old.end <= run.end;
        let dead = self.dead.iter().filter(|old| old.id != run.id).copied().collect();
        let mut next = Self { first: self.first, runs: Vec::new(), dead, next_id: self.next_id.max(run.id + 1) };
        next.dead.extend(self.runs.iter().filter(inside));
        next.runs.extend(self.runs.iter().filter(|old| old.end <= run.start));
        next.runs.push(run);
        next.runs.extend(self.runs.iter().filter(|old| old.start >= run.end));
        next
    }

    /// After the dead runs' rows were deleted.
    pub(super) fn without_dead(&self) -> Self {
        Self { dead: Vec::new(), ..self.clone() }
    }

    /// With all runs dead: everything is to be read from the log again.
    pub(super) fn begun_anew(&self, first: u64) -> Self {
        let dead = self.dead.iter().chain(&self.runs).copied().collect();
        Self { first, runs: Vec::new(), dead, next_id: self.next_id }
    }

    pub(super) fn key(log: LogId) -> Key {
        Key::only(log, Kind::PostingManifest)
    }

    pub(in crate::engine) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&self.next_id.to_be_bytes());
        for (run, live) in self.runs.iter().map(|run| (run, 1)).chain(self.dead.iter().map(|run| (run, 0))) {
            let Run { id, start, end, level, postings, filtered } = *run;
            [id, start, end, postings, filtered].iter().for_each(|number| bytes.extend(number.to_be_bytes()));
            bytes.extend_from_slice(&[level, live]);
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes
    }

    /// The manifest of a log whose first record has this index.
    pub(super) fn read(store: &dyn Store, log: LogId, first: u64) -> Result<Self, ReadError> {
        let Some(row) = store.get(&Self::key(log))? else { return Ok(Self::empty(first)) };
        Self::decode(&row).filter(|manifest| manifest.first == first).ok_or_else(|| {
            RowError { row: "postings manifest", problem: "it is not one that this program writes".to_owned() }.into()
        })
    }

    pub(in crate::engine) fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk()?;
        if crc32fast::hash(body) != u32::from_be_bytes(*sum) {
            return None;
        }
        let (version, rest) = body.split_first()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (next_id, rest) = rest.split_first_chunk()?;
        let (records, rest) = rest.as_chunks::<RUN_BYTES>();
        if *version != VERSION || !rest.is_empty() {
            return None;
        }
        let [first, next_id] = [*first, *next_id].map(u64::from_be_bytes);
        let mut manifest = Self { first, runs: Vec::new(), dead: Vec::new(), next_id };
        for record in records {
            let (numbers, flags) = record.as_chunks::<8>();
            let (&[id, start, end, postings, filtered], &[level, live]) = (numbers, flags) else { return None };
            let [id, start, end, postings, filtered] = [id, start, end, postings, filtered].map(u64::from_be_bytes);
            if start >= end || id >= next_id || live > 1 {
                return None;
            }
            // Those that others have replaced stand last.
            if live == 1 && !manifest.dead.is_empty() {
                return None;
            }
            let list = if live == 1 { &mut manifest.runs } else { &mut manifest.dead };
            list.push(Run { id, start, end, level, postings, filtered });
        }
        let gapless = manifest.runs.windows(2).all(|pair| matches!(pair, [one, next] if one.end == next.start));
        (gapless && manifest.runs.first().is_none_or(|run| run.start == first)).then_some(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: u64, start: u64, end: u64) -> Run {
        Run { id, start, end, level: 0, postings: 5, filtered: 2 }
    }

    #[test]
    fn a_manifest_reads_back_and_merging_keeps_the_order() {
        let mut manifest = Manifest::empty(100);
        for id in 0..4 {
            manifest = manifest.with_run(run(id, 100 + id * 10, 110 + id * 10));
        }
        let merged = manifest.with_merged(run(4, 110, 130));
        assert_eq!(merged.runs(), [run(0, 100, 110), run(4, 110, 130), run(3, 130, 140)]);
        assert_eq!(merged.dead(), [run(1, 110, 120), run(2, 120, 130)]);
        assert_eq!((merged.next_id(), merged.end()), (5, 140));
        let begun = manifest.with_begun(run(4, 110, 130));
        assert_eq!((begun.runs(), begun.dead()), (manifest.runs(), &[run(4, 110, 130)][..]));
        let grown = begun.with_run(run(5, 140, 150));
        let whole = grown.with_merged(run(4, 110, 130));
        assert_eq!(whole.runs(), [run(0, 100, 110), run(4, 110, 130), run(3, 130, 140), run(5, 140, 150)]);
        assert_eq!((whole.dead(), whole.next_id()), (merged.dead(), 6));
        let anew = whole.begun_anew(100);
        assert_eq!((anew.runs().len(), anew.dead().len(), anew.next_id(), anew.end()), (0, 6, 6, 100));
        for manifest in [Manifest::empty(7), manifest, merged.without_dead(), merged, begun, grown, whole, anew] {
            assert_eq!(Manifest::decode(&manifest.encode()), Some(manifest));
        }
    }

    #[test]
    fn gaps_cut_rows_and_flipped_bits_are_refused() {
        let gap = Manifest::empty(0).with_run(run(0, 1, 5));
        assert_eq!(Manifest::decode(&gap.encode()), None);
        let whole = Manifest::empty(0).with_run(run(0, 0, 5)).with_run(run(1, 5, 7)).encode();
        for at in 0..whole.len() {
            assert_eq!(Manifest::decode(&whole[..at]), None);
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                assert_eq!(Manifest::decode(&flipped), None);
            }
        }
    }
}
