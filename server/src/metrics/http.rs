//! Requests by route and status, their times, and connections.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cairn_listen::Observer;
use http::StatusCode;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::figure::{Histogram, Labels, MICROSECONDS, TIMES, counter, gauge, labelled_counter};
use crate::http::path::Route;

/// The statuses that are given; any other is counted as the last.
const STATUSES: [u16; 22] =
    [200, 202, 206, 304, 400, 401, 403, 404, 405, 406, 408, 409, 413, 414, 415, 422, 429, 500, 503, 507, 100, 599];

/// The figures of one route.
#[derive(Debug)]
struct PerRoute {
    statuses: [AtomicU64; STATUSES.len()],
    times: Histogram<{ TIMES.len() }>,
}

/// Requests and connections.
#[derive(Debug)]
pub struct HttpMetrics {
    routes: [PerRoute; Route::ALL.len()],
    open: AtomicI64,
    refused: AtomicU64,
    cut: AtomicU64,
    body_bytes: AtomicU64,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        let per_route =
            |_| PerRoute { statuses: std::array::from_fn(|_| AtomicU64::new(0)), times: Histogram::new(TIMES) };
        Self {
            routes: std::array::from_fn(per_route),
            open: AtomicI64::new(0),
            refused: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            body_bytes: AtomicU64::new(0),
        }
    }
}

impl HttpMetrics {
    /// A request was answered.
    pub(crate) fn answered(&self, route: Route, status: StatusCode, time: Duration) {
        let Some(figures) = self.routes.get(route as usize) else { return };
        let known = STATUSES.iter().position(|known| *known == status.as_u16());
        if let Some(count) = figures.statuses.get(known.unwrap_or(STATUSES.len() - 1)) {
            count.fetch_add(1, Relaxed);
        }
        figures.times.record_time(time);
    }

    /// Bytes of request bodies in memory, as last seen.
    pub fn bodies(&self, bytes: usize) {
        self.body_bytes.store(bytes as u64, Relaxed);
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let routes = || Route::ALL.iter().zip(&self.routes);
        let mut metric =
            encoder.encode_descriptor("http_requests", "Requests by route and status.", None, MetricType::Counter)?;
        for (route, figures) in routes() {
            for (status, count) in STATUSES.iter().zip(&figures.statuses) {
                let count = count.load(Relaxed);
                if count > 0 {
                    let status = status.to_string();
                    let labels: Labels<'_, 2> = [("route", route.label()), ("status", &status)];
                    labelled_counter(&mut metric, &labels, count)?;
                }
            }
        }
        let help = "Seconds from a request's header to its answer.";
        let mut metric = encoder.encode_descriptor("http_request_seconds", help, None, MetricType::Histogram)?;
        for (route, figures) in routes().filter(|(_, figures)| !figures.times.is_empty()) {
            let labels: Labels<'_, 1> = [("route", route.label())];
            figures.times.encode(&mut metric.encode_family(&labels)?, MICROSECONDS)?;
        }
        gauge(encoder, "http_connections", "Open connections.", self.open.load(Relaxed) as f64)?;
        let help = "Connections over the limit, answered 503.";
        counter(encoder, "http_connections_refused", help, self.refused.load(Relaxed))?;
        let help = "Connections cut off because they did nothing for too long.";
        counter(encoder, "http_connections_cut", help, self.cut.load(Relaxed))?;
        let bytes = self.body_bytes.load(Relaxed) as f64;
        gauge(encoder, "http_body_bytes", "Bytes of request bodies in memory.", bytes)
    }
}

impl Observer for HttpMetrics {
    fn opened(&self) {
        self.open.fetch_add(1, Relaxed);
    }

    fn closed(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    fn cut(&self) {
        self.cut.fetch_add(1, Relaxed);
    }
}
