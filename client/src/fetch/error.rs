//! Why a resource could not be had. Who is at fault stands in the variant; nothing here says that a log lied.

use core::fmt;
use std::time::Duration;

use cairn_tree::wire::problem as wire;

use super::words::shown;

/// Why a resource could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The client itself could not be set up.
    #[error("the HTTP client could not be set up: {0}")]
    SetUp(String),
    /// There was no answer: no connection, or one that broke.
    #[error("{url}: {cause}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What the network said.
        cause: String,
    },
    /// There was no whole answer in time.
    #[error("{url}: no whole answer within {} s", after.as_secs_f64())]
    TimedOut {
        /// What was asked for.
        url: String,
        /// The time that was given.
        after: Duration,
    },
    /// The answer is longer than anything that may stand there.
    #[error("{url}: the answer is longer than {bound} bytes")]
    TooLong {
        /// What was asked for.
        url: String,
        /// The bound of that resource.
        bound: usize,
    },
    /// The server answered with another status than success.
    #[error("{url}: {status}{problem}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
        /// What the server said about it.
        problem: Problem,
    },
    /// The answer is not of the form that belongs there.
    #[error("{url}: {fault}")]
    Malformed {
        /// What was asked for.
        url: String,
        /// What is wrong with the answer.
        fault: String,
    },
}

impl FetchError {
    /// Whether the server said that there is no such resource.
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Status { status: 404 | 410, .. })
    }

    /// Whether the same request may succeed a little later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => true,
            // What is stored there will be no other a moment later.
            Self::Status { problem: Problem { kind: Some(wire::ProblemKind::Integrity), .. }, .. } => false,
            Self::Status { status, .. } => matches!(*status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            Self::SetUp(_) | Self::TooLong { .. } | Self::Malformed { .. } => false,
        }
    }
}

/// What a server said about an error (RFC 9457), made fit to be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problem {
    /// The kind, if it is one of Cairn's own.
    pub kind: Option<wire::ProblemKind>,
    /// The title and the detail, or the first line of another body.
    pub words: String,
    /// The parameter or header that is wrong.
    pub field: Option<String>,
    /// The place in the body that is wrong, as a JSON Pointer.
    pub pointer: Option<String>,
}

impl Problem {
    /// Reads an error's body, whatever it is.
    pub(crate) fn read(body: &[u8]) -> Self {
        let Ok(problem) = serde_json::from_slice::<wire::Problem>(body) else {
            let text = String::from_utf8_lossy(body);
            let words = shown(text.lines().next().unwrap_or_default().trim());
            return Self { words, ..Self::default() };
        };
        let words: Vec<&str> =
            [&*problem.title, &problem.detail].into_iter().filter(|words| !words.is_empty()).collect();
        let words = shown(&words.join(": "));
        let field = problem.field.as_deref().map(ToOwned::to_owned);
        Self { kind: problem.kind(), words, field, pointer: problem.pointer }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.words.is_empty() { Ok(()) } else { write!(f, " ({})", self.words) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_read_from_json_and_from_anything_else() {
        let body =
            br#"{"type":"urn:cairn:problem:too-large","title":"Too large","status":413,"detail":"70000 > 65535"}"#;
        let problem = Problem::read(body);
        assert_eq!(problem.kind, Some(wire::ProblemKind::TooLarge));
        assert_eq!(problem.to_string(), " (Too large: 70000 > 65535)");
        assert_eq!(Problem::read(b"Bad Gateway\r\nmore").to_string(), " (Bad Gateway)");
        assert_eq!(Problem::read(b"").to_string(), "");
        assert_eq!(Problem::read(b"\xff\x1b[31m").to_string(), " (\u{fffd}\u{fffd}[31m)");
    }
}
