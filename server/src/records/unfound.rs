//! Whether a record that the indexes know too little of may be missed by a search, or has nothing left to be found by.

use cairn_tree::record::leaf::{Entry, Leaf};
use cairn_tree::record::shown::Shown;
use cairn_tree::size::LeafIndex;

use super::excuse::verified;
use super::verify::Unverified;
use crate::engine::Log;

/// Whether something of the record at an index was erased, or it is of a later version: then nobody could find it by more
/// than the indexes have. What is damaged is no excuse, nor is a record that is whole.
///
/// # Errors
/// [`Unverified`] if nothing is known of it: never [`Unverified::Broken`].
pub fn is_excused(log: &Log, index: LeafIndex) -> Result<bool, Unverified> {
    let head = log.head();
    let stored = match log.stored_record(&head, index) {
        Err(error) if error.is_failure() => return Err(error.into()),
        stored => stored.ok().flatten(),
    };
    let Some(stored) = stored else { return Ok(false) };
    if matches!(Leaf::classify(&stored.leaf), Ok(Entry::Opaque)) {
        return Ok(true);
    }
    match verified(log, &head, stored) {
        Ok(verified) => Ok(verified.record().traced().iter().any(|traced| matches!(traced.became, Shown::Erased(_)))),
        Err(Unverified::Broken(_)) => Ok(false),
        Err(Unverified::Read(error)) if !error.is_failure() => Ok(false),
        Err(error) => Err(error),
    }
}
