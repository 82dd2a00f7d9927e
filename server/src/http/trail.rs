//! The trail of reads: whoever is shown a tenant's records is put on record first, where the tenant wants it so.
//!
//! No route does that by itself, and so none forgets it: records are read through `v1::Reading` alone, which notes here
//! what it shows, and every answer leaves by `Ask::recorded`, which writes down what was noted and refuses the answer if
//! that fails. The record is under a released head before the first byte of the answer is sent. Readers who follow a
//! stream are put on record again with each chunk.
//!
//! Recorded are answers that show records, lists that are empty, and refusals that say what there is: "there is nothing", "at
//! most so many". Where nobody's records in particular were asked for, "there is nothing" is on record for each tenant that
//! the token covers and that wants it; where those are many, a request must name one. An answer for which records of several
//! tenants were looked at is on record for each of them, whosever it shows. What the server can't do now tells
//! nothing, and is not recorded. How many records of reads a token may have made is bounded (`read_rate`), so that nobody
//! fills a log by reading. A read of the trail is one as any other, of which metadata alone is kept; a reader
//! who follows the trail is put on record when he begins, since his own record would come to him next, without end.
//!
//! Not here: what the record says (`records::own_reads`). C2SP reads of a log are anonymous and carry no disclosures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cairn_tree::record::class::Class;
use cairn_tree::record::json::Json;
use cairn_tree::record::open::Record;
use cairn_tree::record::text::Name;
use cairn_tree::record::time::Time;
use cairn_tree::wire::{header, media};
use utoipa::Modify;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, RefOr, Required, ResponseBuilder};

use super::path::Route;
use super::problem::Problem;
use super::{Answer, App, Ask};
use crate::auth::{Tenants, TokenId};
use crate::limits::AUDITED_TENANTS;
use crate::metrics::ReadOutcome;
use crate::records::{Read, ReadAudit, Said, Shown};

/// What a request reads, until that is put on record.
#[derive(Debug)]
pub(in crate::http) struct Trail {
    route: &'static str,
    target: String,
    said: Said,
    token: TokenId,
    noted: Mutex<Noted>,
}

/// A term that the body of a request asks for, with its name there.
pub(in crate::http) type Term = (&'static str, Class, Json<'static>);

#[derive(Debug, Default)]
struct Noted {
    actor: Option<Name<'static>>,
    terms: Vec<Term>,
    /// Whether something was read since the last time that this was put on record.
    open: bool,
    /// Whose records were asked for, of those that want that on record.
    asked: Vec<String>,
    /// Whether the trail of reads is asked for, and nothing else.
    of_reads: bool,
    shown: BTreeMap<String, Shown>,
    /// Whether what comes is more of something whose beginning is on record.
    follows: bool,
}

impl Trail {
    pub(super) fn of(ask: &Ask<'_>, token: TokenId) -> Result<Self, Problem> {
        let said = Said::of(&ask.parts.headers)?;
        let target = ask.parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
        let noted = Mutex::new(Noted { actor: Said::actor(&ask.parts.headers)?, ..Noted::default() });
        Ok(Self { route: ask.target.label(), target, said, token, noted })
    }

    /// A trail of its own for a reader who follows what this request asks for. That he does is on this one's record.
    pub(in crate::http) fn of_follower(&self) -> Arc<Self> {
        let noted = self.lock();
        let noted = Noted { actor: noted.actor.clone(), terms: noted.terms.clone(), follows: true, ..Noted::default() };
        let (route, target, said, token) = (self.route, self.target.clone(), self.said.clone(), self.token);
        Arc::new(Self { route, target, said, token, noted: Mutex::new(noted) })
    }

    /// Says that records are read: those of this tenant, or of any of those, and whatever comes of it.
    ///
    /// # Errors
    /// If that could not be put on record; then nothing may be looked at.
    pub(in crate::http) fn begin(&self, app: &App, tenant: Option<&str>, any: &Tenants) -> Result<(), Problem> {
        let settings = &app.records.settings;
        let asked: Vec<String> = match tenant {
            Some(tenant) if settings.tenant(tenant).reads == ReadAudit::Off => Vec::new(),
            Some(tenant) => vec![tenant.to_owned()],
            None => {
                let audited = settings.tenants().into_iter().filter(|(_, settings)| settings.reads != ReadAudit::Off);
                let covered = audited.map(|(tenant, _)| tenant).filter(|tenant| any.matches(tenant));
                covered.take(AUDITED_TENANTS + 1).collect()
            }
        };
        if asked.len() > AUDITED_TENANTS {
            let detail = "say whose records: too many tenants of the token have their reads put on record";
            return Err(Problem::malformed("tenant", "", detail).bound("a tenant's name"));
        }
        // Refused before it costs anything, and before it tells whether there is something of one of them; the turns are
        // taken when it is put on record.
        if !asked.is_empty() {
            let looked = app.read_rate.look(self.token, count(asked.len()), Instant::now());
            looked.map_err(|after| {
                asked
                    .iter()
                    .take(1)
                    .for_each(|tenant| app.metrics.reads.count(settings.tenant(tenant).reads, ReadOutcome::Refused));
                Problem::read_too_often(after)
            })?;
        }
        let mut noted = self.lock();
        (noted.open, noted.asked) = (true, asked);
        Ok(())
    }

    /// Says that the trail of reads is asked for, and nothing else: what others asked for is not put on record again.
    pub(in crate::http) fn asks_for_reads(&self) {
        self.lock().of_reads = true;
    }

    /// Adds what the body of the request says: who asks, unless a header says so, and for what.
    pub(in crate::http) fn add(&self, actor: Option<Name<'static>>, terms: impl IntoIterator<Item = Term>) {
        let mut noted = self.lock();
        noted.actor = noted.actor.take().or(actor);
        noted.terms.extend(terms);
    }

    /// Takes note of a record that is shown.
    pub(in crate::http) fn note(&self, record: &Record) {
        let Some(object) = record.content().object.disclosed() else { return };
        let mut noted = self.lock();
        noted.open = true;
        match noted.shown.get_mut(object.tenant.as_str()) {
            Some(shown) => shown.note(record),
            None => noted.shown.entry(object.tenant.as_str().to_owned()).or_default().note(record),
        }
    }

    /// Takes note that a record of this tenant was looked at for an answer, be it shown or not.
    pub(in crate::http) fn note_looked_at(&self, tenant: &str) {
        let mut noted = self.lock();
        noted.open = true;
        // Most often it is there: no name is copied for an `entry`.
        if !noted.shown.contains_key(tenant) {
            noted.shown.insert(tenant.to_owned(), Shown::default());
        }
    }

    /// Takes note that there is nothing, whomever of those that were asked for it might be of.
    pub(in crate::http) fn note_nothing(&self) {
        let mut noted = self.lock();
        let Noted { asked, shown, .. } = &mut *noted;
        for asked in asked {
            shown.entry(asked.clone()).or_default();
        }
    }

    /// Takes note that something of this tenant is shown, of which nobody knows more.
    pub(in crate::http) fn note_of(&self, tenant: &str) {
        let mut noted = self.lock();
        (noted.open, noted.asked) = (true, vec![tenant.to_owned()]);
    }

    /// Puts on record what was read since the last time; once it is done, that may be shown.
    ///
    /// # Errors
    /// If any of it can't be; of several tenants' records, some may have been, unless it is for want of turns.
    pub(in crate::http) async fn record(&self, app: &App) -> Result<(), Problem> {
        let (shown, follows, of_reads, actor, terms) = {
            let mut noted = self.lock();
            if !std::mem::take(&mut noted.open) {
                return Ok(());
            }
            let mut shown = std::mem::take(&mut noted.shown);
            if shown.is_empty() {
                shown.extend(noted.asked.iter().map(|asked| (asked.clone(), Shown::default())));
            }
            (shown, noted.follows, noted.of_reads, noted.actor.clone(), noted.terms.clone())
        };
        let audited = shown.iter().filter_map(|(tenant, shown)| {
            let audit = app.records.settings.tenant(tenant).reads;
            (audit != ReadAudit::Off && !(follows && shown.is_of_reads())).then_some((tenant, shown, audit))
        });
        let audited: Vec<_> = audited.collect();
        if let Some((_, _, audit)) = audited.first() {
            self.turns(app, *audit, count(audited.len()), follows).await?;
        }
        for (tenant, shown, audit) in audited {
            let log = app.records.homes.of(&app.engine, tenant).ok_or_else(Problem::not_found)?;
            let read = Read {
                tenant,
                audit,
                route: self.route,
                credential: app.records.secret.of_log(&log.info().origin).pseudonym(self.token),
                actor: actor.clone(),
                context: self.said.context(),
                target: &self.target,
                terms: &terms,
                of_reads: shown.is_of_reads() || (of_reads && shown.is_empty()),
                shown,
                time: Time::from_micros(app.clock.now_us()).map_err(Problem::internal)?,
            };
            let written = match read.to_record() {
                Ok(record) => app.records.own.write(&log, record).await.map(|_| ()),
                Err(error) => Err(error),
            };
            let outcome = if written.is_ok() { ReadOutcome::Written } else { ReadOutcome::Failed };
            app.metrics.reads.count(audit, outcome);
            written.map_err(Problem::unrecorded)?;
        }
        Ok(())
    }

    /// Takes as many turns as there is to put on record; what is followed waits for them.
    async fn turns(&self, app: &App, audit: ReadAudit, count: u32, follows: bool) -> Result<(), Problem> {
        let now = Instant::now();
        let wait = match follows {
            true => app.read_rate.queue(self.token, count, now),
            false => app.read_rate.take(self.token, count, now).map(|()| Duration::ZERO),
        };
        let wait = wait.map_err(|after| {
            app.metrics.reads.count(audit, ReadOutcome::Refused);
            Problem::read_too_often(after)
        })?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    // A panic while the lock is held leaves what was noted whole.
    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number of turns. There are never as many tenants as this has room for.
fn count(tenants: usize) -> u32 {
    u32::try_from(tenants).unwrap_or(u32::MAX)
}

/// Says in the OpenAPI document what reads of records have in common because they are put on record.
pub(super) struct Described;

impl Modify for Described {
    fn modify(&self, document: &mut Document) {
        let header = |name: &str, description: &str| {
            let text = Schema::Object(ObjectBuilder::new().schema_type(Type::String).build());
            let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header);
            RefOr::T(parameter.required(Required::False).description(Some(description)).schema(Some(text)).build())
        };
        let actor =
            "Who reads, where a service asks for somebody; it is put on record where the tenant has its reads recorded";
        let said = [
            header(header::X_ACTOR, actor),
            header(header::X_PURPOSE, "Why; on record likewise"),
            header(header::X_TRACE_ID, "The trace that the request belongs to; on record likewise, as the correlation"),
            header(header::TRACEPARENT, "The same in W3C trace context; on record likewise"),
            header(header::TRACESTATE, "What goes with traceparent"),
        ];
        let schema = RefOr::Ref(Ref::from_schema_name("ProblemDocument"));
        let problem = |description: &str| {
            let content = ContentBuilder::new().schema(Some(schema.clone())).build();
            ResponseBuilder::new().description(description).content(media::PROBLEM, content).build()
        };
        let full = problem("The tenant's reads are put on record, and the disk has no room for more: read-unrecorded");
        let often = problem("The tenant's reads are put on record, and the token has as many of those as it may");
        for (path, item) in &mut document.paths.paths {
            let native = path.starts_with("/v1/").then_some(item.get.as_mut()).flatten();
            if let Some(operation) = native {
                operation.parameters.get_or_insert_default().extend(said.clone());
                operation.responses.responses.insert("507".into(), RefOr::T(full.clone()));
                operation.responses.responses.entry("429".into()).or_insert_with(|| RefOr::T(often.clone()));
            }
            let digit = [Route::DigitSearch, Route::DigitVerify].map(Route::label).contains(&path.as_str());
            if let Some(operation) = digit.then_some(item.post.as_mut()).flatten() {
                operation.parameters.get_or_insert_default().extend(said.clone());
            }
        }
    }
}

impl Ask<'_> {
    /// The trail of this request, whose token this is.
    pub(in crate::http) fn trail(&self, token: TokenId) -> Result<Arc<Trail>, Problem> {
        if let Some(trail) = self.trail.get() {
            return Ok(Arc::clone(trail));
        }
        let trail = Arc::new(Trail::of(self, token)?);
        Ok(Arc::clone(self.trail.get_or_init(|| trail)))
    }

    /// The way out for every answer: with its part of the memory for answers, and once it is on record what it shows.
    pub(in crate::http) async fn recorded(&self, answer: Result<Answer, Problem>) -> Result<Answer, Problem> {
        let answer = answer.and_then(|answer| self.app.fitted(&self.parts.method, answer));
        match self.trail.get() {
            Some(trail) if answer.as_ref().err().is_none_or(Problem::tells) => trail.record(self.app).await.and(answer),
            _ => answer,
        }
    }
}
