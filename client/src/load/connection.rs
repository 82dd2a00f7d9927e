//! One connection of the load generator, driven in one task together with its requests.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_tree::size::TreeSize;
use cairn_tree::tile::{TileCoord, Width};
use cairn_tree::wire::media;
use futures_util::future::{Either, select};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::payload::mix;
use super::{LoadError, Mode, Plan, Shared};
use crate::bounds::{self, TILE_WIDTH};
use crate::fetch::{LogUrl, Token, shown};

/// The wait of a connection after a failure, before it asks or connects again.
const PAUSE: Duration = Duration::from_millis(50);

/// Where the requests go.
pub(super) struct Target {
    address: SocketAddr,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
    /// The log's path, ending in `/`.
    path: String,
    /// The media type of what is sent.
    body_type: &'static str,
    /// How a size-bound proof is asked for.
    tree: TreeSize,
}

impl Target {
    pub(super) async fn resolve(url: &LogUrl, token: Option<&Token>, plan: &Plan) -> Result<Self, LoadError> {
        let url = url.as_url();
        if url.scheme() != "http" {
            return Err(LoadError::Tls);
        }
        let unresolved = |why: &dyn core::fmt::Display| LoadError::Address(shown(&format!("{url}: {why}")));
        let host = url.host_str().ok_or_else(|| unresolved(&"no host"))?;
        let port = url.port_or_known_default().ok_or_else(|| unresolved(&"no port"))?;
        // An IPv6 address stands in brackets in a URL, but not in a look-up.
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let address = tokio::net::lookup_host((name, port)).await.map_err(|error| unresolved(&error))?.next();
        Ok(Self {
            address: address.ok_or_else(|| unresolved(&"no address"))?,
            host: HeaderValue::from_str(&format!("{host}:{port}")).map_err(|error| unresolved(&error))?,
            authorization: token.map(|token| token.header().clone()),
            path: url.path().to_owned(),
            body_type: match plan.mode {
                Mode::Batch => media::ENTRIES,
                Mode::Records => media::NDJSON,
                Mode::Single | Mode::Receipt | Mode::Proof | Mode::Tile => media::OCTETS,
            },
            tree: plan.tree,
        })
    }

    /// A request with the headers that every one has; `None` if the address is none, which resolving has excluded.
    fn request(&self, method: Method, resource: &str, body: Bytes) -> Option<Request<Full<Bytes>>> {
        let mut builder = Request::builder().method(method).uri(format!("{}{resource}", self.path));
        if let Some(headers) = builder.headers_mut() {
            headers.insert(HOST, self.host.clone());
            if let Some(authorization) = &self.authorization {
                headers.insert(AUTHORIZATION, authorization.clone());
            }
            if !body.is_empty() {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.body_type));
            }
        }
        builder.body(Full::new(body)).ok()
    }
}

/// Asks until the deadline, on a new connection after each failure.
pub(super) async fn run(shared: Arc<Shared>, number: usize, deadline: Instant) {
    let end = tokio::time::Instant::from_std(deadline + bounds::LOAD_GRACE);
    let asking = async {
        while Instant::now() < deadline {
            if let Err(error) = on_one_connection(&shared, number, deadline).await {
                shared.failed(shown(&error));
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    if tokio::time::timeout_at(end, asking).await.is_err() {
        shared.failed(format!("no answer within {} s after the end", bounds::LOAD_GRACE.as_secs()));
    }
}

async fn on_one_connection(shared: &Shared, number: usize, deadline: Instant) -> Result<(), String> {
    let stream = TcpStream::connect(shared.target.address).await.map_err(|error| error.to_string())?;
    // Requests are small and each waits for the one before: Nagle's algorithm would only add its delay.
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // One task drives both ends, so that an answer wakes nobody else.
    match select(pin!(ask(shared, number, deadline, sender)), pin!(connection)).await {
        Either::Left((asked, _)) => asked,
        // The connection ended: what was under way fails, and says so.
        Either::Right((_, asking)) => asking.await,
    }
}

async fn ask(
    shared: &Shared,
    number: usize,
    deadline: Instant,
    mut sender: SendRequest<Full<Bytes>>,
) -> Result<(), String> {
    let mut draw = mix(shared.plan.run ^ number as u64);
    loop {
        draw = mix(draw);
        let request = next_request(shared, draw).ok_or("the address makes no request")?;
        let started = Instant::now();
        if started >= deadline {
            return Ok(());
        }
        sender.ready().await.map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), answer_bytes(shared.plan.mode))
            .collect()
            .await
            .map_err(|error| error.to_string())?;
        let latency = started.elapsed();
        let body = body.to_bytes();
        match check(shared, status, &body) {
            Ok(()) => shared.succeeded(number, latency),
            Err(error) => {
                shared.failed(shown(&error));
                // A server that refuses is not asked again at once: errors would outnumber what is to be measured.
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The longest answer: for each record of a batch where it is, or else a proof with its checkpoint.
const fn answer_bytes(mode: Mode) -> usize {
    match mode {
        Mode::Records => bounds::BATCH_ANSWER_BYTES,
        Mode::Single | Mode::Receipt | Mode::Batch | Mode::Proof | Mode::Tile => bounds::PROOF_BYTES,
    }
}

fn next_request(shared: &Shared, draw: u64) -> Option<Request<Full<Bytes>>> {
    let Shared { plan, target, pool, .. } = shared;
    let count = plan.entries_per_request();
    let first = shared.next.fetch_add(count, Ordering::Relaxed);
    match plan.mode {
        Mode::Single => target.request(Method::POST, "add", pool.entry(first, plan.size)),
        Mode::Receipt => target.request(Method::POST, "entries", pool.entry(first, plan.size)),
        Mode::Batch => target.request(Method::POST, "entries", pool.batch(first, plan.batch, plan.size)),
        Mode::Records => {
            let lines = shared.records.lines(first, plan.batch);
            target.request(Method::POST, "v1/records?receipts=0", Bytes::from(lines))
        }
        Mode::Proof => {
            let index = draw.checked_rem(target.tree.get())?;
            let resource = format!("proof/inclusion?index={index}&size={}", target.tree);
            target.request(Method::GET, &resource, Bytes::new())
        }
        Mode::Tile => {
            let number = draw.checked_rem(target.tree.get() / TILE_WIDTH)?;
            let tile = TileCoord::new(0, number, Width::FULL).ok()?;
            target.request(Method::GET, &tile.to_string(), Bytes::new())
        }
    }
}

/// The shape that a good answer has; nothing is verified.
fn check(shared: &Shared, status: StatusCode, body: &[u8]) -> Result<(), String> {
    if status != StatusCode::OK {
        return Err(format!("{status} {}", String::from_utf8_lossy(body)));
    }
    let good = match shared.plan.mode {
        Mode::Single => !body.is_empty() && body.iter().all(u8::is_ascii_digit),
        Mode::Tile => body.len() == bounds::TILE_BYTES,
        Mode::Receipt | Mode::Batch | Mode::Records | Mode::Proof => body.starts_with(b"{"),
    };
    if good { Ok(()) } else { Err(format!("an answer of {} bytes has the wrong shape", body.len())) }
}
