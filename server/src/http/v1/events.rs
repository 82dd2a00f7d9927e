//! `GET /v1/streams/.../events`: the records of one stream as server-sent events, for whoever may read them.
//!
//! The id of every event is the number of records that its reader has then seen: whoever comes back with `Last-Event-ID`
//! misses nothing and gets nothing twice, after whatever cut and across restarts of the server. A record comes verified,
//! with the one before it, as the history gives it, and not before a released head has it. In the place of one that can't be
//! verified comes what is wrong with it, under its number: so it is passed, once it is told. What the reader may see is looked
//! up for each chunk and each heartbeat: a stream ends with its token.
//!
//! A stream without records is not there (404), as for the other routes: a name that is misspelt is told at once.
//! A follower waits to be woken by a record of its stream, and costs nothing until then but heartbeats. What it costs from
//! then on is bounded for all of them together (`followers`).

use std::sync::Arc;

use cairn_listen::Answer;
use cairn_tree::record::stream::StreamName;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::header;
use cairn_tree::wire::v1::{IntegrityProblem, RecordAnswer, StreamEventKind, StreamHeadEvent, WrongPart};
use http::HeaderValue;
use http::header::AUTHORIZATION;

use super::super::event_stream::{self, Ended, Outlet, event};
use super::super::places::Party;
use super::super::problem::Problem;
use super::super::query::{self, out_of_range};
use super::super::trail::Trail;
use super::super::{App, Ask};
use super::bodies::checkpoint;
use super::history::{Asked, asked};
use super::reading::Reading;
use super::{Credential, FROM_SEQ, PROOF};
use crate::auth::Right;
use crate::engine::{Following, Log};
use crate::limits::{EVENT_CHUNK_BYTES, EVENT_CHUNK_RECORDS, EVENT_RECORDS_ROOM};

/// The records of a stream, as they come.
#[utoipa::path(
    get, path = "/v1/streams/entity/{tenant}/{module}/{entity}/{object}/events", operation_id = "stream_events", tag = "Streams", security(("token" = [])),
    params(
        crate::http::docs::ObjectPath,
        crate::http::docs::StreamLog,
        ("from_seq" = Option<u64>, Query, description = "The number of the first record; without it and without Last-Event-ID, only new records come"),
        ("proof" = Option<u8>, Query, description = "1: with the inclusion proof of each record, so that every event verifies by itself"),
        ("last-event-id" = Option<u64>, Header, description = "The id of the last event that was seen"),
        ("x-tenant-id" = Option<String>, Header, description = "The stream's tenant"),
    ),
    responses(
        (status = 200, description = "Events `record`, each a RecordAnswer, verified; `head`, when all records are sent that the log has: `seen`, `complete_to` and `checkpoint`; and `problem`: with an id, what is wrong with a record that is not given out (`index`, `part`, `digest`), behind which the stream goes on; without one, the last event, when it can't. The id of each is the number of records seen", body = String, content_type = "text/event-stream"),
        (status = "4XX", description = "The asker's mistake; 404 for a stream that is not there, and for every one of a tenant that the token is not good for", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "As many readers follow streams with this token as may", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "As many readers follow streams as the server holds; a reader who does not take in time what is sent is cut off", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn events(ask: &Ask<'_>) -> Result<Answer, Problem> {
    let (stream, query) = asked(ask, &[FROM_SEQ, PROOF])?;
    let proof = query.flag(PROOF)?;
    let (field, seen) = match ask.parts.headers.get(header::LAST_EVENT_ID) {
        None => (FROM_SEQ, query.size(FROM_SEQ)?),
        Some(value) => {
            let text = String::from_utf8_lossy(value.as_bytes());
            (header::LAST_EVENT_ID, Some(query::size(header::LAST_EVENT_ID, &text)?))
        }
    };
    let token = ask.credential(Right::Read)?.id;
    let trail = ask.trail(token)?.of_follower();
    let (log, name, print) = (stream.reading.log.clone(), stream.name.clone(), stream.print());
    // Before the stream is looked at, so that no record comes between the two.
    let following = log.follow(print);
    let begin = move || {
        let (last, number) = stream.ending()?.ok_or_else(Problem::not_found)?;
        let there = number.saturating_add(1);
        let seen = seen.map_or(there, |seen| seen.get());
        if seen > there {
            return Err(out_of_range(field, seen, format!("at most {there}")));
        }
        let next = if seen == there { last.size_with().get() } else { stream.index_of(seen)?.get() };
        Ok((seen, LeafIndex::new(next).map_err(Problem::internal)?))
    };
    // All that is read for followers is read on few threads: each keeps memory of its own.
    let seat = ask.app.followers.of_stream(Party::Token(token))?;
    let (seen, next) = seat.read(ask.app, begin).await?;
    let (answer, outlet) = event_stream::begin(ask.app, seat);
    if ask.parts.method != http::Method::HEAD {
        let authorization = ask.parts.headers.get(AUTHORIZATION).cloned();
        let app = Arc::clone(ask.app);
        let follower = Follower { app, outlet, authorization, trail, log, name, following, seen, next, proof };
        event_stream::run(ask.app, follower.follow());
    }
    Ok(answer)
}

/// One reader of a stream.
struct Follower {
    app: Arc<App>,
    outlet: Outlet,
    /// The reader's token, which may be revoked while the stream is open.
    authorization: Option<HeaderValue>,
    /// Puts each chunk on record before it is sent.
    trail: Arc<Trail>,
    log: Log,
    name: StreamName<'static>,
    following: Following,
    /// How many records the reader has been sent.
    seen: u64,
    /// Where the next one is, or some place before it and behind the last one.
    next: LeafIndex,
    proof: bool,
}

/// Events that are ready to go.
struct Chunk {
    events: Vec<u8>,
    seen: u64,
    next: LeafIndex,
    /// Whether it ends with all records that there are.
    caught_up: bool,
}

impl Follower {
    async fn follow(mut self) -> Ended {
        if self.outlet.open().await.is_err() {
            return Ended;
        }
        loop {
            self.following.look();
            if self.catch_up().await.is_err() || self.wait().await.is_err() {
                return Ended;
            }
        }
    }

    /// Sends every record that a head has.
    async fn catch_up(&mut self) -> Result<(), Ended> {
        loop {
            let mut room = self.outlet.room(EVENT_RECORDS_ROOM).await?;
            // Each time anew: the head, and what the reader may see.
            let reading = self.reading()?;
            let (name, seen, next, proof) = (self.name.clone(), self.seen, self.next, self.proof);
            let read = move || chunk(&Asked::of_name(reading, name), seen, next, proof);
            let read = self.outlet.read(read).await;
            let read = match read.as_ref().err().is_none_or(Problem::tells) {
                true => {
                    if let Ok(chunk) = &read {
                        room.settle(chunk.events.capacity());
                    }
                    self.trail.record(&self.app).await.and(read)
                }
                false => read,
            };
            match read {
                Ok(chunk) => {
                    self.outlet.send(chunk.events, room).await?;
                    (self.seen, self.next) = (chunk.seen, chunk.next);
                    if chunk.caught_up {
                        return Ok(());
                    }
                }
                Err(problem) => {
                    tracing::warn!(
                        log = %self.log.info().name, title = problem.title(), cause = problem.cause(),
                        "a stream that is followed can't be read"
                    );
                    let mut told = Vec::new();
                    event(&mut told, StreamEventKind::Problem.as_str(), None, &problem.document());
                    self.outlet.send(told, room).await?;
                    return Err(Ended);
                }
            }
        }
    }

    /// Waits for a record of the stream; sends heartbeats meanwhile.
    async fn wait(&mut self) -> Result<(), Ended> {
        loop {
            tokio::select! {
                () = self.following.news() => return Ok(()),
                paused = self.outlet.pause() => paused?,
            }
            let home = self.app.records.homes.of(&self.app.engine, self.name.tenant().as_str());
            // The stream goes on in another log, under another id and with other numbers.
            if home.is_none_or(|home| home.info().id != self.log.info().id) {
                return Err(Ended);
            }
            self.reading()?;
            self.outlet.beat().await?;
        }
    }

    /// The log under its newest head, as the reader may see it now; none if that is nothing.
    fn reading(&self) -> Result<Reading, Ended> {
        let caller = self.app.tokens.caller(self.authorization.as_ref().map(HeaderValue::as_bytes));
        let credential = Credential::of(&caller).filter(|credential| credential.rights.contains(Right::Read));
        let credential = credential.ok_or(Ended)?;
        credential.admit(self.name.tenant().as_str()).map_err(|_| Ended)?;
        Reading::under_head(&self.app, &credential, self.log.clone(), Arc::clone(&self.trail)).map_err(|_| Ended)
    }
}

/// The events of the next records, and after the last of them the head that has all.
fn chunk(stream: &Asked, mut seen: u64, mut next: LeafIndex, proof: bool) -> Result<Chunk, Problem> {
    let reading = &stream.reading;
    let complete_to = reading.complete_to()?;
    let row = stream.row_at(next, None, (EVENT_CHUNK_RECORDS, EVENT_CHUNK_BYTES), |entry, _| Ok(entry))?;
    let mut events = Vec::new();
    for (index, entry) in row.indexes.into_iter().zip(row.records) {
        let number = match &entry {
            Ok(entry) => Some(entry.seq()),
            Err(problem) => stream.signed_number(index, problem.part)?.filter(|number| *number >= seen),
        };
        next = LeafIndex::new(index.size_with().get()).map_err(Problem::internal)?;
        let number = number.unwrap_or(seen);
        if number != seen {
            let detail = format!("it is number {number} of its stream, where number {seen} comes next");
            let misplaced = IntegrityProblem { index, part: WrongPart::Chain, detail };
            seen = seen.max(number);
            event(&mut events, StreamEventKind::Problem.as_str(), Some(&seen), &misplaced.to_json());
            if number < seen {
                continue;
            }
        }
        seen = number.saturating_add(1);
        match entry {
            Ok(entry) => {
                let redactions = entry.redacting().bodies(reading, &row.under)?;
                let record = entry.into_body(reading, &row.under, proof)?;
                let answer = RecordAnswer { record, redactions, checkpoint: checkpoint(&row.under)? };
                event(&mut events, StreamEventKind::Record.as_str(), Some(&seen), &answer.to_json());
            }
            Err(problem) => event(&mut events, StreamEventKind::Problem.as_str(), Some(&seen), &problem.to_json()),
        }
    }
    let caught_up = row.next.is_none();
    if caught_up {
        let complete_to = complete_to.min(row.under.size);
        let head = StreamHeadEvent { seen, complete_to, checkpoint: checkpoint(&row.under)? };
        event(&mut events, StreamEventKind::Head.as_str(), Some(&seen), &head.to_json());
    }
    Ok(Chunk { events, seen, next, caught_up })
}
