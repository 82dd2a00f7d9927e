//! The list of a log's runs: one row, written in the same batch as the last rows of a new run.

use cairn_tree::store::{Key, Kind, LogId, Store};

use super::run::Run;
use crate::engine::layout::RowError;
use crate::engine::stored::ReadError;

const VERSION: u8 = 1;
/// The bytes of one run in the row: id, start, end, bits, live or dead.
const RUN_BYTES: usize = 26;

/// Which runs there are, oldest first and without gaps, and which are to be deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::engine) struct Manifest {
    runs: Vec<Run>,
    dead: Vec<Run>,
    next_id: u64,
}

impl Manifest {
    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Runs that others have replaced, whose rows may still be there.
    pub(super) fn dead(&self) -> &[Run] {
        &self.dead
    }

    /// The id that the next run gets.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id
    }

    /// One past the newest leaf that a run has.
    pub(super) fn end(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.end)
    }

    /// With a new run behind the others.
    pub(super) fn with_run(&self, run: Run) -> Self {
        let mut next = self.clone();
        next.next_id = run.id + 1;
        next.runs.push(run);
        next
    }

    /// With a run that is being merged: dead until it is whole, so that what a crash leaves of it is deleted.
    pub(super) fn with_begun(&self, run: Run) -> Self {
        let mut next = self.clone();
        next.next_id = run.id + 1;
        next.dead.push(run);
        next
    }

    /// With `run` in the place of those that it was merged from; they are dead then.
    pub(super) fn with_merged(&self, run: Run) -> Self {
        let inside = |old: &&Run| run.start <= old.start && old.end <= run.end;
        let dead = self.dead.iter().filter(|old| old.id != run.id).copied().collect();
        let mut next = Self { runs: Vec::new(), dead, next_id: self.next_id.max(run.id + 1) };
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

    pub(super) fn key(log: LogId) -> Key {
        Key::only(log, Kind::IndexManifest)
    }

    pub(in crate::engine) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.next_id.to_be_bytes());
        for (run, live) in self.runs.iter().map(|run| (run, 1)).chain(self.dead.iter().map(|run| (run, 0))) {
            bytes.extend_from_slice(&run.id.to_be_bytes());
            bytes.extend_from_slice(&run.start.to_be_bytes());
            bytes.extend_from_slice(&run.end.to_be_bytes());
            bytes.extend_from_slice(&[run.bits, live]);
        }
        bytes
    }

    pub(super) fn read(store: &dyn Store, log: LogId) -> Result<Self, ReadError> {
        match store.get(&Self::key(log))? {
            Some(row) => Self::decode(&row).ok_or_else(|| {
                RowError { row: "index manifest", problem: "it is not one that this program writes".to_owned() }.into()
            }),
            None => Ok(Self::default()),
        }
    }

    pub(in crate::engine) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (next_id, rest) = rest.split_first_chunk()?;
        let (records, rest) = rest.as_chunks::<RUN_BYTES>();
        if *version != VERSION || !rest.is_empty() {
            return None;
        }
        let mut manifest = Self { runs: Vec::new(), dead: Vec::new(), next_id: u64::from_be_bytes(*next_id) };
        for record in records {
            let (numbers, flags) = record.as_chunks::<8>();
            let (&[id, start, end], &[bits, live]) = (numbers, flags) else { return None };
            let [id, start, end] = [id, start, end].map(u64::from_be_bytes);
            if bits > Run::MAX_BITS || start >= end || id >= manifest.next_id || live > 1 {
                return None;
            }
            // Those that others have replaced stand last.
            if live == 1 && !manifest.dead.is_empty() {
                return None;
            }
            let run = Run { id, start, end, bits };
            let list = if live == 1 { &mut manifest.runs } else { &mut manifest.dead };
            list.push(run);
        }
        let gapless = manifest.runs.windows(2).all(|pair| matches!(pair, [one, next] if one.end == next.start));
        (gapless && manifest.runs.first().is_none_or(|run| run.start == 0)).then_some(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: u64, start: u64, end: u64) -> Run {
        Run { id, start, end, bits: 3 }
    }

    #[test]
    fn a_manifest_reads_back_and_merging_keeps_the_order() {
        let mut manifest = Manifest::default();
        for id in 0..4 {
            manifest = manifest.with_run(run(id, id * 256, (id + 1) * 256));
        }
        let merged = manifest.with_merged(run(4, 256, 768));
        assert_eq!(merged.runs(), [run(0, 0, 256), run(4, 256, 768), run(3, 768, 1024)]);
        assert_eq!(merged.dead(), [run(1, 256, 512), run(2, 512, 768)]);
        assert_eq!(merged.next_id(), 5);
        let begun = manifest.with_begun(run(4, 256, 768));
        assert_eq!((begun.runs(), begun.dead()), (manifest.runs(), &[run(4, 256, 768)][..]));
        let grown = begun.with_run(run(5, 1024, 1280));
        let whole = grown.with_merged(run(4, 256, 768));
        assert_eq!(whole.runs(), [run(0, 0, 256), run(4, 256, 768), run(3, 768, 1024), run(5, 1024, 1280)]);
        assert_eq!((whole.dead(), whole.next_id()), (merged.dead(), 6));
        for manifest in [Manifest::default(), manifest, merged.without_dead(), merged, begun, grown, whole] {
            assert_eq!(Manifest::decode(&manifest.encode()), Some(manifest));
        }
    }

    #[test]
    fn a_run_is_live_or_dead_and_stands_where_it_is_written() {
        let manifest = Manifest::default().with_begun(run(0, 0, 256)).with_run(run(1, 0, 256));
        let row = manifest.encode();
        let (runs, head) = (row.len() - 2 * RUN_BYTES, 1 + 8);
        assert_eq!(runs, head);
        let exchanged = [&row[..head], &row[head + RUN_BYTES..], &row[head..head + RUN_BYTES]].concat();
        let mut neither = row;
        *neither.last_mut().unwrap() = 2;
        assert_eq!((Manifest::decode(&exchanged), Manifest::decode(&neither)), (None, None));
    }

    #[test]
    fn gaps_and_cut_rows_are_refused() {
        let gap = Manifest::default().with_run(run(0, 256, 512));
        assert_eq!(Manifest::decode(&gap.encode()), None);
        let whole = Manifest::default().with_run(run(0, 0, 512)).encode();
        for cut in 0..whole.len() {
            // Nine bytes are an empty manifest of their own.
            assert_eq!(Manifest::decode(&whole[..cut]).is_some(), cut == 9, "{cut}");
        }
    }
}
