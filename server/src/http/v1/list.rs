//! `GET /v1/records`: the records of a tenant that have all of some properties, newest first.
//!
//! The order is that of the log, from the newest record to the oldest, and does not change: what comes while somebody pages
//! stands before the first page. `size` says up to which size of the log the pages together are complete.

use cairn_listen::Answer;
use cairn_tree::record::open::Record;
use cairn_tree::record::parts::{Actor, Context, Subjects};
use cairn_tree::record::stream::Topics;
use cairn_tree::record::text::Name;
use cairn_tree::record::time::Time;
use cairn_tree::wire::media;
use cairn_tree::wire::v1::{Listed, Page};

use super::super::Ask;
use super::super::accept::media_type;
use super::super::problem::Problem;
use super::super::query::Query;
use super::place::Place;
use super::reading::{Reading, checkpoint, private, tenant};
use super::{CURSOR, LIMIT, PROOF, TENANT};
use crate::auth::Right;
use crate::engine::postings::{Facet, Print};
use crate::limits::{LIST_BYTES, LIST_RECORDS, LIST_RECORDS_MOST, LIST_WORK};
use crate::records::Secret;

/// The parameters that a record must match, each with its facet.
const FILTERS: [(&str, Facet); 11] = [
    ("module", Facet::Module),
    ("entity", Facet::Entity),
    ("object", Facet::Object),
    ("operation", Facet::Operation),
    ("action", Facet::Action),
    ("category", Facet::Category),
    ("actor", Facet::Actor),
    ("subject", Facet::Subject),
    ("correlation", Facet::Correlation),
    ("transaction", Facet::Transaction),
    ("topic", Facet::Topic),
];
const FROM: &str = "from";
const UNTIL: &str = "until";
const NAMES: [&str; 17] = [
    TENANT,
    "module",
    "entity",
    "object",
    "operation",
    "action",
    "category",
    "actor",
    "subject",
    "correlation",
    "transaction",
    "topic",
    FROM,
    UNTIL,
    LIMIT,
    CURSOR,
    PROOF,
];

/// What is looked for.
#[derive(Debug, Clone)]
struct Wanted {
    tenant: String,
    values: Vec<(Facet, String)>,
    from: Option<Time>,
    until: Option<Time>,
    /// Both times as they were given.
    times: [String; 2],
}

/// Records by what they say.
#[utoipa::path(
    get, path = "/v1/records", tag = "Records", security(("token" = [])),
    params(
        ("tenant" = Option<String>, Query, description = "Whose records; also as the header X-Tenant-Id. Needed by a token for more than one tenant"),
        ("module" = Option<String>, Query, description = "The object's module"),
        ("entity" = Option<String>, Query, description = "The kind of object"),
        ("object" = Option<String>, Query, description = "The object's id"),
        ("operation" = Option<String>, Query, description = "What was done"),
        ("action" = Option<String>, Query, description = "What was done, in the words of the business"),
        ("category" = Option<String>, Query, description = "What it counts as"),
        ("actor" = Option<String>, Query, description = "Who did it"),
        ("subject" = Option<String>, Query, description = "A person that the data is about"),
        ("correlation" = Option<String>, Query, description = "The correlation id"),
        ("transaction" = Option<String>, Query, description = "The business transaction"),
        ("topic" = Option<String>, Query, description = "The first records of streams with this topic"),
        ("from" = Option<String>, Query, description = "The earliest time of the server, as in RFC 3339, included"),
        ("until" = Option<String>, Query, description = "The latest time of the server, as in RFC 3339, included"),
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
        (status = 500, description = "What is stored can't be verified, and is not given out", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(ask: &Ask<'_>) -> Result<Answer, Problem> {
    let credential = ask.credential(Right::Read)?;
    let query = Query::parse(ask.parts.uri.query(), &NAMES)?;
    media_type(&ask.parts.headers, &[media::JSON])?;
    let tenant = tenant(ask, &credential, &query)?.ok_or_else(|| {
        Problem::malformed(TENANT, "", "say whose records: the token is good for more than one tenant")
            .bound("a tenant's name")
    })?;
    let proof = query.flag(PROOF)?;
    let most = limit(&query)?;
    let wanted = Wanted::of(&query, tenant)?;
    let log = ask.app.records.homes.of(&ask.app.engine, &wanted.tenant).ok_or_else(Problem::not_found)?;
    let secret = ask.app.records.secret.of_log(&log.info().origin);
    let reading = Reading::of(ask, &credential, log, Some(&wanted.tenant))?;
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
    Ok(private(ask.read_large(page).await?))
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

impl Wanted {
    fn of(query: &Query<'_>, tenant: String) -> Result<Self, Problem> {
        let mut values = Vec::new();
        for (name, facet) in FILTERS {
            if let Some(value) = query.get(name) {
                Name::new(value).map_err(|error| Problem::malformed(name, value, error))?;
                values.push((facet, value.to_owned()));
            }
        }
        let time = |name: &'static str| {
            let read = |text| Time::parse(text).map_err(|error| Problem::malformed(name, text, error));
            query.get(name).map(read).transpose()
        };
        let times = [FROM, UNTIL].map(|name| query.get(name).unwrap_or_default().to_owned());
        Ok(Self { tenant, values, from: time(FROM)?, until: time(UNTIL)?, times })
    }

    /// All of it as bytes, each with what it is.
    fn parts(&self) -> Vec<&[u8]> {
        let mut parts: Vec<&[u8]> = vec![self.tenant.as_bytes()];
        for (facet, value) in &self.values {
            let name = FILTERS.iter().find(|(_, other)| other == facet).map_or("", |(name, _)| name);
            parts.extend([name.as_bytes(), value.as_bytes()]);
        }
        parts.extend(self.times.iter().map(String::as_bytes));
        parts
    }

    fn prints(&self, reading: &Reading) -> Vec<Print> {
        let tenant = (Facet::Tenant, &self.tenant);
        let all = self.values.iter().map(|(facet, value)| (*facet, value)).chain([tenant]);
        all.map(|(facet, value)| Print::new(&reading.prints, facet, &[value])).collect()
    }

    /// Whether a record is what is looked for: prints may be equal by chance.
    fn is_met_by(&self, record: &Record) -> bool {
        let content = record.content();
        let Some(object) = content.object.disclosed() else { return false };
        let part = content.context.disclosed();
        let context: Option<&Context<'_>> = part.and_then(Option::as_ref);
        let actor = content.actor.disclosed().and_then(Option::as_ref).map(Actor::id);
        let subjects = content.subjects.disclosed().and_then(Option::as_ref).map_or(&[][..], Subjects::names);
        let opening = record.opening().and_then(|opening| opening.topics.disclosed()?.as_ref());
        let topics = opening.map_or(&[][..], Topics::names);
        let is = |name: Option<&Name<'_>>, value: &str| name.is_some_and(|name| name.as_str() == value);
        object.tenant.as_str() == self.tenant
            && self.values.iter().all(|(facet, value)| match facet {
                Facet::Module => is(Some(&object.module), value),
                Facet::Entity => is(Some(&object.entity), value),
                Facet::Object => is(Some(&object.id), value),
                Facet::Operation => object.operation.as_str() == value,
                Facet::Action => is(object.action.as_ref(), value),
                Facet::Category => is(object.category.as_ref(), value),
                Facet::Actor => is(actor, value),
                Facet::Subject => subjects.iter().any(|subject| subject.as_str() == value),
                Facet::Correlation => is(context.and_then(|context| context.correlation.as_ref()), value),
                Facet::Transaction => is(context.and_then(|context| context.transaction.as_ref()), value),
                Facet::Topic => topics.iter().any(|topic| topic.as_str() == value),
                Facet::Tenant | Facet::StreamName | Facet::StreamId | Facet::RecordId => false,
            })
    }

    /// Whether it is in time; `None` if it is before all that are.
    fn in_time(&self, time: Time) -> Option<bool> {
        if self.from.is_some_and(|from| time < from) {
            return None;
        }
        Some(self.until.is_none_or(|until| time <= until))
    }
}

/// A page, and where the next one begins.
fn page(
    reading: &Reading,
    secret: &Secret,
    wanted: &Wanted,
    begin: Option<Place>,
    most: usize,
    proof: bool,
) -> Result<Vec<u8>, Problem> {
    let begin = match begin {
        Some(begin) => begin,
        None => {
            let size = reading.complete_to()?;
            Place { size, below: size }
        }
    };
    let found = reading.log.find_records(&wanted.prints(reading), begin.below, most, LIST_WORK)?;
    let under = found.hits.first().map_or_else(|| reading.log.checkpoint(), |newest| reading.under(*newest));
    let (mut records, mut next) = (Vec::new(), found.next);
    let stored = reading.log.stored_records(&reading.head, &found.hits, LIST_BYTES)?;
    // What did not fit comes with the next page.
    if let Some(left) = found.hits.get(stored.len()) {
        next = Some(left.size_with());
    }
    for stored in stored {
        let Some(verified) = reading.verified(stored, under.size)? else { continue };
        match wanted.in_time(verified.record().leaf().server().time) {
            Some(true) if wanted.is_met_by(verified.record()) => {}
            Some(_) => continue,
            // The server's time never rises from a newer record to an older.
            None => {
                next = None;
                break;
            }
        }
        records.push(Listed::Record(Box::new(reading.body(reading.seen(verified)?, &under, proof)?)));
    }
    let next = next.map(|below| Place { size: begin.size, below }.to_text(secret, &wanted.parts()));
    let next = next.map(|next| next.parse()).transpose().map_err(Problem::internal)?;
    let (redactions, checkpoint) = (Vec::new(), checkpoint(&under)?);
    // No more is claimed than the checkpoint has: its witnesses may lag.
    let complete_to = begin.size.min(under.size);
    Ok(Page { stream: None, records, broken_from: None, redactions, checkpoint, complete_to, next }.to_json())
}
