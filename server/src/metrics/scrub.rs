//! What the scrubber has read and found.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::Seen;
use super::figure::{Labels, counter, gauge};
use crate::engine::ScrubState;

/// Writes all of it; the position and the damage of a log only where that log is shown.
pub(super) fn encode(seen: &Seen, now_ms: u64, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let state = seen.scrub.state();
    let ScrubState { bytes, entries, records, record_findings, returned, .. } = state;
    let ScrubState { passes, findings, dismissed, unreadable, since_ms, position, .. } = state;
    // Whoever comes first tells of a disclosure, and only once; its place is bad all the same.
    let bad = record_findings + seen.reporter.read_disclosures();
    let read = seen.engine.read_findings() + seen.reporter.read_findings();
    let counts = [
        ("scrub_bytes", "Bytes that the scrubber has read.", bytes),
        ("scrub_entries", "Entries that the scrubber has hashed.", entries),
        ("scrub_records", "Records whose disclosures the scrubber has compared with their leaves.", records),
        ("scrub_record_findings", "Disclosures that were found bad, by the scrubber or by a read before it.", bad),
        ("scrub_returned", "Disclosures that were there again though they were erased.", returned),
        ("scrub_passes", "Passes of the scrubber over everything.", passes),
        ("scrub_findings", "Places that the scrubber has found damaged.", findings),
        ("scrub_dismissed", "Places that looked damaged and were sound when read again.", dismissed),
        ("read_findings", "What reads were the first to find damaged or in contradiction.", read),
        ("scrub_unreadable", "Places that the system could not read for the scrubber.", unreadable),
    ];
    counts.into_iter().try_for_each(|(name, help, value)| counter(encoder, name, help, value))?;
    let help = "Seconds since the last whole pass of the scrubber, or since the first one began.";
    gauge(encoder, "scrub_lag_seconds", help, now_ms.saturating_sub(since_ms) as f64 / 1000.0)?;
    let help = "Places outside of any log that are known to be damaged.";
    gauge(encoder, "database_damage", help, seen.engine.damage().map_or(0, |(count, _)| count) as f64)?;
    let help = "Entries of the log that is being scrubbed that the pass has read.";
    let mut metric = encoder.encode_descriptor("scrub_position", help, None, MetricType::Gauge)?;
    if let Some((name, entries)) = position.filter(|(name, _)| seen.logs.iter().any(|log| *log.info().name == **name)) {
        let labels: Labels<'_, 1> = [("log", name.as_str())];
        metric.encode_family(&labels)?.encode_gauge(&(entries as f64))?;
    }
    let help = "Places of a log that are known to be damaged.";
    let mut metric = encoder.encode_descriptor("log_damage", help, None, MetricType::Gauge)?;
    for log in &seen.logs {
        let labels: Labels<'_, 1> = [("log", log.info().name.as_str())];
        metric.encode_family(&labels)?.encode_gauge(&(log.damage().map_or(0, |(count, _)| count) as f64))?;
    }
    Ok(())
}
