//! `GET events`: new heads, checkpoints and entries of a log as server-sent events (`event_stream`).
//!
//! The id of every event is the number of entries that its reader has then seen, so a reader that comes back with
//! `Last-Event-ID` misses nothing and gets nothing twice.

use std::sync::Arc;

use bytes::Bytes;
use cairn_listen::Answer;
use cairn_tree::hash::Hash;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::wire::header;
use cairn_tree::wire::read::EventKind;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use tokio::sync::watch;
use tracing::warn;

use super::event_stream::{self, Ended, Outlet, event};
use super::followers::Room;
use super::json::Object;
use super::places::Party;
use super::problem::Problem;
use super::query::{self, Query, out_of_range};
use super::{App, Ask};
use crate::auth::Right;
use crate::engine::{Head, Log, Published, ReadError};
use crate::limits::{EVENT_CHUNK_BYTES, EVENT_CHUNK_ENTRIES, EVENT_ENTRIES_ROOM};

/// New heads and entries, as they come.
#[utoipa::path(
    get, path = "/logs/{log}/events", tag = "Events",
    params(
        ("log" = String, Path, description = "The log's name"),
        ("start" = Option<u64>, Query, description = "The first entry's index; without it and without Last-Event-ID, only new entries come"),
        ("last-event-id" = Option<u64>, Header, description = "The id of the last event that was seen"),
    ),
    responses(
        (status = 200, description = "Events head, entry and, for a log with a witness policy, checkpoint; the id of each is the number of entries seen", body = String, content_type = "text/event-stream"),
        (status = 400, description = "Not a place in this log", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such log", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "As many readers follow logs with this token as may", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "As many readers follow logs as the server holds, or as many without a token as may; a reader who does not take in time what is sent is cut off", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) fn events(ask: &Ask<'_>) -> Result<Answer, Problem> {
    let log = ask.log()?;
    let (heads, checkpoints) = (log.heads(), log.checkpoints());
    let next = first(ask, log.head().size)?;
    let seat = ask.app.followers.of_log(Party::of(ask.caller()))?;
    let (answer, outlet) = event_stream::begin(ask.app, seat);
    if ask.parts.method != http::Method::HEAD {
        let authorization = ask.parts.headers.get(AUTHORIZATION).cloned();
        let app = Arc::clone(ask.app);
        let (told, shown) = (Bytes::new(), Bytes::new());
        let follower = Follower { app, log, authorization, heads, checkpoints, told, shown, next, outlet };
        event_stream::run(ask.app, follower.follow());
    }
    Ok(answer)
}

/// The number of entries that the reader has seen.
fn first(ask: &Ask<'_>, size: TreeSize) -> Result<TreeSize, Problem> {
    let query = Query::parse(ask.parts.uri.query(), &["start"])?;
    let start = query.size("start")?;
    let (field, seen) = match ask.parts.headers.get(header::LAST_EVENT_ID) {
        None => ("start", start.unwrap_or(size)),
        Some(value) => {
            let text = String::from_utf8_lossy(value.as_bytes());
            (header::LAST_EVENT_ID, query::size(header::LAST_EVENT_ID, &text)?)
        }
    };
    if seen > size {
        return Err(out_of_range(field, seen.get(), format!("at most {size}")));
    }
    Ok(seen)
}

/// One reader's stream.
struct Follower {
    app: Arc<App>,
    log: Log,
    /// The reader's token, which may be revoked while the stream is open.
    authorization: Option<HeaderValue>,
    heads: watch::Receiver<Arc<Head>>,
    checkpoints: watch::Receiver<Published>,
    /// The head that the reader was sent last.
    told: Bytes,
    /// The checkpoint that the reader was sent last.
    shown: Bytes,
    /// How many entries the reader has been sent.
    next: TreeSize,
    outlet: Outlet,
}

impl Follower {
    async fn follow(mut self) -> Ended {
        if !self.may_read() || self.outlet.open().await.is_err() {
            return Ended;
        }
        loop {
            // The checkpoint first: the head, which comes later, covers it.
            self.checkpoints.mark_unchanged();
            let checkpoint = self.log.policy().and_then(|_| self.log.checkpoint());
            let head = Arc::clone(&self.heads.borrow_and_update());
            let sent = match self.catch_up(&head).await {
                Ok(()) => self.show(checkpoint).await,
                ended => ended,
            };
            if sent.is_err() || self.wait().await.is_err() {
                return Ended;
            }
        }
    }

    fn may_read(&self) -> bool {
        let info = self.log.info();
        let caller = || self.app.tokens.caller(self.authorization.as_ref().map(HeaderValue::as_bytes));
        !info.private || caller().may(Right::Read, &info.name)
    }

    /// Sends every entry that the head covers, then the head.
    async fn catch_up(&mut self, head: &Arc<Head>) -> Result<(), Ended> {
        while self.next < head.size {
            let room = self.outlet.room(EVENT_ENTRIES_ROOM).await?;
            let (log, from, upto) = (self.log.clone(), self.next, Arc::clone(head));
            let read = self.outlet.read(move || entries(&log, &upto, from)).await;
            let (chunk, next) = read.map_err(|problem| {
                warn!(log = %self.log.info().name, cause = problem.cause(), "an event stream ended at a failed read");
                Ended
            })?;
            if next == self.next {
                return Err(Ended);
            }
            self.send(chunk, room).await?;
            self.next = next;
        }
        if self.told == head.note {
            return Ok(());
        }
        self.told = head.note.clone();
        self.tell(head_event(EventKind::Head, head, head.size)).await
    }

    /// Sends a checkpoint that is new to the reader.
    async fn show(&mut self, checkpoint: Option<Arc<Head>>) -> Result<(), Ended> {
        match checkpoint {
            Some(checkpoint) if checkpoint.note != self.shown => {
                self.shown = checkpoint.note.clone();
                self.tell(head_event(EventKind::Checkpoint, &checkpoint, self.next)).await
            }
            _ => Ok(()),
        }
    }

    /// Waits for the next head or checkpoint; sends heartbeats meanwhile, so that proxies and both sides see a living stream.
    async fn wait(&mut self) -> Result<(), Ended> {
        loop {
            tokio::select! {
                changed = self.heads.changed() => return changed.map_err(|_| Ended),
                changed = self.checkpoints.changed() => return changed.map_err(|_| Ended),
                paused = self.outlet.pause() => paused?,
            }
            if !self.may_read() {
                return Err(Ended);
            }
            self.outlet.beat().await?;
        }
    }

    /// Hands on a chunk, if the reader may still have it.
    async fn send(&self, chunk: Vec<u8>, room: Room) -> Result<(), Ended> {
        if self.may_read() { self.outlet.send(chunk, room).await } else { Err(Ended) }
    }

    /// The same for what is small and there already.
    async fn tell(&self, chunk: Vec<u8>) -> Result<(), Ended> {
        let room = self.outlet.room(chunk.capacity()).await?;
        self.send(chunk, room).await
    }
}

/// The events of some entries, and how many entries the reader has then seen.
fn entries(log: &Log, head: &Head, from: TreeSize) -> Result<(Vec<u8>, TreeSize), ReadError> {
    let Ok(first) = from.next_index() else { return Ok((Vec::new(), from)) };
    let mut chunk = Vec::new();
    let mut seen = from;
    // Empty entries have no bytes to be bounded by, and are told in many.
    let end = TreeSize::new(from.get().saturating_add(EVENT_CHUNK_ENTRIES)).map_or(head.size, |end| end.min(head.size));
    for entry in log.entries(head, first, end, EVENT_CHUNK_BYTES)? {
        let Ok(index) = LeafIndex::new(seen.get()) else { break };
        let mut data = Object::with_capacity(entry.len() * 4 / 3 + 128);
        data.number("index", index.get()).hash("leaf_hash", &Hash::leaf(&entry)).bytes("entry", &entry);
        event(&mut chunk, EventKind::Entry.as_str(), Some(&index.size_with()), &data.finish());
        seen = index.size_with();
    }
    Ok((chunk, seen))
}

fn head_event(kind: EventKind, head: &Head, seen: TreeSize) -> Vec<u8> {
    let mut data = Object::with_capacity(head.note.len() + 64);
    data.number("size", head.size.get()).text("checkpoint", &head.note);
    let mut chunk = Vec::new();
    event(&mut chunk, kind.as_str(), Some(&seen), &data.finish());
    chunk
}
