//! Messages of DIGIT's persister: what became of them, and how full the quarantine is.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::figure::{Labels, counter, gauge, labelled_counter};
use crate::records::capture::Capture;

/// Writes all of it; nothing of any message is among it.
pub(super) fn encode(capture: &Capture, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let figures = capture.figures();
    figures.counts().into_iter().try_for_each(|(name, help, value)| counter(encoder, name, help, value))?;
    let help = "Messages that were quarantined, by the reason.";
    let mut metric = encoder.encode_descriptor("capture_quarantined", help, None, MetricType::Counter)?;
    for (reason, count) in figures.by_reason() {
        let labels: Labels<'_, 1> = [("reason", reason.name())];
        labelled_counter(&mut metric, &labels, count)?;
    }
    let (messages, bytes) = capture.quarantine().size();
    gauge(encoder, "quarantine_messages", "Messages in quarantine.", messages as f64)?;
    gauge(encoder, "quarantine_bytes", "Bytes of the messages in quarantine.", bytes as f64)
}
