//! Judging a case from what stands in it, given the log's keys and nothing else.
//!
//! A head counts if one of the log's keys has signed it, also if another line by a known key is wrong: a log must not be
//! able to spoil what it signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cairn_tree::checkpoint::{AvowedCheckpoint, LogKeys, SignedCheckpoint};
use cairn_tree::hash::{Hash, HashError};
use cairn_tree::merkle::{ConsistencyProof, Extension, InclusionProof, Root};
use cairn_tree::size::LeafIndex;

use super::case::{Case, Prefix};
use super::{EvidenceError, Weight, form};

pub(super) fn judge(case: &Case, keys: &LogKeys) -> Result<Weight, EvidenceError> {
    let root = |note: &str| avowed(note, keys).map(|head| head.tree());
    match case {
        Case::Fork { smaller, larger, prefix } => {
            fork(root(smaller)?, root(larger)?, prefix.as_ref())?;
            return Ok(Weight::Proven);
        }
        Case::Rollback { larger, smaller, .. } | Case::Withheld { seen: larger, shown: smaller, .. } => {
            if root(smaller)?.size >= root(larger)?.size {
                return Err(EvidenceError::Harmless("the head that is shown now is not smaller"));
            }
        }
        Case::WrongEntry { head, index, served, leaf_hash, inclusion } => {
            let leaf = Hash::from_base64(leaf_hash)?;
            let proof = InclusionProof::from_hashes(hashes(inclusion)?)?;
            proof.verify(LeafIndex::new(*index)?, &leaf, &root(head)?)?;
            let served = STANDARD.decode(served).map_err(form)?;
            if Hash::leaf(&served) == leaf {
                return Err(EvidenceError::Harmless("the bytes that were served are the entry's"));
            }
        }
        Case::Misfit { previous, head, .. } => {
            previous.as_deref().map(root).transpose()?;
            root(head)?;
        }
        Case::Signature { served, .. } => {
            if keys.verify(&SignedCheckpoint::parse(served.as_bytes())?).is_ok() {
                return Err(EvidenceError::Harmless("the head is signed by the log"));
            }
        }
        Case::Quorum { head, .. } | Case::Time { head, .. } => {
            root(head)?;
        }
    }
    Ok(Weight::Testimony)
}

/// Two signed trees contradict each other if the larger one, cut to the smaller one's size, is another tree: its root
/// there, from which the proof leads to the signed larger root, is not the signed smaller one. SHA-256 leaves no second
/// root at that size from which the same larger root could be reached.
fn fork(smaller: Root, larger: Root, prefix: Option<&Prefix>) -> Result<(), EvidenceError> {
    let at_that_size = match prefix {
        None if smaller.size == larger.size => larger.hash,
        None => return Err(EvidenceError::Harmless("heads of different sizes need a proof that they contradict")),
        Some(prefix) => {
            let old = Root { size: smaller.size, hash: Hash::from_base64(&prefix.root)? };
            let proof = ConsistencyProof::from_hashes(hashes(&prefix.consistency)?)?;
            proof.verify(&Extension { old, new: larger })?;
            old.hash
        }
    };
    if at_that_size == smaller.hash {
        return Err(EvidenceError::Harmless("the larger tree extends the smaller one"));
    }
    Ok(())
}

fn avowed(note: &str, keys: &LogKeys) -> Result<AvowedCheckpoint, EvidenceError> {
    keys.avowed(&SignedCheckpoint::parse(note.as_bytes())?).ok_or(EvidenceError::Head)
}

fn hashes(texts: &[String]) -> Result<Vec<Hash>, HashError> {
    texts.iter().map(|text| Hash::from_base64(text)).collect()
}
