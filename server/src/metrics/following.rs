//! Readers who follow logs and streams, and the memory of what is made for them.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::figure::{Labels, counter, gauge};

/// What there is to see of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Following {
    /// Readers who follow logs.
    pub logs: usize,
    /// Readers who follow streams of records.
    pub streams: usize,
    /// Bytes that are set aside for chunks, or in memory until their readers have taken them.
    pub bytes: usize,
    /// Readers that were let go because they took too little.
    pub cut: u64,
}

impl Following {
    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric =
            encoder.encode_descriptor("followers", "Readers who follow something.", None, MetricType::Gauge)?;
        for (of, count) in [("logs", self.logs), ("streams", self.streams)] {
            let labels: Labels<'_, 1> = [("of", of)];
            metric.encode_family(&labels)?.encode_gauge(&(count as f64))?;
        }
        let help = "Bytes of what is made for readers who follow something.";
        gauge(encoder, "follower_bytes", help, self.bytes as f64)?;
        let help = "Readers who followed something and were cut off because they took too little.";
        counter(encoder, "followers_cut", help, self.cut)
    }
}
