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
use super::super::v1::Credential;
use super::envelope::{Echo, done};
use super::json::object;
use super::recording::{Arrival, Outcome, Recorded, Stop, quarantine, record};
use super::row::Row;
use super::{caller, integrity_hash, refused, require, said_tenant};
use crate::auth::{Caller, Right};
use crate::limits::{CAPTURE_BODY_BYTES, DIGIT_BODY_BYTES};
use crate::records::Refusal;
use crate::records::capture::{Line, Reason, Unmapped};

/// Captures a message of the persister.
#[utoipa::path(
    post, path = "/audit-service/log/v1/_capture", tag = "DIGIT", security(("token" = []), ()),
    params(
        ("idempotency-key" = Option<String>, Header, description = "What the message is known by, in place of its topic and content: its place in the queue, say. Also as X-Idempotency-Key"),
        ("x-tenant-id" = Option<String>, Header, description = "The tenant of all rows; a message with others is quarantined"),
    ),
    request_body(content = Object, content_type = "application/json", description = "`topic` and `value`, as the persister hands them on; perhaps a `RequestInfo` beside them. The token is `Authorization`, else that `RequestInfo.authToken`. A message of more than 4 MiB is quarantined unread: its token must be in `Authorization`"),
    responses(
        (status = 200, description = "`responseInfo`; `AuditLogs`, the rows as records, and how many `captured`; or `quarantined`, 1 if the message was kept for an operator, and why", body = Object, content_type = "application/json"),
        (status = 400, description = "Every error: `ResponseInfo` and `Errors`; nothing was recorded or kept, and the same message may be sent again", body = Object, content_type = "application/json"),
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
    let bound = Bound { field: "body", most: ask.app.limits.body_bytes().min(DIGIT_BODY_BYTES) };
    let read = body::read(body, &ask.parts.headers, bound, &ask.bodies(), &ask.app.limits).await?;
    // What is too long to be taken apart beside others is kept unread, so that whoever brings it goes on to the next.
    let is_long = read.bytes.len() > CAPTURE_BODY_BYTES;
    let parsed = if is_long { None } else { Some(parse_capture(&read.bytes)) };
    let info = parsed.as_ref().and_then(|parsed| parsed.as_ref().ok()).map(|input| &input.request_info);
    let caller = caller(ask, info.and_then(|info| info.auth_token.as_deref()));
    require(&caller, Right::Append).map_err(|problem| if is_long { unread(problem) } else { problem })?;
    let tenant = said_tenant(ask, &Credential::of(&caller).ok_or_else(Problem::not_found)?)?;
    let Caller::Known { id: token, tenants, .. } = caller else {
        return Err(Problem::new(Kind::Unauthorized, "no such token is in force"));
    };
    if ask.app.records.capture.persister().is_none() {
        let detail = "no persister configuration is in force; name its files in the server's, as digit.persister";
        return Err(Problem::new(Kind::NotFound, detail));
    }
    let key = idempotency_text(&ask.parts.headers)?.map(std::borrow::Cow::into_owned);
    let why = match &parsed {
        // Nothing at all is no message.
        Some(Err(fault)) if read.bytes.is_empty() => return Err(Refusal::from(fault.clone()).into()),
        Some(Err(fault)) => Some(Unmapped::of(Reason::Unreadable).at(fault.to_string())),
        Some(Ok(_)) => None,
        None => Some(Unmapped::of(Reason::TooLarge).at(format!("{} bytes", read.bytes.len()))),
    };
    let (None, Some(Ok(input))) = (&why, parsed) else {
        // As many at once as are mapped: each takes several times its own bytes meanwhile.
        let _slot = ask.app.records.capture.slots().acquire_owned().await.map_err(Problem::internal)?;
        let bytes = read.bytes.clone();
        let arrival = cairn_listen::spawn_blocking(move || Arrival::unread(&bytes, key, (token, tenants))).await;
        let arrival = arrival.map_err(Problem::internal)?;
        let why = why.unwrap_or(Unmapped::of(Reason::Unreadable));
        return Ok(Outcome::Quarantined(quarantine(ask.app, &arrival, why).await?));
    };
    *echo = Echo::of(&input.request_info);
    let arrival = Arrival::new(input.topic.as_str(), input.value, key, (token, tenants)).of_tenant(tenant);
    drop(read);
    match record(ask.app, &arrival).await {
        Ok(recorded) => Ok(Outcome::Recorded(recorded)),
        Err(Stop::Unmapped(why)) => Ok(Outcome::Quarantined(quarantine(ask.app, &arrival, why).await?)),
        Err(Stop::Problem(problem)) => Err(problem),
    }
}

/// Where a long message's credential must stand.
fn unread(problem: Problem) -> Problem {
    if problem.kind() != Kind::Unauthorized {
        return problem;
    }
    let most = CAPTURE_BODY_BYTES;
    Problem::new(
        Kind::Unauthorized,
        format!("a message longer than {most} bytes is not read: send its token as Authorization"),
    )
}

/// The rows, with what they got.
fn told(recorded: &Recorded, echo: &Echo) -> Result<Answer, Problem> {
    let mut rows = Vec::with_capacity(recorded.rows.len());
    for (row, place) in &recorded.rows {
        let (log, head) = recorded.log.as_ref().ok_or_else(|| Problem::internal("rows without a log"))?;
        rows.push((row, place.id, row.time.unwrap_or(place.time), integrity_hash(log, head, place.leaf)?));
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
