//! `POST /v1/records`: one record or a batch, all of it or nothing, answered with a receipt for each.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use cairn_listen::Answer;
use cairn_tree::record::bounds::MAX_BODY_BYTES;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::v1::{Appended, AppendedAnswer, AppendedReceipt};
use cairn_tree::wire::{media, query as name};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use hyper::body::Incoming;

use super::super::Ask;
use super::super::accept::media_type;
use super::super::append::{LARGE, idempotency_text, wait};
use super::super::body::{self, Bound};
use super::super::problem::{Kind, Problem};
use super::super::query::Query;
use super::super::settled::{Settled, settle};
use super::again::{self, Done};
use super::bodies::{checkpoint, private};
use super::prepare::{Prints, Request};
use crate::auth::Right;
use crate::engine::records::Sequenced;
use crate::engine::{Head, Log};
use crate::records::{Form, Said};

/// Records with receipts whose answer is made as large ones are: fewer at once.
const MANY: usize = 256;

/// Appends audit records.
#[utoipa::path(
    post, path = "/v1/records", operation_id = "append_records", tag = "Records", security(("token" = [])),
    params(
        ("wait" = Option<String>, Query, description = "integrated (the default): answer once a signed head has the records; witnessed: once such a head met the witness policy"),
        ("receipts" = Option<u8>, Query, description = "0: answer without the leaf and the proof of each record"),
        ("idempotency-key" = Option<String>, Header, description = "A retry with the same key and the same body gets the same receipts; 1 to 255 visible ASCII characters. Also as X-Idempotency-Key"),
        ("x-tenant-id" = Option<String>, Header, description = "The tenant of all records of the request"),
        ("x-purpose" = Option<String>, Header, description = "The purpose of records that give none; a signed event must have it"),
        ("x-trace-id" = Option<String>, Header, description = "The correlation of records that give none and have no trace context of this trace; a signed event must have it"),
        ("traceparent" = Option<String>, Header, description = "The W3C trace context of records that give none; a signed event must have this trace"),
        ("tracestate" = Option<String>, Header, description = "What goes with traceparent"),
    ),
    request_body(
        description = "Records in our own form, one or an array, or one per line, each such that the server seals it or sealed and signed by its producer; or a CloudEvent 1.0, or an array of them. A batch is appended whole or not at all",
        content((crate::http::docs::RecordsRequest = "application/json"), (String = "application/x-ndjson"), (String = "application/ndjson"), (String = "application/jsonl"), (Object = "application/cloudevents+json"), (Vec<Object> = "application/cloudevents-batch+json"))
    ),
    responses(
        (status = 200, description = "Where the records are, with their receipts; those that a log before had are under that log's checkpoint", body = crate::http::docs::RecordsAppended, content_type = "application/json"),
        (status = 202, description = "The same under a head that only the log has signed: the witnesses are late. For records that a log before had it is so until that log's witnesses have seen its end, and for ever if it was halted", body = crate::http::docs::RecordsAppended, content_type = "application/json"),
        (status = 409, description = "A stream has another head than was expected, which stream_head tells; an id belongs to another record, of this log or of one before it, or a log before has some of the records and not all; or, if its module asks for that, a record does not fit the state of its object, or its old values are not those that are recorded: paths tells where", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = "4XX", description = "The caller's mistake; pointer says where in the body", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Too much at once, or, for records with an id or a key and first records of streams: the indexes of a log before are being built, which log names; Retry-After says when to come again", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = "5XX", description = "Not the caller's mistake; Retry-After says when to come again", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn append(ask: &Ask<'_>, body: &mut Incoming) -> Result<Answer, Problem> {
    let credential = ask.credential(Right::Append)?;
    let said = Said::of(&ask.parts.headers)?;
    if let Some(tenant) = said.tenant() {
        credential.admit(tenant.as_str())?;
    }
    let query = Query::parse(ask.parts.uri.query(), &[name::WAIT, name::RECEIPTS])?;
    let (wait, bare) = (wait(&query)?, !query.flag_or(name::RECEIPTS, true)?);
    media_type(&ask.parts.headers, &[media::JSON])?;
    let form = form(&ask.parts.headers)?;
    let key = idempotency_text(&ask.parts.headers)?;
    let bound = Bound { field: "body", most: ask.app.limits.body_bytes().min(MAX_BODY_BYTES) };
    let read = body::read(body, &ask.parts.headers, bound, &ask.bodies(), &ask.app.limits).await?;
    let reservation = read.reservation;
    // Its answer is larger than it is, and can't be refused any more once it is appended.
    if reservation.bytes() >= LARGE && !bare {
        ask.app.answers.admit_large()?;
    }
    let request = Arc::new(Request {
        app: Arc::clone(ask.app),
        body: read.bytes,
        form,
        said,
        key: key.map(Cow::into_owned),
        token: credential.id,
        tenants: credential.tenants.clone(),
        producer_keys: credential.producer_keys.to_vec(),
        prints: Prints::default(),
        is_of_crowd: ask.is_of_crowd(),
    });
    let ready = request.prepared(reservation.bytes() >= LARGE).await?;
    let done = again::append(&request, ready).await?;
    drop(reservation);
    let last = done.records.iter().map(|record| record.index).max().unwrap_or(LeafIndex::ZERO);
    let settled = settle(ask, &done.log, last, &done.head, wait).await;
    let answer = Receipts { done, bare }.answer(ask, &settled).await?;
    Ok(settled.answer(answer))
}

fn form(headers: &HeaderMap) -> Result<Form, Problem> {
    let content_type = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    Form::of(content_type.as_deref()).ok_or_else(|| {
        let problem = Problem::new(Kind::UnsupportedType, "content-type: records don't come in this type");
        problem.field("content-type").value(content_type.unwrap_or_default()).bound(Form::names())
    })
}

/// What is answered.
struct Receipts {
    done: Done,
    /// Without leaves and proofs.
    bare: bool,
}

impl Receipts {
    async fn answer(self, ask: &Ask<'_>, settled: &Settled) -> Result<Answer, Problem> {
        let Self { done: Done { log, records, head: appended, replayed }, bare } = self;
        let under = Arc::clone(&settled.under);
        // The head that the writer answered with has its tree's edge at hand.
        let head = if under.size <= appended.size { appended } else { log.head() };
        let many = !bare && records.len() > MANY;
        let work = move || {
            let records = told(&log, (&head, &under), &records, bare)?;
            let answer = AppendedAnswer { records, checkpoint: checkpoint(&under)?, replayed };
            Ok::<_, Problem>(answer.to_json())
        };
        let body = if many { ask.app.answer_batch(work).await? } else { ask.read(work).await? };
        Ok(private(body))
    }
}

/// What is said of each record; with its receipt, unless that is not wanted.
fn told(log: &Log, (head, under): (&Head, &Head), records: &[Sequenced], bare: bool) -> Result<Vec<Appended>, Problem> {
    let leaves = if bare { Vec::new() } else { leaves(log, head, records)? };
    let mut told = Vec::with_capacity(records.len());
    for (number, record) in records.iter().enumerate() {
        let receipt = leaves.get(number).map(|leaf| {
            let leaf = String::from_utf8(leaf.to_vec()).map_err(Problem::internal)?;
            Ok::<_, Problem>(AppendedReceipt { leaf, proof: log.inclusion(head, record.index, under.size)? })
        });
        told.push(Appended {
            id: record.id,
            index: record.index,
            leaf_hash: record.leaf,
            stream: record.stream,
            seq: record.seq,
            prev: record.prev,
            time: record.time,
            replayed: record.replayed,
            receipt: receipt.transpose()?,
        });
    }
    Ok(told)
}

/// The leaves of records; of those that stand in a row, all are read together.
fn leaves(log: &Log, head: &Head, records: &[Sequenced]) -> Result<Vec<Bytes>, Problem> {
    let mut leaves = Vec::with_capacity(records.len());
    while let Some((first, rest)) = records.get(leaves.len()..).and_then(<[Sequenced]>::split_first) {
        let in_a_row = |last: LeafIndex, record: &Sequenced| {
            (record.index.get() == last.size_with().get()).then_some(record.index).ok_or(last)
        };
        let last = match rest.iter().try_fold(first.index, in_a_row) {
            Ok(last) | Err(last) => last,
        };
        let row = log.entries(head, first.index, last.size_with(), usize::MAX)?;
        if row.is_empty() {
            return Err(Problem::internal("a record past the head"));
        }
        leaves.extend(row);
    }
    Ok(leaves)
}
