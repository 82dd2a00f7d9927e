//! Applying a policy to a checkpoint (C2SP tlog-policy, "What is a policy?").
//!
//! A checkpoint is valid if a known log signed it, that log's key is named like the origin, no known key signed
//! wrongly, and the quorum is met. Times of cosignatures are reported and not judged: here is no clock.

use core::fmt;

use super::{Member, Octets, Policy, PolicyWitness};
use crate::checkpoint::{CheckpointVerifyError, LogKeys, LogKeysError, SignedCheckpoint, VerifiedCheckpoint};
use crate::cosignature::{CosignatureError, Timestamp};
use crate::note::VerifierKey;

/// Whom to trust: a log alone, or with witnesses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// One log; no witnesses.
    Log(LogKeys),
    /// Any of a policy's logs, and as many witnesses as its quorum asks for.
    Policy(Policy),
    /// One log, whatever logs the policy names, and as many witnesses as the policy's quorum asks for.
    Witnessed {
        /// The log.
        log: LogKeys,
        /// Who witnesses.
        policy: Policy,
    },
}

/// A checkpoint that met a policy, or a bare log key, and the witnesses that counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessedCheckpoint {
    checkpoint: VerifiedCheckpoint,
    witnesses: Vec<CountedWitness>,
}

/// A known witness whose cosignature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedWitness {
    /// Its name in the policy.
    pub name: Octets,
    /// The newest time that it attests.
    pub time: Timestamp,
}

/// Why a checkpoint does not meet a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyVerifyError {
    /// There is no log.
    #[error("the policy names no log, so that no checkpoint can meet it")]
    NoLogs,
    /// The log's signature is missing or wrong.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointVerifyError),
    /// A known witness's cosignature is wrong.
    #[error(transparent)]
    Cosignature(#[from] CosignatureError),
    /// Too few witnesses cosigned.
    #[error(transparent)]
    Quorum(#[from] QuorumNotMet),
}

/// What the quorum lacks: the quorum itself first, then, of its members that did not witness, each with what it lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumNotMet {
    /// Never empty.
    pub shortfalls: Vec<Shortfall>,
}

/// A witness or a group that did not witness the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortfall {
    /// A witness that did not cosign.
    Witness {
        /// Its name.
        name: Octets,
    },
    /// A group with too few members that witnessed.
    Group {
        /// Its name.
        name: Octets,
        /// How many members witnessed.
        found: usize,
        /// How many must.
        needed: usize,
    },
}

impl Trust {
    /// Verifies a checkpoint.
    ///
    /// # Errors
    /// [`PolicyVerifyError`] says what is wrong or missing.
    pub fn verify(&self, checkpoint: &SignedCheckpoint) -> Result<WitnessedCheckpoint, PolicyVerifyError> {
        match self {
            Self::Log(log) => Ok(WitnessedCheckpoint { checkpoint: log.verify(checkpoint)?, witnesses: Vec::new() }),
            Self::Policy(policy) => policy.verify(checkpoint),
            Self::Witnessed { log, policy } => policy.verify_with_logs(checkpoint, log.as_slice()),
        }
    }

    /// The keys of the one log that is trusted.
    ///
    /// # Errors
    /// [`LogKeysError`] if the policy names none, or several.
    pub fn log_keys(&self) -> Result<LogKeys, LogKeysError> {
        match self {
            Self::Log(log) | Self::Witnessed { log, .. } => Ok(log.clone()),
            Self::Policy(policy) => LogKeys::new(policy.log_keys()),
        }
    }

    /// The policy that checkpoints must meet, if there is one.
    #[must_use]
    pub const fn policy(&self) -> Option<&Policy> {
        match self {
            Self::Log(_) => None,
            Self::Policy(policy) | Self::Witnessed { policy, .. } => Some(policy),
        }
    }

    /// Whether the log's signature is not enough.
    #[must_use]
    pub const fn needs_witnesses(&self) -> bool {
        matches!(self.policy(), Some(policy) if !policy.needs_no_witness())
    }
}

impl Policy {
    /// Verifies that a checkpoint is signed by one of the policy's logs and meets the quorum.
    ///
    /// # Errors
    /// [`PolicyVerifyError`] says what is wrong or missing.
    pub fn verify(&self, checkpoint: &SignedCheckpoint) -> Result<WitnessedCheckpoint, PolicyVerifyError> {
        let keys = self.log_keys();
        if keys.is_empty() {
            return Err(PolicyVerifyError::NoLogs);
        }
        self.verify_with_logs(checkpoint, &keys)
    }

    /// The keys of all logs.
    fn log_keys(&self) -> Vec<VerifierKey> {
        self.logs.iter().map(|log| log.key.clone()).collect()
    }

    /// Verifies with log keys that are known from elsewhere instead of the policy's own.
    ///
    /// # Errors
    /// [`PolicyVerifyError`] says what is wrong or missing.
    pub fn verify_with_logs(
        &self,
        checkpoint: &SignedCheckpoint,
        keys: &[VerifierKey],
    ) -> Result<WitnessedCheckpoint, PolicyVerifyError> {
        let verified = checkpoint.verify(keys)?;
        let mut times = Vec::with_capacity(self.witnesses.len());
        for witness in &self.witnesses {
            times.push(witness.key.verify(checkpoint)?);
        }
        let tally = Tally::count(self, times.iter().map(Option::is_some).collect());
        match self.quorum {
            Some(quorum) if !tally.witnessed(quorum) => Err(tally.shortfalls(self, quorum).into()),
            _ => {
                let counted = self.witnesses.iter().zip(times);
                let witnesses = counted
                    .filter_map(|(witness, time)| Some(CountedWitness { name: witness.name.clone(), time: time? }))
                    .collect();
                Ok(WitnessedCheckpoint { checkpoint: verified, witnesses })
            }
        }
    }
}

impl Policy {
    /// Whether the quorum would be met if these witnesses cosigned, and no others. With the quorum `none` it always is.
    pub fn is_met_by(&self, cosigned: impl FnMut(&PolicyWitness) -> bool) -> bool {
        let tally = Tally::count(self, self.witnesses.iter().map(cosigned).collect());
        self.quorum.is_none_or(|quorum| tally.witnessed(quorum))
    }
}

/// Who witnessed. Groups stand after their members, so that one pass in order decides them all.
struct Tally {
    witnesses: Vec<bool>,
    /// For each group, how many of its members witnessed, and whether those are enough.
    groups: Vec<(usize, bool)>,
}

impl Tally {
    /// `witnesses` says of each witness of the policy whether it cosigned.
    fn count(policy: &Policy, witnesses: Vec<bool>) -> Self {
        let mut tally = Self { witnesses, groups: Vec::new() };
        for group in &policy.groups {
            let found = group.members.iter().filter(|&&member| tally.witnessed(member)).count();
            tally.groups.push((found, found >= group.threshold));
        }
        tally
    }

    fn witnessed(&self, member: Member) -> bool {
        match member {
            Member::Witness(index) => self.witnesses.get(index).copied().unwrap_or(false),
            Member::Group(index) => self.groups.get(index).is_some_and(|(_, enough)| *enough),
        }
    }

    /// Walks down from the quorum. Each name is a member at most once, so that the walk meets each at most once.
    fn shortfalls(&self, policy: &Policy, quorum: Member) -> QuorumNotMet {
        let mut shortfalls = Vec::new();
        let mut pending = vec![quorum];
        while let Some(member) = pending.pop() {
            if self.witnessed(member) {
                continue;
            }
            match member {
                Member::Witness(index) => {
                    let witness = policy.witnesses.get(index);
                    shortfalls.extend(witness.map(|witness| Shortfall::Witness { name: witness.name.clone() }));
                }
                Member::Group(index) => {
                    let found = self.groups.get(index).map_or(0, |(found, _)| *found);
                    if let Some(group) = policy.groups.get(index) {
                        let name = group.name.clone();
                        shortfalls.push(Shortfall::Group { name, found, needed: group.threshold });
                        pending.extend(group.members.iter().rev());
                    }
                }
            }
        }
        QuorumNotMet { shortfalls }
    }
}

impl WitnessedCheckpoint {
    /// The checkpoint, which its log has signed.
    #[must_use]
    pub const fn checkpoint(&self) -> &VerifiedCheckpoint {
        &self.checkpoint
    }

    /// The known witnesses that cosigned, in the order of the policy; those beyond the quorum too.
    #[must_use]
    pub fn witnesses(&self) -> &[CountedWitness] {
        &self.witnesses
    }

    /// The checkpoint without the witnesses.
    #[must_use]
    pub fn into_checkpoint(self) -> VerifiedCheckpoint {
        self.checkpoint
    }
}

impl core::error::Error for QuorumNotMet {}

impl fmt::Display for QuorumNotMet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the quorum is not met")?;
        for (number, shortfall) in self.shortfalls.iter().enumerate() {
            f.write_str(if number == 0 { ": " } else { "; " })?;
            shortfall.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Witness { name } => write!(f, "no cosignature by witness {name}"),
            Self::Group { name, found, needed } => write!(f, "group {name} has {found} of {needed}"),
        }
    }
}
