//! `POST /audit-service/log/v1/_capture`: a message of the persister, `{topic, value}`, becomes records, one per row.
//!
//! A message is recorded whole, or quarantined whole, or refused. The first two are 200: whoever brings messages from a queue
//! goes on to the next. After any error nothing of it was recorded or kept, and it must be sent again.

use cairn_listen::Answer;
use cairn_tree::wire::record::capture::parse_capture;
use cairn_tree::wire::record::digit::CREATE_ERROR;
use hyper::body::Incoming;

use super::super::Ask;
use super::super::append::idempotency_text;
use super::super::body::{self, Bound};
use super::super::problem::{Kind, Problem};
use super::envelope::{Echo, done};
use super::json::object;
use super::recording::{Arrival, Outcome, Recorded, Stop, quarantine, record};
use super::row::Row;
use super::{caller, integrity_hash, refused, require};
use crate::auth::{Caller, Right};
use crate::limits::CAPTURE_BODY_BYTES;
use crate::records::Refusal;
use crate::records::capture::{Line, Reason, Unmapped};

/// Captures a message of the persister.
#[utoipa::path(
    post, path = "/audit-service/log/v1/_capture", tag = "DIGIT", security(("token" = []), ()),
    params(
        ("idempotency-key" = Option<String>, Header, description = "What the message is known by, in place of its topic and content: its place in the queue, say. Also as X-Idempotency-Key"),
    ),
    request_body(content = Object, content_type = "application/json", description = "`topic` and `value`, as the persister hands them on; perhaps a `RequestInfo` beside them. The token is `Authorization`, else that `RequestInfo.authToken`"),
    responses(
        (status = 200, description = "`responseInfo`; `AuditLogs`, the rows as records, and how many `captured`; or `quarantined`, 1 if the message was kept for an operator, and why", body = Object, content_type = "application/json"),
        (status = 400, description = "Every error: `ResponseInfo` and `Errors`; nothing was recorded or kept", body = Object, content_type = "application/json"),
    )
)]
pub(crate) async fn capture(ask: &Ask<'_>, body: &mut Incoming) -> Result<Answer, Problem> {
    let mut echo = Echo::default();
    let captured = match capture_message(ask, body, &mut echo).await {
        Ok(Outcome::Recorded(recorded)) => told(&recorded, &echo),
        Ok(Outcome::Quarantined(line)) => Ok(kept(&line, &echo)),
        Err(problem) => Err(problem),
    };
    captured.or_else(|problem| {
        ask.app.records.capture.figures().refused();
        Ok(refused(&echo, CREATE_ERROR, &problem))
    })
}

async fn capture_message(ask: &Ask<'_>, body: &mut Incoming, echo: &mut Echo) -> Result<Outcome, Problem> {
    let bound = Bound { field: "body", most: ask.app.limits.body_bytes().min(CAPTURE_BODY_BYTES) };
    let read = body::read(body, &ask.parts.headers, bound, &ask.app.bodies, &ask.app.limits).await?;
    let parsed = parse_capture(&read.bytes);
    let token = parsed.as_ref().ok().and_then(|input| input.request_info.auth_token.as_deref());
    let caller = caller(ask, token);
    require(&caller, Right::Append)?;
    let Caller::Known { id: token, tenants, .. } = caller else {
        return Err(Problem::new(Kind::Unauthorized, "no such token is in force"));
    };
    if ask.app.records.capture.persister().is_none() {
        let detail = "no persister configuration is in force; name its files in the server's, as digit.persister";
        return Err(Problem::new(Kind::NotFound, detail));
    }
    let key = idempotency_text(&ask.parts.headers)?.map(std::borrow::Cow::into_owned);
    let input = match parsed {
        Ok(input) => input,
        // Nothing at all is no message.
        Err(fault) if read.bytes.is_empty() => return Err(Refusal::from(fault).into()),
        Err(fault) => {
            let why = Unmapped::of(Reason::Unreadable).at(fault.to_string());
            let arrival = Arrival::unread(&read.bytes, key, (token, tenants));
            return Ok(Outcome::Quarantined(quarantine(ask.app, &arrival, why).await?));
        }
    };
    *echo = Echo::of(&input.request_info);
    let arrival = Arrival::new(input.topic.as_str(), input.value, key, (token, tenants));
    drop(read);
    match record(ask.app, &arrival).await {
        Ok(recorded) => Ok(Outcome::Recorded(recorded)),
        Err(Stop::Unmapped(why)) => Ok(Outcome::Quarantined(quarantine(ask.app, &arrival, why).await?)),
        Err(Stop::Problem(problem)) => Err(problem),
    }
}

/// The rows, with what they got.
fn told(recorded: &Recorded, echo: &Echo) -> Result<Answer, Problem> {
    let mut rows = Vec::with_capacity(recorded.rows.len());
    for (row, id, place) in &recorded.rows {
        let (log, head) = recorded.log.as_ref().ok_or_else(|| Problem::internal("rows without a log"))?;
        rows.push((row, id, row.time.unwrap_or(place.time), integrity_hash(log, head, place.leaf)?));
    }
    Ok(done(|members| {
        members.object("responseInfo", |members| echo.write(members, "successful"));
        members.number("captured", rows.len() as u64);
        members.raw("again", if recorded.again { "true" } else { "false" });
        members.number("notAudited", recorded.not_audited as u64);
        members.number("quarantined", 0);
        members.array("AuditLogs", &rows, |out, (row, id, time, hash)| {
            object(out, |members| Row::brought(&row.content, id.to_string(), *time, hash.clone()).write(members));
        });
    }))
}

/// That an operator has it now.
fn kept(line: &Line, echo: &Echo) -> Answer {
    let why = line.why();
    done(|members| {
        members.object("responseInfo", |members| echo.write(members, "successful"));
        members.number("captured", 0);
        members.raw("again", "false");
        members.number("notAudited", 0);
        members.number("quarantined", 1);
        members.object("quarantine", |members| {
            members.text("id", &line.id.to_string());
            members.text("reason", why.reason.name());
            members.text("description", &why.to_string());
        });
        members.array("AuditLogs", [], |_, ()| {});
    })
}
