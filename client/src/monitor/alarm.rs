//! What can be wrong with a log, and since when: a condition that lasts is one alarm.

use core::fmt;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::evidence::{Case, Misplaced};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alarm {
    /// The log signed two trees of which neither extends the other.
    Fork,
    /// The log shows an old head, past caches, for too long.
    Rollback,
    /// The log keeps a head from us that it signed for somebody else, for too long.
    Withheld,
    /// An entry is not the one that was signed.
    WrongEntry,
    /// What is served does not fit the signed head.
    Misfit,
    /// A head has a wrong signature, or none by a known key.
    Signature,
    /// Too few witnesses cosigned the checkpoint.
    Quorum,
    /// Nobody attests the checkpoint lately.
    TooOld,
    /// Too few attest the checkpoint without those who do it for a time to come.
    FromTheFuture,
    /// The log could not be had for a while. Nothing is said about its honesty.
    Unreachable,
}

/// An alarm that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Active {
    /// What is wrong.
    pub alarm: Alarm,
    /// Since when, by this machine's clock.
    pub since: Timestamp,
    /// The file that was kept, if there is one.
    pub evidence: Option<String>,
}

/// The alarms of one log that go on, at most one of each kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger(BTreeMap<Alarm, Active>);

impl Alarm {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Fork,
        Self::Rollback,
        Self::Withheld,
        Self::WrongEntry,
        Self::Misfit,
        Self::Signature,
        Self::Quorum,
        Self::TooOld,
        Self::FromTheFuture,
        Self::Unreachable,
    ];

    /// What a case is about.
    #[must_use]
    pub const fn of(case: &Case) -> Self {
        match case {
            Case::Fork { .. } => Self::Fork,
            Case::Rollback { .. } => Self::Rollback,
            Case::Withheld { .. } => Self::Withheld,
            Case::WrongEntry { .. } => Self::WrongEntry,
            Case::Misfit { .. } => Self::Misfit,
            Case::Signature { .. } => Self::Signature,
            Case::Quorum { .. } => Self::Quorum,
            Case::Time { fault: Misplaced::TooOld, .. } => Self::TooOld,
            Case::Time { fault: Misplaced::FromTheFuture, .. } => Self::FromTheFuture,
        }
    }

    /// Its name, which is its case's too.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Rollback => "rollback",
            Self::Withheld => "withheld",
            Self::WrongEntry => "wrong-entry",
            Self::Misfit => "misfit",
            Self::Signature => "signature",
            Self::Quorum => "quorum",
            Self::TooOld => "too-old",
            Self::FromTheFuture => "from-the-future",
            Self::Unreachable => "unreachable",
        }
    }

    /// Whether it is held against the log.
    #[must_use]
    pub const fn is_misbehaviour(self) -> bool {
        !matches!(self, Self::Unreachable)
    }

    /// Whether it stands for good: what is proven does not become untrue because the log behaves again.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Fork)
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Ledger {
    /// Takes alarms up that went on in an earlier run.
    #[must_use]
    pub fn resume(active: Vec<Active>) -> Self {
        Self(active.into_iter().map(|active| (active.alarm, active)).collect())
    }

    /// The alarms that go on.
    pub fn active(&self) -> impl Iterator<Item = &Active> {
        self.0.values()
    }

    /// An alarm that goes on.
    #[must_use]
    pub fn get(&self, alarm: Alarm) -> Option<&Active> {
        self.0.get(&alarm)
    }

    /// Whether this alarm goes on.
    #[must_use]
    pub fn has(&self, alarm: Alarm) -> bool {
        self.0.contains_key(&alarm)
    }

    /// The first alarm that is held against the log.
    #[must_use]
    pub fn worst(&self) -> Option<&Active> {
        self.active().find(|active| active.alarm.is_misbehaviour())
    }

    /// Raises an alarm; false if it goes on already.
    pub fn raise(&mut self, alarm: Alarm, now: Timestamp) -> bool {
        let is_new = !self.has(alarm);
        self.0.entry(alarm).or_insert(Active { alarm, since: now, evidence: None });
        is_new
    }

    /// Takes note of the file that was kept for an alarm.
    pub fn filed(&mut self, alarm: Alarm, path: String) {
        if let Some(active) = self.0.get_mut(&alarm) {
            active.evidence = Some(path);
        }
    }

    /// Ends an alarm, unless it is final.
    pub fn clear(&mut self, alarm: Alarm) -> Option<Active> {
        if alarm.is_final() { None } else { self.0.remove(&alarm) }
    }

    /// Ends the alarms that stand by themselves, whatever the log shows, because somebody has looked into them.
    pub fn dismiss(&mut self) -> Vec<Active> {
        [Alarm::Fork, Alarm::Misfit].iter().filter_map(|alarm| self.0.remove(alarm)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_lasts_is_one_alarm_with_the_time_at_which_it_began() {
        let mut ledger = Ledger::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(ledger.raise(Alarm::Quorum, at(5)));
        assert!(!ledger.raise(Alarm::Quorum, at(9)));
        ledger.filed(Alarm::Quorum, "here".to_owned());
        assert_eq!(
            ledger.active().cloned().collect::<Vec<_>>(),
            [Active { alarm: Alarm::Quorum, since: at(5), evidence: Some("here".to_owned()) }]
        );
        assert_eq!(ledger.clear(Alarm::Quorum).map(|ended| ended.since), Some(at(5)));
        assert_eq!(ledger.clear(Alarm::Quorum), None);
        assert!(ledger.raise(Alarm::Quorum, at(12)), "it came back");
    }

    #[test]
    fn a_fork_is_never_cleared_by_what_a_log_does_and_silence_is_not_held_against_a_log() {
        let mut ledger = Ledger::default();
        let now = Timestamp::UNIX_EPOCH;
        assert!(ledger.raise(Alarm::Unreachable, now));
        assert_eq!(ledger.worst(), None);
        assert!(ledger.raise(Alarm::Fork, now));
        assert_eq!(ledger.clear(Alarm::Fork), None);
        assert_eq!(ledger.worst().map(|active| active.alarm), Some(Alarm::Fork));
        assert_eq!(ledger.dismiss().len(), 1, "by those alone who have looked into it");
        assert_eq!((ledger.worst(), ledger.has(Alarm::Unreachable)), (None, true));
    }

    #[test]
    fn an_alarm_has_one_name_wherever_it_stands() {
        for alarm in Alarm::ALL {
            assert_eq!(serde_json::to_string(&alarm).unwrap(), format!("\"{alarm}\""));
        }
    }
}
