//! `GET entries/{index}` and `GET entries?start=&end=`: entries as they were appended, and the receipt of one.

use std::sync::Arc;

use cairn_listen::Answer;
use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::hash::Hash;
use cairn_tree::receipt::Receipt;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::tile::Entries;
use cairn_tree::wire::{media, query as name};

use super::Ask;
use super::accept::media_type;
use super::json::Object;
use super::problem::{Problem, no_such_leaf};
use super::query::{self, Query, out_of_range};
use super::reading::{Lasting, answer, json, varying};
use crate::engine::ProofError;

/// The type of a receipt, as `Accept` names it.
const PLAIN: &str = "text/plain";
/// Bytes that an entry takes beside its own: length prefix, or quotes, comma and padding.
const PER_ENTRY: usize = 5;
/// Room for the fixed parts of an answer; a larger one grows.
const ROOM: usize = 2_048;

/// One entry.
#[utoipa::path(
    get, path = "/logs/{log}/entries/{index}", tag = "Entries",
    params(
        ("log" = String, Path, description = "The log's name"),
        ("index" = u64, Path, description = "The entry's index"),
    ),
    responses(
        (status = 200, description = "The entry's bytes, or by Accept: JSON with the inclusion proof, or the C2SP tlog-proof as text/plain; both under the checkpoint, or under the head while the checkpoint does not have the entry",
            content((Vec<u8> = "application/octet-stream"), (crate::http::docs::EntryAnswer = "application/json"), (String = "text/plain"))),
        (status = 400, description = "Not an index", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such log, or no such entry yet", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 406, description = "None of the accepted types", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn one(ask: &Ask<'_>) -> Result<Answer, Problem> {
    let log = ask.log()?;
    Query::parse(ask.parts.uri.query(), &[])?;
    let index = query::index("index", ask.target.item)?;
    let form = media_type(&ask.parts.headers, &[media::OCTETS, media::JSON, PLAIN])?;
    let checkpoint = log.checkpoint();
    let head = log.head();
    if !head.size.contains(index) {
        return Err(no_such_leaf(index.get(), head.size));
    }
    // A receipt carries cosignatures as soon as there are some.
    let checkpoint = checkpoint.filter(|checkpoint| checkpoint.size.contains(index));
    let under = checkpoint.unwrap_or_else(|| Arc::clone(&head));
    let (source, size) = (log.clone(), under.size);
    let (entry, proof) = ask
        .app
        .read_bundles(move || {
            let entry = source.entry(&head, index)?;
            let proof = if form == media::OCTETS { None } else { Some(source.inclusion(&head, index, size)?) };
            Ok::<_, ProofError>((entry, proof))
        })
        .await?;
    let entry = entry.ok_or_else(Problem::not_found)?;
    let answer = match proof {
        None => answer(&log, Lasting::Immutable, media::OCTETS, entry),
        Some(proof) if form == PLAIN => {
            let checkpoint = SignedCheckpoint::parse(&under.note).map_err(Problem::internal)?;
            let receipt = Receipt::new(index, proof, checkpoint).to_string();
            answer(&log, Lasting::Head, media::TEXT, receipt)
        }
        Some(proof) => {
            let mut body = Object::with_capacity(ROOM + entry.len() * 4 / 3);
            body.number("index", index.get()).hash("leaf_hash", &Hash::leaf(&entry)).bytes("entry", &entry);
            body.hashes("proof", proof.hashes()).text("checkpoint", &under.note);
            json(&log, Lasting::Head, body.finish())
        }
    };
    Ok(varying(answer, "accept"))
}

/// Entries in a row.
#[utoipa::path(
    get, path = "/logs/{log}/entries", tag = "Entries",
    params(
        ("log" = String, Path, description = "The log's name"),
        ("start" = Option<u64>, Query, description = "The first entry's index; 0 if absent"),
        ("end" = Option<u64>, Query, description = "One past the last entry's index; the head's size if absent"),
    ),
    responses(
        (status = 200, description = "The entries from start on; perhaps fewer than were asked for. By Accept as JSON, or length-prefixed as in a C2SP bundle",
            content((crate::http::docs::EntriesAnswer = "application/json"), (Vec<u8> = "application/vnd.cairn.entries"))),
        (status = 400, description = "Not a range of this log", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such log", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 406, description = "No representation that Accept allows", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn range(ask: &Ask<'_>) -> Result<Answer, Problem> {
    let log = ask.log()?;
    let query = Query::parse(ask.parts.uri.query(), &[name::START, name::END])?;
    let form = media_type(&ask.parts.headers, &[media::JSON, media::ENTRIES])?;
    let head = log.head();
    let start = query.index(name::START)?.unwrap_or(LeafIndex::ZERO);
    let end = query.size(name::END)?.unwrap_or(head.size);
    if start.get() > head.size.get() {
        return Err(out_of_range(name::START, start.get(), format!("at most {}", head.size)));
    }
    if end.get() < start.get() {
        return Err(out_of_range(name::END, end.get(), format!("at least {start}")));
    }
    let end = end.get().min(head.size.get()).min(start.get().saturating_add(ask.app.limits.range_entries()));
    let end = TreeSize::new(end).map_err(Problem::internal)?;
    let (source, most) = (log.clone(), ask.app.limits.range_bytes());
    let entries = ask.read_large(move || source.entries(&head, start, end, most)).await?;
    let bytes: usize = entries.iter().map(|entry| entry.len() + PER_ENTRY).sum();
    let body = if form == media::ENTRIES {
        let mut encoded = Vec::with_capacity(bytes);
        for entry in &entries {
            Entries::encode(entry, &mut encoded).map_err(Problem::internal)?;
        }
        answer(&log, Lasting::Head, media::ENTRIES, encoded)
    } else {
        let mut body = Object::with_capacity(ROOM + bytes * 4 / 3);
        body.number("start", start.get()).bytes_each("entries", entries.iter().map(|entry| &**entry));
        json(&log, Lasting::Head, body.finish())
    };
    Ok(varying(body, "accept"))
}
