//! HTTP to witnesses: one client for all logs, with connections kept alive, bounded in time, in bytes and in number.
//!
//! Of the places for requests, one log and one witness's host get a part each and no more: a log with many witnesses, or
//! a witness of many logs that is silent, holds up those alone that have to do with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, Url};
use tokio::sync::Semaphore;

use crate::limits::{Limits, WITNESS_ANSWER_BYTES};
use crate::outward::{self, Scheme};

/// The way to all witnesses.
pub(super) struct Transport {
    plain: Client,
    tls: Client,
    places: Places,
}

/// Requests that may be under way: all, and those to each host. A log has a share of its own.
struct Places {
    all: Semaphore,
    part: usize,
    hosts: Mutex<BTreeMap<String, Weak<Semaphore>>>,
}

/// The part of all places that one log, or one host, may take at a time.
const PART: usize = 4;

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
        let client = |scheme| {
            let builder = outward::builder(scheme).timeout(limits.witness_request_time());
            builder.pool_idle_timeout(IDLE).tcp_nodelay(true).build()
        };
        let (plain, tls) = (client(Scheme::Plain)?, client(Scheme::Tls)?);
        Ok(Self { plain, tls, places: Places::new(limits.witness_requests()) })
    }

    const fn client(&self, scheme: Scheme) -> &Client {
        match scheme {
            Scheme::Plain => &self.plain,
            Scheme::Tls => &self.tls,
        }
    }

    /// The share of one log.
    pub(super) fn share(&self) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(self.places.part))
    }

    pub(super) async fn post(&self, share: &Semaphore, url: Url, body: String) -> Result<Reply, NoReply> {
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        let host = self.places.host(&url);
        let request = self.client(Scheme::of(&url)).post(url).header(CONTENT_TYPE, text).body(body);
        self.send((share, &host), request).await
    }

    pub(super) async fn get(&self, share: &Semaphore, url: Url) -> Result<Reply, NoReply> {
        let host = self.places.host(&url);
        self.send((share, &host), self.client(Scheme::of(&url)).get(url)).await
    }

    async fn send(&self, (share, host): (&Semaphore, &Semaphore), request: RequestBuilder) -> Result<Reply, NoReply> {
        // Always in this order, so that nobody waits in a circle. Nobody closes them.
        let closed = |error: tokio::sync::AcquireError| NoReply::Unreachable(error.to_string());
        let _of_the_host = host.acquire().await.map_err(closed)?;
        let _of_the_log = share.acquire().await.map_err(closed)?;
        let _place = self.places.all.acquire().await.map_err(closed)?;
        let response = request.send().await.map_err(|error| no_reply(&error))?;
        let status = response.status().as_u16();
        Ok(Reply { status, body: bounded(response).await? })
    }
}

impl Places {
    fn new(all: usize) -> Self {
        Self { all: Semaphore::new(all), part: (all / PART).max(1), hosts: Mutex::default() }
    }

    /// The places of the host that a URL names.
    fn host(&self, url: &Url) -> Arc<Semaphore> {
        let name = format!("{}:{:?}", url.host_str().unwrap_or_default(), url.port_or_known_default());
        // A panic while it is held leaves the map whole.
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(&name).and_then(Weak::upgrade) {
            return host;
        }
        hosts.retain(|_, host| host.strong_count() > 0);
        let host = Arc::new(Semaphore::new(self.part));
        hosts.insert(name, Arc::downgrade(&host));
        host
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    /// A host that takes connections and answers none, or all of them.
    async fn host(answers: bool) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move {
            let mut silent = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                if answers {
                    let mut request = [0; 4_096];
                    assert!(stream.read(&mut request).await.unwrap() > 0);
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                    stream.write_all(answer).await.unwrap();
                } else {
                    silent.push(stream);
                }
            }
        });
        url
    }

    fn transport(requests: u64) -> Arc<Transport> {
        let limits = format!("witness_requests = {requests}\nwitness_request_seconds = 30");
        Arc::new(Transport::new(&toml::from_str(&limits).unwrap()).unwrap())
    }

    fn ask(transport: &Arc<Transport>, share: &Arc<Semaphore>, url: &Url) {
        let (transport, share, url) = (Arc::clone(transport), Arc::clone(share), url.clone());
        tokio::spawn(async move { transport.get(&share, url).await.map(|reply| reply.status) });
    }

    /// Twice as many requests as there are places wait for hosts that are silent; another log's to another host don't.
    #[tokio::test]
    async fn a_silent_host_or_a_log_with_many_witnesses_holds_up_nobody_else() {
        let (silent, good) = (host(false).await, host(true).await);
        let transport = transport(8);
        // Many logs, one silent witness.
        for _ in 0..16 {
            ask(&transport, &transport.share(), &silent);
        }
        // One log, many silent witnesses.
        let greedy = transport.share();
        for _ in 0..16 {
            ask(&transport, &greedy, &host(false).await);
        }
        let all_wait = async {
            while transport.places.all.available_permits() > 8 - 2 - 2 {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), all_wait).await.expect("they are under way");
        for _ in 0..3 {
            let share = transport.share();
            let reply = timeout(Duration::from_secs(10), transport.get(&share, good.clone())).await;
            assert_eq!(reply.expect("a place").unwrap().status, 200);
        }
        // The bound of all of them holds.
        assert_eq!(transport.places.all.available_permits(), 8 - 2 - 2);
    }

    #[tokio::test]
    async fn hosts_that_nobody_asks_are_forgotten() {
        let transport = transport(8);
        for port in 1..100 {
            drop(transport.places.host(&format!("http://h:{port}/a").parse().unwrap()));
        }
        let one = transport.places.host(&"http://h:1/a".parse().unwrap());
        assert!(Arc::ptr_eq(&one, &transport.places.host(&"http://h:1/b?c".parse().unwrap())));
        assert_eq!(transport.places.hosts.lock().unwrap().len(), 1);
    }
}
