//! Commits as the engine tells of them, and what is read off its logs when somebody scrapes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use cairn_rocks::{FamilyStats, Stats};
use cairn_tree::store::LogId;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use tokio::sync::watch;
use tracing::error;

use super::figure::{Histogram, Labels, MICROSECONDS, NUMBERS, TIMES, counter, gauge};
use crate::engine::{Cached, CommitFigures, Engine, Log, LogState, Observer};

/// What the writer does.
#[derive(Debug)]
pub struct EngineMetrics {
    commits: AtomicU64,
    requests: AtomicU64,
    entries: AtomicU64,
    bytes: AtomicU64,
    batch_requests: Histogram<{ NUMBERS.len() }>,
    batch_entries: Histogram<{ NUMBERS.len() }>,
    whole: Histogram<{ TIMES.len() }>,
    store: Histogram<{ TIMES.len() }>,
    check: Histogram<{ TIMES.len() }>,
    sign: Histogram<{ TIMES.len() }>,
    high_water: Histogram<{ TIMES.len() }>,
    halted: AtomicU64,
    poisoned: AtomicBool,
}

impl Default for EngineMetrics {
    fn default() -> Self {
        let times = || Histogram::new(TIMES);
        Self {
            commits: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            batch_requests: Histogram::new(NUMBERS),
            batch_entries: Histogram::new(NUMBERS),
            whole: times(),
            store: times(),
            check: times(),
            sign: times(),
            high_water: times(),
            halted: AtomicU64::new(0),
            poisoned: AtomicBool::new(false),
        }
    }
}

impl Observer for EngineMetrics {
    fn committed(&self, figures: &CommitFigures) {
        self.commits.fetch_add(1, Relaxed);
        self.requests.fetch_add(figures.requests as u64, Relaxed);
        self.entries.fetch_add(figures.entries as u64, Relaxed);
        self.bytes.fetch_add(figures.bytes as u64, Relaxed);
        self.batch_requests.record(figures.requests as u64);
        self.batch_entries.record(figures.entries as u64);
        self.whole.record_time(figures.whole);
        self.store.record_time(figures.store);
        self.check.record_time(figures.check);
        self.sign.record_time(figures.sign);
        self.high_water.record_time(figures.high_water);
    }

    fn halted(&self, log: LogId, reason: &str) {
        self.halted.fetch_add(1, Relaxed);
        error!(%log, reason, "a log was halted; it takes no appends until it is repaired");
    }

    fn poisoned(&self, reason: &str) {
        self.poisoned.store(true, Relaxed);
        error!(reason, "the database can't be written any more; the process will end");
    }
}

/// The observer of a server: counts, and tells whoever waits that the process must end.
#[derive(Debug)]
pub struct Watched {
    metrics: Arc<EngineMetrics>,
    poisoned: watch::Sender<bool>,
}

impl Watched {
    /// An observer, and what becomes true when the database is poisoned.
    #[must_use]
    pub fn new(metrics: Arc<EngineMetrics>) -> (Self, watch::Receiver<bool>) {
        let (poisoned, told) = watch::channel(false);
        (Self { metrics, poisoned }, told)
    }
}

impl Observer for Watched {
    fn committed(&self, figures: &CommitFigures) {
        self.metrics.committed(figures);
    }

    fn halted(&self, log: LogId, reason: &str) {
        self.metrics.halted(log, reason);
    }

    fn poisoned(&self, reason: &str) {
        self.metrics.poisoned(reason);
        self.poisoned.send_replace(true);
    }
}

impl EngineMetrics {
    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counts = [
            ("appends", "Entries that were appended, durable and under a signed head.", &self.entries),
            ("append_requests", "Requests to append that a commit answered.", &self.requests),
            ("append_bytes", "Bytes of appended entries.", &self.bytes),
            ("commits", "Commits.", &self.commits),
            ("logs_halted", "Times that a log was halted.", &self.halted),
        ];
        for (name, help, value) in counts {
            counter(encoder, name, help, value.load(Relaxed))?;
        }
        let numbers = [
            ("commit_requests", "Requests in one commit.", &self.batch_requests),
            ("commit_entries", "Entries in one commit.", &self.batch_entries),
        ];
        for (name, help, histogram) in numbers {
            histogram.encode(&mut encoder.encode_descriptor(name, help, None, MetricType::Histogram)?, 1.0)?;
        }
        let times = [
            ("commit_seconds", "Seconds of a commit, from write to release.", &self.whole),
            ("commit_store_seconds", "Seconds of the synced write to the store (with its fsync).", &self.store),
            ("commit_check_seconds", "Seconds to read back and hash again.", &self.check),
            ("commit_sign_seconds", "Seconds to sign, beside the next commit's write.", &self.sign),
            ("commit_high_water_seconds", "Seconds of the high-water's write and fsync, likewise.", &self.high_water),
        ];
        for (name, help, histogram) in times {
            histogram.encode(&mut encoder.encode_descriptor(name, help, None, MetricType::Histogram)?, MICROSECONDS)?;
        }
        let poisoned = if self.poisoned.load(Relaxed) { 1.0 } else { 0.0 };
        gauge(encoder, "poisoned", "1 if the database can't be written any more.", poisoned)
    }
}

/// Writes how much waits for the writer, and what the store tells of itself.
pub(super) fn encode_store(engine: &Engine, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let Stats { families, block_cache_bytes, writes_stopped, delayed_write_rate, background_errors } =
        engine.store_stats();
    gauge(encoder, "queue_requests", "Requests that wait for the writer.", engine.queue_depth() as f64)?;
    gauge(encoder, "store_block_cache_bytes", "Bytes of the block cache in use.", block_cache_bytes as f64)?;
    let stopped = if writes_stopped { 1.0 } else { 0.0 };
    gauge(encoder, "store_writes_stopped", "1 if commits wait for flushes or compactions.", stopped)?;
    let help = "Bytes per second to which commits are slowed down; 0 if they are not.";
    gauge(encoder, "store_delayed_write_rate", help, delayed_write_rate as f64)?;
    let help = "Flushes and compactions that failed.";
    counter(encoder, "store_background_errors", help, background_errors)?;
    let mut each = |name, help, value: fn(&FamilyStats) -> u64| {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        families.iter().try_for_each(|family| {
            let labels: Labels<'_, 1> = [("family", family.name)];
            metric.encode_family(&labels)?.encode_gauge(&(value(family) as f64))
        })
    };
    each("store_table_bytes", "Bytes of table files.", |family| family.table_bytes)?;
    each("store_memtable_bytes", "Bytes of rows that are not in tables yet.", |family| family.memtable_bytes)?;
    let help = "Bytes that compaction has to rewrite, as estimated.";
    each("store_pending_compaction_bytes", help, |family| family.pending_compaction_bytes)?;
    each("store_rows", "Rows, as estimated.", |family| family.rows)
}

/// Writes how full everything is that is kept in memory within a bound; `states` is kept outside the engine.
pub(super) fn encode_caches(engine: &Engine, states: Cached, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let cached: Vec<Cached> = engine.cached().into_iter().chain([states]).collect();
    let mut each = |name, help, value: fn(&Cached) -> u64| {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        cached.iter().try_for_each(|cache| {
            let labels: Labels<'_, 1> = [("cache", cache.name)];
            metric.encode_family(&labels)?.encode_gauge(&(value(cache) as f64))
        })
    };
    each("cache_bytes", "Bytes in use, by cache.", |cache| cache.used)?;
    each("cache_capacity_bytes", "Bytes that are in use at most, by cache.", |cache| cache.capacity)
}

/// Writes what each of these logs looks like now.
pub(super) fn encode_logs(logs: &[Log], now_ms: u64, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let logs: Vec<_> = logs.iter().map(|log| (log.info().name.as_str(), log.head(), log.state())).collect();
    let mut metric = encoder.encode_descriptor("log_size", "Entries of a log.", None, MetricType::Gauge)?;
    for (label, head, _) in &logs {
        let labels: Labels<'_, 1> = [("log", *label)];
        metric.encode_family(&labels)?.encode_gauge(&(head.size.get() as f64))?;
    }
    let help = "Seconds since a log's newest head was made.";
    let mut metric = encoder.encode_descriptor("log_head_age_seconds", help, None, MetricType::Gauge)?;
    for (label, head, _) in &logs {
        let labels: Labels<'_, 1> = [("log", *label)];
        metric.encode_family(&labels)?.encode_gauge(&(now_ms.saturating_sub(head.time_ms) as f64 / 1000.0))?;
    }
    let mut metric = encoder.encode_descriptor("log_open", "1 if a log takes appends.", None, MetricType::Gauge)?;
    for (label, _, state) in &logs {
        let labels: Labels<'_, 1> = [("log", *label)];
        metric.encode_family(&labels)?.encode_gauge(&if *state == LogState::Open { 1.0 } else { 0.0 })?;
    }
    Ok(())
}
