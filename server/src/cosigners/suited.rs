//! Whether a policy suits a log: its witnesses can be asked, and together they can meet its quorum.

use cairn_tree::policy::{Octets, PolicyError, PolicyWitness};

use super::endpoint::{Prefix, PrefixError};
use crate::engine::LogPolicy;

/// Why a policy file is not put in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsuited {
    /// It is no policy.
    #[error("the policy can't be read: {0}")]
    Unreadable(#[from] PolicyError),
    /// It is about other logs.
    #[error("the policy has log lines, and none of them is this log's key {0}")]
    OtherLogs(String),
    /// A witness has a URL under which it can't be asked.
    #[error("witness {witness}: the URL {url}: {error}")]
    Url {
        /// Its name in the policy.
        witness: Octets,
        /// What stands there.
        url: Octets,
        /// What is wrong.
        error: PrefixError,
    },
    /// No checkpoint could ever meet the quorum.
    #[error("the witnesses that have a URL can't meet the quorum, whatever they answer; give more of them their URLs")]
    OutOfReach,
}

/// Reads a policy file for a log that signs with these vkeys.
///
/// # Errors
/// [`Unsuited`] says what is wrong.
pub fn suited(vkeys: &[String], file: &[u8], fail_open: bool) -> Result<LogPolicy, Unsuited> {
    let policy = LogPolicy::parse(file, fail_open)?;
    let own = |named: &cairn_tree::policy::PolicyLog| vkeys.contains(&named.key().to_string());
    if !policy.policy().logs().is_empty() && !policy.policy().logs().iter().any(own) {
        return Err(Unsuited::OtherLogs(vkeys.first().cloned().unwrap_or_default()));
    }
    for witness in policy.policy().witnesses() {
        if let Some(url) = witness.url() {
            Prefix::parse(url).map_err(|error| {
                let (witness, url) = (witness.name().clone(), url.clone());
                Unsuited::Url { witness, url, error }
            })?;
        }
    }
    if !policy.policy().is_met_by(can_count) {
        return Err(Unsuited::OutOfReach);
    }
    Ok(policy)
}

/// Whether a witness can be asked.
fn can_count(witness: &PolicyWitness) -> bool {
    witness.url().is_some()
}
