//! The pieces of JSON that answers share: written without white space, read strictly, but for members that are not known.

use core::fmt::Display;
use core::str::FromStr;

use crate::checkpoint::{Origin, SignedCheckpoint};
use crate::hash::Hash;
use crate::merkle::InclusionProof;
use crate::record::digest::Digest;
use crate::record::json::canonical::{push_integer, push_string};
use crate::record::json::{FaultKind, Json, Read, Reader, Trouble};
use crate::record::server_part::Seq;
use crate::record::text::push_name;
use crate::record::time::Time;
use crate::size::{LeafIndex, TreeSize};
pub(super) use crate::wire::record::native::{disclosures, parsed};

/// More members than any object of an answer knows, so that answers may gain some.
pub(super) const MEMBERS: usize = 64;

/// An object in the making.
pub(super) struct Object<'j>(&'j mut Vec<u8>);

impl<'j> Object<'j> {
    /// Writes an object whose members `write` writes.
    pub(super) fn write(json: &'j mut Vec<u8>, write: impl FnOnce(&mut Self)) {
        json.push(b'{');
        let mut object = Self(json);
        write(&mut object);
        object.0.push(b'}');
    }

    /// Writes a member whose value `write` writes.
    pub(super) fn member(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        push_name(self.0, name);
        write(self.0);
    }

    /// The same, for a name that is not ours.
    pub(super) fn member_of_any_name(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        push_string(self.0, name);
        self.0.push(b':');
        write(self.0);
    }

    /// A member that is a string.
    pub(super) fn string(&mut self, name: &str, text: &str) {
        self.member(name, |json| push_string(json, text));
    }

    /// A member that is written as a string.
    pub(super) fn text(&mut self, name: &str, value: impl Display) {
        self.string(name, &value.to_string());
    }

    /// A member that is a number.
    pub(super) fn integer(&mut self, name: &str, number: u64) {
        self.member(name, |json| push_integer(json, number));
    }

    /// A member that is a boolean.
    pub(super) fn boolean(&mut self, name: &str, value: bool) {
        self.member(name, |json| json.extend_from_slice(if value { b"true" } else { b"false" }));
    }

    /// A member that is a time.
    pub(super) fn time(&mut self, name: &str, time: Time) {
        self.string(name, core::str::from_utf8(&time.to_text()).unwrap_or_default());
    }

    /// A member that is a hash of the tree, in standard base64.
    pub(super) fn hash(&mut self, name: &str, hash: &Hash) {
        self.string(name, &hash.to_base64());
    }

    /// A member that is JSON as it stands.
    pub(super) fn json(&mut self, name: &str, value: &Json<'_>) {
        self.member(name, |json| json.extend_from_slice(value.as_str().as_bytes()));
    }

    /// A member that is an array.
    pub(super) fn array<T>(
        &mut self,
        name: &str,
        elements: impl IntoIterator<Item = T>,
        write: impl FnMut(&mut Vec<u8>, T),
    ) {
        self.member(name, |json| push_array(json, elements, write));
    }
}

/// Writes an array.
pub(super) fn push_array<T>(
    json: &mut Vec<u8>,
    elements: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    json.push(b'[');
    for (index, element) in elements.into_iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        write(json, element);
    }
    json.push(b']');
}

/// Reads a string of a type that has one text.
pub(super) fn from_text<T: FromStr>(reader: &mut Reader<'_>, rule: &'static str) -> Read<T> {
    parsed(reader, rule, |text| text.parse().ok())
}

pub(super) fn hash(reader: &mut Reader<'_>) -> Read<Hash> {
    parsed(reader, "must be a hash in base64", |text| Hash::from_base64(text).ok())
}

pub(super) fn time(reader: &mut Reader<'_>) -> Read<Time> {
    parsed(reader, "must be a time in UTC with six digits of the second", |text| Time::parse_canonical(text).ok())
}

pub(super) fn origin(reader: &mut Reader<'_>) -> Read<Origin> {
    parsed(reader, "must be the origin of a log", |text| Origin::new(text).ok())
}

pub(super) fn checkpoint(reader: &mut Reader<'_>) -> Read<SignedCheckpoint> {
    parsed(reader, "must be the text of a checkpoint", |text| SignedCheckpoint::parse(text.as_bytes()).ok())
}

pub(super) fn index(reader: &mut Reader<'_>) -> Read<LeafIndex> {
    let at = reader.offset();
    LeafIndex::new(reader.integer()?).map_err(|_| Trouble::new(at, FaultKind::Rule("must be an index")))
}

pub(super) fn size(reader: &mut Reader<'_>) -> Read<TreeSize> {
    let at = reader.offset();
    TreeSize::new(reader.integer()?).map_err(|_| Trouble::new(at, FaultKind::Rule("must be a size")))
}

pub(super) fn seq(reader: &mut Reader<'_>) -> Read<Seq> {
    let at = reader.offset();
    Seq::new(reader.integer()?).map_err(|_| Trouble::new(at, FaultKind::Rule("must be below 2^53")))
}

pub(super) fn proof(reader: &mut Reader<'_>) -> Read<InclusionProof> {
    let at = reader.offset();
    let hashes = reader.list(InclusionProof::MAX_HASHES, hash)?;
    InclusionProof::from_hashes(hashes).map_err(|_| Trouble::new(at, FaultKind::Rule("must be an inclusion proof")))
}

pub(super) fn push_proof(json: &mut Vec<u8>, proof: &InclusionProof) {
    push_array(json, proof.hashes(), |json, hash| push_string(json, &hash.to_base64()));
}

pub(super) fn digest(reader: &mut Reader<'_>) -> Read<Digest> {
    from_text(reader, "must be a digest")
}

/// Reads what may be null.
pub(super) fn or_null<'a, T>(
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Read<T>,
) -> Read<Option<T>> {
    if reader.null()? { Ok(None) } else { read(reader).map(Some) }
}
