//! A record as it is answered: its leaf and disclosures byte for byte, what is said of those that are not there, and what
//! it is verified by. Saved, it is verified offline.

use super::integrity::Integrity;
use super::json::{self, MEMBERS, Object};
use super::{MAX_ANSWER_BYTES, MAX_REDACTIONS};
use crate::checkpoint::SignedCheckpoint;
use crate::merkle::InclusionProof;
use crate::record::bounds::{MAX_DISCLOSURES, MAX_LEAF_BYTES};
use crate::record::digest::Digest;
use crate::record::disclosure::Disclosures;
use crate::record::json::canonical::push_string;
use crate::record::json::{Fault, FaultKind, Read, Reader, Trouble};
use crate::size::LeafIndex;

/// A record with what it is verified by, but for the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordBody {
    /// The leaf, which is text.
    pub leaf: String,
    /// The disclosures that the reader may see; that of the stream's name may be among them in any record.
    pub disclosures: Disclosures,
    /// The digests whose content the reader may not see.
    pub withheld: Vec<Digest>,
    /// What it is verified by.
    pub integrity: Integrity,
    /// The record directly before it in its stream, if it was asked for.
    pub before: Option<Before>,
    /// What the disclosures say, for people and programs that verify nothing: JSON as [`super::view`] writes it. It is left
    /// behind when an answer is read.
    pub view: Option<String>,
}

/// The record directly before another in its stream: its leaf alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// Where it is in the log.
    pub index: LeafIndex,
    /// Its leaf.
    pub leaf: String,
    /// The inclusion proof in the tree of the same checkpoint.
    pub proof: Option<InclusionProof>,
}

/// The answer to `GET /v1/records/{id}`, and a saved record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordAnswer {
    /// The record.
    pub record: RecordBody,
    /// The redaction records that say what of it was erased.
    pub redactions: Vec<RecordBody>,
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
}

impl RecordBody {
    /// About how many bytes it is written in, but for what all have.
    pub(super) fn length(&self) -> usize {
        // Quotes, which a leaf has many of, are escaped; each disclosure stands between two, with a comma.
        let disclosures = self.disclosures.as_str().len() + 2 * self.disclosures.len();
        let before = self.before.as_ref().map_or(0, |before| 2 * before.leaf.len());
        2 * self.leaf.len() + disclosures + self.view.as_ref().map_or(0, String::len) + before
    }

    pub(super) fn push(&self, json: &mut Vec<u8>) {
        Object::write(json, |body| {
            if let Some(view) = &self.view {
                body.member("view", |json| json.extend_from_slice(view.as_bytes()));
            }
            body.string("leaf", &self.leaf);
            body.array("disclosures", self.disclosures.iter(), |json, (_, text)| push_base64url(json, text));
            if !self.withheld.is_empty() {
                body.array("withheld", &self.withheld, |json, digest| push_string(json, &digest.to_string()));
            }
            body.member("integrity", |json| self.integrity.push(json));
            if let Some(before) = &self.before {
                body.member("before", |json| before.push(json));
            }
        });
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let start = reader.offset();
        let mut members = Members::default();
        reader.object(MEMBERS, |reader, name, _| members.read(reader, &name))?;
        members.finish(start)
    }
}

/// The members of a [`RecordBody`], as they come.
#[derive(Default)]
pub(super) struct Members {
    leaf: Option<String>,
    disclosures: Option<Disclosures>,
    withheld: Vec<Digest>,
    integrity: Option<Integrity>,
    before: Option<Before>,
}

impl Members {
    pub(super) fn read(&mut self, reader: &mut Reader<'_>, name: &str) -> Read<()> {
        match name {
            "leaf" => self.leaf = Some(read_leaf(reader)?),
            "disclosures" => self.disclosures = Some(json::disclosures(reader)?),
            "withheld" => self.withheld = reader.list(MAX_DISCLOSURES, json::digest)?,
            "integrity" => self.integrity = Some(Integrity::read(reader)?),
            "before" => self.before = json::or_null(reader, Before::read)?,
            _ => drop(reader.json()?),
        }
        Ok(())
    }

    /// The record of the object that began at `start`.
    pub(super) fn finish(self, start: usize) -> Read<RecordBody> {
        let missing = |name| move || Trouble::missing(start, name);
        Ok(RecordBody {
            leaf: self.leaf.ok_or_else(missing("leaf"))?,
            disclosures: self.disclosures.unwrap_or_else(Disclosures::none),
            withheld: self.withheld,
            integrity: self.integrity.ok_or_else(missing("integrity"))?,
            before: self.before,
            view: None,
        })
    }
}

pub(super) fn read_leaf(reader: &mut Reader<'_>) -> Read<String> {
    let at = reader.offset();
    let leaf = reader.string()?;
    if leaf.len() > MAX_LEAF_BYTES {
        return Err(Trouble::new(at, FaultKind::TooLong(MAX_LEAF_BYTES)));
    }
    Ok(leaf.into_owned())
}

/// Base64url has nothing to escape.
fn push_base64url(json: &mut Vec<u8>, text: &str) {
    json.push(b'"');
    json.extend_from_slice(text.as_bytes());
    json.push(b'"');
}

impl Before {
    fn push(&self, json: &mut Vec<u8>) {
        Object::write(json, |before| {
            before.integer("index", self.index.get());
            before.string("leaf", &self.leaf);
            if let Some(proof) = &self.proof {
                before.member("proof", |json| json::push_proof(json, proof));
            }
        });
    }

    fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let start = reader.offset();
        let (mut index, mut leaf, mut proof) = (None, None, None);
        reader.object(MEMBERS, |reader, name, _| {
            match &*name {
                "index" => index = Some(json::index(reader)?),
                "leaf" => leaf = Some(read_leaf(reader)?),
                "proof" => proof = Some(json::proof(reader)?),
                _ => drop(reader.json()?),
            }
            Ok(())
        })?;
        let missing = |name| move || Trouble::missing(start, name);
        Ok(Self { index: index.ok_or_else(missing("index"))?, leaf: leaf.ok_or_else(missing("leaf"))?, proof })
    }
}

impl RecordAnswer {
    /// The body.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(4 * 1024 + 2 * self.record.disclosures.as_str().len());
        Object::write(&mut json, |answer| {
            answer.member("record", |json| self.record.push(json));
            if !self.redactions.is_empty() {
                answer.array("redactions", &self.redactions, |json, body| body.push(json));
            }
            answer.text("checkpoint", &self.checkpoint);
        });
        json
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`Fault`]; nothing is verified yet.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        Reader::read(body, MAX_ANSWER_BYTES, |reader| {
            let start = reader.offset();
            let (mut record, mut redactions, mut checkpoint) = (None, Vec::new(), None);
            reader.object(MEMBERS, |reader, name, _| {
                match &*name {
                    "record" => record = Some(RecordBody::read(reader)?),
                    "redactions" => redactions = reader.list(MAX_REDACTIONS, RecordBody::read)?,
                    "checkpoint" => checkpoint = Some(json::checkpoint(reader)?),
                    _ => drop(reader.json()?),
                }
                Ok(())
            })?;
            let missing = |name| move || Trouble::missing(start, name);
            let (record, checkpoint) =
                (record.ok_or_else(missing("record"))?, checkpoint.ok_or_else(missing("checkpoint"))?);
            Ok(Self { record, redactions, checkpoint })
        })
    }
}
