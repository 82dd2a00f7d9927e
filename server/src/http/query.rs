//! Query strings: a few known names, each at most once, percent-decoded strictly.

use std::borrow::Cow;

use cairn_tree::size::{LeafIndex, SizeError, TreeSize};

use super::problem::{Kind, Problem};

/// The parameters of a request. Unknown and repeated ones were refused.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    pairs: Vec<(&'static str, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// Reads a query string in which only `known` names may stand.
    pub(crate) fn parse(query: Option<&'a str>, known: &[&'static str]) -> Result<Self, Problem> {
        let strange = |name: &str| {
            let names = known.join(", ");
            let bound = if known.is_empty() { "no parameters".to_owned() } else { names };
            Err(Problem::malformed("query", name, "no such parameter here").bound(bound))
        };
        Self::read(query, known, strange)
    }

    /// The same for routes in somebody else's place, where parameters that are not known were always passed over.
    pub(crate) fn parse_known(query: Option<&'a str>, known: &[&'static str]) -> Result<Self, Problem> {
        Self::read(query, known, |_| Ok(()))
    }

    fn read(
        query: Option<&'a str>,
        known: &[&'static str],
        strange: impl Fn(&str) -> Result<(), Problem>,
    ) -> Result<Self, Problem> {
        let mut pairs: Vec<(&'static str, Cow<'a, str>)> = Vec::new();
        for part in query.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let Some(name) = known.iter().find(|known| **known == name) else {
                strange(name)?;
                continue;
            };
            if pairs.iter().any(|(seen, _)| seen == name) {
                return Err(Problem::malformed(name, value, "given more than once").bound("at most once"));
            }
            let value = decode(value).ok_or_else(|| Problem::malformed(name, value, "broken percent-encoding"))?;
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }

    /// A size parameter.
    pub(crate) fn size(&self, name: &'static str) -> Result<Option<TreeSize>, Problem> {
        self.get(name).map(|text| size(name, text)).transpose()
    }

    /// An index parameter.
    pub(crate) fn index(&self, name: &'static str) -> Result<Option<LeafIndex>, Problem> {
        self.get(name).map(|text| index(name, text)).transpose()
    }

    /// A parameter that is 0 or 1; 0 if absent.
    pub(crate) fn flag(&self, name: &'static str) -> Result<bool, Problem> {
        self.flag_or(name, false)
    }

    /// A parameter that is 0 or 1, or absent.
    pub(crate) fn flag_or(&self, name: &'static str, absent: bool) -> Result<bool, Problem> {
        match self.get(name) {
            None => Ok(absent),
            Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(other) => Err(Problem::malformed(name, other, "must be 0 or 1").bound("0 or 1")),
        }
    }
}

/// Reads an index.
pub(crate) fn index(name: &'static str, text: &str) -> Result<LeafIndex, Problem> {
    LeafIndex::parse(text).map_err(|error| number(name, text, error, TreeSize::MAX.get() - 1))
}

/// Reads a size.
pub(crate) fn size(name: &'static str, text: &str) -> Result<TreeSize, Problem> {
    TreeSize::parse(text).map_err(|error| number(name, text, error, TreeSize::MAX.get()))
}

fn number(name: &'static str, text: &str, error: SizeError, most: u64) -> Problem {
    Problem::malformed(name, text, error).bound(format!("0 to {most}"))
}

/// A number past what the tree of the answer has.
pub(crate) fn out_of_range(name: &'static str, value: u64, bound: String) -> Problem {
    let detail = format!("{name}: {value} is out of range; it must be {bound}");
    Problem::new(Kind::OutOfRange, detail).field(name).value(value.to_string()).bound(bound)
}

/// Percent-decoding as URIs have it: a plus is a plus.
pub(crate) fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
            bytes.push(high << 4 | low);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Query<'_>, Problem> {
        Query::parse(Some(text), &["size", "leaf_hash"])
    }

    #[test]
    fn values_are_decoded_and_numbers_read_canonically() {
        let query = parse("size=7&leaf_hash=a%2Bb+%2f%3D").unwrap();
        assert_eq!(query.get("leaf_hash"), Some("a+b+/="));
        assert_eq!(query.size("size").unwrap().map(TreeSize::get), Some(7));
        for bad in ["01", "-1", "+1", "1e3", "", " 1", "9223372036854775808", "18446744073709551616", "0x1"] {
            let text = format!("size={bad}");
            assert_eq!(parse(&text).unwrap().size("size").unwrap_err().kind(), Kind::Malformed, "{bad}");
        }
    }

    #[test]
    fn what_is_unknown_repeated_or_broken_is_refused() {
        for bad in ["sizes=1", "size=1&size=1", "size=%", "size=%1", "size=%zz", "size=%ff", "=1"] {
            assert_eq!(parse(bad).unwrap_err().kind(), Kind::Malformed, "{bad}");
        }
        assert!(Query::parse(None, &[]).is_ok() && Query::parse(Some(""), &[]).is_ok());
        let lenient = Query::parse_known(Some("_=%zz&size=1&sizes=2"), &["size"]).unwrap();
        assert_eq!(lenient.get("size"), Some("1"));
        assert!(Query::parse_known(Some("size=1&size=1"), &["size"]).is_err());
    }
}
