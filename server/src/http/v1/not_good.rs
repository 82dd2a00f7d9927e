//! Why a record is not given out, and what stands in its place.

use cairn_tree::size::LeafIndex;
use cairn_tree::wire::v1::{IntegrityProblem, WrongPart};

use super::super::problem::{Kind, Problem};
use crate::engine::ReadError;
use crate::engine::records::{StoredRecord, Unreadable};
use crate::records::{Broken, BrokenPart};

/// An entry as it was read back.
pub(in crate::http) type ReadBack = Result<StoredRecord, Unreadable>;

/// Why a record is not given out.
#[derive(Debug)]
pub(in crate::http) enum NotGood {
    /// It is not what was signed; that was reported.
    Broken(Broken),
    /// What is stored there can't be read.
    Unreadable(LeafIndex, ReadError),
    /// Nothing is known of it.
    Other(Problem),
}

impl NotGood {
    /// What stands in a listing in the place of the record.
    pub(in crate::http) fn in_place(self) -> Result<IntegrityProblem, Problem> {
        match self {
            Self::Broken(Broken { index, what, words }) => {
                let part = match what {
                    BrokenPart::Disclosure(digest, fault) => WrongPart::Disclosure(digest, fault),
                    BrokenPart::Leaf => WrongPart::Leaf,
                    BrokenPart::Chain { .. } => WrongPart::Chain,
                };
                Ok(IntegrityProblem { index, part, detail: words })
            }
            Self::Unreadable(index, _) => {
                let detail = "what is stored there is missing or damaged".to_owned();
                Ok(IntegrityProblem { index, part: WrongPart::Leaf, detail })
            }
            Self::Other(problem) => Err(problem),
        }
    }
}

impl From<NotGood> for Problem {
    fn from(error: NotGood) -> Self {
        match error {
            NotGood::Broken(broken) => {
                let detail = format!("the record at {} can't be verified: {}", broken.index, broken.words);
                Self::new(Kind::Integrity, detail).value(broken.index.to_string())
            }
            NotGood::Unreadable(_, error) => error.into(),
            NotGood::Other(problem) => problem,
        }
    }
}
