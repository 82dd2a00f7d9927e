//! Where witnesses are asked: the URL prefix of a policy line, and the witnesses that share it.
//!
//! One server may cosign with several keys, such as one of each type: it is asked once, and answers for all of them.

use core::fmt;
use std::sync::Arc;

use cairn_tree::checkpoint::{Origin, OriginHash};
use cairn_tree::policy::Octets;
use reqwest::Url;

use crate::engine::LogPolicy;

/// A witness's submission prefix (C2SP tlog-witness, "HTTP Interface").
///
/// Invariant: `http` or `https`, with a host, without user information, query and fragment; its path ends in `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(Url);

/// Why a witness can't be asked under a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// It is no URL.
    #[error("not a URL: {0}")]
    Syntax(String),
    /// It is not HTTP.
    #[error("the scheme must be http or https, not {0}")]
    Scheme(String),
    /// It has a part that a prefix does not have.
    #[error("a witness's URL has no {0}")]
    Part(&'static str),
}

impl Prefix {
    /// Reads the URL of a policy's witness line.
    ///
    /// # Errors
    /// [`PrefixError`] if no request can be sent there.
    pub fn parse(url: &Octets) -> Result<Self, PrefixError> {
        let text = url.to_str().ok_or_else(|| PrefixError::Syntax("not UTF-8".to_owned()))?;
        let mut url = Url::parse(text).map_err(|error| PrefixError::Syntax(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(PrefixError::Scheme(url.scheme().to_owned()));
        }
        let parts = [
            (!url.username().is_empty() || url.password().is_some(), "user name or password"),
            (url.query().is_some(), "query"),
            (url.fragment().is_some(), "fragment"),
        ];
        if let Some((_, part)) = parts.iter().find(|(there, _)| *there) {
            return Err(PrefixError::Part(part));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self(url))
    }

    /// Where checkpoints are submitted.
    pub(super) fn add_checkpoint(&self) -> Url {
        self.beneath("add-checkpoint")
    }

    /// Where the witness shows what it cosigned, if its monitoring prefix is its submission prefix (C2SP tlog-witness,
    /// "Monitor Retrieval Mechanism").
    pub(super) fn checkpoint_of(&self, origin: &Origin) -> Url {
        self.beneath(&OriginHash::of(origin).checkpoint_path())
    }

    /// `path` has no character that a URL would write otherwise.
    fn beneath(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", self.0.path()));
        url
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// One prefix and its witnesses.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) prefix: Prefix,
    /// The names of its witnesses, for people.
    pub(super) name: String,
    /// Where its witnesses stand in the policy. Never empty.
    pub(super) witnesses: Vec<usize>,
}

impl Endpoint {
    /// Where a policy's witnesses are asked, in its order. Those without a URL are not.
    pub(super) fn of(policy: &LogPolicy) -> Vec<Arc<Self>> {
        let mut endpoints: Vec<Self> = Vec::new();
        for (number, witness) in policy.policy().witnesses().iter().enumerate() {
            // A policy in force was found to suit.
            let Some(prefix) = witness.url().and_then(|url| Prefix::parse(url).ok()) else { continue };
            match endpoints.iter_mut().find(|known| known.prefix == prefix) {
                Some(known) => {
                    known.name = format!("{}+{}", known.name, witness.name());
                    known.witnesses.push(number);
                }
                None => endpoints.push(Self { prefix, name: witness.name().to_string(), witnesses: vec![number] }),
            }
        }
        endpoints.into_iter().map(Arc::new).collect()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_where_the_specification_puts_its_resources() {
        let key = cairn_tree::note::SignerKey::from_seed(
            cairn_tree::note::KeyName::new("w.example/1").unwrap(),
            cairn_tree::note::SignatureType::COSIGNATURE_ED25519,
            &[1; 32],
        );
        let file = |url: &str| format!("witness w {} {url}\nquorum none\n", key.as_ref().unwrap().verifier_key());
        let parse = |url: &str| {
            let policy = LogPolicy::parse(file(url).as_bytes(), false).unwrap();
            Prefix::parse(policy.policy().witnesses()[0].url().unwrap())
        };
        for url in ["https://w.example/a", "https://w.example/a/"] {
            let prefix = parse(url).unwrap();
            assert_eq!(prefix.add_checkpoint().as_str(), "https://w.example/a/add-checkpoint");
            let shown =
                "https://w.example/a/b2d3e0cf2e483fbc179ff15f4e95ebef4f0ad5565d228215674c9ee83f0faf1d/checkpoint";
            assert_eq!(prefix.checkpoint_of(&Origin::new("log.example/a").unwrap()).as_str(), shown);
            assert_eq!(prefix.to_string(), "https://w.example/a");
        }
        assert_eq!(parse("ftp://w.example"), Err(PrefixError::Scheme("ftp".into())));
        assert_eq!(parse("http://u@w.example"), Err(PrefixError::Part("user name or password")));
        assert_eq!(parse("http://w.example?a"), Err(PrefixError::Part("query")));
        assert!(matches!(parse("w.example/a"), Err(PrefixError::Syntax(_))));
    }
}
