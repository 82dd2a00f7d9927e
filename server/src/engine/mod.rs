//! The engine: any number of logs in one database, appended to by one writer and read by anybody.
//!
//! Not here: HTTP, tokens, configuration. The order of writes and the point of no return stand in `sequencer/commit`
//! and `sequencer/releaser`.

mod again;
mod ailing;
mod append;
mod batch;
mod bound;
mod bounds;
mod caches;
mod clock;
mod damaged;
mod disk;
pub(crate) mod doubt;
mod due;
mod followed;
mod freeze;
mod fsck;
mod growing;
mod head;
mod idempotency;
mod index;
mod judge;
mod keyring;
mod keys;
mod layout;
mod life;
mod mend;
mod observer;
mod open;
pub mod postings;
mod proven;
mod publish;
mod published;
mod reader;
mod readmit;
mod reads;
pub mod records;
mod registry;
mod reindex;
mod replay;
mod scrub;
mod sequencer;
mod sign;
mod stored;
mod tables;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, RwLock};

use cairn_rocks::{RocksStore, Settings};
use cairn_tree::note::SignerKey;
use cairn_tree::store::{Batch, CommitError, DatabaseId, LogId, Store};
use tokio::sync::{oneshot, watch};

pub use again::{RowSort, row_again};
pub use append::{AppendError, Appended, IdempotencyKey};
pub use batch::{BatchError, EntryBatch};
pub use bound::{BoundKey, BoundKeys, BoundLog, bound_keys};
pub use caches::Cached;
pub use clock::{Clock, SystemClock};
pub use doubt::{policy_in_doubt, say_which_policy};
pub use followed::Following;
pub use freeze::{FreezeError, Frozen, FrozenLog, freeze_stopped, frozen_folder, remove_frozen};
pub use fsck::{Finding, Progress, fsck};
pub use head::{Head, LogInfo};
pub use keyring::KeyRingError;
pub use keys::{KeyFile, KeyFileError, KeyFiles};
pub use layout::{KeyEntry, KeyStatus, LogState, Placement, Successor, Terms};
pub use life::LifeError;
pub use mend::{Copy, Draw, MendError, MendedLog, Mending, Mirror, Remedy, Report, Sources, SwapError, Wrong};
pub use mend::{RepairLock, clear_undecided, settle, sources_folder};
pub use observer::{CommitFigures, Observer, Unobserved};
pub use open::OpenError;
pub use publish::PublishError;
pub use published::{LogPolicy, Published};
pub use reader::ProofError;
pub use readmit::{Readmission, ReadmitError, Readmitted, Verdict, examine, readmit};
pub use reindex::{ReindexError, Reindexed, reindex};
pub use scrub::{CheckRecords, Checked, Damage, NoRecords, Place, ScrubFigures, ScrubOptions, ScrubState, Scrubber};
pub use sequencer::{CreateError, PoolBounds};
pub use stored::ReadError;

use append::Bound;
use damaged::Damaged;
use disk::Disk;
use due::Due;
use head::Shared;
use index::Builder;
use keyring::KeyRing;
use layout::{BindingRow, DatabaseRow};
use postings::Upkeep;
use reader::Reader;
use records::{Indexes, Newest};
use registry::Registry;
use sequencer::{AppendJob, CreateJob, Job, Refused, Releaser, ReleaserParts, Sequencer, Writer, WriterParts};

use crate::high_water::{HighWater, HighWaterError, Marks};
use crate::incidents::Incidents;
use crate::log_name::LogName;
use crate::signer::{Connection, SignerError};

#[cfg(test)]
mod tests;

/// Where a database is and how it behaves.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The folder of everything.
    pub data: PathBuf,
    /// The high-water file, if it stands elsewhere: on another disk it survives the loss of this one.
    pub high_water: Option<PathBuf>,
    /// The most that may wait for the writer.
    pub pool: PoolBounds,
    /// How long an idempotency key is remembered, in milliseconds.
    pub idempotency_ms: u64,
    /// Bytes of disk that appends leave free.
    pub disk_reserve: u64,
    /// The socket of the signer process that has the logs' keys, if they are not in files here.
    pub signer: Option<PathBuf>,
    /// The store's own settings.
    pub settings: Settings,
}

impl EngineOptions {
    /// The store's folder.
    #[must_use]
    pub fn database_path(&self) -> PathBuf {
        self.data.join("db")
    }

    /// The high-water file.
    #[must_use]
    pub fn high_water_path(&self) -> PathBuf {
        self.high_water.clone().unwrap_or_else(|| self.data.join("high-water"))
    }

    /// The key files.
    #[must_use]
    pub fn key_files(&self) -> KeyFiles {
        KeyFiles::new(self.data.join("keys"))
    }
}

/// Why a new database was not made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is one already, or the folder can't be written.
    #[error(transparent)]
    Engine(#[from] cairn_rocks::OpenError),
    /// Its first row could not be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Its high-water file could not be made.
    #[error(transparent)]
    HighWater(#[from] HighWaterError),
}

/// An open database with its writer. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Running>,
}

struct Running {
    reader: Arc<Reader>,
    registry: Arc<Registry>,
    sequencer: Arc<Sequencer>,
    builder: Builder,
    rocks: Arc<RocksStore>,
    data: PathBuf,
    incidents: Arc<Incidents>,
    /// One frozen copy at a time, from its folder's making to the end of the writer's part.
    freezing: Arc<tokio::sync::Mutex<()>>,
    /// Damage that belongs to no log.
    damage: Damaged,
    /// Places that reads found damaged.
    read_findings: AtomicU64,
    disk: Disk,
    keys: KeyRing,
    database: DatabaseId,
    /// The newest records, as the writer remembers them.
    newest: Arc<RwLock<Newest>>,
    /// Builds the postings of records, and what they share.
    indexer: postings::Builder,
    upkeep: Arc<Upkeep>,
    /// Makes and changes logs, one at a time; whether a log may have been made whose outcome is unknown.
    life: tokio::sync::Mutex<Life>,
}

#[derive(Default)]
struct Life {
    unknown: bool,
}

impl Running {
    fn close(&self) {
        self.sequencer.close();
        self.builder.close();
        self.indexer.close();
    }
}

/// Whoever forgets to close still lets go of the database.
impl Drop for Running {
    fn drop(&mut self) {
        self.close();
    }
}

impl Engine {
    /// Makes a new, empty database. The one place where one comes to be.
    ///
    /// # Errors
    /// [`InitError`]; a database that is there already is never touched.
    pub fn create(options: &EngineOptions, id: DatabaseId) -> Result<(), InitError> {
        let store = RocksStore::create(&options.database_path(), &options.settings)?;
        HighWater::create(&options.high_water_path(), id)?;
        let mut batch = Batch::new();
        batch.put(DatabaseRow::key(), DatabaseRow { id, commit: 1, released: 0, next_log: LogId::new(1) }.encode());
        // The row goes last: a database without it was never finished, and is refused as such.
        store.commit(batch)?;
        Ok(())
    }

    /// Opens a database, checks it against everything that was ever released, and starts its writer.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong and what to do.
    pub fn open(
        options: &EngineOptions,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, OpenError> {
        let rocks = Arc::new(open::open_store(options)?);
        let store = Arc::clone(&rocks) as Arc<dyn Store>;
        #[cfg(feature = "canaries")]
        let store = crate::canary::late(crate::canary::flipping(store));
        Self::start(options, store, rocks, HighWater::open, clock, observer)
    }

    /// Starts on a store that is open: `store` is `rocks`, or stands before it to fail on purpose; so may the high-water.
    fn start(
        options: &EngineOptions,
        store: Arc<dyn Store>,
        rocks: Arc<RocksStore>,
        open_high_water: impl FnOnce(&Path, DatabaseId) -> Result<(HighWater, Marks), HighWaterError>,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, OpenError> {
        let data = options.data.clone();
        let database = open::read_database(&*store, data.clone())?;
        let (high_water, marks) = open_high_water(&options.high_water_path(), database.id)?;
        let connection = options.signer.clone().map(|path| Arc::new(Connection::new(path)));
        let keys = KeyRing::new(options.key_files(), connection);
        let reader = Arc::new(Reader::new(Arc::clone(&store)));
        let opened = open::open_logs(&reader, database, &marks, &keys)?;
        let (registry, due) = (Arc::new(opened.registry), Arc::new(Due::default()));
        let disk = Disk::new(vec![data.clone(), options.high_water_path()], options.disk_reserve);
        let (poison, newest) = (Arc::default(), Arc::<RwLock<Newest>>::default());
        let incidents = Arc::new(Incidents::open(&data).map_err(OpenError::Incidents)?);
        let (mut releaser, release) = Releaser::new(ReleaserParts {
            high_water,
            marked: marks.commit(),
            observer: Arc::clone(&observer),
            registry: Arc::clone(&registry),
            due: Arc::clone(&due),
            reader: Arc::clone(&reader),
            poison: Arc::clone(&poison),
        });
        let parts = WriterParts {
            store: Arc::clone(&store),
            clock,
            observer,
            database: opened.database,
            registry: Arc::clone(&registry),
            idempotency_ms: options.idempotency_ms,
            disk: disk.clone(),
            poison,
            newest: Arc::clone(&newest),
            incidents: Arc::clone(&incidents),
        };
        let mut writer = Writer::new(parts, release);
        writer.resume(&mut releaser, &marks, opened.fresh_marks, opened.damaged)?;
        let sequencer = Arc::new(Sequencer::start(writer, releaser, options.pool).map_err(OpenError::Thread)?);
        let builder = Builder::start(due, Arc::clone(&store), Arc::clone(&registry), Arc::clone(&sequencer))
            .map_err(OpenError::Thread)?;
        let upkeep = Arc::<Upkeep>::default();
        let indexes = Indexes::of(&registry, (store, &rocks), &sequencer, &upkeep);
        let indexer = postings::Builder::start(Arc::clone(&upkeep), Arc::new(indexes)).map_err(OpenError::Thread)?;
        let running = Running {
            reader,
            registry,
            sequencer,
            builder,
            rocks,
            data,
            incidents,
            freezing: Arc::default(),
            damage: Damaged::default(),
            read_findings: AtomicU64::new(0),
            disk,
            keys,
            database: database.id,
            life: tokio::sync::Mutex::default(),
            newest,
            indexer,
            upkeep,
        };
        Ok(Self { inner: Arc::new(running) })
    }

    /// The log of this name.
    #[must_use]
    pub fn log(&self, name: &str) -> Option<Log> {
        let shared = self.inner.registry.get(name)?;
        Some(Log { running: Arc::clone(&self.inner), shared, is_of_crowd: false })
    }

    /// All logs, in order of their names.
    #[must_use]
    pub fn logs(&self) -> Vec<Log> {
        let log = |shared| Log { running: Arc::clone(&self.inner), shared, is_of_crowd: false };
        self.inner.registry.all().into_iter().map(log).collect()
    }

    /// Makes a log with its own keys, whose files are written first.
    ///
    /// # Errors
    /// [`CreateLogError`]; then there is no such log and no new key file.
    pub async fn create_log(&self, terms: Terms, keys: Vec<SignerKey>) -> Result<LogInfo, CreateLogError> {
        let mut life = self.inner.life.lock().await;
        self.create_in(&mut life, terms, keys, None).await
    }

    async fn create_in(
        &self,
        life: &mut Life,
        terms: Terms,
        keys: Vec<SignerKey>,
        predecessor: Option<LogName>,
    ) -> Result<LogInfo, CreateLogError> {
        let name = terms.name.clone();
        if self.inner.registry.get(&name).is_some() {
            return Err(CreateError::Exists(name.to_string()).into());
        }
        // A log of this name may be there after a restart: its key files are not those of a log that was never made.
        if life.unknown {
            return Err(CreateError::Stopping.into());
        }
        let (ring, database, planned) = (self.inner.keys.clone(), self.inner.database, terms.clone());
        let (keys, signer) = life::blocking(ring.waits(), move || {
            let keys = ring.create(&planned.name, &planned.origin, &keys)?;
            let vkeys = keys.iter().map(ToString::to_string).collect();
            let signer = ring.signer(&BindingRow::new(&database, planned, 0, vkeys))?;
            Ok::<_, CreateLogError>((keys, signer))
        })
        .await?;
        let (reply, answer) = oneshot::channel();
        let job = Job::Create(Box::new(CreateJob { terms, predecessor, signer, reply }));
        let created = match self.inner.sequencer.submit(job) {
            Ok(()) => answer.await.unwrap_or(Err(CreateError::Stopping)),
            Err(Refused::Full) => Err(CreateError::Busy),
            Err(Refused::Closed) => Err(CreateError::Stopping),
        };
        match created {
            // The outcome is unknown: the log may be there after a restart, and would need its key.
            Err(CreateError::Stopping) => life.unknown = true,
            Ok(_) => {}
            Err(_) => self.inner.keys.discard(&name, &keys.into_iter().enumerate().collect::<Vec<_>>()),
        }
        Ok(created?)
    }

    /// Why the writer has stopped, if it has: the process must end then.
    #[must_use]
    pub fn poisoned(&self) -> Option<String> {
        self.inner.sequencer.poison()
    }

    /// How many requests wait for the writer.
    #[must_use]
    pub fn queue_depth(&self) -> usize {
        self.inner.sequencer.depth()
    }

    /// The file of what went wrong; whoever finds something writes there, so that the numbers count up for all.
    #[must_use]
    pub fn incidents(&self) -> Arc<Incidents> {
        Arc::clone(&self.inner.incidents)
    }

    /// The identity of the database.
    #[must_use]
    pub fn database_id(&self) -> DatabaseId {
        self.inner.database
    }

    /// Whether the disk has room for appends; else the free bytes and the reserve.
    ///
    /// # Errors
    /// [`AppendError::DiskReserve`].
    pub fn disk(&self) -> Result<(), AppendError> {
        let low = |low: disk::BelowReserve| AppendError::DiskReserve { free: low.free, reserve: low.reserve };
        self.inner.disk.check().map_err(low)
    }

    /// Damage that was found outside of any log: how much, and the first of it.
    #[must_use]
    pub fn damage(&self) -> Option<(usize, String)> {
        self.inner.damage.told()
    }

    /// How many places reads have found damaged since the start, so that their logs were halted.
    #[must_use]
    pub fn read_findings(&self) -> u64 {
        self.inner.read_findings.load(Relaxed)
    }

    /// The store's own figures.
    #[must_use]
    pub fn store_stats(&self) -> cairn_rocks::Stats {
        self.inner.rocks.stats()
    }

    /// Forgets expired idempotency keys, a bounded number after each commit until none are left. To be called now and then.
    pub fn sweep(&self) {
        for log in self.inner.registry.all() {
            self.inner.sequencer.submit_own(Job::Sweep(log.info.id));
        }
    }

    /// Takes no more appends, finishes and answers those that were taken, and stops the threads. Reads go on.
    pub fn close(&self) {
        self.inner.close();
    }
}

/// Why a log was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateLogError {
    /// Its keys can't be made.
    #[error(transparent)]
    Keys(#[from] KeyRingError),
    /// Its keys can't be asked for.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The writer refused.
    #[error(transparent)]
    Create(#[from] CreateError),
}

/// One log of an open database. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    running: Arc<Running>,
    shared: Arc<Shared>,
    /// Whether whoever has it brings many things at once.
    is_of_crowd: bool,
}

impl Log {
    /// The same for a caller who brings many things at once: those of others are taken first.
    #[must_use]
    pub fn of_crowd(mut self, is_of_crowd: bool) -> Self {
        self.is_of_crowd = is_of_crowd;
        self
    }

    /// What is fixed about it.
    #[must_use]
    pub fn info(&self) -> &LogInfo {
        &self.shared.info
    }

    /// Whether it takes appends.
    #[must_use]
    pub fn state(&self) -> LogState {
        self.shared.state()
    }

    /// Damage that was found in it: how much, and the first of it.
    #[must_use]
    pub fn damage(&self) -> Option<(usize, String)> {
        self.shared.damage.told()
    }

    /// The newest released head.
    #[must_use]
    pub fn head(&self) -> Arc<Head> {
        self.shared.head()
    }

    /// Follows the released heads; a slow follower sees only the newest.
    #[must_use]
    pub fn heads(&self) -> watch::Receiver<Arc<Head>> {
        self.shared.heads.subscribe()
    }

    /// Appends a batch, all of it or nothing. Resolves once it is under a released head, which is then durable.
    ///
    /// # Errors
    /// [`AppendError`]. After [`AppendError::Stopping`] the batch may still be found after a restart; a retry with the
    /// same idempotency key is exact.
    pub async fn append(&self, batch: EntryBatch, key: Option<IdempotencyKey>) -> Result<Appended, AppendError> {
        self.refuse_early()?;
        let bound = key.map(|key| Bound { key, leaves: batch.digest() });
        let (reply, answer) = oneshot::channel();
        let job = Job::Append(AppendJob {
            log: Arc::clone(&self.shared),
            is_of_crowd: self.is_of_crowd,
            batch,
            bound,
            reply,
        });
        let stopping = || AppendError::Stopping(self.running.sequencer.poison().unwrap_or_default());
        match self.running.sequencer.submit(job) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(stopping())),
            Err(Refused::Full) => Err(AppendError::QueueFull),
            Err(Refused::Closed) => Err(stopping()),
        }
    }
}
