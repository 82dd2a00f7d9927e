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

#[derive(OpenApi)]
#[openapi(
    info(title = "Cairn", description = "Transparency logs over HTTP: append, signed heads, proofs that anyone can verify. Tiles and heads follow C2SP tlog-tiles. Errors are application/problem+json, but for requests whose header can't be read: those are answered 400 or 431 without a body, and the connection is closed."),
    paths(
        super::append::add, super::append::entries, super::heads::head, super::heads::checkpoint, super::tiles::tile, super::keys::keys,
        super::entries::one, super::entries::range, super::proofs::inclusion, super::proofs::consistency,
        super::events::events, super::ops::health, super::ops::ready, super::ops::metrics,
    ),
    components(schemas(Appended)),
    modifiers(&Tokens, &Refusals)
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
        let in_logs = document.paths.paths.iter_mut().filter(|(path, _)| path.starts_with("/logs/"));
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
