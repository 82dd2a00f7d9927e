//! Heads that a log can be held to, whether or not anybody should accept them: what evidence is made of.
//!
//! [`super::VerifiedCheckpoint`] is for trusting a head, and one wrong line by a known key refuses the whole note
//! (C2SP signed-note, signatures). For accusing a log that rule would be a way out: a log with two keys could sign a
//! forked head with one of them and put garbage in the other's line. Whoever knows the first key alone would take that
//! head for good, and whoever knows both would have nothing in hand, although the log's signature is there. So here one
//! right line suffices, whatever stands beside it, and the type is another one, which nothing that trusts will take.

use super::{Checkpoint, LogKeys, Origin, SignedCheckpoint};
use crate::hash::Hash;
use crate::merkle::Root;
use crate::note::{NoteSignature, SignedNote, VerifierKey};
use crate::size::TreeSize;

/// A checkpoint whose size and root its log has signed with at least one of its keys. Other lines may be wrong, and what
/// stands in extension lines may be anybody's.
///
/// It can be held against the log and is never a reason to trust it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvowedCheckpoint {
    signed: SignedCheckpoint,
    /// The known keys that signed and are named like the origin; never empty.
    keys: Vec<VerifierKey>,
}

impl AvowedCheckpoint {
    /// `keys` have signed `signed`, and there is at least one.
    pub(super) const fn new(signed: SignedCheckpoint, keys: Vec<VerifierKey>) -> Self {
        Self { signed, keys }
    }

    /// What the log signed, but for the extension lines.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        self.signed.unverified()
    }

    /// The log's identity.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        self.checkpoint().origin()
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> TreeSize {
        self.checkpoint().size()
    }

    /// The root hash.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.checkpoint().root()
    }

    /// The size and the root hash together, as proofs are verified against.
    #[must_use]
    pub const fn tree(&self) -> Root {
        Root { size: self.size(), hash: self.root() }
    }

    /// The known log keys that signed, at least one, in the order of their lines.
    #[must_use]
    pub fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// The checkpoint with all its lines, right or wrong.
    #[must_use]
    pub const fn signed(&self) -> &SignedCheckpoint {
        &self.signed
    }

    /// The same with the lines of those keys alone: what others have added to it makes it no longer.
    #[must_use]
    pub fn bare(&self) -> Self {
        let note = self.signed.note();
        let is_the_logs = |line: &&NoteSignature| self.keys.iter().any(|key| line.claims(key));
        let lines = note.signatures().iter().filter(is_the_logs).cloned().collect();
        // There is a line of each key, so that it is a note as well.
        let bare = SignedNote::new(note.unverified_text().to_owned(), lines).ok().and_then(|note| {
            let signed = SignedCheckpoint::parse(note.encode().as_bytes()).ok()?;
            Some(Self { signed, keys: self.keys.clone() })
        });
        bare.unwrap_or_else(|| self.clone())
    }
}

impl AsRef<Self> for AvowedCheckpoint {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl LogKeys {
    /// The head as one that the log can be held to; `None` if none of the log's keys has signed it.
    #[must_use]
    pub fn avowed(&self, checkpoint: &SignedCheckpoint) -> Option<AvowedCheckpoint> {
        if checkpoint.unverified().origin() != self.origin() {
            return None;
        }
        let keys = checkpoint.note().right_signers(self.as_slice(), |key, line| checkpoint.is_signed_by(key, line));
        (!keys.is_empty()).then(|| AvowedCheckpoint::new(checkpoint.clone(), keys))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::checkpoint::Timestamp;
    use crate::note::{KeyName, NoteSignature, SignatureType, SignedNote, SignerKey};

    const ORIGIN: &str = "log.example";

    fn key(kind: SignatureType, seed: u8) -> SignerKey {
        SignerKey::from_seed(KeyName::new(ORIGIN).unwrap(), kind, &[seed; 32]).unwrap()
    }

    fn keys(keys: &[&SignerKey]) -> LogKeys {
        LogKeys::new(keys.iter().map(|key| key.verifier_key().clone()).collect()).unwrap()
    }

    fn head(root: u8) -> Checkpoint {
        Checkpoint::new(Origin::new(ORIGIN).unwrap(), TreeSize::new(7).unwrap(), Hash::new([root; 32]))
    }

    /// The head of one root, with lines that these keys made for heads of others.
    fn patched(root: u8, lines: &[(&SignerKey, u8)]) -> SignedCheckpoint {
        let time = Timestamp::new(5).unwrap();
        let line = |(key, root): &(&SignerKey, u8)| -> NoteSignature {
            head(*root).sign_all(&[key], time).unwrap().note().signatures()[0].clone()
        };
        let note = SignedNote::new(head(root).text(), lines.iter().map(line).collect()).unwrap();
        SignedCheckpoint::parse(note.encode().as_bytes()).unwrap()
    }

    #[test]
    fn one_right_line_is_enough_to_accuse_and_one_wrong_line_too_many_to_trust() {
        let (ed25519, ml_dsa) = (key(SignatureType::ED25519, 1), key(SignatureType::COSIGNATURE_ML_DSA_44, 2));
        let both = keys(&[&ed25519, &ml_dsa]);
        for (right, wrong) in [(&ed25519, &ml_dsa), (&ml_dsa, &ed25519)] {
            for lines in [[(right, 1), (wrong, 9)], [(wrong, 9), (right, 1)]] {
                let signed = patched(1, &lines);
                assert!(both.verify(&signed).is_err());
                let avowed = both.avowed(&signed).unwrap();
                assert_eq!((avowed.root(), avowed.keys()), (Hash::new([1; 32]), &[right.verifier_key().clone()][..]));
                assert_eq!(avowed.signed(), &signed, "nothing is taken away from what is shown on");
            }
            // Two lines by one key, of which one is right.
            assert!(keys(&[right]).avowed(&patched(1, &[(right, 9), (right, 1)])).is_some());
        }
        assert!(both.avowed(&patched(1, &[(&ed25519, 9), (&ml_dsa, 9)])).is_none());
    }

    #[test]
    fn what_no_key_of_the_log_signed_is_not_the_logs() {
        let (own, other) = (key(SignatureType::ED25519, 1), key(SignatureType::ED25519, 2));
        assert!(keys(&[&own]).avowed(&patched(1, &[(&other, 1)])).is_none());
        // A key of this log under another log's name.
        let named = SignerKey::from_seed(KeyName::new("other.example").unwrap(), SignatureType::ED25519, &[1; 32]);
        let elsewhere = LogKeys::try_from(named.unwrap().verifier_key().clone()).unwrap();
        assert!(elsewhere.avowed(&patched(1, &[(&own, 1)])).is_none());
    }

    /// An ML-DSA-44 signature does not cover them, and says as much about the tree as without them.
    #[test]
    fn lines_that_nobody_signed_do_not_save_a_log() {
        let ml_dsa = key(SignatureType::COSIGNATURE_ML_DSA_44, 2);
        let bare = patched(1, &[(&ml_dsa, 1)]);
        let text = format!("{}an extension\n", bare.note().unverified_text());
        let note = SignedNote::new(text, bare.note().signatures().to_vec()).unwrap();
        let extended = SignedCheckpoint::parse(note.encode().as_bytes()).unwrap();
        assert!(keys(&[&ml_dsa]).verify(&extended).is_err());
        assert_eq!(keys(&[&ml_dsa]).avowed(&extended).unwrap().root(), head(1).root());
    }
}
