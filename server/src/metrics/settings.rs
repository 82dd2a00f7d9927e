//! Whether the settings of tenants and modules are those that the logs have on record.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::figure::{counter, gauge};
use crate::records::Settings;

/// Writes all of it.
pub(super) fn encode(settings: &Settings, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let comparisons = settings.comparisons();
    let help = "Settings that were not as the logs have them on record, and were restored.";
    counter(encoder, "settings_restored", help, comparisons.restored())?;
    let help = "1 while nobody knows that the settings in force are those on record, else 0.";
    gauge(encoder, "settings_in_doubt", help, f64::from(u8::from(comparisons.in_doubt())))
}
