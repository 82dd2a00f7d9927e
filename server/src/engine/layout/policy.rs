//! A log's policy row: the witness policy in force, as the operator wrote it, and an earlier one whose witnesses have
//! not been asked yet whether the log may go on.
//!
//! No row says that there is no policy. That nobody knows which one there is, since a repair lost rows, or a restored copy
//! lacks a later one, is a row that says so.

use cairn_tree::store::{Key, Kind, LogId};

use super::RowError;
use super::fields::Fields;
use crate::high_water::PolicyMark;

const ROW: &str = "policy";
const VERSION: u8 = 1;

const ABSENT: u8 = 0;
const FAIL_CLOSED: u8 = 1;
const FAIL_OPEN: u8 = 2;
const LOST: u8 = 3;
const PROPOSED_CLOSED: u8 = 4;
const PROPOSED_OPEN: u8 = 5;

/// A policy file and what its operator decided beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct PolicyText {
    /// The file, byte for byte.
    pub text: Vec<u8>,
    /// Whether heads are published without the quorum when it is late.
    pub fail_open: bool,
}

/// What is known of the policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::engine) enum Current {
    /// There is none.
    #[default]
    Absent,
    /// Nobody knows: a repair lost rows, and has found none that says so, or a restored copy lacks the newest.
    Lost,
    /// This one.
    Said(PolicyText),
    /// This one, which the operator has said of a log that had lost its own. Its witnesses have not agreed yet that the log
    /// goes on, and until then the operator may say another: what one names by mistake must not hold a log for ever.
    Proposed(PolicyText),
}

/// Written when an operator changes the policy, when witnesses have agreed that the log goes on, and by a repair that
/// does not know the policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::engine) struct PolicyRow {
    /// The policy in force.
    pub current: Current,
    /// A policy that was replaced before its witnesses had agreed since the last start: they must agree still.
    pub outstanding: Option<PolicyText>,
}

impl Current {
    /// The policy, if there is one and it is known.
    pub(in crate::engine) fn said(self) -> Option<PolicyText> {
        match self {
            Self::Said(policy) | Self::Proposed(policy) => Some(policy),
            Self::Absent | Self::Lost => None,
        }
    }
}

impl PolicyRow {
    /// The key of `log`'s policy.
    #[must_use]
    pub(in crate::engine) fn key(log: LogId) -> Key {
        Key::numbered(log, Kind::Policy, 0)
    }

    /// What the high-water keeps of it. No row says that there is none.
    #[must_use]
    pub(in crate::engine) fn mark(&self) -> PolicyMark {
        match self {
            Self { current: Current::Absent, outstanding: None } => PolicyMark::Absent,
            Self { current: Current::Lost, .. } => PolicyMark::Unknown,
            row => PolicyMark::of(&row.encode()),
        }
    }

    /// The bytes: version, then for each of the two policies its kind, its length and its text.
    #[must_use]
    pub(in crate::engine) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        let said = |policy: &PolicyText| if policy.fail_open { FAIL_OPEN } else { FAIL_CLOSED };
        let current = match &self.current {
            Current::Absent => (ABSENT, [].as_slice()),
            Current::Lost => (LOST, [].as_slice()),
            Current::Said(policy) => (said(policy), policy.text.as_slice()),
            Current::Proposed(policy) if policy.fail_open => (PROPOSED_OPEN, policy.text.as_slice()),
            Current::Proposed(policy) => (PROPOSED_CLOSED, policy.text.as_slice()),
        };
        let outstanding = self.outstanding.as_ref();
        let outstanding = outstanding.map_or((ABSENT, [].as_slice()), |policy| (said(policy), policy.text.as_slice()));
        for (kind, text) in [current, outstanding] {
            bytes.push(kind);
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text);
        }
        bytes
    }

    /// Reads what [`PolicyRow::encode`] wrote.
    ///
    /// # Errors
    /// [`RowError`] for anything else.
    pub(in crate::engine) fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let mut fields = Fields::open(ROW, VERSION, bytes)?;
        let mut one = || {
            let kind = fields.u8()?;
            let length = fields.u64()?;
            let text = fields.bytes(usize::try_from(length).unwrap_or(usize::MAX))?.to_vec();
            match kind {
                ABSENT if text.is_empty() => Ok(Current::Absent),
                LOST if text.is_empty() => Ok(Current::Lost),
                FAIL_CLOSED | FAIL_OPEN => Ok(Current::Said(PolicyText { text, fail_open: kind == FAIL_OPEN })),
                PROPOSED_CLOSED | PROPOSED_OPEN => {
                    Ok(Current::Proposed(PolicyText { text, fail_open: kind == PROPOSED_OPEN }))
                }
                other => Err(fields.error(format!("unknown kind {other}"))),
            }
        };
        let (current, outstanding) = (one()?, one()?);
        fields.end()?;
        match outstanding {
            Current::Absent => Ok(Self { current, outstanding: None }),
            Current::Said(policy) => Ok(Self { current, outstanding: Some(policy) }),
            Current::Lost | Current::Proposed(_) => {
                Err(RowError::new(ROW, "the earlier policy is none that was in force"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_back_and_nothing_else_does() {
        let text = |text: &str, fail_open| PolicyText { text: text.into(), fail_open };
        for row in [
            PolicyRow::default(),
            PolicyRow { current: Current::Said(text("quorum none\n", true)), outstanding: None },
            PolicyRow { current: Current::Absent, outstanding: Some(text("quorum w\n", false)) },
            PolicyRow { current: Current::Lost, outstanding: None },
            PolicyRow { current: Current::Proposed(text("quorum w\n", false)), outstanding: None },
            PolicyRow { current: Current::Proposed(text("quorum w\n", true)), outstanding: None },
        ] {
            let bytes = row.encode();
            assert_eq!(PolicyRow::decode(&bytes), Ok(row));
            for cut in 0..bytes.len() {
                assert!(PolicyRow::decode(&bytes[..cut]).is_err(), "{cut}");
            }
            assert!(PolicyRow::decode(&[&bytes[..], b"x"].concat()).is_err());
        }
    }

    #[test]
    fn only_the_policy_in_force_can_be_lost() {
        let kind_of_outstanding = 1 + 1 + 8;
        for kind in [LOST, PROPOSED_CLOSED, PROPOSED_OPEN] {
            let mut bytes = PolicyRow::default().encode();
            bytes[kind_of_outstanding] = kind;
            assert!(PolicyRow::decode(&bytes).is_err());
        }
    }
}
