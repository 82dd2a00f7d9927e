//! Whether a checkpoint meets the witness policy, and whether its times are right: judged by the times in signatures
//! alone, for an Ed25519 signature by the log says nothing of when it was made.
//!
//! One witness that lies about the time must not make an old head look fresh: a head is fresh if the policy is met by
//! lately made cosignatures alone.

use std::time::Duration;

use cairn_tree::checkpoint::{LogKeys, SignedCheckpoint, VerifiedCheckpoint};
use cairn_tree::note::{SignedNote, VerifierKey};
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

/// A time that stands in a signature.
struct Attested {
    who: String,
    seconds: u64,
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
        let times = attested(checkpoint, &witnesses);
        let case = |fault, within: Duration| Case::Time {
            head: checkpoint.signed().encode(),
            fault,
            now,
            within: within.as_secs(),
            times: times.iter().map(|time| format!("{}: {}", time.who, time.seconds)).collect(),
        };
        let latest = now.saturating_add(self.tolerance.as_secs());
        if times.iter().any(|time| time.seconds > latest) {
            return Some(case(Misplaced::FromTheFuture, self.tolerance));
        }
        let max_age = self.max_age?;
        let earliest = now.saturating_sub(max_age.as_secs());
        (!self.is_fresh(checkpoint, keys, &witnesses, &times, earliest)).then(|| case(Misplaced::TooOld, max_age))
    }

    fn meet(
        &self,
        checkpoint: &VerifiedCheckpoint,
        keys: &LogKeys,
    ) -> Option<Result<WitnessedCheckpoint, PolicyVerifyError>> {
        Some(self.policy.as_ref()?.verify_with_logs(checkpoint.signed(), keys.as_slice()))
    }

    /// Whether enough of the times are not before `earliest`. A head without any time is never old.
    fn is_fresh(
        &self,
        checkpoint: &VerifiedCheckpoint,
        keys: &LogKeys,
        witnesses: &[CountedWitness],
        times: &[Attested],
        earliest: u64,
    ) -> bool {
        match &self.policy {
            Some(policy) if !policy.needs_no_witness() => {
                let old: Vec<&CountedWitness> =
                    witnesses.iter().filter(|witness| witness.time.seconds() < earliest).collect();
                let left = without(checkpoint.signed(), policy, &old);
                left.is_some_and(|left| policy.verify_with_logs(&left, keys.as_slice()).is_ok())
            }
            _ => times.is_empty() || times.iter().any(|time| time.seconds >= earliest),
        }
    }
}

/// All times at hand: the witnesses', and the log's own if it signs with ML-DSA-44.
fn attested(checkpoint: &VerifiedCheckpoint, witnesses: &[CountedWitness]) -> Vec<Attested> {
    let by_witnesses =
        witnesses.iter().map(|witness| Attested { who: witness.name.to_string(), seconds: witness.time.seconds() });
    let by_log = checkpoint.time().map(|time| Attested { who: "the log".to_owned(), seconds: time.seconds() });
    by_witnesses.chain(by_log).collect()
}

/// The checkpoint without the lines of these witnesses; `None` if no line is left.
fn without(signed: &SignedCheckpoint, policy: &Policy, witnesses: &[&CountedWitness]) -> Option<SignedCheckpoint> {
    let dropped: Vec<&VerifierKey> = policy
        .witnesses()
        .iter()
        .filter(|known| witnesses.iter().any(|witness| witness.name == *known.name()))
        .map(|known| known.key().verifier_key())
        .collect();
    let lines = signed.note().signatures().iter();
    let left = lines.filter(|line| !dropped.iter().any(|key| line.claims(key))).cloned().collect();
    let note = SignedNote::new(signed.note().unverified_text().to_owned(), left).ok()?;
    SignedCheckpoint::parse(note.encode().as_bytes()).ok()
}
