//! Reading a request's body: the accept loop's bounded reading, with this server's limits and words.

use cairn_listen::{BodyError, Budget, ReadBody};
use http::HeaderMap;
use hyper::body::Incoming;

use super::problem::{Kind, Problem};
use crate::limits::Limits;

/// What is wrong with a body that is larger than `most`.
pub(crate) struct Bound {
    /// What the body is called in the problem.
    pub(crate) field: &'static str,
    pub(crate) most: usize,
}

/// Reads a body of at most `bound.most` bytes.
pub(crate) async fn read(
    body: &mut Incoming,
    headers: &HeaderMap,
    bound: Bound,
    budget: &Budget,
    limits: &Limits,
) -> Result<ReadBody, Problem> {
    let read = cairn_listen::read(body, headers, bound.most, budget, limits.bodies()).await;
    read.map_err(|error| problem(error, &bound, limits))
}

fn problem(error: BodyError, bound: &Bound, limits: &Limits) -> Problem {
    match error {
        BodyError::Encoded(value) => {
            let detail = "content-encoding: request bodies are not decompressed; send the bytes as they are";
            Problem::new(Kind::UnsupportedType, detail).field("content-encoding").value(value).bound("identity")
        }
        BodyError::TooLarge { found, most } => {
            let found = found.map_or_else(|| format!("more than {most}"), |found| found.to_string());
            Problem::too_large(bound.field, found, most, "bytes")
        }
        BodyError::NoRoom => Problem::busy(error.to_string()),
        BodyError::Cut => Problem::new(Kind::Malformed, format!("body: {error}")),
        BodyError::Late { received } => {
            let (seconds, rate) = (limits.bodies().time.as_secs(), limits.body_bytes_per_second());
            Problem::new(Kind::Timeout, format!("body: {error}"))
                .field("body")
                .value(received.to_string())
                .bound(format!("{seconds} s, and {rate} bytes per second"))
                .closing()
        }
    }
}
