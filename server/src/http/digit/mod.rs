//! `/audit-service/log/v1`: the three routes of eGov DIGIT's audit service, on records, and one for its persister's messages.
//!
//! As that service does: every error is HTTP 400 with `ResponseInfo` and `Errors`, and the credential may stand in the
//! body (`RequestInfo.authToken`), where `Authorization` does not name one. What its rows become is in
//! `cairn_tree::wire::record::digit`. Where that service throws or loses rows, this one does not.

pub(super) mod capture;
mod captures;
pub(super) mod create;
mod envelope;
mod json;
mod names;
mod recording;
mod row;
pub(super) mod search;
pub(super) mod verify;

pub(crate) use capture::capture;
pub use captures::Captures;
pub(crate) use create::create;
pub(crate) use search::search;
pub(crate) use verify::verify;

use bytes::Bytes;
use cairn_listen::Answer;
use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::record::text::Name;
use cairn_tree::wire::record::digit::{CREATE_ERROR, VERIFICATION_ERROR};
use cairn_tree::wire::v1::IntegrityHash;
use hyper::body::Incoming;

use tracing::error;

use self::envelope::{Echo, failed};
use self::search::SEARCH_ERROR;
use super::Ask;
use super::body::{self, Bound};
use super::path::Route;
use super::problem::{Kind, Problem};
use super::v1::{Credential, signer};
use crate::auth::{Caller, Right};
use crate::engine::{Head, Log};
use crate::limits::DIGIT_BODY_BYTES;
use crate::records::Said;

/// A record's `integrityHash`: `keySetId::keyId::algoVersion::hash`.
fn integrity_hash(log: &Log, under: &Head, leaf_hash: Hash) -> Result<String, Problem> {
    let key_id = signer(log, under)?;
    let log = Origin::new(&*log.info().origin).map_err(Problem::internal)?;
    Ok(IntegrityHash { log, key_id, leaf_hash }.to_string())
}

/// Reads a body, of whatever type it says that it is.
async fn read(ask: &Ask<'_>, body: &mut Incoming) -> Result<Bytes, Problem> {
    let bound = Bound { field: "body", most: ask.app.limits.body_bytes().min(DIGIT_BODY_BYTES) };
    let read = body::read(body, &ask.parts.headers, bound, &ask.bodies(), &ask.app.limits).await?;
    Ok(read.bytes)
}

/// Who asks: the token of the header, else the one of the body, else the one that the listener stands for.
fn caller(ask: &Ask<'_>, auth_token: Option<&str>) -> Caller {
    match (ask.caller(), auth_token) {
        (Caller::Anonymous, Some(token)) => ask.app.tokens.caller(Some(format!("Bearer {token}").as_bytes())),
        (Caller::Anonymous, None) => ask.stand_in.map_or(Caller::Anonymous, |token| ask.app.tokens.of_id(token)),
        (caller, _) => caller.clone(),
    }
}

/// An error, with the code of the route. Here it ends: what is for the operator's eyes goes to the log.
fn refused(echo: &Echo, code: &str, problem: &Problem) -> Answer {
    if let Some(cause) = problem.cause() {
        error!(cause, "a request to DIGIT's routes failed");
    }
    failed(echo, code, problem)
}

/// Says a problem of these routes that came up before they were reached (a target that is too long, another method) as they
/// say theirs.
pub(super) fn enveloped(route: Route, problem: &Problem, answer: &mut Answer) {
    let code = match route {
        Route::DigitCapture | Route::DigitCreate => CREATE_ERROR,
        Route::DigitSearch => SEARCH_ERROR,
        Route::DigitVerify => VERIFICATION_ERROR,
        _ => return,
    };
    let (told, body) = failed(&Echo::default(), code, problem).into_parts();
    let headers = answer.headers_mut();
    // What is said of the connection and of another try stays.
    headers.extend(told.headers);
    *answer.status_mut() = told.status;
    *answer.body_mut() = body;
}

/// The tenant that the headers name, which all of the request must be about; one that the token is not good for is not there.
fn said_tenant(ask: &Ask<'_>, credential: &Credential<'_>) -> Result<Option<Name<'static>>, Problem> {
    let tenant = Said::tenant_of(&ask.parts.headers)?;
    if let Some(tenant) = &tenant {
        credential.admit(tenant.as_str())?;
    }
    Ok(tenant)
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
