//! `GET /v1/records/{id}` and its receipt: one record, verified before it is sent.

use std::collections::HashMap;

use cairn_listen::Answer;
use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::hash::Hash;
use cairn_tree::receipt::Receipt;
use cairn_tree::record::id::RecordId;
use cairn_tree::wire::media;
use cairn_tree::wire::v1::RecordAnswer;

use super::super::Ask;
use super::super::accept::media_type;
use super::super::json::Object;
use super::super::problem::{Kind, Problem};
use super::super::query::Query;
use super::super::reading::{fresh, varying};
use super::bodies::{Redacting, checkpoint, private};
use super::later::Whose;
use super::reading::{Reading, tenant};
use super::{PROOF, TENANT};
use crate::auth::Right;
use crate::engine::Head;
use crate::records::{Home, Verified, VerifiedLater};

/// Room for a proof of a large tree and a checkpoint.
const ROOM: usize = 8_192;

/// One record.
#[utoipa::path(
    get, path = "/v1/records/{id}", operation_id = "record", tag = "Records", security(("token" = [])),
    params(
        ("id" = String, Path, description = "The record's id, a UUID"),
        ("tenant" = Option<String>, Query, description = "Whose record it is; also as the header X-Tenant-Id"),
        ("proof" = Option<u8>, Query, description = "0: without the inclusion proof"),
        ("x-tenant-id" = Option<String>, Header, description = "Whose record it is"),
    ),
    responses(
        (status = 200, description = "The record, verified, as far as the token may see it; with its leaf, its disclosures and its proof, which verify offline", body = crate::http::docs::RecordAnswer, content_type = "application/json"),
        (status = 400, description = "Not an id", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No good token", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the right to read", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such record, or none of a tenant that the token is good for", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 406, description = "No representation that Accept allows", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "What is stored can't be verified, and is not given out", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn one(ask: &Ask<'_>) -> Result<Answer, Problem> {
    ask.credential(Right::Read)?;
    let (query, id) = (Query::parse(ask.parts.uri.query(), &[TENANT, PROOF])?, ask.target.item);
    let proof = query.flag_or(PROOF, true)?;
    media_type(&ask.parts.headers, &[media::JSON])?;
    let body = found(ask, &query, id, move |reading, found, under| {
        let mut redacting = Redacting::default();
        let record = match found {
            Found::Record(verified) => {
                let seen = reading.seen(*verified)?;
                redacting.add(&seen);
                reading.body(&seen, under, proof)?
            }
            Found::Later(later) => reading.later_body(&later, under, proof)?,
        };
        let redactions = redacting.bodies(reading, under)?;
        Ok(RecordAnswer { record, redactions, checkpoint: checkpoint(under)? }.to_json())
    });
    Ok(private(body.await?))
}

/// A record's receipt.
#[utoipa::path(
    get, path = "/v1/records/{id}/receipt", operation_id = "record_receipt", tag = "Records", security(("token" = [])),
    params(
        ("id" = String, Path, description = "The record's id, a UUID"),
        ("tenant" = Option<String>, Query, description = "Whose record it is; also as the header X-Tenant-Id"),
        ("x-tenant-id" = Option<String>, Header, description = "Whose record it is"),
    ),
    responses(
        (status = 200, description = "That the record's leaf is in the log: as JSON, or the C2SP tlog-proof for Accept: text/plain",
            content((crate::http::docs::EntryAnswer = "application/json"), (String = "text/plain"))),
        (status = 400, description = "Not an id", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No good token", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the right to read", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such record, or none of a tenant that the token is good for", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 406, description = "No representation that Accept allows", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "What is stored can't be verified, and is not given out", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn receipt(ask: &Ask<'_>) -> Result<Answer, Problem> {
    ask.credential(Right::Read)?;
    let id = ask.target.item;
    let query = Query::parse(ask.parts.uri.query(), &[TENANT])?;
    let form = media_type(&ask.parts.headers, &[media::JSON, "text/plain"])?;
    let answer = found(ask, &query, id, move |reading, found, under| {
        let (index, leaf) = match found {
            Found::Record(verified) => {
                reading.shows(&verified);
                (verified.record().index(), verified.leaf().clone())
            }
            Found::Later(later) => (later.later.index(), later.leaf),
        };
        let hash = Hash::leaf(&leaf);
        let proof = reading.proof(index, &hash, under)?;
        if form != media::JSON {
            let checkpoint = SignedCheckpoint::parse(&under.note).map_err(Problem::internal)?;
            return Ok((media::TEXT, Receipt::new(index, proof, checkpoint).to_string().into_bytes()));
        }
        let mut body = Object::with_capacity(ROOM);
        body.number("index", index.get()).hash("leaf_hash", &hash).bytes("entry", &leaf);
        body.hashes("proof", proof.hashes()).text("checkpoint", &under.note);
        Ok((media::JSON, body.finish()))
    });
    let (media_type, body) = answer.await?;
    Ok(varying(fresh(media_type, body), "accept"))
}

/// The record that was asked for.
enum Found {
    /// One that was opened.
    Record(Box<Verified>),
    /// One of a later version.
    Later(Box<VerifiedLater>),
}

/// Looks for a record where the token's tenants are at home, verifies it, and does something with it.
async fn found<T: Send + 'static>(
    ask: &Ask<'_>,
    query: &Query<'_>,
    id: &str,
    answer: impl Fn(&Reading, Found, &Head) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let credential = ask.credential(Right::Read)?;
    let tenant = tenant(ask, &credential, query)?;
    let id: RecordId = id
        .parse()
        .map_err(|error| Problem::malformed("id", id, error).bound("a UUID of version 7 or 4, in lower case"))?;
    let logs = match &tenant {
        Some(tenant) => ask.app.records.homes.each_of(&ask.app.engine, tenant),
        None => ask.app.records.homes.each_of_any(&ask.app.engine, credential.tenants),
    };
    let owners = ask.app.records.homes.list().into_iter().filter_map(|(tenant, home)| match home {
        Home::Own(log) => Some((log, tenant)),
        Home::Moving(_) => None,
    });
    let owners: HashMap<String, String> = owners.collect();
    // An id is one record's in all of them: one that can't be searched hides it only if no other has it.
    let mut unsearched = None;
    let mut any = None;
    for log in &logs {
        match Reading::of(ask, &credential, log.clone(), tenant.as_deref()) {
            Err(problem) if problem.kind() == Kind::Damaged => unsearched = unsearched.or(Some(problem)),
            reading => {
                any = Some(reading?);
                break;
            }
        }
    }
    let Some(any) = any else { return Err(unsearched.unwrap_or_else(Problem::not_found)) };
    // However many logs: each by itself would wait for its turn.
    let read = move || {
        for log in logs {
            let owner = owners.get(&*log.info().name).cloned();
            let whose = Whose { asked: tenant.clone(), owner };
            match any.in_log(log).and_then(|reading| found_in(&reading, id, &whose, &answer)) {
                Ok(None) => {}
                Ok(Some(found)) => return Ok(found),
                Err(problem) if problem.kind() == Kind::Damaged => unsearched = unsearched.or(Some(problem)),
                Err(problem) => return Err(problem),
            }
        }
        Err(unsearched.unwrap_or_else(Problem::not_found))
    };
    ask.read(read).await
}

/// The same in one of the logs.
fn found_in<T>(
    reading: &Reading,
    id: RecordId,
    whose: &Whose,
    answer: &impl Fn(&Reading, Found, &Head) -> Result<T, Problem>,
) -> Result<Option<T>, Problem> {
    let Some(index) = reading.find(id)? else { return reading.is_absent().map(|()| None) };
    let under = reading.under(index)?;
    let Some(stored) = reading.log.stored_records(&reading.head, &[index], 0)?.pop() else { return Ok(None) };
    let Some(verified) = reading.verified(stored.clone(), &under)? else {
        let later = reading.later_of(stored, &under, whose)?.filter(|later| later.later.id() == id);
        return later.map(|later| answer(reading, Found::Later(Box::new(later)), &under)).transpose();
    };
    let is_meant = whose.asked.as_ref().is_none_or(|tenant| verified.is_of(|other| other == tenant));
    let is_it = verified.record().leaf().event().head().id == id;
    if is_meant && is_it { answer(reading, Found::Record(Box::new(verified)), &under).map(Some) } else { Ok(None) }
}
