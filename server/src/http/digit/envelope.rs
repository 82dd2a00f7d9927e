//! What DIGIT's requests and answers share: `RequestInfo`, `ResponseInfo`, and errors.

use cairn_listen::Answer;
use cairn_tree::record::json::Value;
use cairn_tree::record::json::canonical::push_string;
use cairn_tree::record::text::Name;
use cairn_tree::wire::media;
use cairn_tree::wire::record::digit::RequestInfo;
use http::StatusCode;

use super::super::problem::Problem;
use super::super::reading::fresh;
use super::json::{Members, object};
use super::names;

/// The members of `RequestInfo` that an answer repeats.
const REPEATED: [&str; 3] = ["apiId", "ver", "msgId"];

/// What an answer repeats of its request.
#[derive(Default, Clone)]
pub(super) struct Echo {
    texts: Vec<(&'static str, String)>,
    ts: Option<u64>,
}

impl Echo {
    pub(super) fn of(info: &RequestInfo<'_>) -> Self {
        let Some(Value::Object(members)) = info.json.as_ref().map(|json| json.value()) else { return Self::default() };
        let text = |name: &'static str| match members.get(name) {
            Some(Value::String(text)) => Some((name, text.to_string())),
            _ => None,
        };
        let ts = match members.get("ts") {
            Some(Value::Number(number)) => number.parse().ok(),
            _ => None,
        };
        Self { texts: REPEATED.into_iter().filter_map(text).collect(), ts }
    }

    /// Writes a `ResponseInfo`.
    pub(super) fn write(&self, members: &mut Members<'_>, status: &str) {
        for (name, text) in &self.texts {
            members.text(name, text);
        }
        if let Some(ts) = self.ts {
            members.number("ts", ts);
        }
        members.text("resMsgId", "uief87324");
        members.text("status", status);
    }
}

/// The person who asks, as `RequestInfo.userInfo.uuid` says.
pub(super) fn person(info: &RequestInfo<'_>) -> Option<Name<'static>> {
    let Value::Object(members) = info.json.as_ref()?.value() else { return None };
    let Some(Value::Object(user)) = members.get("userInfo") else { return None };
    let Some(Value::String(uuid)) = user.get("uuid") else { return None };
    Name::new(uuid.to_string()).ok()
}

/// An answer that went well.
pub(super) fn done(write: impl FnOnce(&mut Members<'_>)) -> Answer {
    let mut out = Vec::new();
    object(&mut out, write);
    fresh(media::JSON, out)
}

/// An error among those of an answer: its code, message, description and parameters.
pub(super) struct OneError {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) description: &'static str,
    pub(super) params: Vec<String>,
}

/// An answer that is not whole, with what there is of it: 400, so that nobody takes it for the whole.
pub(super) fn partly(echo: &Echo, errors: &[OneError], write: impl FnOnce(&mut Members<'_>)) -> Answer {
    let mut out = Vec::new();
    object(&mut out, |members| {
        members.object("ResponseInfo", |members| echo.write(members, "failed"));
        members.array("Errors", errors, |out, error| {
            object(out, |members| {
                members.text("code", error.code);
                members.text("message", &error.message);
                members.text("description", error.description);
                members.array("params", &error.params, |out, text| push_string(out, text));
            });
        });
        write(members);
    });
    let mut answer = fresh(media::JSON, out);
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    answer
}

/// An error, as that service tells it: with the code of the route, and always 400. `params` has the place in the body that is
/// wrong, or the name of the parameter or header.
pub(super) fn failed(echo: &Echo, code: &str, problem: &Problem) -> Answer {
    let mut out = Vec::new();
    let (message, place) = names::told(problem);
    object(&mut out, |members| {
        members.object("ResponseInfo", |members| echo.write(members, "failed"));
        members.array("Errors", [()], |out, ()| {
            object(out, |members| {
                members.text("code", code);
                members.text("message", &message);
                members.text("description", problem.title());
                match &place {
                    Some(place) => members.array("params", [place], |out, place| push_string(out, place)),
                    None => members.raw("params", "null"),
                }
            });
        });
    });
    let mut answer = fresh(media::JSON, out);
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    answer
}
