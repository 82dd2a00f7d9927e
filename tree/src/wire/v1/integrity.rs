//! The integrity block of a record: what it is verified by. All of it is a claim, compared with what was computed.

use core::fmt;
use core::str::FromStr;

use super::json::{self, MEMBERS, Object};
use crate::checkpoint::{Origin, VerifiedCheckpoint};
use crate::hash::Hash;
use crate::merkle::InclusionProof;
use crate::note::KeyId;
use crate::record::json::{FaultKind, Read, Reader, Trouble};
use crate::size::{LeafIndex, TreeSize};

/// How leaf hashes are made: RFC 6962 over the leaf of `cairn.record/1`.
const ALGORITHM: &str = "1";

/// What a record is verified by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integrity {
    /// The log.
    pub log: Origin,
    /// Where the record is in it.
    pub index: LeafIndex,
    /// The hash of its leaf.
    pub leaf_hash: Hash,
    /// The log's key that signed the head.
    pub key_id: KeyId,
    /// The size of the head's tree, which has the record.
    pub size: TreeSize,
    /// The root of that tree.
    pub root: Hash,
    /// The inclusion proof in that tree, if it was asked for.
    pub proof: Option<InclusionProof>,
}

/// `keySetId::keyId::algoVersion::hash`: the log, its key, `1`, and the leaf hash in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrityHash {
    /// The log, whose keys are the set.
    pub log: Origin,
    /// The key.
    pub key_id: KeyId,
    /// The leaf hash.
    pub leaf_hash: Hash,
}

/// A text that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an integrity hash is the log's origin, a key's id, {ALGORITHM} and a leaf hash, with \"::\" between them")]
pub struct IntegrityHashError;

impl Integrity {
    /// The block of a leaf with this hash under a head.
    #[must_use]
    pub fn new(head: &VerifiedCheckpoint, index: LeafIndex, leaf_hash: Hash, proof: Option<InclusionProof>) -> Self {
        Self {
            log: head.origin().clone(),
            index,
            leaf_hash,
            key_id: head.key().id(),
            size: head.size(),
            root: head.root(),
            proof,
        }
    }

    /// The same in short.
    #[must_use]
    pub fn hash(&self) -> IntegrityHash {
        IntegrityHash { log: self.log.clone(), key_id: self.key_id, leaf_hash: self.leaf_hash }
    }

    pub(super) fn push(&self, json: &mut Vec<u8>) {
        Object::write(json, |block| {
            block.string("log", self.log.as_str());
            block.integer("index", self.index.get());
            block.hash("leaf_hash", &self.leaf_hash);
            block.text("key_id", self.key_id);
            block.member("head", |json| {
                Object::write(json, |head| {
                    head.integer("size", self.size.get());
                    head.hash("root", &self.root);
                });
            });
            block.text("integrityHash", self.hash());
            if let Some(proof) = &self.proof {
                block.member("proof", |json| json::push_proof(json, proof));
            }
        });
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let start = reader.offset();
        let (mut log, mut index, mut leaf_hash, mut key_id) = (None, None, None, None);
        let (mut head, mut short, mut proof) = (None, None, None);
        reader.object(MEMBERS, |reader, name, _| {
            match &*name {
                "log" => log = Some(json::origin(reader)?),
                "index" => index = Some(json::index(reader)?),
                "leaf_hash" => leaf_hash = Some(json::hash(reader)?),
                "key_id" => key_id = Some(json::parsed(reader, "must be the id of a key", KeyId::parse)?),
                "head" => head = Some(read_head(reader)?),
                "integrityHash" => {
                    let at = reader.offset();
                    let rule = "must be the integrity hash of these";
                    short = Some((at, json::from_text::<IntegrityHash>(reader, rule)?));
                }
                "proof" => proof = Some(json::proof(reader)?),
                _ => drop(reader.json()?),
            }
            Ok(())
        })?;
        let missing = |name| move || Trouble::missing(start, name);
        let (size, root) = head.ok_or_else(missing("head"))?;
        let block = Self {
            log: log.ok_or_else(missing("log"))?,
            index: index.ok_or_else(missing("index"))?,
            leaf_hash: leaf_hash.ok_or_else(missing("leaf_hash"))?,
            key_id: key_id.ok_or_else(missing("key_id"))?,
            size,
            root,
            proof,
        };
        match short {
            Some((at, short)) if short != block.hash() => {
                Err(Trouble::new(at, FaultKind::Rule("must be the integrity hash of these")))
            }
            _ => Ok(block),
        }
    }
}

fn read_head(reader: &mut Reader<'_>) -> Read<(TreeSize, Hash)> {
    let start = reader.offset();
    let (mut size, mut root) = (None, None);
    reader.object(MEMBERS, |reader, name, _| {
        match &*name {
            "size" => size = Some(json::size(reader)?),
            "root" => root = Some(json::hash(reader)?),
            _ => drop(reader.json()?),
        }
        Ok(())
    })?;
    let missing = |name| move || Trouble::missing(start, name);
    Ok((size.ok_or_else(missing("size"))?, root.ok_or_else(missing("root"))?))
}

impl fmt::Display for IntegrityHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}::{ALGORITHM}::{}", self.log.as_str(), self.key_id, self.leaf_hash.to_base64())
    }
}

impl FromStr for IntegrityHash {
    type Err = IntegrityHashError;

    fn from_str(text: &str) -> Result<Self, IntegrityHashError> {
        // An origin may have colons of its own.
        let mut parts = text.rsplitn(4, "::");
        let (hash, algorithm, key, log) = (parts.next(), parts.next(), parts.next(), parts.next());
        let (Some(hash), Some(ALGORITHM), Some(key), Some(log)) = (hash, algorithm, key, log) else {
            return Err(IntegrityHashError);
        };
        Ok(Self {
            log: Origin::new(log).map_err(|_| IntegrityHashError)?,
            key_id: KeyId::parse(key).ok_or(IntegrityHashError)?,
            leaf_hash: Hash::from_base64(hash).map_err(|_| IntegrityHashError)?,
        })
    }
}
