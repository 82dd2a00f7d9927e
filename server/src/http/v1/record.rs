//! `GET /v1/records/{id}` and its receipt: one record, verified before it is sent.

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
        let (index, leaf, proof) = match found {
            Found::Record(verified) => {
                reading.shows(&verified);
                (verified.record().index(), verified.leaf().clone(), verified.into_proof())
            }
            Found::Later(later) => (later.later.index(), later.leaf, later.proof),
        };
        if form != media::JSON {
            let checkpoint = SignedCheckpoint::parse(&under.note).map_err(Problem::internal)?;
            return Ok((media::TEXT, Receipt::new(index, proof, checkpoint).to_string().into_bytes()));
        }
        let mut body = Object::with_capacity(ROOM);
        body.number("index", index.get()).hash("leaf_hash", &Hash::leaf(&leaf)).bytes("entry", &leaf);
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
    answer: impl Fn(&Reading, Found, &Head) -> Result<T, Problem> + Clone + Send + 'static,
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
    // An id is one record's in all of them: one that can't be searched hides it only if no other has it.
    let mut unsearched = None;
    for log in logs {
        let own = |(_, home): &(String, Home)| matches!(home, Home::Own(name) if *name == *log.info().name);
        let owner = ask.app.records.homes.list().into_iter().find(own).map(|(tenant, _)| tenant);
        let whose = Whose { asked: tenant.clone(), owner };
        let reading = Reading::of(ask, &credential, log, tenant.as_deref());
        let (tenant, answer) = (tenant.clone(), answer.clone());
        let read = move || {
            let reading = reading?;
            let Some(index) = reading.find(id)? else { return Ok(None) };
            let under = reading.under(index)?;
            let Some(stored) = reading.log.stored_records(&reading.head, &[index], 0)?.pop() else { return Ok(None) };
            let Some(verified) = reading.verified(stored.clone(), &under)? else {
                let later = reading.later_of(stored, &under, &whose)?.filter(|later| later.later.id() == id);
                return later.map(|later| answer(&reading, Found::Later(Box::new(later)), &under)).transpose();
            };
            let is_meant = tenant.is_none_or(|tenant| verified.is_of(|other| other == tenant));
            let is_it = verified.record().leaf().event().head().id == id;
            if is_meant && is_it {
                answer(&reading, Found::Record(Box::new(verified)), &under).map(Some)
            } else {
                Ok::<_, Problem>(None)
            }
        };
        match ask.read(read).await {
            Err(problem) if problem.kind() == Kind::Damaged => unsearched = unsearched.or(Some(problem)),
            found => {
                if let Some(found) = found? {
                    return Ok(found);
                }
            }
        }
    }
    Err(unsearched.unwrap_or_else(Problem::not_found))
}
