//! HTTP to witnesses: one client for all logs, with connections kept alive, bounded in time, in bytes and in number.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, Url};
use tokio::sync::Semaphore;

use crate::limits::{Limits, WITNESS_ANSWER_BYTES};

/// The way to all witnesses.
pub(super) struct Transport {
    client: Client,
    /// Requests that may be under way.
    places: Semaphore,
}

/// An answer, unverified.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoReply {
    #[error("it can't be reached: {0}")]
    Unreachable(String),
    #[error("it took too long")]
    TimedOut,
    #[error("its answer is longer than {WITNESS_ANSWER_BYTES} bytes")]
    TooLong,
}

impl Transport {
    /// A client with these bounds.
    pub(super) fn new(limits: &Limits) -> Result<Self, reqwest::Error> {
        // Somebody else in this process may have chosen a provider before; theirs is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("cairnd/", env!("CARGO_PKG_VERSION")))
            .timeout(limits.witness_request_time())
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            // A witness stands where the policy says.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { client, places: Semaphore::new(limits.witness_requests()) })
    }

    pub(super) async fn post(&self, url: Url, body: String) -> Result<Reply, NoReply> {
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        self.send(self.client.post(url).header(CONTENT_TYPE, text).body(body)).await
    }

    pub(super) async fn get(&self, url: Url) -> Result<Reply, NoReply> {
        self.send(self.client.get(url)).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Reply, NoReply> {
        // Nobody closes the semaphore.
        let _place = self.places.acquire().await.map_err(|error| NoReply::Unreachable(error.to_string()))?;
        let response = request.send().await.map_err(|error| no_reply(&error))?;
        let status = response.status().as_u16();
        Ok(Reply { status, body: bounded(response).await? })
    }
}

/// How long a connection without requests is kept: longer than any busy log rests.
const IDLE: Duration = Duration::from_secs(90);

async fn bounded(mut response: Response) -> Result<Vec<u8>, NoReply> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| no_reply(&error))? {
        if piece.len() > WITNESS_ANSWER_BYTES - body.len() {
            return Err(NoReply::TooLong);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

fn no_reply(error: &reqwest::Error) -> NoReply {
    if error.is_timeout() {
        return NoReply::TimedOut;
    }
    // The last cause is the most telling; the outer ones only repeat the address.
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    NoReply::Unreachable(cause.to_string())
}
