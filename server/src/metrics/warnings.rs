//! Warnings and errors that the server's own log did not get, because there were too many of their kind.

use std::fmt;

use cairn_listen::WarningLimit;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::figure::{Labels, labelled_counter};

/// Writes how many; there are no more places than the program has.
pub(super) fn encode(warnings: &WarningLimit, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Warnings and errors that were left out of the log, by where in the program they came from.";
    let mut metric = encoder.encode_descriptor("warnings_dropped", help, None, MetricType::Counter)?;
    for (place, lines) in warnings.dropped() {
        let labels: Labels<'_, 1> = [("place", place)];
        labelled_counter(&mut metric, &labels, lines)?;
    }
    Ok(())
}
