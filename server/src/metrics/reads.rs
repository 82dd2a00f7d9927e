//! Reads of records as they are put on record, or not.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::figure::{Labels, labelled_counter};
use crate::records::ReadAudit;

/// What becomes of a read that is to be put on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    /// It is on record.
    Written,
    /// Its token has too many.
    Refused,
    /// It can't be.
    Failed,
}

const MODES: [ReadAudit; 2] = [ReadAudit::Metadata, ReadAudit::Full];
const OUTCOMES: [(ReadOutcome, &str); 3] =
    [(ReadOutcome::Written, "written"), (ReadOutcome::Refused, "refused"), (ReadOutcome::Failed, "failed")];

/// Counts of them, by what is recorded and what became of them.
#[derive(Debug, Default)]
pub struct ReadMetrics {
    counts: [[AtomicU64; OUTCOMES.len()]; MODES.len()],
}

impl ReadMetrics {
    /// Counts one.
    pub(crate) fn count(&self, audit: ReadAudit, outcome: ReadOutcome) {
        let mode = MODES.iter().position(|mode| *mode == audit);
        let counts = mode.and_then(|mode| self.counts.get(mode));
        if let Some(count) = counts.and_then(|counts| counts.get(outcome as usize)) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Reads of records that were to be put on record: written, refused because their token has too many, or failed.";
        let mut metric = encoder.encode_descriptor("audited_reads", help, None, MetricType::Counter)?;
        for (mode, counts) in MODES.iter().zip(&self.counts) {
            for ((_, outcome), count) in OUTCOMES.iter().zip(counts) {
                let labels: Labels<'_, 2> = [("reads", mode.name()), ("outcome", outcome)];
                labelled_counter(&mut metric, &labels, count.load(Relaxed))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_where_it_belongs() {
        assert!(OUTCOMES.iter().enumerate().all(|(place, (outcome, _))| *outcome as usize == place));
        let metrics = ReadMetrics::default();
        metrics.count(ReadAudit::Full, ReadOutcome::Failed);
        metrics.count(ReadAudit::Off, ReadOutcome::Written);
        let counts = metrics.counts.each_ref().map(|counts| counts.each_ref().map(|count| count.load(Relaxed)));
        assert_eq!(counts, [[0, 0, 0], [0, 0, 1]]);
    }
}
