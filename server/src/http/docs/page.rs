//! The readable page: one self-contained HTML text made from the document; no script, nothing external.

use std::fmt::Write as _;

use serde_json::Value;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
h2{margin-top:2.5rem;font-size:1.1rem}code,h2{font-family:ui-monospace,monospace}table{border-collapse:collapse;width:100%}\
td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #ddd}\
@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}td,th{border-color:#444}a{color:#8bf}}";

/// The page: each operation with its parameters and answers, and each JSON shape.
pub(super) fn page(document: &Value) -> String {
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

pub(super) fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn escaped(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
