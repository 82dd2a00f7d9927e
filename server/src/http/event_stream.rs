//! What all streams of server-sent events share (WHATWG HTML, "Server-sent events"): how one begins and ends, and that a
//! chunk is made when the one before was taken. A slow reader makes its own stream slow and holds one chunk of memory, for
//! which there was room before it was made (`followers`). Who does not take a chunk in the time that it has is let go: its
//! connection is cut, since what was handed on would wait there. It comes back with the id of the last event that it saw.
//!
//! Not here: what is streamed, and to whom.

use std::fmt::Display;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_listen::{Answer, Leash, Payload, stopped};
use cairn_tree::wire::media;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::App;
use super::followers::{Room, Seat};
use super::problem::Problem;
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
    app: Arc<App>,
    seat: Seat,
    sender: mpsc::Sender<Bytes>,
    leash: Leash,
}

/// A chunk until its last byte is written, however long hyper queues it for a peer that does not read.
struct Held {
    bytes: Vec<u8>,
    _room: Room,
    /// Dropped with it, which tells that it was taken.
    _taken: oneshot::Sender<()>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The answer that a stream is, and where its chunks go.
pub(super) fn begin(app: &Arc<App>, seat: Seat) -> (Answer, Outlet) {
    let (sender, chunks) = mpsc::channel(CHUNKS);
    let leash = Leash::default();
    let mut payload = Payload::stream(chunks);
    payload.tie(&leash);
    let mut answer = Response::new(payload);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media::EVENTS));
    answer.headers_mut().insert(CACHE_CONTROL, NOT_KEPT);
    (answer, Outlet { app: Arc::clone(app), seat, sender, leash })
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
        self.say(RETRY).await
    }

    /// Waits until there is room for a chunk of so many bytes; sends heartbeats meanwhile.
    pub(super) async fn room(&self, bytes: usize) -> Result<Room, Ended> {
        let mut room = pin!(self.seat.room(bytes));
        loop {
            tokio::select! {
                room = &mut room => return room.map_err(|_| Ended),
                paused = self.pause() => paused?,
            }
            self.beat().await?;
        }
    }

    /// Runs a read for the stream; see [`Seat::read`].
    pub(super) async fn read<T, E>(&self, read: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: Into<Problem> + Send + 'static,
    {
        self.seat.read(&self.app, read).await
    }

    /// Hands on a chunk, and waits until it is written.
    pub(super) async fn send(&self, bytes: Vec<u8>, mut room: Room) -> Result<(), Ended> {
        room.settle(bytes.capacity());
        let limits = &self.app.limits;
        let time = Duration::from_secs(bytes.len() as u64 / limits.body_bytes_per_second());
        let (told, taken) = oneshot::channel();
        let chunk = Bytes::from_owner(Held { bytes, _room: room, _taken: told });
        let written = async {
            self.sender.send(chunk).await.map_err(|_| Ended)?;
            // Never says anything, and ends with the chunk.
            let _ = taken.await;
            Ok(())
        };
        self.within(limits.write_stall_time() + time, written).await
    }

    /// Shows that the stream lives.
    pub(super) async fn beat(&self) -> Result<(), Ended> {
        self.say(HEARTBEAT).await
    }

    /// Waits until it is time for a heartbeat; ends with the reader.
    pub(super) async fn pause(&self) -> Result<(), Ended> {
        tokio::select! {
            () = self.sender.closed() => Err(Ended),
            () = tokio::time::sleep(self.app.limits.event_heartbeat()) => Ok(()),
        }
    }

    /// Hands on what takes no memory.
    async fn say(&self, words: &'static [u8]) -> Result<(), Ended> {
        let sent = async { self.sender.send(Bytes::from_static(words)).await.map_err(|_| Ended) };
        self.within(self.app.limits.write_stall_time(), sent).await
    }

    /// A reader that does not take something in time is let go.
    async fn within(&self, time: Duration, sent: impl Future<Output = Result<(), Ended>>) -> Result<(), Ended> {
        timeout(time, sent).await.unwrap_or_else(|_| {
            self.seat.cut();
            self.leash.cut();
            Err(Ended)
        })
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
