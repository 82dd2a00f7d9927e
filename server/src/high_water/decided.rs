//! What was decided about a log and stands in no head: its witness policy, that it was halted for good, and which checkpoint
//! was published. Kept with the log's newest mark, so that a database which lost the row that says so does not pass for one in
//! which nothing was decided.
//!
//! Not here: the decisions themselves, which stand in rows of the database. Of a policy only a digest is kept.
//!
//! | in a frame, 25 bytes | |
//! |---|---|
//! | 0 | 1: all of this is known; with 2: halted for good; with 4: the policy is known; with 8: there is one |
//! | 1 | the beginning of the SHA-256 of the policy's row, 16 bytes |
//! | 17 | the size of the largest checkpoint that was published under a policy, 8 bytes |

use cairn_tree::size::TreeSize;
use sha2::{Digest as _, Sha256};

const KNOWN: u8 = 1;
const HALTED: u8 = 2;
const POLICY_KNOWN: u8 = 4;
const POLICY: u8 = 8;

/// What is known of a log's witness policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PolicyMark {
    /// Nothing: a repair lost it, and nobody has said since which one holds.
    #[default]
    Unknown,
    /// There is none.
    Absent,
    /// Its row has this digest.
    Of([u8; Self::LEN]),
}

impl PolicyMark {
    const LEN: usize = 16;

    /// The mark of a policy's row.
    #[must_use]
    pub fn of(row: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(row).into();
        let mut beginning = [0; Self::LEN];
        beginning.iter_mut().zip(digest).for_each(|(to, byte)| *to = byte);
        Self::Of(beginning)
    }
}

/// What was decided about a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// Its witness policy.
    pub policy: PolicyMark,
    /// Whether it was halted for good; not so where it was halted because of damage, which is mended.
    pub halted: bool,
    /// The largest checkpoint that was published under a policy, or zero. Never falls.
    pub checkpoint: TreeSize,
}

impl Default for Decided {
    fn default() -> Self {
        Self { policy: PolicyMark::Unknown, halted: false, checkpoint: TreeSize::ZERO }
    }
}

impl Decided {
    pub(super) const LEN: usize = 1 + PolicyMark::LEN + 8;

    /// The bytes; all zero where nothing is known, as in files of version 1.
    pub(super) fn encode(decided: Option<&Self>) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let Some(Self { policy, halted, checkpoint }) = decided else { return bytes };
        let (flags, digest) = match policy {
            PolicyMark::Unknown => (0, [0; PolicyMark::LEN]),
            PolicyMark::Absent => (POLICY_KNOWN, [0; PolicyMark::LEN]),
            PolicyMark::Of(digest) => (POLICY_KNOWN | POLICY, *digest),
        };
        let flags = flags | KNOWN | if *halted { HALTED } else { 0 };
        let fields = core::iter::once(flags).chain(digest).chain(checkpoint.get().to_be_bytes());
        bytes.iter_mut().zip(fields).for_each(|(to, byte)| *to = byte);
        bytes
    }

    /// Reads what [`Decided::encode`] wrote. Of other bytes it gives something that is not encoded as they are.
    pub(super) fn decode(flags: u8, digest: [u8; PolicyMark::LEN], checkpoint: u64) -> Option<Self> {
        if flags & KNOWN == 0 {
            return None;
        }
        let policy = match (flags & POLICY_KNOWN != 0, flags & POLICY != 0) {
            (false, _) => PolicyMark::Unknown,
            (true, false) => PolicyMark::Absent,
            (true, true) => PolicyMark::Of(digest),
        };
        let checkpoint = TreeSize::new(checkpoint).unwrap_or(TreeSize::ZERO);
        Some(Self { policy, halted: flags & HALTED != 0, checkpoint })
    }
}
