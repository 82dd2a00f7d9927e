//! Proofs for any claim: verifying does not panic, and accepts one root only.

use cairn_tree::hash::Hash;
use cairn_tree::merkle::{ConsistencyError, ConsistencyProof, Extension, InclusionProof, Root};
use cairn_tree::size::{LeafIndex, TreeSize};

/// Two numbers of eight bytes, then hashes of 32.
fn split(bytes: &[u8]) -> Option<(u64, u64, Vec<Hash>)> {
    let (first, rest) = bytes.split_first_chunk::<8>()?;
    let (second, rest) = rest.split_first_chunk::<8>()?;
    let hashes = rest.chunks_exact(Hash::LEN).filter_map(|chunk| Hash::from_slice(chunk).ok()).collect();
    Some((u64::from_be_bytes(*first), u64::from_be_bytes(*second), hashes))
}

pub(crate) fn inclusion(bytes: &[u8]) -> bool {
    let Some((index, size, hashes)) = split(bytes) else { return false };
    let (Ok(index), Ok(size)) = (LeafIndex::new(index), TreeSize::new(size)) else { return false };
    let Ok(proof) = InclusionProof::from_hashes(hashes) else { return false };
    let leaf = Hash::leaf(b"leaf");
    let Ok(hash) = proof.root(index, &leaf, size) else {
        assert!(proof.verify(index, &leaf, &Root { size, hash: leaf }).is_err());
        return false;
    };
    assert!(size.contains(index));
    assert_eq!(proof.verify(index, &leaf, &Root { size, hash }), Ok(()));
    assert!(proof.verify(index, &Hash::leaf(b"other"), &Root { size, hash }).is_err());
    assert!(proof.verify(index, &leaf, &Root { size, hash: Hash::leaf(b"other") }).is_err());
    true
}

pub(crate) fn consistency(bytes: &[u8]) -> bool {
    let Some((old, new, hashes)) = split(bytes) else { return false };
    let (Ok(old), Ok(new)) = (TreeSize::new(old), TreeSize::new(new)) else { return false };
    let Ok(proof) = ConsistencyProof::from_hashes(hashes) else { return false };
    // What the hashes lead to comes out as what was expected instead.
    let mut claim = Extension {
        old: Root { size: old, hash: Hash::leaf(b"old") },
        new: Root { size: new, hash: Hash::leaf(b"new") },
    };
    for _ in 0..2 {
        match proof.verify(&claim) {
            Err(ConsistencyError::OldRoot { computed, .. }) => claim.old.hash = computed,
            Err(ConsistencyError::NewRoot { computed, .. }) => claim.new.hash = computed,
            Ok(()) => break,
            Err(_) => return false,
        }
    }
    assert!(old <= new && old > TreeSize::ZERO);
    if proof.verify(&claim).is_err() {
        return false;
    }
    let forged = Extension { new: Root { size: new, hash: Hash::leaf(b"forged") }, ..claim };
    assert!(proof.verify(&forged).is_err());
    let forked = Extension { old: Root { size: old, hash: Hash::leaf(b"forked") }, ..claim };
    assert!(proof.verify(&forked).is_err());
    true
}
