//! One request and its whole answer: bounded in bytes, time and attempts.
//!
//! Not here: what the answer means; nothing that comes from here has been verified.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cairn_tree::wire::header::IDEMPOTENCY_KEY;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, PRAGMA, RETRY_AFTER,
};
use reqwest::{Client, Method, Response, Url};

use super::error::{FetchError, Problem};
use super::said::Said;
use super::url::LogUrl;
use crate::bounds;

/// The query parameter that no cache has seen before.
const CACHE_BUSTER: &str = "nocache";

/// Whether an answer may come from a cache on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// As the caches on the way see fit.
    AnyCache,
    /// From the log itself, as far as HTTP can ask for that: `no-cache` and an address that no cache knows.
    PastCaches,
}

/// How requests are made.
#[derive(Clone)]
pub struct Settings {
    /// The token for `Authorization: Bearer`, if there is one.
    pub token: Option<Token>,
    /// How long one request may take in all.
    pub timeout: Duration,
    /// Any number; the cache-busting parameters count on from it, so that no two runs share them.
    pub seed: u64,
}

/// A bearer token. It is never shown.
#[derive(Clone)]
pub struct Token(HeaderValue);

/// The token holds a character that cannot stand in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is empty or holds a character that cannot stand in an HTTP header")]
pub struct TokenError;

impl Token {
    /// Checks that the token can be sent.
    ///
    /// # Errors
    /// [`TokenError`] if it cannot.
    pub fn new(token: &str) -> Result<Self, TokenError> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError);
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| TokenError)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// The value of the `Authorization` header.
    pub(crate) fn header(&self) -> &HeaderValue {
        &self.0
    }
}

impl core::fmt::Debug for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// One request beneath the log's address.
pub(crate) struct Request {
    /// The resource, relative to the log.
    pub(crate) path: String,
    /// The query's names and values.
    pub(crate) query: Vec<(&'static str, String)>,
    /// The media type that is asked for.
    pub(crate) accept: &'static str,
    /// The longest answer that makes sense.
    pub(crate) bound: usize,
    /// Whether caches may answer.
    pub(crate) freshness: Freshness,
    /// What is sent, if it is an append.
    pub(crate) upload: Option<Upload>,
}

/// The body of an append.
pub(crate) struct Upload {
    /// Its media type.
    pub(crate) content_type: &'static str,
    /// The bytes; cloning them for another attempt copies nothing.
    pub(crate) body: Bytes,
    /// The key under which the server knows a retry.
    pub(crate) idempotency_key: String,
}

/// A successful answer, unverified.
pub(crate) struct Answer {
    /// What was asked for.
    pub(crate) url: String,
    /// The status: 2xx.
    pub(crate) status: u16,
    /// The whole body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The error that says what is wrong with this answer.
    pub(crate) fn malformed(&self, fault: impl core::fmt::Display) -> FetchError {
        FetchError::Malformed { url: self.url.clone(), fault: super::words::shown(&fault.to_string()) }
    }
}

/// Makes the requests to one log.
pub(crate) struct Transport {
    client: Client,
    base: LogUrl,
    timeout: Duration,
    buster: AtomicU64,
    said: Said,
}

impl Transport {
    pub(crate) fn new(base: LogUrl, settings: Settings) -> Result<Self, FetchError> {
        // Somebody else in this process may have chosen a provider before; theirs is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut headers = HeaderMap::new();
        if let Some(token) = settings.token {
            headers.insert(AUTHORIZATION, token.header().clone());
        }
        // In the clear a proxy would read the token; over TLS it sees nothing.
        let builder = if base.as_url().scheme() == "http" { Client::builder().no_proxy() } else { Client::builder() };
        let client = builder
            .user_agent(concat!("cairn/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(bounds::CONNECT_TIMEOUT)
            .timeout(settings.timeout)
            // A log stands where its user says; a redirect could send the token, or the reader, elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| FetchError::SetUp(causes(&error)))?;
        Ok(Self {
            client,
            base,
            timeout: settings.timeout,
            buster: AtomicU64::new(settings.seed),
            said: Said::default(),
        })
    }

    /// The same, saying this with each request.
    pub(crate) fn saying(self, said: Said) -> Self {
        Self { said, ..self }
    }

    /// Asks until there is an answer, a lasting error, or no attempt left.
    pub(crate) async fn ask(&self, request: &Request) -> Result<Answer, FetchError> {
        let mut backoff = bounds::FIRST_BACKOFF;
        for _ in 1..bounds::ATTEMPTS {
            match self.ask_once(request).await {
                Ok(answer) => return Ok(answer),
                Err((error, _)) if !error.is_transient() => return Err(error),
                // The server asks for a longer wait than we grant: asking earlier would only add to its load.
                Err((error, Some(wait))) if wait > bounds::LONGEST_BACKOFF => return Err(error),
                Err((_, wait)) => tokio::time::sleep(wait.unwrap_or(backoff)).await,
            }
            backoff = (backoff * 2).min(bounds::LONGEST_BACKOFF);
        }
        self.ask_once(request).await.map_err(|(error, _)| error)
    }

    /// Asks once: whoever asks again at an interval needs no other attempts.
    pub(crate) async fn ask_one_time(&self, request: &Request) -> Result<Answer, FetchError> {
        self.ask_once(request).await.map_err(|(error, _)| error)
    }

    /// One attempt; the error comes with the wait that the server asked for.
    pub(crate) async fn ask_once(&self, request: &Request) -> Result<Answer, (FetchError, Option<Duration>)> {
        let (address, url) = (self.address(request), self.base.resource(&request.path, &request.query));
        let mut builder = match &request.upload {
            None => self.client.request(Method::GET, address),
            Some(upload) => self
                .client
                .request(Method::POST, address)
                .header(CONTENT_TYPE, upload.content_type)
                .header(IDEMPOTENCY_KEY, &upload.idempotency_key)
                .body(upload.body.clone()),
        };
        builder = builder.headers(self.said.headers().clone()).header(ACCEPT, request.accept);
        if request.freshness == Freshness::PastCaches {
            builder = builder.header(CACHE_CONTROL, "no-cache").header(PRAGMA, "no-cache");
        }
        let response = builder.send().await.map_err(|error| (self.network_error(&url, &error), None))?;
        let status = response.status();
        let wait = retry_after(response.headers());
        if status.is_success() {
            let body = self.body(response, &url, request.bound).await.map_err(|error| (error, None))?;
            return Ok(Answer { url: url.into(), status: status.as_u16(), body });
        }
        // The body only adds words to the error; without them the status stands alone.
        let body = self.body(response, &url, bounds::PROBLEM_BYTES).await.unwrap_or_default();
        Err((FetchError::Status { url: url.into(), status: status.as_u16(), problem: Problem::read(&body) }, wait))
    }

    /// Where the request goes: beneath the log's address, and where no cache has looked before if none may answer.
    /// Errors name the address without that, which would only make them look different each time.
    fn address(&self, request: &Request) -> Url {
        let mut url = self.base.resource(&request.path, &request.query);
        if request.freshness == Freshness::PastCaches {
            let number = self.buster.fetch_add(1, Ordering::Relaxed);
            url.query_pairs_mut().append_pair(CACHE_BUSTER, &format!("{number:x}"));
        }
        url
    }

    async fn body(&self, mut response: Response, url: &Url, bound: usize) -> Result<Vec<u8>, FetchError> {
        let too_long = || FetchError::TooLong { url: url.to_string(), bound };
        // Content-Length is only a promise, and absent when the body is compressed: each piece is counted anyway.
        if response.content_length().is_some_and(|length| length > bound as u64) {
            return Err(too_long());
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.network_error(url, &error))? {
            if piece.len() > bound - body.len() {
                return Err(too_long());
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    fn network_error(&self, url: &Url, error: &reqwest::Error) -> FetchError {
        if error.is_timeout() {
            let after = if error.is_connect() { bounds::CONNECT_TIMEOUT } else { self.timeout };
            return FetchError::TimedOut { url: url.to_string(), after };
        }
        FetchError::Unreachable { url: url.to_string(), cause: causes(error) }
    }
}

/// `Retry-After` in seconds (RFC 9110, section 10.2.3); the form with a date is rare and treated as absent.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The last and most telling cause of an error: the outer ones only repeat the address.
fn causes(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    super::words::shown(&cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_checked_and_never_shown() {
        assert!(Token::new("").is_err());
        assert!(Token::new("a\nb").is_err());
        let token = Token::new("secret").unwrap();
        assert_eq!(token.header(), "Bearer secret");
        assert_eq!(format!("{token:?}"), "Token(..)");
    }

    #[test]
    fn every_fetch_past_caches_has_an_address_of_its_own() {
        let settings = Settings { token: None, timeout: bounds::REQUEST_TIMEOUT, seed: 0xfe };
        let transport = Transport::new(LogUrl::parse("http://h/logs/main").unwrap(), settings).unwrap();
        let request = Request {
            path: "checkpoint".to_owned(),
            query: Vec::new(),
            accept: "text/plain",
            bound: 1,
            freshness: Freshness::PastCaches,
            upload: None,
        };
        assert_eq!(transport.address(&request).as_str(), "http://h/logs/main/checkpoint?nocache=fe");
        assert_eq!(transport.address(&request).as_str(), "http://h/logs/main/checkpoint?nocache=ff");
    }
}
