//! Records as answers tell them: each with all that its reader needs to verify it, and with the redaction records that say
//! what of them is erased. Not here: how they are read and verified (`reading`).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use cairn_listen::{Answer, Payload};
use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::hash::Hash;
use cairn_tree::merkle::InclusionProof;
use cairn_tree::note::{KeyId, NoteSignature};
use cairn_tree::record::disclosure::Disclosures;
use cairn_tree::record::header::Header;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::media;
use cairn_tree::wire::v1::{Before, Integrity, MAX_REDACTIONS, RecordBody, view, view_later};

use super::super::problem::{Kind, Problem};
use super::super::reading::fresh;
use super::reading::Reading;
use crate::engine::{Head, Log};
use crate::records::{Seen, VerifiedLater};

/// The redaction records of an answer, each once.
#[derive(Default)]
pub(super) struct Redacting(BTreeMap<LeafIndex, Arc<Seen>>);

impl Redacting {
    /// Adds those of a record; false if the answer has no room for them.
    pub(super) fn add(&mut self, seen: &Seen) -> bool {
        let Some(excuses) = &seen.excuses else { return true };
        let fresh = excuses.records.iter().filter(|one| !self.0.contains_key(&one.record.index())).count();
        if self.0.len() + fresh > MAX_REDACTIONS {
            return false;
        }
        self.0.extend(excuses.records.iter().map(|one| (one.record.index(), Arc::clone(one))));
        true
    }

    /// Adds those of others; false if the answer has no room for them.
    pub(super) fn merge(&mut self, other: Self) -> bool {
        let fresh = other.0.keys().filter(|index| !self.0.contains_key(index)).count();
        if self.0.len() + fresh > MAX_REDACTIONS {
            return false;
        }
        self.0.extend(other.0);
        true
    }

    /// The bodies, which are verified before what they excuse, so always with their proofs.
    pub(super) fn bodies(&self, reading: &Reading, under: &Head) -> Result<Vec<RecordBody>, Problem> {
        self.0.values().map(|seen| reading.body(seen, under, true)).collect()
    }
}

impl Reading {
    /// A record with all that its reader needs to verify it under a head, but the checkpoint.
    pub(super) fn body(&self, seen: &Seen, under: &Head, proof: bool) -> Result<RecordBody, Problem> {
        let (disclosures, withheld) = (seen.disclosures.clone(), seen.withheld.clone());
        Ok(RecordBody { disclosures, withheld, ..self.undisclosed(seen, under, proof)? })
    }

    /// The same of one that is not needed any more.
    pub(super) fn body_of(&self, seen: Seen, under: &Head, proof: bool) -> Result<RecordBody, Problem> {
        let body = self.undisclosed(&seen, under, proof)?;
        Ok(RecordBody { disclosures: seen.disclosures, withheld: seen.withheld, ..body })
    }

    /// All of a record's body but its disclosures and what is withheld.
    fn undisclosed(&self, seen: &Seen, under: &Head, proof: bool) -> Result<RecordBody, Problem> {
        let header = Header::of(seen.record.leaf(), seen.record.hash());
        let place = (seen.record.index(), &header);
        let body = self.placed(place, (&seen.leaf, &seen.before), (under, proof))?;
        Ok(RecordBody { view: Some(view(&seen.record)), ..body })
    }

    /// The same of a record of a later version.
    pub(super) fn later_body(&self, later: &VerifiedLater, under: &Head, proof: bool) -> Result<RecordBody, Problem> {
        let header = Header::of_later(&later.later);
        let leaf = (&later.leaf, &later.before);
        let place = self.placed((later.later.index(), &header), leaf, (under, proof))?;
        Ok(RecordBody { view: Some(view_later(&later.later)), ..place })
    }

    /// [`signer`], which is looked up once for all records under one head.
    fn signer(&self, under: &Head) -> Result<KeyId, Problem> {
        if let Some((note, key)) = self.signer.get()
            && *note == under.note
        {
            return Ok(*key);
        }
        let key = signer(&self.log, under)?;
        // Another head's may be there, or another thread's.
        let _known = self.signer.set((under.note.clone(), key));
        Ok(key)
    }

    /// The proof that a leaf which was found in the tree is there.
    pub(super) fn proof(&self, index: LeafIndex, leaf: &Hash, under: &Head) -> Result<InclusionProof, Problem> {
        let proof = self.log.inclusion(&self.head, index, under.size)?;
        // What is stored of the tree may have been damaged since.
        let is_good = proof.verify(index, leaf, &under.tree()).is_ok();
        let damaged = || Problem::new(Kind::Damaged, format!("the tree's stored hashes do not prove entry {index}"));
        if is_good { Ok(proof) } else { Err(damaged()) }
    }

    fn placed(
        &self,
        (index, header): (LeafIndex, &Header),
        (leaf, before): (&Bytes, &Option<(LeafIndex, Bytes)>),
        (under, wanted): (&Head, bool),
    ) -> Result<RecordBody, Problem> {
        let text = |leaf: &Bytes| String::from_utf8(leaf.to_vec()).map_err(Problem::internal);
        let before = before.as_ref().filter(|_| wanted).map(|(index, leaf)| {
            let proof = Some(self.proof(*index, &Hash::leaf(leaf), under)?);
            Ok::<_, Problem>(Before { index: *index, leaf: text(leaf)?, proof })
        });
        Ok(RecordBody {
            leaf: text(leaf)?,
            disclosures: Disclosures::none(),
            withheld: Vec::new(),
            integrity: Integrity {
                log: header.log.clone(),
                index,
                leaf_hash: header.hash,
                key_id: self.signer(under)?,
                size: under.size,
                root: under.root,
                proof: wanted.then(|| self.proof(index, &header.hash, under)).transpose()?,
            },
            before: before.transpose()?,
            view: None,
        })
    }
}

/// The id of the key that signs a log's head: of the first, if there are several. One that was retired signs no head.
pub(in crate::http) fn signer(log: &Log, under: &Head) -> Result<KeyId, Problem> {
    let checkpoint = checkpoint(under)?;
    // Witnesses sign in names of their own.
    let own = checkpoint.note().signatures().iter().find(|line| line.name().as_str() == log.info().origin);
    own.map(NoteSignature::id).ok_or_else(|| Problem::internal("a head that its log has not signed"))
}

/// The checkpoint of an answer.
pub(super) fn checkpoint(under: &Head) -> Result<SignedCheckpoint, Problem> {
    SignedCheckpoint::parse(&under.note).map_err(Problem::internal)
}

/// An answer that nobody may keep.
pub(super) fn private(body: Vec<u8>) -> Answer {
    fresh(media::JSON, body)
}

/// The same of a body in pieces.
pub(super) fn private_pieces(pieces: Vec<Vec<u8>>) -> Answer {
    let mut answer = private(Vec::new());
    *answer.body_mut() = Payload::pieces(pieces);
    answer
}
