//! What an answer means for a batch: refused for good, or to be tried again, and whether that is a matter of this batch or
//! of the whole server.
//!
//! Only the log itself refuses for good: with a problem document of its own that says something about the body. A proxy on
//! the way, whatever its status, speaks for nobody. What a credential may not do is no matter of the batch: an operator
//! mends it (401, 403, and 404, which is what a tenant is answered with that the token is not good for).

use std::time::Duration;

use cairn_tree::wire::problem::ProblemKind;

use super::bounds;
use crate::fetch::{FetchError, Problem};

/// What is to be done with a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The log will never take it as it is.
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the log says.
        words: String,
    },
    /// Try it again.
    Again {
        /// Whether others would fare no better now.
        concerns_all: bool,
        /// The wait that the server asks for.
        after: Option<Duration>,
        /// Why.
        words: String,
    },
}

/// What a failed attempt means.
pub(super) fn judge(error: &FetchError, after: Option<Duration>) -> Verdict {
    let again = |concerns_all| Verdict::Again { concerns_all, after, words: error.to_string() };
    match error {
        FetchError::SetUp(_) | FetchError::Unreachable { .. } | FetchError::TimedOut { .. } => again(true),
        // Of this batch, there is an answer: the next one may be sound.
        FetchError::TooLong { .. } | FetchError::Malformed { .. } => again(false),
        FetchError::Status { status, problem, .. } => match status {
            401 | 408 | 425 | 429 | 502..=504 | 507 => again(true),
            400..=499 if is_final(problem) => {
                let words = problem.words.chars().take(bounds::ANSWER_CHARS).collect();
                Verdict::Refused { status: *status, words }
            }
            // 403 and 404 are of one tenant; 500 may be of one record.
            _ => again(false),
        },
    }
}

/// Whether the log says something of the body that no time and no credential will change.
fn is_final(problem: &Problem) -> bool {
    let of_time = problem.pointer.as_deref().is_some_and(|pointer| pointer.ends_with("/time"));
    match problem.kind {
        // A time too far ahead is so no longer, once it has come. Headers that say something of records are not ours:
        // somebody on the way has added them.
        Some(ProblemKind::InvalidRecord) => !of_time && problem.field.is_none(),
        // Of the credential, of the way here, of the moment, or of nobody that we know.
        None
        | Some(
            ProblemKind::Unauthorized
            | ProblemKind::Forbidden
            | ProblemKind::NotFound
            | ProblemKind::Contradiction
            | ProblemKind::MethodNotAllowed
            | ProblemKind::NotAcceptable
            | ProblemKind::Timeout
            | ProblemKind::TargetTooLong
            | ProblemKind::RateLimited
            | ProblemKind::HeadersTooLarge,
        ) => false,
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, kind: Option<ProblemKind>, pointer: Option<&str>) -> Verdict {
        let problem = Problem { kind, words: "words".into(), field: None, pointer: pointer.map(Into::into) };
        judge(&FetchError::Status { url: "u".into(), status, problem }, None)
    }

    fn again(verdict: &Verdict) -> Option<bool> {
        if let Verdict::Again { concerns_all, .. } = verdict { Some(*concerns_all) } else { None }
    }

    #[test]
    fn only_what_the_log_says_of_the_body_is_final() {
        use ProblemKind::{
            Contradiction, Forbidden, InvalidRecord, NotFound, RecordExists, Sealed, StreamConflict, TooLarge,
        };
        for (status, kind) in
            [(409, StreamConflict), (409, RecordExists), (413, TooLarge), (422, InvalidRecord), (410, Sealed)]
        {
            let refused = Verdict::Refused { status, words: "words".into() };
            assert_eq!(answer(status, Some(kind), Some("/object/id")), refused);
            // The same status of somebody else says nothing.
            assert_eq!(again(&answer(status, None, None)), Some(false), "{status}");
        }
        assert_eq!(again(&answer(422, Some(InvalidRecord), Some("/3/event/time"))), Some(false));
        for (status, kind) in [(403, Forbidden), (404, NotFound), (400, Contradiction)] {
            assert_eq!(again(&answer(status, Some(kind), None)), Some(false));
        }
        // What a proxy adds is no fault of the record.
        let problem = Problem {
            kind: Some(InvalidRecord),
            words: "words".into(),
            field: Some("traceparent".into()),
            pointer: Some("/event/context".into()),
        };
        assert_eq!(again(&judge(&FetchError::Status { url: "u".into(), status: 422, problem }, None)), Some(false));
        for status in [401, 408, 425, 429, 502, 503, 504, 507] {
            assert_eq!(again(&answer(status, None, None)), Some(true), "{status}");
        }
        assert_eq!(again(&answer(500, None, None)), Some(false));
        assert_eq!(again(&answer(301, None, None)), Some(false));
    }
}
