//! Turns what a log serves into what is known about it, given the log's key.
//!
//! Everything starts from a head that the log's key has signed; whatever else is served must fit that head. Not here:
//! comparing heads over time (`monitor`) and asking for anything (`fetch`). [`trail`] is about audit records.

mod error;
mod keys;
mod receipt;
mod succession;
mod tiles;
pub mod trail;
mod whole;

pub use error::{AuditError, HeadFault};
pub use keys::{FollowedKeys, follow_keys, follow_statements};
pub use receipt::receipt_from_tiles;
pub use succession::{Continued, continued, newest_head, seal_of};
pub use tiles::TileReader;
pub use whole::{Checked, Unsound, check_whole};

use cairn_tree::checkpoint::{LogKeys, VerifiedCheckpoint};
use cairn_tree::policy::{PolicyVerifyError, Trust};

use crate::fetch::{Freshness, HeadKind, Remote};

/// Fetches one of the log's heads and checks that one of its `keys` has signed it, and none wrongly.
///
/// # Errors
/// [`AuditError::Fetch`], or [`AuditError::Head`] if it is not signed so.
pub async fn head(
    remote: &Remote,
    keys: &LogKeys,
    kind: HeadKind,
    freshness: Freshness,
) -> Result<VerifiedCheckpoint, AuditError> {
    let served = remote.head(kind, freshness).await?;
    keys.verify(&served).map_err(|error| AuditError::Head { kind, fault: error.into(), served: Box::new(served) })
}

/// Fetches the log's checkpoint and checks that it is trusted: that the log signed it, and its witnesses, if a policy
/// asks for them.
///
/// # Errors
/// [`AuditError::Fetch`], [`AuditError::Head`] if the log has not signed it, or [`AuditError::Policy`].
pub async fn checkpoint(
    remote: &Remote,
    trust: &Trust,
    freshness: Freshness,
) -> Result<VerifiedCheckpoint, AuditError> {
    let kind = HeadKind::Checkpoint;
    let served = remote.head(kind, freshness).await?;
    match trust.verify(&served) {
        Ok(met) => Ok(met.into_checkpoint()),
        Err(PolicyVerifyError::Checkpoint(error)) => {
            Err(AuditError::Head { kind, fault: error.into(), served: Box::new(served) })
        }
        Err(error) => Err(error.into()),
    }
}
