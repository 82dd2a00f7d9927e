//! The HTTP surface. Requests come from hyper, are matched once, and are answered by one file per group of routes.
//!
//! Every answer reads its head first and is bounded by it. No framework stands between hyper and the routes: most of them
//! are hot.

mod accept;
mod answers;
mod append;
mod batch;
mod body;
mod digit;
mod docs;
mod entries;
mod event_stream;
mod events;
mod followers;
mod heads;
mod json;
mod keys;
mod loopback;
mod ops;
pub(crate) mod path;
mod places;
mod problem;
mod proofs;
mod query;
mod read_rate;
mod reading;
mod request_id;
mod settled;
mod tiles;
mod trail;
mod v1;

pub use digit::Captures;
pub use docs::openapi;
pub use loopback::Loopback;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use cairn_listen::{Answer, Budget, OfCrowd, Payload, Service, drain};
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Version};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tracing::{error, info, warn};

use self::answers::Answers;
use self::followers::Followers;
use self::path::{Route, Target};
use self::places::Places;
use self::problem::{Kind, Problem};
use self::read_rate::ReadRate;
use self::request_id::{RequestIds, X_REQUEST_ID, trace_id};
use self::trail::Trail;
use crate::auth::{Caller, Right, TokenId, Tokens};
use crate::config::{AccessLog, Logging};
use crate::cosigners::Cosigners;
use crate::engine::{Clock, Engine, Log, ScrubFigures};
use crate::limits::{Limits, TARGET_BYTES};
use crate::metrics::Metrics;
use crate::readers::Cores;
use crate::records::capture::Capture;
use crate::records::{Homes, Own, Random, Reporter, SecretFile, Settings, States};

/// Everything that requests share.
pub struct App {
    pub(crate) engine: Engine,
    pub(crate) cosigners: Arc<Cosigners>,
    pub(crate) scrub: Arc<ScrubFigures>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    records: RecordParts,
    bodies: Budget,
    answers: Arc<Answers>,
    disk_reads: Arc<Semaphore>,
    crowd_reads: Arc<Semaphore>,
    bundle_reads: Arc<Semaphore>,
    batch_answers: Arc<Semaphore>,
    readers: Handle,
    compressions: Arc<Semaphore>,
    followers: Arc<Followers>,
    reports: Arc<Places>,
    read_rate: ReadRate,
    cores: Arc<Cores>,
    stop: watch::Receiver<bool>,
    ids: RequestIds,
    access: AccessLog,
    access_sample: u32,
    access_count: AtomicU32,
    docs: docs::Docs,
}

/// What an [`App`] is made of.
pub struct AppParts {
    /// The logs.
    pub engine: Engine,
    /// What their witnesses do.
    pub cosigners: Arc<Cosigners>,
    /// What the scrubber tells of itself.
    pub scrub: Arc<ScrubFigures>,
    /// Who may do what.
    pub tokens: Arc<Tokens>,
    /// The bounds.
    pub limits: Limits,
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Which requests get a line.
    pub logging: Logging,
    /// Says when to stop.
    pub stop: watch::Receiver<bool>,
    /// Random bits for request ids.
    pub random: u64,
    /// Where what takes long to read is read.
    pub readers: Handle,
    /// What records need.
    pub records: RecordParts,
}

/// What bringing and reading records needs besides the logs.
pub struct RecordParts {
    /// Where ids and salts come from.
    pub randomness: Arc<dyn Random>,
    /// What pseudonyms and cursors are derived from.
    pub secret: Arc<SecretFile>,
    /// Writes the server's own records.
    pub own: Arc<Own>,
    /// Reports what can't be verified.
    pub reporter: Arc<Reporter>,
    /// Which log has which tenant.
    pub homes: Arc<Homes>,
    /// What is decided for tenants and modules.
    pub settings: Arc<Settings>,
    /// The newest states of streams whose records are judged.
    pub states: States,
    /// Messages of DIGIT's persister, and those that became no records.
    pub capture: Arc<Capture>,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: AppParts) -> Self {
        let AppParts { engine, cosigners, scrub, tokens, limits, metrics, clock, logging, .. } = parts;
        let AppParts { stop, random, readers, records, .. } = parts;
        Self {
            engine,
            cosigners,
            scrub,
            tokens,
            bodies: Budget::new(limits.bodies_in_flight_bytes()),
            answers: Arc::new(Answers::new(limits.answers_in_flight_bytes())),
            disk_reads: Arc::new(Semaphore::new(limits.disk_reads())),
            crowd_reads: Arc::new(Semaphore::new(limits.crowd_reads())),
            bundle_reads: Arc::new(Semaphore::new(limits.bundle_reads())),
            batch_answers: Arc::new(Semaphore::new(limits.bundle_reads())),
            readers,
            compressions: Arc::new(Semaphore::new(limits.compressions())),
            followers: Arc::new(Followers::new(&limits)),
            reports: Arc::new(Places::new(limits.reports(), "reports and long replays are being made")),
            read_rate: ReadRate::new(&limits),
            cores: Arc::new(Cores::of_machine()),
            limits,
            metrics,
            clock,
            records,
            stop,
            ids: RequestIds::new(random),
            access: logging.access,
            access_sample: logging.access_sample.max(1),
            access_count: AtomicU32::new(0),
            docs: docs::Docs::new(),
        }
    }
}

impl Service for App {
    async fn answer(self: Arc<Self>, peer: SocketAddr, request: Request<Incoming>) -> Answer {
        handle(&self, peer, request, None).await
    }

    fn refusal(&self, request: &Request<Incoming>) -> Answer {
        let problem = Problem::busy("all connections that the server holds are taken").closing();
        problem.to_answer(request.version() <= Version::HTTP_11)
    }

    fn take_pressed(&self) -> bool {
        self.answers.take_pressed()
    }
}

/// A request that was matched to its route, and who sent it.
pub(crate) struct Ask<'a> {
    app: &'a Arc<App>,
    parts: &'a Parts,
    target: Target<'a>,
    /// The token that the listener stands for, where a request names none.
    stand_in: Option<TokenId>,
    caller: OnceLock<Caller>,
    /// What it reads of records.
    trail: OnceLock<Arc<Trail>>,
}

/// Answers one request. Never fails: what goes wrong is a problem document.
async fn handle(app: &Arc<App>, peer: SocketAddr, request: Request<Incoming>, stand_in: Option<TokenId>) -> Answer {
    let begun = Instant::now();
    let (parts, mut body) = request.into_parts();
    let target = Target::parse(parts.uri.path());
    let id = app.ids.of(&parts.headers);
    let http1 = parts.version <= Version::HTTP_11;
    let answer = route((app, stand_in), &parts, target, &mut body).await;
    let (mut answer, problem) = match answer {
        Ok(answer) => (answer, None),
        Err(problem) => {
            let mut answer = problem.to_answer(http1);
            digit::enveloped(target.route, &problem, &mut answer);
            if parts.method == Method::HEAD {
                strip(&mut answer);
            }
            (answer, Some(problem))
        }
    };
    if problem.is_some() && !http1 {
        drain(&mut body, app.limits.bodies()).await;
    }
    answer.headers_mut().insert(X_REQUEST_ID, id);
    app.metrics.http.answered(target.route, answer.status(), begun.elapsed());
    app.log_access(peer, (&parts, target.route), &answer, problem.as_ref(), begun);
    answer
}

async fn route(
    (app, stand_in): (&Arc<App>, Option<TokenId>),
    parts: &Parts,
    target: Target<'_>,
    body: &mut Incoming,
) -> Result<Answer, Problem> {
    let path = parts.uri.path();
    if path.len() + parts.uri.query().map_or(0, str::len) > TARGET_BYTES {
        let detail = format!("target: longer than {TARGET_BYTES} bytes");
        return Err(Problem::new(Kind::TargetTooLong, detail)
            .field("target")
            .bound(format!("at most {TARGET_BYTES} bytes")));
    }
    let route = target.route;
    if route == Route::Unknown {
        return Err(Problem::not_found());
    }
    if !route.allows(&parts.method) {
        let detail = format!("method: this resource knows {}", route.allow());
        let problem = Problem::new(Kind::MethodNotAllowed, detail).field("method").value(parts.method.as_str());
        return Err(problem.bound(route.allow()).allow(route.allow()));
    }
    let ask = Ask { app, parts, target, stand_in, caller: OnceLock::new(), trail: OnceLock::new() };
    let answer = answer_of(&ask, body).await;
    ask.recorded(answer).await
}

async fn answer_of(ask: &Ask<'_>, body: &mut Incoming) -> Result<Answer, Problem> {
    let (app, parts) = (ask.app, ask.parts);
    match ask.target.route {
        Route::Add => append::add(ask, body).await,
        Route::Entries if parts.method == Method::POST => append::entries(ask, body).await,
        Route::Entries => entries::range(ask).await,
        Route::Entry => entries::one(ask).await,
        Route::Head => heads::head(ask),
        Route::Checkpoint => heads::checkpoint(ask),
        Route::Keys => keys::keys(ask).await,
        Route::Tile => tiles::tile(ask).await,
        Route::Inclusion => proofs::inclusion(ask).await,
        Route::Consistency => proofs::consistency(ask).await,
        Route::Events => events::events(ask),
        Route::Records if parts.method == Method::POST => v1::append(ask, body).await,
        Route::Records => v1::list(ask).await,
        Route::Record => v1::one(ask).await,
        Route::RecordReceipt => v1::receipt(ask).await,
        Route::Stream => v1::stream(ask).await,
        Route::StreamState => v1::state(ask).await,
        Route::StreamDiff => v1::diff(ask).await,
        Route::StreamEvents => v1::events(ask).await,
        Route::Reports => v1::reports(ask).await,
        Route::DigitCapture => digit::capture(ask, body).await,
        Route::DigitCreate => digit::create(ask, body).await,
        Route::DigitSearch => digit::search(ask, body).await,
        Route::DigitVerify => digit::verify(ask, body).await,
        Route::Health => Ok(ops::health()),
        Route::Ready => ops::ready(ask),
        Route::Metrics => ops::metrics(ask),
        Route::OpenApi => Ok(app.docs.document()),
        Route::Docs => Ok(app.docs.page()),
        Route::Unknown => Err(Problem::not_found()),
    }
}

impl Ask<'_> {
    /// The log that the request is about. One that the caller may not know of is not there.
    fn log(&self) -> Result<Log, Problem> {
        let log = self.app.engine.log(self.target.log).ok_or_else(Problem::not_found)?;
        if self.may_read(&log) { Ok(log.of_crowd(self.is_of_crowd())) } else { Err(Problem::not_found()) }
    }

    /// Whether whoever asks does so for much at once.
    fn is_of_crowd(&self) -> bool {
        self.parts.extensions.get::<OfCrowd>().is_some()
    }

    /// The room for its body: who asks for much at once leaves some to others.
    fn bodies(&self) -> Budget {
        if self.is_of_crowd() { self.app.bodies.but_a_quarter() } else { self.app.bodies.clone() }
    }

    /// Who asks. Looked up when it first matters: a token costs a hash, and anybody may read a public log.
    fn caller(&self) -> &Caller {
        let authorization = || self.parts.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        self.caller.get_or_init(|| self.app.tokens.caller(authorization()))
    }

    fn may_read(&self, log: &Log) -> bool {
        let info = log.info();
        !info.private || self.caller().may(Right::Read, &info.name)
    }

    /// Refuses a caller without `right` on the log.
    fn require(&self, right: Right) -> Result<(), Problem> {
        if self.caller().may(right, self.target.log) { Ok(()) } else { Err(self.denied()) }
    }

    /// What is said to a caller that may not do this.
    fn denied(&self) -> Problem {
        match self.caller() {
            Caller::Anonymous => Problem::new(Kind::Unauthorized, "authorization: send a token as \"Bearer TOKEN\"")
                .field("authorization")
                .challenge("Bearer"),
            Caller::Unknown => Problem::new(Kind::Unauthorized, "authorization: no such token is in force")
                .field("authorization")
                .challenge("Bearer error=\"invalid_token\""),
            Caller::Known { .. } => {
                Problem::new(Kind::Forbidden, "authorization: the token lacks the right to do this here")
                    .field("authorization")
                    .challenge("Bearer error=\"insufficient_scope\"")
            }
        }
    }

    fn text(&self, header: &http::HeaderName) -> Option<&str> {
        self.parts.headers.get(header).and_then(|value| value.to_str().ok())
    }
}

/// Takes the body off an answer to HEAD, and keeps its length (RFC 9110, section 9.3.2).
fn strip(answer: &mut Answer) {
    if let Some(length) = answer.body().length() {
        answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *answer.body_mut() = Payload::empty();
}

impl App {
    /// The answer with its part of the memory for answers. What an append has to say is never refused: it stands.
    fn fitted(&self, method: &Method, mut answer: Answer) -> Result<Answer, Problem> {
        if method == Method::HEAD {
            strip(&mut answer);
        }
        let bytes = answer.body().length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        let part = if method == Method::POST { self.answers.forced(bytes) } else { self.answers.part(bytes)? };
        answer.body_mut().charge(part);
        Ok(answer)
    }

    fn log_access(
        &self,
        peer: SocketAddr,
        (parts, route): (&Parts, Route),
        answer: &Answer,
        problem: Option<&Problem>,
        begun: Instant,
    ) {
        let status = answer.status();
        let wanted = match self.access {
            _ if status.is_server_error() => self.access != AccessLog::Off,
            AccessLog::All if status.is_client_error() => true,
            AccessLog::All => self.access_count.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.access_sample),
            AccessLog::Off | AccessLog::Errors => false,
        };
        let cause = problem.and_then(Problem::cause);
        if !wanted && cause.is_none() {
            return;
        }
        let id = answer.headers().get(X_REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let trace = trace_id(&parts.headers).unwrap_or_default();
        // What may tell of a person can be erased, and our log can't: of such requests it has the kind alone.
        let words = if route.is_about_records() { Problem::title } else { Problem::detail };
        let path = if route.shows_path(!status.is_client_error()) { parts.uri.path() } else { route.label() };
        let detail = cause.or(problem.map(words)).unwrap_or_default();
        let (method, status) = (&parts.method, status.as_u16());
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        // What a bound refused is no fault: it is how the server stays up.
        if problem.is_some_and(|problem| problem.kind() == Kind::Busy) {
            warn!(%peer, %method, path, status, micros, request_id = id, trace_id = trace, detail, "request");
        } else if status >= 500 && cause.is_some() {
            // A place of its own, since lines of one place are bounded: the cause stands nowhere else.
            error!(%peer, %method, path, status, micros, request_id = id, trace_id = trace, detail, "request");
        } else if status >= 500 {
            error!(%peer, %method, path, status, micros, request_id = id, trace_id = trace, detail, "request");
        } else {
            info!(%peer, %method, path, status, micros, request_id = id, trace_id = trace, detail, "request");
        }
    }
}
