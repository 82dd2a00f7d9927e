//! The JSON shapes of logs and their entries, and of errors, for the document alone.

use cairn_tree::wire::problem::ProblemKind;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// An error (RFC 9457). `type` is stable: branch on it, not on the words.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProblemDocument {
    /// The kind, as a URI.
    #[schema(schema_with = problem_types)]
    r#type: String,
    /// The kind in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What happened this time.
    detail: String,
    /// The parameter, header or member that is wrong.
    field: Option<String>,
    /// The offending value, cut short.
    value: Option<String>,
    /// The bound that it breaks.
    bound: Option<String>,
    /// Where in a JSON body it is, as a JSON Pointer; in a batch it begins with the number of the record.
    pointer: Option<String>,
    /// The head that a stream has in place of the one that was expected: `seq` and `leaf_hash`, both null if it has none.
    stream_head: Option<serde_json::Value>,
    /// Where old values are not those that are recorded, as JSON Pointers into the object's document: the first of them.
    paths: Option<Vec<String>>,
    /// Whether there are more of them.
    more_paths: Option<bool>,
}

/// All kinds of problems; others may be added.
fn problem_types() -> Object {
    let types = ProblemKind::ALL.iter().map(|kind| kind.uri());
    let each = ProblemKind::ALL.iter().map(|kind| format!("{}: {} {}", kind.uri(), kind.status(), kind.title()));
    let words = format!("The kind, as a URI. {}", each.collect::<Vec<_>>().join("; "));
    ObjectBuilder::new().schema_type(Type::String).description(Some(words)).examples(types).build()
}

/// A batch of entries.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchRequest {
    /// The entries' bytes as padded standard base64, in order.
    entries: Vec<String>,
}

/// A receipt: the JSON twin of a C2SP tlog-proof.
#[derive(Serialize, ToSchema)]
pub(crate) struct Receipt {
    /// Where the entry is.
    index: u64,
    /// SHA-256 of a zero byte and the entry, as base64.
    leaf_hash: String,
    /// The inclusion proof in the checkpoint's tree, as base64 hashes.
    proof: Vec<String>,
    /// The signed checkpoint's text.
    checkpoint: String,
}

/// Where a batch is.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchAnswer {
    /// The first entry's index.
    first: u64,
    /// How many entries.
    count: u64,
    /// The signed checkpoint's text.
    checkpoint: String,
    /// Each entry's index, where they are not in a row.
    indexes: Option<Vec<u64>>,
    /// With `receipts=1`, a proof for each entry.
    receipts: Option<Vec<EntryProof>>,
}

/// One entry's proof; with the batch's checkpoint, a receipt.
#[derive(Serialize, ToSchema)]
pub(crate) struct EntryProof {
    /// Where the entry is.
    index: u64,
    /// The entry's leaf hash, as base64.
    leaf_hash: String,
    /// The inclusion proof, as base64 hashes.
    proof: Vec<String>,
}

/// The answer to an append.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes a shape; answers are written by `json`")]
pub(crate) enum Appended {
    /// To one entry.
    Entry(Receipt),
    /// To a batch.
    Batch(BatchAnswer),
}

/// An entry with its receipt.
#[derive(Serialize, ToSchema)]
pub(crate) struct EntryAnswer {
    /// Where the entry is.
    index: u64,
    /// The entry's leaf hash, as base64.
    leaf_hash: String,
    /// The entry's bytes, as base64.
    entry: String,
    /// The inclusion proof in the checkpoint's tree, as base64 hashes.
    proof: Vec<String>,
    /// The signed checkpoint's text.
    checkpoint: String,
}

/// Entries in a row.
#[derive(Serialize, ToSchema)]
pub(crate) struct EntriesAnswer {
    /// The first entry's index.
    start: u64,
    /// The entries' bytes, as base64; perhaps fewer than were asked for.
    entries: Vec<String>,
}

/// That a leaf is in a tree.
#[derive(Serialize, ToSchema)]
pub(crate) struct InclusionAnswer {
    /// Where the leaf is.
    index: u64,
    /// The leaf's hash, as base64.
    leaf_hash: String,
    /// The size of the tree that the proof is for.
    size: u64,
    /// The proof, as base64 hashes.
    proof: Vec<String>,
    /// The signed checkpoint's text, if the proof is for its tree.
    checkpoint: Option<String>,
}

/// That one tree is the beginning of another.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConsistencyAnswer {
    /// The older size.
    from: u64,
    /// The newer size.
    to: u64,
    /// The proof, as base64 hashes.
    proof: Vec<String>,
}

/// A log's keys.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeysAnswer {
    /// The log's origin.
    origin: String,
    /// The keys, oldest first, those that sign no more included.
    keys: Vec<KeyAnswer>,
    /// The entries that say how they changed, in order.
    statements: Vec<StatementAnswer>,
    /// The origin of the log that it continues.
    predecessor: Option<String>,
    /// The origin of the log that continues it.
    successor: Option<String>,
}

/// One key.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyAnswer {
    /// The key, a C2SP vkey.
    vkey: String,
    /// `active`: it signs; `retired`: it did.
    status: String,
    /// The size of the first head that it signs.
    first_size: u64,
}

/// One entry about a key.
#[derive(Serialize, ToSchema)]
pub(crate) struct StatementAnswer {
    /// Where it is.
    index: u64,
    /// The entry: a signed note whose text begins with `cairn.key/1`.
    statement: String,
}
