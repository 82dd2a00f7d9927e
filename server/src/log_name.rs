//! What logs are called: their names within a server, and what stands before those in their origins.
//!
//! A name is part of URLs, of file names and of signed texts, so it is checked where it comes in, from the database too.
//! Design: "HTTP surface of one log". Not here: origins of other servers' logs (`cairn_tree::checkpoint::Origin`).

use core::borrow::Borrow;
use core::fmt;
use core::ops::Deref;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// A log's name within the server: `[a-z0-9][a-z0-9._-]{0,62}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogName(String);

/// Why a text is no log's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a log's name: 1 to 63 of a-z, 0-9, dot, dash and underscore, beginning with a letter or digit")]
pub struct LogNameError(pub String);

impl LogName {
    /// The longest name.
    pub const MAX_BYTES: usize = 63;

    /// Checks a name.
    ///
    /// # Errors
    /// [`LogNameError`] for anything else.
    pub fn new(name: impl Into<String>) -> Result<Self, LogNameError> {
        let name = name.into();
        if Self::is_one(&name) { Ok(Self(name)) } else { Err(LogNameError(name)) }
    }

    /// Whether a text is a log's name.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let first = text.bytes().next().is_some_and(alphanumeric);
        first && text.len() <= Self::MAX_BYTES && text.bytes().all(Self::has_room_for)
    }

    /// Whether a byte may stand in a name behind the first place.
    #[must_use]
    pub const fn has_room_for(byte: u8) -> bool {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for LogName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for LogName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for LogName {
    fn eq(&self, text: &str) -> bool {
        self.0 == *text
    }
}

impl FromStr for LogName {
    type Err = LogNameError;

    fn from_str(text: &str) -> Result<Self, LogNameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for LogName {
    type Error = LogNameError;

    fn try_from(text: String) -> Result<Self, LogNameError> {
        Self::new(text)
    }
}

impl From<LogName> for String {
    fn from(name: LogName) -> Self {
        name.0
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What stands before `/NAME` in the origin of new logs: the host that serves them, and a path.
///
/// Invariant: with any log's name behind it, it is a key's name and an origin.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OriginPrefix(String);

/// Why a text is no origin prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the origin prefix {0:?}: write HOST/logs without a scheme, such as log.example.org/logs (at most {max} bytes)",
    max = OriginPrefix::MAX_BYTES
)]
pub struct OriginPrefixError(pub String);

impl OriginPrefix {
    /// The longest prefix: an origin has 255 bytes at most.
    pub const MAX_BYTES: usize = 190;

    /// Checks a prefix.
    ///
    /// # Errors
    /// [`OriginPrefixError`] for anything that is not shaped like `HOST/logs`.
    pub fn new(prefix: impl Into<String>) -> Result<Self, OriginPrefixError> {
        let prefix = prefix.into();
        let graphic = prefix.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+');
        let shaped = prefix.split_once('/').is_some_and(|(host, path)| !host.is_empty() && !path.is_empty());
        let scheme = prefix.contains("://");
        if graphic && shaped && !scheme && !prefix.ends_with('/') && prefix.len() <= Self::MAX_BYTES {
            Ok(Self(prefix))
        } else {
            Err(OriginPrefixError(prefix))
        }
    }

    /// The origin of the log of this name.
    #[must_use]
    pub fn origin(&self, name: &LogName) -> String {
        format!("{}/{name}", self.0)
    }

    /// The prefix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// For a server that nobody else can reach.
impl Default for OriginPrefix {
    fn default() -> Self {
        Self("localhost/logs".to_owned())
    }
}

impl FromStr for OriginPrefix {
    type Err = OriginPrefixError;

    fn from_str(text: &str) -> Result<Self, OriginPrefixError> {
        Self::new(text)
    }
}

impl TryFrom<String> for OriginPrefix {
    type Error = OriginPrefixError;

    fn try_from(text: String) -> Result<Self, OriginPrefixError> {
        Self::new(text)
    }
}

impl From<OriginPrefix> for String {
    fn from(prefix: OriginPrefix) -> Self {
        prefix.0
    }
}

impl fmt::Display for OriginPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OriginPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use cairn_tree::checkpoint::Origin;
    use cairn_tree::note::KeyName;

    use super::*;

    #[test]
    fn names_are_short_plain_and_no_paths() {
        for name in ["a", "0", "main", "a.b_c-d", "9..", &"a".repeat(63)] {
            assert_eq!(LogName::new(name).unwrap().as_str(), name);
        }
        let tricks = ["", ".", "..", "-a", "_a", ".a", "A", "a/b", "../a", "a\0", "a b", "a+b", "ä", &"a".repeat(64)];
        for name in tricks {
            assert_eq!(LogName::new(name), Err(LogNameError(name.to_owned())), "{name}");
        }
        let read = |text: &str| serde_json::from_str::<LogName>(text);
        assert!(read("\"../../etc/passwd\"").unwrap_err().to_string().contains("is not a log's name"));
        assert_eq!(serde_json::to_string(&read("\"main\"").unwrap()).unwrap(), "\"main\"");
    }

    #[test]
    fn an_origin_of_any_name_fits_keys_and_checkpoints() {
        let longest = format!("h/{}", "p".repeat(188));
        for prefix in ["localhost/logs", "log.example:8080/a/b", &longest] {
            let origin = OriginPrefix::new(prefix).unwrap().origin(&LogName::new("a".repeat(63)).unwrap());
            assert!(KeyName::new(origin.clone()).is_ok() && Origin::new(origin).is_ok(), "{prefix}");
        }
        let longer = format!("{longest}p");
        for prefix in ["", "host", "host/", "/logs", "https://host/logs", "a b/logs", "a+b/logs", &longer] {
            assert_eq!(OriginPrefix::new(prefix), Err(OriginPrefixError(prefix.to_owned())), "{prefix}");
        }
    }
}
