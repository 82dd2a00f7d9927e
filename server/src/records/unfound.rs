//! Whether a record that the indexes know too little of may be missed by a search, or has nothing left to be found by; and
//! whose it is.

use std::sync::Arc;

use cairn_tree::record::disclosure::Disclosures;
use cairn_tree::record::leaf::{Entry, Leaf};
use cairn_tree::record::shown::Shown;
use cairn_tree::record::stream::StreamId;
use cairn_tree::size::LeafIndex;

use super::excuse::verified;
use super::verify::{Located, Unverified};
use crate::engine::postings::PostingsError;
use crate::engine::records::{Lack, StoredRecord, stream_print};
use crate::engine::{Head, Log, ProofError, ReadError};

/// Records of a stream that are asked whose it is, the oldest first.
const NEIGHBOURS: usize = 16;

/// What is the matter with the record at an index, which the indexes know too little of.
///
/// # Errors
/// [`Unverified`] if nothing is known of it: never [`Unverified::Broken`].
pub fn lack(log: &Log, index: LeafIndex) -> Result<Lack, Unverified> {
    if is_excused(log, index)? {
        return Ok(Lack::Excused);
    }
    Ok(Lack::Damaged(tenant_left(log, index)?.map(Arc::from)))
}

/// The tenant that the record at an index is of, as far as anybody can tell: by what it says, by what says that it was erased,
/// or by another record of its stream.
///
/// # Errors
/// [`Unverified`] if nothing is known of it: never [`Unverified::Broken`].
pub fn tenant_of(log: &Log, index: LeafIndex) -> Result<Option<String>, Unverified> {
    let head = log.head();
    if let Some(stored) = unless_damaged(log.stored_record(&head, index))?.flatten()
        && let Some(verified) = unless_bad(verified(log, &head, stored))?
        && let Some(tenant) = verified.tenant()
    {
        return Ok(Some(tenant.to_owned()));
    }
    tenant_left(log, index)
}

/// The same of a record that can't be verified.
fn tenant_left(log: &Log, index: LeafIndex) -> Result<Option<String>, Unverified> {
    let head = log.head();
    let Some(stream) = stream_at(log, &head, index)? else { return Ok(None) };
    // What is left of it is under the digests of its leaf, which is in the tree.
    match unless_damaged(log.tenant_at(index))?.flatten() {
        Some(tenant) => Ok(Some(tenant)),
        None => neighbours_tenant(log, &head, (index, stream)),
    }
}

/// The stream of a record, if its leaf is what the tree has.
fn stream_at(log: &Log, head: &Head, index: LeafIndex) -> Result<Option<StreamId>, Unverified> {
    let Some(leaf) = unless_damaged(log.entry(head, index))?.flatten() else { return Ok(None) };
    let stored = StoredRecord { index, leaf, disclosures: Disclosures::none() };
    let located = unless_bad(Located::of(log, head, head, stored))?;
    Ok(located.map(|located| located.header().stream))
}

/// The tenant of another record of its stream, which has one tenant's only.
fn neighbours_tenant(
    log: &Log,
    head: &Head,
    (index, stream): (LeafIndex, StreamId),
) -> Result<Option<String>, Unverified> {
    let Some(prints) = log.print_secret()? else { return Ok(None) };
    let found = log.oldest_records(stream_print(&prints, stream), LeafIndex::ZERO, NEIGHBOURS)?;
    for other in found.into_iter().filter(|other| *other != index && head.size.contains(*other)) {
        let Some(stored) = unless_damaged(log.stored_record(head, other))?.flatten() else { continue };
        let Some(verified) = unless_bad(verified(log, head, stored))? else { continue };
        let record = verified.record();
        let object = record.content().object.disclosed().filter(|_| record.leaf().server().stream == stream);
        if let Some(object) = object {
            return Ok(Some(object.tenant.as_str().to_owned()));
        }
    }
    Ok(None)
}

/// What was read; `None` if it is damaged.
fn unless_damaged<T>(read: Result<T, ReadError>) -> Result<Option<T>, Unverified> {
    unless_bad(read.map_err(Unverified::Read))
}

/// What was verified; `None` if it can't be for what is stored.
fn unless_bad<T>(verified: Result<T, Unverified>) -> Result<Option<T>, Unverified> {
    match verified {
        Ok(verified) => Ok(Some(verified)),
        Err(error) if error.is_of_what_is_stored() => Ok(None),
        Err(error) => Err(error),
    }
}

impl Unverified {
    /// Whether it would be the same the next time: what is stored is bad, rather than that it could not be read just now.
    #[must_use]
    pub fn is_of_what_is_stored(&self) -> bool {
        match self {
            Self::Broken(_) => true,
            Self::Read(error) | Self::Proof(ProofError::Read(error)) | Self::Postings(PostingsError::Read(error)) => {
                !error.is_failure()
            }
            Self::Proof(_) | Self::Postings(_) => false,
        }
    }
}

/// Whether something of the record at an index was erased, or it is of a later version: then nobody could find it by more
/// than the indexes have. What is damaged is no excuse, nor is a record that is whole.
fn is_excused(log: &Log, index: LeafIndex) -> Result<bool, Unverified> {
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
