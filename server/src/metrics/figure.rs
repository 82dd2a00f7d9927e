//! Counters and histograms that many threads add to without a lock, and how they are written.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

/// A labelled value's labels.
pub(super) type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// Counts of values up to each bound, with their sum.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    /// Upper bounds, ascending, in the unit that is recorded.
    bounds: [u64; N],
    /// Values up to the bound of the same place and above the one before.
    counts: [AtomicU64; N],
    /// Values above all bounds.
    above: AtomicU64,
    sum: AtomicU64,
}

/// Bounds for times, in microseconds: 100 us to 10 s.
pub const TIMES: [u64; 15] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];

/// Bounds for numbers of things in a commit.
pub(super) const NUMBERS: [u64; 9] = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536];

impl<const N: usize> Histogram<N> {
    /// An empty histogram with these ascending bounds.
    #[must_use]
    pub fn new(bounds: [u64; N]) -> Self {
        let counts = std::array::from_fn(|_| AtomicU64::new(0));
        Self { bounds, counts, above: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }

    /// Counts a value.
    pub fn record(&self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts.get(place).unwrap_or(&self.above).fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// Counts a time, in microseconds.
    pub fn record_time(&self, time: Duration) {
        self.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.above.load(Relaxed) == 0 && self.counts.iter().all(|count| count.load(Relaxed) == 0)
    }

    /// Writes it; `per_unit` recorded values make one of the metric's unit.
    pub(super) fn encode(&self, encoder: &mut MetricEncoder<'_>, per_unit: f64) -> Result<(), fmt::Error> {
        let mut buckets: Vec<(f64, u64)> = self
            .bounds
            .iter()
            .zip(&self.counts)
            .map(|(bound, count)| (*bound as f64 / per_unit, count.load(Relaxed)))
            .collect();
        buckets.push((f64::INFINITY, self.above.load(Relaxed)));
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = self.sum.load(Relaxed) as f64 / per_unit;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

/// Microseconds, as times are recorded, in one second, as they are written.
pub(super) const MICROSECONDS: f64 = 1e6;

/// Writes an unlabelled counter.
pub(super) fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    encode_counter(&mut metric, value)
}

/// Writes an unlabelled gauge.
pub(super) fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}

/// Writes one counter of a family.
pub(super) fn labelled_counter(
    metric: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    value: u64,
) -> fmt::Result {
    encode_counter(&mut metric.encode_family(labels)?, value)
}

fn encode_counter(metric: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    metric.encode_counter(&value, None::<&Exemplar<NoLabelSet, f64>>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_under_the_first_bound_that_holds_them() {
        let histogram = Histogram::new([10, 100]);
        assert!(histogram.is_empty());
        [0, 10, 11, 100, 101, u64::from(u32::MAX)].into_iter().for_each(|value| histogram.record(value));
        let counts: Vec<_> = histogram.counts.iter().map(|count| count.load(Relaxed)).collect();
        assert_eq!((counts, histogram.above.load(Relaxed)), (vec![2, 2], 2));
        assert!(!histogram.is_empty());
    }
}
