//! The JSON forms of the domain's types: sizes and indexes are numbers; hashes and entries are padded standard base64;
//! proofs are arrays of hashes; checkpoints are their text.
//!
//! Reading is as strict as everywhere: one value has one form, and lengths are bounded while they are read.

use core::fmt;
use core::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::checkpoint::SignedCheckpoint;
use crate::hash::{Hash, HashError};
use crate::merkle::{ConsistencyProof, InclusionProof};
use crate::note::{decode_base64, encode_base64};
use crate::size::{LeafIndex, TreeSize};

/// Bytes that JSON carries as base64: an entry, or extra data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

/// Reads the hash of a leaf from a query parameter: 64 lower-case hexadecimal digits, or padded standard base64 (whose
/// `+` a URL has to write `%2B`).
///
/// # Errors
/// [`HashError`] for anything else.
pub fn leaf_hash_from_query(text: &str) -> Result<Hash, HashError> {
    if text.len() == 2 * Hash::LEN { text.parse() } else { Hash::from_base64(text) }
}

/// Reads a JSON string without copying it where the input allows that.
struct Text<T, F>(&'static str, F, PhantomData<T>);

impl<T, E: fmt::Display, F: FnOnce(&str) -> Result<T, E>> Visitor<'_> for Text<T, F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<D: serde::de::Error>(self, text: &str) -> Result<T, D> {
        (self.1)(text).map_err(D::custom)
    }
}

/// Reads a JSON array with a bound.
struct Bounded<T>(usize, PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {} items", self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            if items.len() == self.0 {
                return Err(A::Error::custom(format_args!("more than {} items", self.0)));
            }
            items.push(item);
        }
        Ok(items)
    }
}

impl Serialize for TreeSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.get())
    }
}

impl<'de> Deserialize<'de> for TreeSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Serialize for LeafIndex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.get())
    }
}

impl<'de> Deserialize<'de> for LeafIndex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_base64())
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text("a hash as base64", Self::from_base64, PhantomData))
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode_base64(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| decode_base64(text).map(Self).ok_or("must be canonical padded base64");
        deserializer.deserialize_str(Text("bytes as base64", read, PhantomData))
    }
}

impl Serialize for SignedCheckpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.encode())
    }
}

impl<'de> Deserialize<'de> for SignedCheckpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| Self::parse(text.as_bytes());
        deserializer.deserialize_str(Text("a checkpoint's text", read, PhantomData))
    }
}

impl Serialize for InclusionProof {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.hashes())
    }
}

impl<'de> Deserialize<'de> for InclusionProof {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hashes = deserializer.deserialize_seq(Bounded(Self::MAX_HASHES, PhantomData))?;
        Self::from_hashes(hashes).map_err(D::Error::custom)
    }
}

impl Serialize for ConsistencyProof {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.hashes())
    }
}

impl<'de> Deserialize<'de> for ConsistencyProof {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hashes = deserializer.deserialize_seq(Bounded(Self::MAX_HASHES, PhantomData))?;
        Self::from_hashes(hashes).map_err(D::Error::custom)
    }
}
