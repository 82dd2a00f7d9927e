//! A log's policy row: the witness policy in force, as the operator wrote it, and an earlier one whose witnesses have
//! not been asked yet whether the log may go on.

use cairn_tree::store::{Key, Kind, LogId};

use super::RowError;
use super::fields::Fields;

const ROW: &str = "policy";
const VERSION: u8 = 1;

const ABSENT: u8 = 0;
const FAIL_CLOSED: u8 = 1;
const FAIL_OPEN: u8 = 2;

/// A policy file and what its operator decided beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct PolicyText {
    /// The file, byte for byte.
    pub text: Vec<u8>,
    /// Whether heads are published without the quorum when it is late.
    pub fail_open: bool,
}

/// Written when an operator changes the policy, and when witnesses have agreed that the log goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::engine) struct PolicyRow {
    /// The policy in force.
    pub current: Option<PolicyText>,
    /// A policy that was replaced before its witnesses had agreed since the last start: they must agree still.
    pub outstanding: Option<PolicyText>,
}

impl PolicyRow {
    /// The key of `log`'s policy.
    #[must_use]
    pub(in crate::engine) fn key(log: LogId) -> Key {
        Key::numbered(log, Kind::Policy, 0)
    }

    /// The bytes: version, then for each of the two policies its kind, its length and its text.
    #[must_use]
    pub(in crate::engine) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        for policy in [&self.current, &self.outstanding] {
            let (kind, text) = match policy {
                None => (ABSENT, [].as_slice()),
                Some(policy) => (if policy.fail_open { FAIL_OPEN } else { FAIL_CLOSED }, policy.text.as_slice()),
            };
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
                ABSENT if text.is_empty() => Ok(None),
                FAIL_CLOSED | FAIL_OPEN => Ok(Some(PolicyText { text, fail_open: kind == FAIL_OPEN })),
                other => Err(fields.error(format!("unknown kind {other}"))),
            }
        };
        let row = Self { current: one()?, outstanding: one()? };
        fields.end()?;
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_back_and_nothing_else_does() {
        let text = |text: &str, fail_open| Some(PolicyText { text: text.into(), fail_open });
        for row in [
            PolicyRow::default(),
            PolicyRow { current: text("quorum none\n", true), outstanding: None },
            PolicyRow { current: None, outstanding: text("quorum w\n", false) },
        ] {
            let bytes = row.encode();
            assert_eq!(PolicyRow::decode(&bytes), Ok(row));
            for cut in 0..bytes.len() {
                assert!(PolicyRow::decode(&bytes[..cut]).is_err(), "{cut}");
            }
            assert!(PolicyRow::decode(&[&bytes[..], b"x"].concat()).is_err());
        }
    }
}
