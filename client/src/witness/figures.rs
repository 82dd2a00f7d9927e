//! What the witness counts, and how it is written for Prometheus.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use cairn_listen::Observer;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::log::Log;
use crate::gossip::Peer;

/// Upper bounds for times, in seconds.
const TIMES: [f64; 13] = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Upper bounds for requests in a commit.
const NUMBERS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 512.0];

/// A label with the status of an answer.
type Status = [(&'static str, u16); 1];
/// A label with what came of a comparison.
type Outcome = [(&'static str, &'static str); 1];

/// Everything that is counted.
#[derive(Debug)]
pub struct Figures {
    registry: Registry,
    answers: Family<Status, Counter>,
    seconds: Histogram,
    commits: Histogram,
    commit_requests: Histogram,
    waiting: Gauge<i64, AtomicI64>,
    contradictions: Counter<u64, AtomicU64>,
    comparisons: Family<Outcome, Counter>,
    behind: Counter<u64, AtomicU64>,
    connections: Gauge<i64, AtomicI64>,
    refused: Counter<u64, AtomicU64>,
    cut: Counter<u64, AtomicU64>,
}

impl Default for Figures {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("cairn_witness");
        let figures = Self {
            answers: Family::default(),
            seconds: Histogram::new(TIMES),
            commits: Histogram::new(TIMES),
            commit_requests: Histogram::new(NUMBERS),
            waiting: Gauge::default(),
            contradictions: Counter::default(),
            comparisons: Family::default(),
            behind: Counter::default(),
            connections: Gauge::default(),
            refused: Counter::default(),
            cut: Counter::default(),
            registry: Registry::default(),
        };
        registry.register("add_checkpoint", "Answers to add-checkpoint by status", figures.answers.clone());
        let help = "Seconds from the header of an add-checkpoint request to its answer";
        registry.register("add_checkpoint_seconds", help, figures.seconds.clone());
        registry.register("commit_seconds", "Seconds that a durable commit took", figures.commits.clone());
        registry.register("commit_requests", "Requests in one commit", figures.commit_requests.clone());
        registry.register("waiting", "Requests that wait for the writer", figures.waiting.clone());
        let help = "Signed heads that contradict a cosigned one";
        registry.register("contradictions", help, figures.contradictions.clone());
        let help = "Comparisons with heads of other sizes, with proofs from the log, by what they gave";
        registry.register("comparisons", help, figures.comparisons.clone());
        let help = "Requests that were refused because the clock is behind the last time that was signed for their log";
        registry.register("clock_refusals", help, figures.behind.clone());
        registry.register("connections", "Open connections", figures.connections.clone());
        registry.register("connections_refused", "Connections over the limit", figures.refused.clone());
        let help = "Connections cut off because they did nothing for too long";
        registry.register("connections_cut", help, figures.cut.clone());
        Self { registry, ..figures }
    }
}

impl Figures {
    /// `add-checkpoint` was answered.
    pub(super) fn answered(&self, status: u16, time: Duration) {
        self.answers.get_or_create(&[("status", status)]).inc();
        self.seconds.observe(time.as_secs_f64());
    }

    /// A commit is durable.
    pub(super) fn committed(&self, requests: usize, time: Duration) {
        self.commits.observe(time.as_secs_f64());
        self.commit_requests.observe(requests as f64);
    }

    /// So many requests wait more, or less.
    pub(super) fn waiting(&self, change: i64) {
        self.waiting.inc_by(change);
    }

    /// A log has contradicted itself.
    pub(super) fn contradiction(&self) {
        self.contradictions.inc();
    }

    /// A peer's head was compared with ours.
    pub(super) fn compared(&self, result: &'static str) {
        self.comparisons.get_or_create(&[("result", result)]).inc();
    }

    /// A request was refused because the clock is behind.
    pub(super) fn behind(&self) {
        self.behind.inc();
    }

    /// All figures in the OpenMetrics text format, with those of the logs.
    ///
    /// # Errors
    /// None in practice: writing to a string succeeds.
    pub fn render(&self, logs: Vec<Arc<Log>>, peers: &[Arc<Peer>], now: u64) -> Result<String, fmt::Error> {
        let mut written = String::new();
        text::encode_registry(&mut written, &self.registry)?;
        let mut of_logs = Registry::with_prefix("cairn_witness");
        of_logs.register_collector(Box::new(Scrape {
            logs,
            peers: peers.iter().map(|peer| peer.counted()).collect(),
            now,
        }));
        text::encode_registry(&mut written, &of_logs)?;
        text::encode_eof(&mut written)?;
        Ok(written)
    }
}

impl Observer for Figures {
    fn opened(&self) {
        self.connections.inc();
    }

    fn closed(&self) {
        self.connections.dec();
    }

    fn refused(&self) {
        self.refused.inc();
    }

    fn cut(&self) {
        self.cut.inc();
    }
}

/// The figures of the logs at one moment.
struct Scrape {
    logs: Vec<Arc<Log>>,
    /// Each with its counts of pulls, by what they gave.
    peers: Vec<(String, [(&'static str, u64); 4])>,
    now: u64,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let cosigned = || self.logs.iter().filter_map(|log| log.last.as_ref().map(|last| (log, last)));
        let mut metric =
            encoder.encode_descriptor("log_size", "Size of the newest cosigned head.", None, MetricType::Gauge)?;
        for (log, last) in cosigned() {
            let labels = [("origin", log.origin.as_str())];
            metric.encode_family(&labels)?.encode_gauge(&(last.head().size().get() as f64))?;
        }
        let help = "Seconds since the newest cosignature.";
        let mut metric = encoder.encode_descriptor("log_age_seconds", help, None, MetricType::Gauge)?;
        for (log, last) in cosigned() {
            let labels = [("origin", log.origin.as_str())];
            let age = self.now.saturating_sub(last.time().seconds());
            metric.encode_family(&labels)?.encode_gauge(&(age as f64))?;
        }
        let forked = self.logs.iter().filter(|log| log.fork.is_some()).count();
        let help = "Logs that have signed two trees of which neither extends the other, for which nothing is cosigned any more.";
        let mut metric = encoder.encode_descriptor("forked_logs", help, None, MetricType::Gauge)?;
        metric.encode_gauge(&(forked as f64))?;
        let help = "Pulls from peers, by what they gave.";
        let mut metric = encoder.encode_descriptor("pulls", help, None, MetricType::Counter)?;
        for (peer, counts) in &self.peers {
            for (result, count) in counts {
                let labels = [("peer", peer.as_str()), ("result", result)];
                metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(count, None)?;
            }
        }
        let newest = cosigned().filter(|(log, _)| log.listed).map(|(_, last)| last.time().seconds()).max();
        let help =
            "Seconds that the clock is behind the newest cosignature; past a minute nothing is signed for that log.";
        let mut metric = encoder.encode_descriptor("clock_behind_seconds", help, None, MetricType::Gauge)?;
        metric.encode_gauge(&(newest.unwrap_or(0).saturating_sub(self.now) as f64))?;
        let listed = self.logs.iter().filter(|log| log.listed).count();
        let mut metric = encoder.encode_descriptor("logs", "Logs that are watched.", None, MetricType::Gauge)?;
        metric.encode_gauge(&(listed as f64))
    }
}

/// Keeps the figure of waiting requests right, however a wait ends.
#[derive(Debug)]
pub(super) struct Waiting(Arc<Figures>);

impl Waiting {
    pub(super) fn new(figures: &Arc<Figures>) -> Self {
        figures.waiting(1);
        Self(Arc::clone(figures))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting(-1);
    }
}
