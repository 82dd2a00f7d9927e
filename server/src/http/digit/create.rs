//! `POST /audit-service/log/v1/_create`: at most a hundred rows, all of them or none.

use std::borrow::Cow;
use std::sync::Arc;

use cairn_listen::Answer;
use cairn_tree::record::time::Time;
use cairn_tree::wire::record::digit::{CREATE_ERROR, parse_create};
use hyper::body::Incoming;

use super::super::Ask;
use super::super::append::idempotency_text;
use super::super::problem::{Kind, Problem};
use super::super::v1::{Credential, Done, Prints, Request, append_prepared};
use super::envelope::{Echo, done};
use super::json::object;
use super::row::Row;
use super::{caller, integrity_hash, read, refused, require, said_tenant};
use crate::auth::{Caller, Right};
use crate::records::{Form, Refusal, Said};

/// The code of what goes wrong at this end.
const SIGNING_ERROR: &str = "EG_AUDIT_SIGNING_ERR";

/// Appends rows, as DIGIT's audit service takes them.
#[utoipa::path(
    post, path = "/audit-service/log/v1/_create", tag = "DIGIT", security(("token" = []), ()),
    params(
        ("x-tenant-id" = Option<String>, Header, description = "The tenant of all that the request is about"),
    ),
    request_body(content = Object, content_type = "application/json", description = "`RequestInfo`, and `AuditLogs`: at most 100 rows. The token is `Authorization`, else `RequestInfo.authToken`"),
    responses(
        (status = 200, description = "`responseInfo`, and `AuditLogs`: the rows with their ids and integrity hashes", body = Object, content_type = "application/json"),
        (status = 400, description = "Every error: `ResponseInfo` and `Errors`; nothing was written", body = Object, content_type = "application/json"),
    )
)]
pub(crate) async fn create(ask: &Ask<'_>, body: &mut Incoming) -> Result<Answer, Problem> {
    let mut echo = Echo::default();
    match create_rows(ask, body, &mut echo).await {
        Ok(answer) => Ok(answer),
        Err(problem) if problem.cause().is_some() => Ok(refused(&echo, SIGNING_ERROR, &problem)),
        Err(problem) => Ok(refused(&echo, CREATE_ERROR, &problem)),
    }
}

async fn create_rows(ask: &Ask<'_>, body: &mut Incoming, echo: &mut Echo) -> Result<Answer, Problem> {
    let body = read(ask, body).await?;
    let auth_token = {
        let input = parse_create(&body).map_err(Refusal::from)?;
        *echo = Echo::of(&input.request_info);
        input.request_info.auth_token.map(|token| token.into_owned())
    };
    let caller = caller(ask, auth_token.as_deref());
    require(&caller, Right::Append)?;
    said_tenant(ask, &Credential::of(&caller).ok_or_else(Problem::not_found)?)?;
    let Caller::Known { id, tenants, producer_keys, .. } = caller else {
        return Err(Problem::new(Kind::Unauthorized, "no such token is in force"));
    };
    let said = Said::of(&ask.parts.headers)?;
    let key = idempotency_text(&ask.parts.headers)?.map(Cow::into_owned);
    let (prints, is_of_crowd) = (Prints::default(), ask.is_of_crowd());
    let app = Arc::clone(ask.app);
    let form = Form::DigitRows;
    let request = Request { app, body, form, said, key, token: id, tenants, producer_keys, prints, is_of_crowd };
    let request = Arc::new(request);
    let ready = request.prepared(true).await?;
    let rows = append_prepared(&request, ready).await?;
    answer(&request, &rows, echo)
}

/// The rows as they were brought, with what they got.
fn answer(request: &Request, rows: &Done, echo: &Echo) -> Result<Answer, Problem> {
    let input = parse_create(&request.body).map_err(Refusal::from)?;
    let mut rows_told = Vec::with_capacity(rows.records.len());
    for (row, place) in input.records.iter().zip(&rows.records) {
        rows_told.push((row, place.id, integrity_hash(&rows.log, &rows.head, place.leaf)?));
    }
    Ok(done(|members| {
        members.object("responseInfo", |members| echo.write(members, "successful"));
        members.array("AuditLogs", rows_told, |out, (row, id, hash)| {
            let time = row.time.unwrap_or(Time::MAX);
            object(out, |members| Row::brought(&row.content, id.to_string(), time, hash).write(members));
        });
    }))
}
