//! The witness's HTTP surface: `add-checkpoint` and the retrieval of heads (C2SP tlog-witness), `/healthz`, `/metrics`.
//!
//! Refusals are plain text, but for the 409, whose body is the specification's. Not here: connections and their bounds
//! (`cairn_listen`), and what is decided (`decide`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use cairn_listen::{Answer, BodyError, Bounds, Budget, Payload, Service, drain, read};
use cairn_tree::size::TreeSize;
use cairn_tree::wire::witness::{AddCheckpoint, Conflict};
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tracing::{debug, error, info};

use super::decide::Refusal;
use super::{Behind, OriginHash, Verdict, Witness, bounds};

const TEXT: &str = "text/plain; charset=utf-8";
/// The type of a 409's body (C2SP tlog-witness, add-checkpoint).
const TREE_SIZE: &str = "text/x.tlog.size";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Further resources beside the witness's own: whatever a room answers is not looked for here.
pub trait Room: Send + Sync {
    /// The answer to a `GET` of this path, below the prefix and without its first slash; `None` if it is none of the
    /// room's. Must not wait: what takes time is prepared elsewhere.
    fn get(&self, path: &str) -> Option<Answer>;
}

/// The witness as a service.
pub struct Site {
    witness: Arc<Witness>,
    /// What stands before all paths: nothing, or a slash and a name.
    prefix: String,
    rooms: Vec<Arc<dyn Room>>,
    bodies: Budget,
    bounds: Bounds,
}

/// Where a request goes.
enum Route {
    AddCheckpoint,
    Checkpoint(OriginHash),
    Health,
    Metrics,
    Other,
}

impl Site {
    /// The service, with its paths below `prefix`.
    #[must_use]
    pub fn new(witness: Arc<Witness>, prefix: String, rooms: Vec<Arc<dyn Room>>, bounds: Bounds) -> Self {
        Self { witness, prefix, rooms, bodies: Budget::new(bounds::BODIES_IN_FLIGHT_BYTES), bounds }
    }

    fn below_prefix<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(self.prefix.as_str())?.strip_prefix('/')
    }

    fn route(&self, path: &str) -> Route {
        match (path, self.below_prefix(path)) {
            ("/healthz", _) => Route::Health,
            ("/metrics", _) => Route::Metrics,
            (_, Some("add-checkpoint")) => Route::AddCheckpoint,
            (_, Some(path)) => {
                let hash = path.strip_suffix("/checkpoint").and_then(OriginHash::parse);
                hash.map_or(Route::Other, Route::Checkpoint)
            }
            (_, None) => Route::Other,
        }
    }

    async fn add_checkpoint(&self, peer: SocketAddr, parts: &Parts, body: &mut Incoming) -> Answer {
        let begun = Instant::now();
        let answer = self.decided(peer, parts, body).await;
        self.witness.figures().answered(answer.status().as_u16(), begun.elapsed());
        answer
    }

    async fn decided(&self, peer: SocketAddr, parts: &Parts, body: &mut Incoming) -> Answer {
        if parts.method != Method::POST {
            return method_not_allowed("POST");
        }
        let bytes = match read(body, &parts.headers, bounds::REQUEST_BYTES, &self.bodies, self.bounds.body).await {
            Ok(read) => read,
            Err(error) => {
                if parts.version > Version::HTTP_11 {
                    drain(body, self.bounds.body).await;
                }
                return body_refused(&error, parts.version);
            }
        };
        match AddCheckpoint::parse(&bytes.bytes) {
            Ok(request) => {
                let verdict = self.witness.add_checkpoint(&request).await;
                told(peer, &request, &verdict);
                verdict_answer(verdict)
            }
            Err(error) => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
        }
    }

    fn get(&self, parts: &Parts, route: &Route) -> Answer {
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return method_not_allowed("GET, HEAD");
        }
        match route {
            Route::Health if *self.witness.failed().borrow() => {
                text(StatusCode::SERVICE_UNAVAILABLE, "the state can't be written any more\n".to_owned())
            }
            Route::Health => match self.witness.behind() {
                Some((origin, behind)) => {
                    text(StatusCode::SERVICE_UNAVAILABLE, format!("{origin}: {}", clock_text(behind)))
                }
                None => text(StatusCode::OK, "ok\n".to_owned()),
            },
            Route::Metrics => {
                match self.witness.figures().render(self.witness.logs(), self.witness.peers(), self.witness.now()) {
                    Ok(figures) => typed(text(StatusCode::OK, figures), OPEN_METRICS),
                    Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, String::new()),
                }
            }
            Route::Checkpoint(hash) => match self.witness.checkpoint(*hash) {
                Some(shown) => cached(text(StatusCode::OK, shown.checkpoint.to_string())),
                None => not_found(),
            },
            Route::AddCheckpoint | Route::Other => {
                let path = self.below_prefix(parts.uri.path());
                let answer = path.and_then(|path| self.rooms.iter().find_map(|room| room.get(path)));
                answer.unwrap_or_else(not_found)
            }
        }
    }
}

impl Service for Site {
    async fn answer(self: Arc<Self>, peer: SocketAddr, request: Request<Incoming>) -> Answer {
        let (parts, mut body) = request.into_parts();
        let answer = match self.route(parts.uri.path()) {
            Route::AddCheckpoint => self.add_checkpoint(peer, &parts, &mut body).await,
            route => self.get(&parts, &route),
        };
        if parts.method == Method::HEAD { answer.map(|_| Payload::empty()) } else { answer }
    }

    fn refusal(&self, request: &Request<Incoming>) -> Answer {
        let mut answer = busy("all connections that the witness holds are taken\n");
        if request.version() <= Version::HTTP_11 {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

/// The body of a refusal.
#[must_use]
pub fn refusal_text(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Conflict { size } => Conflict { size: *size }.to_string(),
        other => format!("{other}\n"),
    }
}

fn verdict_answer(verdict: Verdict) -> Answer {
    match verdict {
        Verdict::Cosigned(shown) => text(StatusCode::OK, shown.lines.to_string()),
        Verdict::Refused(refusal) => {
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let answer = text(status, refusal_text(&refusal));
            if matches!(refusal, Refusal::Conflict { .. }) { typed(answer, TREE_SIZE) } else { answer }
        }
        Verdict::Busy => busy("too many checkpoints are waiting\n"),
        Verdict::Behind(behind) => busy(&clock_text(behind)),
        Verdict::Failed => text(StatusCode::INTERNAL_SERVER_ERROR, "the witness can't record checkpoints\n".to_owned()),
    }
}

fn clock_text(Behind { seconds }: Behind) -> String {
    format!(
        "the witness's clock is {seconds} s behind the last time that it signed for this log; until then it signs nothing\n"
    )
}

fn body_refused(error: &BodyError, version: Version) -> Answer {
    let words = format!("{error}\n");
    let mut answer = match error {
        BodyError::Encoded(_) => text(StatusCode::UNSUPPORTED_MEDIA_TYPE, words),
        BodyError::TooLarge { .. } => text(StatusCode::PAYLOAD_TOO_LARGE, words),
        BodyError::NoRoom => busy("the requests in memory have reached their bound\n"),
        BodyError::Cut => text(StatusCode::BAD_REQUEST, words),
        BodyError::Late { .. } => text(StatusCode::REQUEST_TIMEOUT, words),
    };
    if matches!(error, BodyError::Late { .. }) && version <= Version::HTTP_11 {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// What nobody may keep.
fn text(status: StatusCode, body: String) -> Answer {
    let mut answer = Response::new(Payload::whole(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn typed(mut answer: Answer, media_type: &'static str) -> Answer {
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

/// Marks what caches may keep for a moment.
fn cached(mut answer: Answer) -> Answer {
    let control = HeaderValue::from_str(&format!("public, max-age={}", bounds::CHECKPOINT_SECONDS));
    answer.headers_mut().insert(CACHE_CONTROL, control.unwrap_or(HeaderValue::from_static("no-store")));
    answer
}

fn busy(words: &str) -> Answer {
    let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, words.to_owned());
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(bounds::RETRY_AFTER_SECONDS));
    answer
}

fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "no such resource\n".to_owned())
}

fn method_not_allowed(allowed: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("this resource knows {allowed}\n"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// One line for each request about a known log; what names an unknown one is anybody's.
fn told(peer: SocketAddr, request: &AddCheckpoint, verdict: &Verdict) {
    let head = request.checkpoint().unverified();
    let (origin, old, size): (_, TreeSize, TreeSize) = (head.origin(), request.old(), head.size());
    match verdict {
        // Heads come by the thousands; what is refused is rarer and says more.
        Verdict::Cosigned(_) => debug!(%peer, %origin, %old, %size, "cosigned"),
        Verdict::Refused(Refusal::UnknownOrigin) => {}
        Verdict::Refused(refusal) => {
            info!(%peer, %origin, %old, %size, status = refusal.status(), reason = %refusal, "refused");
        }
        Verdict::Busy => info!(%peer, %origin, %old, %size, "busy"),
        Verdict::Behind(behind) => info!(%peer, %origin, %old, %size, seconds = behind.seconds, "the clock is behind"),
        Verdict::Failed => error!(%peer, %origin, %old, %size, "failed"),
    }
}
