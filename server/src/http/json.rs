//! JSON answers, written straight into one buffer.
//!
//! The shapes are those of `cairn_tree::wire`, whose types hold parsed checkpoints; here the checkpoint is the head's text as
//! it was signed, and nothing is parsed, cloned or allocated per hash. The tests read every shape back with the types.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cairn_tree::hash::Hash;

/// Bytes of a hash in base64.
const HASH_TEXT: usize = 44;

/// An object that is being written.
pub(crate) struct Object {
    out: Vec<u8>,
    separator: &'static [u8],
}

impl Object {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { out: Vec::with_capacity(capacity), separator: b"{" }
    }

    pub(crate) fn number(&mut self, name: &'static str, value: u64) -> &mut Self {
        self.name(name);
        self.write_number(value);
        self
    }

    pub(crate) fn numbers(&mut self, name: &'static str, values: impl Iterator<Item = u64>) -> &mut Self {
        self.array(name, values, Self::write_number)
    }

    pub(crate) fn hash(&mut self, name: &'static str, hash: &Hash) -> &mut Self {
        self.name(name);
        self.write_hash(hash);
        self
    }

    pub(crate) fn hashes(&mut self, name: &'static str, hashes: &[Hash]) -> &mut Self {
        self.array(name, hashes.iter(), Self::write_hash)
    }

    /// Bytes as base64.
    pub(crate) fn bytes(&mut self, name: &'static str, bytes: &[u8]) -> &mut Self {
        self.name(name);
        self.write_bytes(bytes);
        self
    }

    pub(crate) fn bytes_each<'a>(&mut self, name: &'static str, items: impl Iterator<Item = &'a [u8]>) -> &mut Self {
        self.array(name, items, Self::write_bytes)
    }

    /// Text, escaped as RFC 8259, section 7 asks. Bytes that are not UTF-8 are left out; checkpoints have none.
    pub(crate) fn text(&mut self, name: &'static str, text: &[u8]) -> &mut Self {
        self.name(name);
        let text = std::str::from_utf8(text).unwrap_or_default();
        // Writing a string into memory succeeds.
        let _ = serde_json::to_writer(&mut self.out, text);
        self
    }

    /// An array of objects.
    pub(crate) fn objects<T>(
        &mut self,
        name: &'static str,
        items: impl Iterator<Item = T>,
        write: impl Fn(&mut Self, T),
    ) -> &mut Self {
        self.array(name, items, |object, item| {
            object.separator = b"{";
            write(object, item);
            object.end();
        })
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.end();
        self.out
    }

    fn end(&mut self) {
        if self.separator == b"{" {
            self.out.extend_from_slice(b"{");
        }
        self.out.extend_from_slice(b"}");
        self.separator = b",";
    }

    fn name(&mut self, name: &'static str) {
        self.out.extend_from_slice(self.separator);
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.separator = b",";
    }

    fn array<T>(
        &mut self,
        name: &'static str,
        items: impl Iterator<Item = T>,
        write: impl Fn(&mut Self, T),
    ) -> &mut Self {
        self.name(name);
        self.out.push(b'[');
        for (position, item) in items.enumerate() {
            if position > 0 {
                self.out.push(b',');
            }
            write(self, item);
        }
        self.out.push(b']');
        self.separator = b",";
        self
    }

    fn write_number(&mut self, value: u64) {
        // Writing into memory succeeds.
        let _ = write!(self.out, "{value}");
    }

    fn write_hash(&mut self, hash: &Hash) {
        let mut text = [0; HASH_TEXT];
        // The buffer has exactly the length that 32 bytes take.
        if STANDARD.encode_slice(hash.as_bytes(), &mut text).is_ok() {
            self.quoted(&text);
        }
    }

    fn write_bytes(&mut self, bytes: &[u8]) {
        self.quoted(STANDARD.encode(bytes).as_bytes());
    }

    fn quoted(&mut self, text: &[u8]) {
        self.out.push(b'"');
        self.out.extend_from_slice(text);
        self.out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_json() {
        let hash = Hash::leaf(b"x");
        let mut object = Object::with_capacity(0);
        object
            .number("n", u64::MAX)
            .numbers("ns", [1, 2].into_iter())
            .hash("h", &hash)
            .hashes("hs", &[hash, Hash::EMPTY_TREE])
            .bytes("b", b"\x00\xff")
            .bytes_each("bs", [b"a".as_slice(), b""].into_iter())
            .text("t", "line\n\u{2014} \"quoted\" \\ \u{1}".as_bytes())
            .objects("os", [1, 2].into_iter(), |object, n| {
                object.number("n", n).hashes("none", &[]);
            })
            .objects("nothing", 0..1, |_, _| {})
            .number("last", 0);
        let value: serde_json::Value = serde_json::from_slice(&object.finish()).unwrap();
        let expected = serde_json::json!({
            "n": u64::MAX, "ns": [1, 2], "h": hash.to_base64(), "hs": [hash.to_base64(), Hash::EMPTY_TREE.to_base64()],
            "b": "AP8=", "bs": ["YQ==", ""], "t": "line\n\u{2014} \"quoted\" \\ \u{1}",
            "os": [{"n": 1, "none": []}, {"n": 2, "none": []}], "nothing": [{}], "last": 0,
        });
        assert_eq!(value, expected);
        assert_eq!(Object::with_capacity(0).finish(), b"{}");
    }
}
