//! What operators and their machines ask: `/healthz`, `/readyz`, `/metrics`.
//!
//! Health is that the process answers; readiness is that it takes appends. A process that is healthy but not ready still
//! serves reads.

use cairn_listen::{Answer, Payload};
use cairn_tree::wire::media;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};

use super::problem::{Kind, Problem};
use super::reading::fresh;
use super::{App, Ask};

/// The text format of Prometheus and OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the process answers.
#[utoipa::path(
    get, path = "/healthz", tag = "Operation",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain"))
)]
pub(crate) fn health() -> Answer {
    fresh(media::TEXT, "ok\n")
}

/// Whether appends are taken.
#[utoipa::path(
    get, path = "/readyz", tag = "Operation",
    responses(
        (status = 200, description = "They are", body = String, content_type = "text/plain"),
        (status = 503, description = "They are not, with the reason", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) fn ready(app: &App) -> Result<Answer, Problem> {
    if *app.stop.borrow() {
        return Err(Problem::new(Kind::Stopping, "the server is stopping"));
    }
    if app.engine.poisoned().is_some() {
        return Err(Problem::new(Kind::Stopping, "the database can't be written any more; the process is ending"));
    }
    if let Err(low) = app.engine.disk() {
        return Err(Problem::from(low).status(StatusCode::SERVICE_UNAVAILABLE));
    }
    Ok(fresh(media::TEXT, "ready\n"))
}

/// Figures in the OpenMetrics text format; those of a private log only with a token that may read it.
#[utoipa::path(
    get, path = "/metrics", tag = "Operation", security((), ("token" = [])),
    responses((status = 200, description = "Figures", body = String, content_type = "text/plain"))
)]
pub(crate) fn metrics(ask: &Ask<'_>) -> Result<Answer, Problem> {
    let app = ask.app;
    let logs = app.engine.logs().into_iter().filter(|log| ask.may_read(log)).collect();
    app.metrics.http.bodies(app.bodies.used());
    let text = app.metrics.render(&app.engine, logs, app.clock.now_ms()).map_err(Problem::internal)?;
    let mut answer = fresh(media::TEXT, "");
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
    *answer.body_mut() = Payload::whole(text);
    Ok(answer)
}
