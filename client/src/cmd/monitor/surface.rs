//! What a monitor serves: the heads that it gossips, its figures, and whether it lives and is ready.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use cairn_listen::{Answer, Bounds, Listener, Payload, Service};
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::super::failure::Failure;
use super::figures::Figures;
use crate::bounds;
use crate::gossip::Board;

const TEXT: &str = "text/plain; charset=utf-8";

pub(super) struct Surface {
    pub(super) board: Arc<Board>,
    pub(super) figures: Arc<Figures>,
}

/// A surface that is served until `stop`.
pub(super) struct Serving {
    pub(super) url: String,
    stop: watch::Sender<bool>,
    work: JoinHandle<()>,
}

impl Serving {
    /// Begins to listen.
    pub(super) fn start(surface: Surface, address: SocketAddr) -> Result<Self, Failure> {
        let refused = |error: std::io::Error| Failure::Refused(format!("can't listen on {address}: {error}"));
        let listener = Listener::bind(address, None).map_err(refused)?;
        let url = listener.url().map_err(refused)?;
        let (stop, stopped) = watch::channel(false);
        let limits = Bounds { connections: bounds::MONITOR_CONNECTIONS, ..Bounds::default() };
        let work =
            tokio::spawn(listener.run(Arc::new(surface), Arc::new(()), limits, Handle::current().into(), stopped));
        Ok(Self { url, stop, work })
    }

    pub(super) async fn finish(self) {
        // Nobody listens only if it has ended already.
        let _ = self.stop.send(true);
        let _ = self.work.await;
    }
}

impl Service for Surface {
    async fn answer(self: Arc<Self>, _: SocketAddr, request: Request<Incoming>) -> Answer {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return say(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        }
        let path = request.uri().path().trim_start_matches('/');
        match path {
            "healthz" => say(StatusCode::OK, "ok\n"),
            "readyz" => self.ready(),
            "metrics" => say(StatusCode::OK, self.figures.text()),
            path => match self.board.get(path) {
                Some(head) => say(StatusCode::OK, head),
                None => say(StatusCode::NOT_FOUND, "there is no such thing\n"),
            },
        }
    }

    fn refusal(&self, _: &Request<Incoming>) -> Answer {
        say(StatusCode::SERVICE_UNAVAILABLE, "too many connections\n")
    }
}

impl Surface {
    fn ready(&self) -> Answer {
        match &self.figures.unready()[..] {
            [] => say(StatusCode::OK, "ready\n"),
            logs => say(StatusCode::SERVICE_UNAVAILABLE, format!("not verified yet: {}\n", logs.join(", "))),
        }
    }
}

fn say(status: StatusCode, words: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Payload::whole(words));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(TEXT));
    // All of it changes, and who gossips wants the newest.
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    answer
}
