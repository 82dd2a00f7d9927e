//! A witness of generated histories: the client's own decision, a clock, and moods. Each answer is held against what the
//! witness was shown before.

use cairn::witness::decide::{Known, Refusal, decide};
use cairn_tests::lying::Model;
use cairn_tree::checkpoint::{LogKeys, SignedCheckpoint, VerifiedCheckpoint};
use cairn_tree::cosignature::{Timestamp, cosign};
use cairn_tree::merkle::{ConsistencyProof, Root};
use cairn_tree::note::{KeyName, NoteSignature, SignatureType, SignerKey};
use cairn_tree::size::TreeSize;
use cairn_tree::wire::witness::AddCheckpoint;

use super::log::Place;

/// How a witness is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// It answers at once.
    Well,
    /// It does not answer before this second.
    Dead { until: u64 },
    /// Its answers take so many seconds, until then.
    Late { by: u64, until: u64 },
}

/// One witness.
pub(super) struct Witness {
    key: SignerKey,
    /// The newest head that it cosigned: all that it remembers.
    last: Option<VerifiedCheckpoint>,
    /// Where that head stands, which only this test knows.
    seen: Option<Place>,
    /// What the log believes the witness to have cosigned.
    pub(super) believed: u64,
    pub(super) mood: Mood,
    /// By how many seconds its clock is ahead.
    pub(super) ahead: u64,
    /// Requests that it refused, as it must.
    pub(super) refused: usize,
}

impl Witness {
    pub(super) fn new(number: u8, kind: SignatureType) -> Self {
        let name = KeyName::new(format!("witness.example/w{number}")).unwrap();
        let key = SignerKey::from_seed(name, kind, &[100 + number; 32]).unwrap();
        Self { key, last: None, seen: None, believed: 0, mood: Mood::Well, ahead: 0, refused: 0 }
    }

    pub(super) fn vkey(&self) -> String {
        self.key.verifier_key().to_string()
    }

    /// The newest head that it cosigned, for others to see.
    pub(super) const fn last(&self) -> Option<&VerifiedCheckpoint> {
        self.last.as_ref()
    }

    /// Asks for a cosignature as an honest log does: from the size that the log believes in, or from the one that a 409
    /// claims. Panics if the answer is not right.
    pub(super) fn ask(&mut self, place: Place, head: &SignedCheckpoint, from: &Asking<'_>) -> Option<NoteSignature> {
        let may = self.seen.is_none_or(|seen| from.fork.agree(seen, place) && seen.size <= place.size);
        let mut old = self.believed.min(place.size);
        for _ in 0..2 {
            let proof = from.model.consistency(old, place.size);
            let proof = proof.unwrap_or_else(|| ConsistencyProof::from_hashes(Vec::new()).unwrap());
            match self.answer(old, proof, head, from) {
                Ok(line) => {
                    assert!(may, "a witness that cosigned {:?} cosigned {place:?} too", self.seen);
                    (self.seen, self.believed) = (Some(place), place.size);
                    return Some(line);
                }
                Err(Refusal::Conflict { size }) if size.get() <= place.size => old = size.get(),
                Err(refusal) => {
                    assert!(!may, "a witness that cosigned {:?} refused {place:?}: {refusal}", self.seen);
                    break;
                }
            }
        }
        assert!(!may, "a witness that cosigned {:?} never took {place:?}", self.seen);
        self.refused += 1;
        None
    }

    fn answer(
        &mut self,
        old: u64,
        proof: ConsistencyProof,
        head: &SignedCheckpoint,
        from: &Asking<'_>,
    ) -> Result<NoteSignature, Refusal> {
        let last: Option<Root> = self.last.as_ref().map(VerifiedCheckpoint::tree);
        let known = Known { keys: from.keys.as_slice(), last };
        let request = AddCheckpoint::new(TreeSize::new(old).unwrap(), proof, head.clone()).unwrap();
        // What travels is the body.
        let request = AddCheckpoint::parse(request.to_string().as_bytes()).unwrap();
        let verified = decide(Some(known), &request).map_err(|refused| {
            let is_other_root = last.is_some_and(|last| {
                let asked = request.checkpoint().unverified();
                asked.size() == last.size && asked.root() != last.hash
            });
            assert_eq!(refused.contradiction.is_some(), is_other_root, "{refused:?}");
            refused.refusal
        })?;
        let time = Timestamp::new(from.wall + self.ahead).unwrap();
        let line = cosign(&verified, &self.key, time).unwrap();
        self.last = Some(verified);
        Ok(line)
    }
}

/// Who asks, and what is true.
pub(super) struct Asking<'a> {
    pub(super) model: &'a Model,
    pub(super) keys: &'a LogKeys,
    pub(super) fork: super::log::Fork,
    /// The time, in seconds since the Epoch.
    pub(super) wall: u64,
}
