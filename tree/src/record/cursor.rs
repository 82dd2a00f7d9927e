//! Reading a leaf: canonical JSON has one text for each content, so that everything but the values is known beforehand.

use core::str::FromStr;

use super::digest::Digest;
use super::json::Reader;
use super::json::canonical::push_string;
use super::leaf::LeafError;
use super::time::Time;

/// A place in a leaf.
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, LeafError> {
        let text = core::str::from_utf8(bytes)
            .map_err(|error| LeafError::Malformed { at: error.valid_up_to(), expected: "UTF-8" })?;
        Ok(Self { text, at: 0 })
    }

    const fn malformed(&self, expected: &'static str) -> LeafError {
        LeafError::Malformed { at: self.at, expected }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Passes exactly this text; the place stays where it is if another is there.
    pub(super) fn literal(&mut self, text: &'static str) -> Result<(), LeafError> {
        if !self.rest().starts_with(text) {
            return Err(self.malformed(text));
        }
        self.at += text.len();
        Ok(())
    }

    pub(super) fn end(&self) -> Result<(), LeafError> {
        if self.rest().is_empty() { Ok(()) } else { Err(self.malformed("the end")) }
    }

    /// Reads a value whose text has so many bytes.
    pub(super) fn parse<T: FromStr>(&mut self, what: &'static str, length: usize) -> Result<T, LeafError> {
        let value = self.rest().get(..length).and_then(|text| text.parse().ok()).ok_or(self.malformed(what))?;
        self.at += length;
        Ok(value)
    }

    /// Reads a digest in its place.
    pub(super) fn place(&mut self) -> Result<Digest, LeafError> {
        self.literal("[{\"...\":\"")?;
        let digest = self.parse("a digest", Digest::TEXT_LEN)?;
        self.literal("\"}]")?;
        Ok(digest)
    }

    pub(super) fn time(&mut self) -> Result<Time, LeafError> {
        self.literal("\"")?;
        let text = self.rest().get(..Time::TEXT_LEN);
        let time = text.and_then(|text| Time::parse_canonical(text).ok()).ok_or(self.malformed("a time"))?;
        self.at += Time::TEXT_LEN;
        self.literal("\"")?;
        Ok(time)
    }

    /// Reads a canonical string, and what it means.
    pub(super) fn string<T>(
        &mut self,
        what: &'static str,
        parse: impl FnOnce(String) -> Option<T>,
    ) -> Result<T, LeafError> {
        let rest = self.rest();
        let mut escaped = false;
        let is_end = |&(at, byte): &(usize, u8)| {
            let end = at > 0 && byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            end
        };
        let end = rest.bytes().enumerate().find(is_end).map(|(at, _)| at + 1).ok_or(self.malformed(what))?;
        let quoted = rest.get(..end).unwrap_or_default();
        let text = Reader::read(quoted.as_bytes(), end, |reader| Ok(reader.string()?.into_owned()));
        let text = text.map_err(|_| self.malformed(what))?;
        let mut again = Vec::with_capacity(end);
        push_string(&mut again, &text);
        if again != quoted.as_bytes() {
            return Err(self.malformed("a string in canonical form"));
        }
        let value = parse(text).ok_or(self.malformed(what))?;
        self.at += end;
        Ok(value)
    }

    /// Reads a whole number of at most `max`, without leading zeros.
    pub(super) fn integer(&mut self, max: u64) -> Result<u64, LeafError> {
        let rest = self.rest();
        let length = rest.bytes().take_while(u8::is_ascii_digit).count();
        let digits = rest.get(..length).filter(|digits| *digits == "0" || !digits.starts_with('0'));
        let number = digits.and_then(|digits| digits.parse().ok()).filter(|number| *number <= max);
        let number = number.ok_or(self.malformed("a whole number below 2^53"))?;
        self.at += length;
        Ok(number)
    }
}
