//! How an outbox is used, and how much may wait in it.

use std::sync::Arc;
use std::time::Duration;

use super::bounds;
use super::event::Signing;
use super::surroundings::{Machine, Surroundings};

/// How an outbox is used. `Options::default()` is right for most.
pub struct Options {
    /// How much may wait in it.
    pub limits: Limits,
    /// What becomes of a stream of which a record was refused for good.
    pub after_refusal: AfterRefusal,
    /// The producer's key, if its records shall be signed.
    pub signing: Option<Signing>,
    /// How long what was delivered may stay on the disk while the outbox is open.
    pub sweep_after: Duration,
    /// The length of a segment of the journal, in bytes.
    pub segment_bytes: usize,
    /// Whether to make an outbox where there is none.
    pub make: bool,
    /// Time and randomness.
    pub surroundings: Arc<dyn Surroundings>,
}

/// How much may wait in an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Records.
    pub records: usize,
    /// Bytes of their bodies. On the disk it is about twice as much at most, and eight segments.
    pub bytes: u64,
}

/// What becomes of a stream of which a record was refused for good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AfterRefusal {
    /// It waits until that record is tried again or dropped: nothing is delivered out of order.
    #[default]
    Hold,
    /// It goes on without that record.
    GoOn,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            after_refusal: AfterRefusal::default(),
            signing: None,
            sweep_after: bounds::SWEEP_AFTER,
            segment_bytes: bounds::SEGMENT_BYTES,
            make: true,
            surroundings: Arc::new(Machine),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { records: bounds::RECORDS, bytes: bounds::BYTES }
    }
}
