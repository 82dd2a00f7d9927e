//! Honest answers, and how they are bent.

use bytes::Bytes;
use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::hash::Hash;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::tile::{Entries, TilePath};
use cairn_tree::wire::append::{BatchAnswer, EntryProof};
use cairn_tree::wire::json::leaf_hash_from_query;
use cairn_tree::wire::problem::{Problem, ProblemKind};
use cairn_tree::wire::read::{ConsistencyAnswer, InclusionAnswer};
use cairn_tree::wire::{media, query};
use serde::Serialize;

use super::model::Model;

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The media type.
    pub media: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Body,
}

/// A body, or what an adversary sends for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// These bytes.
    Bytes(Bytes),
    /// Zeros without end.
    Endless,
    /// The beginning of an answer, and then nothing more.
    Stalled,
}

/// How an answer is bent.
#[derive(Debug, Clone)]
pub enum Lie {
    /// Another body, whatever it is.
    Body(Vec<u8>),
    /// One bit of the byte at this offset is flipped.
    FlipBit(usize),
    /// The last so many bytes are missing.
    Cut(usize),
    /// Bytes follow where the answer ends.
    Longer(Vec<u8>),
    /// A status, and `Retry-After` in seconds.
    Status(u16, Option<u64>),
    /// A body that its header says to be compressed with gzip.
    Gzip(Vec<u8>),
    /// A body without end.
    Endless,
    /// A body that stops coming.
    Stalled,
}

impl Lie {
    /// Bends an honest answer.
    #[must_use]
    pub fn tell(&self, honest: Answer) -> Answer {
        let mut bytes = honest.bytes();
        match self {
            Self::Body(body) => bytes.clone_from(body),
            Self::FlipBit(offset) => bytes.iter_mut().skip(*offset).take(1).for_each(|byte| *byte ^= 1),
            Self::Cut(count) => bytes.truncate(bytes.len().saturating_sub(*count)),
            Self::Longer(more) => bytes.extend_from_slice(more),
            Self::Status(status, wait) => {
                let headers = wait.iter().map(|seconds| ("retry-after", seconds.to_string())).collect();
                return Answer { status: *status, headers, ..Answer::problem(ProblemKind::Busy, "not now") };
            }
            Self::Gzip(body) => {
                let headers = vec![("content-encoding", "gzip".to_owned())];
                return Answer { status: 200, headers, body: Body::Bytes(body.clone().into()), ..honest };
            }
            Self::Endless => return Answer { status: 200, body: Body::Endless, ..honest },
            Self::Stalled => return Answer { status: 200, body: Body::Stalled, ..honest },
        }
        Answer { status: 200, body: Body::Bytes(bytes.into()), ..honest }
    }
}

impl Answer {
    fn new(media: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status: 200, media, headers: Vec::new(), body: Body::Bytes(body.into()) }
    }

    fn json(value: &impl Serialize) -> Self {
        Self::new(media::JSON, serde_json::to_vec(value).expect("a body as JSON"))
    }

    fn problem(kind: ProblemKind, detail: &str) -> Self {
        let problem = Problem::new(kind, detail);
        Self { status: kind.status(), media: media::PROBLEM, ..Self::json(&problem) }
    }

    /// The body, if it is one.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match &self.body {
            Body::Bytes(bytes) => bytes.to_vec(),
            Body::Endless | Body::Stalled => Vec::new(),
        }
    }

    /// JSON that is written already.
    pub(super) fn of_json(body: Vec<u8>) -> Self {
        Self::new(media::JSON, body)
    }

    pub(super) fn absent() -> Self {
        Self::problem(ProblemKind::NotFound, "there is no such thing")
    }
}

/// What an honest log of this model answers to `GET path?query` while its head has `shown` entries.
pub(super) fn read(model: &Model, shown: u64, path: &str, parameters: &[(String, String)]) -> Answer {
    let parameter = |name: &str| parameters.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
    let answer = match path {
        "checkpoint" | "head" => Some(Answer::new(media::TEXT, model.head(shown))),
        "proof/inclusion" => {
            let index = parameter(query::INDEX).and_then(|text| LeafIndex::parse(text).ok());
            let leaf = parameter(query::LEAF_HASH).and_then(|text| leaf_hash_from_query(text).ok());
            inclusion(model, shown, index.or_else(|| model.find(leaf?)))
        }
        "proof/consistency" => {
            let size = |name| parameter(name).and_then(|text| TreeSize::parse(text).ok());
            consistency(model, size(query::FROM), size(query::TO))
        }
        _ => resource(model, path),
    };
    answer.unwrap_or_else(Answer::absent)
}

fn resource(model: &Model, path: &str) -> Option<Answer> {
    if let Some(index) = path.strip_prefix("entries/") {
        return Some(Answer::new(media::OCTETS, model.entry(LeafIndex::parse(index).ok()?)?.to_vec()));
    }
    Some(match path.parse().ok()? {
        TilePath::Tile(tile) => Answer::new(media::OCTETS, model.tile(tile)?),
        TilePath::Entries(bundle) => Answer::new(media::OCTETS, model.bundle(bundle)?),
    })
}

fn inclusion(model: &Model, shown: u64, index: Option<LeafIndex>) -> Option<Answer> {
    let index = index?;
    Some(Answer::json(&InclusionAnswer {
        index,
        leaf_hash: Hash::leaf(model.entry(index)?),
        size: TreeSize::new(shown).ok()?,
        proof: model.inclusion(index, shown)?,
        checkpoint: Some(signed(model, shown)),
    }))
}

fn consistency(model: &Model, from: Option<TreeSize>, to: Option<TreeSize>) -> Option<Answer> {
    let (from, to) = (from?, to?);
    let proof = model.consistency(from.get(), to.get())?;
    Some(Answer::json(&ConsistencyAnswer { from, to, proof }))
}

/// Appends one entry and answers with its index.
pub(super) fn add(model: &mut Model, entry: &[u8]) -> Answer {
    Answer::new(media::TEXT, model.push(entry).to_string())
}

/// Appends a batch and answers with a receipt for each entry.
pub(super) fn append(model: &mut Model, body: &[u8]) -> Answer {
    let Ok(entries) = Entries::parse_batch(body, usize::MAX) else {
        return Answer::problem(ProblemKind::Malformed, "no batch");
    };
    let indexes: Vec<LeafIndex> = entries.iter().map(|entry| model.push(entry)).collect();
    answer_batch(model, &indexes).unwrap_or_else(|| Answer::problem(ProblemKind::Malformed, "no entries"))
}

/// The answer to a batch whose entries are in the log.
pub(super) fn answer_batch(model: &Model, indexes: &[LeafIndex]) -> Option<Answer> {
    let proofs = indexes.iter().map(|&index| {
        let leaf_hash = Hash::leaf(model.entry(index)?);
        Some(EntryProof { index, leaf_hash, proof: model.inclusion(index, model.size())? })
    });
    let answer = BatchAnswer::at(indexes.to_vec(), signed(model, model.size())).ok()?;
    Some(Answer::json(&answer.with_receipts(proofs.collect::<Option<_>>()?).ok()?))
}

fn signed(model: &Model, size: u64) -> SignedCheckpoint {
    SignedCheckpoint::parse(model.head(size).as_bytes()).expect("our own checkpoint")
}
