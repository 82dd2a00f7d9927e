//! What operators may ask of a database, whether a server has it open or not: logs, tokens, checks.
//!
//! One [`Request`] and its [`Reply`] are the same on the admin socket (`socket`) and within one process (`operator`).

mod life;
mod link;
mod operator;
mod quarantine;
mod settings;
mod socket;
mod tenant;

pub use operator::{NewLog, Operator, TokenOffice};
pub use quarantine::{PersisterLines, QuarantinedMessage, RetriedLine, TopicLine};
pub use socket::{AdminError, Session, listen};

use cairn_tree::wire::json::Bytes;
use serde::{Deserialize, Serialize};

use crate::auth::{Rights, Selector, Tenants, TokenId, TokenTerms};
use crate::engine::{Finding, Frozen};
use crate::records::ReadAudit;
use crate::records::capture::{Listed, QuarantineId};
use crate::signer::KeyType;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Make a log with a new key.
    LogCreate {
        /// Its name.
        name: String,
        /// Whether anyone may append.
        open_append: bool,
        /// Whether reads need a token.
        private: bool,
        /// Whether an entry that is there already is not appended again.
        dedup: bool,
        /// Whether an ML-DSA-44 key signs beside the Ed25519 key from the beginning.
        #[serde(default)]
        ml_dsa: bool,
    },
    /// List the logs.
    LogList,
    /// End a log, and let another continue it.
    LogSeal {
        /// The log that ends.
        name: String,
        /// The log that goes on.
        successor: String,
    },
    /// Give a log a new key.
    KeyRotate {
        /// The log.
        name: String,
        /// What kind of key.
        kind: KeyType,
    },
    /// Retire a log's oldest key of a kind.
    KeyRetire {
        /// The log.
        name: String,
        /// What kind of key.
        kind: KeyType,
    },
    /// List a log's keys.
    KeyList {
        /// The log.
        name: String,
    },
    /// Put a witness policy in force, or none.
    LogPolicy {
        /// The log.
        name: String,
        /// The policy file.
        policy: Option<Bytes>,
        /// Whether heads are published without the quorum when it is late.
        fail_open: bool,
    },
    /// Show the witness policy in force.
    LogPolicyShow {
        /// The log.
        name: String,
    },
    /// Give a tenant a log of its own, and tokens.
    TenantCreate {
        /// The tenant.
        name: String,
        /// The log's name; the tenant's if it is absent.
        log: Option<String>,
        /// Whether reads of the log need a token.
        private: bool,
        /// Whether the streams that it has go on in the new log.
        #[serde(default)]
        continues: bool,
    },
    /// List the tenants that have logs of their own, or for which something is decided.
    TenantList,
    /// Decide something for a tenant.
    TenantSet {
        /// The tenant.
        name: String,
        /// Whether reads of its records are put on record.
        reads: ReadAudit,
    },
    /// Decide something for a module of a tenant; what is absent stays as it is.
    ModuleSet {
        /// The tenant.
        tenant: String,
        /// The module.
        module: String,
        /// Whether it is strict.
        strict: Option<bool>,
        /// Whether old values must match.
        old_must_match: Option<bool>,
    },
    /// List the modules for which something is decided.
    ModuleList,
    /// Make a token.
    TokenCreate(TokenTerms),
    /// List the tokens, without their secrets.
    TokenList,
    /// Put a token out of force.
    TokenRevoke {
        /// Which one.
        id: TokenId,
    },
    /// List the messages of DIGIT's persister that became no records.
    QuarantineList,
    /// Show one of them.
    QuarantineShow {
        /// Which one.
        id: QuarantineId,
    },
    /// Try one of them again.
    QuarantineRetry {
        /// Which one.
        id: QuarantineId,
        /// The token to act as; that which brought it, if it is absent.
        token: Option<TokenId>,
    },
    /// Drop one of them.
    QuarantineDrop {
        /// Which one.
        id: QuarantineId,
    },
    /// Show the configuration of DIGIT's persister.
    PersisterShow,
    /// Read it anew.
    PersisterReload,
    /// Read and hash everything again.
    Fsck,
    /// Make a frozen copy, for a backup.
    Freeze,
}

/// An answer, or a step on the way to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// A check is under way; more replies follow.
    Progress(Progress),
    /// The log that was made.
    LogCreated(LogLine),
    /// All logs.
    Logs(Vec<LogLine>),
    /// The witness policy in force.
    Policy(PolicyLine),
    /// A log's keys.
    Keys(KeysLine),
    /// The tenant's log and its tokens.
    TenantCreated(NewTenant),
    /// The tenants that have logs of their own, or for which something is decided.
    Tenants(Vec<TenantLine>),
    /// The modules for which something is decided, or is after a change.
    Modules(Vec<ModuleLine>),
    /// The token that was made.
    TokenCreated(NewToken),
    /// All tokens.
    Tokens(Vec<TokenLine>),
    /// The token is out of force.
    TokenRevoked,
    /// The messages that became no records.
    Quarantine(Vec<Listed>),
    /// One of them.
    Quarantined(QuarantinedMessage),
    /// What became of one that was tried again.
    Retried(RetriedLine),
    /// The message is gone.
    QuarantineDropped,
    /// The configuration of DIGIT's persister in force.
    Persister(PersisterLines),
    /// What was found in each log.
    Findings(Vec<FindingLine>),
    /// The frozen copy that was made.
    Frozen(Frozen),
    /// It was not done, and why.
    Failed(String),
}

/// How far a check is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The log.
    pub log: String,
    /// Entries that were read.
    pub done: u64,
    /// Entries that there are.
    pub size: u64,
}

/// A log, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its name.
    pub name: String,
    /// The origin line of its checkpoints.
    pub origin: String,
    /// Its public key.
    pub vkey: String,
    /// The size of its newest head.
    pub size: u64,
    /// `open`, `sealed`, or `halted: ` or `held: ` and why.
    pub state: String,
    /// Whether reads need a token.
    pub private: bool,
    /// Whether anyone may append.
    pub open_append: bool,
    /// Whether an entry that is there already is not appended again.
    pub dedup: bool,
    /// The origin of the log that continues it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
}

/// A log's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysLine {
    /// The log.
    pub log: String,
    /// Its keys, oldest first.
    pub keys: Vec<KeyLine>,
}

/// A key, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLine {
    /// The key.
    pub vkey: String,
    /// `active` or `retired`.
    pub status: String,
    /// The size of the first head that it signs.
    pub first_size: u64,
}

/// A log's witness policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyLine {
    /// The log.
    pub log: String,
    /// The policy file, byte for byte, if there is a policy.
    pub policy: Option<Bytes>,
    /// Whether heads are published without the quorum when it is late.
    pub fail_open: bool,
    /// Whether appends wait until witnesses have agreed, since the start, that the log goes on.
    pub held: bool,
    /// Whether a repair lost the policy, so that nobody knows whether there is one: appends wait until it is said.
    #[serde(default)]
    pub lost: bool,
}

/// A tenant that was just given a log of its own; the only time that the tokens are shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTenant {
    /// The tenant.
    pub tenant: String,
    /// Its log.
    pub log: LogLine,
    /// How many of its streams go on there from the default log, as far as this command linked them.
    pub linked: u64,
    /// Brings records.
    pub producer_token: String,
    /// Sees all of them.
    pub auditor_token: String,
}

impl core::fmt::Debug for NewTenant {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NewTenant").field("tenant", &self.tenant).field("log", &self.log).finish_non_exhaustive()
    }
}

/// A tenant that has a log of its own, or for which something is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantLine {
    /// The tenant.
    pub tenant: String,
    /// The log that has its records.
    pub log: String,
    /// Whether it is the tenant's own.
    pub own: bool,
    /// The log of its own that its streams are on their way to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving_to: Option<String>,
    /// Whether reads of its records are put on record.
    pub reads: ReadAudit,
}

/// What is decided for a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleLine {
    /// The tenant.
    pub tenant: String,
    /// The module.
    pub module: String,
    /// Whether it is strict.
    pub strict: bool,
    /// Whether old values must match.
    pub old_must_match: bool,
}

/// A token that was just made; the only time that its text is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    /// Its public name.
    pub id: TokenId,
    /// The whole token.
    pub token: String,
}

/// A token, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenLine {
    /// Its public name.
    pub id: TokenId,
    /// What the operator calls it.
    pub name: String,
    /// What it allows.
    pub rights: Rights,
    /// On which logs.
    pub logs: Selector,
    /// On the records of which tenants.
    pub tenants: Tenants,
    /// When it was made, in milliseconds since the epoch.
    pub created_ms: u64,
}

/// What was found in one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingLine {
    /// The log.
    pub log: String,
    /// The entries that its head covers.
    pub size: u64,
    /// The first thing that is not as it must be.
    pub problem: Option<String>,
    /// Every place that was found to be bad, up to a bound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<String>,
}

impl From<Finding> for FindingLine {
    fn from(finding: Finding) -> Self {
        let Finding { log, size, problem, damaged: _, places } = finding;
        Self { log, size: size.get(), problem, places }
    }
}

impl core::fmt::Debug for NewToken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "NewToken({})", self.id)
    }
}
