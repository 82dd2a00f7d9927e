//! Signing a head: the one place where the engine asks for signatures, and puts a checkpoint's note together.

use bytes::Bytes;
use cairn_tree::checkpoint::{Checkpoint, Origin};
use cairn_tree::merkle::Root;
use cairn_tree::note::SignedNote;

use super::head::{Head, Shared};
use super::reader::Reader;
use crate::signer::{HeadSigner, HeadToSign, SignerError};

/// The signed checkpoint of `head`, whose note is not there yet. `old` is the head that was signed before.
///
/// A signer that keeps its own state may want it proven that the head extends another one: the proof is read from the
/// store, which has all that is below the head.
pub(super) fn sign_head(
    signer: &dyn HeadSigner,
    (shared, reader): (&Shared, &Reader),
    old: Root,
    head: &Head,
) -> Result<Bytes, SignerError> {
    let prove = |growth| reader.consistency(shared, head, growth).map_err(|error| error.to_string());
    sign(signer, &shared.info.origin, (old, head), &prove)
}

/// The signed checkpoint of a log that has no entries yet.
pub(super) fn sign_empty(signer: &dyn HeadSigner, origin: &str, head: &Head) -> Result<Bytes, SignerError> {
    let prove = |_| Err("an empty tree extends nothing".to_owned());
    sign(signer, origin, (head.tree(), head), &prove)
}

fn sign(
    signer: &dyn HeadSigner,
    origin: &str,
    (old, head): (Root, &Head),
    prove: &dyn Fn(cairn_tree::merkle::Growth) -> Result<cairn_tree::merkle::ConsistencyProof, String>,
) -> Result<Bytes, SignerError> {
    let failed = |error: &dyn core::fmt::Display| SignerError::Failed(error.to_string());
    let origin = Origin::new(origin).map_err(|error| failed(&error))?;
    let to_sign = HeadToSign { origin: &origin, old, new: head.tree(), time_ms: head.time_ms, prove };
    let lines = signer.sign_head(&to_sign)?;
    let text = Checkpoint::new(origin, head.size, head.root).text();
    let note = SignedNote::new(text, lines).map_err(|error| failed(&error))?;
    Ok(note.encode().into_bytes().into())
}
