//! What is told of a log's witnesses: to metrics, to `/readyz`, to operators. Written by the log's task, read by anyone.

use std::sync::{Arc, Mutex, PoisonError};

use cairn_tree::size::TreeSize;

use super::endpoint::Endpoint;
use super::exchange::Failure;
use crate::engine::Log;

/// How many kinds of failures there are.
pub const FAILURE_KINDS: usize = Failure::KINDS.len();

/// The names of the kinds of failures, as metrics label them.
#[must_use]
pub const fn failure_kinds() -> &'static [&'static str; FAILURE_KINDS] {
    &Failure::KINDS
}

/// A log and its witnesses, as they stand.
#[derive(Debug, Clone, Default)]
pub struct LogReport {
    /// Whether the checkpoint meets the policy.
    pub met: bool,
    /// Whether heads are published without the quorum when it is late.
    pub fail_open: bool,
    /// Appends wait for these witnesses to agree that the log goes on.
    pub held: Option<Vec<String>>,
    /// In the order of the policy; witnesses that share a URL are one.
    pub witnesses: Vec<WitnessReport>,
}

/// One witness, as it stands.
#[derive(Debug, Clone)]
pub struct WitnessReport {
    /// Its name in the policy.
    pub name: String,
    /// The size that it confirmed last, as far as is known since the start.
    pub confirmed: Option<TreeSize>,
    /// What went wrong the last time, if it did.
    pub error: Option<String>,
    /// How often each kind of thing went wrong.
    pub failures: [u64; FAILURE_KINDS],
}

/// One log's report, and the log that it is about.
pub(super) struct Report {
    pub(super) log: Log,
    told: Mutex<LogReport>,
}

impl WitnessReport {
    /// Whether it has not confirmed this size, or did not answer the last time.
    #[must_use]
    pub fn lags(&self, size: TreeSize) -> bool {
        self.error.is_some() || self.confirmed.is_none_or(|confirmed| confirmed < size)
    }
}

impl Report {
    pub(super) fn new(log: Log) -> Self {
        Self { log, told: Mutex::default() }
    }

    pub(super) fn get(&self) -> LogReport {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is told.
    pub(super) fn tell(&self, change: impl FnOnce(&mut LogReport)) {
        change(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Begins anew with these witnesses.
    pub(super) fn begin(&self, fail_open: bool, endpoints: &[Arc<Endpoint>]) {
        let unknown = |endpoint: &Arc<Endpoint>| WitnessReport {
            name: endpoint.name.clone(),
            confirmed: None,
            error: None,
            failures: [0; FAILURE_KINDS],
        };
        let witnesses = endpoints.iter().map(unknown).collect();
        self.tell(|report| *report = LogReport { fail_open, witnesses, ..LogReport::default() });
    }

    pub(super) fn confirmed(&self, number: usize, size: Option<TreeSize>, wrong: u64) {
        self.witness(number, |witness| {
            witness.confirmed = size.or(witness.confirmed);
            witness.error = None;
            if let Some(count) = witness.failures.get_mut(Failure::WRONG) {
                *count += wrong;
            }
        });
    }

    pub(super) fn failed(&self, number: usize, failure: &Failure) {
        self.witness(number, |witness| {
            witness.error = Some(failure.to_string());
            if let Some(count) = witness.failures.get_mut(failure.kind()) {
                *count += 1;
            }
        });
    }

    fn witness(&self, number: usize, change: impl FnOnce(&mut WitnessReport)) {
        self.tell(|report| {
            if let Some(witness) = report.witnesses.get_mut(number) {
                change(witness);
            }
        });
    }
}
