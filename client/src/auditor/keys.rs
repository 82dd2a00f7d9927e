//! From a log's key that is trusted to those that sign now, along what the log itself says about them.

use std::sync::Arc;

use cairn_tree::checkpoint::{LogKeys, VerifiedCheckpoint};
use cairn_tree::hash::Hash;
use cairn_tree::note::VerifierKey;
use cairn_tree::statement::{KeyChain, SignedStatement};
use cairn_tree::wire::keys::StatementAnswer;

use super::error::AuditError;
use super::tiles::TileReader;
use crate::fetch::{Freshness, HeadKind, Remote};

/// A log's keys as its statements lead to them, with the head that all of them have signed.
#[derive(Debug, Clone)]
pub struct FollowedKeys {
    /// From the trusted keys to those that sign now.
    pub chain: KeyChain,
    /// The statements, each found in the log where it says that it is.
    pub statements: Vec<StatementAnswer>,
    /// The head.
    pub head: VerifiedCheckpoint,
}

/// How often the keys and the head are fetched again while they do not fit: a change may come between the two.
const TRIES: usize = 3;

/// Follows statements from trusted keys, offline.
///
/// # Errors
/// [`AuditError::Keys`] if one is not signed by a key that was trusted before it, or one is missing.
pub fn follow_statements(trusted: &LogKeys, statements: &[StatementAnswer]) -> Result<KeyChain, AuditError> {
    let parse = |answer: &StatementAnswer| SignedStatement::parse(answer.statement.as_bytes());
    let parsed = statements.iter().map(parse).collect::<Result<Vec<_>, _>>();
    let parsed = parsed.map_err(|error| AuditError::Keys(error.to_string()))?;
    let mut chain = KeyChain::new(trusted.as_slice().to_vec());
    chain.follow_all(&parsed).map_err(|error| AuditError::Keys(error.to_string()))?;
    Ok(chain)
}

/// Fetches a log's statements about its keys and follows them from `trusted`; then each must be an entry of the tree whose
/// head every key that is active by then has signed.
///
/// # Errors
/// [`AuditError`].
pub async fn follow_keys(remote: &Arc<Remote>, trusted: &LogKeys, parallel: usize) -> Result<FollowedKeys, AuditError> {
    let mut last = None;
    for _ in 0..TRIES {
        let answer = remote.keys().await?;
        let chain = follow_statements(trusted, &answer.statements)?;
        let keys = LogKeys::new(chain.active().to_vec()).map_err(|error| AuditError::Keys(error.to_string()))?;
        let head = match super::head(remote, &keys, HeadKind::Head, Freshness::PastCaches).await {
            Ok(head) => head,
            Err(error) => {
                last = Some(error);
                continue;
            }
        };
        if let Some(missing) = keys.as_slice().iter().find(|key| !has_signed(&head, key)) {
            let id = missing.id();
            let why = format!(
                "the newest head has no line by the key {id}, which signs by what the log says; its statements may not be all"
            );
            last = Some(AuditError::Keys(why));
            continue;
        }
        let mut reader = TileReader::new(Arc::clone(remote), parallel);
        for statement in &answer.statements {
            let (leaf, _) = reader.inclusion(statement.index, head.tree(), Freshness::AnyCache).await?;
            if leaf != Hash::leaf(statement.statement.as_bytes()) {
                let why = format!("entry {} is not the statement that the log shows for it", statement.index);
                return Err(AuditError::Keys(why));
            }
        }
        return Ok(FollowedKeys { chain, statements: answer.statements, head });
    }
    Err(last.unwrap_or_else(|| AuditError::Keys("the log has no head".to_owned())))
}

fn has_signed(head: &VerifiedCheckpoint, key: &VerifierKey) -> bool {
    head.keys().contains(key)
}
