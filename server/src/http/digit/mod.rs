//! `/audit-service/log/v1`: the three routes of eGov DIGIT's audit service, on records.
//!
//! As that service does: every error is HTTP 400 with `ResponseInfo` and `Errors`, and the credential may stand in the
//! body (`RequestInfo.authToken`), where `Authorization` does not name one. What its rows become is in
//! `cairn_tree::wire::record::digit`. Where that service throws or loses rows, this one does not.

pub(super) mod create;
mod envelope;
mod json;
mod row;
pub(super) mod search;
pub(super) mod verify;

pub(crate) use create::create;
pub(crate) use search::search;
pub(crate) use verify::verify;

use bytes::Bytes;
use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::wire::v1::IntegrityHash;
use hyper::body::Incoming;

use super::Ask;
use super::body::{self, Bound};
use super::problem::{Kind, Problem};
use super::v1::signer;
use crate::auth::{Caller, Right};
use crate::engine::{Head, Log};
use crate::limits::DIGIT_BODY_BYTES;

/// A record's `integrityHash`: `keySetId::keyId::algoVersion::hash`.
fn integrity_hash(log: &Log, under: &Head, leaf_hash: Hash) -> Result<String, Problem> {
    let key_id = signer(log, under)?;
    let log = Origin::new(&*log.info().origin).map_err(Problem::internal)?;
    Ok(IntegrityHash { log, key_id, leaf_hash }.to_string())
}

/// Reads a body, of whatever type it says that it is.
async fn read(ask: &Ask<'_>, body: &mut Incoming) -> Result<Bytes, Problem> {
    let bound = Bound { field: "body", most: ask.app.limits.body_bytes().min(DIGIT_BODY_BYTES) };
    let read = body::read(body, &ask.parts.headers, bound, &ask.app.bodies, &ask.app.limits).await?;
    Ok(read.bytes)
}

/// Who asks: the token of the header, else the one of the body.
fn caller(ask: &Ask<'_>, auth_token: Option<&str>) -> Caller {
    match (ask.caller(), auth_token) {
        (Caller::Anonymous, Some(token)) => ask.app.tokens.caller(Some(format!("Bearer {token}").as_bytes())),
        (caller, _) => caller.clone(),
    }
}

/// Refuses a caller without the right.
fn require(caller: &Caller, right: Right) -> Result<(), Problem> {
    match caller {
        Caller::Known { rights, .. } if rights.contains(right) => Ok(()),
        Caller::Known { .. } => Err(Problem::new(Kind::Forbidden, "the token lacks the right to do this")),
        Caller::Anonymous | Caller::Unknown => {
            Err(Problem::new(Kind::Unauthorized, "send a token, as Authorization or as RequestInfo.authToken"))
        }
    }
}
