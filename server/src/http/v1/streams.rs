//! `/v1/streams/...`: the history of an object or of a named stream, its state at a point, and what changed between two.
//!
//! A stream is named by its parts, each percent-encoded: `entity/TENANT/MODULE/ENTITY/OBJECT`, or `named/TENANT/NAME`.

use cairn_listen::Answer;
use cairn_tree::record::replay::{Until, View};
use cairn_tree::record::server_part::Seq;
use cairn_tree::record::time::Time;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::media;
use cairn_tree::wire::v1::{DifferencesAnswer, Listed, ObjectDifferences, Page, Point, States, StatesAnswer};

use super::super::Ask;
use super::super::accept::media_type;
use super::super::problem::Problem;
use super::super::query::{self, Query};
use super::bodies::{checkpoint, private, private_pieces};
use super::history::{Beginning, SeenEntry, asked};
use super::list::limit;
use super::replays::{Replays, replays};
use super::{BY, CURSOR, EARLIER, FROM_SEQ, LIMIT, PROOF, VIEW};
use crate::engine::Head;

const AT: &str = "at";
const FROM: &str = "from";
const TO: &str = "to";
/// What a history's cursor begins with; an index is behind it.
const AT_INDEX: &str = "at-";
const POINTS: &str = "a record's number, or a time as in RFC 3339";

/// The records of an object, oldest first.
#[utoipa::path(
    get, path = "/v1/streams/entity/{tenant}/{module}/{entity}/{object}", operation_id = "stream_history", tag = "Streams", security(("token" = [])),
    params(
        crate::http::docs::ObjectPath,
        crate::http::docs::StreamLog,
        ("from_seq" = Option<u64>, Query, description = "The number of the first record; 0 if absent"),
        ("cursor" = Option<String>, Query, description = "Where the page before ended"),
        ("limit" = Option<u64>, Query, description = "The most records, 1 to 500; 50 if absent"),
        ("proof" = Option<u8>, Query, description = "1: with the inclusion proof of each record"),
        ("x-tenant-id" = Option<String>, Header, description = "The stream's tenant"),
    ),
    responses(
        (status = 200, description = "Records in a row, each verified with the one before it; `next` is the cursor of the next page", body = crate::http::docs::RecordsAnswer, content_type = "application/json"),
        (status = "4XX", description = "The asker's mistake; 404 for a stream that is not there, and for every one of a tenant that the token is not good for", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = "5XX", description = "What is stored can't be verified, and is not given out; or a bound of the server is reached", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn history(ask: &Ask<'_>) -> Result<Answer, Problem> {
    let (stream, query) = asked(ask, &[FROM_SEQ, CURSOR, LIMIT, PROOF])?;
    media_type(&ask.parts.headers, &[media::JSON])?;
    let from = match cursor(&query)? {
        Some(from) => from,
        None => Beginning::Number(query.index(FROM_SEQ)?.map_or(0, LeafIndex::get)),
    };
    let (most, proof) = (limit(&query)?, query.flag(PROOF)?);
    let work = move || {
        let complete_to = stream.reading.complete_to()?;
        let reading = &stream.reading;
        let make = |entry: SeenEntry, under: &Head| {
            Ok(Listed::Record(Box::new(entry.into_body(reading, under, proof)?)).to_json())
        };
        let row = stream.row(from, most, make)?;
        let next = row.next.map(|next| format!("{AT_INDEX}{next}").parse());
        let unverified = |problem| Listed::Unverified(problem).to_json();
        let written: Vec<Vec<u8>> = row.records.into_iter().map(|one| one.unwrap_or_else(unverified)).collect();
        let page = Page {
            stream: row.stream,
            records: Vec::new(),
            broken_from: row.broken_from,
            redactions: row.redacting.bodies(reading, &row.under)?,
            checkpoint: checkpoint(&row.under)?,
            complete_to: complete_to.min(row.under.size),
            // They are found by the stream's id, which each of them has.
            except: Vec::new(),
            next: next.transpose().map_err(Problem::internal)?,
        };
        Ok::<_, Problem>(page.to_pieces(written))
    };
    Ok(private_pieces(ask.read_large(work).await?))
}

/// Where the page before ended: where the next record is, or, as it was once, the number of that.
fn cursor(query: &Query<'_>) -> Result<Option<Beginning>, Problem> {
    let index = query.get(CURSOR).and_then(|text| text.strip_prefix(AT_INDEX));
    match index {
        Some(index) => Ok(Some(Beginning::Index(query::index(CURSOR, index)?))),
        None => Ok(query.index(CURSOR)?.map(|number| Beginning::Number(number.get()))),
    }
}

/// What an object was at a point.
#[utoipa::path(
    get, path = "/v1/streams/entity/{tenant}/{module}/{entity}/{object}/state", operation_id = "stream_state", tag = "Streams", security(("token" = [])),
    params(
        crate::http::docs::ObjectPath,
        crate::http::docs::StreamLog,
        ("at" = Option<String>, Query, description = "A record's number, or a time as in RFC 3339: all records up to it act, it included. Now if absent"),
        ("by" = Option<String>, Query, description = "server_time (the default) or producer_time: which time is meant; producer_time needs `at`"),
        ("earlier" = Option<u8>, Query, description = "1 (the default): a stream that continues one of another log begins with the states that it has there, by the same time or at its end; the answer's `earlier` names each part. 0: with nothing"),
        ("view" = Option<String>, Query, description = "recorded (the default): each record acts where it stands; corrected: corrections act in the place of what they correct"),
        ("x-tenant-id" = Option<String>, Header, description = "The stream's tenant"),
    ),
    responses(
        (status = 200, description = "The state that the records give, verified, and what does not fit together in them", body = crate::http::docs::StateAnswer, content_type = "application/json"),
        (status = "4XX", description = "The asker's mistake; 404 for a stream that is not there, and for every one of a tenant that the token is not good for", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = "5XX", description = "What is stored can't be verified, and is not given out; or a bound of the server is reached", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn state(ask: &Ask<'_>) -> Result<Answer, Problem> {
    let (stream, query) = asked(ask, &[AT, BY, VIEW, EARLIER])?;
    media_type(&ask.parts.headers, &[media::JSON])?;
    let at = point(&query, AT, Until::End)?;
    let replays = replays(ask, stream, vec![at], query.flag_or(EARLIER, true)?).await?;
    let work = move || {
        let Replays { id: stream, at: states, logs, earlier, under, complete_to, room: _room } = replays;
        let replayed = States::from(states.first().ok_or_else(|| Problem::internal("a replay without a state"))?);
        let replayed = replayed.with_logs(|object| logs.first()?.of(object).cloned());
        let checkpoint = checkpoint(&under)?;
        let answer = StatesAnswer { stream, at, replayed, checkpoint, complete_to, earlier };
        Ok::<_, Problem>(answer.to_json())
    };
    // Not `read_large`: what was replayed is counted itself, and may be what leaves no room for others.
    Ok(private(ask.app.read_bundles(work).await?))
}

/// What changed of an object between two points.
#[utoipa::path(
    get, path = "/v1/streams/entity/{tenant}/{module}/{entity}/{object}/diff", operation_id = "stream_diff", tag = "Streams", security(("token" = [])),
    params(
        crate::http::docs::ObjectPath,
        crate::http::docs::StreamLog,
        ("from" = Option<String>, Query, description = "A record's number, or a time as in RFC 3339. Before the first record if absent"),
        ("to" = Option<String>, Query, description = "The same. Now if absent"),
        ("by" = Option<String>, Query, description = "server_time (the default) or producer_time: which time is meant; producer_time needs `to`"),
        ("earlier" = Option<u8>, Query, description = "1 (the default): a stream that continues one of another log begins with the states that it has there, by the same time or at its end; the answer's `earlier` names each part. 0: with nothing"),
        ("view" = Option<String>, Query, description = "recorded (the default) or corrected"),
        ("x-tenant-id" = Option<String>, Header, description = "The stream's tenant"),
    ),
    responses(
        (status = 200, description = "The places that differ, by JSON Pointer; `certain` is false where what is erased or withheld decides", body = crate::http::docs::DiffAnswer, content_type = "application/json"),
        (status = "4XX", description = "The asker's mistake; 404 for a stream that is not there, and for every one of a tenant that the token is not good for", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = "5XX", description = "What is stored can't be verified, and is not given out; or a bound of the server is reached", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn diff(ask: &Ask<'_>) -> Result<Answer, Problem> {
    let (stream, query) = asked(ask, &[FROM, TO, BY, VIEW, EARLIER])?;
    media_type(&ask.parts.headers, &[media::JSON])?;
    let beginning = Time::from_micros(0).map_err(Problem::internal)?;
    let (from, to) = (point(&query, FROM, Until::ServerTime(beginning))?, point(&query, TO, Until::End)?);
    let replays = replays(ask, stream, vec![from, to], query.flag_or(EARLIER, true)?).await?;
    let work = move || {
        let Replays { id: stream, at: states, earlier, under, complete_to, room: _room, .. } = replays;
        let [first, last] = states.as_slice() else { return Err(Problem::internal("a replay without its states")) };
        let objects = ObjectDifferences::between(first, last);
        let checkpoint = checkpoint(&under)?;
        let answer = DifferencesAnswer { stream, from, to, objects, checkpoint, complete_to, earlier };
        Ok::<_, Problem>(answer.to_json())
    };
    // Not `read_large`, as for a state.
    Ok(private(ask.app.read_bundles(work).await?))
}

/// The point that a parameter names.
fn point(query: &Query<'_>, name: &'static str, otherwise: Until) -> Result<Point, Problem> {
    let one_of = |name: &'static str, first: &str, second: &str| match query.get(name) {
        None => Ok(false),
        Some(text) if text == first => Ok(false),
        Some(text) if text == second => Ok(true),
        Some(other) => Err(Problem::malformed(name, other, "no such way").bound(format!("{first} or {second}"))),
    };
    let view = if one_of(VIEW, "recorded", "corrected")? { View::Corrected } else { View::AsRecorded };
    let by_producer = one_of(BY, "server_time", "producer_time")?;
    let Some(text) = query.get(name) else {
        if by_producer && otherwise == Until::End {
            let detail = format!("the producers' times up to which records act stand in {name}, which is not there");
            return Err(Problem::malformed(BY, "producer_time", detail).bound(format!("with {name}, a time")));
        }
        return Ok(Point { until: otherwise, view });
    };
    let number = text.parse::<u64>().ok().filter(|number| number.to_string() == text);
    if let Some(seq) = number.and_then(|number| Seq::new(number).ok()) {
        return Ok(Point { until: Until::Seq(seq), view });
    }
    let time = Time::parse(text).map_err(|error| Problem::malformed(name, text, error).bound(POINTS))?;
    let until = if by_producer { Until::ProducerTime(time) } else { Until::ServerTime(time) };
    Ok(Point { until, view })
}
