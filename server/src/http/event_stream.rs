//! What all streams of server-sent events share (WHATWG HTML, "Server-sent events"): how one begins and ends, and that a
//! chunk is made when the one before was taken. A slow reader makes its own stream slow and holds two chunks of memory; one
//! that takes nothing for long is let go, and comes back with the id of the last event that it saw.
//!
//! Not here: what is streamed, and to whom.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_listen::{Answer, Payload, stopped};
use cairn_tree::wire::media;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::App;
use super::reading::NOT_KEPT;

/// Chunks that wait for the reader.
const CHUNKS: usize = 1;
/// What browsers wait before they come back, in milliseconds.
const RETRY: &[u8] = b"retry: 2000\n\n";
/// A comment, so that proxies and both sides see a living stream.
const HEARTBEAT: &[u8] = b":\n\n";

/// The reader is gone, or the stream can't go on.
pub(super) struct Ended;

/// Where the chunks of a stream go.
pub(super) struct Outlet {
    sender: mpsc::Sender<Bytes>,
    patience: Duration,
    heartbeat: Duration,
}

/// The answer that a stream is, and where its chunks go.
pub(super) fn begin(app: &App) -> (Answer, Outlet) {
    let (sender, chunks) = mpsc::channel(CHUNKS);
    let mut answer = Response::new(Payload::stream(chunks));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media::EVENTS));
    answer.headers_mut().insert(CACHE_CONTROL, NOT_KEPT);
    let (patience, heartbeat) = (app.limits.write_stall_time(), app.limits.event_heartbeat());
    (answer, Outlet { sender, patience, heartbeat })
}

/// Lets a stream run until it ends or the server stops.
pub(super) fn run(app: &Arc<App>, follow: impl Future<Output = Ended> + Send + 'static) {
    let mut stop = app.stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = stopped(&mut stop) => {}
            Ended = follow => {}
        }
    });
}

impl Outlet {
    /// Says when to come back; the first that is sent.
    pub(super) async fn open(&self) -> Result<(), Ended> {
        self.send(Bytes::from_static(RETRY)).await
    }

    /// Hands on a chunk; a reader that takes nothing for long is let go.
    pub(super) async fn send(&self, chunk: Bytes) -> Result<(), Ended> {
        match timeout(self.patience, self.sender.send(chunk)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Ended),
        }
    }

    /// Shows that the stream lives.
    pub(super) async fn beat(&self) -> Result<(), Ended> {
        self.send(Bytes::from_static(HEARTBEAT)).await
    }

    /// Waits until it is time for a heartbeat; ends with the reader.
    pub(super) async fn pause(&self) -> Result<(), Ended> {
        tokio::select! {
            () = self.sender.closed() => Err(Ended),
            () = tokio::time::sleep(self.heartbeat) => Ok(()),
        }
    }
}

/// Writes one event; without an id, a reader that comes back does so with the one before. JSON has no line breaks outside
/// of strings, and none unescaped within.
pub(super) fn event(out: &mut Vec<u8>, kind: &str, id: Option<&dyn Display>, data: &[u8]) {
    out.extend_from_slice(format!("event: {kind}\n").as_bytes());
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}
