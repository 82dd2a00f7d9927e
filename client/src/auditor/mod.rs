//! Turns what a log serves into what is known about it, given the log's key.
//!
//! Everything starts from a head that the log's key has signed; whatever else is served must fit that head. Not here:
//! comparing heads over time (`monitor`) and asking for anything (`fetch`).

mod error;
mod receipt;
mod tiles;
mod whole;

pub use error::AuditError;
pub use receipt::receipt_from_tiles;
pub use tiles::TileReader;
pub use whole::{Checked, Unsound, check_whole};

use cairn_tree::checkpoint::{LogKeys, VerifiedCheckpoint};

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
    keys.verify(&served).map_err(|error| AuditError::Head { kind, error, served: Box::new(served) })
}
