//! The engine without HTTP: a fresh database with one log, and callers that append batches.

pub(crate) mod many;
pub(crate) mod records;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cairn_rocks::Settings;
use cairn_tree::note::{KeyName, SignatureType, SignerKey};
use cairn_tree::store::DatabaseId;
use cairnd::engine::{
    CommitFigures, Engine, EngineOptions, EntryBatch, Log, Observer, PoolBounds, SystemClock, Terms, Unobserved,
};
use tokio::runtime::Runtime;

use crate::payload::Payload;

/// The log that is measured.
const LOG: &str = "bench";
/// Entries of one batch.
pub(crate) const BATCH: usize = 1_000;
/// Batches that wait for their answer at a time.
pub(crate) const IN_FLIGHT: u64 = 16;

/// What is fixed about the measured log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HashIndex {
    /// Entries can be found by their hash.
    With,
    /// They can't.
    Without,
}

/// An open database, and what its commits were like.
pub(crate) struct Appender {
    runtime: Runtime,
    engine: Engine,
    log: Log,
    commits: Arc<Commits>,
}

/// Sums over all commits.
#[derive(Default)]
pub(crate) struct Commits {
    count: AtomicU64,
    entries: AtomicU64,
    admit_us: AtomicU64,
    store_us: AtomicU64,
    check_us: AtomicU64,
    sign_us: AtomicU64,
    high_water_us: AtomicU64,
}

impl Observer for Commits {
    fn committed(&self, figures: &CommitFigures) {
        let add = |sum: &AtomicU64, time: Duration| sum.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.entries.fetch_add(figures.entries as u64, Ordering::Relaxed);
        add(&self.admit_us, figures.admit);
        add(&self.store_us, figures.store);
        add(&self.check_us, figures.check);
        add(&self.sign_us, figures.sign);
        add(&self.high_water_us, figures.high_water);
    }

    fn halted(&self, log: cairn_tree::store::LogId, reason: &str) {
        eprintln!("log {log} halted: {reason}");
    }

    fn poisoned(&self, reason: &str) {
        eprintln!("the engine has stopped: {reason}");
    }
}

impl Commits {
    /// Entries per commit, and the share of `elapsed` that its steps took.
    #[must_use]
    pub(crate) fn describe(&self, elapsed: Duration) -> String {
        let of = |sum: &AtomicU64| sum.load(Ordering::Relaxed) as f64;
        let share = |sum: &AtomicU64| 100.0 * of(sum) / elapsed.as_micros() as f64;
        let (admit, store, check) = (share(&self.admit_us), share(&self.store_us), share(&self.check_us));
        let (sign, high_water) = (share(&self.sign_us), share(&self.high_water_us));
        format!(
            "{:.0} entries per commit; of the time: placing {admit:.0} %; synced write {store:.0} %, of large commits \
             beside that; behind both check {check:.0} %, signing {sign:.0} %, high-water {high_water:.0} %",
            self.entries_per_commit(),
        )
    }

    /// Entries per commit.
    #[must_use]
    pub(crate) fn entries_per_commit(&self) -> f64 {
        self.entries.load(Ordering::Relaxed) as f64 / (self.count.load(Ordering::Relaxed) as f64).max(1.0)
    }
}

/// How an engine is set up here: as the server sets it up by default.
#[must_use]
pub(crate) fn options(data: &Path) -> EngineOptions {
    EngineOptions {
        data: data.to_owned(),
        high_water: None,
        pool: PoolBounds { requests: 16_384, bytes: 128 << 20 },
        idempotency_ms: 86_400_000,
        disk_reserve: 256 << 20,
        signer: None,
        settings: Settings::default(),
    }
}

impl Appender {
    /// Opens a database that is there, and a log in it.
    ///
    /// # Errors
    /// Whatever the engine says.
    pub(crate) fn open(data: &Path, log: &str) -> anyhow::Result<Self> {
        let commits = Arc::new(Commits::default());
        let engine = Engine::open(&options(data), Arc::new(SystemClock), Arc::clone(&commits) as _)?;
        let log = engine.log(log).context("no such log")?;
        Ok(Self { runtime: Runtime::new()?, engine, log, commits })
    }

    /// Makes a database in an empty folder, and a log in it.
    ///
    /// # Errors
    /// Whatever the engine says.
    pub(crate) fn create(data: &Path, hash_index: HashIndex) -> anyhow::Result<Self> {
        Engine::create(&options(data), DatabaseId::new([7; 16]))?;
        let engine = Engine::open(&options(data), Arc::new(SystemClock), Arc::new(Unobserved))?;
        let origin = format!("example.com/logs/{LOG}");
        let signer = SignerKey::from_seed(KeyName::new(origin.clone())?, SignatureType::ED25519, &[1; 32])?;
        let terms = Terms {
            name: cairnd::log_name::LogName::new(LOG)?,
            origin,
            private: false,
            open_append: false,
            dedup: false,
            hash_index: hash_index == HashIndex::With,
        };
        Runtime::new()?.block_on(engine.create_log(terms, vec![signer]))?;
        engine.close();
        drop(engine);
        Self::open(data, LOG)
    }

    /// Appends batches, [`IN_FLIGHT`] at a time, until `until` says that it is enough; returns how many entries.
    ///
    /// # Errors
    /// The first append that failed.
    pub(crate) fn append(&self, payload: &Arc<Payload>, until: Until) -> anyhow::Result<Appended> {
        let (start, next) = (Instant::now(), Arc::new(AtomicU64::new(self.log.head().size.get())));
        let callers: Vec<_> = (0..IN_FLIGHT)
            .map(|_| {
                let (log, payload, next) = (self.log.clone(), Arc::clone(payload), Arc::clone(&next));
                self.runtime.spawn(async move {
                    let mut waits = Vec::new();
                    while !until.reached(start, next.load(Ordering::Relaxed)) {
                        let first = next.fetch_add(BATCH as u64, Ordering::Relaxed);
                        let batch = EntryBatch::from_encoded(payload.batch(first, BATCH), BATCH)?;
                        let before = Instant::now();
                        match log.append(batch, None).await {
                            Ok(_) => waits.push(before.elapsed()),
                            // The hash index is built more slowly than entries come.
                            Err(cairnd::engine::AppendError::QueueFull) => {
                                tokio::time::sleep(Duration::from_millis(5)).await;
                            }
                            Err(error) => return Err(error.into()),
                        }
                    }
                    anyhow::Ok(waits)
                })
            })
            .collect();
        let mut waits = Vec::new();
        for caller in callers {
            waits.extend(self.runtime.block_on(caller)??);
        }
        let elapsed = start.elapsed();
        waits.sort_unstable();
        Ok(Appended { entries: waits.len() as u64 * BATCH as u64, elapsed, waits })
    }

    /// What the commits were like.
    #[must_use]
    pub(crate) fn commits(&self) -> &Commits {
        &self.commits
    }

    /// How many entries the log has.
    #[must_use]
    pub(crate) fn size(&self) -> u64 {
        self.log.head().size.get()
    }

    /// Waits until nothing is left to do behind the appends: index runs that are due are built.
    pub(crate) fn settle(&self) {
        // A run is built within a fraction of a second; the queue is empty once nobody hands the writer rows.
        let mut quiet = 0;
        while quiet < 10 {
            std::thread::sleep(Duration::from_millis(100));
            let stats = self.engine.store_stats();
            let pending: u64 = stats.families.iter().map(|family| family.pending_compaction_bytes).sum();
            quiet = if self.engine.queue_depth() == 0 && pending == 0 { quiet + 1 } else { 0 };
        }
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        self.engine.close();
    }
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// After this time.
    Elapsed(Duration),
    /// When the log has this many entries.
    Size(u64),
}

impl Until {
    fn reached(self, start: Instant, size: u64) -> bool {
        match self {
            Self::Elapsed(time) => start.elapsed() >= time,
            Self::Size(most) => size >= most,
        }
    }
}

/// What was appended.
pub(crate) struct Appended {
    /// Entries.
    pub(crate) entries: u64,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// How long each batch waited, shortest first.
    pub(crate) waits: Vec<Duration>,
}

impl Appended {
    /// Entries per second.
    #[must_use]
    pub(crate) fn rate(&self) -> f64 {
        self.entries as f64 / self.elapsed.as_secs_f64()
    }

    /// The wait that this share of the batches did not pass.
    #[must_use]
    pub(crate) fn wait(&self, share: f64) -> Duration {
        let last = self.waits.len().saturating_sub(1) as f64;
        self.waits.get((last * share) as usize).copied().unwrap_or_default()
    }
}
