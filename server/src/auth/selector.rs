//! What a token is good for: logs by their names, and tenants by theirs.
//!
//! Both are written as a name, the beginning of names with `*` after it, or `*`. Of tenants there may be several.

use core::fmt;
use core::str::FromStr;

use cairn_tree::record::bounds::MAX_NAME_BYTES;
use cairn_tree::record::text::Name;
use serde::{Deserialize, Serialize};

use crate::limits::TENANT_SELECTOR_BYTES;
use crate::log_name::LogName;

/// The logs that a token is good for: a name, a prefix with `*` after it, or `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector {
    text: Box<str>,
}

/// The tenants on whose records a token is good for: the same for their names, with commas between; perhaps none.
///
/// A tenant whose name has a comma is only selected by what stands before it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tenants {
    text: Box<str>,
}

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Neither a name nor a prefix of names.
    #[error("{0:?} is not a log selector: a log's name, the beginning of one with * after it, *, or nothing for none")]
    Logs(String),
    /// Neither a name nor a prefix of names.
    #[error("{0:?} is not a selector of tenants: names or beginnings of names with * after them, with commas between")]
    Tenants(String),
    /// More than is looked through with every request.
    #[error("a selector of tenants is at most {TENANT_SELECTOR_BYTES} bytes; make several tokens")]
    TooLong,
}

fn selects(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(*pattern == *name, |prefix| name.starts_with(prefix))
}

impl Selector {
    /// Whether the log of this name is meant.
    #[must_use]
    pub fn matches(&self, log: &str) -> bool {
        !self.is_none() && selects(&self.text, log)
    }

    /// Every log.
    #[must_use]
    pub fn all() -> Self {
        Self { text: "*".into() }
    }

    /// No log.
    #[must_use]
    pub fn none() -> Self {
        Self { text: "".into() }
    }

    /// Whether every log is meant.
    #[must_use]
    pub fn is_all(&self) -> bool {
        &*self.text == "*"
    }

    /// Whether no log is meant.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.text.is_empty()
    }
}

impl Tenants {
    /// All tenants.
    #[must_use]
    pub fn all() -> Self {
        Self { text: "*".into() }
    }

    /// Whether the tenant of this name is meant.
    #[must_use]
    pub fn matches(&self, tenant: &str) -> bool {
        self.patterns().any(|pattern| selects(pattern, tenant))
    }

    /// Whether all tenants are meant, whatever they are called.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.patterns().any(|pattern| pattern == "*")
    }

    /// Whether no tenant is meant.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.text.is_empty()
    }

    /// The tenant, if a single one is meant by its name.
    #[must_use]
    pub fn sole(&self) -> Option<&str> {
        let mut patterns = self.patterns();
        patterns.next().filter(|pattern| patterns.next().is_none() && !pattern.ends_with('*'))
    }

    /// The tenants that are meant by their names.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.patterns().filter(|pattern| !pattern.ends_with('*'))
    }

    /// Whether tenants are meant whose names are not here.
    #[must_use]
    pub fn has_prefixes(&self) -> bool {
        self.patterns().any(|pattern| pattern.ends_with('*'))
    }

    fn patterns(&self) -> impl Iterator<Item = &str> {
        self.text.split(',').filter(|pattern| !pattern.is_empty())
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let stem = text.strip_suffix('*').unwrap_or(text);
        let plain = stem.bytes().all(LogName::has_room_for);
        if !plain || stem.len() > LogName::MAX_BYTES {
            return Err(SelectorError::Logs(text.to_owned()));
        }
        Ok(Self { text: text.into() })
    }
}

impl FromStr for Tenants {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        if text.len() > TENANT_SELECTOR_BYTES {
            return Err(SelectorError::TooLong);
        }
        let is_good = |pattern: &str| {
            let stem = pattern.strip_suffix('*').unwrap_or(pattern);
            pattern == "*" || stem.len() <= MAX_NAME_BYTES && !stem.contains('*') && Name::new(stem).is_ok()
        };
        match text.split(',').find(|pattern| !is_good(pattern)) {
            Some(bad) if !text.is_empty() => Err(SelectorError::Tenants(bad.to_owned())),
            _ => Ok(Self { text: text.into() }),
        }
    }
}

macro_rules! as_text {
    ($($name:ident),+) => { $(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = SelectorError;

            fn try_from(text: String) -> Result<Self, SelectorError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(selector: $name) -> Self {
                selector.to_string()
            }
        }
    )+ };
}

as_text!(Selector, Tenants);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_named_not_guessed() {
        for bad in ["a*b", "**", "UPPER", "a/b", "a b", "a,b"] {
            assert!(bad.parse::<Selector>().is_err(), "{bad}");
        }
        let (all, none): (Selector, Selector) = ("*".parse().unwrap(), "".parse().unwrap());
        assert!(all == Selector::all() && all.is_all() && all.matches("anything"));
        assert!(none == Selector::none() && none.is_none() && !none.matches("") && !none.matches("anything"));
    }

    #[test]
    fn tenants_are_meant_by_name_or_by_the_beginning_of_a_name() {
        let both: Tenants = "pb,pb.*".parse().unwrap();
        assert!(both.matches("pb") && both.matches("pb.amritsar") && both.matches("pb."));
        assert!(!both.matches("pbx") && !both.matches("p") && !both.matches("") && !both.matches("PB"));
        assert_eq!((both.sole(), both.named().collect::<Vec<_>>(), both.has_prefixes()), (None, vec!["pb"], true));
        let one: Tenants = "Größe 7".parse().unwrap();
        assert_eq!((one.sole(), one.has_prefixes()), (Some("Größe 7"), false));
        assert!(Tenants::all().matches("anything") && Tenants::all().sole().is_none());
        let none: Tenants = "".parse().unwrap();
        assert!(none.is_none() && none == Tenants::default() && !none.matches("") && !none.matches("pb"));
        for bad in ["*pb", "p*b", "**", "pb,", ",pb", ",", "a\nb", &"t".repeat(257), &"t,".repeat(1_024)] {
            assert!(bad.parse::<Tenants>().is_err(), "{bad}");
        }
    }
}
