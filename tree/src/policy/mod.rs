//! Trust policies: which logs and which witnesses make a checkpoint valid (C2SP tlog-policy).
//!
//! [`parse`] reads the file, [`evaluate`] applies it. Nothing here fetches or stores anything: the optional URLs are
//! kept as they stand. A witness with an Ed25519 and an ML-DSA-44 key is two witnesses, each on its line.

pub mod evaluate;
pub mod parse;

use core::fmt;

use crate::cosignature::CosignerKey;
use crate::note::VerifierKey;

pub use evaluate::{CountedWitness, PolicyVerifyError, QuorumNotMet, Shortfall, Trust, WitnessedCheckpoint};
pub use parse::{PolicyError, PolicyFault};

/// A policy: known logs, known witnesses, and the quorum.
///
/// Invariants: logs and witnesses have no public key twice; a group's members stand before it and are members of no
/// other group, nor twice of this one; the quorum names what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<PolicyGroup>,
    quorum: Option<Member>,
}

/// A log whose checkpoints the policy accepts. The key's name is the log's origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyLog {
    key: VerifierKey,
    url: Option<Octets>,
}

/// A witness that the policy knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyWitness {
    name: Octets,
    key: CosignerKey,
    url: Option<Octets>,
}

/// A group of witnesses and of other groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyGroup {
    name: Octets,
    /// At least one, at most the number of members.
    threshold: usize,
    members: Vec<Member>,
}

/// A position among the policy's witnesses or among its groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// An item of a policy file: opaque octets without white space and control characters, never empty. Two are equal if
/// their octets are, whatever Unicode says (tlog-policy, character set).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Octets(Vec<u8>);

impl Policy {
    /// The largest file.
    pub const MAX_BYTES: usize = 1024 * 1024;
    /// The most logs; the specification recommends at least 32.
    pub const MAX_LOGS: usize = 64;
    /// The most witnesses; the specification recommends at least 32.
    pub const MAX_WITNESSES: usize = 64;
    /// The most groups; the specification recommends at least 32.
    pub const MAX_GROUPS: usize = 64;

    /// The logs. There may be none: then only [`Policy::verify_with_logs`] can be of use.
    #[must_use]
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// The witnesses, in the order of the file.
    #[must_use]
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// Whether the quorum is `none`: that a log has signed is enough.
    #[must_use]
    pub const fn needs_no_witness(&self) -> bool {
        self.quorum.is_none()
    }

    fn member_name(&self, member: Member) -> Option<&Octets> {
        match member {
            Member::Witness(index) => self.witnesses.get(index).map(|witness| &witness.name),
            Member::Group(index) => self.groups.get(index).map(|group| &group.name),
        }
    }
}

impl PolicyLog {
    /// The key, of type 0x01 or 0x06.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Where the log is; what the URL means is for the application to say.
    #[must_use]
    pub const fn url(&self) -> Option<&Octets> {
        self.url.as_ref()
    }
}

impl PolicyWitness {
    /// The name, which has a meaning in this policy only.
    #[must_use]
    pub const fn name(&self) -> &Octets {
        &self.name
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> &CosignerKey {
        &self.key
    }

    /// The witness's submission prefix (C2SP tlog-witness), if the file says one.
    #[must_use]
    pub const fn url(&self) -> Option<&Octets> {
        self.url.as_ref()
    }
}

impl Octets {
    /// The octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The octets as text, if they are UTF-8.
    #[must_use]
    pub fn to_str(&self) -> Option<&str> {
        core::str::from_utf8(&self.0).ok()
    }
}

/// For people: what is not UTF-8 is shown as replacement characters.
impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.utf8_chunks().try_for_each(|chunk| {
            f.write_str(chunk.valid())?;
            if chunk.invalid().is_empty() { Ok(()) } else { f.write_str("\u{FFFD}") }
        })
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}
