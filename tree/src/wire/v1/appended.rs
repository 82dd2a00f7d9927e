//! The answer to `POST /v1/records`.

use super::MAX_ANSWER_BYTES;
use super::answer::read_leaf;
use super::json::{self, MEMBERS, Object};
use crate::checkpoint::SignedCheckpoint;
use crate::hash::Hash;
use crate::merkle::InclusionProof;
use crate::receipt::Receipt;
use crate::record::bounds::MAX_BATCH;
use crate::record::id::RecordId;
use crate::record::json::{Fault, Read, Reader, Trouble};
use crate::record::server_part::Seq;
use crate::record::stream::StreamId;
use crate::record::time::Time;
use crate::size::LeafIndex;

/// What became of one record of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The record.
    pub id: RecordId,
    /// Where it is in the log.
    pub index: LeafIndex,
    /// The hash of its leaf.
    pub leaf_hash: Hash,
    /// Its stream.
    pub stream: StreamId,
    /// Its number in the stream.
    pub seq: Seq,
    /// The leaf hash of the record before it in the stream.
    pub prev: Option<Hash>,
    /// When it was sequenced.
    pub time: Time,
    /// Whether it had been there before: the same event under the same id.
    pub replayed: bool,
    /// Its leaf and its proof, if receipts were asked for.
    pub receipt: Option<AppendedReceipt>,
}

/// A leaf and its inclusion proof: with the answer's checkpoint, a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendedReceipt {
    /// The leaf.
    pub leaf: String,
    /// The inclusion proof in the checkpoint's tree.
    pub proof: InclusionProof,
}

/// The answer to records: all of them are in the checkpoint's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendedAnswer {
    /// What became of each, in the order of the request.
    pub records: Vec<Appended>,
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
    /// Whether an earlier request with the same idempotency key had brought them.
    pub replayed: bool,
}

impl Appended {
    /// The receipt, which is still to be verified, if there is one.
    #[must_use]
    pub fn receipt(&self, checkpoint: &SignedCheckpoint) -> Option<Receipt> {
        let AppendedReceipt { proof, .. } = self.receipt.as_ref()?;
        Some(Receipt::new(self.index, proof.clone(), checkpoint.clone()))
    }

    fn push(&self, json: &mut Vec<u8>) {
        Object::write(json, |record| {
            record.text("id", self.id);
            record.integer("index", self.index.get());
            record.hash("leaf_hash", &self.leaf_hash);
            record.text("stream", self.stream);
            record.integer("seq", self.seq.get());
            match &self.prev {
                Some(prev) => record.hash("prev", prev),
                None => record.member("prev", |json| json.extend_from_slice(b"null")),
            }
            record.time("time", self.time);
            if self.replayed {
                record.boolean("replayed", true);
            }
            if let Some(AppendedReceipt { leaf, proof }) = &self.receipt {
                record.string("leaf", leaf);
                record.member("proof", |json| json::push_proof(json, proof));
            }
        });
    }

    fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let start = reader.offset();
        let (mut id, mut index, mut leaf_hash, mut stream, mut seq) = (None, None, None, None, None);
        let (mut prev, mut time, mut replayed, mut leaf, mut proof) = (None, None, false, None, None);
        reader.object(MEMBERS, |reader, name, _| {
            match &*name {
                "id" => id = Some(json::from_text(reader, "must be a record's id")?),
                "index" => index = Some(json::index(reader)?),
                "leaf_hash" => leaf_hash = Some(json::hash(reader)?),
                "stream" => stream = Some(json::from_text(reader, "must be a stream's id")?),
                "seq" => seq = Some(json::seq(reader)?),
                "prev" => prev = json::or_null(reader, json::hash)?,
                "time" => time = Some(json::time(reader)?),
                "replayed" => replayed = reader.boolean()?,
                "leaf" => leaf = Some(read_leaf(reader)?),
                "proof" => proof = Some(json::proof(reader)?),
                _ => drop(reader.json()?),
            }
            Ok(())
        })?;
        let missing = |name| move || Trouble::missing(start, name);
        Ok(Self {
            id: id.ok_or_else(missing("id"))?,
            index: index.ok_or_else(missing("index"))?,
            leaf_hash: leaf_hash.ok_or_else(missing("leaf_hash"))?,
            stream: stream.ok_or_else(missing("stream"))?,
            seq: seq.ok_or_else(missing("seq"))?,
            prev,
            time: time.ok_or_else(missing("time"))?,
            replayed,
            receipt: match (leaf, proof) {
                (Some(leaf), Some(proof)) => Some(AppendedReceipt { leaf, proof }),
                (None, None) => None,
                (Some(_), None) => return Err(Trouble::missing(start, "proof")),
                (None, Some(_)) => return Err(Trouble::missing(start, "leaf")),
            },
        })
    }
}

impl AppendedAnswer {
    /// The body.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(1024 + 512 * self.records.len());
        Object::write(&mut json, |answer| {
            answer.array("records", &self.records, |json, record| record.push(json));
            answer.text("checkpoint", &self.checkpoint);
            if self.replayed {
                answer.boolean("replayed", true);
            }
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
            let (mut records, mut checkpoint, mut replayed) = (None, None, false);
            reader.object(MEMBERS, |reader, name, _| {
                match &*name {
                    "records" => records = Some(reader.list(MAX_BATCH, Appended::read)?),
                    "checkpoint" => checkpoint = Some(json::checkpoint(reader)?),
                    "replayed" => replayed = reader.boolean()?,
                    _ => drop(reader.json()?),
                }
                Ok(())
            })?;
            let missing = |name| move || Trouble::missing(start, name);
            Ok(Self {
                records: records.ok_or_else(missing("records"))?,
                checkpoint: checkpoint.ok_or_else(missing("checkpoint"))?,
                replayed,
            })
        })
    }
}
