//! The server: one thread, one model, and the lies that are told of it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use bytes::Bytes;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::header::IDEMPOTENCY_KEY;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::answer::{self, Answer, Body, Lie};
use super::model::Model;
use super::trail::Trail;
use super::v1;

/// Beneath which path the log stands.
const PREFIX: &str = "/logs/lying/";

/// A log that lies when it is told to. It ends when it is dropped.
pub struct LyingLog {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    model: Model,
    /// The audit records among its entries.
    trail: Trail,
    /// Other logs of the server, which are asked with their origins.
    beside: Vec<(Model, Trail)>,
    /// The size of the head that is shown; `None` is the model's own.
    shown: Option<u64>,
    rules: Vec<Rule>,
    /// The indexes that each idempotency key's batch got.
    appends: HashMap<String, Vec<LeafIndex>>,
    requests: Vec<String>,
    /// The last answer's body.
    last: Vec<u8>,
}

/// A lie about some paths.
struct Rule {
    /// What their names begin with.
    path: String,
    /// Only who asks another log of the server for records is lied to.
    log: Option<String>,
    lie: Lie,
    /// Only who lets caches answer is lied to.
    only_cached: bool,
    /// How often it is still told.
    left: u32,
}

impl LyingLog {
    /// Serves the usual log, of so many entries.
    #[must_use]
    pub fn of_size(size: u64) -> Self {
        Self::serve(Model::of_size(size))
    }

    /// Serves a model on a port of its own.
    #[must_use]
    pub fn serve(model: Model) -> Self {
        let appends = HashMap::new();
        let (rules, requests, last) = (Vec::new(), Vec::new(), Vec::new());
        let state = Arc::new(Mutex::new(State {
            model,
            trail: Trail::default(),
            beside: Vec::new(),
            shown: None,
            rules,
            appends,
            requests,
            last,
        }));
        let (stop, stopped) = oneshot::channel();
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("the port's number");
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(accept(listener, shared, stopped));
        });
        Self { address, state, stop: Some(stop), thread: Some(thread) }
    }

    /// The log's address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, PREFIX.trim_end_matches('/'))
    }

    /// The log's key, as its readers know it.
    #[must_use]
    pub fn vkey(&self) -> String {
        self.with(|state| state.model.vkey().to_string())
    }

    /// Changes the log, honestly or not.
    pub fn change(&self, change: impl FnOnce(&mut Model)) {
        self.with(|state| change(&mut state.model));
    }

    /// Appends an audit record in the native form.
    pub fn record(&self, record: &str) -> LeafIndex {
        self.trail(|trail, model| trail.push(model, record))
    }

    /// Changes the log's audit records, honestly or not.
    pub fn trail<T>(&self, change: impl FnOnce(&mut Trail, &mut Model) -> T) -> T {
        self.with(|state| change(&mut state.trail, &mut state.model))
    }

    /// Shows the head of a smaller size from now on, or the newest again.
    pub fn show(&self, size: Option<u64>) {
        self.with(|state| state.shown = size);
    }

    /// Lies about all resources whose path begins with this.
    pub fn lie(&self, path: &str, lie: Lie) {
        self.rule(path, lie, false, u32::MAX);
    }

    /// Lies so many times.
    pub fn lie_times(&self, times: u32, path: &str, lie: Lie) {
        self.rule(path, lie, false, times);
    }

    /// Lies to those only who let caches answer: a broken cache before an honest log.
    pub fn lie_from_cache(&self, path: &str, lie: Lie) {
        self.rule(path, lie, true, u32::MAX);
    }

    /// Lies to those who ask for records of another log of the server.
    pub fn lie_of(&self, log: &str, path: &str, lie: Lie) {
        let (path, log) = (path.to_owned(), Some(log.to_owned()));
        self.with(|state| state.rules.push(Rule { path, log, lie, only_cached: false, left: u32::MAX }));
    }

    /// Has another log on the same server from now on, under the name that its origin ends in.
    pub fn put_beside(&self, model: Model, trail: Trail) {
        self.with(|state| state.beside.push((model, trail)));
    }

    /// Tells the truth again.
    pub fn repent(&self) {
        self.with(|state| state.rules.clear());
    }

    /// The requests so far, as `METHOD path?query`.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.with(|state| state.requests.clone())
    }

    /// What an honest log of this model would answer to `GET path?query`.
    #[must_use]
    pub fn answer(&self, target: &str) -> Vec<u8> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let honest = self.with(|state| state.honest(path, &parameters(query)));
        honest.bytes()
    }

    /// The log's signed head of a size.
    #[must_use]
    pub fn head(&self, size: u64) -> Vec<u8> {
        self.with(|state| state.model.head(size).into_bytes())
    }

    /// The body of the last answer.
    #[must_use]
    pub fn last_answer(&self) -> Vec<u8> {
        self.with(|state| state.last.clone())
    }

    fn rule(&self, path: &str, lie: Lie, only_cached: bool, left: u32) {
        self.with(|state| state.rules.push(Rule { path: path.to_owned(), log: None, lie, only_cached, left }));
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for LyingLog {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has failed the test already, by an answer that never came.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: std::net::TcpListener, state: Arc<Mutex<State>>, mut stopped: oneshot::Receiver<()>) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
            _ = &mut stopped => return,
        };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(move |request| serve(Arc::clone(&state), request));
            // A client that has had enough of an endless answer hangs up.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn serve(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<SentBody>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let key = parts.headers.get(IDEMPOTENCY_KEY).and_then(|key| key.to_str().ok()).map(str::to_owned);
    let past_caches = parts.headers.get("cache-control").is_some_and(|value| value == "no-cache");
    let query = parts.uri.query().unwrap_or_default();
    let path = parts.uri.path();
    // Records stand at the server's root.
    let path = path.strip_prefix(PREFIX).or_else(|| path.strip_prefix('/')).unwrap_or_default();
    let answer = state.lock().unwrap_or_else(PoisonError::into_inner).answer(&Asked {
        method: parts.method,
        path,
        parameters: parameters(query),
        past_caches,
        key,
        body,
    });
    let mut response = Response::builder().status(answer.status).header("content-type", answer.media);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    Ok(response.body(SentBody(Some(answer.body))).expect("a response"))
}

struct Asked<'a> {
    method: Method,
    path: &'a str,
    parameters: Vec<(String, String)>,
    past_caches: bool,
    key: Option<String>,
    body: Bytes,
}

impl State {
    fn answer(&mut self, asked: &Asked<'_>) -> Answer {
        let query: Vec<String> = asked.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.requests.push(format!("{} {}?{}", asked.method, asked.path, query.join("&")));
        let honest =
            if asked.method == Method::POST { self.append(asked) } else { self.honest(asked.path, &asked.parameters) };
        let log = asked_log(&asked.parameters);
        let told = |rule: &&mut Rule| {
            (rule.log.is_none() || rule.log == log)
                && rule.left > 0
                && asked.path.starts_with(&rule.path)
                && !(rule.only_cached && asked.past_caches)
        };
        let answer = match self.rules.iter_mut().find(told) {
            Some(rule) => {
                rule.left -= 1;
                rule.lie.tell(honest)
            }
            None => honest,
        };
        self.last = answer.bytes();
        answer
    }

    fn honest(&self, path: &str, parameters: &[(String, String)]) -> Answer {
        let log = asked_log(parameters);
        for (model, trail) in &self.beside {
            let origin = model.origin().as_str();
            let (_, name) = origin.rsplit_once('/').expect("an origin that ends in a name");
            if let Some(path) = path.strip_prefix(&format!("logs/{name}/")) {
                return answer::read(model, model.size(), path, parameters);
            }
            if path.starts_with("v1/") && log.as_deref() == Some(origin) {
                let body = v1::read(model, trail, model.size(), path, parameters);
                return body.map_or_else(Answer::absent, Answer::of_json);
            }
        }
        let shown = self.shown.unwrap_or(self.model.size());
        if path.starts_with("v1/") {
            let body = v1::read(&self.model, &self.trail, shown, path, parameters);
            return body.map_or_else(Answer::absent, Answer::of_json);
        }
        answer::read(&self.model, shown, path, parameters)
    }

    fn append_record(&mut self, asked: &Asked<'_>) -> Answer {
        let known = asked.key.as_ref().and_then(|key| self.appends.get(key)).and_then(|indexes| indexes.first());
        let answer = match known {
            Some(index) => self.trail.appended(&self.model, *index),
            None => self.trail.append(&mut self.model, &asked.body),
        };
        if let (Some(key), Some(appended)) = (&asked.key, answer.records.first()) {
            self.appends.insert(key.clone(), vec![appended.index]);
        }
        Answer::of_json(answer.to_json())
    }

    fn append(&mut self, asked: &Asked<'_>) -> Answer {
        if asked.path == "add" {
            return answer::add(&mut self.model, &asked.body);
        }
        if asked.path == "v1/records" {
            return self.append_record(asked);
        }
        if let Some(indexes) = asked.key.as_ref().and_then(|key| self.appends.get(key))
            && let Some(again) = answer::answer_batch(&self.model, indexes)
        {
            return again;
        }
        let first = self.model.size();
        let answer = answer::append(&mut self.model, &asked.body);
        let indexes = (first..self.model.size()).filter_map(|index| LeafIndex::new(index).ok()).collect();
        if let Some(key) = &asked.key {
            self.appends.insert(key.clone(), indexes);
        }
        answer
    }
}

/// The log that is asked for records.
fn asked_log(parameters: &[(String, String)]) -> Option<String> {
    parameters.iter().find(|(name, _)| name == "log").map(|(_, value)| v1::decoded(value))
}

/// A query's names and values; hexadecimal hashes and numbers need no decoding.
fn parameters(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A body on its way; an endless one is made as it goes.
struct SentBody(Option<Body>);

impl HttpBody for SentBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        match &self.0 {
            None => Poll::Ready(None),
            Some(Body::Endless) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&ZEROS))))),
            // Nobody wakes this body again: its connection ends when the client hangs up.
            Some(Body::Stalled) => Poll::Pending,
            Some(Body::Bytes(_)) => match self.0.take() {
                Some(Body::Bytes(bytes)) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
        }
    }
}
