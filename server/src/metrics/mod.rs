//! Figures for operators, in the Prometheus text format. Counting is a few relaxed atomic additions; whoever scrapes pays.
//!
//! A private log's own figures are only for who may read it; its commits and requests count in the sums over all logs.

mod capture;
mod cosigners;
mod engine;
mod figure;
mod following;
mod http;
mod reads;
mod scrub;
mod settings;
mod warnings;

pub use self::engine::{EngineMetrics, Watched};
pub use self::figure::{Histogram, TIMES};
pub use self::following::Following;
pub use self::http::HttpMetrics;
pub use self::reads::ReadMetrics;
pub(crate) use self::reads::ReadOutcome;

use std::fmt;
use std::sync::Arc;

use cairn_listen::WarningLimit;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use crate::cosigners::Cosigners;
use crate::engine::{Cached, Engine, Log, ScrubFigures};
use crate::records::capture::Capture;
use crate::records::{Reporter, Settings};

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Requests and connections. Handed to the accept loop as its observer.
    pub http: Arc<HttpMetrics>,
    /// Commits. Handed to the engine as its observer.
    pub engine: Arc<EngineMetrics>,
    /// Reads that are to be put on record.
    pub reads: ReadMetrics,
    /// Warnings in the server's own log.
    pub warnings: WarningLimit,
}

impl Metrics {
    /// All figures as text, those that are read off the engine included, and of each of these logs its own.
    ///
    /// # Errors
    /// None in practice: writing to a string succeeds.
    pub fn render(self: &Arc<Self>, seen: Seen, now_ms: u64) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("cairn");
        let scrape = Scrape { metrics: Arc::clone(self), seen, now_ms };
        registry.register_collector(Box::new(scrape));
        let mut text = String::new();
        text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// What is looked at when somebody scrapes.
pub struct Seen {
    /// The engine, for what is about all logs.
    pub engine: Engine,
    /// What witnesses do.
    pub cosigners: Arc<Cosigners>,
    /// What the scrubber does.
    pub scrub: Arc<ScrubFigures>,
    /// What reads have found.
    pub reporter: Arc<Reporter>,
    /// Messages of DIGIT's persister.
    pub capture: Arc<Capture>,
    /// Readers who follow something.
    pub following: Following,
    /// What is decided for tenants and modules.
    pub settings: Arc<Settings>,
    /// How full the cache of streams' states is.
    pub states: Cached,
    /// The logs whose own figures are shown.
    pub logs: Vec<Log>,
}

struct Scrape {
    metrics: Arc<Metrics>,
    seen: Seen,
    now_ms: u64,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        self.metrics.http.encode(&mut encoder)?;
        self.metrics.engine.encode(&mut encoder)?;
        self.metrics.reads.encode(&mut encoder)?;
        warnings::encode(&self.metrics.warnings, &mut encoder)?;
        engine::encode_store(&self.seen.engine, &mut encoder)?;
        engine::encode_caches(&self.seen.engine, self.seen.states, &mut encoder)?;
        engine::encode_logs(&self.seen.logs, self.now_ms, &mut encoder)?;
        capture::encode(&self.seen.capture, &mut encoder)?;
        self.seen.following.encode(&mut encoder)?;
        settings::encode(&self.seen.settings, &mut encoder)?;
        scrub::encode(&self.seen, self.now_ms, &mut encoder)?;
        cosigners::encode(&self.seen, self.now_ms, &mut encoder)
    }
}
