//! The address of one log, and of the resources beneath it.

use core::fmt;

use reqwest::Url;

/// The address under which one log's resources stand, such as `http://127.0.0.1:6962/logs/main`.
///
/// Invariant: `http` or `https`, with a host, without user information, query and fragment, and its path ends in `/`.
#[derive(Clone, PartialEq, Eq)]
pub struct LogUrl(Url);

/// A log's name on its server, which is the end of its address and of its origin.
///
/// Invariant: 1 to 63 bytes `a-z`, `0-9`, `.`, `_` and `-`, the first of which is a letter or a digit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogName(String);

impl LogName {
    /// The name of the log of an origin, or the name itself; `None` if no log of a server is called so.
    #[must_use]
    pub fn of(origin: &str) -> Option<Self> {
        let name = origin.rsplit_once('/').map_or(origin, |(_, name)| name);
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
        let begins = name.bytes().next().is_some_and(|first| first.is_ascii_lowercase() || first.is_ascii_digit());
        (begins && name.len() <= 63 && name.bytes().all(fits)).then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not the address of a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogUrlError {
    /// It is no URL at all.
    #[error("not a URL: {0}")]
    Syntax(String),
    /// Another scheme than HTTP.
    #[error("the scheme must be http or https, not {0}")]
    Scheme(String),
    /// A part that a log's address cannot have.
    #[error("a log's URL has no {0}")]
    Part(&'static str),
}

impl LogUrl {
    /// Reads an address; a trailing slash makes no difference.
    ///
    /// # Errors
    /// [`LogUrlError`] for what no log can stand under.
    pub fn parse(text: &str) -> Result<Self, LogUrlError> {
        let mut url = Url::parse(text).map_err(|error| LogUrlError::Syntax(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(LogUrlError::Scheme(url.scheme().to_owned()));
        }
        // A token belongs into a header: user information would end up in messages and other people's logs.
        if !url.username().is_empty() || url.password().is_some() {
            return Err(LogUrlError::Part("user name or password"));
        }
        if url.query().is_some() {
            return Err(LogUrlError::Part("query"));
        }
        if url.fragment().is_some() {
            return Err(LogUrlError::Part("fragment"));
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self(url))
    }

    /// The address of the resource `path` (relative, made of numbers and fixed words only) with its query.
    pub(crate) fn resource(&self, path: &str, query: &[(&str, String)]) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", self.0.path()));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query.iter().map(|(name, value)| (*name, value.as_str())));
        }
        url
    }

    /// The address of the server that has the log: without `logs/NAME`, if it ends so.
    #[must_use]
    pub fn server(&self) -> Self {
        let path = self.0.path().trim_end_matches('/');
        let root = path.rsplit_once('/').and_then(|(folder, _)| folder.strip_suffix("/logs"));
        let mut url = self.0.clone();
        if let Some(root) = root {
            url.set_path(&format!("{root}/"));
        }
        Self(url)
    }

    /// The address of another log of the same server. The name is a log's: of letters, digits, `.`, `_` and `-` alone.
    #[must_use]
    pub fn of_log(&self, name: &LogName) -> Self {
        Self(self.server().resource(&format!("logs/{}/", name.as_str()), &[]))
    }

    /// The log's name, if the address ends in `logs/NAME`.
    #[must_use]
    pub fn log_name(&self) -> Option<&str> {
        let (folder, name) = self.0.path().trim_end_matches('/').rsplit_once('/')?;
        folder.ends_with("/logs").then_some(name)
    }

    /// The whole address, ending in `/`.
    pub(crate) fn as_url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for LogUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for LogUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailing_slash_makes_no_difference() {
        let url = LogUrl::parse("http://127.0.0.1:6962/logs/main").unwrap();
        assert_eq!(url, LogUrl::parse("http://127.0.0.1:6962/logs/main/").unwrap());
        assert_eq!(url.to_string(), "http://127.0.0.1:6962/logs/main");
        assert_eq!(url.resource("tile/0/x001/000", &[]).as_str(), "http://127.0.0.1:6962/logs/main/tile/0/x001/000");
        let query = url.resource("proof/inclusion", &[("leaf_hash", "a+b/=".to_owned())]);
        assert_eq!(query.query(), Some("leaf_hash=a%2Bb%2F%3D"));
    }

    #[test]
    fn the_server_is_where_its_logs_are() {
        for (log, server) in [
            ("http://host:1/logs/main", "http://host:1/"),
            ("http://host/behind/logs/main/", "http://host/behind/"),
            ("http://host/", "http://host/"),
            ("http://host/logs", "http://host/logs/"),
            ("http://host/blogs/main", "http://host/blogs/main/"),
        ] {
            assert_eq!(LogUrl::parse(log).unwrap().server().as_url().as_str(), server, "{log}");
        }
    }

    #[test]
    fn other_logs_of_the_server_stand_beside_the_log() {
        for (log, name, other) in [
            ("http://host:1/logs/main", Some("main"), "http://host:1/logs/pb.x"),
            ("http://host/behind/logs/main/", Some("main"), "http://host/behind/logs/pb.x"),
            ("http://host/", None, "http://host/logs/pb.x"),
        ] {
            let url = LogUrl::parse(log).unwrap();
            assert_eq!(url.log_name(), name);
            assert_eq!(url.of_log(&LogName::of("h/logs/pb.x").unwrap()).to_string(), other);
        }
        for name in ["", ".", "..", "h/logs/", "h/logs/..", "A", "a b", "a%2f", "ä", &"a".repeat(64)] {
            assert_eq!(LogName::of(name), None, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_a_log_is_refused_with_the_part_at_fault() {
        for (text, error) in [
            ("ftp://host/logs/main", LogUrlError::Scheme("ftp".to_owned())),
            ("http://user@host/logs/main", LogUrlError::Part("user name or password")),
            ("http://host/logs/main?x=1", LogUrlError::Part("query")),
            ("http://host/logs/main#x", LogUrlError::Part("fragment")),
        ] {
            assert_eq!(LogUrl::parse(text), Err(error), "{text}");
        }
        assert!(matches!(LogUrl::parse("logs/main"), Err(LogUrlError::Syntax(_))));
    }
}
