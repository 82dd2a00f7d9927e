//! `GET head` and `GET checkpoint`: the newest signed head (C2SP tlog-checkpoint, tlog-tiles "Checkpoints").
//!
//! Without a witness policy both are the same; with one, the checkpoint carries its witnesses' cosignatures. A head is named by a hash of its text, so that a poll costs 304 while
//! nothing happens.

use cairn_listen::{Answer, Payload};
use cairn_tree::hash::Hash;
use cairn_tree::wire::media;
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, StatusCode};

use super::Ask;
use super::problem::{Problem, unpublished};
use super::reading::{Lasting, answer};
use crate::engine::{Head, Log};

/// Characters of the hash that name a head; collisions of honest heads don't happen, and others gain nothing by one.
const TAG_DIGITS: usize = 32;

/// The newest head that the log signed.
#[utoipa::path(
    get, path = "/logs/{log}/head", tag = "Heads", params(("log" = String, Path, description = "The log's name")),
    responses(
        (status = 200, description = "The newest signed head, a C2SP checkpoint", body = String, content_type = "text/plain"),
        (status = 304, description = "It is still the head that If-None-Match names"),
        (status = 404, description = "No such log", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) fn head(ask: &Ask<'_>) -> Result<Answer, Problem> {
    let log = ask.log()?;
    let head = log.head();
    Ok(signed(ask, &log, &head))
}

/// The answer that shows a head, or says that it is the one that is known.
fn signed(ask: &Ask<'_>, log: &Log, head: &Head) -> Answer {
    let text = Hash::leaf(&head.note).to_string();
    let tag = format!("\"{}\"", text.get(..TAG_DIGITS).unwrap_or_default());
    let known = ask.text(&IF_NONE_MATCH).is_some_and(|tags| matches(tags, &tag));
    let mut answer = answer(log, Lasting::Head, media::TEXT, head.note.clone());
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.headers_mut().insert(ETAG, tag);
    }
    if known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer.headers_mut().remove(CONTENT_TYPE);
        *answer.body_mut() = Payload::empty();
    }
    answer
}

/// The newest head that met the witness policy.
#[utoipa::path(
    get, path = "/logs/{log}/checkpoint", tag = "Heads", params(("log" = String, Path, description = "The log's name")),
    responses(
        (status = 200, description = "The newest checkpoint that met the witness policy; without a policy, the head", body = String, content_type = "text/plain"),
        (status = 304, description = "It is still the checkpoint that If-None-Match names"),
        (status = 404, description = "No such log", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "A repair lost it, and none is published yet", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) fn checkpoint(ask: &Ask<'_>) -> Result<Answer, Problem> {
    let log = ask.log()?;
    let checkpoint = log.checkpoint().ok_or_else(|| unpublished(&log))?;
    Ok(signed(ask, &log, &checkpoint))
}

/// Weak comparison with a list of tags (RFC 9110, section 13.1.2).
fn matches(tags: &str, tag: &str) -> bool {
    tags.trim() == "*" || tags.split(',').map(str::trim).any(|known| known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly_within_a_list() {
        assert!(matches("\"a\", W/\"b\"", "\"b\"") && matches("*", "\"b\"") && matches("\"b\"", "\"b\""));
        assert!(!matches("\"bb\"", "\"b\"") && !matches("", "\"b\""));
    }
}
