//! From a log that has ended to the one that continues it.

use std::sync::Arc;

use cairn_tree::checkpoint::{LogKeys, VerifiedCheckpoint};
use cairn_tree::hash::Hash;
use cairn_tree::merkle::Root;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::statement::{LinkStatement, SealStatement, SignedStatement, Statement};

use super::error::AuditError;
use super::tiles::TileReader;
use crate::fetch::{Freshness, HeadKind, Remote};

/// A log that continues another, as verified.
#[derive(Debug, Clone)]
pub struct Continued {
    /// The first entry of the new log.
    pub link: LinkStatement,
    /// The keys of the new log when it began, which are to be trusted for it.
    pub keys: LogKeys,
    /// The new log's newest head.
    pub head: VerifiedCheckpoint,
}

/// What the last entry of a tree says, if it seals the log; `tree` is signed by `keys`.
///
/// # Errors
/// [`AuditError`].
pub async fn seal_of(
    remote: &Arc<Remote>,
    reader: &mut TileReader,
    (tree, keys): (Root, &LogKeys),
) -> Result<Option<SealStatement>, AuditError> {
    let Some(last) = tree.size.get().checked_sub(1) else { return Ok(None) };
    let last = LeafIndex::new(last).map_err(|error| AuditError::Interrupted(error.to_string()))?;
    let entry = proven_entry(remote, reader, (tree, last)).await?;
    match SignedStatement::parse(&entry) {
        Ok(signed) => Ok(match verified(&signed, keys)? {
            Statement::Seal(seal) => Some(seal.clone()),
            Statement::Key(_) | Statement::Link(_) => None,
        }),
        // Any other entry.
        Err(_) => Ok(None),
    }
}

/// Verifies that `new` continues the old log, whose last signed head is `final_head` and whose last entry is `seal`, if it
/// was sealed.
///
/// # Errors
/// [`AuditError::Succession`] if the two do not name each other.
pub async fn continued(
    new: &Arc<Remote>,
    (final_head, old_keys, seal): (&VerifiedCheckpoint, &LogKeys, Option<&SealStatement>),
    given: Option<LogKeys>,
    parallel: usize,
) -> Result<Continued, AuditError> {
    let refused = |error: &dyn core::fmt::Display| AuditError::Succession(error.to_string());
    let named = seal.map(|seal| LogKeys::new(seal.successor_keys().to_vec())).transpose();
    let named = named.map_err(|error| refused(&error))?;
    let keys = named
        .or(given)
        .ok_or_else(|| refused(&"the log did not seal itself, so that it names no keys of its successor: give them"))?;
    // The successor may have changed its keys since: it leads from those that are named to those that sign.
    let followed = super::follow_keys(new, &keys, parallel).await?;
    let head = followed.head;
    let mut reader = TileReader::new(Arc::clone(new), parallel);
    let first = proven_entry(new, &mut reader, (head.tree(), LeafIndex::ZERO)).await?;
    let signed = SignedStatement::parse(&first).map_err(|error| refused(&error))?;
    let Statement::Link(link) = verified(&signed, &keys)? else {
        return Err(refused(&"its first entry is no link to another log"));
    };
    link.follows(seal, final_head, old_keys.as_slice()).map_err(|error| refused(&error))?;
    Ok(Continued { link: link.clone(), keys, head })
}

fn verified<'a>(signed: &'a SignedStatement, keys: &LogKeys) -> Result<&'a Statement, AuditError> {
    let (statement, _) = signed.verify(keys.as_slice()).map_err(|error| AuditError::Succession(error.to_string()))?;
    Ok(statement)
}

/// An entry that a signed tree has.
async fn proven_entry(
    remote: &Arc<Remote>,
    reader: &mut TileReader,
    (tree, index): (Root, LeafIndex),
) -> Result<Vec<u8>, AuditError> {
    if tree.size == TreeSize::ZERO {
        return Err(AuditError::Succession("the log is empty".to_owned()));
    }
    let (leaf, _) = reader.inclusion(index, tree, Freshness::AnyCache).await?;
    let entry = remote.entry(index).await?;
    if Hash::leaf(&entry) == leaf {
        Ok(entry)
    } else {
        Err(AuditError::Succession(format!("entry {index} is not the one that the head signs")))
    }
}

/// The newest head of a log, verified with the keys that its statements lead to from `trusted`, if it has any.
///
/// # Errors
/// [`AuditError`].
pub async fn newest_head(
    remote: &Arc<Remote>,
    trusted: &LogKeys,
    parallel: usize,
) -> Result<(VerifiedCheckpoint, LogKeys), AuditError> {
    match super::head(remote, trusted, HeadKind::Head, Freshness::PastCaches).await {
        Ok(head) => Ok((head, trusted.clone())),
        Err(AuditError::Head { .. }) => {
            let followed = super::follow_keys(remote, trusted, parallel).await?;
            let keys = LogKeys::new(followed.chain.active().to_vec());
            Ok((followed.head, keys.map_err(|error| AuditError::Keys(error.to_string()))?))
        }
        Err(error) => Err(error),
    }
}
