//! `/openapi.json` and its readable page: OpenAPI 3.1, collected from the routes' own annotations.
//!
//! The page is one self-contained HTML text made from the document when the server starts; no script, nothing external.
//! The types here describe JSON shapes for the document alone; the code reads and writes them elsewhere (`wire`, `json`).

use std::fmt::Write as _;

use bytes::Bytes;
use cairn_listen::Answer;
use cairn_tree::wire::media;
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;
use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi, ToSchema};

use super::reading::fresh;
use super::trail::Described;

/// An error (RFC 9457). `type` is stable: branch on it, not on the words.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProblemDocument {
    /// The kind, as a URI.
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

/// Something that was done to an object. Members that are not known are refused.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordRequest {
    /// A UUID of version 7 or 4; drawn if it is absent.
    id: Option<String>,
    /// When it happened, as in RFC 3339 or in milliseconds since 1970; the server's time if it is absent. At most five
    /// minutes after the server's time.
    time: Option<String>,
    /// The id of the record of the same stream that this one corrects.
    replaces: Option<String>,
    /// `tenant`, `module`, `entity`, `id` and `operation` (`create`, `update`, `delete`, `read` or a word of one's own);
    /// perhaps `row`, `category`, `action`.
    object: serde_json::Value,
    /// `id`; perhaps `type`, `roles`, `on_behalf_of`.
    actor: Option<serde_json::Value>,
    /// The persons that the data is about.
    subjects: Option<Vec<String>>,
    /// Any of `reason`, `purpose`, `transaction`, `correlation`, `stream`, `traceparent`, `tracestate`.
    context: Option<serde_json::Value>,
    /// `whole`: `{old?, new?}`; or `fields`: `{JSON Pointer: {old?, new?}}`. Perhaps `schema`: `{uri, version?}`.
    values: Option<serde_json::Value>,
    /// `default`, `values` by JSON Pointer, `attributes` by name: `public`, `internal`, `restricted` or `secret`.
    classification: Option<serde_json::Value>,
    /// Free attributes by name.
    attributes: Option<serde_json::Value>,
    /// Digests of data that is kept elsewhere: `name`, `size`, `sha256`; perhaps `media_type`, `class`.
    external: Option<Vec<serde_json::Value>>,
    /// What the stream can be searched by, should this be its first record.
    topics: Option<Vec<String>>,
    /// The number that the stream's last record must have; null if there must be none.
    expected_seq: Option<u64>,
    /// The leaf hash that the stream's last record must have, as base64; null if there must be none.
    expected_prev: Option<String>,
}

/// The answer to records.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordsAppended {
    /// What became of each record, in order.
    records: Vec<RecordReceipt>,
    /// The signed checkpoint's text, which the proofs are for.
    checkpoint: String,
    /// true: an earlier request with the same idempotency key had brought them.
    replayed: Option<bool>,
}

/// Where a record is.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordReceipt {
    /// The record's id.
    id: String,
    /// Its index in the log.
    index: u64,
    /// Its leaf hash, as base64.
    leaf_hash: String,
    /// The id of its stream.
    stream: String,
    /// Its number in the stream.
    seq: u64,
    /// The leaf hash of the record before it in the stream, as base64.
    prev: Option<String>,
    /// When it was sequenced.
    time: String,
    /// true: it was there before, by the same request or as the same event.
    replayed: Option<bool>,
    /// The leaf's bytes, which are text.
    leaf: Option<String>,
    /// The inclusion proof in the checkpoint's tree, as base64 hashes.
    proof: Option<Vec<String>>,
}

/// A record as its reader may see it, with what it is verified by.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordBody {
    /// What it says, for those who verify nothing: as it came in, but that each field of `values`, by JSON Pointer, each
    /// attribute and each external digest has its `class`. What is withheld is `{"withheld": true}`, what is erased
    /// `{"erased": INDEX}`. With `stream`, `seq`, `prev`, `server_time`, `late_seconds` (how long after the producer's time
    /// that is) and `by`; in the first record of a stream also `stream_name`, perhaps `topics` and `continues`.
    view: serde_json::Value,
    /// The leaf's bytes, which are text.
    leaf: String,
    /// The disclosures of what is shown.
    disclosures: Vec<String>,
    /// The digests of what is withheld.
    withheld: Option<Vec<String>>,
    /// `log`, `index`, `leaf_hash`, `key_id`, `head` (`size` and `root`), `integrityHash` (log, key, algorithm and leaf
    /// hash), perhaps `proof`.
    integrity: serde_json::Value,
    /// With the proof: `index`, `leaf` and `proof` of the record directly before it in its stream.
    before: Option<serde_json::Value>,
}

/// One record.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordAnswer {
    /// The record.
    record: RecordBody,
    /// The signed checkpoint's text, which the proof is for.
    checkpoint: String,
}

/// A page of records.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordsAnswer {
    /// The id of the stream, if it is the history of one.
    stream: Option<String>,
    /// The records, in the order that the route states. One that can't be verified is not given out: in its place stands
    /// only `problem`, with `type`, `title`, `detail`, `index`, `part` (`disclosure`, `leaf` or `chain`), and of a disclosure
    /// its `digest` and `fault` (`missing`, `changed` or `malformed`). One of a later version is there without disclosures.
    records: Vec<RecordBody>,
    /// Of a history: from the record at this index on nobody says that none is missing, since the chain is broken there.
    broken_from: Option<u64>,
    /// The signed checkpoint's text, which the proofs are for.
    checkpoint: String,
    /// The size of the log up to which the pages together are complete.
    complete_to: u64,
    /// The cursor of the next page; absent if there is none.
    next: Option<String>,
}

/// A report: how many records there are of each kind, or which.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReportAnswer {
    /// Whose records.
    tenant: String,
    /// What is counted by.
    by: Option<Vec<String>>,
    /// Each group: what its records have in common (`null` where they say nothing, `{"withheld":true}` or
    /// `{"erased":true}`), `records`, and the server's times `oldest` and `newest`.
    groups: Option<Vec<serde_json::Value>>,
    /// With `show=records`, each record, newest first: `index`, `id`, `seq`, `server_time`, `time`, what it says of object
    /// and actor, `leaf_hash`.
    listed: Option<Vec<serde_json::Value>>,
    /// How many records were counted or listed.
    records: Option<u64>,
    /// The size of the log up to which the server says that nothing is left out.
    complete_to: Option<u64>,
    /// When the head was made that was read.
    as_of: Option<String>,
    /// A signed checkpoint's text, of that size at least.
    checkpoint: Option<String>,
    /// Why the report breaks off.
    problem: Option<serde_json::Value>,
    /// Whether all of it is here.
    complete: bool,
}

/// What the records of a stream make of its objects.
#[derive(Serialize, ToSchema)]
pub(crate) struct StateAnswer {
    /// The stream's id.
    stream: String,
    /// Up to where the records act: `seq`, `time` or `producer_time`, and the `view`.
    at: serde_json::Value,
    /// Each object's, and each row's: `object`, `life` (`live`, `ended` or unknown), `lives` (how many have begun), `last`
    /// (the number of the last record that acted on it), perhaps `document`, and in `unknown` where that is not known.
    states: Vec<serde_json::Value>,
    /// What does not fit together: `seq`, `index`, `flag`, and what it is about.
    flags: Vec<serde_json::Value>,
    /// Why nobody knows whether there are other objects.
    others: Option<serde_json::Value>,
    /// A signed checkpoint's text, of a tree that has all of these records.
    checkpoint: String,
    /// The size of the log up to which the stream is complete.
    complete_to: u64,
}

/// What changed between two points of a stream.
#[derive(Serialize, ToSchema)]
pub(crate) struct DiffAnswer {
    /// The stream's id.
    stream: String,
    /// The first point.
    from: serde_json::Value,
    /// The second.
    to: serde_json::Value,
    /// Of each object `differences`: `pointer`, `old`, `new`, `certain`.
    objects: Vec<serde_json::Value>,
    /// A signed checkpoint's text, of a tree that has all of these records.
    checkpoint: String,
    /// The size of the log up to which the stream is complete.
    complete_to: u64,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Cairn", description = "Transparency logs over HTTP: append, signed heads, proofs that anyone can verify. Tiles and heads follow C2SP tlog-tiles. Errors are application/problem+json, but for requests whose header can't be read: those are answered 400 or 431 without a body, and the connection is closed."),
    paths(
        super::append::add, super::append::entries, super::heads::head, super::heads::checkpoint, super::tiles::tile, super::keys::keys,
        super::entries::one, super::entries::range, super::proofs::inclusion, super::proofs::consistency,
        super::events::events, super::v1::append::append, super::v1::list::list,
        super::v1::record::one, super::v1::record::receipt,
        super::v1::streams::history, super::v1::streams::state, super::v1::streams::diff,
        super::v1::events::events, super::v1::reports::reports,
        super::digit::capture::capture, super::digit::create::create, super::digit::search::search, super::digit::verify::verify, super::ops::health, super::ops::ready, super::ops::metrics,
    ),
    components(schemas(Appended)),
    modifiers(&Tokens, &Refusals, &Described)
)]
struct Api;

struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// Adds what every route of a log may answer beside its own: that a bound of the server was reached.
struct Refusals;

impl Modify for Refusals {
    fn modify(&self, document: &mut Document) {
        let schema = RefOr::Ref(Ref::from_schema_name("ProblemDocument"));
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let busy = ResponseBuilder::new()
            .description("A bound of the server is reached, or it is stopping; Retry-After says when to come again")
            .content(media::PROBLEM, content)
            .build();
        let in_logs =
            document.paths.paths.iter_mut().filter(|(path, _)| path.starts_with("/logs/") || path.starts_with("/v1/"));
        for operation in in_logs.filter_map(|(_, item)| item.get.as_mut()) {
            let responses = &mut operation.responses.responses;
            responses.entry("503".into()).or_insert_with(|| RefOr::T(busy.clone()));
        }
    }
}

/// The document.
#[must_use]
pub fn openapi() -> Document {
    Api::openapi()
}

/// The document and its page, as they are served.
pub(super) struct Docs {
    document: Bytes,
    page: Bytes,
}

impl Docs {
    pub(super) fn new() -> Self {
        let document = openapi();
        // Maps with text keys always serialize.
        let json = serde_json::to_vec_pretty(&document).unwrap_or_default();
        let value = serde_json::to_value(&document).unwrap_or_default();
        Self { document: json.into(), page: page(&value).into() }
    }

    pub(super) fn document(&self) -> Answer {
        fresh(media::JSON, self.document.clone())
    }

    pub(super) fn page(&self) -> Answer {
        let mut answer = fresh("text/html; charset=utf-8", self.page.clone());
        let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
        answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        answer
    }
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
h2{margin-top:2.5rem;font-size:1.1rem}code,h2{font-family:ui-monospace,monospace}table{border-collapse:collapse;width:100%}\
td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #ddd}\
@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}td,th{border-color:#444}a{color:#8bf}}";

/// The page: each operation with its parameters and answers, and each JSON shape.
fn page(document: &Value) -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Cairn</title><style>{STYLE}</style><h1>Cairn</h1><p>{}</p><p>This page is made from \
         <a href=\"/openapi.json\">openapi.json</a>.</p>",
        escaped(at(document, "/info/description"))
    );
    for (path, operations) in members(at(document, "/paths")) {
        for (method, operation) in members(operations) {
            operation_section(&mut html, path, method, operation);
        }
    }
    for (name, schema) in members(at(document, "/components/schemas")) {
        schema_section(&mut html, name, schema);
    }
    html.push_str("</html>");
    html
}

// Writing to a string succeeds, here and below.
fn operation_section(html: &mut String, path: &str, method: &str, operation: &Value) {
    let _ = write!(html, "<h2>{} {}</h2>", method.to_uppercase(), escape(path));
    let _ = write!(html, "<p>{} {}</p>", escaped(&operation["summary"]), escaped(&operation["description"]));
    if let Some(parameters) = operation["parameters"].as_array() {
        html.push_str("<table><tr><th>Parameter<th>In<th>Meaning");
        for parameter in parameters {
            let need = if parameter["required"] == Value::Bool(true) { "" } else { " (optional)" };
            let (name, place) = (escaped(&parameter["name"]), escaped(&parameter["in"]));
            let _ =
                write!(html, "<tr><td><code>{name}</code>{need}<td>{place}<td>{}", escaped(&parameter["description"]));
        }
        html.push_str("</table>");
    }
    let body = &operation["requestBody"];
    if body.is_object() {
        let _ = write!(html, "<p>Body: {} {}</p>", escaped(&body["description"]), contents(&body["content"]));
    }
    html.push_str("<table><tr><th>Status<th>Answer<th>Types");
    for (status, response) in members(&operation["responses"]) {
        let (meaning, types) = (escaped(&response["description"]), contents(&response["content"]));
        let _ = write!(html, "<tr><td>{}<td>{meaning}<td>{types}", escape(status));
    }
    html.push_str("</table>");
}

fn schema_section(html: &mut String, name: &str, schema: &Value) {
    let name = escape(name);
    let _ = write!(html, "<h2 id=\"{name}\">{name}</h2><p>{}</p>", escaped(&schema["description"]));
    let alternatives = schema["oneOf"].as_array().into_iter().flatten();
    for alternative in alternatives {
        let _ = write!(html, "<p>{}</p>", shape(alternative));
    }
    if schema["properties"].is_object() {
        html.push_str("<table><tr><th>Member<th>Type<th>Meaning");
        for (member, property) in members(&schema["properties"]) {
            let (shape, meaning) = (shape(property), escaped(&property["description"]));
            let _ = write!(html, "<tr><td><code>{}</code><td>{shape}<td>{meaning}", escape(member));
        }
        html.push_str("</table>");
    }
}

/// The media types of a body, each with its shape.
fn contents(content: &Value) -> String {
    let each = members(content)
        .map(|(media_type, content)| format!("<code>{}</code> {}", escape(media_type), shape(&content["schema"])));
    each.collect::<Vec<_>>().join("<br>")
}

fn shape(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        let name = escape(name);
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" && schema["items"].is_object() => {
            format!("{} ...", shape(&schema["items"]))
        }
        Value::String(kind) => escape(kind),
        Value::Array(kinds) => kinds.iter().map(escaped).collect::<Vec<_>>().join(" or "),
        _ => String::new(),
    }
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn escaped(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::path::Route;

    #[test]
    fn every_route_is_described_and_on_the_page() {
        let value = serde_json::to_value(openapi()).unwrap();
        assert_eq!(value["openapi"], "3.1.0");
        let page = page(&value);
        let described = |route: &Route| !matches!(route, Route::Unknown | Route::OpenApi | Route::Docs);
        for route in Route::ALL.iter().filter(|route| described(route)) {
            let operations = &value["paths"][route.label()];
            let methods: Vec<_> = members(operations).map(|(method, _)| method.to_uppercase()).collect();
            let expected: Vec<_> = route.allow().split(", ").filter(|method| *method != "HEAD").collect();
            assert_eq!(methods, expected, "{}", route.label());
            assert!(page.contains(&escape(route.label())));
        }
        assert!(!page.contains("<script") && !page.contains("src="));
    }
}
