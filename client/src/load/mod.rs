//! The load generator: many keep-alive connections, each asking again as soon as it is answered (a closed loop).
//!
//! It measures and verifies nothing beyond status and shape. It speaks HTTP/1.1 without TLS, so that what is measured
//! is the server. Latencies are those that a caller who waits would see; a server that stalls also stalls the callers,
//! so the percentiles say nothing about requests that would have come meanwhile.

mod connection;
mod payload;
mod record;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_tree::size::{TreeSize, counted};
use hdrhistogram::Histogram;
use serde::Serialize;

use self::connection::Target;
use self::payload::Pool;
pub use self::record::ReferenceRecords;
use crate::bounds::{self, TILE_WIDTH};
use crate::fetch::{LogUrl, Token};

/// How many histograms the connections share; more than there are cores, so that they seldom meet.
const SHARDS: usize = 32;
/// Latencies are counted in microseconds, to this many significant digits.
const DIGITS: u8 = 3;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// `POST add`: one entry, answered with its index.
    Single,
    /// `POST entries`: one entry, answered with its receipt.
    Receipt,
    /// `POST entries`: a binary batch, without receipts.
    Batch,
    /// `POST /v1/records`: a batch of [`ReferenceRecords`], without receipts. The address is the server's, not a log's.
    Records,
    /// `GET proof/inclusion` of random entries.
    Proof,
    /// `GET tile/0/N` of random full tiles.
    Tile,
}

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which requests.
    pub mode: Mode,
    /// How many connections ask at the same time.
    pub connections: usize,
    /// How long they start new requests.
    pub duration: Duration,
    /// The bytes of one entry.
    pub size: usize,
    /// The entries of one batch.
    pub batch: usize,
    /// The size of the tree whose entries and tiles are read; unused when appending.
    pub tree: TreeSize,
    /// Distinguishes the entries of this run from those of any other.
    pub run: u64,
}

/// Why nothing was measured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The generator would measure itself.
    #[error("load speaks plain HTTP only: give it an http:// address")]
    Tls,
    /// The address could not be resolved.
    #[error("{0}")]
    Address(String),
    /// There is nothing to read.
    #[error("the log has {}: too few to read {what}", counted(*size, "entry", "entries"))]
    TooSmall {
        /// How many entries it has.
        size: u64,
        /// What was to be read.
        what: &'static str,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
    /// Not one request succeeded.
    #[error("not one of {} succeeded; the first error: {first}", counted(*errors, "request", "requests"))]
    NothingWorked {
        /// How many failed.
        errors: u64,
        /// What the first failure was.
        first: String,
    },
    /// The time was over before there was an answer.
    #[error("no request was answered in {0:?}; take longer")]
    TooShort(Duration),
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Which requests.
    pub mode: Mode,
    /// How many succeeded.
    pub requests: u64,
    /// How many entries these appended; 0 when reading.
    pub entries: u64,
    /// How many failed.
    pub errors: u64,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Entries per second when appending, requests per second when reading.
    pub rate_per_s: f64,
    /// The median latency of the requests that succeeded.
    pub p50_ms: f64,
    /// Of 100 requests, 99 were at least as fast.
    pub p99_ms: f64,
    /// Of 1,000 requests, 999 were at least as fast.
    pub p999_ms: f64,
    /// The first error's words, if there was any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
}

/// What all connections share.
struct Shared {
    plan: Plan,
    target: Target,
    pool: Pool,
    records: ReferenceRecords,
    /// The number of the next entry.
    next: AtomicU64,
    requests: AtomicU64,
    errors: AtomicU64,
    first_error: Mutex<Option<String>>,
    shards: Vec<Mutex<Histogram<u64>>>,
}

/// Runs the plan against a log and reports what was measured.
///
/// # Errors
/// [`LoadError`] if it could not start, or if no request succeeded.
pub async fn run(url: &LogUrl, token: Option<&Token>, plan: Plan) -> Result<Measured, LoadError> {
    match plan.mode {
        Mode::Proof if plan.tree == TreeSize::ZERO => return Err(LoadError::TooSmall { size: 0, what: "proofs of" }),
        Mode::Tile if plan.tree.get() < TILE_WIDTH => {
            return Err(LoadError::TooSmall { size: plan.tree.get(), what: "a full tile of" });
        }
        _ => {}
    }
    let target = Target::resolve(url, token, &plan).await?;
    let shared = Arc::new(Shared::new(plan, target)?);
    let started = Instant::now();
    let deadline = started + shared.plan.duration;
    let connections: Vec<_> = (0..shared.plan.connections)
        .map(|number| tokio::spawn(connection::run(Arc::clone(&shared), number, deadline)))
        .collect();
    for connection in connections {
        // A connection that panicked has counted nothing since; the others' numbers stand.
        let _ = connection.await;
    }
    shared.measured(started.elapsed())
}

impl Shared {
    fn new(plan: Plan, target: Target) -> Result<Self, LoadError> {
        let pool_bytes = match plan.mode {
            Mode::Single | Mode::Receipt | Mode::Batch => bounds::LOAD_POOL_BYTES.max(plan.size),
            Mode::Records | Mode::Proof | Mode::Tile => 0,
        };
        let mut random = vec![0; pool_bytes];
        getrandom::fill(&mut random).map_err(|error| LoadError::Random(error.to_string()))?;
        let pool = Pool::new(Bytes::from(random), plan.run);
        let shards = (0..SHARDS).map(|_| latencies().map(Mutex::new)).collect::<Result<_, _>>();
        Ok(Self {
            plan,
            target,
            pool,
            records: ReferenceRecords::new(),
            next: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            first_error: Mutex::new(None),
            // The digits are within what the histogram supports.
            shards: shards.unwrap_or_default(),
        })
    }

    /// Counts an answer that was as it should be.
    fn succeeded(&self, connection: usize, latency: Duration) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1);
        if let Some(shard) = self.shards.get(connection % SHARDS) {
            shard.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(microseconds);
        }
    }

    /// Counts a request that failed.
    fn failed(&self, error: String) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.first_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn measured(&self, elapsed: Duration) -> Result<Measured, LoadError> {
        let (requests, errors) = (self.requests.load(Ordering::Relaxed), self.errors.load(Ordering::Relaxed));
        let first_error = self.first_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if requests == 0 {
            let too_short = LoadError::TooShort(self.plan.duration);
            return Err(first_error.map_or(too_short, |first| LoadError::NothingWorked { errors, first }));
        }
        let mut all = latencies().map_err(|error| LoadError::Random(error.to_string()))?;
        for shard in &self.shards {
            // Histograms of equal settings always add up.
            let _ = all.add(&*shard.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let entries = requests * self.plan.entries_per_request();
        let counted = if entries > 0 { entries } else { requests };
        let seconds = elapsed.as_secs_f64();
        let milliseconds = |quantile| all.value_at_quantile(quantile) as f64 / 1_000.0;
        Ok(Measured {
            mode: self.plan.mode,
            requests,
            entries,
            errors,
            seconds,
            rate_per_s: counted as f64 / seconds,
            p50_ms: milliseconds(0.5),
            p99_ms: milliseconds(0.99),
            p999_ms: milliseconds(0.999),
            first_error,
        })
    }
}

/// An empty histogram of microseconds, up to an hour. Its range is set beforehand: one that grows by itself does so
/// only when a value is recorded without saturating.
fn latencies() -> Result<Histogram<u64>, hdrhistogram::CreationError> {
    const HOUR: u64 = 3_600_000_000;
    Histogram::new_with_bounds(1, HOUR, DIGITS)
}

impl Plan {
    /// How many entries one request appends.
    fn entries_per_request(&self) -> u64 {
        match self.mode {
            Mode::Single | Mode::Receipt => 1,
            Mode::Batch | Mode::Records => self.batch as u64,
            Mode::Proof | Mode::Tile => 0,
        }
    }
}

impl core::fmt::Display for Measured {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let per_second = if self.entries > 0 { "entries/s" } else { "requests/s" };
        writeln!(f, "{:.0} {per_second}", self.rate_per_s)?;
        let requests = counted(self.requests, "request", "requests");
        writeln!(f, "{requests}, {} in {:.2} s", counted(self.errors, "error", "errors"), self.seconds)?;
        if let Some(error) = &self.first_error {
            writeln!(f, "first error: {error}")?;
        }
        write!(f, "latency p50 {:.3} ms, p99 {:.3} ms, p99.9 {:.3} ms", self.p50_ms, self.p99_ms, self.p999_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_answers_are_counted_as_slow() {
        let mut all = latencies().unwrap();
        for microseconds in [1, 10_000, 90_000, 5_000_000] {
            all.saturating_record(microseconds);
        }
        assert_eq!(all.value_at_quantile(0.5) / 100, 100);
        assert!(all.value_at_quantile(0.999) >= 5_000_000);
    }
}
