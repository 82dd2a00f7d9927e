//! Disclosures (RFC 9901, section 4.2.2): the base64url of `[salt, value]`, hashed and kept as they are.
//!
//! All of ours have the form of array elements, since in a leaf each digest stands alone in its place: `[{"...":"digest"}]`.
//! So nobody can put two contents behind one place and show each to somebody else, and what is erased keeps its name.
//! A disclosure is never written anew from what it says: its text is what was hashed.

use std::borrow::Cow;

use super::base64url;
use super::bounds::{MAX_DISCLOSED_BYTES, MAX_DISCLOSURE_BYTES, MAX_DISCLOSURES};
use super::digest::Digest;
use super::json::{Fault, FaultKind, Read, Reader, Trouble};
use super::packed::Unpacking;

/// 128 random bits that nobody else knows, for one disclosure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Salt([u8; Salt::LEN]);

impl Salt {
    /// The length in bytes (RFC 9901, section 9.3, recommends 128 bits).
    pub const LEN: usize = 16;
    /// The length of its text.
    pub const TEXT_LEN: usize = 22;

    /// Wraps bytes of a cryptographically secure source, each used once.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The same bits as a number.
    pub(super) const fn number(&self) -> u128 {
        u128::from_be_bytes(self.0)
    }

    fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let at = reader.offset();
        let salt = base64url::decode_array(&reader.string()?);
        salt.map(Self).ok_or(Trouble::new(at, FaultKind::Rule("a salt is the base64url of 16 bytes")))
    }
}

/// The disclosures of one record, each with its digest, in any order.
pub struct Disclosures {
    /// Each text with a tilde after it (RFC 9901, section 4).
    text: String,
    /// Where each text ends, and its digest.
    each: Vec<(usize, Digest)>,
    /// What they were unpacked from, so that opening them need not decode what was just encoded; nothing of others.
    packed: Vec<u8>,
}

/// What is packed is what the texts say.
impl PartialEq for Disclosures {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.each == other.each
    }
}

impl Eq for Disclosures {}

/// Without what they were unpacked from: copies are made to be sent.
impl Clone for Disclosures {
    fn clone(&self) -> Self {
        Self { text: self.text.clone(), each: self.each.clone(), packed: Vec::new() }
    }
}

/// A disclosure as it came, to be opened.
#[derive(Clone, Copy)]
pub(super) struct Raw<'d> {
    pub(super) text: &'d str,
    /// The bytes whose base64url the text is, if they are at hand.
    pub(super) json: Option<&'d [u8]>,
}

/// Why disclosures can't be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DisclosuresError {
    /// More of them than there may be.
    #[error("more than {MAX_DISCLOSURES} disclosures")]
    TooMany,
    /// One of them, or all together, are too long.
    #[error("a disclosure of more than {MAX_DISCLOSURE_BYTES} bytes, or more than {MAX_DISCLOSED_BYTES} in all")]
    TooLong,
    /// A text that is not base64url.
    #[error("a disclosure is unpadded base64url")]
    NotBase64Url,
    /// The text does not end with a tilde.
    #[error("each disclosure is followed by a tilde")]
    Tilde,
    /// The same disclosure twice.
    #[error("the same disclosure stands twice")]
    Twice,
    /// Packed disclosures that end too early.
    #[error("packed disclosures that are cut off")]
    CutOff,
}

impl Disclosures {
    /// None.
    #[must_use]
    pub const fn none() -> Self {
        Self { text: String::new(), each: Vec::new(), packed: Vec::new() }
    }

    /// Reads disclosures with a tilde after each, and hashes them.
    ///
    /// # Errors
    /// [`DisclosuresError`].
    pub fn parse(text: &str) -> Result<Self, DisclosuresError> {
        let body = text
            .strip_suffix('~')
            .map_or_else(|| if text.is_empty() { Ok("") } else { Err(DisclosuresError::Tilde) }, Ok)?;
        Self::from_texts(if text.is_empty() { None } else { Some(body.split('~')) }.into_iter().flatten())
    }

    /// Takes single texts, and hashes them.
    ///
    /// # Errors
    /// [`DisclosuresError`].
    pub fn from_texts<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, DisclosuresError> {
        let mut making = Making::with_capacity(0, 0);
        for text in texts {
            // Without a branch for each byte, eight times as fast.
            let plain = |byte: u8| byte.is_ascii_alphanumeric() | (byte == b'-') | (byte == b'_');
            if text.is_empty() || !text.bytes().fold(true, |all, byte| all & plain(byte)) {
                return Err(DisclosuresError::NotBase64Url);
            }
            making.text.extend_from_slice(text.as_bytes());
            making.finish(text.len())?;
        }
        let disclosures = making.done();
        let mut digests: Vec<Digest> = disclosures.each.iter().map(|(_, digest)| *digest).collect();
        digests.sort_unstable();
        let twice = digests.iter().zip(digests.iter().skip(1)).any(|(one, other)| one == other);
        if twice { Err(DisclosuresError::Twice) } else { Ok(disclosures) }
    }

    /// The texts with their digests.
    pub fn iter(&self) -> impl Iterator<Item = (Digest, &str)> {
        let starts = core::iter::once(0).chain(self.each.iter().map(|(end, _)| end + 1));
        starts.zip(&self.each).map(|(start, (end, digest))| (*digest, self.text.get(start..*end).unwrap_or_default()))
    }

    /// The same to be opened.
    pub(super) fn raw(&self) -> impl Iterator<Item = (Digest, Raw<'_>)> {
        let mut packed = Unpacking(&self.packed);
        self.iter().map(move |(digest, text)| (digest, Raw { text, json: packed.next().and_then(Result::ok) }))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.each.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// The texts with a tilde after each.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Only those whose digest `keep` keeps, byte for byte.
    #[must_use]
    pub fn filtered(&self, mut keep: impl FnMut(&Digest) -> bool) -> Self {
        let mut kept = Self::none();
        for (digest, text) in self.iter().filter(|(digest, _)| keep(digest)) {
            kept.text.push_str(text);
            kept.each.push((kept.text.len(), digest));
            kept.text.push('~');
        }
        kept
    }
}

/// Disclosures in the making.
pub(super) struct Making {
    /// ASCII.
    text: Vec<u8>,
    each: Vec<(usize, Digest)>,
}

impl Making {
    /// With room for about so many bytes and disclosures.
    pub(super) fn with_capacity(bytes: usize, count: usize) -> Self {
        Self { text: Vec::with_capacity(bytes), each: Vec::with_capacity(count) }
    }

    /// Adds what `json` holds: an array of a salt and a value.
    pub(super) fn push(&mut self, json: &[u8]) -> Result<Digest, DisclosuresError> {
        let length = base64url::push_ascii(&mut self.text, json);
        self.finish(length)
    }

    /// Ends the text whose last `length` bytes are a disclosure.
    fn finish(&mut self, length: usize) -> Result<Digest, DisclosuresError> {
        let end = self.text.len();
        if self.each.len() >= MAX_DISCLOSURES {
            return Err(DisclosuresError::TooMany);
        }
        // A tilde follows.
        if length > MAX_DISCLOSURE_BYTES || end >= MAX_DISCLOSED_BYTES {
            return Err(DisclosuresError::TooLong);
        }
        let digest = Digest::of_ascii(self.text.get(end - length..).unwrap_or_default());
        self.text.push(b'~');
        self.each.push((end, digest));
        Ok(digest)
    }

    pub(super) fn done(self) -> Disclosures {
        // ASCII is UTF-8.
        let text = String::from_utf8(self.text).unwrap_or_default();
        Disclosures { text, each: self.each, packed: Vec::new() }
    }

    /// The same, which were unpacked from these bytes.
    pub(super) fn done_from(self, packed: &[u8]) -> Disclosures {
        Disclosures { packed: packed.to_vec(), ..self.done() }
    }
}

/// Their number and no content: what they hold is for those only who may see it.
impl core::fmt::Debug for Disclosures {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Disclosures({} in {} bytes)", self.len(), self.text.len())
    }
}

/// Begins the JSON of a disclosure.
pub(super) fn begin(json: &mut Vec<u8>, salt: Salt) {
    json.clear();
    json.extend_from_slice(b"[\"");
    json.extend_from_slice(&base64url::encode_array::<{ Salt::LEN }, { Salt::TEXT_LEN }>(&salt.0));
    json.extend_from_slice(b"\",");
}

/// Appends a digest in its place: `[{"...":"digest"}]` (RFC 9901, section 4.2.4.2).
pub(super) fn push_place(json: &mut Vec<u8>, digest: Digest) {
    json.push(b'[');
    push_element(json, digest);
    json.push(b']');
}

/// Appends a digest as an element: `{"...":"digest"}`.
pub(super) fn push_element(json: &mut Vec<u8>, digest: Digest) {
    json.extend_from_slice(b"{\"...\":\"");
    json.extend_from_slice(&digest.to_text());
    json.extend_from_slice(b"\"}");
}

/// Reads `{"...":"digest"}`.
pub(super) fn read_element(reader: &mut Reader<'_>) -> Read<Digest> {
    let start = reader.offset();
    let mut digest = None;
    reader.object(1, |reader, name, at| {
        if name != "..." {
            return Err(Trouble::new(at, FaultKind::Unknown));
        }
        let at = reader.offset();
        let read: Option<Digest> = reader.string()?.parse().ok();
        digest = Some(read.ok_or(Trouble::new(at, FaultKind::Rule("must be a digest")))?);
        Ok(())
    })?;
    digest.ok_or(Trouble::missing(start, "..."))
}

/// Reads a digest in its place: an array of this one element.
pub(super) fn read_place(reader: &mut Reader<'_>) -> Read<Digest> {
    let start = reader.offset();
    let digest = reader.list(1, read_element)?.pop();
    digest.ok_or(Trouble::new(start, FaultKind::Rule("must hold one digest")))
}

/// Reads a disclosure: the salt, then the value by `value`.
pub(super) fn open<T>(
    disclosure: Raw<'_>,
    value: impl for<'j> FnOnce(&mut Reader<'j>) -> Read<T>,
) -> Result<(Salt, T), Fault> {
    let no_text = || Fault::new(&super::json::Pointer::ROOT, FaultKind::Rule("must be unpadded base64url"));
    let json = match disclosure.json {
        Some(json) => Cow::Borrowed(json),
        None => Cow::Owned(base64url::decode(disclosure.text).ok_or_else(no_text)?),
    };
    Reader::read(&json, MAX_DISCLOSURE_BYTES, |reader| {
        let start = reader.offset();
        let (mut salt, mut read, mut value) = (None, None, Some(value));
        reader.array(2, |reader| {
            match salt {
                None => salt = Some(Salt::read(reader)?),
                Some(_) => read = value.take().map(|value| value(reader)).transpose()?,
            }
            Ok(())
        })?;
        salt.zip(read).ok_or(Trouble::new(start, FaultKind::Rule("must be an array of a salt and a value")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last tilde counts as the others do.
    #[test]
    fn disclosures_are_so_long_in_all_with_a_tilde_after_each() {
        let texts = |last: usize| {
            let lengths = [MAX_DISCLOSURE_BYTES - 1, MAX_DISCLOSURE_BYTES - 1, MAX_DISCLOSURE_BYTES - 1, last];
            let text = |(number, length): (usize, usize)| format!("{number}{}", "A".repeat(length - 1));
            lengths.into_iter().enumerate().map(text).collect::<Vec<String>>()
        };
        let of = |last| Disclosures::from_texts(texts(last).iter().map(String::as_str));
        assert_eq!(of(MAX_DISCLOSURE_BYTES - 1).unwrap().as_str().len(), MAX_DISCLOSED_BYTES);
        assert_eq!(of(MAX_DISCLOSURE_BYTES), Err(DisclosuresError::TooLong));
    }
}
