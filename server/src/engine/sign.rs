//! Signing a head: the one place where a log's private key is used.

use bytes::Bytes;
use cairn_tree::checkpoint::{Checkpoint, Origin};
use cairn_tree::hash::Hash;
use cairn_tree::note::SignerKey;
use cairn_tree::size::TreeSize;

/// Why a head was not signed: the origin is no origin, or the key's name is another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the head of {origin} can't be signed: {problem}")]
pub struct SignHeadError {
    origin: String,
    problem: String,
}

/// Signs the checkpoint of `origin` with this size and root. The same head always gives the same bytes.
pub(super) fn sign_head(signer: &SignerKey, origin: &str, size: TreeSize, root: Hash) -> Result<Bytes, SignHeadError> {
    let error = |problem: String| SignHeadError { origin: origin.to_owned(), problem };
    let origin = Origin::new(origin).map_err(|problem| error(problem.to_string()))?;
    let signed = Checkpoint::new(origin, size, root).sign(signer).map_err(|problem| error(problem.to_string()))?;
    Ok(signed.encode().into_bytes().into())
}
