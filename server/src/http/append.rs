//! `POST add` and `POST entries`: who may append, what is taken, and what is answered.
//!
//! A body is bounded while it is read, hashed here, and given to the engine in one piece; the answer waits until a signed,
//! durable head covers it. Not here: the forms of a batch (`batch`).

use std::borrow::Cow;
use std::sync::Arc;

use cairn_listen::Answer;
use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::hash::Hash;
use cairn_tree::merkle::InclusionProof;
use cairn_tree::receipt::Receipt;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::append::Wait;
use cairn_tree::wire::{header, media, query as name};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use hyper::body::Incoming;

use super::Ask;
use super::accept::media_type;
use super::batch::{self, Form};
use super::body::{self, Bound};
use super::json::Object;
use super::problem::Problem;
use super::query::Query;
use super::reading::fresh;
use super::settled::settle;
use crate::auth::{Caller, Right};
use crate::engine::{Appended, EntryBatch, Head, IdempotencyKey, Log, Placement, ProofError};
use crate::limits::IDEMPOTENCY_KEY_BYTES;

/// The type of a receipt, as `Accept` names it.
const PLAIN: &str = "text/plain";
/// Room for a proof of a large tree and a checkpoint.
const ROOM: usize = 4_096;
/// Bodies from here on are taken apart and hashed where they hold up no other request.
pub(crate) const LARGE: usize = 64 << 10;

/// Appends one entry and answers its index.
#[utoipa::path(
    post, path = "/logs/{log}/add", tag = "Appending", security(("token" = []), ()),
    params(
        ("log" = String, Path, description = "The log's name"),
        ("wait" = Option<String>, Query, description = "integrated (the default): answer once a signed head has the entry; witnessed: once such a head met the witness policy"),
        ("idempotency-key" = Option<String>, Header, description = "A retry with the same key gets the same index; 1 to 255 visible ASCII characters"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The entry's bytes, at most 65,535"),
    responses(
        (status = 200, description = "The bare decimal index", body = String, content_type = "text/plain"),
        (status = 202, description = "The same, but the witnesses are late: a signed head has the entry, and no checkpoint yet", body = String, content_type = "text/plain"),
        (status = "4XX", description = "The caller's mistake, named with its bound", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = "5XX", description = "Not the caller's mistake; Retry-After says when to come again", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn add(ask: &Ask<'_>, body: &mut Incoming) -> Result<Answer, Problem> {
    let log = admitted(ask)?;
    let query = Query::parse(ask.parts.uri.query(), &[name::WAIT])?;
    let wait = wait(&query)?;
    let key = idempotency(ask, &log)?;
    let (appended, _) = append_one(ask, &log, body, key).await?;
    let index = first(&appended)?;
    let settled = settle(ask, &log, last(&appended), &appended.head, wait).await;
    Ok(settled.answer(fresh(media::TEXT, index.to_string())))
}

/// Appends one entry or a batch.
#[utoipa::path(
    post, path = "/logs/{log}/entries", tag = "Appending", security(("token" = []), ()),
    params(
        ("log" = String, Path, description = "The log's name"),
        ("wait" = Option<String>, Query, description = "integrated (the default): answer once a signed head has the entries; witnessed: once such a head met the witness policy"),
        ("receipts" = Option<u8>, Query, description = "1: answer a batch with a proof for each entry"),
        ("idempotency-key" = Option<String>, Header, description = "A retry with the same key gets the same indexes; 1 to 255 visible ASCII characters"),
    ),
    request_body(
        description = "One entry as application/octet-stream, or a batch: length-prefixed as in a C2SP entry bundle, or as JSON. A batch is appended whole or not at all",
        content((Vec<u8> = "application/octet-stream"), (Vec<u8> = "application/vnd.cairn.entries"), (crate::http::docs::BatchRequest = "application/json"))
    ),
    responses(
        (status = 200, description = "One entry: its receipt as JSON, or the C2SP tlog-proof for Accept: text/plain. A batch: where it is",
            content((crate::http::docs::Appended = "application/json"), (String = "text/plain"))),
        (status = 202, description = "The same under a head that only the log has signed: the witnesses are late",
            content((crate::http::docs::Appended = "application/json"), (String = "text/plain"))),
        (status = "4XX", description = "The caller's mistake, named with its bound", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = "5XX", description = "Not the caller's mistake; Retry-After says when to come again", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn entries(ask: &Ask<'_>, body: &mut Incoming) -> Result<Answer, Problem> {
    let log = admitted(ask)?;
    let query = Query::parse(ask.parts.uri.query(), &[name::WAIT, name::RECEIPTS])?;
    let wait = wait(&query)?;
    let content_type = ask.parts.headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let form = Form::of(content_type.as_deref())?;
    let key = idempotency(ask, &log)?;
    if form == Form::Single {
        let answer_type = media_type(&ask.parts.headers, &[media::JSON, PLAIN])?;
        let (appended, leaf) = append_one(ask, &log, body, key).await?;
        let settled = settle(ask, &log, last(&appended), &appended.head, wait).await;
        return Ok(settled.answer(single_answer(&log, &appended, &settled.under, leaf, answer_type)?));
    }
    media_type(&ask.parts.headers, &[media::JSON])?;
    let receipts = query.flag(name::RECEIPTS)?;
    let bound = Bound { field: "body", most: ask.app.limits.body_bytes() };
    let read = body::read(body, &ask.parts.headers, bound, &ask.bodies(), &ask.app.limits).await?;
    let (bytes, reservation) = (read.bytes, read.reservation);
    let (most_entries, most_bytes) = (ask.app.limits.batch_entries(), ask.app.limits.entry_bytes());
    let parse = move || batch::parse(form, bytes, batch::Bounds { entries: most_entries, entry_bytes: most_bytes });
    let batch = if reservation.bytes() < LARGE {
        parse()?
    } else {
        cairn_listen::spawn_blocking(parse).await.map_err(Problem::internal)??
    };
    let leaves = if receipts { batch.leaves().to_vec() } else { Vec::new() };
    let appended = log.append(batch, key).await?;
    drop(reservation);
    let settled = settle(ask, &log, last(&appended), &appended.head, wait).await;
    let answer = batch_answer(ask, &log, appended, Arc::clone(&settled.under), leaves, receipts).await?;
    Ok(settled.answer(answer))
}

/// The log, if the caller may append to it.
fn admitted(ask: &Ask<'_>) -> Result<Log, Problem> {
    let log = ask.log()?;
    if !log.info().open_append {
        ask.require(Right::Append)?;
    }
    Ok(log)
}

/// What the caller waits for.
pub(crate) fn wait(query: &Query<'_>) -> Result<Wait, Problem> {
    let Some(text) = query.get(name::WAIT) else { return Ok(Wait::default()) };
    let bound = || format!("{} or {}", Wait::Integrated.as_str(), Wait::Witnessed.as_str());
    Wait::parse(text).ok_or_else(|| Problem::malformed(name::WAIT, text, "no such way of waiting").bound(bound()))
}

async fn append_one(
    ask: &Ask<'_>,
    log: &Log,
    body: &mut Incoming,
    key: Option<IdempotencyKey>,
) -> Result<(Appended, Hash), Problem> {
    let bound = Bound { field: "entry", most: ask.app.limits.entry_bytes() };
    let read = body::read(body, &ask.parts.headers, bound, &ask.bodies(), &ask.app.limits).await?;
    batch::refuse_reserved(&read.bytes, None)?;
    let batch = EntryBatch::single(&read.bytes).map_err(Problem::internal)?;
    let leaf = batch.leaves().first().copied().ok_or_else(|| Problem::internal("a batch of one has no leaf"))?;
    let appended = log.append(batch, key).await?;
    Ok((appended, leaf))
}

/// The caller's idempotency key, as this log and token mean it (IETF httpapi, idempotency-key-header).
fn idempotency(ask: &Ask<'_>, log: &Log) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(key) = idempotency_text(&ask.parts.headers)? else { return Ok(None) };
    let token = match ask.caller() {
        Caller::Known { id, .. } => id.to_string(),
        // Everyone without a token shares the keys of a log that takes appends from everyone.
        Caller::Anonymous | Caller::Unknown => String::new(),
    };
    Ok(Some(IdempotencyKey::new(log.info().id, &token, &key)))
}

pub(crate) fn idempotency_text(headers: &HeaderMap) -> Result<Option<Cow<'_, str>>, Problem> {
    let mut values =
        [header::IDEMPOTENCY_KEY, header::X_IDEMPOTENCY_KEY].into_iter().flat_map(|name| headers.get_all(name).iter());
    let Some(value) = values.next() else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let malformed = |detail: &str| Problem::malformed(header::IDEMPOTENCY_KEY, &text, detail);
    if values.any(|other| other != value) {
        return Err(malformed("two different keys").bound("one key"));
    }
    let usable =
        (1..=IDEMPOTENCY_KEY_BYTES).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
    if !usable {
        let bound = format!("1 to {IDEMPOTENCY_KEY_BYTES} visible ASCII characters");
        return Err(malformed("too long, empty, or of other characters").bound(bound));
    }
    Ok(Some(text))
}

fn single_answer(
    log: &Log,
    appended: &Appended,
    under: &Head,
    leaf: Hash,
    answer_type: &str,
) -> Result<Answer, Problem> {
    let index = first(appended)?;
    let proof = log.inclusion(&bound(log, appended, under), index, under.size)?;
    if answer_type == PLAIN {
        let checkpoint = SignedCheckpoint::parse(&under.note).map_err(Problem::internal)?;
        return Ok(fresh(media::TEXT, Receipt::new(index, proof, checkpoint).to_string()));
    }
    let mut body = Object::with_capacity(ROOM);
    body.number("index", index.get()).hash("leaf_hash", &leaf);
    body.hashes("proof", proof.hashes()).text("checkpoint", &under.note);
    Ok(fresh(media::JSON, body.finish()))
}

async fn batch_answer(
    ask: &Ask<'_>,
    log: &Log,
    appended: Appended,
    under: Arc<Head>,
    leaves: Vec<Hash>,
    receipts: bool,
) -> Result<Answer, Problem> {
    let (source, placement) = (log.clone(), appended.placement.clone());
    let (head, size) = (bound(log, &appended, &under), under.size);
    let proofs = if receipts {
        ask.read(move || {
            placement
                .indexes()
                .map(|index| source.inclusion(&head, index, size))
                .collect::<Result<Vec<_>, ProofError>>()
        })
        .await?
    } else {
        Vec::new()
    };
    let placement = &appended.placement;
    let mut body = Object::with_capacity(ROOM);
    body.number("first", first(&appended)?.get()).number("count", placement.count() as u64);
    body.text("checkpoint", &under.note);
    if let Placement::Each(indexes) = placement {
        body.numbers("indexes", indexes.iter().map(|index| index.get()));
    }
    if receipts {
        let entries = placement.indexes().zip(&leaves).zip(&proofs);
        body.objects("receipts", entries, |body, ((index, leaf), proof): ((LeafIndex, &Hash), &InclusionProof)| {
            body.number("index", index.get()).hash("leaf_hash", leaf).hashes("proof", proof.hashes());
        });
    }
    Ok(fresh(media::JSON, body.finish()))
}

/// The head to read under: the one that the writer answered with has its tree's edge at hand.
fn bound(log: &Log, appended: &Appended, under: &Head) -> Arc<Head> {
    if under.size <= appended.head.size { Arc::clone(&appended.head) } else { log.head() }
}

fn last(appended: &Appended) -> LeafIndex {
    appended.placement.indexes().max().unwrap_or(LeafIndex::ZERO)
}

fn first(appended: &Appended) -> Result<LeafIndex, Problem> {
    appended.placement.index(0).ok_or_else(|| Problem::internal("an append without a place"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::super::problem::Kind;
    use super::*;

    fn key(pairs: &[(&'static str, &str)]) -> Result<Option<String>, Kind> {
        let headers = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap()))
            .collect();
        let text = idempotency_text(&headers).map_err(|problem| problem.kind())?;
        Ok(text.map(Cow::into_owned))
    }

    #[test]
    fn both_names_of_the_key_are_one() {
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&[("idempotency-key", "a")]), Ok(Some("a".into())));
        assert_eq!(key(&[("x-idempotency-key", "a"), ("idempotency-key", "a")]), Ok(Some("a".into())));
        assert_eq!(key(&[("x-idempotency-key", "a"), ("idempotency-key", "b")]), Err(Kind::Malformed));
        assert_eq!(key(&[("idempotency-key", &"k".repeat(255))]), Ok(Some("k".repeat(255))));
        for bad in ["", "two words", "\u{e9}", &"k".repeat(256)] {
            assert_eq!(key(&[("idempotency-key", bad)]), Err(Kind::Malformed), "{bad}");
        }
    }
}
