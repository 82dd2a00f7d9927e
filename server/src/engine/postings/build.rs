//! Making runs of the newest postings, merging runs of one level, and what else keeps the runs in order.
//!
//! It only reads; what it wants written goes to a [`Sink`] in bounded steps. A run counts once the manifest names it, so
//! whatever a crash leaves half-written is never looked at, and is deleted when the log is next worked on.

use std::sync::Arc;

use cairn_tree::size::LeafIndex;
use cairn_tree::store::{Key, KeyRange, Kind, LogId};

use super::block::Position;
use super::filter::Filter;
use super::loading::read_on;
use super::manifest::Manifest;
use super::memory::Segment;
use super::run::{Run, RunReader, RunWriter, WriteError, read_filtered};
use super::source::{Sink, SinkError, Source};
use super::{Inner, Postings, PostingsError, Upkeep};
use crate::engine::bounds::{MAINTENANCE_BYTES, POSTING_DELETE_ROWS};
use crate::engine::stored::ReadError;

/// Prints that a merge writes before it looks whether there is more urgent work.
const MERGE_STEP: usize = 1 << 14;

/// Why work on postings stopped.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Rows could not be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The log, or a run, could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A run would not be in order: what it was made from is not.
    #[error("what a run of postings is made from is out of order")]
    Order,
    /// A run would be made of an entry that is not what the tree has.
    #[error("no run of postings is made of entry {0}, which is not what the tree has")]
    Unlike(LeafIndex),
}

impl From<WriteError<SinkError>> for BuildError {
    fn from(error: WriteError<SinkError>) -> Self {
        match error {
            WriteError::Rows(error) => Self::Sink(error),
            WriteError::Order => Self::Order,
        }
    }
}

impl From<PostingsError> for BuildError {
    fn from(error: PostingsError) -> Self {
        match error {
            PostingsError::Read(error) => Self::Read(error),
            // What is behind has just been brought up; whatever came since is for the next time.
            PostingsError::Behind { .. } => Self::Order,
        }
    }
}

/// Brings a log's runs up to date, as the builder's thread does: everything that is due has a run, runs of one level are
/// merged, what a crash left is gone, and what was found damaged is made anew. One caller at a time.
///
/// # Errors
/// [`BuildError`]; look-ups stay exact.
pub fn build(postings: &Postings, source: &dyn Source, sink: &dyn Sink) -> Result<(), BuildError> {
    let work = Work { postings, source, sink };
    work.mend()?;
    work.clean()?;
    work.build_and_merge()
}

/// Drops all runs of a log and reads everything from its records again. Of a database that nobody serves; a crash on the
/// way leaves it to the next start to go on.
///
/// # Errors
/// [`BuildError`].
pub fn rebuild(log: LogId, first: LeafIndex, source: &dyn Source, sink: &dyn Sink) -> Result<(), BuildError> {
    let postings = Postings::absent(log, first, Arc::new(Upkeep::default()));
    Work { postings: &postings, source, sink }.rebuild()
}

pub(super) struct Work<'a> {
    pub(super) postings: &'a Postings,
    pub(super) source: &'a dyn Source,
    pub(super) sink: &'a dyn Sink,
}

impl Work<'_> {
    /// Deletes what runs left that were never finished or that others have replaced.
    pub(super) fn clean(&self) -> Result<(), BuildError> {
        self.delete_from(self.manifest()?.next_id())?;
        self.delete_dead()
    }

    /// Lets all runs go if some are damaged, where something of them could not be read: they are made anew then, and whoever
    /// looks something up meanwhile is told to come again. Says what was damaged.
    ///
    /// Nothing is lost by it: whatever a run has follows from the log's records.
    pub(super) fn mend(&self) -> Result<Option<ReadError>, BuildError> {
        if !self.postings.take_doubt() {
            return Ok(None);
        }
        match self.read_runs() {
            Ok(()) => Ok(None),
            Err(error) if error.is_failure() => Err(error.into()),
            Err(error) => {
                self.begin_anew()?;
                self.postings.forget_runs();
                Ok(Some(error))
            }
        }
    }

    /// Reads every block of every run.
    fn read_runs(&self) -> Result<(), ReadError> {
        for run in self.postings.manifest(self.source.store())?.runs() {
            let mut reader = RunReader::new(self.source.store(), self.log(), *run)?;
            while reader.print().is_some() {
                reader.drain(|_| Ok::<_, ReadError>(()))?;
            }
        }
        Ok(())
    }

    pub(super) fn build_and_merge(&self) -> Result<(), BuildError> {
        loop {
            // Each time anew: whoever writes may have let go of it meanwhile.
            self.catch_up()?;
            while self.merge()? {}
            self.delete_dead()?;
            match self.postings.load(self.source) {
                Err(PostingsError::Behind { .. }) => continue,
                loaded => loaded?,
            }
            self.fill_filters()?;
            if !self.postings.is_due() {
                return Ok(());
            }
            self.build()?;
        }
    }

    pub(super) fn rebuild(&self) -> Result<(), BuildError> {
        self.begin_anew()?;
        self.clean()?;
        self.catch_up()
    }

    fn manifest(&self) -> Result<Manifest, BuildError> {
        Ok(self.postings.manifest(self.source.store())?)
    }

    fn log(&self) -> LogId {
        self.postings.log
    }

    /// Makes runs straight from the log's records while the postings are not loaded, until little is left to load.
    fn catch_up(&self) -> Result<(), BuildError> {
        while !self.postings.is_loaded() {
            let manifest = self.manifest()?;
            let behind = self.source.size().get().saturating_sub(manifest.end());
            if behind < self.postings.sizes.reload_leaves {
                break;
            }
            let mut segment = Segment::new(manifest.end());
            read_on(self.source, &self.postings.sizes, &mut segment)?;
            self.postings.note_unlike(segment.unlike());
            if segment.unlike().is_some() && behind <= self.postings.sizes.most_unread() {
                // There is room for it in memory, and for all behind it.
                break;
            }
            self.add_run(&manifest, &segment)?;
            while self.merge()? {}
            self.delete_dead()?;
        }
        Ok(())
    }

    /// Makes a run of the oldest segment that waits.
    fn build(&self) -> Result<(), BuildError> {
        let (manifest, segment) = match &*self.postings.read() {
            Inner::Absent { .. } => return Ok(()),
            Inner::Loaded(loaded) => {
                let Some(oldest) = loaded.frozen.first() else { return Ok(()) };
                (loaded.manifest.clone(), Arc::clone(oldest))
            }
        };
        self.add_run(&manifest, &segment)
    }

    /// A run outlives this process, and with it what is known of damage: so it has only what the tree has.
    fn add_run(&self, manifest: &Manifest, segment: &Segment) -> Result<(), BuildError> {
        if let Some(index) = segment.unlike() {
            return Err(BuildError::Unlike(index));
        }
        let (id, start, end) = (manifest.next_id(), manifest.end(), segment.end());
        let run = Run { id, start, end, level: 0, postings: 0, filtered: 0 };
        let filter = self.filter(segment.filtered() as u64);
        let mut rows = Rows::new(self.sink);
        let mut writer = RunWriter::new(self.log(), run, filter, |key, row| rows.put(key, row));
        for (print, spans) in segment.sorted() {
            writer.begin(print)?;
            for span in spans {
                writer.push(span)?;
            }
        }
        let (run, filter) = writer.finish()?;
        let next = manifest.with_run(run);
        rows.finish(Manifest::key(self.log()), &next)?;
        self.postings.install(next, filter.map(|filter| (run, filter)));
        Ok(())
    }

    /// Merges the first runs of one level that are enough; false if there are none.
    fn merge(&self) -> Result<bool, BuildError> {
        self.merge_first().inspect_err(|error| match error {
            BuildError::Read(error) => self.postings.doubt(error),
            BuildError::Sink(_) | BuildError::Order | BuildError::Unlike(_) => {}
        })
    }

    fn merge_first(&self) -> Result<bool, BuildError> {
        let manifest = self.manifest()?;
        let one_level = |runs: &&[Run]| runs.iter().all(|run| runs.first().is_some_and(|one| run.level == one.level));
        let found = manifest.runs().windows(self.postings.sizes.fan).find(one_level);
        let Some((runs, [first, .., last])) = found.map(|runs| (runs, runs)) else { return Ok(false) };
        let (id, level) = (manifest.next_id(), first.level.saturating_add(1));
        let merged = Run { id, start: first.start, end: last.end, level, postings: 0, filtered: 0 };
        // Durable before anything else: whoever reads the manifest again must not give a new run the same id.
        let begun = manifest.with_begun(merged);
        self.sink.write(vec![(Manifest::key(self.log()), begun.encode())], Vec::new())?;
        self.postings.install(begun, None);

        let filter = self.filter(runs.iter().map(|run| run.filtered).sum());
        let mut rows = Rows::new(self.sink);
        let mut writer = RunWriter::new(self.log(), merged, filter, |key, row| rows.put(key, row));
        // Newest first, as the indexes of each print are.
        let readers = runs.iter().rev().map(|run| RunReader::new(self.source.store(), self.log(), *run));
        let mut readers = readers.collect::<Result<Vec<_>, _>>()?;
        let mut count = 0_usize;
        while let Some(print) = readers.iter().filter_map(RunReader::print).min() {
            writer.begin(print)?;
            for reader in readers.iter_mut().filter(|reader| reader.print() == Some(print)) {
                reader.drain(|span| writer.push(span).map_err(BuildError::from))?;
            }
            count += 1;
            // A large merge takes longer than appends may wait for the newest postings to become a run.
            if count.is_multiple_of(MERGE_STEP) && self.postings.is_due() {
                self.build()?;
            }
        }
        let (merged, filter) = writer.finish()?;
        let next = self.manifest()?.with_merged(merged);
        rows.finish(Manifest::key(self.log()), &next)?;
        self.postings.install(next, filter.map(|filter| (merged, filter)));
        Ok(true)
    }

    fn filter(&self, prints: u64) -> Option<Filter> {
        // Of postings that nobody looks into, filters would only take room.
        self.postings.is_loaded().then(|| Filter::new(&self.postings.upkeep.room, prints)).flatten()
    }

    /// Makes filters for the runs that have none, as far as there is room: after a start all of them, small ones first.
    fn fill_filters(&self) -> Result<(), BuildError> {
        let runs = match &*self.postings.read() {
            Inner::Absent { .. } => return Ok(()),
            Inner::Loaded(loaded) => Arc::clone(&loaded.runs),
        };
        let mut bare: Vec<_> =
            runs.iter().filter(|live| live.run.filtered > 0 && live.filter.get().is_none()).collect();
        bare.sort_unstable_by_key(|live| live.run.filtered);
        for live in bare {
            let Some(mut filter) = self.filter(live.run.filtered) else { return Ok(()) };
            read_filtered(self.source.store(), self.log(), live.run, &mut filter)
                .inspect_err(|error| self.postings.doubt(error))?;
            // Nobody else fills filters.
            let _ = live.filter.set(filter);
            if self.postings.is_due() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Deletes the rows of runs that were merged, a bounded number at a time.
    fn delete_dead(&self) -> Result<(), BuildError> {
        let manifest = self.manifest()?;
        if manifest.dead().is_empty() {
            return Ok(());
        }
        for run in manifest.dead() {
            let address = run.address(self.log());
            let first = address.key(Position::MIN);
            self.delete_all(|from| address.range_from(from.as_ref().unwrap_or(&first)))?;
        }
        let next = manifest.without_dead();
        self.sink.write(vec![(Manifest::key(self.log()), next.encode())], Vec::new())?;
        self.postings.install(next, None);
        Ok(())
    }

    /// Deletes the rows of all runs from an id on.
    fn delete_from(&self, id: u64) -> Result<(), BuildError> {
        let first = super::block::Address { log: self.log(), run: id }.key(Position::MIN);
        self.delete_all(|from| KeyRange::from_key(from.unwrap_or_else(|| first.clone())))
    }

    /// Deletes the rows of a range, from the front; told where to go on.
    fn delete_all(&self, range: impl Fn(Option<Key>) -> KeyRange) -> Result<(), BuildError> {
        let mut from = None;
        loop {
            let rows = self.source.store().scan(&range(from), POSTING_DELETE_ROWS).map_err(ReadError::from)?;
            let deletes: Vec<Key> = rows.into_iter().map(|(key, _)| key).collect();
            let Some(last) = deletes.last().cloned() else { return Ok(()) };
            self.sink.write(Vec::new(), deletes)?;
            // Not from the front again: a scan would pass by all that was deleted.
            from = Some(last);
        }
    }

    /// Lets all runs go, even where the manifest can't be read.
    fn begin_anew(&self) -> Result<(), BuildError> {
        let (store, log, first) = (self.source.store(), self.log(), self.postings.first);
        let next = match Manifest::read(store, log, first) {
            Ok(manifest) => manifest.begun_anew(first),
            Err(ReadError::Row(_)) => {
                // Nothing is looked up by a manifest that can't be read, so the rows may go before it.
                self.delete_all(|from| from.map_or_else(|| KeyRange::all(log, Kind::PostingRun), KeyRange::from_key))?;
                Manifest::empty(first)
            }
            Err(error) => return Err(error.into()),
        };
        Ok(self.sink.write(vec![(Manifest::key(log), next.encode())], Vec::new())?)
    }
}

/// Rows of a new run on their way to the store, a bounded number of bytes at a time.
struct Rows<'a> {
    sink: &'a dyn Sink,
    puts: Vec<(Key, Vec<u8>)>,
    bytes: usize,
}

impl<'a> Rows<'a> {
    const fn new(sink: &'a dyn Sink) -> Self {
        Self { sink, puts: Vec::new(), bytes: 0 }
    }

    fn put(&mut self, key: Key, row: Vec<u8>) -> Result<(), SinkError> {
        self.bytes += row.len();
        self.puts.push((key, row));
        if self.bytes < MAINTENANCE_BYTES {
            return Ok(());
        }
        self.bytes = 0;
        self.sink.write(core::mem::take(&mut self.puts), Vec::new())
    }

    /// The manifest goes with the last rows: before it, the run does not exist.
    fn finish(mut self, key: Key, manifest: &Manifest) -> Result<(), SinkError> {
        self.puts.push((key, manifest.encode()));
        self.sink.write(self.puts, Vec::new())
    }
}
