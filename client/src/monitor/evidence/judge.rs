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
use super::{EvidenceError, Verdict, Weight, form};

pub(super) fn judge(case: &Case, keys: &LogKeys) -> Result<Verdict, EvidenceError> {
    let root = |note: &str| avowed(note, keys).map(|head| head.tree());
    let shows = match case {
        Case::Fork { smaller, larger, prefix } => {
            prove_fork(root(smaller)?, root(larger)?, prefix.as_ref())?;
            let shows = "the log's own signatures contradict each other";
            return Ok(Verdict { weight: Weight::Proven, shows });
        }
        Case::Rollback { larger, smaller, .. } | Case::Withheld { seen: larger, shown: smaller, .. } => {
            if root(smaller)?.size >= root(larger)?.size {
                return Err(EvidenceError::Harmless("the head that is shown now is not smaller"));
            }
            "the log signed both heads; to whom it showed which of them, and when, is its observer's word"
        }
        Case::WrongEntry { head, index, served, leaf_hash, inclusion } => {
            let leaf = Hash::from_base64(leaf_hash)?;
            let proof = InclusionProof::from_hashes(hashes(inclusion)?)?;
            proof.verify(LeafIndex::new(*index)?, &leaf, &root(head)?)?;
            let served = STANDARD.decode(served).map_err(form)?;
            if Hash::leaf(&served) == leaf {
                return Err(EvidenceError::Harmless("the bytes that were served are the entry's"));
            }
            "the log signed a head with another entry at this index than the bytes in the file; that it served them is \
             its observer's word"
        }
        Case::Misfit { previous, head, .. } => {
            previous.as_deref().map(root).transpose()?;
            root(head)?;
            "the log signed the head; that what it served does not fit is its observer's word"
        }
        Case::Signature { served, .. } => {
            let served = SignedCheckpoint::parse(served.as_bytes())?;
            if keys.verify(&served).is_ok() {
                return Err(EvidenceError::Harmless("the head is signed by the log"));
            }
            match keys.avowed(&served) {
                None => {
                    "no given key has signed the head, so that anybody may have made it; that the log served it is its \
                     observer's word"
                }
                Some(_) => {
                    "one of the log's keys has signed the head, and something else in it is wrong, which anybody may have \
                     added; that the log served it is its observer's word"
                }
            }
        }
        Case::Quorum { head, .. } => {
            root(head)?;
            "the log signed the head; that it was served without further cosignatures is its observer's word"
        }
        Case::Time { head, .. } => {
            root(head)?;
            "the log signed the head; when it was served, and with which cosignatures, is its observer's word"
        }
    };
    Ok(Verdict { weight: Weight::Testimony, shows })
}

/// Two signed trees contradict each other if the larger one, cut to the smaller one's size, is another tree: its root
/// there, from which the proof leads to the signed larger root, is not the signed smaller one. SHA-256 leaves no second
/// root at that size from which the same larger root could be reached.
pub(crate) fn prove_fork(smaller: Root, larger: Root, prefix: Option<&Prefix>) -> Result<(), EvidenceError> {
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
