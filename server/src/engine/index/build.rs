//! The thread that turns the newest leaves into runs and merges runs of one size, off the commit path.
//!
//! It only reads; what it wants written goes to the writer in bounded jobs. A run counts once the manifest names it, so
//! whatever a crash leaves half-written is never looked at, and is deleted when the log is next worked on.

use std::collections::HashSet;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use cairn_tree::store::{Key, KeyRange, LogId, Store};

use super::manifest::Manifest;
use super::run::{Record, Run};
use super::{HashIndex, Inner, leaves_between};
use crate::engine::bounds::{INDEX_FAN, INDEX_RUN_ENTRIES, MAINTENANCE_BYTES, MAINTENANCE_ROWS};
use crate::engine::due::Due;
use crate::engine::head::Shared;
use crate::engine::registry::Registry;
use crate::engine::sequencer::{Done, Job, MaintainJob, Sequencer};
use crate::engine::stored::{ReadError, Stored};

/// The thread.
pub(in crate::engine) struct Builder {
    due: Arc<Due>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Why work on an index stopped.
#[derive(Debug, thiserror::Error)]
enum BuildError {
    #[error("the writer has stopped")]
    Stopped,
    #[error(transparent)]
    Read(#[from] ReadError),
}

struct Work<'a> {
    store: &'a dyn Store,
    sequencer: &'a Sequencer,
    log: LogId,
    shared: &'a Shared,
    index: &'a HashIndex,
}

impl Builder {
    pub(in crate::engine) fn start(
        due: Arc<Due>,
        store: Arc<dyn Store>,
        registry: Arc<Registry>,
        sequencer: Arc<Sequencer>,
    ) -> std::io::Result<Self> {
        let its_due = Arc::clone(&due);
        let body = move || {
            let mut cleaned = HashSet::new();
            seek_work(&its_due, &*store, &registry);
            while let Some(log) = its_due.next() {
                let Some(shared) = registry.by_id(log) else { continue };
                let Some(index) = &shared.index else { continue };
                let work = Work { store: &*store, sequencer: &sequencer, log, shared: &shared, index };
                let outcome = if cleaned.insert(log) { work.delete_strays() } else { Ok(()) };
                if let Err(error) = outcome.and_then(|()| work.build_and_merge()) {
                    // Look-ups stay exact: what has no run is in memory. Appends wait when that gets too much.
                    tracing::error!(log = %shared.info.name, %error, "the hash index can't be built");
                }
            }
        };
        let thread = std::thread::Builder::new().name("hash-index".to_owned()).spawn(body)?;
        Ok(Self { due, thread: Mutex::new(Some(thread)) })
    }

    /// Ends the thread. The sequencer is closed first, so that it does not wait for an answer.
    pub(in crate::engine) fn close(&self) {
        self.due.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the hash index thread panicked");
        }
    }
}

/// Finds the logs that have grown by more than a run since their index was last worked on: what one start leaves, the
/// next would else have to hold in memory.
fn seek_work(due: &Due, store: &dyn Store, registry: &Registry) {
    for log in registry.all().into_iter().filter(|log| log.index.is_some()) {
        let size = log.head().size.get();
        // One that can't be read is told of by whoever needs it.
        if Manifest::read(store, log.info.id).is_ok_and(|found| size.saturating_sub(found.end()) >= INDEX_RUN_ENTRIES) {
            due.push(log.info.id);
        }
    }
}

impl Work<'_> {
    fn build_and_merge(&self) -> Result<(), BuildError> {
        loop {
            // Each time anew: the writer may have let go of it meanwhile.
            self.catch_up()?;
            self.index.load(self.store, &|| self.shared.head().size)?;
            if !self.index.is_due() {
                return Ok(());
            }
            self.build()?;
            while self.merge()? {}
            self.delete_dead()?;
        }
    }

    fn manifest(&self) -> Result<Manifest, BuildError> {
        Ok(self.index.manifest(self.store)?)
    }

    /// Makes runs straight from the log's tiles while the index is not loaded, until little is left to load.
    fn catch_up(&self) -> Result<(), BuildError> {
        while !self.index.is_loaded() {
            let manifest = self.manifest()?;
            let (start, size) = (manifest.end(), self.shared.head().size.get());
            let end = start.saturating_add(INDEX_RUN_ENTRIES);
            if size < end {
                break;
            }
            let leaves = leaves_between(&Stored::new(self.store, self.log), start, end)?;
            self.add_run(&manifest, end, leaves.iter().map(|(index, leaf)| Record::new(leaf, *index)).collect())?;
        }
        Ok(())
    }

    /// Makes a run of the newest leaves, as far as full tiles go.
    fn build(&self) -> Result<(), BuildError> {
        let (manifest, end, records) = match &*self.index.read() {
            Inner::Absent { .. } => return Ok(()),
            Inner::Loaded(loaded) => {
                let Some(range) = loaded.next_run() else { return Ok(()) };
                let inside = loaded.recent.iter().filter(|(_, index)| range.contains(&index.get()));
                let records = inside.map(|(leaf, index)| Record::new(leaf, *index)).collect();
                (loaded.manifest.clone(), range.end, records)
            }
        };
        self.add_run(&manifest, end, records)
    }

    fn add_run(&self, manifest: &Manifest, end: u64, mut records: Vec<Record>) -> Result<(), BuildError> {
        records.sort_unstable();
        let run = Run::new(manifest.next_id(), manifest.end(), end);
        let next = manifest.with_run(run);
        let mut rows = Rows::new(self);
        rows.put(run.rows(self.log, &records))?;
        rows.finish(&next)?;
        self.index.install(next);
        Ok(())
    }

    /// Merges the first runs of one size that are enough; false if there are none.
    fn merge(&self) -> Result<bool, BuildError> {
        let manifest = self.manifest()?;
        let same_size =
            |runs: &&[Run]| runs.iter().all(|run| runs.first().is_some_and(|first| tier(run) == tier(first)));
        let Some(runs) = manifest.runs().windows(INDEX_FAN).find(same_size) else { return Ok(false) };
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return Ok(false) };
        let merged = Run::new(manifest.next_id(), first.start, last.end);
        // Durable before anything else: whoever reads the manifest again must not give a new run the same id.
        let begun = manifest.with_begun(merged);
        let puts = vec![(Manifest::key(self.log), begun.encode())];
        self.submit(MaintainJob { puts, ..MaintainJob::default() })?;
        self.index.install(begun);
        // All runs' buckets with the same first bits are merged at a time: sorted once, they are whole new buckets.
        let coarse = runs.iter().map(|run| run.bits).min().unwrap_or(0).min(merged.bits);
        let mut rows = Rows::new(self);
        for prefix in 0..1_u64 << coarse {
            let mut records = Vec::new();
            for run in runs {
                let fine = run.bits - coarse;
                let keys: Vec<Key> =
                    (prefix << fine..(prefix + 1) << fine).map(|bucket| run.key(self.log, bucket)).collect();
                for row in self.store.get_many(&keys).map_err(ReadError::from)?.into_iter().flatten() {
                    records.extend(run.decode(&row));
                }
            }
            records.sort_unstable();
            rows.put(merged.rows(self.log, &records))?;
            // A large merge takes longer than appends may wait for the newest leaves to become a run.
            if self.index.is_due() {
                self.build()?;
            }
        }
        let next = self.manifest()?.with_merged(merged);
        rows.finish(&next)?;
        self.index.install(next);
        Ok(true)
    }

    /// Deletes the rows of runs that were merged, a bounded number at a time.
    fn delete_dead(&self) -> Result<(), BuildError> {
        let manifest = self.manifest()?;
        if manifest.dead().is_empty() {
            return Ok(());
        }
        let keys = manifest.dead().iter().flat_map(|run| (0..run.buckets()).map(|bucket| run.key(self.log, bucket)));
        let mut deletes = Vec::new();
        for key in keys {
            deletes.push(key);
            if deletes.len() == MAINTENANCE_ROWS {
                self.submit(MaintainJob { deletes: core::mem::take(&mut deletes), ..MaintainJob::default() })?;
            }
        }
        let next = manifest.without_dead();
        let puts = vec![(Manifest::key(self.log), next.encode())];
        self.submit(MaintainJob { puts, deletes, done: None })?;
        self.index.install(next);
        Ok(())
    }

    /// Deletes what a run left that was never finished.
    fn delete_strays(&self) -> Result<(), BuildError> {
        let strays = KeyRange::from_key(Run::first_key(self.log, self.manifest()?.next_id()));
        loop {
            let rows = self.store.scan(&strays, MAINTENANCE_ROWS).map_err(ReadError::from)?;
            if rows.is_empty() {
                return Ok(());
            }
            let deletes = rows.into_iter().map(|(key, _)| key).collect();
            self.submit(MaintainJob { deletes, ..MaintainJob::default() })?;
        }
    }

    /// Has rows written, and waits until they are durable.
    fn submit(&self, mut job: MaintainJob) -> Result<(), BuildError> {
        let (done, wait) = sync_channel(1);
        job.done = Some(Done::Thread(done));
        self.sequencer.submit_own(Job::Maintain(job));
        wait.recv().map_err(|_| BuildError::Stopped)
    }
}

/// Rows of a new run on their way to the writer, a bounded number of bytes at a time.
struct Rows<'a, 'b> {
    work: &'a Work<'b>,
    puts: Vec<(Key, Vec<u8>)>,
    bytes: usize,
}

impl<'a, 'b> Rows<'a, 'b> {
    fn new(work: &'a Work<'b>) -> Self {
        Self { work, puts: Vec::new(), bytes: 0 }
    }

    fn put(&mut self, rows: Vec<(Key, Vec<u8>)>) -> Result<(), BuildError> {
        for (key, row) in rows {
            self.bytes += row.len();
            self.puts.push((key, row));
            if self.bytes >= MAINTENANCE_BYTES {
                self.bytes = 0;
                self.work.submit(MaintainJob { puts: core::mem::take(&mut self.puts), ..MaintainJob::default() })?;
            }
        }
        Ok(())
    }

    /// The manifest goes with the last rows: before it, the run does not exist.
    fn finish(mut self, manifest: &Manifest) -> Result<(), BuildError> {
        self.puts.push((Manifest::key(self.work.log), manifest.encode()));
        self.work.submit(MaintainJob { puts: self.puts, ..MaintainJob::default() })
    }
}

/// The size class of a run.
fn tier(run: &Run) -> u32 {
    ((run.end - run.start) / INDEX_RUN_ENTRIES).max(1).ilog(INDEX_FAN as u64)
}
