//! What operators and their machines ask: `/healthz`, `/readyz`, `/metrics`.
//!
//! Health is that the process answers, and then it serves reads; readiness is that it takes appends. Neither a witness
//! that lags nor a log that is halted makes the rest unready: `/readyz` names them in its text. Logs that wait for their
//! witnesses after a start, or for their operator after a repair, are named too; only when all open ones do, no append is
//! taken, and that is not ready.

use std::sync::Arc;

use cairn_listen::{Answer, Payload};
use cairn_tree::size::TreeSize;
use cairn_tree::wire::media;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};

use super::Ask;
use super::problem::{Kind, Problem};
use super::reading::fresh;
use crate::engine::{AppendError, Engine, Log, LogState, policy_in_doubt, say_which_policy};
use crate::metrics::Seen;

/// The text format of Prometheus and OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Enough about witnesses, in bytes; a line more or less does not matter.
const REPORT_BYTES: usize = 16_384;

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
    get, path = "/readyz", tag = "Operation", security((), ("token" = [])),
    responses(
        (status = 200, description = "They are; further lines name halted and damaged logs, witnesses that lag and logs that wait for theirs, or for a policy that a repair lost", body = String, content_type = "text/plain"),
        (status = 503, description = "They are not, with the reason", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) fn ready(ask: &Ask<'_>) -> Result<Answer, Problem> {
    let app = ask.app;
    if *app.stop.borrow() {
        return Err(Problem::new(Kind::Stopping, "the server is stopping"));
    }
    if app.engine.poisoned().is_some() {
        return Err(Problem::new(Kind::Stopping, "the database can't be written any more; the process is ending"));
    }
    if let Err(low) = app.engine.disk() {
        return Err(Problem::from(low).status(StatusCode::SERVICE_UNAVAILABLE));
    }
    let witnesses = witnesses(ask);
    if let Some(why) = none_goes_on(&app.engine) {
        return Err(Problem::from(why).detail_more(&witnesses));
    }
    Ok(fresh(media::TEXT, format!("ready\n{}{}{witnesses}", halted(ask), damaged(ask))))
}

/// A line for each log that takes no appends any more, and why; of private logs only for who may read them.
fn halted(ask: &Ask<'_>) -> String {
    let mut text = String::new();
    for log in ask.app.engine.logs().iter().filter(|log| ask.may_read(log)) {
        if let LogState::Halted(reason) = log.state() {
            text.push_str(&format!("log {}: halted, no appends: {reason}\n", log.info().name));
        }
        if text.len() > REPORT_BYTES {
            text.push_str("and others\n");
            break;
        }
    }
    text
}

/// A line for each log in which damage was found, and one for what belongs to no log; of private logs only for who may
/// read them.
fn damaged(ask: &Ask<'_>) -> String {
    let places = |count: usize| if count == 1 { "1 place".to_owned() } else { format!("{count} places") };
    let mut text = String::new();
    if let Some((count, first)) = ask.app.engine.damage() {
        text.push_str(&format!("database: damaged in {}: {first}\n", places(count)));
    }
    for log in ask.app.engine.logs().iter().filter(|log| ask.may_read(log)) {
        if let Some((count, first)) = log.damage() {
            text.push_str(&format!("log {}: damaged in {}: {first}\n", log.info().name, places(count)));
        }
        if text.len() > REPORT_BYTES {
            text.push_str("and others\n");
            break;
        }
    }
    text
}

/// Why no append is taken, if every log that could take some waits.
fn none_goes_on(engine: &Engine) -> Option<AppendError> {
    let logs = engine.logs();
    let open = || logs.iter().filter(|log| log.state() == LogState::Open);
    let waits = open().next().is_some() && open().all(Log::is_held);
    let why = if open().all(Log::lacks_policy) { AppendError::LacksPolicy } else { AppendError::Held };
    waits.then_some(why)
}

/// A line for each log whose witnesses leave something to be wished for, and why; of private logs only for who may read
/// them.
fn witnesses(ask: &Ask<'_>) -> String {
    let mut text = String::new();
    let open = |log: &Log| log.state() == LogState::Open && ask.may_read(log);
    for (log, report) in ask.app.cosigners.reports().into_iter().filter(|(log, _)| open(log)) {
        let label = &log.info().name;
        if log.lacks_policy() {
            let why = policy_in_doubt("its witness policy");
            let which = say_which_policy(label.as_str());
            text.push_str(&format!(
                "log {label}: no appends and no new checkpoint: {why}; say which one holds: {which}\n"
            ));
            continue;
        }
        if let Some(names) = report.held.filter(|_| log.is_held()) {
            let names = names.join(", ");
            text.push_str(&format!(
                "log {label}: no appends until witnesses agree that it goes on; not yet: {names}\n"
            ));
            continue;
        }
        let (checkpoint, head) =
            (log.checkpoint().map_or(TreeSize::ZERO, |checkpoint| checkpoint.size), log.head().size);
        let quorum = if report.met { "" } else { ", without its quorum" };
        let lagging: Vec<_> = report.witnesses.iter().filter(|witness| witness.lags(checkpoint)).collect();
        if report.met && lagging.is_empty() {
            continue;
        }
        text.push_str(&format!("log {label}: checkpoint {checkpoint} of {head}{quorum}\n"));
        for witness in lagging {
            let confirmed = witness.confirmed.map_or_else(|| "nothing yet".to_owned(), |size| size.to_string());
            let error = witness.error.as_deref().unwrap_or("it has not answered yet");
            text.push_str(&format!("log {label}: witness {} lags at {confirmed}: {error}\n", witness.name));
        }
        if text.len() > REPORT_BYTES {
            text.push_str("and others\n");
            break;
        }
    }
    text
}

/// Figures in the OpenMetrics text format; those of a private log only with a token that may read it.
#[utoipa::path(
    get, path = "/metrics", tag = "Operation", security((), ("token" = [])),
    responses((status = 200, description = "Figures, in OpenMetrics' form", body = String, content_type = "application/openmetrics-text"))
)]
pub(crate) fn metrics(ask: &Ask<'_>) -> Result<Answer, Problem> {
    let app = ask.app;
    let logs = app.engine.logs().into_iter().filter(|log| ask.may_read(log)).collect();
    let (engine, cosigners, scrub) = (app.engine.clone(), Arc::clone(&app.cosigners), Arc::clone(&app.scrub));
    let (capture, settings) = (Arc::clone(&app.records.capture), Arc::clone(&app.records.settings));
    let (reporter, following) = (Arc::clone(&app.records.reporter), app.followers.seen());
    let states = app.records.states.cached();
    let seen = Seen { engine, cosigners, scrub, reporter, capture, following, settings, states, logs };
    app.metrics.http.bodies(app.bodies.used());
    let text = app.metrics.render(seen, app.clock.now_ms()).map_err(Problem::internal)?;
    let mut answer = fresh(media::TEXT, "");
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
    *answer.body_mut() = Payload::whole(text);
    Ok(answer)
}
