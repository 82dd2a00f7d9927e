//! `GET /v1/reports`: how many records of a tenant there are of each kind, or which, as CSV or JSON.
//!
//! Every record that is counted or listed is verified as a list's are. One that can't be stands as a problem in its place, is
//! in no number, and makes the whole report incomplete. A report is read page by page, newest first, and
//! goes out as it comes: memory holds the groups that are not written yet, and those are bounded. One that breaks off says
//! so in its last row or member, and its transfer is cut; one that lacks the word that it is complete is not.
//! Pages stop when the reader is gone, takes nothing for long, or loses the right to read.
//!
//! What the answer claims, and what it proves, `docs/auditing.md` tells.

mod count;
mod csv;
mod form;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_listen::{Answer, Leash, Payload, stopped};
use cairn_tree::record::time::Time;
use cairn_tree::size::TreeSize;
use cairn_tree::wire::media;
use cairn_tree::wire::v1::{Dimension, ReportEnd};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, VARY};
use http::{HeaderValue, Method, Response};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::accept::media_type;
use super::super::places::{Party, Place};
use super::super::problem::Problem;
use super::super::query::Query;
use super::super::reading::NOT_KEPT;
use super::super::trail::Trail;
use super::super::{App, Ask};
use super::bodies::checkpoint;
use super::reading::{Reading, tenant};
use super::wanted::{self, Wanted};
use super::{LOG, TENANT};
use crate::auth::Right;
use crate::engine::Head;
use crate::engine::records::Completeness;
use crate::limits::{LIST_BYTES, REPORT_PAGE_RECORDS};
use crate::records::Seen;
use count::{Groups, line};
use form::{Form, Writer};

const BY: &str = "by";
const SHOW: &str = "show";
const FORMAT: &str = "format";
/// How long an answer waits for a report that may turn out to be small, or not to be possible.
const PATIENCE: Duration = Duration::from_secs(2);
/// Chunks that wait for the reader.
const CHUNKS: usize = 1;
/// What a report counts by, unless a request says.
const USUAL: [Dimension; 3] = [Dimension::Module, Dimension::Actor, Dimension::Day];

/// Counts and listings.
#[utoipa::path(
    get, path = "/v1/reports", tag = "Reports", security(("token" = [])),
    params(
        crate::http::docs::Wanted,
        ("show" = Option<String>, Query, description = "counts (the default): a row for each group; records: a row for each record, newest first, without values"),
        ("by" = Option<String>, Query, description = "What is counted by, with commas between: of tenant, module, entity, operation, actor, day (of the server's time, in UTC). module,actor,day if absent"),
        ("format" = Option<String>, Query, description = "csv or json, whatever Accept says"),
        ("x-tenant-id" = Option<String>, Header, description = "Whose records"),
    ),
    responses(
        (status = 200, description = "The report. Its last row begins with `complete`, or it has the member `complete` with true; without that it is not whole. A record that can't be verified stands as a row or an object `problem` in its place, and is in no number; a report with one is not complete, nor is one that may miss records (`except`). `complete_to` is the size of the log, and `as_of` the time, up to which the server says that nothing is left out. In CSV, take one apostrophe from the front of a text that has one: it keeps spreadsheets from calculating", content((crate::http::docs::ReportAnswer = "application/json"), (String = "text/csv"))),
        (status = "4XX", description = "The asker's mistake, or more groups than one report has; 404 for a tenant that the token is not good for", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = "5XX", description = "A bound of the server is reached", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn reports(ask: &Ask<'_>) -> Result<Answer, Problem> {
    let credential = ask.credential(Right::Read)?;
    let query = Query::parse(ask.parts.uri.query(), &wanted::names([TENANT, LOG, SHOW, BY, FORMAT]))?;
    let (form, by) = (form(ask, &query)?, by(&query)?);
    let tenant = tenant(ask, &credential, &query)?.ok_or_else(wanted::no_tenant)?;
    let wanted = Wanted::of(&query, tenant)?;
    let log = ask.app.records.homes.named_or_of(&ask.app.engine, &wanted.tenant, query.get(LOG));
    let log = log.ok_or_else(Problem::not_found)?;
    let reading = Reading::of(ask, &credential, log, Some(&wanted.tenant))?;
    if wanted.is_of_reads() {
        ask.trail(credential.id)?.asks_for_reads();
    }
    if ask.parts.method == Method::HEAD {
        return Ok(answer(form, Payload::ending(mpsc::channel(CHUNKS).1)));
    }
    ask.app.answers.admit_large()?;
    let place = ask.app.reports.take(Party::Token(credential.id))?;
    let mut report = ask.read(move || Report::begin(reading, wanted, form, by)).await?;
    let begun = Instant::now();
    while !report.is_done() && begun.elapsed() < PATIENCE && report.out.len() < LIST_BYTES {
        let (next, went) = report.next(ask.app).await?;
        went?;
        report = next;
    }
    if report.is_done() {
        return Ok(answer(form, Payload::whole(report.finish()?)));
    }
    let (sender, chunks) = mpsc::channel(CHUNKS);
    let authorization = ask.parts.headers.get(AUTHORIZATION).cloned();
    // What is at hand goes on record with this answer, the rest piece by piece.
    let trail = ask.trail(credential.id)?.of_follower();
    report.reading = report.reading.on(Arc::clone(&trail));
    let leash = Leash::default();
    let mut payload = Payload::ending(chunks);
    payload.tie(&leash);
    let delivery = Delivery { app: Arc::clone(ask.app), authorization, trail, sender, leash, _place: place };
    tokio::spawn(delivery.run(report));
    Ok(answer(form, payload))
}

fn answer(form: Form, body: Payload) -> Answer {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(if form == Form::Csv { media::CSV } else { media::JSON }));
    if form == Form::Csv {
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"report.csv\""));
    }
    headers.insert(CACHE_CONTROL, NOT_KEPT);
    headers.insert(VARY, HeaderValue::from_static("accept"));
    answer
}

fn form(ask: &Ask<'_>, query: &Query<'_>) -> Result<Form, Problem> {
    match query.get(FORMAT) {
        Some("csv") => Ok(Form::Csv),
        Some("json") => Ok(Form::Json),
        Some(other) => Err(Problem::malformed(FORMAT, other, "no such format").bound("csv or json")),
        None => {
            let liked = media_type(&ask.parts.headers, &[media::JSON, "text/csv"])?;
            Ok(if liked == media::JSON { Form::Json } else { Form::Csv })
        }
    }
}

/// What is counted by; `None` if records are listed.
fn by(query: &Query<'_>) -> Result<Option<Vec<Dimension>>, Problem> {
    match query.get(SHOW) {
        None | Some("counts") => {}
        Some("records") if query.get(BY).is_none() => return Ok(None),
        Some("records") => {
            let detail = "by: a listing has a row for each record, and is not counted by anything";
            return Err(Problem::malformed(BY, query.get(BY).unwrap_or_default(), detail));
        }
        Some(other) => return Err(Problem::malformed(SHOW, other, "no such report").bound("counts or records")),
    }
    let Some(text) = query.get(BY) else { return Ok(Some(USUAL.to_vec())) };
    let mut by = Vec::new();
    for name in text.split(',') {
        let dimension = Dimension::from_name(name).filter(|dimension| !by.contains(dimension));
        by.push(dimension.ok_or_else(|| {
            let names = Dimension::ALL.map(Dimension::name).join(", ");
            Problem::malformed(BY, name, "nothing to count by, or there twice").bound(format!("any of {names}, once"))
        })?);
    }
    Ok(Some(by))
}

/// A report on its way.
struct Report {
    reading: Reading,
    wanted: Wanted,
    writer: Writer,
    /// `None`: records are listed.
    groups: Option<Groups>,
    /// What is written and not sent yet.
    out: Vec<u8>,
    /// Everything from here up is looked at; `None`: everything.
    below: Option<TreeSize>,
    records: u64,
    unverified: u64,
    complete: Completeness,
}

impl Report {
    fn begin(reading: Reading, wanted: Wanted, form: Form, by: Option<Vec<Dimension>>) -> Result<Self, Problem> {
        let complete = reading.completeness(&wanted.tenant)?;
        let below = Some(wanted.beginning(&reading, reading.complete_to()?)?);
        let mut out = Vec::new();
        let writer = Writer::begin(form, &mut out, &wanted.tenant, by.as_deref());
        let groups = by.map(Groups::new);
        Ok(Self { reading, wanted, writer, groups, out, below, records: 0, unverified: 0, complete })
    }

    const fn is_done(&self) -> bool {
        self.below.is_none()
    }

    /// Looks at the next page where that holds up no other request. The report comes back too if that failed.
    async fn next(mut self, app: &App) -> Result<(Self, Result<(), Problem>), Problem> {
        let look = move || {
            let went = self.go_on();
            Ok::<_, Problem>((self, went))
        };
        app.read_bundles(look).await
    }

    /// Looks at the next page.
    fn go_on(&mut self) -> Result<(), Problem> {
        let Some(below) = self.below else { return Ok(()) };
        let shown = |seen: &Seen, _: &Head| Ok(seen.record.clone());
        let page = self.wanted.page(&self.reading, (below, REPORT_PAGE_RECORDS), shown)?;
        for record in page.met {
            let record = match record {
                Ok(record) => record,
                Err(problem) => {
                    // What can't be verified is not counted, and without it the count is wrong: that is said at the end.
                    self.unverified = self.unverified.saturating_add(1);
                    self.writer.problem(&mut self.out, &problem);
                    continue;
                }
            };
            self.records = self.records.saturating_add(1);
            match &mut self.groups {
                Some(groups) => groups.add(&record, &mut self.writer, &mut self.out)?,
                None => self.writer.record(&mut self.out, &line(&record)),
            }
        }
        self.below = page.next;
        Ok(())
    }

    /// Writes the rest, and gives what is to be sent.
    fn finish(mut self) -> Result<Vec<u8>, Problem> {
        if let Some(groups) = &mut self.groups {
            groups.write(&mut self.writer, &mut self.out);
        }
        // The one that has all, be it not witnessed yet.
        let checkpointed = self.reading.log.checkpoint();
        let Completeness { to: complete_to, except } = self.complete;
        let checkpointed = checkpointed.filter(|checkpoint| checkpoint.size >= complete_to);
        let under = checkpointed.unwrap_or_else(|| Arc::clone(&self.reading.head));
        let as_of = Time::from_millis(self.reading.head.time_ms).map_err(Problem::internal)?;
        let (records, unverified, checkpoint) = (self.records, self.unverified, checkpoint(&under)?);
        let end = ReportEnd { records, unverified, complete_to, except, as_of, checkpoint };
        self.writer.end(&mut self.out, &end);
        Ok(self.out)
    }

    /// Writes why it can't go on, and gives what is to be sent.
    fn break_off(mut self, problem: &Problem) -> Vec<u8> {
        self.writer.break_off(&mut self.out, problem);
        self.out
    }
}

/// The way of a report to its reader.
struct Delivery {
    app: Arc<App>,
    /// The reader's token, which may be revoked meanwhile.
    authorization: Option<HeaderValue>,
    /// Puts each piece on record before it is sent.
    trail: Arc<Trail>,
    sender: mpsc::Sender<Option<Bytes>>,
    /// Cuts off a reader who takes nothing for long.
    leash: Leash,
    _place: Place,
}

/// The reader is gone, or may not read any more.
struct Gone;

impl Delivery {
    async fn run(self, report: Report) {
        let mut stop = self.app.stop.clone();
        // Whatever ends it early cuts the transfer: the end is not told.
        tokio::select! {
            () = stopped(&mut stop) => {}
            _ended = self.deliver(report) => {}
        }
    }

    async fn deliver(&self, mut report: Report) -> Result<(), Gone> {
        while !report.is_done() {
            self.check(&report.wanted.tenant)?;
            self.send(core::mem::take(&mut report.out)).await?;
            let (next, went) = report.next(&self.app).await.map_err(|_| Gone)?;
            if let Err(problem) = went {
                let log = &next.reading.log.info().name;
                tracing::warn!(%log, title = problem.title(), cause = problem.cause(), "a report breaks off");
                return self.send(next.break_off(&problem)).await;
            }
            report = next;
        }
        self.check(&report.wanted.tenant)?;
        self.send(report.finish().map_err(|_| Gone)?).await?;
        self.hand(None).await
    }

    /// Whether there is somebody who may still read.
    fn check(&self, tenant: &str) -> Result<(), Gone> {
        let caller = self.app.tokens.caller(self.authorization.as_ref().map(HeaderValue::as_bytes));
        let may = caller.may_on_tenant(Right::Read, tenant) && !self.sender.is_closed();
        if may { Ok(()) } else { Err(Gone) }
    }

    async fn send(&self, bytes: Vec<u8>) -> Result<(), Gone> {
        if self.trail.record(&self.app).await.is_err() {
            return Err(Gone);
        }
        if bytes.is_empty() { Ok(()) } else { self.hand(Some(self.app.answers.piece(bytes))).await }
    }

    /// Hands on a chunk, or the word that there is no more; a reader that takes nothing for long is cut off, since what was
    /// handed on before would wait for it.
    async fn hand(&self, chunk: Option<Bytes>) -> Result<(), Gone> {
        match timeout(self.app.limits.write_stall_time(), self.sender.send(chunk)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone),
            Err(_) => {
                self.leash.cut();
                Err(Gone)
            }
        }
    }
}
