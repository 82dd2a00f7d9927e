//! `GET /v1/records`: the records of a tenant that have all of some properties, newest first.
//!
//! The order is that of the log, from the newest record to the oldest, and does not change: what comes while somebody pages
//! stands before the first page. `complete_to` says up to which size of the log the pages together are complete, and `except` which records they may miss.

use cairn_listen::Answer;
use cairn_tree::wire::media;
use cairn_tree::wire::v1::{Listed, Page};

use super::super::Ask;
use super::super::accept::media_type;
use super::super::problem::Problem;
use super::super::query::Query;
use super::bodies::{checkpoint, private_pieces};
use super::place::Place;
use super::reading::{Reading, tenant};
use super::wanted::{self, PageOf, Wanted};
use super::{CURSOR, LIMIT, LOG, PROOF, TENANT};
use crate::auth::Right;
use crate::engine::Head;
use crate::engine::records::Completeness;
use crate::limits::{LIST_RECORDS, LIST_RECORDS_MOST};
use crate::records::{Secret, Seen};

/// Records by what they say.
#[utoipa::path(
    get, path = "/v1/records", operation_id = "list_records", tag = "Records", security(("token" = [])),
    params(
        crate::http::docs::Wanted,
        ("limit" = Option<u64>, Query, description = "The most records of a page, 1 to 500; 50 if absent"),
        ("cursor" = Option<String>, Query, description = "Where the page before ended; for the same query only"),
        ("proof" = Option<u8>, Query, description = "1: with the inclusion proof of each record"),
        ("x-tenant-id" = Option<String>, Header, description = "Whose records"),
    ),
    responses(
        (status = 200, description = "A page of records, newest first, each verified; a page may be short or empty and still have a next", body = crate::http::docs::RecordsAnswer, content_type = "application/json"),
        (status = 400, description = "Not such a query", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No good token", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the right to read", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The token is not good for this tenant", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 406, description = "No representation that Accept allows", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "What is stored can't be verified, and is not given out", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(ask: &Ask<'_>) -> Result<Answer, Problem> {
    let credential = ask.credential(Right::Read)?;
    let query = Query::parse(ask.parts.uri.query(), &wanted::names([TENANT, LOG, LIMIT, CURSOR, PROOF]))?;
    media_type(&ask.parts.headers, &[media::JSON])?;
    let tenant = tenant(ask, &credential, &query)?.ok_or_else(wanted::no_tenant)?;
    let proof = query.flag(PROOF)?;
    let most = limit(&query)?;
    let wanted = Wanted::of(&query, tenant)?;
    let log = ask.app.records.homes.named_or_of(&ask.app.engine, &wanted.tenant, query.get(LOG));
    let log = log.ok_or_else(Problem::not_found)?;
    let secret = ask.app.records.secret.of_log(&log.info().origin);
    let reading = Reading::of(ask, &credential, log, Some(&wanted.tenant))?;
    if wanted.is_of_reads() {
        ask.trail(credential.id)?.asks_for_reads();
    }
    let begin = match query.get(CURSOR) {
        None => None,
        Some(text) => {
            let place = Place::parse(text, &secret, &wanted.parts())
                .filter(|cursor| cursor.size <= reading.head.size && cursor.below <= cursor.size);
            let wrong = || Problem::malformed(CURSOR, text, "not the cursor of a page of this query").bound("`next`");
            Some(place.ok_or_else(wrong)?)
        }
    };
    let page = move || page(&reading, &secret, &wanted, begin, most, proof);
    Ok(private_pieces(ask.read_large(page).await?))
}

pub(super) fn limit(query: &Query<'_>) -> Result<usize, Problem> {
    let Some(text) = query.get(LIMIT) else { return Ok(LIST_RECORDS) };
    let number = text.parse().ok().filter(|number| (1..=LIST_RECORDS_MOST).contains(number));
    let canonical = number.filter(|number| number.to_string() == text);
    canonical.ok_or_else(|| {
        Problem::malformed(LIMIT, text, "not a number of records that a page may have")
            .bound(format!("1 to {LIST_RECORDS_MOST}"))
    })
}

/// A page, and where the next one begins.
fn page(
    reading: &Reading,
    secret: &Secret,
    wanted: &Wanted,
    begin: Option<Place>,
    most: usize,
    proof: bool,
) -> Result<Vec<Vec<u8>>, Problem> {
    let Completeness { to, mut except } = reading.completeness(&wanted.tenant)?;
    let begin = match begin {
        Some(begin) => begin,
        None => {
            let size = reading.searched_to()?;
            Place { size, below: wanted.beginning(reading, size)? }
        }
    };
    // Each is written on the core that verified it.
    let body = |seen: &Seen, under: &Head| Ok(Listed::Record(Box::new(reading.body(seen, under, proof)?)).to_json());
    let PageOf { met, redacting, under, next } = wanted.page(reading, (begin.below, most), body)?;
    let unverified = |problem| Listed::Unverified(problem).to_json();
    let written: Vec<Vec<u8>> = met.into_iter().map(|one| one.unwrap_or_else(unverified)).collect();
    let next = next.map(|below| Place { size: begin.size, below }.to_text(secret, &wanted.parts()));
    let next = next.map(|next| next.parse()).transpose().map_err(Problem::internal)?;
    let (redactions, checkpoint) = (redacting.bodies(reading, &under)?, checkpoint(&under)?);
    // No more is claimed than the checkpoint has: its witnesses may lag.
    let complete_to = begin.size.min(under.size).min(to);
    except.retain(|index| complete_to.contains(*index));
    let (stream, broken_from, records) = (None, None, Vec::new());
    let page = Page { stream, records, broken_from, redactions, checkpoint, complete_to, except, next };
    Ok(page.to_pieces(written))
}
