//! From a message to its records or to the quarantine, for a message that comes in and for one that is tried again.
//!
//! What is quarantined is put on record, and what leaves the quarantine too, with its digest and never its content. What a
//! message is refused for decides: what another try can't change is quarantined; what it can (a full queue, a full disk, a
//! halted log) is an error, after which nothing was written.

use std::sync::Arc;

use cairn_tree::record::class::Class;
use cairn_tree::record::json::{Json, Value};
use cairn_tree::record::reserved::OWN_MODULE;
use cairn_tree::record::text::Name;
use cairn_tree::wire::record::RecordInput;
use tracing::warn;

use super::super::App;
use super::super::problem::{Kind, Problem};
use super::super::v1::{Prints, Request, append_prepared};
use super::names;
use crate::auth::{Tenants, TokenId};
use crate::engine::records::Sequenced;
use crate::engine::{Head, Log};
use crate::records::capture::{
    Captured, Coming, Line, Mapped, Message, Note, Quarantine, QuarantineError, QuarantineId, ReadMessage, Reason,
    Unmapped, message_digest, unread_text,
};
use crate::records::{Form, OwnError, OwnRecord, Said, own_object, own_values};

/// A message, and who brought it.
pub(super) struct Arrival {
    digest: [u8; 32],
    topic: Option<String>,
    value: Arc<Value>,
    /// As it is kept, should it be.
    body: Vec<u8>,
    key: Option<String>,
    token: TokenId,
    tenants: Tenants,
    /// What the delivery's headers say of the rows.
    said: Said,
}

/// What became of a message.
pub(super) enum Outcome {
    Recorded(Recorded),
    Quarantined(Line),
}

/// The records of a message.
#[derive(Default)]
pub(super) struct Recorded {
    /// Where they are, and a head that has them; none if there are no rows.
    pub(super) log: Option<(Log, Arc<Head>)>,
    pub(super) rows: Vec<(RecordInput<'static>, Sequenced)>,
    /// Whether they were there already.
    pub(super) again: bool,
    /// How many of its mappings are not to be audited.
    pub(super) not_audited: usize,
}

/// Why a message was not recorded.
pub(super) enum Stop {
    /// It never will be as things are.
    Unmapped(Unmapped),
    /// It may be another time.
    Problem(Problem),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        let reason = match problem.kind() {
            Kind::NotFound => Reason::NoTenant,
            Kind::Malformed
            | Kind::InvalidRecord
            | Kind::Contradiction
            | Kind::RecordExists
            | Kind::StreamConflict
            | Kind::StateConflict
            | Kind::OldDiffers
            | Kind::TooLarge
            | Kind::KeyReused => Reason::Refused,
            _ => return Self::Problem(problem),
        };
        let place = if reason == Reason::Refused { names::told(&problem).0 } else { String::new() };
        Self::Unmapped(Unmapped { reason, place })
    }
}

impl Arrival {
    pub(super) fn new(topic: &str, value: Value, key: Option<String>, (token, tenants): (TokenId, Tenants)) -> Self {
        let ReadMessage { topic, value, text } = ReadMessage::new(topic, value);
        let body = text.into_bytes();
        let digest = digest(&body, token, key.as_deref());
        Self { digest, topic: Some(topic), value: Arc::new(value), body, key, token, tenants, said: Said::default() }
    }

    /// A message that was kept, as somebody brings it again.
    pub(super) fn kept(line: &Line, topic: &str, value: Value, body: &[u8], caller: (TokenId, Tenants)) -> Self {
        let digest = digest(body, line.token, line.key.as_deref());
        // One that an older server kept may have credentials in it still.
        let ReadMessage { topic, value, .. } = ReadMessage::new(topic, value);
        let (token, tenants) = caller;
        let (topic, key) = (Some(topic), line.key.clone());
        Self { digest, topic, value: Arc::new(value), body: body.to_vec(), key, token, tenants, said: Said::default() }
    }

    /// What can't be read is kept as it came, but for credentials.
    pub(super) fn unread(body: &[u8], key: Option<String>, (token, tenants): (TokenId, Tenants)) -> Self {
        let body = unread_text(body);
        let digest = digest(&body, token, key.as_deref());
        Self { digest, topic: None, value: Arc::new(Value::Null), body, key, token, tenants, said: Said::default() }
    }

    /// The same if all of its rows must be this tenant's. What headers say of a trace differs from delivery to delivery, and is
    /// no matter of the rows.
    pub(super) fn of_tenant(self, tenant: Option<Name<'static>>) -> Self {
        Self { said: Said::of_tenant(tenant), ..self }
    }

    /// Of what a key stands for twice each is kept by itself: what was said under it before may never have been recorded.
    fn id(&self) -> QuarantineId {
        match self.key {
            None => QuarantineId::of(&self.digest),
            Some(_) => QuarantineId::of(&message_digest(&[&self.digest[..], &self.body].concat(), None)),
        }
    }
}

fn digest(body: &[u8], token: TokenId, key: Option<&str>) -> [u8; 32] {
    message_digest(body, key.map(|key| (token.as_bytes(), key)))
}

/// Records a message; one that was in the quarantine leaves it.
pub(super) async fn record(app: &Arc<App>, arrival: &Arrival) -> Result<Recorded, Stop> {
    let capture = &app.records.capture;
    let slot = capture.slots().acquire_owned().await.map_err(|error| Stop::Problem(Problem::internal(error)))?;
    let Mapped { rows, not_audited } = map(app, arrival).await?;
    let not_a_record = |(number, error): (usize, crate::records::capture::RowError)| {
        Stop::Unmapped(Unmapped::of(Reason::NotARecord).at(format!("row {number}, {error}")))
    };
    let captured = Arc::new(Captured::new(arrival.digest, rows).map_err(not_a_record)?);
    if captured.rows().is_empty() {
        if not_audited > 0 {
            capture.figures().not_audited();
        }
        leave(app, arrival).await?;
        return Ok(Recorded { not_audited, ..Recorded::default() });
    }
    let request = Request {
        app: Arc::clone(app),
        body: bytes::Bytes::new(),
        form: Form::Captured(Arc::clone(&captured)),
        said: arrival.said.clone(),
        // It is what the message is known by.
        key: None,
        token: arrival.token,
        tenants: arrival.tenants.clone(),
        producer_keys: Vec::new(),
        prints: Prints::default(),
        // What it brings waits in a queue of its own before.
        is_of_crowd: false,
    };
    let request = Arc::new(request);
    let ready = request.prepared(true).await?;
    drop(slot);
    let done = append_prepared(&request, ready).await?;
    let again = done.records.iter().all(|record| record.replayed);
    let rows: Vec<_> = captured.rows().iter().cloned().zip(done.records).collect();
    capture.figures().captured(rows.len() as u64, again);
    leave(app, arrival).await?;
    Ok(Recorded { log: Some((done.log, done.head)), rows, again, not_audited })
}

/// A message that became records is in quarantine no more.
async fn leave(app: &Arc<App>, arrival: &Arrival) -> Result<(), Stop> {
    if app.records.capture.quarantine().has(arrival.id()) {
        take_out(app, arrival.id(), Note::Released).await.map_err(Stop::Problem)?;
    }
    Ok(())
}

async fn map(app: &Arc<App>, arrival: &Arrival) -> Result<Mapped, Stop> {
    let persister = app.records.capture.persister();
    let persister = persister.ok_or_else(|| Stop::Problem(Problem::internal("no persister configuration")))?;
    let topic = arrival.topic.clone().ok_or(Stop::Unmapped(Unmapped::of(Reason::Unreadable)))?;
    let (value, digest) = (Arc::clone(&arrival.value), arrival.digest);
    let secret = app.records.secret.of_log("");
    let work = move || {
        let correlation = |tenant: &str, object: &str| {
            let bits = secret.delivery(&[b"correlation", &digest, tenant.as_bytes(), object.as_bytes(), b""]);
            uuid(bits)
        };
        persister.map(Message { topic: &topic, value: &value }, &correlation)
    };
    let mapped = cairn_listen::spawn_blocking(work).await.map_err(|error| Stop::Problem(Problem::internal(error)))?;
    mapped.map_err(Stop::Unmapped)
}

/// Sixteen bytes as UUIDs are written.
fn uuid(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Keeps a message that became no records, and puts that on record.
pub(super) async fn quarantine(app: &Arc<App>, arrival: &Arrival, why: Unmapped) -> Result<Line, Problem> {
    let reason = why.reason;
    let coming = Coming {
        id: arrival.id(),
        topic: arrival.topic.clone(),
        why,
        received_ms: app.clock.now_ms(),
        token: arrival.token,
        tenants: arrival.tenants.clone(),
        key: arrival.key.clone(),
        body: arrival.body.clone(),
    };
    let line = on_disk(app, move |quarantine| quarantine.keep(coming)).await?;
    put_on_record(app, &line, Note::Quarantined).await?;
    told(app, line.id).await?;
    app.records.capture.figures().quarantined(reason);
    warn!(id = %line.id, reason = reason.name(), "a message was quarantined; see: cairnd quarantine show");
    Ok(line)
}

/// Puts on record that a message leaves the quarantine, and removes it. Once it is noted that it leaves, it does, after a
/// crash as well.
pub(super) async fn take_out(app: &Arc<App>, id: QuarantineId, why: Note) -> Result<(), Problem> {
    let why = on_disk(app, move |quarantine| quarantine.leave(id, why)).await?;
    // Of a damaged one nothing is known but its id.
    if let Some(line) = app.records.capture.quarantine().line(id) {
        put_on_record(app, &line, why).await?;
    }
    on_disk(app, move |quarantine| quarantine.remove(id)).await
}

/// Tells the log what it was not told, because the server stopped in between or the log could not be written.
pub(super) async fn catch_up(app: &Arc<App>) {
    for (id, note) in app.records.capture.quarantine().owed() {
        let told = match (note, app.records.capture.quarantine().line(id)) {
            (Note::Quarantined, Some(line)) => match put_on_record(app, &line, note).await {
                Ok(()) => told(app, id).await,
                Err(problem) => Err(problem),
            },
            (Note::Quarantined, None) => continue,
            (leaving, _) => take_out(app, id, leaving).await,
        };
        if let Err(problem) = told {
            let why = problem.cause().unwrap_or(problem.detail());
            warn!(%id, why, "the log can't be told of a quarantined message now");
        }
    }
}

async fn told(app: &Arc<App>, id: QuarantineId) -> Result<(), Problem> {
    on_disk(app, move |quarantine| {
        quarantine.told(id);
        Ok(())
    })
    .await
}

async fn on_disk<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&Quarantine) -> Result<T, QuarantineError> + Send + 'static,
) -> Result<T, Problem> {
    let app = Arc::clone(app);
    let done = cairn_listen::spawn_blocking(move || work(app.records.capture.quarantine())).await;
    done.map_err(Problem::internal)?.map_err(problem)
}

/// One record of each stay in the quarantine, however often somebody tries to write it.
async fn put_on_record(app: &Arc<App>, line: &Line, note: Note) -> Result<(), Problem> {
    let operation = note.operation();
    let log = app.records.homes.of(&app.engine, OWN_MODULE).ok_or_else(Problem::not_found)?;
    let invalid = |error: &dyn core::fmt::Display| Problem::internal(error);
    let tenant = Name::new(OWN_MODULE).map_err(|error| invalid(&error))?;
    let object = own_object(tenant, "quarantine", line.id.to_string(), operation).map_err(|error| invalid(&error))?;
    let members = [("digest", Json::string(&line.digest)), ("reason", Json::string(&line.reason))];
    let values = own_values(Class::Internal, members).map_err(|error| invalid(&error))?;
    let received = line.received_ms.to_string();
    let record = OwnRecord::about(object, Some(values)).once(&[operation, &line.id.to_string(), &received]);
    match app.records.own.write(&log, record).await {
        Ok(_) | Err(OwnError::There(_)) => Ok(()),
        Err(error) => Err(error.append().cloned().map_or_else(|| Problem::internal(&error), Problem::from)),
    }
}

fn problem(error: QuarantineError) -> Problem {
    match error {
        QuarantineError::Full(_) | QuarantineError::Leaving => Problem::busy(error.to_string()),
        QuarantineError::Absent(_) => Problem::new(Kind::NotFound, error.to_string()),
        QuarantineError::Damaged { .. } | QuarantineError::Io { .. } => Problem::internal(error),
    }
}
