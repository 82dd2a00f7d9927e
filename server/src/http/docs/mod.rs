//! `/openapi.json` and its readable page: OpenAPI 3.1, collected from the routes' own annotations.
//!
//! The page is one self-contained HTML text made from the document when the server starts; no script, nothing external.
//! The types here describe JSON shapes and parameters for the document alone; the code reads and writes them elsewhere
//! (`wire`, `json`).

mod entries;
mod named;
mod page;
mod parameters;
mod records;

pub(crate) use entries::{
    Appended, BatchRequest, ConsistencyAnswer, EntriesAnswer, EntryAnswer, InclusionAnswer, KeysAnswer, ProblemDocument,
};
pub(crate) use parameters::{ObjectPath, StreamLog, Wanted};
pub(crate) use records::{
    DiffAnswer, RecordAnswer, RecordsAnswer, RecordsAppended, RecordsRequest, ReportAnswer, StateAnswer,
};

use bytes::Bytes;
use cairn_listen::Answer;
use cairn_tree::wire::media;
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::reading::fresh;
use super::trail::Described;
use named::NamedStreams;
use page::page;

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
    modifiers(&Tokens, &Refusals, &Described, &NamedStreams)
)]
struct Api;

struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let words = "A token that `cairnd init` or `cairnd token create` has printed. Routes that take another place for it say so";
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(words)).build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

/// Adds what every route may answer beside its own: that the target is too long, and, where logs are read, that a bound of
/// the server was reached.
struct Refusals;

impl Modify for Refusals {
    fn modify(&self, document: &mut Document) {
        let long = refusal("The request target is longer than is taken");
        let busy = refusal("A bound of the server is reached, or it is stopping; Retry-After says when to come again");
        for (path, item) in &mut document.paths.paths {
            // DIGIT's routes answer every error with 400.
            if path.starts_with("/audit-service/") {
                continue;
            }
            let reads_log = path.starts_with("/logs/") || path.starts_with("/v1/");
            if let Some(operation) = item.get.as_mut().filter(|_| reads_log) {
                operation.responses.responses.entry("503".into()).or_insert_with(|| RefOr::T(busy.clone()));
            }
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                operation.responses.responses.entry("414".into()).or_insert_with(|| RefOr::T(long.clone()));
            }
        }
    }
}

fn refusal(words: &str) -> Response {
    let schema = RefOr::Ref(Ref::from_schema_name("ProblemDocument"));
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(words).content(media::PROBLEM, content).build()
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cairn_tree::wire::problem::ProblemKind;
    use serde_json::Value;

    use super::page::{escape, members};
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

    #[test]
    fn whatever_a_caller_meets_has_words_and_a_name_of_its_own() {
        let value = serde_json::to_value(openapi()).unwrap();
        let says = |value: &Value| value["description"].as_str().is_some_and(|words| !words.is_empty());
        let mut names = BTreeSet::new();
        for (path, operations) in members(&value["paths"]) {
            for (method, operation) in members(operations) {
                let name = operation["operationId"].as_str().unwrap();
                assert!(names.insert(name.to_owned()), "{method} {path}: {name} stands twice");
                let mut parameters = BTreeSet::new();
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    assert!(says(parameter), "{method} {path}: {parameter}");
                    let place = (parameter["in"].to_string(), parameter["name"].to_string());
                    assert!(parameters.insert(place), "{method} {path}: {parameter} stands twice");
                }
                for (status, response) in members(&operation["responses"]) {
                    assert!(says(response), "{method} {path}: {status}");
                }
            }
        }
        for (name, schema) in members(&value["components"]["schemas"]) {
            assert!(says(schema), "{name}");
            for (member, property) in members(&schema["properties"]) {
                assert!(says(property) || property["$ref"].is_string(), "{name}: {member}");
            }
        }
        let bodies = &value["paths"]["/v1/records"]["post"]["requestBody"]["content"];
        let described: Vec<_> = members(bodies).map(|(media_type, _)| media_type.as_str()).collect();
        let mut taken: Vec<_> = crate::records::Form::names().split(", ").map(str::to_owned).collect();
        taken.sort_unstable();
        assert_eq!(described, taken);
        assert!(bodies["application/json"].to_string().contains("RecordsRequest"));
        let forms = value["components"]["schemas"]["RecordsRequest"].to_string();
        assert!(forms.contains("SignedRequest") && forms.contains("OneRequest"), "{forms}");
        let problem = &value["components"]["schemas"]["ProblemDocument"]["properties"]["type"];
        assert_eq!(problem["examples"].as_array().unwrap().len(), ProblemKind::ALL.len());
    }
}
