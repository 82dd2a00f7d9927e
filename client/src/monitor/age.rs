//! Whether a checkpoint meets the witness policy, and whether its times are right: judged by the times in signatures
//! alone, for an Ed25519 signature by the log says nothing of when it was made.
//!
//! One witness that lies about the time, or whose clock is wrong, must neither make an old head look fresh nor an honest
//! log look guilty. So times count as the policy counts witnesses: cosignatures for a time to come are left out, and a
//! head is from the future if the policy is not met without them; it is too old if the policy is not met by those that
//! were made lately. Where no witness is asked for, any time will do to make a head young, and the log's own, if it has
//! one (ML-DSA-44), must not lie ahead.

use std::time::Duration;

use cairn_tree::checkpoint::{LogKeys, Timestamp as Signed, VerifiedCheckpoint};
use cairn_tree::policy::{CountedWitness, Policy, PolicyVerifyError, WitnessedCheckpoint};
use jiff::Timestamp;

use super::evidence::{Case, Misplaced};

/// What is asked of a checkpoint's witnesses and times.
#[derive(Debug, Clone, Default)]
pub struct Freshly {
    /// The policy that it must meet.
    pub policy: Option<Policy>,
    /// How old it may be; without it, any age will do.
    pub max_age: Option<Duration>,
    /// How far its times may lie ahead of our clock.
    pub tolerance: Duration,
}

/// From when to when a time counts, in seconds since the Epoch.
#[derive(Clone, Copy)]
struct Window {
    earliest: u64,
    latest: u64,
}

impl Freshly {
    /// What is to be said against a checkpoint at this time, if anything is.
    #[must_use]
    pub fn judge(&self, checkpoint: &VerifiedCheckpoint, keys: &LogKeys, now: Timestamp) -> Option<Case> {
        let witnesses = match self.meet(checkpoint, keys) {
            None => Vec::new(),
            Some(Ok(met)) => met.witnesses().to_vec(),
            Some(Err(error)) => {
                let policy = self.policy.as_ref().map(Policy::encode).unwrap_or_default();
                let policy = String::from_utf8_lossy(&policy).into_owned();
                return Some(Case::Quorum { head: checkpoint.signed().encode(), fault: error.to_string(), policy });
            }
        };
        let now = u64::try_from(now.as_second()).unwrap_or(0);
        let case = |fault, within: Duration| Case::Time {
            head: checkpoint.signed().encode(),
            fault,
            now,
            within: within.as_secs(),
            times: attested(checkpoint, &witnesses),
        };
        let latest = now.saturating_add(self.tolerance.as_secs());
        if !self.is_attested(checkpoint, &witnesses, Window { earliest: 0, latest }) {
            return Some(case(Misplaced::FromTheFuture, self.tolerance));
        }
        let max_age = self.max_age?;
        let earliest = now.saturating_sub(max_age.as_secs());
        let is_fresh = self.is_attested(checkpoint, &witnesses, Window { earliest, latest });
        (!is_fresh).then(|| case(Misplaced::TooOld, max_age))
    }

    /// Whether enough of the times lie in a window.
    fn is_attested(&self, checkpoint: &VerifiedCheckpoint, witnesses: &[CountedWitness], window: Window) -> bool {
        match &self.policy {
            Some(policy) if !policy.needs_no_witness() => {
                policy.is_met_by(|known| witnesses.iter().any(|one| one.name == *known.name() && window.has(one.time)))
            }
            // Nobody need attest anything, but the log itself must not be ahead. A head that is left without any time is
            // not known to be old.
            _ => {
                let own = checkpoint.time();
                let times = witnesses.iter().map(|witness| witness.time).chain(own);
                let mut past = times.filter(|time| time.seconds() <= window.latest).peekable();
                let is_ahead = own.is_some_and(|time| time.seconds() > window.latest);
                !is_ahead && (past.peek().is_none() || past.any(|time| window.has(time)))
            }
        }
    }

    fn meet(
        &self,
        checkpoint: &VerifiedCheckpoint,
        keys: &LogKeys,
    ) -> Option<Result<WitnessedCheckpoint, PolicyVerifyError>> {
        Some(self.policy.as_ref()?.verify_with_logs(checkpoint.signed(), keys.as_slice()))
    }
}

impl Window {
    const fn has(self, time: Signed) -> bool {
        self.earliest <= time.seconds() && time.seconds() <= self.latest
    }
}

/// All times at hand, each with who attests it: the witnesses', and the log's own if it signs with ML-DSA-44.
fn attested(checkpoint: &VerifiedCheckpoint, witnesses: &[CountedWitness]) -> Vec<String> {
    let by_witnesses = witnesses.iter().map(|witness| format!("{}: {}", witness.name, witness.time));
    let by_log = checkpoint.time().map(|time| format!("the log: {time}"));
    by_witnesses.chain(by_log).collect()
}
