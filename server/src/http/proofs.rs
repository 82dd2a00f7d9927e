//! `GET proof/inclusion` and `GET proof/consistency` (RFC 9162, sections 2.1.3 and 2.1.4), for any size up to
//! the head; for the checkpoint's where none is asked for.

use cairn_listen::Answer;
use cairn_tree::hash::Hash;
use cairn_tree::merkle::Growth;
use cairn_tree::size::TreeSize;
use cairn_tree::wire::json::leaf_hash_from_query;
use cairn_tree::wire::query as name;

use super::Ask;
use super::json::Object;
use super::problem::{Problem, unpublished};
use super::query::{Query, out_of_range};
use super::reading::{Lasting, json};
use crate::engine::{Head, Log};

/// Room for a proof of a large tree and a checkpoint.
const ROOM: usize = 4_096;

/// That a leaf is in the tree of a size.
#[utoipa::path(
    get, path = "/logs/{log}/proof/inclusion", tag = "Proofs",
    params(
        ("log" = String, Path, description = "The log's name"),
        ("index" = Option<u64>, Query, description = "The leaf's index; this or leaf_hash"),
        ("leaf_hash" = Option<String>, Query, description = "The leaf's hash, as 64 hexadecimal digits or base64; this or index"),
        ("size" = Option<u64>, Query, description = "The tree's size; the checkpoint's if absent"),
    ),
    responses(
        (status = 200, description = "The proof; with the checkpoint if it is for that tree", body = crate::http::docs::InclusionAnswer),
        (status = 400, description = "Not an index, hash or size of this log", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such log, or no leaf of that hash", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "A repair lost the checkpoint, and no size was asked for", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn inclusion(ask: &Ask<'_>) -> Result<Answer, Problem> {
    let log = ask.log()?;
    let query = Query::parse(ask.parts.uri.query(), &[name::INDEX, name::LEAF_HASH, name::SIZE])?;
    // The checkpoint first: the head, which comes later, covers it.
    let checkpoint = log.checkpoint();
    let head = log.head();
    let size = asked_or_published(&log, query.size(name::SIZE)?, checkpoint.as_deref())?;
    covered(name::SIZE, size, &head)?;
    let index = match (query.index(name::INDEX)?, query.get(name::LEAF_HASH)) {
        (Some(index), None) => index,
        (None, Some(text)) => {
            let hash = leaf_hash_from_query(text).map_err(|error| Problem::malformed(name::LEAF_HASH, text, error))?;
            find(ask, &log, hash, size).await?
        }
        _ => return Err(Problem::malformed("query", "", "give either index or leaf_hash").bound("index or leaf_hash")),
    };
    if !size.contains(index) {
        return Err(out_of_range(name::INDEX, index.get(), below(size)));
    }
    let (hash, proof) = log.located(&head, index, size)?;
    let mut body = Object::with_capacity(ROOM);
    body.number("index", index.get()).hash("leaf_hash", &hash).number("size", size.get());
    body.hashes("proof", proof.hashes());
    if let Some(signed) = checkpoint.iter().chain([&head]).find(|signed| signed.size == size) {
        body.text("checkpoint", &signed.note);
    }
    Ok(json(&log, Lasting::Head, body.finish()))
}

/// That the tree of one size is the beginning of the tree of another.
#[utoipa::path(
    get, path = "/logs/{log}/proof/consistency", tag = "Proofs",
    params(
        ("log" = String, Path, description = "The log's name"),
        ("from" = u64, Query, description = "The older size, at least 1"),
        ("to" = Option<u64>, Query, description = "The newer size; the checkpoint's if absent"),
    ),
    responses(
        (status = 200, description = "The proof", body = crate::http::docs::ConsistencyAnswer),
        (status = 400, description = "Not two sizes of this log", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such log", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "A repair lost the checkpoint, and no size was asked for", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn consistency(ask: &Ask<'_>) -> Result<Answer, Problem> {
    let log = ask.log()?;
    let query = Query::parse(ask.parts.uri.query(), &[name::FROM, name::TO])?;
    // The checkpoint first: the head, which comes later, covers it.
    let checkpoint = log.checkpoint();
    let head = log.head();
    let missing = || Problem::malformed(name::FROM, "", "it is needed").bound("the older size");
    let from = query.size(name::FROM)?.ok_or_else(missing)?;
    let to = asked_or_published(&log, query.size(name::TO)?, checkpoint.as_deref())?;
    covered(name::TO, to, &head)?;
    // Every tree extends the empty one; there is nothing to prove (RFC 9162, section 2.1.4.1: 0 < m).
    if from == TreeSize::ZERO {
        return Err(out_of_range(name::FROM, 0, "at least 1".into()));
    }
    if from > to {
        return Err(out_of_range(name::FROM, from.get(), format!("at most {to}")));
    }
    let proof = log.consistency(&head, Growth { from, to })?;
    let mut body = Object::with_capacity(ROOM);
    body.number("from", from.get()).number("to", to.get()).hashes("proof", proof.hashes());
    Ok(json(&log, Lasting::Head, body.finish()))
}

/// The size that was asked for, or else the checkpoint's.
fn asked_or_published(log: &Log, asked: Option<TreeSize>, checkpoint: Option<&Head>) -> Result<TreeSize, Problem> {
    asked.or_else(|| checkpoint.map(|checkpoint| checkpoint.size)).ok_or_else(|| unpublished(log))
}

async fn find(ask: &Ask<'_>, log: &Log, hash: Hash, size: TreeSize) -> Result<cairn_tree::size::LeafIndex, Problem> {
    let source = log.clone();
    let head = log.head();
    let found = ask.read(move || source.find(&head, &hash)).await?;
    let absent = || Problem::not_found().field(name::LEAF_HASH).value(hash.to_base64());
    found.filter(|index| size.contains(*index)).ok_or_else(absent)
}

fn covered(field: &'static str, size: TreeSize, head: &Head) -> Result<(), Problem> {
    if size > head.size {
        return Err(out_of_range(field, size.get(), format!("at most {}", head.size)));
    }
    Ok(())
}

fn below(size: TreeSize) -> String {
    if size == TreeSize::ZERO { "of a log that is not empty".into() } else { format!("below {size}") }
}
